/*
 * What bridges put between a frame's addresses and its payload: VLAN tags, provider backbone
 * headers, MACsec, the tags of switch chips; and which layer an EtherType names.
 *
 * Input: a walk behind an EtherType, or at the start of a frame. Output: the layer that follows,
 * with ids noted in walk.scope.
 */
#include "walk.h"

enum { ADDRESSES = 12 /* octets of a frame's two addresses */ };

enum layer decode_by_type(struct walk *w, uint16_t type) {
    switch (type) {
    case TYPE_IPV4:
        return LAYER_IPV4;
    case TYPE_IPV6:
        return LAYER_IPV6;
    case 0x8100: /* IEEE 802.1Q */
    case 0x88a8: /* IEEE 802.1ad */
    case 0x9100: /* double tags before 802.1ad */
    case 0x9200:
        return LAYER_VLAN;
    case 0x8847: /* RFC 5332 section 3 */
    case 0x8848:
        return LAYER_MPLS;
    case 0x8864: /* RFC 2516: a session; its discovery carries no packets */
        return LAYER_PPPOE;
    case 0x88e5: /* IEEE 802.1AE */
        return LAYER_MACSEC;
    case 0x88e7: /* IEEE 802.1ah */
        return LAYER_PBB;
    case TYPE_BRIDGED:
        return LAYER_ETHERNET;
    case TYPE_PPP:
        return LAYER_PPP;
    default:
        return walk_end(w, DECODE_NOT_TCP);
    }
}

enum layer decode_by_type_or_length(struct walk *w, uint16_t type) {
    if (type > TYPE_LENGTH_MAX)
        return decode_by_type(w, type);
    walk_bound_frame(w, type);
    return LAYER_LLC;
}

/* The type that is next, and what it names. */
static enum layer read_type(struct walk *w) {
    if (!walk_has(w, 2))
        return LAYER_END;
    uint16_t type = walk_u16(w->at);
    walk_skip(w, 2);
    return decode_by_type_or_length(w, type);
}

/* An id of 0 tags a priority only, no VLAN (IEEE 802.1Q section 9.6). */
static bool enter_vlan(struct walk *w, uint16_t tag) {
    uint16_t id = tag & 0x0fff;
    return id == 0 || walk_enter(w, DECODE_LAYER_VLAN, id);
}

enum layer decode_vlan(struct walk *w, struct segment *s) {
    (void)s;
    if (!walk_has(w, 4))
        return LAYER_END;
    uint16_t tag = walk_u16(w->at), type = walk_u16(w->at + 2);
    walk_skip(w, 4);
    return enter_vlan(w, tag) ? decode_by_type_or_length(w, type) : LAYER_END;
}

/* Priorities and flags, 24 bits of service id, then the customer's frame (IEEE 802.1Q, 9.7). */
enum layer decode_pbb(struct walk *w, struct segment *s) {
    (void)s;
    if (!walk_has(w, 4))
        return LAYER_END;
    uint32_t service = walk_u32(w->at) & 0xffffff;
    walk_skip(w, 4);
    return walk_into(w, DECODE_LAYER_PBB, service, LAYER_ETHERNET);
}

/* The security tag, with the sender's id or without (IEEE 802.1AE section 9.3): frames may be
 * signed and not encrypted, and are then as they were, with the signature behind. */
enum layer decode_macsec(struct walk *w, struct segment *s) {
    enum { VERSION = 0x80, HAS_SENDER = 0x20, ENCRYPTED_OR_CHANGED = 0x0c };
    (void)s;
    if (!walk_has(w, 1))
        return LAYER_END;
    uint8_t control = w->at[0];
    if ((control & (VERSION | ENCRYPTED_OR_CHANGED)) != 0)
        return walk_end(w, DECODE_NOT_TCP);
    uint32_t size = (control & HAS_SENDER) != 0 ? 14 : 6;
    if (!walk_has(w, size))
        return LAYER_END;
    walk_skip(w, size);
    return read_type(w);
}

/* The four octets of a Marvell switch chip's tag. In a frame that had a VLAN tag they stand in its
 * place (Linux: net/dsa/tag_dsa.c tells the modes apart). */
static enum layer chip_tag(struct walk *w) {
    enum { CHIP_TAG = 4, HAD_VLAN = 0x20 };
    if (!walk_has(w, CHIP_TAG))
        return LAYER_END;
    bool tagged = (w->at[0] & HAD_VLAN) != 0;
    uint16_t tag = walk_u16(w->at + 2);
    walk_skip(w, CHIP_TAG);
    return !tagged || enter_vlan(w, tag) ? read_type(w) : LAYER_END;
}

enum layer decode_dsa(struct walk *w, struct segment *s) {
    (void)s;
    if (!walk_has(w, ADDRESSES))
        return LAYER_END;
    walk_skip(w, ADDRESSES);
    return chip_tag(w);
}

/* The same behind a type and two octets of zero. */
enum layer decode_edsa(struct walk *w, struct segment *s) {
    (void)s;
    if (!walk_has(w, ADDRESSES + 4))
        return LAYER_END;
    walk_skip(w, ADDRESSES + 4);
    return chip_tag(w);
}
