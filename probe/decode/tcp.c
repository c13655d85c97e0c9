/*
 * The TCP header (RFC 9293 section 3.1) at the end of a walk.
 *
 * Input: a walk at a TCP header, behind its IP header. Output: the segment and DECODE_TCP; a header
 * that the snaplen cut within its options is still one.
 */
#include "tcp.h"

static uint8_t judge_checksum(const struct walk *w, uint8_t flags) {
    if (!tcp_is_control(flags) || !w->ip.exact || w->captured < w->wire)
        return SEGMENT_CHECKSUM_UNKNOWN;
    return (uint8_t)decode_checksum(&w->ip, w->at, w->wire);
}

enum layer decode_tcp(struct walk *w, struct segment *s) {
    if (!walk_has(w, TCP_HEADER))
        return LAYER_END;
    uint32_t header = tcp_header_length(w->at);
    if (header < TCP_HEADER || header > w->wire)
        return walk_end(w, DECODE_MALFORMED);
    walk_identify(w, s);
    tcp_read_fields(w->at, s);
    s->payload = w->wire - header;
    s->ip_id = w->ip.id;
    s->ttl = w->ip.ttl;
    s->hops = w->hops;
    s->checksum_state = judge_checksum(w, s->flags);
    tcp_read_options(w->at, header, w->captured, s);
    return walk_end(w, DECODE_TCP);
}
