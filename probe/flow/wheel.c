/*
 * wheel: deadlines, a hierarchical timing wheel (Varghese and Lauck 1987) in front of a small heap.
 *
 * The wheel sorts coarsely (a tick is 2^24 ns, 17 ms; seven levels of 64 slots hold any time) at
 * constant cost; the slot whose time has come goes into the heap, which gives exact order: by
 * deadline, then by the flow's first packet. A deadline that moves later is not moved in the wheel:
 * the tracker finds it not due yet and sets it again, so a busy flow costs nothing here.
 */
#include "tracker.h"

#include <stdlib.h>

enum { FIRST_HEAP = 64 };

void wheel_init(struct wheel *w, struct pool *pool) {
    *w = (struct wheel){.pool = pool};
    for (int i = 0; i < WHEEL_LEVELS * WHEEL_SLOTS; i++)
        w->head[i] = FLOW_NONE;
}

void wheel_fini(struct wheel *w) {
    free(w->heap);
}

static bool due_before(const struct wheel_due *a, const struct wheel_due *b) {
    return a->deadline_ns != b->deadline_ns ? a->deadline_ns < b->deadline_ns
                                            : (int32_t)(a->serial - b->serial) < 0;
}

static void sift_up(struct wheel *w, size_t i, struct wheel_due d) {
    for (; i > 0 && due_before(&d, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = d;
}

static void sift_down(struct wheel *w, size_t i, struct wheel_due d) {
    for (size_t child; (child = 2 * i + 1) < w->due; i = child) {
        if (child + 1 < w->due && due_before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!due_before(&w->heap[child], &d))
            break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = d;
}

static int heap_add(struct wheel *w, uint32_t index) {
    struct flow *f = pool_at(w->pool, index);
    if (w->due == w->heap_room) {
        size_t room = w->heap_room ? w->heap_room * 2 : FIRST_HEAP;
        struct wheel_due *bigger = realloc(w->heap, room * sizeof *bigger);
        if (bigger == NULL)
            return -1;
        w->heap = bigger;
        w->heap_room = room;
    }
    f->wheel_slot = WHEEL_DUE;
    const char *body = (const char *)form_ends(w->pool, f); /* it will be looked at soon */
    if (body) {
        __builtin_prefetch(body);
        __builtin_prefetch(body + 64);
    }
    sift_up(w, w->due++, (struct wheel_due){f->deadline_ns, f->serial, index});
    return 0;
}

static void heap_drop(struct wheel *w, size_t i) {
    struct wheel_due last = w->heap[--w->due];
    if (i == w->due)
        return;
    if (i > 0 && due_before(&last, &w->heap[(i - 1) / 2]))
        sift_up(w, i, last);
    else
        sift_down(w, i, last);
}

/* The level at which `tick` differs from the wheel's, and the slot there. */
static unsigned slot_of(const struct wheel *w, uint64_t tick) {
    unsigned level = (unsigned)(63 - __builtin_clzll(tick ^ w->tick)) / WHEEL_BITS;
    return level * WHEEL_SLOTS + (unsigned)(tick >> (level * WHEEL_BITS)) % WHEEL_SLOTS;
}

static void link_in(struct wheel *w, uint32_t index, unsigned slot) {
    struct flow *f = pool_at(w->pool, index);
    f->wheel_slot = (uint16_t)slot;
    f->wheel_prev = FLOW_NONE;
    f->wheel_next = w->head[slot];
    if (f->wheel_next != FLOW_NONE)
        pool_at(w->pool, f->wheel_next)->wheel_prev = index;
    w->head[slot] = index;
    w->busy[slot / WHEEL_SLOTS] |= UINT64_C(1) << slot % WHEEL_SLOTS;
}

static int place(struct wheel *w, uint32_t index) {
    uint64_t tick = pool_at(w->pool, index)->deadline_ns >> WHEEL_TICK_BITS;
    if (tick <= w->tick)
        return heap_add(w, index);
    link_in(w, index, slot_of(w, tick));
    return 0;
}

void wheel_remove(struct wheel *w, uint32_t index) {
    struct flow *f = pool_at(w->pool, index);
    unsigned slot = f->wheel_slot;
    f->wheel_slot = WHEEL_OUT;
    f->deadline_ns = BASE_NEVER_NS;
    if (slot == WHEEL_OUT)
        return;
    if (slot == WHEEL_DUE) {
        size_t i = 0;
        while (w->heap[i].index != index)
            i++;
        heap_drop(w, i);
        return;
    }
    if (f->wheel_prev != FLOW_NONE)
        pool_at(w->pool, f->wheel_prev)->wheel_next = f->wheel_next;
    else if ((w->head[slot] = f->wheel_next) == FLOW_NONE)
        w->busy[slot / WHEEL_SLOTS] &= ~(UINT64_C(1) << slot % WHEEL_SLOTS);
    if (f->wheel_next != FLOW_NONE)
        pool_at(w->pool, f->wheel_next)->wheel_prev = f->wheel_prev;
}

int wheel_set(struct wheel *w, uint32_t index, uint64_t deadline_ns) {
    wheel_remove(w, index);
    if (deadline_ns == BASE_NEVER_NS)
        return 0;
    pool_at(w->pool, index)->deadline_ns = deadline_ns;
    return place(w, index);
}

/* The next tick up to `limit` at which some slot comes due, lowest level first. */
static bool next_busy(const struct wheel *w, uint64_t limit, uint64_t *tick, unsigned *level) {
    for (unsigned l = 0; l < WHEEL_LEVELS; l++) {
        unsigned here = (unsigned)(w->tick >> (l * WHEEL_BITS)) % WHEEL_SLOTS;
        uint64_t ahead = here == WHEEL_SLOTS - 1 ? 0 : w->busy[l] & (~UINT64_C(0) << (here + 1));
        uint64_t base = w->tick >> (l * WHEEL_BITS) >> WHEEL_BITS << WHEEL_BITS;
        if (ahead == 0)
            continue;
        *tick = (base + (unsigned)__builtin_ctzll(ahead)) << (l * WHEEL_BITS);
        *level = l;
        return *tick <= limit;
    }
    return false;
}

/* Move time to the next busy slot up to `limit` and empty it: into the heap, or down to finer
 * levels. */
static bool turn(struct wheel *w, uint64_t limit) {
    uint64_t tick;
    unsigned level;
    if (!next_busy(w, limit, &tick, &level)) {
        if (w->tick < limit)
            w->tick = limit;
        return false;
    }
    w->tick = tick;
    unsigned slot = level * WHEEL_SLOTS + (unsigned)(tick >> (level * WHEEL_BITS)) % WHEEL_SLOTS;
    uint32_t index = w->head[slot];
    w->head[slot] = FLOW_NONE;
    w->busy[level] &= ~(UINT64_C(1) << slot % WHEEL_SLOTS);
    while (index != FLOW_NONE) {
        uint32_t next = pool_at(w->pool, index)->wheel_next;
        pool_at(w->pool, index)->wheel_slot = WHEEL_OUT;
        if (place(w, index) != 0)
            pool_at(w->pool, index)->deadline_ns =
                BASE_NEVER_NS; /* no memory for the heap: its next segment sets it again */
        index = next;
    }
    return true;
}

uint32_t wheel_next(struct wheel *w, uint64_t now_ns, uint64_t *deadline_ns) {
    uint64_t limit = now_ns >> WHEEL_TICK_BITS;
    while (w->due == 0 || w->heap[0].deadline_ns > now_ns) {
        if (w->due > 0 && w->heap[0].deadline_ns >> WHEEL_TICK_BITS >= limit)
            return FLOW_NONE;
        if (w->tick >= limit || (!turn(w, limit) && w->due == 0))
            return FLOW_NONE;
    }
    uint32_t index = w->heap[0].index;
    *deadline_ns = w->heap[0].deadline_ns;
    struct flow *f = pool_at(w->pool, index);
    heap_drop(w, 0);
    f->wheel_slot = WHEEL_OUT;
    f->deadline_ns = BASE_NEVER_NS;
    return index;
}
