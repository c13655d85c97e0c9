/*
 * histogram: latencies of the last windows of a service.
 */
#ifndef SPANWATCH_ALARM_HISTOGRAM_H
#define SPANWATCH_ALARM_HISTOGRAM_H

#include "spanwatch/base.h"

enum { HISTOGRAM_SUB = 8, HISTOGRAM_BUCKETS = 22 * HISTOGRAM_SUB, HISTOGRAM_WINDOWS = 6 };
struct histogram {
    uint32_t n[HISTOGRAM_WINDOWS]; /* of each window; a ring, as the buckets */
    uint8_t now;                   /* the current window's place in it */
    _Alignas(
        8) uint8_t bucket[HISTOGRAM_WINDOWS][HISTOGRAM_BUCKETS]; /* of a sample: 255 is plenty */
};
void histogram_add(struct histogram *h, uint64_t ns);
void histogram_turn(struct histogram *h); /* a new window begins */
/* The p-th quantile in ms over as many of the last windows as it takes to have `least` samples; how
 * many there were. */
uint32_t histogram_quantile(const struct histogram *h, double p, uint32_t least, double *ms);
/* How many samples the current window has, all that are kept have; how many of the current one lie
 * above `ms`. */
uint32_t histogram_count(const struct histogram *h);
uint32_t histogram_lately(const struct histogram *h);
uint32_t histogram_above(const struct histogram *h, double ms);

#endif
