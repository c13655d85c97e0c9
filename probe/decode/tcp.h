/*
 * tcp: the fields of a TCP header (RFC 9293 section 3.1), read the same way at the end of a walk
 * (tcp.c) and on the short way of most packets (plain.c). Both inline this, so that nothing is kept
 * between a header and its segment.
 */
#ifndef SPANWATCH_DECODE_TCP_H
#define SPANWATCH_DECODE_TCP_H

#include "walk.h"

enum {
    TCP_HEADER = 20,
    TIMESTAMP_HEADER = 32,        /* with NOP, NOP, timestamps: RFC 7323 appendix A */
    TIMESTAMP_LAYOUT = 0x0101080a /* their first four octets */
};

/* Octets of the header at h; less than TCP_HEADER is malformed. */
static inline uint32_t tcp_header_length(const uint8_t *h) {
    return (h[12] & 0xf0u) >> 2;
}

/* Does it open or end a connection? Only such are worth a sum. */
static inline bool tcp_is_control(uint8_t flags) {
    return (flags & (SEGMENT_SYN | SEGMENT_FIN | SEGMENT_RST)) != 0;
}

/* The fixed part. */
static inline void tcp_read_fields(const uint8_t *h, struct segment *s) {
    s->src_port = walk_u16(h);
    s->dst_port = walk_u16(h + 2);
    s->seq = walk_u32(h + 4);
    s->ack = walk_u32(h + 8);
    s->flags = h[13];
    s->window = walk_u16(h + 14);
    s->checksum = walk_u16(h + 16);
}

/* The options of a header of so many octets, of which the first `captured` are there. */
static inline void tcp_read_options(const uint8_t *h, uint32_t header, uint32_t captured,
                                    struct segment *s) {
    const uint8_t *options = h + TCP_HEADER;
    s->options = 0;
    if (header == TCP_HEADER)
        return;
    if (header == TIMESTAMP_HEADER && captured >= TIMESTAMP_HEADER &&
        walk_u32(options) == TIMESTAMP_LAYOUT) {
        s->options = SEGMENT_OPT_TIMESTAMP;
        s->tsval = walk_u32(options + 4);
        s->tsecr = walk_u32(options + 8);
        return;
    }
    decode_options(options, (header < captured ? header : captured) - TCP_HEADER, s);
}

#endif
