/*
 * The same random numbers in each run (SplitMix64, Steele, Lea and Flood 2014), for tests against a
 * naive model.
 */
#ifndef TESTS_UNIT_FLOW_RANDOM_H
#define TESTS_UNIT_FLOW_RANDOM_H

#include <stdint.h>

static uint64_t random_next(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* 0 to n - 1 */
static uint64_t random_below(uint64_t *state, uint64_t n) {
    return random_next(state) % n;
}

#endif
