/*
 * decode: the walk over one packet's layers.
 *
 * Input: a packet and its link type. Output: a verdict, and a segment where there is one. Most
 * packets of a mirror port are TCP over IPv4 over untagged Ethernet, so these take a short way
 * (plain.c); all others go step by step through the table of layers. The caller owns decoder and
 * segment; nothing is allocated.
 */
#include <stdlib.h>
#include <sys/random.h>

#include "walk.h"

/* Steps of one packet: DECODE_MAX_LAYERS times Ethernet, IP, UDP and VXLAN, and what they carry.
 * A packet beyond is not followed. */
enum { MAX_STEPS = 40 };

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

static enum decode_verdict walk_layers(struct decoder *d, const struct packet *p,
                                       struct segment *segment) {
    struct walk w;
    decode_step *link = decode_link(p->link);
    if (link == NULL)
        return DECODE_UNKNOWN_LINK;
    w.decoder = d;
    w.at = p->data;
    w.captured = p->captured;
    w.wire = p->length > p->captured ? p->length : p->captured;
    w.scope.layers = 0;
    w.quoted = false;
    w.hops = 0;
    w.ts_ns = p->ts_ns;
    w.verdict = DECODE_NOT_TCP; /* stands when the steps run out */
    enum layer layer = link(&w, segment);
    for (int n = 1; layer != LAYER_END && n < MAX_STEPS; n++)
        layer = steps[layer](&w, segment);
    return w.verdict;
}

enum decode_verdict decode_packet(struct decoder *d, const struct packet *p,
                                  struct segment *segment) {
    segment->ts_ns = p->ts_ns;
    segment->iface = p->iface < DECODE_IFACES ? (uint8_t)p->iface : DECODE_IFACES - 1;
    return decode_plain(p, segment) ? DECODE_TCP : walk_layers(d, p, segment);
}
