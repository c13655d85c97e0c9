/*
 * SHA-1 after RFC 3174, method 1 of section 6.1, over a message that is whole in memory.
 *
 * Input: octets. Output: the digest. Nothing is allocated: whole blocks are read where they lie,
 * the last one or two are built on the stack.
 */
#include "sha1.h"

#include <string.h>

enum { BLOCK = 64, LENGTH = 8 /* octets of the message's length, at the end of the last block */ };

static uint32_t rotl(uint32_t x, int n) {
    return x << n | x >> (32 - n);
}

static uint32_t load(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void store(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* The function and the constant of step t (section 5). */
static uint32_t mix(int t, uint32_t b, uint32_t c, uint32_t d) {
    if (t < 20)
        return ((b & c) | (~b & d)) + 0x5a827999;
    if (t < 40)
        return (b ^ c ^ d) + 0x6ed9eba1;
    if (t < 60)
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
    return (b ^ c ^ d) + 0xca62c1d6;
}

/* Steps of which mix() has one form: the compiler knows it where this is inlined. */
__attribute__((always_inline)) static inline void steps(uint32_t v[5], const uint32_t *w, int from,
                                                        int to) {
    for (int t = from; t < to; t++) {
        uint32_t next = rotl(v[0], 5) + mix(from, v[1], v[2], v[3]) + v[4] + w[t];
        v[4] = v[3];
        v[3] = v[2];
        v[2] = rotl(v[1], 30);
        v[1] = v[0];
        v[0] = next;
    }
}

static void add_block(uint32_t h[5], const uint8_t block[BLOCK]) {
    uint32_t w[80], v[5];
    memcpy(v, h, sizeof v);
    for (int t = 0; t < 16; t++)
        w[t] = load(block + 4 * t);
    for (int t = 16; t < 80; t++)
        w[t] = rotl(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    steps(v, w, 0, 20);
    steps(v, w, 20, 40);
    steps(v, w, 40, 60);
    steps(v, w, 60, 80);
    for (int i = 0; i < 5; i++)
        h[i] += v[i];
}

void record_sha1(const void *data, size_t n, uint8_t digest[RECORD_SHA1_OCTETS]) {
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    const uint8_t *p = data;
    size_t left = n;
    for (; left >= BLOCK; left -= BLOCK, p += BLOCK)
        add_block(h, p);

    /* A one bit, zeros, and the length in bits at the end of a block (section 4). */
    uint8_t last[2 * BLOCK] = {0};
    size_t padded = left + 1 + LENGTH <= BLOCK ? BLOCK : 2 * BLOCK;
    memcpy(last, p, left);
    last[left] = 0x80;
    store(last + padded - 8, (uint32_t)((uint64_t)n >> 29));
    store(last + padded - 4, (uint32_t)((uint64_t)n << 3));
    for (size_t i = 0; i < padded; i += BLOCK)
        add_block(h, last + i);
    for (int i = 0; i < 5; i++)
        store(digest + 4 * i, h[i]);
}
