/*
 * table: from a key to a flow's index. Open addressing over buckets of eight slots, each bucket a
 * cache line, so that a look-up costs one line of slots and the flow's own, and finds a slot
 * without a branch that a processor would have to guess (table_guess). The tag is the whole 32-bit
 * hash: it names the bucket in any table up to 2^32 of them, and a wrong flow is touched once in
 * four thousand million comparisons. A bucket's slots are filled from the first; of a full one the
 * rest goes to the next bucket that is not.
 *
 * Growing never stalls: a table of twice the size is taken (zeroed by the kernel, page by page when
 * touched) and each insertion moves a few slots of the old one; look-ups ask the new, then the old.
 * Since insertions go everywhere, a batch of the first of them would touch as many pages as it has
 * packets: so a table's pages are touched one after the other by the last insertions before it is
 * needed.
 */
#include "table.h"

enum {
    FIRST_BUCKETS = 512,
    MOVE_BUCKETS = 2, /* a growing table is done long before it is full again: one would do */
    FULL_NUMERATOR = 5,
    FULL_DENOMINATOR = 8, /* below this load few buckets are full */
    LAST = TABLE_SLOTS - 1,
    AHEAD =
        64, /* of so many slots one is filled between the taking of the next table and its use */
    PAGE = 4096,
    TOUCH = 2 * AHEAD * (sizeof(struct table_bucket) / TABLE_SLOTS) /* octets an insertion: all of
                                                                       them by then */
};

#define SLOT_GONE UINT32_MAX

static size_t octets_of(uint32_t mask) {
    return (mask + (size_t)1) * sizeof(struct table_bucket);
}

static uint64_t slots_of(uint32_t mask) {
    return (mask + UINT64_C(1)) * TABLE_SLOTS;
}

static struct table_bucket *buckets_take(const struct table *t, uint32_t mask) {
    struct table_bucket *bucket = pages_take(octets_of(mask), t->pool->ahead != NULL);
    if (bucket != NULL && octets_of(mask) >= PAGES_HUGE)
        ahead_fetch(t->pool->ahead, bucket, octets_of(mask));
    return bucket;
}

static void buckets_give(struct table_bucket *bucket, uint32_t mask) {
    pages_give(bucket, octets_of(mask));
}

int table_init(struct table *t, const struct pool *pool) {
    *t = (struct table){.mask = FIRST_BUCKETS - 1, .pool = pool};
    t->bucket = buckets_take(t, t->mask);
    return t->bucket ? 0 : -1;
}

void table_fini(struct table *t) {
    buckets_give(t->bucket, t->mask);
    buckets_give(t->old, t->old_mask);
    buckets_give(t->next, t->mask * 2 + 1);
}

uint64_t table_memory(const struct table *t) {
    return octets_of(t->mask) + (t->old ? octets_of(t->old_mask) : 0) + t->touched;
}

static bool is_full_bucket(const struct table_bucket *b) {
    return b->index[LAST] != 0;
}

static uint32_t find_in_bucket(const struct table *t, const struct table_bucket *b,
                               const struct flow_key *k) {
    for (unsigned i = 0; i < TABLE_SLOTS; i++)
        if (b->tag[i] == k->hash && b->index[i] != 0 && b->index[i] != SLOT_GONE &&
            flow_key_equal(pool_at(t->pool, b->index[i] - 1), t->pool, k))
            return b->index[i] - 1;
    return FLOW_NONE;
}

static uint32_t find_in(const struct table *t, const struct table_bucket *bucket, uint32_t mask,
                        const struct flow_key *k) {
    for (uint32_t at = k->hash & mask;; at = (at + 1) & mask) {
        const struct table_bucket *b = &bucket[at];
        uint32_t index = table_match(b, k->hash) != 0 ? find_in_bucket(t, b, k) : FLOW_NONE;
        if (index != FLOW_NONE || !is_full_bucket(b))
            return index;
    }
}

uint32_t table_find(const struct table *t, const struct flow_key *k) {
    uint32_t index = find_in(t, t->bucket, t->mask, k);
    if (index == FLOW_NONE && t->old)
        index = find_in(t, t->old, t->old_mask, k);
    return index;
}

/* How many of its slots are filled: the first ones. */
static unsigned filled(const struct table_bucket *b) {
    unsigned n = 0;
    for (unsigned i = 0; i < TABLE_SLOTS; i++)
        n += b->index[i] != 0;
    return n;
}

static void put(struct table_bucket *bucket, uint32_t mask, uint32_t tag, uint32_t index) {
    uint32_t at = tag & mask;
    while (is_full_bucket(&bucket[at]))
        at = (at + 1) & mask;
    unsigned i = filled(&bucket[at]);
    bucket[at].tag[i] = tag;
    bucket[at].index[i] = index;
}

static void move_bucket(struct table *t, struct table_bucket *b) {
    for (unsigned i = 0; i < TABLE_SLOTS && b->index[i] != 0; i++) {
        if (b->index[i] != SLOT_GONE)
            put(t->bucket, t->mask, b->tag[i], b->index[i]);
        b->index[i] = SLOT_GONE; /* and the bucket as full as it was */
    }
}

static void move_some(struct table *t) {
    for (int n = 0; n < MOVE_BUCKETS && t->old; n++) {
        move_bucket(t, &t->old[t->moved]);
        if (t->moved++ == t->old_mask) {
            buckets_give(t->old, t->old_mask);
            t->old = NULL;
        }
    }
}

/* Some more of the next table. */
static void prepare(struct table *t) {
    uint32_t mask = t->mask * 2 + 1;
    if (t->next == NULL && mask != UINT32_MAX)
        t->next = buckets_take(t, mask);
    if (t->next == NULL || t->touched >= octets_of(mask))
        return;
    if (t->touched % PAGE == 0)
        t->next[t->touched / sizeof *t->next].tag[0] = 0;
    t->touched += TOUCH;
}

static int grow(struct table *t) {
    prepare(t);
    if (t->next == NULL)
        return -1;
    t->old = t->bucket;
    t->old_mask = t->mask;
    t->moved = 0;
    t->bucket = t->next;
    t->mask = t->mask * 2 + 1;
    t->next = NULL;
    t->touched = 0;
    return 0;
}

/* So many entries that the table, or what may be filled of it, is full. */
static bool is_full(const struct table *t, uint64_t spare) {
    return (t->used + spare) * FULL_DENOMINATOR >= slots_of(t->mask) * FULL_NUMERATOR;
}

int table_insert(struct table *t, uint32_t hash, uint32_t index) {
    if (t->old)
        move_some(t);
    else if (is_full(t, 0) && grow(t) != 0 &&
             t->used + 1 >=
                 slots_of(t->mask)) /* without room for twice the slots, go on until one is left */
        return -1;
    else if (is_full(t, slots_of(t->mask) / AHEAD))
        prepare(t);
    put(t->bucket, t->mask, hash, index + 1);
    t->used++;
    return 0;
}

/* One that lies behind bucket `at` and would lie there, or before, had there been room: the bucket
 * and slot that it has. False: none. */
static bool find_behind(const struct table_bucket *bucket, uint32_t mask, uint32_t at, uint32_t *b,
                        unsigned *i) {
    *b = at;
    while (is_full_bucket(&bucket[*b])) {
        *b = (*b + 1) & mask;
        for (*i = 0; *i < TABLE_SLOTS && bucket[*b].index[*i] != 0; ++*i) {
            uint32_t home = bucket[*b].tag[*i] & mask;
            if (((*b - home) & mask) >= ((*b - at) & mask))
                return true;
        }
    }
    return false;
}

/* Take a slot out and let one behind it move up, so that no search ends before its goal (Knuth 6.4,
 * algorithm R, by buckets). */
static void close_gap(struct table_bucket *bucket, uint32_t mask, uint32_t at, unsigned i) {
    uint32_t next;
    unsigned j;
    while (find_behind(bucket, mask, at, &next, &j)) {
        bucket[at].tag[i] = bucket[next].tag[j];
        bucket[at].index[i] = bucket[next].index[j];
        at = next;
        i = j;
    }
    unsigned last = filled(&bucket[at]) - 1;
    bucket[at].tag[i] = bucket[at].tag[last];
    bucket[at].index[i] = bucket[at].index[last];
    bucket[at].index[last] = 0;
}

/* Where the slot of a flow is, in one of the arrays. False: it is in the other one. */
static bool locate(const struct table_bucket *bucket, uint32_t mask, uint32_t hash, uint32_t index,
                   uint32_t *at, unsigned *i) {
    for (*at = hash & mask;; *at = (*at + 1) & mask) {
        for (*i = 0; *i < TABLE_SLOTS; ++*i)
            if (bucket[*at].index[*i] == index + 1)
                return true;
        if (!is_full_bucket(&bucket[*at]))
            return false;
    }
}

void table_erase(struct table *t, uint32_t hash, uint32_t index) {
    uint32_t at;
    unsigned i;
    t->used--;
    if (locate(t->bucket, t->mask, hash, index, &at, &i))
        close_gap(t->bucket, t->mask, at, i);
    else if (t->old && locate(t->old, t->old_mask, hash, index, &at, &i))
        t->old[at].index[i] = SLOT_GONE;
}
