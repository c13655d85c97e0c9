/*
 * wheel: deadlines.
 */
#ifndef SPANWATCH_FLOW_WHEEL_H
#define SPANWATCH_FLOW_WHEEL_H

#include "pool.h"

/* ---- wheel.c: deadlines ---- */
enum {
    WHEEL_TICK_BITS = 24, /* 17 ms */
    WHEEL_RING_BITS = 13, /* 137 s in slots of a tick */
    WHEEL_RING = 1 << WHEEL_RING_BITS,
    WHEEL_BITS = 6,
    WHEEL_SLOTS = 1 << WHEEL_BITS,
    WHEEL_LEVELS = 6, /* of slots twice as long as half of what lies below: all 40 bits of a tick */
    WHEEL_ALL = WHEEL_RING + WHEEL_LEVELS * WHEEL_SLOTS,
    WHEEL_OUT = 0xffff,
    WHEEL_DUE = 0xfffe
};
struct wheel_due {
    uint64_t deadline_ns;
    uint32_t serial, index;
};
struct wheel {
    uint32_t head[WHEEL_ALL];                   /* the ring's slots, then each level's */
    uint64_t busy[WHEEL_ALL / 64];              /* a bit a slot that is not empty */
    uint32_t count[WHEEL_LEVELS * WHEEL_SLOTS]; /* flows in a level's slot */
    uint64_t tick;                              /* all before and in this tick is in the heap */
    struct wheel_due *heap;
    size_t due, heap_room;
    struct pool *pool;
};
void wheel_init(struct wheel *w, struct pool *pool);
void wheel_fini(struct wheel *w);
/* Look at flow `index` at deadline_ns at the latest; replaces an earlier call. -1: memory is short.
 */
int wheel_set(struct wheel *w, uint32_t index, uint64_t deadline_ns);
void wheel_remove(struct wheel *w, uint32_t index);
/* Nothing can be due at now_ns: the usual answer, without a call. */
static inline bool wheel_is_quiet(const struct wheel *w, uint64_t now_ns) {
    return now_ns >> WHEEL_TICK_BITS <= w->tick && (w->due == 0 || w->heap[0].deadline_ns > now_ns);
}
/* The next flow whose deadline is at or before now_ns, taken out of the wheel, and that deadline;
 * FLOW_NONE. In order of deadline, then serial. */
uint32_t wheel_next(struct wheel *w, uint64_t now_ns, uint64_t *deadline_ns);

#endif
