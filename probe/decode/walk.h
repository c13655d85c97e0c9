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
    LAYER_PBB,
    LAYER_MACSEC,
    LAYER_LLC,
    LAYER_WIFI,
    LAYER_PPPOE,
    LAYER_PPP,
    LAYER_MPLS,
    LAYER_IP, /* of the version that its first octet says */
    LAYER_IPV4,
    LAYER_IPV6,
    LAYER_GRE,
    LAYER_UDP,
    LAYER_TCP,
    LAYER_ICMP, /* of the family of the IP header before it */
    LAYER_END   /* walk.verdict is set */
};

enum ethertype {
    TYPE_LENGTH_MAX = 1500, /* up to here it is the length of an LLC frame */
    TYPE_IPV4 = 0x0800,
    TYPE_BRIDGED = 0x6558, /* an Ethernet frame */
    TYPE_IPV6 = 0x86dd,
    TYPE_PPP = 0x880b
};

enum ip_protocol {
    IP_ICMP = 1,
    IP_IPV4 = 4,
    IP_TCP = 6,
    IP_UDP = 17,
    IP_IPV6 = 41,
    IP_GRE = 47,
    IP_AH = 51,
    IP_ICMPV6 = 58,
    IP_MPLS = 137
};

/* Of the innermost IP header that was read. */
struct ip {
    const uint8_t *src, *dst; /* within the packet, or among what is kept of a datagram */
    uint16_t id;              /* IPv4; 0 for IPv6 */
    uint8_t family;           /* 4 or 6 */
    uint8_t protocol;         /* after the extension headers */
    uint8_t ttl;
    bool exact; /* the length is the header's, and the addresses are those that TCP sums */
};

/* Where a fragment belongs. */
struct fragment {
    uint32_t id;
    uint32_t offset; /* octets */
    bool more;       /* others follow; neither an offset nor this: no fragment */
};

struct walk {
    const uint8_t *at; /* the next octet */
    uint32_t captured; /* octets at `at`; never more than wire */
    uint32_t wire;     /* octets that were there on the wire, as far as the layers around say */
    enum decode_verdict verdict;
    bool
        quoted; /* what is next stands in an ICMP error: a part of a packet that was sent earlier */
    uint8_t hops; /* the sum of the TTLs so far, modulo 256 */
    uint64_t ts_ns;
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

/* Are the next n octets here? If not, the verdict says why. */
static inline bool walk_has(struct walk *w, uint32_t n) {
    if (w->captured >= n)
        return true;
    walk_end(w, w->wire >= n ? DECODE_TRUNCATED : DECODE_MALFORMED);
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

/* The same where what lies around may say more than there is: frames are longer for their padding,
 * and shorter where a card cuts them up later. */
static inline void walk_bound_frame(struct walk *w, uint32_t n) {
    if (n < w->wire)
        walk_bound(w, n);
}

/* Note a layer that is part of the identity; past the deepest nesting the walk ends. */
static inline bool walk_enter(struct walk *w, enum decode_layer_kind kind, uint32_t id) {
    if (w->scope.layers == DECODE_MAX_LAYERS) {
        walk_end(w, DECODE_NOT_TCP);
        return false;
    }
    w->scope.layer[w->scope.layers].kind = (uint8_t)kind;
    w->scope.layer[w->scope.layers].id = id;
    w->scope.layers++;
    return true;
}

/* The same for a layer behind which `layer` follows. */
static inline enum layer walk_into(struct walk *w, enum decode_layer_kind kind, uint32_t id,
                                   enum layer layer) {
    return walk_enter(w, kind, id) ? layer : LAYER_END;
}

/* link.c: the step that reads a link type's header; NULL for one that is not decoded. */
decode_step *decode_link(uint16_t link);
decode_step decode_ethernet, decode_llc, decode_ppp;

/* bridge.c: the layer of an EtherType; the same where a length may stand in its place (IEEE 802.3
 * section 3.2.6); the headers with which bridges mark frames. */
enum layer decode_by_type(struct walk *w, uint16_t type);
enum layer decode_by_type_or_length(struct walk *w, uint16_t type);
decode_step decode_vlan, decode_pbb, decode_macsec, decode_dsa, decode_edsa;

/* wifi.c */
decode_step decode_wifi, decode_radiotap;

/* pppoe.c, mpls.c, gre.c, udp.c */
decode_step decode_pppoe, decode_mpls, decode_gre, decode_udp;

/* ip.c */
decode_step decode_ip, decode_ipv4, decode_ipv6;
/* Read an IP header of the family and its extension headers, without believing its length: it may
 * be quoted in part. False when the walk has ended; else walk.ip is filled. */
bool decode_ip_quoted(struct walk *w, uint8_t family);

/* fragment.c: take the fragment that is next and ends with the walk. False when the walk has ended:
 * others are missing. True when it was the last one missing: the walk is at the datagram's first
 * octets, walk.ip.protocol says of which kind. `protocol` is what this fragment says of that. */
bool decode_join(struct walk *w, const struct fragment *f, uint8_t protocol);
struct fragments *decode_fragments_new(void);
uint64_t decode_fragments_lost(const struct fragments *t);

/* icmp.c, tcp.c */
decode_step decode_icmp, decode_tcp;

/* options.c: walk the n octets of TCP options at `at` into the segment. */
void decode_options(const uint8_t *at, uint32_t n, struct segment *s);

/* checksum.c: judge a segment of n octets, captured whole, between these addresses. */
enum segment_checksum decode_checksum(const struct ip *ip, const uint8_t *segment, uint32_t n);

/* plain.c: the short way of most packets. False: not such a packet, walk it. */
bool decode_plain(const struct packet *p, struct segment *s);

/* scope.c */
struct scopes *decode_scopes_new(void);
void decode_scopes_identify(struct scopes *t, enum decode_identity vlan,
                            enum decode_identity tunnel);

/* What a decoder owns; each block is its file's. */
struct decoder {
    struct scopes *scopes;
    struct fragments *fragments;
};

/* A key for hashes over what strangers choose. */
void decode_new_key(uint64_t key[2], const void *block);

static inline uint32_t walk_scope(const struct walk *w) {
    return w->scope.layers == 0 ? 0 : decode_scope_id(w->decoder, &w->scope);
}

/* What identifies the flow besides the ports: family, addresses, scope. */
static inline void walk_identify(struct walk *w, struct segment *s) {
    size_t octets = w->ip.family == 4 ? 4 : 16;
    s->family = w->ip.family;
    memcpy(s->src, w->ip.src, octets);
    memcpy(s->dst, w->ip.dst, octets);
    s->scope = walk_scope(w);
}

#endif
