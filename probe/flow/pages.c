/*
 * pages: zeroed memory straight from the kernel, in huge pages (2 MiB) where it has them for who
 * asks: a table of millions of flows costs a walk through page tables a packet otherwise, and a
 * fault each 4 KiB while it grows. Where it has none, ordinary pages come. The price: a huge page
 * is cleared at once when it is first touched, and a packet waits for it: 0.1 ms, or several where
 * a virtual machine's host has to find the memory first. So they are for who reads files.
 */
#include "pool.h"

#include <sys/mman.h>

/* Addresses for `octets`, from a huge page's boundary on; NULL: there are none. */
static char *map(size_t octets, int protection) {
    char *raw = mmap(NULL, octets + PAGES_HUGE, protection,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    /* what stands out at both ends of the aligned part goes back */
    size_t before = -(uintptr_t)raw % PAGES_HUGE, after = PAGES_HUGE - before;
    if (before > 0)
        munmap(raw, before);
    if (after > 0)
        munmap(raw + before + octets, after);
    return raw + before;
}

void *pages_take(size_t octets, bool huge) {
    void *at = map(octets, PROT_READ | PROT_WRITE);
    if (at != NULL && huge && octets >= PAGES_HUGE)
        madvise(at, octets, MADV_HUGEPAGE);
    return at;
}

void *pages_reserve(size_t octets) {
    return map(octets, PROT_NONE);
}

int pages_commit(void *at, size_t octets, bool huge) {
    if (mprotect(at, octets, PROT_READ | PROT_WRITE) != 0)
        return -1;
    if (huge)
        madvise(at, octets, MADV_HUGEPAGE);
    return 0;
}

void pages_give(void *at, size_t octets) {
    if (at != NULL)
        munmap(at, octets);
}
