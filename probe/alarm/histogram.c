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
    uint8_t *n = &h->bucket[h->now][bucket_of(ns)];
    if (*n == UINT8_MAX)
        return;
    ++*n;
    h->n[h->now]++;
}

uint32_t histogram_count(const struct histogram *h) {
    return h->n[h->now];
}

uint32_t histogram_lately(const struct histogram *h) {
    uint32_t n = 0;
    for (unsigned w = 0; w < HISTOGRAM_WINDOWS; w++)
        n += h->n[w];
    return n;
}

uint32_t histogram_above(const struct histogram *h, double ms) {
    unsigned from = bucket_of((uint64_t)(ms * 1e6));
    uint32_t n = 0;
    from += begin_of(from) < ms * 1000;
    for (unsigned i = from; i < HISTOGRAM_BUCKETS; i++)
        n += h->bucket[h->now][i];
    return n;
}

void histogram_turn(struct histogram *h) {
    h->now = (uint8_t)((h->now + 1) % HISTOGRAM_WINDOWS);
    memset(h->bucket[h->now], 0, sizeof h->bucket[h->now]);
    h->n[h->now] = 0;
}

/* A doubling has eight buckets: most are empty, and passed over as one number. */
static bool is_empty(const uint8_t *const row[], unsigned windows, unsigned from) {
    uint64_t any = 0, one;
    static_assert(sizeof one == HISTOGRAM_SUB, "the buckets of a doubling");
    for (unsigned w = 0; w < windows; w++) {
        memcpy(&one, row[w] + from, sizeof one);
        any |= one;
    }
    return any == 0;
}

uint32_t histogram_quantile(const struct histogram *h, double p, uint32_t least, double *ms) {
    const uint8_t *row[HISTOGRAM_WINDOWS];
    unsigned windows = 0;
    uint32_t n = 0, below = 0;
    *ms = NAN;
    for (; windows < HISTOGRAM_WINDOWS && n < least; windows++) {
        unsigned at = (h->now + HISTOGRAM_WINDOWS - windows) % HISTOGRAM_WINDOWS;
        row[windows] = h->bucket[at];
        n += h->n[at];
    }
    if (n == 0 || histogram_count(h) == 0)
        return 0;
    double rank = p * n;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint32_t here = 0;
        if (i % HISTOGRAM_SUB == 0 && is_empty(row, windows, i)) {
            i += HISTOGRAM_SUB - 1;
            continue;
        }
        for (unsigned w = 0; w < windows; w++)
            here += row[w][i];
        if (here > 0 && below + here >= rank) {
            double share = (rank - below) / here, from = begin_of(i), to = begin_of(i + 1);
            *ms = (from + (to - from) * share) / 1000;
            return n;
        }
        below += here;
    }
    return n;
}
