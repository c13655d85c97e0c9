/*
 * cmdb_pairs (private): the fields of one hash, sorted, to be compared with another.
 */
#ifndef SPANWATCH_STORE_CMDB_PAIRS_H
#define SPANWATCH_STORE_CMDB_PAIRS_H

#include "spanwatch/store_cmdb.h"

struct cmdb_pair {
    char *key, *value; /* owned */
};

struct cmdb_pairs {
    struct cmdb_pair *pair;
    size_t count, room;
    bool short_of_memory; /* some could not be kept: what is there is not to be used */
};

/* Both texts are copied; they are `key_octets` and `value_octets` long. */
void cmdb_pairs_add(struct cmdb_pairs *p, const char *key, size_t key_octets, const char *value,
                    size_t value_octets);

/* Sort by key; of equal keys the first that was added stays. */
void cmdb_pairs_sort(struct cmdb_pairs *p);

/* Tell what makes `now` of `was`, both sorted. Returns the number of changes. */
size_t cmdb_pairs_compare(const struct cmdb_pairs *was, const struct cmdb_pairs *now,
                          bool is_client, store_cmdb_visit *visit, void *context);

void cmdb_pairs_fini(struct cmdb_pairs *p);

#endif
