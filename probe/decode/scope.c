/*
 * The decoder and its table of scopes: stacks of VLAN (later tunnel) layers and their numbers.
 *
 * Input: the layers met on the way to a segment. Output: a small number, the same for the same
 * layers. Ids are given in the order of arrival and never taken back; the table is one block of
 * which only the pages in use are touched. Single VLANs, the usual case, are looked up by their 12
 * bits; stacks by a keyed hash, as strangers choose them.
 */
#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

#include "walk.h"

enum {
    VLAN_IDS = 4096,
    SHARED_ID = DECODE_MAX_SCOPES - 1, /* of all that found no room; its layers are not known */
    SLOTS = 2 * DECODE_MAX_SCOPES      /* a power of two, never more than half full */
};

struct decoder {
    uint64_t key[2];
    uint64_t full;             /* packets that got SHARED_ID */
    uint32_t count;            /* ids given, id 0 included */
    uint32_t last;             /* the stack found last: packets come in runs */
    uint16_t single[VLAN_IDS]; /* id of the scope of this one VLAN; 0 is not yet given */
    uint16_t slot[SLOTS];      /* open addressing over the other scopes; 0 is free */
    struct decode_scope scope[DECODE_MAX_SCOPES];
};

static_assert(SHARED_ID <= UINT16_MAX, "ids fit the tables");

struct decoder *decode_new(void) {
    struct decoder *d = calloc(1, sizeof *d);
    if (d == NULL)
        return NULL;
    /* Without the system's randomness the address of the block is still hard to guess. */
    if (getrandom(d->key, sizeof d->key, 0) != (ssize_t)sizeof d->key)
        d->key[0] = (uintptr_t)d;
    d->count = 1;
    return d;
}

void decode_free(struct decoder *d) {
    free(d);
}

const struct decode_scope *decode_scope(const struct decoder *d, uint32_t id) {
    assert(id < d->count || id == SHARED_ID);
    return &d->scope[id];
}

uint64_t decode_scopes_full(const struct decoder *d) {
    return d->full;
}

static uint32_t add_scope(struct decoder *d, const struct decode_scope *scope) {
    if (d->count == SHARED_ID) {
        d->full++;
        return SHARED_ID;
    }
    struct decode_scope *mine = &d->scope[d->count];
    mine->layers = scope->layers;
    memcpy(mine->layer, scope->layer, scope->layers * sizeof scope->layer[0]);
    return d->count++;
}

static bool is_same(const struct decode_scope *a, const struct decode_scope *b) {
    if (a->layers != b->layers)
        return false;
    for (unsigned i = 0; i < a->layers; i++)
        if (a->layer[i].kind != b->layer[i].kind || a->layer[i].id != b->layer[i].id)
            return false;
    return true;
}

/* The structs have padding, so the hash runs over words made of their fields. */
static uint64_t hash_scope(const struct decoder *d, const struct decode_scope *scope) {
    uint64_t word[DECODE_MAX_LAYERS];
    for (unsigned i = 0; i < scope->layers; i++)
        word[i] = (uint64_t)scope->layer[i].kind << 32 | scope->layer[i].id;
    return base_siphash(d->key, word, scope->layers * sizeof word[0]);
}

static uint32_t find_stack(struct decoder *d, const struct decode_scope *scope) {
    if (is_same(scope, &d->scope[d->last]))
        return d->last;
    uint32_t i = (uint32_t)hash_scope(d, scope) % SLOTS;
    for (; d->slot[i] != 0; i = (i + 1) % SLOTS)
        if (is_same(scope, &d->scope[d->slot[i]]))
            return d->last = d->slot[i];
    uint32_t id = add_scope(d, scope);
    if (id != SHARED_ID)
        d->slot[i] = (uint16_t)id;
    return id;
}

static uint32_t find_vlan(struct decoder *d, const struct decode_scope *scope) {
    uint16_t *id = &d->single[scope->layer[0].id % VLAN_IDS];
    if (*id != 0)
        return *id;
    uint32_t fresh = add_scope(d, scope);
    if (fresh != SHARED_ID)
        *id = (uint16_t)fresh;
    return fresh;
}

uint32_t decode_scope_id(struct decoder *d, const struct decode_scope *scope) {
    if (scope->layers == 1 && scope->layer[0].kind == DECODE_LAYER_VLAN)
        return find_vlan(d, scope);
    return find_stack(d, scope);
}
