/*
 * The TCP header (RFC 9293 section 3.1).
 *
 * Input: a walk at a TCP header, behind its IP header. Output: the segment and DECODE_TCP; a header
 * that the snaplen cut within its options is still one. The hot end of every walk: fields are
 * loaded once, nothing is cleared.
 */
#include "walk.h"

enum {
    TCP_HEADER = 20,
    TIMESTAMP_HEADER = 32,        /* with NOP, NOP, timestamps: RFC 7323 appendix A */
    TIMESTAMP_LAYOUT = 0x0101080a /* their first four octets */
};

static void read_options(const struct walk *w, uint32_t header, struct segment *s) {
    const uint8_t *options = w->at + TCP_HEADER;
    s->options = 0;
    if (header == TCP_HEADER)
        return;
    if (header == TIMESTAMP_HEADER && w->captured >= TIMESTAMP_HEADER &&
        walk_u32(options) == TIMESTAMP_LAYOUT) {
        s->options = SEGMENT_OPT_TIMESTAMP;
        s->tsval = walk_u32(options + 4);
        s->tsecr = walk_u32(options + 8);
        return;
    }
    uint32_t here = header < w->captured ? header : w->captured;
    decode_options(options, here - TCP_HEADER, s);
}

/* Only segments that open or end a connection are worth the sum. */
static uint8_t judge_checksum(const struct walk *w, uint8_t flags) {
    if ((flags & (SEGMENT_SYN | SEGMENT_FIN | SEGMENT_RST)) == 0)
        return SEGMENT_CHECKSUM_UNKNOWN;
    if (!w->ip.exact || w->captured < w->wire)
        return SEGMENT_CHECKSUM_UNKNOWN;
    return (uint8_t)decode_checksum(w);
}

enum layer decode_tcp(struct walk *w, struct segment *s) {
    if (!walk_has(w, TCP_HEADER))
        return LAYER_END;
    const uint8_t *h = w->at;
    uint32_t header = (h[12] >> 4) * 4u;
    if (header < TCP_HEADER || header > w->wire)
        return walk_end(w, DECODE_MALFORMED);
    walk_identify(w, s);
    s->src_port = walk_u16(h);
    s->dst_port = walk_u16(h + 2);
    s->seq = walk_u32(h + 4);
    s->ack = walk_u32(h + 8);
    s->payload = w->wire - header;
    s->flags = h[13];
    s->window = walk_u16(h + 14);
    s->checksum = walk_u16(h + 16);
    s->ip_id = w->ip.id;
    s->ttl = w->ip.ttl;
    s->checksum_state = judge_checksum(w, h[13]);
    read_options(w, header, s);
    return walk_end(w, DECODE_TCP);
}
