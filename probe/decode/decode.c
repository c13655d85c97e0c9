/*
 * decode: the walk over one packet's layers.
 *
 * Input: a packet and its link type. Output: a verdict, and a segment where there is one. Most
 * packets of a mirror port are TCP over IPv4 over untagged Ethernet, so these take a straight path;
 * all others go step by step through the table of layers. Both end in the same TCP step. The caller
 * owns decoder and segment; nothing is allocated.
 */
#include <stdlib.h>
#include <sys/random.h>

#include "walk.h"

/* Steps of one packet: DECODE_MAX_LAYERS times Ethernet, IP, UDP and VXLAN, and what they carry.
 * A packet beyond is not followed. */
enum { MAX_STEPS = 40, ETHERNET_HEADER = 14, IPV4_HEADER = 20, TCP_HEADER = 20 };

static decode_step *const steps[LAYER_END] = {
    [LAYER_ETHERNET] = decode_ethernet, [LAYER_VLAN] = decode_vlan,
    [LAYER_PBB] = decode_pbb,           [LAYER_MACSEC] = decode_macsec,
    [LAYER_LLC] = decode_llc,           [LAYER_WIFI] = decode_wifi,
    [LAYER_PPPOE] = decode_pppoe,       [LAYER_PPP] = decode_ppp,
    [LAYER_MPLS] = decode_mpls,         [LAYER_IP] = decode_ip,
    [LAYER_IPV4] = decode_ipv4,         [LAYER_IPV6] = decode_ipv6,
    [LAYER_GRE] = decode_gre,           [LAYER_UDP] = decode_udp,
    [LAYER_TCP] = decode_tcp,           [LAYER_ICMP] = decode_icmp,
};

struct decoder *decode_new(void) {
    struct decoder *d = calloc(1, sizeof *d);
    if (d == NULL)
        return NULL;
    d->scopes = decode_scopes_new();
    d->fragments = decode_fragments_new();
    if (d->scopes == NULL || d->fragments == NULL) {
        decode_free(d);
        return NULL;
    }
    return d;
}

void decode_free(struct decoder *d) {
    if (d == NULL)
        return;
    free(d->scopes);
    free(d->fragments);
    free(d);
}

void decode_identify(struct decoder *d, enum decode_identity vlan, enum decode_identity tunnel) {
    decode_scopes_identify(d->scopes, vlan, tunnel);
}

uint64_t decode_datagrams_lost(const struct decoder *d) {
    return decode_fragments_lost(d->fragments);
}

void decode_new_key(uint64_t key[2], const void *block) {
    /* Without the system's randomness the address of a block is still hard to guess. */
    if (getrandom(key, 2 * sizeof *key, 0) != (ssize_t)(2 * sizeof *key))
        key[0] = (uintptr_t)block;
}

/* Ethernet without a tag, IPv4 without options, a whole datagram of a stated length, TCP, its
 * header captured. */
static inline bool is_plain(const struct packet *p) {
    if (p->link != 1 || p->captured < ETHERNET_HEADER + IPV4_HEADER + TCP_HEADER)
        return false;
    const uint8_t *ip = p->data + ETHERNET_HEADER;
    return walk_u16(p->data + 12) == 0x0800 && ip[0] == 0x45 && ip[9] == IP_TCP &&
           (walk_u16(ip + 6) & 0x3fff) == 0 && walk_u16(ip + 2) >= IPV4_HEADER + TCP_HEADER;
}

static inline void walk_plain(struct walk *w, const struct packet *p) {
    const uint8_t *ip = p->data + ETHERNET_HEADER;
    w->at = ip + IPV4_HEADER;
    w->captured = p->captured - ETHERNET_HEADER - IPV4_HEADER;
    walk_bound(w, walk_u16(ip + 2) - (uint32_t)IPV4_HEADER);
    w->scope.layers = 0;
    w->ip.src = ip + 12;
    w->ip.dst = ip + 16;
    w->ip.id = walk_u16(ip + 4);
    w->ip.family = 4;
    w->ip.ttl = ip[8];
    w->ip.exact = true;
}

static void walk_layers(struct walk *w, const struct packet *p, struct segment *segment) {
    decode_step *link = decode_link(p->link);
    if (link == NULL) {
        w->verdict = DECODE_UNKNOWN_LINK;
        return;
    }
    w->at = p->data;
    w->captured = p->captured;
    w->wire = p->length > p->captured ? p->length : p->captured;
    w->scope.layers = 0;
    w->quoted = false;
    w->ts_ns = p->ts_ns;
    w->verdict = DECODE_NOT_TCP; /* stands when the steps run out */
    enum layer layer = link(w, segment);
    for (int n = 1; layer != LAYER_END && n < MAX_STEPS; n++)
        layer = steps[layer](w, segment);
}

enum decode_verdict decode_packet(struct decoder *d, const struct packet *p,
                                  struct segment *segment) {
    struct walk w;
    w.decoder = d;
    segment->ts_ns = p->ts_ns;
    if (is_plain(p)) {
        walk_plain(&w, p);
        decode_tcp(&w, segment);
    } else {
        walk_layers(&w, p, segment);
    }
    return w.verdict;
}
