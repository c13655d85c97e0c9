/*
 * The fields of a hash in memory (cmdb_pairs.h): collected in any order, sorted, compared by
 * walking two of them side by side.
 */
#include "cmdb_pairs.h"

#include <stdlib.h>
#include <string.h>

void cmdb_pairs_add(struct cmdb_pairs *p, const char *key, size_t key_octets, const char *value,
                    size_t value_octets) {
    if (p->count == p->room) {
        size_t room = p->room > 0 ? 2 * p->room : 64;
        struct cmdb_pair *grown = reallocarray(p->pair, room, sizeof *grown);
        if (grown == NULL) {
            p->short_of_memory = true;
            return;
        }
        p->pair = grown;
        p->room = room;
    }
    struct cmdb_pair new = {strndup(key, key_octets), strndup(value, value_octets)};
    if (new.key != NULL &&new.value != NULL) {
        p->pair[p->count++] = new;
        return;
    }
    free(new.key);
    free(new.value);
    p->short_of_memory = true;
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(((const struct cmdb_pair *)a)->key, ((const struct cmdb_pair *)b)->key);
}

/* HSCAN may return a field twice, with one value unless it is being changed. */
void cmdb_pairs_sort(struct cmdb_pairs *p) {
    size_t kept = 0;
    if (p->count > 0)
        qsort(p->pair, p->count, sizeof *p->pair, compare_keys);
    for (size_t i = 0; i < p->count; i++) {
        if (kept > 0 && strcmp(p->pair[kept - 1].key, p->pair[i].key) == 0) {
            free(p->pair[i].key);
            free(p->pair[i].value);
        } else {
            p->pair[kept++] = p->pair[i];
        }
    }
    p->count = kept;
}

/* Which of the two has the next key: negative the first, positive the second, 0 both. */
static int compare_heads(const struct cmdb_pairs *a, size_t i, const struct cmdb_pairs *b,
                         size_t j) {
    if (i == a->count || j == b->count)
        return i == a->count ? 1 : -1;
    return strcmp(a->pair[i].key, b->pair[j].key);
}

size_t cmdb_pairs_compare(const struct cmdb_pairs *was, const struct cmdb_pairs *now,
                          bool is_client, store_cmdb_visit *visit, void *context) {
    size_t i = 0, j = 0, changes = 0;
    while (i < was->count || j < now->count) {
        int order = compare_heads(was, i, now, j);
        struct store_cmdb_change change = {.is_client = is_client,
                                           .key = order <= 0 ? was->pair[i].key : now->pair[j].key,
                                           .was = order <= 0 ? was->pair[i].value : NULL,
                                           .is = order >= 0 ? now->pair[j].value : NULL};
        i += order <= 0;
        j += order >= 0;
        if (order == 0 && strcmp(change.was, change.is) == 0)
            continue;
        changes++;
        if (visit != NULL)
            visit(context, &change);
    }
    return changes;
}

void cmdb_pairs_fini(struct cmdb_pairs *p) {
    for (size_t i = 0; i < p->count; i++) {
        free(p->pair[i].key);
        free(p->pair[i].value);
    }
    free(p->pair);
    *p = (struct cmdb_pairs){0};
}
