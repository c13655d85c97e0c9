/*
 * GRE (RFC 2784) with checksum, key and sequence number (RFC 2890), and what is built on it: mirror
 * sessions (ERSPAN I, II, III), NVGRE, PPTP, Ethernet over IP.
 *
 * Input: a walk at a GRE header. Output: the layer that it carries; the key, or what stands for it,
 * in walk.scope. Headers with a source route (RFC 1701) are not followed.
 */
#include "walk.h"

enum flag {
    HAS_CHECKSUM = 0x8000,
    HAS_ROUTE = 0x4000,
    HAS_KEY = 0x2000,
    HAS_SEQUENCE = 0x1000,
    HAS_ACK = 0x0080, /* version 1 only */
    VERSION = 0x0007
};

enum carried {
    EOIP = 0x6400,
    ERSPAN = 0x88be, /* types I and II */
    ERSPAN_3 = 0x22eb,
    WIFI = 0x8200,          /* sixteen types from here: a vendor's access points, by radio class */
    NVGRE_FIRST = 4096 << 8 /* virtual subnets below are reserved: RFC 7637 section 3.2 */
};

static bool is_wifi(uint16_t type) {
    return (type & 0xfff0) == WIFI || (type & 0xfff0) == 0x9000;
}

/* What a mirrored packet begins with, in the third version (draft-foschiano-erspan-03, 4.3). */
static enum layer erspan_3(struct walk *w) {
    enum { HEADER = 12, SUBHEADER = 8, FRAME_ETHERNET = 0, FRAME_IP = 2 };
    if (!walk_has(w, HEADER))
        return LAYER_END;
    uint32_t size = HEADER + ((w->at[11] & 1) != 0 ? SUBHEADER : 0);
    uint8_t frame = w->at[10] >> 2 & 0x1f;
    if (!walk_has(w, size))
        return LAYER_END;
    walk_skip(w, size);
    if (frame == FRAME_ETHERNET)
        return LAYER_ETHERNET;
    return frame == FRAME_IP ? LAYER_IP : walk_end(w, DECODE_NOT_TCP);
}

/* The first version has no header of its own, the second a sequence number in GRE and eight octets.
 * The VLAN that these name is the source port's, for one direction perhaps another than for the
 * other; a tag that the frame bore is still in it. */
static enum layer erspan(struct walk *w, uint16_t type, bool has_sequence) {
    enum { HEADER_2 = 8 };
    if (!walk_enter(w, DECODE_LAYER_ERSPAN, 0))
        return LAYER_END;
    if (type == ERSPAN_3)
        return erspan_3(w);
    if (has_sequence) {
        if (!walk_has(w, HEADER_2))
            return LAYER_END;
        walk_skip(w, HEADER_2);
    }
    return LAYER_ETHERNET;
}

/* Frames with a key are NVGRE's or those of a plain tunnel with one; only by the size of the key
 * can they be told apart. Its low octet is a hash over the flow, for one direction another than for
 * the other. */
static enum layer bridged(struct walk *w, uint32_t flags, uint32_t key) {
    if ((flags & (HAS_KEY | HAS_CHECKSUM | HAS_SEQUENCE)) == HAS_KEY && key >= NVGRE_FIRST)
        return walk_into(w, DECODE_LAYER_NVGRE, key >> 8, LAYER_ETHERNET);
    return walk_into(w, DECODE_LAYER_GRE, key, LAYER_ETHERNET);
}

static enum layer carried(struct walk *w, uint16_t type, uint32_t flags, uint32_t key) {
    if (type == ERSPAN || type == ERSPAN_3)
        return erspan(w, type, (flags & HAS_SEQUENCE) != 0);
    if (type == TYPE_BRIDGED)
        return bridged(w, flags, key);
    if (!walk_enter(w, DECODE_LAYER_GRE, key))
        return LAYER_END;
    return is_wifi(type) ? LAYER_WIFI : decode_by_type(w, type);
}

/* Version 1: PPTP's (RFC 2637 section 4.1), whose key is a length and the receiver's call id, and
 * Ethernet over IP, whose key is a length and, little endian, the tunnel's id. */
static enum layer version_1(struct walk *w, uint32_t flags, uint16_t type) {
    uint32_t size = 8 + ((flags & HAS_SEQUENCE) != 0 ? 4u : 0) + ((flags & HAS_ACK) != 0 ? 4u : 0);
    if (!walk_has(w, size))
        return LAYER_END;
    uint16_t length = walk_u16(w->at + 4), tunnel = __builtin_bswap16(walk_u16(w->at + 6));
    walk_skip(w, size);
    if ((flags & HAS_KEY) == 0 || length == 0)
        return walk_end(w, DECODE_NOT_TCP);
    walk_bound_frame(w, length);
    if (type == TYPE_PPP)
        return walk_into(w, DECODE_LAYER_GRE, 0, LAYER_PPP);
    if (type == EOIP)
        return walk_into(w, DECODE_LAYER_EOIP, tunnel, LAYER_ETHERNET);
    return walk_end(w, DECODE_NOT_TCP);
}

enum layer decode_gre(struct walk *w, struct segment *s) {
    (void)s;
    if (!walk_has(w, 4))
        return LAYER_END;
    uint32_t flags = walk_u16(w->at), size = 4, key = 0;
    uint16_t type = walk_u16(w->at + 2);
    if ((flags & VERSION) == 1)
        return version_1(w, flags, type);
    if ((flags & (VERSION | HAS_ROUTE)) != 0)
        return walk_end(w, DECODE_NOT_TCP);
    size += (flags & HAS_CHECKSUM) != 0 ? 4 : 0;
    uint32_t key_at = size;
    size += (flags & HAS_KEY) != 0 ? 4 : 0;
    size += (flags & HAS_SEQUENCE) != 0 ? 4 : 0;
    if (!walk_has(w, size))
        return LAYER_END;
    if ((flags & HAS_KEY) != 0)
        key = walk_u32(w->at + key_at);
    walk_skip(w, size);
    return carried(w, type, flags, key);
}
