/*
 * table: from a key to a flow's index. Open addressing, linear probing over 8-octet slots, so that
 * a look-up costs one cache line of slots and the flow's own. The tag is the whole 32-bit hash: it
 * places the slot in any table up to 2^32, and a wrong flow is touched once in four thousand
 * million comparisons.
 *
 * Growing never stalls: a table of twice the size is taken (zeroed by the kernel, page by page when
 * touched) and each insertion moves a few slots of the old one; look-ups ask the new, then the old.
 * Since insertions go everywhere, a batch of the first of them would touch as many pages as it has
 * packets: so a table's pages are touched one after the other by the last insertions before it is
 * needed.
 */
#include "tracker.h"

enum {
    FIRST_SLOTS = 4096,
    MOVE_SLOTS = 16, /* a growing table is done long before it is full again: 2 would do */
    FULL_NUMERATOR = 5,
    FULL_DENOMINATOR = 8, /* linear probing stays short below this load */
    AHEAD =
        64, /* of so many slots one is filled between the taking of the next table and its use */
    PAGE = 4096,
    TOUCH = 2 * AHEAD * sizeof(struct table_slot) /* octets an insertion: all of them by then */
};

#define SLOT_GONE UINT32_MAX

static size_t octets_of(uint32_t mask) {
    return (mask + (size_t)1) * sizeof(struct table_slot);
}

static struct table_slot *slots_take(const struct table *t, uint32_t mask) {
    return pages_take(octets_of(mask), t->pool->flow.huge);
}

static void slots_give(struct table_slot *slot, uint32_t mask) {
    pages_give(slot, octets_of(mask));
}

int table_init(struct table *t, const struct pool *pool) {
    *t = (struct table){.mask = FIRST_SLOTS - 1, .pool = pool};
    t->slot = slots_take(t, t->mask);
    return t->slot ? 0 : -1;
}

void table_fini(struct table *t) {
    slots_give(t->slot, t->mask);
    slots_give(t->old, t->old_mask);
    slots_give(t->next, t->mask * 2 + 1);
}

uint64_t table_memory(const struct table *t) {
    return octets_of(t->mask) + (t->old ? octets_of(t->old_mask) : 0) + t->touched;
}

static uint32_t find_in(const struct table *t, const struct table_slot *slot, uint32_t mask,
                        const struct flow_key *k) {
    for (uint32_t i = k->hash & mask; slot[i].index != 0; i = (i + 1) & mask)
        if (slot[i].tag == k->hash && slot[i].index != SLOT_GONE &&
            flow_key_equal(pool_at(t->pool, slot[i].index - 1), t->pool, k))
            return slot[i].index - 1;
    return FLOW_NONE;
}

uint32_t table_find(const struct table *t, const struct flow_key *k) {
    uint32_t index = find_in(t, t->slot, t->mask, k);
    if (index == FLOW_NONE && t->old)
        index = find_in(t, t->old, t->old_mask, k);
    return index;
}

uint32_t table_guess(const struct table *t, uint32_t hash) {
    for (uint32_t i = hash & t->mask; t->slot[i].index != 0; i = (i + 1) & t->mask)
        if (t->slot[i].tag == hash)
            return t->slot[i].index - 1;
    return FLOW_NONE;
}

static void put(struct table_slot *slot, uint32_t mask, struct table_slot s) {
    uint32_t i = s.tag & mask;
    while (slot[i].index != 0)
        i = (i + 1) & mask;
    slot[i] = s;
}

static void move_some(struct table *t) {
    for (int n = 0; n < MOVE_SLOTS && t->old; n++) {
        struct table_slot *s = &t->old[t->moved];
        if (s->index != 0 && s->index != SLOT_GONE) {
            put(t->slot, t->mask, *s);
            s->index = SLOT_GONE;
        }
        if (t->moved++ == t->old_mask) {
            slots_give(t->old, t->old_mask);
            t->old = NULL;
        }
    }
}

/* Some more of the next table. */
static void prepare(struct table *t) {
    uint32_t mask = t->mask * 2 + 1;
    if (t->next == NULL && mask != UINT32_MAX)
        t->next = slots_take(t, mask);
    if (t->next == NULL || t->touched >= octets_of(mask))
        return;
    if (t->touched % PAGE == 0)
        t->next[t->touched / sizeof *t->next] = (struct table_slot){0, 0};
    t->touched += TOUCH;
}

static int grow(struct table *t) {
    prepare(t);
    if (t->next == NULL)
        return -1;
    t->old = t->slot;
    t->old_mask = t->mask;
    t->moved = 0;
    t->slot = t->next;
    t->mask = t->mask * 2 + 1;
    t->next = NULL;
    t->touched = 0;
    return 0;
}

/* So many entries that the table, or what may be filled of it, is full. */
static bool is_full(const struct table *t, uint32_t spare) {
    return ((uint64_t)t->used + spare) * FULL_DENOMINATOR >= (t->mask + 1ull) * FULL_NUMERATOR;
}

int table_insert(struct table *t, uint32_t hash, uint32_t index) {
    if (t->old)
        move_some(t);
    else if (is_full(t, 0) && grow(t) != 0 &&
             t->used >= t->mask) /* without room for twice the slots, go on until one is left */
        return -1;
    else if (is_full(t, t->mask / AHEAD))
        prepare(t);
    put(t->slot, t->mask, (struct table_slot){hash, index + 1});
    t->used++;
    return 0;
}

/* Take slot i out and let those behind it move up, so that no probe meets a hole before its goal
 * (Knuth 6.4, algorithm R). */
static void close_gap(struct table_slot *slot, uint32_t mask, uint32_t i) {
    for (uint32_t j = i;;) {
        j = (j + 1) & mask;
        if (slot[j].index == 0)
            break;
        uint32_t home = slot[j].tag & mask;
        if (((j - home) & mask) >= ((j - i) & mask)) {
            slot[i] = slot[j];
            i = j;
        }
    }
    slot[i].index = 0;
}

void table_erase(struct table *t, uint32_t hash, uint32_t index) {
    t->used--;
    for (uint32_t i = hash & t->mask; t->slot[i].index != 0; i = (i + 1) & t->mask)
        if (t->slot[i].index == index + 1) {
            close_gap(t->slot, t->mask, i);
            return;
        }
    for (uint32_t i = hash & t->old_mask; t->old && t->old[i].index != 0; i = (i + 1) & t->old_mask)
        if (t->old[i].index == index + 1)
            t->old[i].index = SLOT_GONE;
}
