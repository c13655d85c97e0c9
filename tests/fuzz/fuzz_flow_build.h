/*
 * From the fuzzer's octets to segments: five a segment: connection, kind, distances of seq and ack,
 * options, time.
 *
 * A small memory of what both ends of each connection have sent makes "the next in sequence" the
 * commonest thing; everything else is a distance from it. The kinds and the distances are the
 * tables below; seed_flow.py, which writes the corpus, knows them by number.
 */
#ifndef TESTS_FUZZ_FLOW_BUILD_H
#define TESTS_FUZZ_FLOW_BUILD_H

#include <string.h>

#include "spanwatch/flow.h"

enum { BUILD_OCTETS = 5, BUILD_MAX = 400, BUILD_CONNECTIONS = 256 };

enum build_kind {
    BUILD_SYN,
    BUILD_SYN_ACK,
    BUILD_ACK,
    BUILD_DATA,
    BUILD_FIN,
    BUILD_DATA_FIN,
    BUILD_RST,
    BUILD_RST_ACK,
    BUILD_PROBE,           /* keepalive: one below the next */
    BUILD_AGAIN,           /* the segment that this end sent last */
    BUILD_NEW_SYN,         /* with an ISN far above what was sent */
    BUILD_SYN_DATA,        /* Fast Open */
    BUILD_ICMP,            /* quotes what this end sent last */
    BUILD_AGAIN_FROM_PEER, /* the segment that the other end sent last */
    BUILD_ODD,             /* the flags are the octet of options */
    BUILD_ZERO_WINDOW
};

enum build_aside { BUILD_ASIDE_NONE, BUILD_ASIDE_TICK, BUILD_ASIDE_OPEN };

struct build {
    uint64_t now_ns;
    uint32_t max_flows; /* 0: no cap */
    uint16_t ip_id;
    uint8_t connections; /* mask */
    uint32_t next[BUILD_CONNECTIONS][2];
    struct segment last[BUILD_CONNECTIONS][2];
};

/* Set-up octet: bit 0: a cap; 1: the smaller cap; 2-3: how many connections there are; 4-5: where
 * time begins; 6: numbers near the wrap. */
static void build_start(struct build *b, uint8_t setup) {
    static const uint8_t masks[4] = {1, 7, 127, 255};
    /* the last: just before the 2^60th nanosecond, where the highest wheel turns over */
    static const uint64_t begins[4] = {UINT64_C(1700000000000000000), 1,
                                       UINT64_C(1700000000000000000),
                                       (UINT64_C(1) << 60) - 2000000000};
    memset(b, 0, sizeof *b);
    b->max_flows = (setup & 1) == 0 ? 0 : setup & 2 ? 5 : 64;
    b->connections = masks[setup >> 2 & 3];
    b->now_ns = begins[setup >> 4 & 3];
    for (unsigned i = 0; i < BUILD_CONNECTIONS; i++)
        for (unsigned side = 0; side < 2; side++)
            b->next[i][side] =
                (setup & 0x40 ? 0xfffffff0u : 1000) + i * 0x01000000u + side * 500000;
}

static enum build_aside build_aside(const uint8_t in[BUILD_OCTETS]) {
    return in[4] >> 4 == 14   ? BUILD_ASIDE_TICK
           : in[4] >> 4 == 15 ? BUILD_ASIDE_OPEN
                              : BUILD_ASIDE_NONE;
}

static void build_time(struct build *b, uint8_t in) {
    static const int64_t step_us[16] = {
        100,     0,        1000,     5000,      40000,      210000,     1000000,  3000000,
        7000000, 15000000, 61000000, 131000000, 1200000000, 4000000000, -1000000, -50};
    int64_t step = step_us[in & 15] * 1000;
    if (step < 0 && b->now_ns <= (uint64_t)-step)
        step = 0;
    b->now_ns += (uint64_t)step;
}

static void build_ends(const struct build *b, uint8_t connection, unsigned side,
                       struct segment *s) {
    unsigned n = connection & b->connections;
    uint8_t *addr[2] = {side ? s->dst : s->src, side ? s->src : s->dst};
    uint16_t *port[2] = {side ? &s->dst_port : &s->src_port, side ? &s->src_port : &s->dst_port};
    s->family = n & 4 ? 6 : 4;
    s->scope = n >> 3 & 1;
    for (unsigned i = 0; i < 2; i++) {
        memset(addr[i], 0, 16);
        addr[i][0] = 10;
        addr[i][3] = (uint8_t)(i + 1);
        addr[i][15] = s->family == 6 ? (uint8_t)(i + 1) : 0;
    }
    *port[0] = (uint16_t)(n & 1 ? 40000 + (n >> 4) : 20000 + (n >> 4));
    *port[1] = n & 2 ? 50000 : n & 1 ? 443 : 40000;
}

static uint8_t build_flags(enum build_kind kind, uint8_t options) {
    switch (kind) {
    case BUILD_SYN:
    case BUILD_NEW_SYN:
    case BUILD_SYN_DATA:
        return SEGMENT_SYN;
    case BUILD_SYN_ACK:
        return SEGMENT_SYN | SEGMENT_ACK;
    case BUILD_FIN:
    case BUILD_DATA_FIN:
        return SEGMENT_FIN | SEGMENT_ACK;
    case BUILD_RST:
        return SEGMENT_RST;
    case BUILD_RST_ACK:
        return SEGMENT_RST | SEGMENT_ACK;
    case BUILD_ODD:
        return options;
    default:
        return SEGMENT_ACK;
    }
}

static void build_options(struct segment *s, enum build_kind kind, uint8_t options) {
    static const uint8_t sums[4] = {SEGMENT_CHECKSUM_UNKNOWN, SEGMENT_CHECKSUM_GOOD,
                                    SEGMENT_CHECKSUM_BAD, SEGMENT_CHECKSUM_UNFINISHED};
    s->window = kind == BUILD_ZERO_WINDOW ? 0 : options & 1 ? 65535 : 2000;
    if (kind == BUILD_ODD)
        return;
    if (options & 2)
        s->options |= SEGMENT_OPT_TIMESTAMP;
    if (options & 4) {
        s->options |= SEGMENT_OPT_WSCALE;
        s->wscale = options >> 4;
    }
    if (options & 8)
        s->ip_id = 0;
    s->checksum_state = options & 0x40 ? sums[options >> 4 & 3] : SEGMENT_CHECKSUM_UNKNOWN;
}

static void build_new(struct build *b, unsigned n, unsigned side, enum build_kind kind,
                      uint8_t distance, struct segment *s) {
    static const int32_t away[16] = {0,       0,         0,         0,     -1,     1,
                                     -100,    100,       1000,      -1000, 100000, -100000,
                                     2000000, INT32_MAX, INT32_MIN, -2};
    uint32_t *next = &b->next[n][side];
    if (kind == BUILD_NEW_SYN)
        *next += 1000000;
    s->seq = *next + (uint32_t)away[distance & 15] - (kind == BUILD_PROBE);
    s->ack = s->flags & SEGMENT_ACK ? b->next[n][!side] + (uint32_t)away[distance >> 4] : 0;
    if (kind == BUILD_DATA || kind == BUILD_DATA_FIN || kind == BUILD_SYN_DATA)
        s->payload = 100;
    uint32_t taken = s->payload + ((s->flags & SEGMENT_SYN) != 0) + ((s->flags & SEGMENT_FIN) != 0);
    if ((distance & 15) <
        4) /* elsewhere what is next stays: the octets are sent again, or a hole */
        *next = s->seq + taken + (kind == BUILD_PROBE);
}

/* The next segment, and its decode verdict. */
static uint8_t build_segment(struct build *b, const uint8_t in[BUILD_OCTETS], struct segment *s) {
    enum build_kind kind = in[1] & 15;
    unsigned n = in[0] & b->connections, side = in[1] >> 4 & 1;
    memset(s, 0, sizeof *s);
    build_time(b, in[4]);
    if (kind == BUILD_AGAIN || kind == BUILD_AGAIN_FROM_PEER) {
        *s = b->last[n][kind == BUILD_AGAIN ? side : !side];
        if (s->family == 0)
            build_ends(b, in[0], side, s);
        if (in[1] & 0x20) /* a copy keeps its identification, a retransmission does not */
            s->ip_id = ++b->ip_id;
        s->ts_ns = b->now_ns;
        return DECODE_TCP;
    }
    build_ends(b, in[0], side, s);
    s->ts_ns = b->now_ns;
    s->ip_id = ++b->ip_id;
    if (kind == BUILD_ICMP) {
        s->seq = b->last[n][side].seq;
        s->icmp_type = in[3] & 1 ? 11 : 3;
        s->icmp_code = in[3] >> 4;
        return DECODE_ICMP;
    }
    s->flags = build_flags(kind, in[3]);
    build_new(b, n, side, kind, in[2], s);
    build_options(s, kind, in[3]);
    b->last[n][side] = *s;
    return in[3] == 0xff ? DECODE_MALFORMED : DECODE_TCP;
}

#endif
