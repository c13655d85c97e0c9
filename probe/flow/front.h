/*
 * front: what segments are told by that no connection has a say in: the time that it is, and
 * whether one like it has passed just before.
 */
#ifndef SPANWATCH_FLOW_FRONT_H
#define SPANWATCH_FLOW_FRONT_H

#include <assert.h>

#include "keys.h"
#include "spanwatch/decode.h"

/* ---- copies.c: the second copy of a packet (both SPAN ports mirrored, a packet before and after a
 * router) ---- */
enum { COPIES_BUCKETS = 1 << 14, COPIES_WAYS = 7 };
struct copies {
    struct copies_bucket {
        /* Of a signature, beside the bucket's number. */
        _Alignas(64) uint32_t tag[COPIES_WAYS];
        uint32_t tick[COPIES_WAYS]; /* when it was seen */
        uint8_t hops[COPIES_WAYS];
        uint8_t next; /* the oldest: to be overwritten */
    } bucket[COPIES_BUCKETS];
    void *memory; /* as it was allocated */
};
static_assert(sizeof(struct copies_bucket) == 64, "a segment touches one line");
struct copies *copies_new(void); /* NULL when memory is short */
void copies_free(struct copies *c);
uint64_t copies_signature(const struct segment *s, const struct flow_key *k);
void copies_note(struct copies *c, const struct segment *s, uint64_t signature);
bool copies_is_copy(struct copies *c, const struct segment *s, uint64_t signature);

/* ---- clock.c: capture time, by the packets' stamps alone ---- */
struct clock {
    uint64_t now_ns; /* 0: before the first packet */
    uint64_t leap_ns;
    unsigned leap_seen; /* witnesses in a row of a leap ahead */
};
/* What a stamp does to it: now_ns is the packet's time then. */
enum clock_step {
    CLOCK_GOES_ON,
    CLOCK_STANDS, /* it lies back */
    CLOCK_DOUBTS, /* it leaps ahead, and there are not enough witnesses */
    CLOCK_LEAPS   /* now there are */
};
enum clock_step clock_judge(struct clock *c, uint64_t ts_ns);

/* What segments are told by that no connection has a say in. Another thread's, while it calls
 * flow_prepare: in lines of its own. */
struct front {
    _Alignas(64) struct clock clock;
    struct copies *copies;
};

#endif
