/*
 * Tunnels over UDP: VXLAN, Geneve, GTP-U, Teredo, CAPWAP, MPLS and GRE.
 *
 * Input: a walk at a UDP header. Output: the layer that the tunnel carries, its id in walk.scope. A
 * tunnel is known by its registered port; what does not look like it in spite of that is not TCP.
 * Teredo's peers choose their ports, so that its packets are known by their addresses.
 */
#include "walk.h"

enum { UDP_HEADER = 8 };

static enum layer not_tcp(struct walk *w) {
    return walk_end(w, DECODE_NOT_TCP);
}

/* RFC 7348 section 5. */
static enum layer vxlan(struct walk *w) {
    enum { HEADER = 8, HAS_ID = 0x08 };
    if (!walk_has(w, HEADER))
        return LAYER_END;
    if ((w->at[0] & HAS_ID) == 0)
        return not_tcp(w);
    uint32_t id = walk_u32(w->at + 4) >> 8;
    walk_skip(w, HEADER);
    return walk_into(w, DECODE_LAYER_VXLAN, id, LAYER_ETHERNET);
}

/* The same with the next protocol named (draft-ietf-nvo3-vxlan-gpe-13 section 3.2). */
static enum layer vxlan_gpe(struct walk *w) {
    enum { HEADER = 8, HAS_PROTOCOL = 0x04, VERSION = 0x30 };
    static const uint8_t layers[] = {[1] = LAYER_IPV4, [2] = LAYER_IPV6, [3] = LAYER_ETHERNET};
    if (!walk_has(w, HEADER))
        return LAYER_END;
    uint8_t flags = w->at[0], protocol = w->at[3];
    if ((flags & VERSION) != 0)
        return not_tcp(w);
    enum layer layer = vxlan(w);
    if (layer == LAYER_END || (flags & HAS_PROTOCOL) == 0)
        return layer;
    return protocol >= 1 && protocol <= 3 ? (enum layer)layers[protocol] : not_tcp(w);
}

/* RFC 8926 section 3.4. */
static enum layer geneve(struct walk *w) {
    enum { HEADER = 8 };
    if (!walk_has(w, HEADER))
        return LAYER_END;
    const uint8_t *h = w->at;
    uint32_t size = HEADER + (h[0] & 0x3fu) * 4, id = walk_u32(h + 4) >> 8;
    uint16_t type = walk_u16(h + 2);
    if (h[0] >> 6 != 0)
        return not_tcp(w);
    if (!walk_has(w, size))
        return LAYER_END;
    walk_skip(w, size);
    return walk_enter(w, DECODE_LAYER_GENEVE, id) ? decode_by_type(w, type) : LAYER_END;
}

/* GTP-U's extension headers: a length in units of four octets, contents, the type of the next one
 * (3GPP TS 29.281 section 5.2.1). False when the walk has ended. */
static bool skip_gtp_extensions(struct walk *w, uint8_t next) {
    enum { MAX_EXTENSIONS = 8 };
    for (int n = 0; next != 0; n++) {
        if (!walk_has(w, 4))
            return false;
        uint32_t size = w->at[0] * 4u;
        if (size == 0 || n == MAX_EXTENSIONS) {
            walk_end(w, DECODE_MALFORMED);
            return false;
        }
        if (!walk_has(w, size))
            return false;
        next = w->at[size - 1];
        walk_skip(w, size);
    }
    return true;
}

/* GTP-U version 1 (3GPP TS 29.281 section 5.1): only user data is carried on, and only IP. */
static enum layer gtp(struct walk *w) {
    enum { HEADER = 8, OPTIONAL = 4, VERSION_1 = 0x30, HAS_OPTIONAL = 0x07, USER_DATA = 255 };
    if (!walk_has(w, HEADER))
        return LAYER_END;
    uint8_t flags = w->at[0], next = 0;
    uint16_t length = walk_u16(w->at + 2);
    if ((flags & 0xf0) != VERSION_1 || w->at[1] != USER_DATA)
        return not_tcp(w);
    walk_skip(w, HEADER);
    walk_bound_frame(w, length);
    if ((flags & HAS_OPTIONAL) != 0) {
        if (!walk_has(w, OPTIONAL))
            return LAYER_END;
        next = (flags & 0x04) != 0 ? w->at[3] : 0;
        walk_skip(w, OPTIONAL);
    }
    if (!skip_gtp_extensions(w, next) || !walk_has(w, 1))
        return LAYER_END;
    uint8_t version = w->at[0] >> 4;
    return version == 4 || version == 6 ? walk_into(w, DECODE_LAYER_GTPU, 0, LAYER_IP) : not_tcp(w);
}

/* Move behind the indications that may stand before a Teredo packet (RFC 4380 section 5.1.1). False
 * when the walk has ended. */
static bool skip_teredo_indications(struct walk *w) {
    enum { AUTHENTICATION = 1, AUTHENTICATION_FIXED = 13, ORIGIN = 0, ORIGIN_SIZE = 8 };
    if (!walk_has(w, 4))
        return false;
    if (walk_u16(w->at) == AUTHENTICATION) {
        uint32_t size = AUTHENTICATION_FIXED + (uint32_t)w->at[2] + w->at[3];
        if (!walk_has(w, size))
            return false;
        walk_skip(w, size);
        if (!walk_has(w, 4))
            return false;
    }
    if (walk_u16(w->at) == ORIGIN) {
        if (!walk_has(w, ORIGIN_SIZE))
            return false;
        walk_skip(w, ORIGIN_SIZE);
    }
    return true;
}

static enum layer teredo(struct walk *w) {
    if (!skip_teredo_indications(w) || !walk_has(w, 1))
        return LAYER_END;
    return w->at[0] >> 4 == 6 ? walk_into(w, DECODE_LAYER_TEREDO, 0, LAYER_IPV6) : not_tcp(w);
}

/* On any port: IPv6 that fills its datagram, to or from an address of Teredo's prefix 2001::/32. */
static bool is_teredo(const struct walk *w) {
    enum { IPV6_HEADER = 40, PREFIX = 0x20010000 };
    if (w->captured < IPV6_HEADER || w->at[0] >> 4 != 6)
        return false;
    return walk_u16(w->at + 4) + (uint32_t)IPV6_HEADER == w->wire &&
           (walk_u32(w->at + 8) == PREFIX || walk_u32(w->at + 24) == PREFIX);
}

/* What access points and their controller exchange (RFC 5415 section 4.3). */
static enum layer capwap(struct walk *w) {
    enum { LEAST = 8, NATIVE = 0x0100, FRAGMENT = 0x0080, RADIO_802_11 = 1 };
    if (!walk_has(w, LEAST))
        return LAYER_END;
    uint32_t word = walk_u32(w->at), size = (word >> 19 & 0x1f) * 4, radio = word >> 9 & 0x1f;
    if (word >> 24 != 0 || size < LEAST || (word & FRAGMENT) != 0)
        return not_tcp(w);
    if (!walk_has(w, size))
        return LAYER_END;
    walk_skip(w, size);
    if ((word & NATIVE) == 0)
        return walk_into(w, DECODE_LAYER_CAPWAP, 0, LAYER_ETHERNET);
    return radio == RADIO_802_11 ? walk_into(w, DECODE_LAYER_CAPWAP, 0, LAYER_WIFI) : not_tcp(w);
}

/* What either port says. Packets of VXLAN, Geneve and the like go to the port in both directions;
 * of the others one direction comes from it. */
static enum layer by_port(struct walk *w, uint16_t source, uint16_t destination) {
    enum { PORT_GTP = 2152, PORT_TEREDO = 3544, PORT_CAPWAP = 5247 };
    switch (destination) {
    case 4789:
    case 8472: /* Linux's default, from before the port was assigned */
        return vxlan(w);
    case 4790:
        return vxlan_gpe(w);
    case 6081:
        return geneve(w);
    case 4754: /* RFC 8086 */
        return LAYER_GRE;
    case 6635: /* RFC 7510 */
        return LAYER_MPLS;
    default:
        break;
    }
    if (source == PORT_GTP || destination == PORT_GTP)
        return gtp(w);
    if (source == PORT_CAPWAP || destination == PORT_CAPWAP)
        return capwap(w);
    if (source == PORT_TEREDO || destination == PORT_TEREDO || is_teredo(w))
        return teredo(w);
    return not_tcp(w);
}

/* A length of 0, or beyond the packet, is that of a packet which a card cuts up later. */
enum layer decode_udp(struct walk *w, struct segment *s) {
    (void)s;
    if (!walk_has(w, UDP_HEADER))
        return LAYER_END;
    uint16_t source = walk_u16(w->at), destination = walk_u16(w->at + 2);
    uint16_t length = walk_u16(w->at + 4);
    if (length != 0 && length < UDP_HEADER)
        return walk_end(w, DECODE_MALFORMED);
    walk_skip(w, UDP_HEADER);
    if (length != 0)
        walk_bound_frame(w, length - UDP_HEADER);
    return by_port(w, source, destination);
}
