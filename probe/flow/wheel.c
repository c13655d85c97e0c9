/*
 * wheel: deadlines, a hierarchical timing wheel (Varghese and Lauck 1987) in front of a small heap.
 *
 * The wheel sorts coarsely, at constant cost: a ring of slots of a tick (2^24 ns, 17 ms) holds the
 * next 137 s, TIME_WAIT and all timers of open and closing connections among them; levels of 64
 * slots above it hold any later time. The slot of the ring whose tick has come goes into the heap,
 * which gives exact order: by deadline, then by the flow's first packet. A deadline that moves
 * later is not moved in the wheel: the tracker finds it not due yet and sets it again, so a busy
 * flow costs nothing here.
 *
 * No slot of a level moves as a whole, as there may be a million flows in it and packets wait
 * meanwhile. A slot of a level is half as long as all that lies below, so the one that follows the
 * present fits there from the moment at which the present one begins: it is emptied bit by bit, as
 * time goes on, and no flow is put into it any more.
 */
#include "wheel.h"

#include <stdlib.h>

enum { FIRST_HEAP = 64 };

void wheel_init(struct wheel *w, struct pool *pool) {
    *w = (struct wheel){.pool = pool};
    for (int i = 0; i < WHEEL_ALL; i++)
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
    form_fetch_body(w->pool, f); /* it will be looked at soon */
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

/* A slot of a level is 2^shift ticks. */
static unsigned shift_of(unsigned level) {
    return WHEEL_RING_BITS - 1 + level * (WHEEL_BITS - 1);
}

static unsigned level_slot(unsigned level, uint64_t number) {
    return WHEEL_RING + level * WHEEL_SLOTS + (unsigned)(number % WHEEL_SLOTS);
}

/* The lowest that reaches so far. */
static unsigned slot_of(const struct wheel *w, uint64_t tick) {
    if (tick - w->tick < WHEEL_RING)
        return (unsigned)(tick % WHEEL_RING);
    unsigned level = 0;
    while ((tick >> shift_of(level)) - (w->tick >> shift_of(level)) >= WHEEL_SLOTS)
        level++;
    return level_slot(level, tick >> shift_of(level));
}

static void link_in(struct wheel *w, uint32_t index, unsigned slot) {
    struct flow *f = pool_at(w->pool, index);
    f->wheel_slot = (uint16_t)slot;
    f->wheel_prev = FLOW_NONE;
    f->wheel_next = w->head[slot];
    if (f->wheel_next != FLOW_NONE)
        pool_at(w->pool, f->wheel_next)->wheel_prev = index;
    w->head[slot] = index;
    w->busy[slot / 64] |= UINT64_C(1) << slot % 64;
    if (slot >= WHEEL_RING)
        w->count[slot - WHEEL_RING]++;
}

static void link_out(struct wheel *w, const struct flow *f, unsigned slot) {
    if (f->wheel_prev != FLOW_NONE)
        pool_at(w->pool, f->wheel_prev)->wheel_next = f->wheel_next;
    else if ((w->head[slot] = f->wheel_next) == FLOW_NONE)
        w->busy[slot / 64] &= ~(UINT64_C(1) << slot % 64);
    if (f->wheel_next != FLOW_NONE)
        pool_at(w->pool, f->wheel_next)->wheel_prev = f->wheel_prev;
    if (slot >= WHEEL_RING)
        w->count[slot - WHEEL_RING]--;
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
    } else {
        link_out(w, f, slot);
    }
}

int wheel_set(struct wheel *w, uint32_t index, uint64_t deadline_ns) {
    wheel_remove(w, index);
    if (deadline_ns == BASE_NEVER_NS)
        return 0;
    pool_at(w->pool, index)->deadline_ns = deadline_ns;
    return place(w, index);
}

/* ---- time goes on ---- */

/* The next tick up to `limit` whose slot in the ring is not empty; else `limit`. */
static uint64_t next_in_ring(const struct wheel *w, uint64_t limit) {
    for (uint64_t tick = w->tick + 1; tick <= limit && tick - w->tick < WHEEL_RING;
         tick = (tick / 64 + 1) * 64) {
        uint64_t ahead = w->busy[tick % WHEEL_RING / 64] >> tick % 64;
        if (ahead != 0 && tick + (unsigned)__builtin_ctzll(ahead) < limit)
            return tick + (unsigned)__builtin_ctzll(ahead);
        if (ahead != 0)
            break;
    }
    return limit;
}

/* When the level's slot that is being emptied must be empty, or the next one is to be; never. */
static uint64_t next_of_level(const struct wheel *w, unsigned level) {
    uint64_t busy = w->busy[WHEEL_RING / 64 + level], now = w->tick >> shift_of(level);
    unsigned next = (now + 1) % WHEEL_SLOTS;
    if (busy == 0)
        return UINT64_MAX;
    unsigned ahead = (unsigned)__builtin_ctzll(busy >> next | busy << (WHEEL_SLOTS - next) % 64);
    return (now + (ahead > 1 ? ahead : 1)) << shift_of(level);
}

/* Into the heap, or down to where it is sorted more finely. */
static void move(struct wheel *w, uint32_t index) {
    struct flow *f = pool_at(w->pool, index);
    link_out(w, f, f->wheel_slot);
    f->wheel_slot = WHEEL_OUT;
    if (place(w, index) != 0)
        f->deadline_ns = BASE_NEVER_NS; /* no memory for the heap: its next segment sets it again */
}

/* Of `flows` to be moved until `left` ticks are over, those whose turn it is when `passed` are. */
static uint64_t share_of(uint64_t flows, uint64_t passed, uint64_t left) {
    if (flows == 0 || passed >= left)
        return flows;
    return (uint64_t)(((unsigned __int128)flows * passed + left - 1) / left);
}

/* Time has gone on since `from`: so much of what follows is sorted more finely now that all is by
 * the time its slot begins. */
static void sort_ahead(struct wheel *w, uint64_t from) {
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        uint64_t number = (from >> shift_of(level)) + 1;
        unsigned slot = level_slot(level, number);
        uint64_t left = (number << shift_of(level)) - from,
                 flows = share_of(w->count[slot - WHEEL_RING], w->tick - from, left);
        for (; flows > 0; flows--)
            move(w, w->head[slot]);
    }
}

/* To the next tick up to `limit` at which there is something to do. */
static void turn(struct wheel *w, uint64_t limit) {
    uint64_t from = w->tick, to = next_in_ring(w, limit);
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        uint64_t next = next_of_level(w, level);
        to = next < to ? next : to;
    }
    w->tick = to;
    sort_ahead(w, from);
    unsigned slot = (unsigned)(to % WHEEL_RING);
    while (w->head[slot] != FLOW_NONE)
        move(w, w->head[slot]);
}

uint32_t wheel_next(struct wheel *w, uint64_t now_ns, uint64_t *deadline_ns) {
    uint64_t limit = now_ns >> WHEEL_TICK_BITS;
    while (w->due == 0 || w->heap[0].deadline_ns > now_ns) {
        if (w->tick >= limit)
            return FLOW_NONE;
        turn(w, limit);
    }
    uint32_t index = w->heap[0].index;
    *deadline_ns = w->heap[0].deadline_ns;
    struct flow *f = pool_at(w->pool, index);
    heap_drop(w, 0);
    f->wheel_slot = WHEEL_OUT;
    f->deadline_ns = BASE_NEVER_NS;
    return index;
}
