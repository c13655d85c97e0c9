/*
 * table: from a key to a flow's index.
 */
#ifndef SPANWATCH_FLOW_TABLE_H
#define SPANWATCH_FLOW_TABLE_H

#include "pool.h"

/* ---- table.c: open addressing over buckets of slots, growing a few buckets at a time ---- */
enum { TABLE_SLOTS = 8 };
struct table_bucket {
    _Alignas(64) uint32_t tag[TABLE_SLOTS]; /* the key's hash: place and first comparison in one */
    uint32_t index[TABLE_SLOTS]; /* + 1; 0 is empty, UINT32_MAX was moved away or erased (old array
                                    only); empty slots come last */
};
static_assert(sizeof(struct table_bucket) == 64, "a search touches one line");
struct table {
    struct table_bucket *bucket, *old,
        *next;                            /* next: of twice the size, for when this one is full */
    uint32_t mask, old_mask, used, moved; /* moved: buckets of old that are done */
    size_t touched;                       /* octets of next that are there */
    const struct pool *pool;
};
int table_init(struct table *t, const struct pool *pool);
void table_fini(struct table *t);
uint64_t table_memory(const struct table *t);
uint32_t table_find(const struct table *t, const struct flow_key *k); /* FLOW_NONE */
int table_insert(struct table *t, uint32_t hash, uint32_t index);     /* -1: memory is short */
void table_erase(struct table *t, uint32_t hash, uint32_t index);
static inline void table_prefetch(const struct table *t, uint32_t hash) {
    __builtin_prefetch(&t->bucket[hash & t->mask]);
}
/* The index + 1 in the slot whose tag fits; 0 where none does; of several, their bits together. No
 * branch, and all slots at once. */
static inline uint32_t table_match(const struct table_bucket *b, uint32_t hash) {
    typedef uint32_t four __attribute__((vector_size(16)));
    typedef uint64_t two __attribute__((vector_size(16)));
    static_assert(TABLE_SLOTS == 8, "two vectors of each");
    four tag[2], index[2], all = {hash, hash, hash, hash};
    memcpy(tag, b->tag, sizeof tag);
    memcpy(index, b->index, sizeof index);
    two match = (two)(((four)(tag[0] == all) & index[0]) | ((four)(tag[1] == all) & index[1]));
    uint64_t both = match[0] | match[1];
    return (uint32_t)(both | both >> 32);
}
/* The flow whose tag fits in the first bucket: to be fetched early, and to be checked before use.
 * FLOW_NONE: it is elsewhere, or not there. */
static inline uint32_t table_guess(const struct table *t, uint32_t hash) {
    uint32_t index = table_match(&t->bucket[hash & t->mask], hash) - 1;
    return index < t->pool->flow.top ? index : FLOW_NONE;
}

#endif
