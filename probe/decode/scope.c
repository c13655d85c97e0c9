/*
 * The table of scopes: stacks of VLAN and tunnel layers and their numbers.
 *
 * Input: the layers met on the way to a segment. Output: a small number, the same for the same
 * layers. Layers that do not count by configuration are left out before. Ids are given in the order
 * of arrival and never taken back; the table is one block of which only the pages in use are
 * touched. Single VLANs, the usual case, are looked up by their 12 bits; stacks by a keyed hash, as
 * strangers choose them.
 */
#include <assert.h>
#include <stdlib.h>

#include "walk.h"

enum {
    VLAN_IDS = 4096,
    SHARED_ID = DECODE_MAX_SCOPES - 1, /* of all that found no room; its layers are not known */
    SLOTS = 2 * DECODE_MAX_SCOPES      /* a power of two, never more than half full */
};

struct scopes {
    uint64_t key[2];
    uint64_t full;             /* packets that got SHARED_ID */
    _Atomic uint32_t count;    /* ids given, id 0 included; live, the main thread reads along */
    uint32_t last;             /* the stack found last: packets come in runs */
    uint8_t vlan, tunnel;      /* which layers count: enum decode_identity */
    bool reduces;              /* not all of them do */
    uint16_t single[VLAN_IDS]; /* id of the scope of this one VLAN; 0 is not yet given */
    uint16_t slot[SLOTS];      /* open addressing over the other scopes; 0 is free */
    struct decode_scope scope[DECODE_MAX_SCOPES];
};

static_assert(SHARED_ID <= UINT16_MAX, "ids fit the tables");

struct scopes *decode_scopes_new(void) {
    struct scopes *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    decode_new_key(t->key, t);
    t->count = 1;
    return t;
}

void decode_scopes_identify(struct scopes *t, enum decode_identity vlan,
                            enum decode_identity tunnel) {
    t->vlan = (uint8_t)vlan;
    t->tunnel = (uint8_t)tunnel;
    t->reduces = vlan != DECODE_KEEP || tunnel != DECODE_KEEP;
}

const struct decode_scope *decode_scope(const struct decoder *d, uint32_t id) {
    assert(id < d->scopes->count || id == SHARED_ID);
    return &d->scopes->scope[id];
}

uint32_t decode_scopes(const struct decoder *d) {
    return d->scopes->count;
}

uint64_t decode_scopes_full(const struct decoder *d) {
    return d->scopes->full;
}

static uint32_t add_scope(struct scopes *t, const struct decode_scope *scope) {
    if (t->count == SHARED_ID) {
        t->full++;
        return SHARED_ID;
    }
    struct decode_scope *mine = &t->scope[t->count];
    mine->layers = scope->layers;
    memcpy(mine->layer, scope->layer, scope->layers * sizeof scope->layer[0]);
    return t->count++;
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
static uint64_t hash_scope(const struct scopes *t, const struct decode_scope *scope) {
    uint64_t word[DECODE_MAX_LAYERS];
    for (unsigned i = 0; i < scope->layers; i++)
        word[i] = (uint64_t)scope->layer[i].kind << 32 | scope->layer[i].id;
    return base_siphash(t->key, word, scope->layers * sizeof word[0]);
}

static uint32_t find_stack(struct scopes *t, const struct decode_scope *scope) {
    if (is_same(scope, &t->scope[t->last]))
        return t->last;
    uint32_t i = (uint32_t)hash_scope(t, scope) % SLOTS;
    for (; t->slot[i] != 0; i = (i + 1) % SLOTS)
        if (is_same(scope, &t->scope[t->slot[i]]))
            return t->last = t->slot[i];
    uint32_t id = add_scope(t, scope);
    if (id != SHARED_ID)
        t->slot[i] = (uint16_t)id;
    return id;
}

static uint32_t find_vlan(struct scopes *t, const struct decode_scope *scope) {
    uint16_t *id = &t->single[scope->layer[0].id % VLAN_IDS];
    if (*id != 0)
        return *id;
    uint32_t fresh = add_scope(t, scope);
    if (fresh != SHARED_ID)
        *id = (uint16_t)fresh;
    return fresh;
}

static uint32_t find(struct scopes *t, const struct decode_scope *scope) {
    if (scope->layers == 1 && scope->layer[0].kind == DECODE_LAYER_VLAN)
        return find_vlan(t, scope);
    return find_stack(t, scope);
}

/* The layers that count, in their order. Gone through from the inside, which is where the innermost
 * of each sort is met first. */
static uint32_t find_reduced(struct scopes *t, const struct decode_scope *all) {
    struct decode_scope kept = {.layers = 0}, scope;
    bool met[2] = {false, false};
    for (unsigned i = all->layers; i-- > 0;) {
        bool tunnel = all->layer[i].kind != DECODE_LAYER_VLAN;
        uint8_t identity = tunnel ? t->tunnel : t->vlan;
        if (identity == DECODE_KEEP || (identity == DECODE_INNERMOST && !met[tunnel]))
            kept.layer[kept.layers++] = all->layer[i];
        met[tunnel] = true;
    }
    scope.layers = kept.layers;
    for (unsigned i = 0; i < kept.layers; i++)
        scope.layer[i] = kept.layer[kept.layers - 1 - i];
    return scope.layers == 0 ? 0 : find(t, &scope);
}

uint32_t decode_scope_id(struct decoder *d, const struct decode_scope *scope) {
    struct scopes *t = d->scopes;
    return t->reduces ? find_reduced(t, scope) : find(t, scope);
}
