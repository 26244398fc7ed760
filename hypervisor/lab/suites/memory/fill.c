/* The guest's part: fills pages with what only it can have written, waits for the host to answer, looks again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORDS 512
#define MAGIC 0x56584547554553ULL
enum { HEAD_MAGIC, HEAD_SEED, HEAD_INDEX, HEAD_TOTAL, HEAD_ANSWER, HEAD };

static uint64_t next(uint64_t x) { x ^= x << 13; x ^= x >> 7; x ^= x << 17; return x; }

static uint64_t seed_of(uint64_t seed, uint64_t index) { return (seed ^ (index + 1) * 0x9e3779b97f4a7c15ULL) | 1; }

int main(void)
{
    uint64_t total = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * 3 / 4, seed = 0;
    FILE *random = fopen("/dev/urandom", "r");
    if (!random || fread(&seed, sizeof seed, 1, random) != 1) return 1;
    volatile uint64_t *memory = mmap(NULL, total * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) return 2;
    for (uint64_t page = 0; page < total; page++) {
        volatile uint64_t *words = memory + page * WORDS;
        uint64_t x = seed_of(seed, page);
        words[HEAD_SEED] = seed, words[HEAD_INDEX] = page, words[HEAD_TOTAL] = total, words[HEAD_ANSWER] = 0;
        for (int i = HEAD; i < WORDS; i++) words[i] = x = next(x);
        words[HEAD_MAGIC] = MAGIC;
    }
    printf("GUEST filled %llu pages\n", (unsigned long long)total);
    fflush(stdout);

    /* The host writes each page's index into it, the last page last. */
    while (memory[(total - 1) * WORDS + HEAD_ANSWER] != total) usleep(100000);
    uint64_t wrong = 0;
    for (uint64_t page = 0; page < total; page++) {
        volatile uint64_t *words = memory + page * WORDS;
        uint64_t x = seed_of(seed, page), bad = words[HEAD_ANSWER] != page + 1;
        for (int i = HEAD; i < WORDS; i++) bad |= words[i] != (x = next(x));
        wrong += bad;
    }
    printf("GUEST answered %llu wrong\n", (unsigned long long)wrong);
    return wrong != 0;
}
