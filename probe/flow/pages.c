/*
 * pages: zeroed memory straight from the kernel, in huge pages (2 MiB) where it has them for who
 * asks: a table of millions of flows costs a walk through page tables a packet otherwise, and a
 * fault each 4 KiB while it grows. Where it has none, ordinary pages come. The price: a huge page
 * is cleared at once when it is first touched, and a packet waits for it: 0.1 ms, or several where
 * a virtual machine's host has to find the memory first. So they are for who reads files.
 */
#include "pool.h"

#include <sys/mman.h>

static void *map(size_t octets) {
    void *at = mmap(NULL, octets, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

void *pages_take(size_t octets, bool huge) {
    if (!huge || octets < PAGES_HUGE)
        return map(octets);
    char *raw =
        map(octets + PAGES_HUGE); /* what stands out at both ends of the aligned part goes back */
    if (raw == NULL)
        return NULL;
    size_t before = -(uintptr_t)raw % PAGES_HUGE, after = PAGES_HUGE - before;
    if (before > 0)
        munmap(raw, before);
    if (after > 0)
        munmap(raw + before + octets, after);
    madvise(raw + before, octets, MADV_HUGEPAGE);
    return raw + before;
}

void pages_give(void *at, size_t octets) {
    if (at != NULL)
        munmap(at, octets);
}
