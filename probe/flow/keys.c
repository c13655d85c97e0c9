/*
 * keys: the two directions of a connection give one key: the lower endpoint first, by address, then
 * port.
 */
#include "tracker.h"

#include <string.h>

static uint64_t load64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint32_t hash_tail(const struct flow_config *c, uint64_t h, const struct flow_key *k) {
    uint64_t tail = (uint64_t)k->scope << 32 | (uint32_t)k->port[0] << 16 | k->port[1];
    h = flow_fold(h ^ c->hash_seed[0], tail ^ c->hash_seed[1]);
    h = flow_fold(h ^ c->hash_seed[1], UINT64_C(0x9e3779b97f4a7c15));
    return (uint32_t)(h ^ h >> 32);
}

static uint32_t hash_v4(const struct flow_config *c, const struct flow_key *k) {
    return hash_tail(c, (uint64_t)k->v4[0] << 32 | k->v4[1], k);
}

static uint32_t hash_v6(const struct flow_config *c, const struct flow_key *k) {
    uint64_t h =
        flow_fold(load64(k->v6[0]) ^ c->hash_seed[1], load64(k->v6[0] + 8) ^ c->hash_seed[0]);
    h = flow_fold(load64(k->v6[1]) ^ h, load64(k->v6[1] + 8) ^ c->hash_seed[1]);
    return hash_tail(c, h, k);
}

uint32_t flow_hash(const struct flow_tracker *t, const struct flow *f) {
    struct flow_key k = {.scope = f->scope};
    memcpy(k.port, f->port, sizeof k.port);
    if (f->flags & FLOW_IPV6) {
        memcpy(k.v6, pool_pair(&t->pool, f), sizeof k.v6);
        return hash_v6(&t->config, &k);
    }
    memcpy(k.v4, f->addr, sizeof k.v4);
    return hash_v4(&t->config, &k);
}

static void take_ports(struct flow_key *k, const struct segment *s, unsigned from) {
    k->from = (uint8_t)from;
    k->scope = s->scope;
    k->family = s->family;
    k->port[from] = s->src_port;
    k->port[!from] = s->dst_port;
}

static void make_v4(const struct flow_config *c, const struct segment *s, struct flow_key *k) {
    uint32_t src, dst;
    memcpy(&src, s->src, sizeof src);
    memcpy(&dst, s->dst, sizeof dst);
    unsigned from = src != dst ? src > dst : s->src_port > s->dst_port;
    k->v4[from] = src;
    k->v4[!from] = dst;
    take_ports(k, s, from);
    k->hash = hash_v4(c, k);
}

static void make_v6(const struct flow_config *c, const struct segment *s, struct flow_key *k) {
    int order = memcmp(s->src, s->dst, sizeof k->v6[0]);
    unsigned from = order != 0 ? order > 0 : s->src_port > s->dst_port;
    memcpy(k->v6[from], s->src, sizeof k->v6[0]);
    memcpy(k->v6[!from], s->dst, sizeof k->v6[0]);
    take_ports(k, s, from);
    k->hash = hash_v6(c, k);
}

void flow_key_make(const struct flow_tracker *t, const struct segment *s, struct flow_key *k) {
    if (s->family == 4)
        make_v4(&t->config, s, k);
    else
        make_v6(&t->config, s, k);
}

bool flow_key_equal(const struct flow *f, const struct pool *pool, const struct flow_key *k) {
    if (f->port[0] != k->port[0] || f->port[1] != k->port[1] || f->scope != k->scope)
        return false;
    if (k->family == 4)
        return !(f->flags & FLOW_IPV6) && f->addr[0] == k->v4[0] && f->addr[1] == k->v4[1];
    return (f->flags & FLOW_IPV6) && memcmp(pool_pair(pool, f), k->v6, sizeof k->v6) == 0;
}

void flow_addr(const struct flow_tracker *t, const struct flow *f, unsigned side,
               struct base_addr *a) {
    *a = (struct base_addr){.family = f->flags & FLOW_IPV6 ? 6 : 4};
    if (f->flags & FLOW_IPV6)
        memcpy(a->octet, pool_pair(&t->pool, f)->addr[side], 16);
    else
        memcpy(a->octet, &f->addr[side], 4);
}
