/*
 * keys: the two directions of a connection give one key: the lower endpoint first, by address, then port.
 */
#include "tracker.h"

#include <string.h>

/* One round of folded multiplication (as in wyhash and MUM): the two seeds are secret, so strangers cannot aim at one slot. */
static uint64_t fold(uint64_t a, uint64_t b) {
    unsigned __int128 p = (unsigned __int128)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t load64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint32_t load32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint32_t hash_key(const struct flow_config *c, const struct flow_key *k) {
    uint64_t tail = (uint64_t)k->scope << 32 | (uint32_t)k->port[0] << 16 | k->port[1];
    uint64_t h;
    if (k->family == 4) {
        h = (uint64_t)load32(k->addr[0]) << 32 | load32(k->addr[1]);
    } else {
        h = fold(load64(k->addr[0]) ^ c->hash_seed[1], load64(k->addr[0] + 8) ^ c->hash_seed[0]);
        h = fold(load64(k->addr[1]) ^ h, load64(k->addr[1] + 8) ^ c->hash_seed[1]);
    }
    h = fold(h ^ c->hash_seed[0], tail ^ c->hash_seed[1]);
    h = fold(h ^ c->hash_seed[1], UINT64_C(0x9e3779b97f4a7c15));
    return (uint32_t)(h ^ h >> 32);
}

void flow_key_make(const struct flow_tracker *t, const struct segment *s, struct flow_key *k) {
    size_t n = s->family == 4 ? 4 : 16;
    int order = memcmp(s->src, s->dst, n);
    unsigned from = order != 0 ? order > 0 : s->src_port > s->dst_port;
    k->family = s->family;
    k->from = (uint8_t)from;
    k->scope = s->scope;
    memcpy(k->addr[from], s->src, n);
    memcpy(k->addr[!from], s->dst, n);
    k->port[from] = s->src_port;
    k->port[!from] = s->dst_port;
    k->hash = hash_key(&t->config, k);
}

bool flow_key_equal(const struct flow *f, const struct pool6 *pool6, const struct flow_key *k) {
    if (f->port[0] != k->port[0] || f->port[1] != k->port[1] || f->scope != k->scope)
        return false;
    if (k->family == 4)
        return !(f->flags & FLOW_IPV6) && f->addr[0] == load32(k->addr[0]) && f->addr[1] == load32(k->addr[1]);
    return (f->flags & FLOW_IPV6) && memcmp(pool6_at(pool6, f->addr[0]), k->addr, sizeof k->addr) == 0;
}

void flow_addr(const struct flow_tracker *t, const struct flow *f, unsigned side, struct base_addr *a) {
    *a = (struct base_addr){.family = f->flags & FLOW_IPV6 ? 6 : 4};
    if (f->flags & FLOW_IPV6)
        memcpy(a->octet, pool6_at(&t->pool6, f->addr[0])->addr[side], 16);
    else
        memcpy(a->octet, &f->addr[side], 4);
}
