/*
 * SipHash-2-4, after the paper "SipHash: a fast short-input PRF" (Aumasson, Bernstein 2012).
 */
#include "spanwatch/base.h"

#include <endian.h>
#include <string.h>

#define SIP_ROTL(x, b) ((x) << (b) | (x) >> (64 - (b)))

struct sip {
    uint64_t a, b, c, d;
};

/* In registers from end to end: identities are hashed for every record. */
__attribute__((always_inline)) static inline void sip_round(struct sip *v) {
    v->a += v->b;
    v->c += v->d;
    v->b = SIP_ROTL(v->b, 13) ^ v->a;
    v->d = SIP_ROTL(v->d, 16) ^ v->c;
    v->a = SIP_ROTL(v->a, 32);
    v->c += v->b;
    v->a += v->d;
    v->b = SIP_ROTL(v->b, 17) ^ v->c;
    v->d = SIP_ROTL(v->d, 21) ^ v->a;
    v->c = SIP_ROTL(v->c, 32);
}

__attribute__((always_inline)) static inline void sip_word(struct sip *v, uint64_t m) {
    v->d ^= m;
    sip_round(v);
    sip_round(v);
    v->a ^= m;
}

uint64_t base_siphash(const uint64_t key[2], const void *data, size_t n) {
    const uint8_t *p = data;
    struct sip v = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                    key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
    uint64_t last = (uint64_t)n << 56;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t m;
        memcpy(&m, p, sizeof m);
        sip_word(&v, le64toh(m));
    }
    for (size_t i = 0; i < n; i++)
        last |= (uint64_t)p[i] << (8 * i);
    sip_word(&v, last);
    v.c ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(&v);
    return v.a ^ v.b ^ v.c ^ v.d;
}
