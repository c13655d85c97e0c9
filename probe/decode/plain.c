/*
 * The short way of most packets of a mirror port: TCP in a whole IPv4 datagram without options, in
 * untagged Ethernet.
 *
 *   octet 12   type          08 00   \
 *         14   version, length  45   / one load
 *         16   total length, identification
 *         20   fragment, TTL, protocol: one load
 *         26   addresses
 *         34   TCP header; at 46 its length
 *
 * Three words say whether it is such a packet. Then each field goes straight from its place into
 * the segment. All that is odd, a fault of the packet too, is left to the walk, which would give
 * the same segment for what passes here.
 */
#include "tcp.h"

enum {
    LINK_ETHERNET = 1,
    TYPE_AT = 12,
    IP_AT = 14,
    FRAGMENT_AT = IP_AT + 6,
    TCP_AT = IP_AT + 20,
    PLAIN_TYPE = 0x080045,    /* IPv4, and a header of version 4 and five words */
    FRAGMENTS = 0x3fff << 16, /* more fragments follow, or one came before */
    PROTOCOL = 0xff
};

/* Captured whole, and its lengths agree: then the sum tells. */
static uint8_t judge_checksum(const struct packet *p, uint32_t wire) {
    const uint8_t *ip = p->data + IP_AT;
    if (p->captured - TCP_AT < wire)
        return SEGMENT_CHECKSUM_UNKNOWN;
    return (uint8_t)decode_checksum(&(struct ip){.src = ip + 12, .dst = ip + 16, .family = 4},
                                    p->data + TCP_AT, wire);
}

bool decode_plain(const struct packet *p, struct segment *s) {
    const uint8_t *ip = p->data + IP_AT, *tcp = p->data + TCP_AT;
    if (p->link != LINK_ETHERNET || p->captured < TCP_AT + TCP_HEADER)
        return false;
    uint32_t total = walk_u16(ip + 2), header = tcp_header_length(tcp);
    if (walk_u32(p->data + TYPE_AT) >> 8 != PLAIN_TYPE ||
        (walk_u32(p->data + FRAGMENT_AT) & (FRAGMENTS | PROTOCOL)) != IP_TCP ||
        header < TCP_HEADER || total < TCP_AT - IP_AT + header)
        return false;
    uint32_t wire = total - (TCP_AT - IP_AT);
    s->family = 4;
    memcpy(s->src, ip + 12, 4);
    memcpy(s->dst, ip + 16, 4);
    s->scope = 0;
    tcp_read_fields(tcp, s);
    s->payload = wire - header;
    s->ip_id = walk_u16(ip + 4);
    s->ttl = s->hops = ip[8];
    s->checksum_state =
        tcp_is_control(s->flags) ? judge_checksum(p, wire) : SEGMENT_CHECKSUM_UNKNOWN;
    tcp_read_options(tcp, header, p->captured - TCP_AT, s);
    return true;
}
