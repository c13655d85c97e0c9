/*
 * Packets in tunnels for the tests of the decode room.
 *
 * A tunnel is the octets between an outer Ethernet or IP header and what it carries.
 */
#ifndef TESTS_UNIT_DECODE_TUNNELS_H
#define TESTS_UNIT_DECODE_TUNNELS_H

#include "decode_packets.h"

enum { GRE = 47, UDP = 17, IPIP = 4, IPV6_IN_IP = 41, MPLS_IN_IP = 137 };
enum { ETYPE_MPLS = 0x8847, ETYPE_PPPOE = 0x8864, ETYPE_PBB = 0x88e7 };

/* Where the tunnel stands, and what it carries. */
enum place { IN_ETHERNET, IN_IPV4, IN_IPV6, IN_UDP, FROM_UDP };
enum content { CONTENT_IPV4, CONTENT_IPV6, CONTENT_FRAME };

struct tunnel {
    const char *name;
    enum place place;
    uint16_t number; /* EtherType, protocol, or port */
    enum content content;
    uint8_t layers, kind; /* 0 or 1 layers expected */
    uint32_t id;
    uint32_t n;
    uint8_t octet[40];
};

#define LAYER(kind, id) 1, DECODE_LAYER_##kind, id
#define NO_LAYER        0, 0, 0

static inline void put_content(struct build *b, enum content content) {
    if (content == CONTENT_FRAME)
        put_ethernet(b, TYPE_IPV4);
    if (content == CONTENT_IPV6)
        put_ipv6(b, PROTOCOL_TCP, 20);
    else
        put_ipv4(b, PROTOCOL_TCP, 20);
    put_tcp(b, SEGMENT_ACK);
}

/* Every length of the outer headers is true when the content is `content` octets long. */
static inline void put_tunnel(struct build *b, const struct tunnel *t, uint32_t content) {
    uint32_t inner = t->n + content;
    bool udp = t->place >= IN_UDP;
    if (t->place == IN_ETHERNET) {
        put_ethernet(b, t->number);
    } else if (t->place == IN_IPV6) {
        put_ethernet(b, TYPE_IPV6);
        put_ipv6(b, (uint8_t)t->number, inner);
    } else {
        put_ethernet(b, TYPE_IPV4);
        put_ipv4(b, udp ? UDP : (uint8_t)t->number, inner + (udp ? 8 : 0));
    }
    if (udp) {
        put_u16(b, t->place == FROM_UDP ? t->number : 50000);
        put_u16(b, t->place == FROM_UDP ? 50000 : t->number);
        put_u16(b, 8 + inner);
        put_u16(b, 0);
    }
    put(b, t->octet, t->n);
}

static inline uint32_t content_octets(enum content content) {
    struct build b = {.n = 0};
    put_content(&b, content);
    return b.n;
}

static inline void put_whole(struct build *b, const struct tunnel *t) {
    *b = (struct build){.n = 0};
    put_tunnel(b, t, content_octets(t->content));
    put_content(b, t->content);
}

#endif
