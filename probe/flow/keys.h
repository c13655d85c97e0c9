/*
 * keys: which connection a segment belongs to. The two directions give one key: the lower endpoint
 * (address, then port) is side 0.
 *
 * Made of every segment, so that what is short here is inline. An IPv4 key and a flow's head begin
 * with the same two words: two comparisons tell whether they fit.
 */
#ifndef SPANWATCH_FLOW_KEYS_H
#define SPANWATCH_FLOW_KEYS_H

#include <endian.h>
#include <string.h>

#include "spanwatch/decode.h"

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
    return a * b ^ (uint64_t)((unsigned __int128)a * b >> 64);
}

/* Of a key's two words; the first is what both addresses of IPv6 were folded to. */
static inline uint32_t flow_key_hash(const uint64_t seed[2], uint64_t first, uint64_t second) {
    uint64_t h = flow_fold(first ^ seed[0], second ^ seed[1]);
    h = flow_fold(h ^ seed[1], UINT64_C(0x9e3779b97f4a7c15));
    return (uint32_t)(h ^ h >> 32);
}

/* Two numbers as they stand in memory one after the other: a key's words are never put together
 * from smaller stores, which a processor would have to wait for. */
static inline uint32_t flow_beside16(uint16_t a, uint16_t b) {
    return BYTE_ORDER == LITTLE_ENDIAN ? (uint32_t)b << 16 | a : (uint32_t)a << 16 | b;
}
static inline uint64_t flow_beside32(uint32_t a, uint32_t b) {
    return BYTE_ORDER == LITTLE_ENDIAN ? (uint64_t)b << 32 | a : (uint64_t)a << 32 | b;
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
    uint64_t first = flow_beside32((uint32_t)(low >> 16), (uint32_t)(high >> 16)),
             second = flow_beside32(flow_beside16((uint16_t)low, (uint16_t)high), s->scope);
    k->word[0] = first;
    k->word[1] = second;
    k->hash = flow_key_hash(seed, first, second);
    k->family = 4;
    k->from = sender > other;
}

#endif
