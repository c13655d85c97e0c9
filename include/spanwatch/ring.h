/*
 * ring: a bounded queue from one thread to one other, without locks.
 *
 * Items of one fixed size go in and out in order. One thread puts, one thread takes; each
 * owns its index and reads the other's (C11 acquire and release: what was written before an item
 * was put is seen by who takes it). Both indexes lie in cache lines of their own, and each side
 * keeps a copy of the other's, so that the line moves between the cores once a round and not once
 * an item.
 */
#ifndef SPANWATCH_RING_H
#define SPANWATCH_RING_H

#include "spanwatch/base.h"

struct base_ring;

/* A ring of `room` items (rounded up to a power of two) of `size` octets; NULL when memory is
 * short. */
struct base_ring *base_ring_new(size_t room, size_t size);
void base_ring_free(struct base_ring *r); /* both threads are done with it */

/* The putting thread: copy an item in; false, and nothing done, when the ring is full. */
bool base_ring_put(struct base_ring *r, const void *item);

/* The same, but room for `spare` other items must be left. */
bool base_ring_put_sparing(struct base_ring *r, const void *item, size_t spare);

/* The putting thread, in two steps: the place of the next item, NULL when no room for `spare`
 * others would be left; then it is put as it is there, filled as far as its reader will look. */
void *base_ring_place(struct base_ring *r, size_t spare);
void base_ring_put_placed(struct base_ring *r);

/* The putting thread: how many items may be put at least. */
size_t base_ring_free_items(struct base_ring *r);

/* The taking thread: the oldest item, in place, NULL when there is none. Valid until
 * base_ring_drop. */
const void *base_ring_first(struct base_ring *r);
void base_ring_drop(struct base_ring *r); /* the one that base_ring_first gave */

/* Items that the ring holds when it is full. */
size_t base_ring_room(const struct base_ring *r);

#endif
