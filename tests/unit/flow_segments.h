/*
 * Plain segments for the tests of the flow room's parts, and a sink that keeps the last events.
 */
#ifndef TESTS_UNIT_FLOW_SEGMENTS_H
#define TESTS_UNIT_FLOW_SEGMENTS_H

#include <string.h>

#include "spanwatch/flow.h"

#define SEGMENTS_EPOCH_NS (UINT64_C(1700000000) * BASE_NS_PER_S)

enum { SEGMENTS_EVENTS = 64 };

struct segments_seen {
    struct event event[SEGMENTS_EVENTS];
    size_t n; /* all; the first SEGMENTS_EVENTS are kept */
};

static inline void segments_sink(void *context, const struct event *e) {
    struct segments_seen *seen = context;
    if (seen->n < SEGMENTS_EVENTS)
        seen->event[seen->n] = *e;
    seen->n++;
}

/* 10.HIGH.MIDDLE.LOW of `host` as an IPv4 address. */
static void segments_addr(uint32_t host, uint8_t addr[16]) {
    memset(addr, 0, 16);
    addr[0] = 10;
    addr[1] = (uint8_t)(host >> 16);
    addr[2] = (uint8_t)(host >> 8);
    addr[3] = (uint8_t)host;
}

static inline struct segment segments_make(uint32_t from, uint16_t from_port, uint32_t to,
                                           uint16_t to_port, uint8_t flags, uint32_t seq,
                                           uint32_t ack) {
    struct segment s = {.family = 4,
                        .src_port = from_port,
                        .dst_port = to_port,
                        .flags = flags,
                        .seq = seq,
                        .ack = ack,
                        .window = 65535};
    segments_addr(from, s.src);
    segments_addr(to, s.dst);
    return s;
}

/* One segment, `ms` milliseconds after the epoch of the tests. */
static inline void segments_feed(struct flow_tracker *t, uint64_t ms, struct segment s) {
    static uint16_t ip_id;
    const uint8_t verdict = DECODE_TCP;
    s.ip_id = ++ip_id ? ip_id : ++ip_id;
    s.ts_ns = SEGMENTS_EPOCH_NS + ms * BASE_NS_PER_MS;
    flow_batch(t, &s, &verdict, 1);
}

#endif
