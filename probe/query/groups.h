/*
 * groups: counting connections by what they have in common.
 */
#ifndef QUERY_GROUPS_H
#define QUERY_GROUPS_H

#include "kinds.h"

struct query_state_count;

struct query_group {
    int64_t count;
    uint64_t last_ns;                /* of clients: the newest change known */
    struct query_state_count *state; /* of clients; owned */
    size_t states, n;                /* n: octets of the key */
    char key[];
};

struct query_groups { /* open addressing; the groups are owned */
    struct query_group **slot;
    size_t slots, count;
};

/* The group of a key, made if it is not there. NULL with `error`: too many, or memory is short. */
struct query_group *query_group_find(struct query_groups *g, const char *key, size_t n,
                                     struct base_error *error);
void query_groups_clear(struct query_groups *g);

/* What a connection is counted by. */
struct query_what_counts {
    struct query_place client, server;
    uint32_t service;
    uint8_t state[2];
};

/* Add `n` connections (or take away) to the group of the summary's keys. */
int query_group_count(struct query_run *r, struct query_groups *g,
                      const struct query_what_counts *w, int64_t n, struct base_error *error);

/*
 * Counting from the snapshots' groups: may it be tried for this question, and do it. *exact false:
 * the store does not allow it this time, and the groups are of no worth.
 */
bool query_counts_may(const struct query_run *r);
int query_counts_read(struct query_run *r, struct query_groups *g, bool *exact,
                      struct base_error *error);

#endif
