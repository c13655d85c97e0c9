/*
 * keys: what of them is not on every packet's way.
 */
#include "tracker.h"

#include <string.h>

static uint64_t load64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t fold_v6(const uint64_t seed[2], const uint8_t low[16], const uint8_t high[16]) {
    uint64_t h = flow_fold(load64(low) ^ seed[1], load64(low + 8) ^ seed[0]);
    return flow_fold(load64(high) ^ h, load64(high + 8) ^ seed[1]);
}

uint32_t flow_hash(const struct flow_tracker *t, const struct flow *f) {
    const uint64_t *seed = t->config.hash_seed;
    if (!(f->flags & FLOW_IPV6))
        return flow_key_hash(seed, f->word[0], f->word[1]);
    const struct pair6 *pair = pool_pair(&t->pool, f);
    return flow_key_hash(seed, fold_v6(seed, pair->addr[0], pair->addr[1]), f->word[1]);
}

void flow_key_make_v6(const uint64_t seed[2], const struct segment *s, struct flow_key *k) {
    int order = memcmp(s->src, s->dst, sizeof k->v6[0]);
    unsigned from = order != 0 ? order > 0 : s->src_port > s->dst_port;
    memcpy(k->v6[from], s->src, sizeof k->v6[0]);
    memcpy(k->v6[!from], s->dst, sizeof k->v6[0]);
    k->word[0] = 0;
    k->word[1] = flow_beside32(from ? flow_beside16(s->dst_port, s->src_port)
                                    : flow_beside16(s->src_port, s->dst_port),
                               s->scope);
    k->hash = flow_key_hash(seed, fold_v6(seed, k->v6[0], k->v6[1]), k->word[1]);
    k->family = 6;
    k->from = (uint8_t)from;
}

void flow_addr(const struct flow_tracker *t, const struct flow *f, unsigned side,
               struct base_addr *a) {
    *a = (struct base_addr){.family = f->flags & FLOW_IPV6 ? 6 : 4};
    if (f->flags & FLOW_IPV6)
        memcpy(a->octet, pool_pair(&t->pool, f)->addr[side], 16);
    else
        memcpy(a->octet, &f->addr[side], 4);
}
