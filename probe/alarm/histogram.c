/*
 * histogram: how long things took in a window, in buckets whose width grows with the value: eight
 * for each doubling, from 8 us to over half a minute. A quantile is interpolated within its bucket.
 */
#include "engine.h"

enum { LEAST_US_BITS = 3 };

static unsigned bucket_of(uint64_t ns) {
    uint64_t us = ns / 1000;
    if (us < 1u << LEAST_US_BITS)
        return 0;
    unsigned bits = 63 - (unsigned)__builtin_clzll(us);
    unsigned sub = (unsigned)(us >> (bits - 3)) & (HISTOGRAM_SUB - 1);
    unsigned at = (bits - LEAST_US_BITS) * HISTOGRAM_SUB + sub;
    return at < HISTOGRAM_BUCKETS ? at : HISTOGRAM_BUCKETS - 1;
}

/* Where a bucket begins, in us. */
static double begin_of(unsigned bucket) {
    unsigned octave = bucket / HISTOGRAM_SUB, sub = bucket % HISTOGRAM_SUB;
    return (double)((uint64_t)(HISTOGRAM_SUB + sub) << octave);
}

void histogram_add(struct histogram *h, uint64_t ns) {
    uint8_t *n = &h->bucket[0][bucket_of(ns)];
    if (*n == UINT8_MAX)
        return;
    ++*n;
    h->n[0]++;
}

uint32_t histogram_above(const struct histogram *h, double ms) {
    uint32_t n = 0;
    for (unsigned i = HISTOGRAM_BUCKETS; i-- > 0 && begin_of(i) >= ms * 1000;)
        n += h->bucket[0][i];
    return n;
}

void histogram_turn(struct histogram *h) {
    memmove(h->bucket[1], h->bucket[0], sizeof h->bucket[0] * (HISTOGRAM_WINDOWS - 1));
    memmove(&h->n[1], &h->n[0], sizeof h->n[0] * (HISTOGRAM_WINDOWS - 1));
    memset(h->bucket[0], 0, sizeof h->bucket[0]);
    h->n[0] = 0;
}

uint32_t histogram_quantile(const struct histogram *h, double p, uint32_t least, double *ms) {
    unsigned windows = 0;
    uint32_t n = 0, below = 0;
    *ms = NAN;
    while (windows < HISTOGRAM_WINDOWS && n < least)
        n += h->n[windows++];
    if (n == 0 || h->n[0] == 0)
        return 0;
    double rank = p * n;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint32_t here = 0;
        for (unsigned w = 0; w < windows; w++)
            here += h->bucket[w][i];
        if (here > 0 && below + here >= rank) {
            double share = (rank - below) / here, from = begin_of(i), to = begin_of(i + 1);
            *ms = (from + (to - from) * share) / 1000;
            return n;
        }
        below += here;
    }
    return n;
}
