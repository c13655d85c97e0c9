/*
 * A bounded queue between two threads (ring.h).
 *
 * Indexes count items since the beginning and are cut to the ring's size when they are used: full
 * and empty differ without a spare slot, and 64 bits never wrap. The memory is one block.
 */
#include "spanwatch/ring.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_LINE = 64 };

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): apart on purpose */
struct base_ring {
    size_t room, size; /* items; octets of one */
    unsigned char *items;
    alignas(CACHE_LINE) _Atomic uint64_t put;   /* written by the putting thread */
    uint64_t taken_known;                       /* what that thread last read of `taken` */
    alignas(CACHE_LINE) _Atomic uint64_t taken; /* written by the taking thread */
    uint64_t put_known;
};

struct base_ring *base_ring_new(size_t room, size_t size) {
    struct base_ring *r = aligned_alloc(CACHE_LINE, sizeof *r);
    if (r == NULL)
        return NULL;
    *r = (struct base_ring){.room = 1, .size = size};
    while (r->room < room)
        r->room *= 2;
    r->items =
        aligned_alloc(CACHE_LINE, (r->room * size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    if (r->items == NULL) {
        free(r);
        return NULL;
    }
    return r;
}

void base_ring_free(struct base_ring *r) {
    if (r == NULL)
        return;
    free(r->items);
    free(r);
}

static unsigned char *slot(const struct base_ring *r, uint64_t index) {
    return r->items + (size_t)(index & (r->room - 1)) * r->size;
}

size_t base_ring_free_items(struct base_ring *r) {
    uint64_t put = atomic_load_explicit(&r->put, memory_order_relaxed);
    r->taken_known = atomic_load_explicit(&r->taken, memory_order_acquire);
    return r->room - (size_t)(put - r->taken_known);
}

bool base_ring_put(struct base_ring *r, const void *item) {
    return base_ring_put_sparing(r, item, 0);
}

bool base_ring_put_sparing(struct base_ring *r, const void *item, size_t spare) {
    void *place = base_ring_place(r, spare);
    if (place == NULL)
        return false;
    memcpy(place, item, r->size);
    base_ring_put_placed(r);
    return true;
}

void *base_ring_place(struct base_ring *r, size_t spare) {
    uint64_t put = atomic_load_explicit(&r->put, memory_order_relaxed);
    if (put - r->taken_known + spare >= r->room && base_ring_free_items(r) <= spare)
        return NULL;
    return slot(r, put);
}

void base_ring_put_placed(struct base_ring *r) {
    uint64_t put = atomic_load_explicit(&r->put, memory_order_relaxed);
    atomic_store_explicit(&r->put, put + 1, memory_order_release);
}

const void *base_ring_first(struct base_ring *r) {
    uint64_t taken = atomic_load_explicit(&r->taken, memory_order_relaxed);
    if (taken == r->put_known)
        r->put_known = atomic_load_explicit(&r->put, memory_order_acquire);
    return taken == r->put_known ? NULL : slot(r, taken);
}

void base_ring_drop(struct base_ring *r) {
    uint64_t taken = atomic_load_explicit(&r->taken, memory_order_relaxed);
    atomic_store_explicit(&r->taken, taken + 1, memory_order_release);
}

size_t base_ring_room(const struct base_ring *r) {
    return r->room;
}
