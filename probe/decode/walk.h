/*
 * walk: what the steps of the decode room share: the place reached in a packet, and what is known
 * so far.
 *
 * A packet is walked layer by layer. Each step reads its own header within bounds, moves the walk
 * behind it and names the next layer, or ends the walk with a verdict. decode.c runs the steps in a
 * loop with a bound, so that layers in layers never become calls in calls. A walk lives on the
 * stack for one packet; it borrows the packet.
 */
#ifndef SPANWATCH_DECODE_WALK_H
#define SPANWATCH_DECODE_WALK_H

#include <endian.h>
#include <string.h>

#include "spanwatch/decode.h"

enum layer {
    LAYER_ETHERNET,
    LAYER_VLAN,
    LAYER_LLC,
    LAYER_PPP,
    LAYER_IP, /* of the version that its first octet says */
    LAYER_IPV4,
    LAYER_IPV6,
    LAYER_TCP,
    LAYER_ICMP, /* of the family of the IP header before it */
    LAYER_END   /* walk.verdict is set */
};

enum ip_protocol { IP_ICMP = 1, IP_TCP = 6, IP_AH = 51, IP_ICMPV6 = 58 };

/* Of the innermost IP header that was read. */
struct ip {
    const uint8_t *src, *dst; /* within the packet */
    uint16_t id;              /* IPv4; 0 for IPv6 */
    uint8_t family;           /* 4 or 6 */
    uint8_t protocol;         /* after the extension headers */
    uint8_t ttl;
    bool fragment; /* the first of several: its datagram goes on elsewhere */
    bool exact;    /* the length is the header's, and the addresses are those that TCP sums */
};

struct walk {
    const uint8_t *at; /* the next octet */
    uint32_t captured; /* octets at `at`; never more than wire */
    uint32_t wire;     /* octets that were there on the wire, as far as the layers around say */
    enum decode_verdict verdict;
    struct decoder *decoder;
    struct ip ip;
    struct decode_scope scope; /* only the first scope.layers layers are set */
};

typedef enum layer decode_step(struct walk *w, struct segment *s);

static inline uint16_t walk_u16(const uint8_t *at) {
    uint16_t v;
    memcpy(&v, at, sizeof v);
    return be16toh(v);
}

static inline uint32_t walk_u32(const uint8_t *at) {
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return be32toh(v);
}

static inline enum layer walk_end(struct walk *w, enum decode_verdict verdict) {
    w->verdict = verdict;
    return LAYER_END;
}

/* The packet itself is too short for what it says it is: for a first fragment that is no
 * contradiction. */
static inline enum layer walk_too_short(struct walk *w) {
    return walk_end(w, w->ip.fragment ? DECODE_FRAGMENT : DECODE_MALFORMED);
}

/* Are the next n octets here? If not, the verdict says why. */
static inline bool walk_has(struct walk *w, uint32_t n) {
    if (w->captured >= n)
        return true;
    if (w->wire >= n)
        walk_end(w, DECODE_TRUNCATED);
    else
        walk_too_short(w);
    return false;
}

/* Move behind n octets that walk_has has seen. */
static inline void walk_skip(struct walk *w, uint32_t n) {
    w->at += n;
    w->captured -= n;
    w->wire -= n;
}

/* From here on there are n octets, says a header; what follows them is padding. */
static inline void walk_bound(struct walk *w, uint32_t n) {
    w->wire = n;
    if (w->captured > n)
        w->captured = n;
}

/* link.c: the step that reads a link type's header; NULL for one that is not decoded. */
decode_step *decode_link(uint16_t link);
decode_step decode_ethernet, decode_vlan, decode_llc, decode_ppp;

/* ip.c */
decode_step decode_ip, decode_ipv4, decode_ipv6;
/* Read an IP header of the family and its extension headers, without believing its length: it may
 * be quoted in part. False when the walk has ended; else walk.ip is filled. */
bool decode_ip_quoted(struct walk *w, uint8_t family);

/* icmp.c, tcp.c */
decode_step decode_icmp, decode_tcp;

/* options.c: walk the n octets of TCP options at `at` into the segment. */
void decode_options(const uint8_t *at, uint32_t n, struct segment *s);

/* checksum.c: judge the segment whose header is next and which was captured whole. */
enum segment_checksum decode_checksum(const struct walk *w);

/* scope.c: the id of a scope of at least one layer. */
uint32_t decode_scope_id(struct decoder *d, const struct decode_scope *scope);

/* What identifies the flow besides the ports: family, addresses, scope. */
static inline void walk_identify(struct walk *w, struct segment *s) {
    size_t octets = w->ip.family == 4 ? 4 : 16;
    s->family = w->ip.family;
    memcpy(s->src, w->ip.src, octets);
    memcpy(s->dst, w->ip.dst, octets);
    s->scope = w->scope.layers == 0 ? 0 : decode_scope_id(w->decoder, &w->scope);
}

#endif
