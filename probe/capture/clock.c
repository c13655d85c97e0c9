/*
 * Ticks of a pcapng interface to nanoseconds (draft-ietf-opsawg-pcapng, options if_tsresol and
 * if_tsoffset). Input: a 64-bit count of ticks. Output: nanoseconds since 1970, clamped at both
 * ends, never wrapped. Pure.
 */
#include "internal.h"

static uint64_t power_of_ten(unsigned n) {
    uint64_t v = 1;
    while (n-- > 0)
        v *= 10;
    return v;
}

void capture_clock_init(struct capture_clock *k, uint8_t resolution, int64_t offset_s) {
    unsigned n = resolution & 0x7f;
    *k = (struct capture_clock){.multiply = 1, .divide = 1, .offset_s = offset_s};
    if (resolution & 0x80) {
        k->multiply = BASE_NS_PER_S;
        k->shift = n;
    } else if (n <= 9) {
        k->multiply = power_of_ten(9 - n);
    } else if (n <= 9 + 19) {
        k->divide = power_of_ten(n - 9);
    } else {
        k->multiply = 0; /* 2^64 ticks of 10^-29 s are less than a nanosecond */
    }
}

static uint64_t odd_clock_ns(const struct capture_clock *k, uint64_t ticks) {
    const __int128 last = BASE_NEVER_NS - 1;
    unsigned __int128 ns = (unsigned __int128)ticks * k->multiply / k->divide >> k->shift;
    /* Below 2^94, and the offset below 2^93: the sum cannot overflow. */
    __int128 sum = (__int128)ns + (__int128)k->offset_s * (__int128)BASE_NS_PER_S;
    if (sum < 0)
        return 0;
    return sum > last ? (uint64_t)last : (uint64_t)sum;
}

uint64_t capture_clock_ns(const struct capture_clock *k, uint64_t ticks) {
    uint64_t ns;
    bool plain = k->divide == 1 && k->shift == 0 && k->offset_s == 0;
    if (plain && !__builtin_mul_overflow(ticks, k->multiply, &ns) && ns != BASE_NEVER_NS)
        return ns;
    return odd_clock_ns(k, ticks);
}
