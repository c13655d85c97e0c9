/*
 * index: from a hash to entries of a dense array. Owner: whoever owns the array.
 */
#ifndef SPANWATCH_ALARM_INDEX_H
#define SPANWATCH_ALARM_INDEX_H

#include "spanwatch/base.h"

enum { NONE = -1 /* no entry, service, tap */ };

struct alarm_index {
    struct index_slot {
        uint32_t tag, entry; /* entry + 1; 0 is empty */
    } * slot;
    uint32_t mask, used;
};
int index_init(struct alarm_index *x);
void index_fini(struct alarm_index *x);
int index_insert(struct alarm_index *x, uint32_t tag, uint32_t entry); /* -1: memory is short */
void index_remove(struct alarm_index *x, uint32_t tag, uint32_t entry);
/* Where the search for a tag begins: to be fetched. */
static inline const struct index_slot *index_home(const struct alarm_index *x, uint32_t tag) {
    return &x->slot[tag & x->mask];
}
/* The entries of a tag, one a call: `at` begins as the tag. NONE at the end. */
static inline int64_t index_next(const struct alarm_index *x, uint32_t tag, uint32_t *at) {
    for (;;) {
        const struct index_slot *s = &x->slot[*at & x->mask];
        if (s->entry == 0)
            return NONE;
        ++*at;
        if (s->tag == tag)
            return s->entry - 1;
    }
}
uint32_t index_hash(const void *data, size_t n, uint32_t more);
static inline uint32_t index_mix(uint32_t x, uint32_t y) { /* the same for two numbers */
    unsigned __int128 m =
        (unsigned __int128)((uint64_t)y << 32 ^ x ^ 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;
    return (uint32_t)((uint64_t)m ^ (uint64_t)(m >> 64));
}

#endif
