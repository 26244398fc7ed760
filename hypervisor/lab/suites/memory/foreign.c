/* foreign DOMID PAGES: libxenforeignmemory on the same frames, to compare with. */
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
    double map_rate = 0, unmap_rate = 0;
    for (int round = 0; round < 6; round++) {
        double start = now();
        void *address = xenforeignmemory_map(memory, atoi(argv[1]), PROT_READ | PROT_WRITE, pages, gfns, errors);
        double mapped = now();
        if (!address || xenforeignmemory_unmap(memory, address, pages)) return 2;
        double unmapped = now();
        if (pages / (mapped - start) > map_rate) map_rate = pages / (mapped - start);
        if (pages / (unmapped - mapped) > unmap_rate) unmap_rate = pages / (unmapped - mapped);
    }
    printf("%.0f pages/s mapping, %.0f unmapping, best of 6\n", map_rate, unmap_rate);
    return 0;
}
