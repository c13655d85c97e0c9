/*
 * keys: which connection a segment belongs to. The two directions give one key: the lower endpoint
 * (address, then port) is side 0.
 *
 * Made of every segment, so that what is short here is inline. An IPv4 key and a flow's head begin
 * with the same two words: two comparisons tell whether they fit.
 */
#ifndef SPANWATCH_FLOW_KEYS_H
#define SPANWATCH_FLOW_KEYS_H

#include "spanwatch/decode.h"

#include <string.h>

struct flow_key {
    union {
        struct {
            uint32_t v4[2]; /* network order; 0 of IPv6 */
            uint16_t port[2];
            uint32_t scope;
        };
        uint64_t word[2];
    };
    uint32_t hash; /* of all that tells connections apart, seeded */
    uint8_t family;
    uint8_t from; /* the side that sent the segment that the key is made of */
    uint8_t v6[2][16];
};

/* One round of folded multiplication (as in wyhash and MUM): mixes 128 bits into 64. */
static inline uint64_t flow_fold(uint64_t a, uint64_t b) {
    unsigned __int128 p = (unsigned __int128)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* `addresses` of IPv4, or what both of IPv6 were folded to. */
static inline uint32_t flow_key_hash(const uint64_t seed[2], uint64_t addresses, uint32_t ports,
                                     uint32_t scope) {
    uint64_t h = flow_fold(addresses ^ seed[0], ((uint64_t)scope << 32 | ports) ^ seed[1]);
    h = flow_fold(h ^ seed[1], UINT64_C(0x9e3779b97f4a7c15));
    return (uint32_t)(h ^ h >> 32);
}

void flow_key_make_v6(const uint64_t seed[2], const struct segment *s, struct flow_key *k);

static inline void flow_key_make(const uint64_t seed[2], const struct segment *s,
                                 struct flow_key *k) {
    if (s->family != 4) {
        flow_key_make_v6(seed, s, k);
        return;
    }
    uint32_t src, dst;
    memcpy(&src, s->src, sizeof src);
    memcpy(&dst, s->dst, sizeof dst);
    uint64_t sender = (uint64_t)src << 16 | s->src_port, other = (uint64_t)dst << 16 | s->dst_port;
    uint64_t low = sender > other ? other : sender, high = sender > other ? sender : other;
    k->v4[0] = (uint32_t)(low >> 16);
    k->v4[1] = (uint32_t)(high >> 16);
    k->port[0] = (uint16_t)low;
    k->port[1] = (uint16_t)high;
    k->scope = s->scope;
    k->family = 4;
    k->from = sender > other;
    k->hash = flow_key_hash(seed, low >> 16 << 32 | high >> 16,
                            (uint32_t)low << 16 | (uint16_t)high, s->scope);
}

#endif
