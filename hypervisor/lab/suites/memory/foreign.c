/* foreign DOMID PAGES: libxenforeignmemory on the same frames, once, to compare with: prints the pages per second of
   mapping and of unmapping. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <xenforeignmemory.h>

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }

int main(int argc, char **argv)
{
    size_t pages = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    xenforeignmemory_handle *memory = xenforeignmemory_open(NULL, 0);
    xen_pfn_t *gfns = malloc(pages * sizeof *gfns);
    int *errors = malloc(pages * sizeof *errors);
    if (!memory || !pages || !gfns || !errors) return 1;
    for (size_t i = 0; i < pages; i++) gfns[i] = i;
    double start = now();
    void *address = xenforeignmemory_map(memory, atoi(argv[1]), PROT_READ | PROT_WRITE, pages, gfns, errors);
    double mapped = now();
    if (!address || xenforeignmemory_unmap(memory, address, pages)) return 2;
    printf("%.0f %.0f\n", pages / (mapped - start), pages / (now() - mapped));
    return 0;
}
