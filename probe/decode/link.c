/*
 * Link headers, and what may lie between them and IP: LLC and SNAP, PPP.
 *
 * Input: a walk at the start of a packet of a LINKTYPE_ (https://www.tcpdump.org/linktypes.html).
 * Output: the layer that follows. Checksums at the end of frames need no care: IP states its
 * length.
 */
#include "walk.h"

/* A link header of `size` octets, with an EtherType at `offset`. */
static enum layer typed_header(struct walk *w, uint32_t size, uint32_t offset) {
    if (!walk_has(w, size))
        return LAYER_END;
    uint16_t type = walk_u16(w->at + offset);
    walk_skip(w, size);
    return decode_by_type_or_length(w, type);
}

enum layer decode_ethernet(struct walk *w, struct segment *s) {
    (void)s;
    return typed_header(w, 14, 12);
}

/* Five octets of SNAP: an organisation and its type (RFC 1042; 0000f8: IEEE 802.1H). */
static enum layer snap(struct walk *w) {
    if (!walk_has(w, 5))
        return LAYER_END;
    uint32_t organisation = walk_u32(w->at) >> 8;
    uint16_t type = walk_u16(w->at + 3);
    walk_skip(w, 5);
    if (organisation != 0 && organisation != 0x0000f8)
        return walk_end(w, DECODE_NOT_TCP);
    return decode_by_type(w, type);
}

enum layer decode_llc(struct walk *w, struct segment *s) {
    enum { LLC_SNAP = 0xaaaa03, LLC_IP = 0x060603 };
    (void)s;
    if (!walk_has(w, 3))
        return LAYER_END;
    uint32_t llc = (uint32_t)walk_u16(w->at) << 8 | w->at[2];
    walk_skip(w, 3);
    if (llc == LLC_SNAP)
        return snap(w);
    return llc == LLC_IP ? LAYER_IPV4 : walk_end(w, DECODE_NOT_TCP);
}

/* A PPP protocol number, of one octet when its low bit is set (RFC 1661 sections 2 and 6.5). */
static enum layer ppp_protocol(struct walk *w) {
    enum { PPP_IPV4 = 0x21, PPP_IPV6 = 0x57, PPP_MPLS = 0x281 };
    if (!walk_has(w, 1))
        return LAYER_END;
    uint32_t size = (w->at[0] & 1) != 0 ? 1 : 2;
    if (!walk_has(w, size))
        return LAYER_END;
    uint16_t protocol = size == 1 ? w->at[0] : walk_u16(w->at);
    walk_skip(w, size);
    switch (protocol) {
    case PPP_IPV4:
        return LAYER_IPV4;
    case PPP_IPV6:
        return LAYER_IPV6;
    case PPP_MPLS: /* RFC 3032 section 4.3 */
        return LAYER_MPLS;
    default:
        return walk_end(w, DECODE_NOT_TCP);
    }
}

/* The address and control octets ff 03 may be there or not (RFC 1662 section 3.1). */
enum layer decode_ppp(struct walk *w, struct segment *s) {
    (void)s;
    if (w->captured >= 1 && w->at[0] == 0xff) {
        if (!walk_has(w, 2))
            return LAYER_END;
        if (w->at[1] == 0x03)
            walk_skip(w, 2);
    }
    return ppp_protocol(w);
}

/* One octet of direction, then PPP. */
static enum layer link_ppp_directed(struct walk *w, struct segment *s) {
    (void)s;
    if (!walk_has(w, 1))
        return LAYER_END;
    walk_skip(w, 1);
    return LAYER_PPP;
}

static enum layer link_cisco_hdlc(struct walk *w, struct segment *s) {
    (void)s;
    return typed_header(w, 4, 2);
}

/* PPP in HDLC framing, or Cisco's framing, known by its address octet (RFC 1547 section 4.3.1). */
static enum layer link_ppp_hdlc(struct walk *w, struct segment *s) {
    if (w->captured >= 1 && (w->at[0] == 0x0f || w->at[0] == 0x8f))
        return link_cisco_hdlc(w, s);
    return LAYER_PPP;
}

/* The address family of the capturing host, in its order of octets; IPv6 has a number on each
 * system. */
static enum layer link_loopback(struct walk *w, struct segment *s) {
    (void)s;
    if (!walk_has(w, 4))
        return LAYER_END;
    uint32_t family = walk_u32(w->at);
    if (family > UINT16_MAX)
        family = __builtin_bswap32(family);
    walk_skip(w, 4);
    switch (family) {
    case 2:
        return LAYER_IPV4;
    case 10: /* Linux */
    case 23: /* Windows */
    case 24: /* NetBSD, OpenBSD */
    case 28: /* FreeBSD */
    case 30: /* Darwin */
        return LAYER_IPV6;
    default:
        return walk_end(w, DECODE_NOT_TCP);
    }
}

/* Linux cooked capture: in place of an EtherType may stand 4, for LLC. Others of that kind are no
 * IP. */
static enum layer link_cooked(struct walk *w, uint32_t size, uint32_t offset) {
    enum { COOKED_LLC = 4 };
    if (!walk_has(w, size))
        return LAYER_END;
    uint16_t type = walk_u16(w->at + offset);
    walk_skip(w, size);
    return type == COOKED_LLC ? LAYER_LLC : decode_by_type(w, type);
}

static enum layer link_cooked_v1(struct walk *w, struct segment *s) {
    (void)s;
    return link_cooked(w, 16, 14);
}

static enum layer link_cooked_v2(struct walk *w, struct segment *s) {
    (void)s;
    return link_cooked(w, 20, 0);
}

/* Frame control and two addresses; only frames of class 01 carry LLC (ISO 9314-2). */
static enum layer link_fddi(struct walk *w, struct segment *s) {
    (void)s;
    if (!walk_has(w, 13))
        return LAYER_END;
    bool llc = (w->at[0] & 0x30) == 0x10;
    walk_skip(w, 13);
    return llc ? LAYER_LLC : walk_end(w, DECODE_NOT_TCP);
}

/* An address of two to four octets, whose last has its low bit set; then RFC 2427, or Cisco's
 * EtherType. */
static enum layer link_frame_relay(struct walk *w, struct segment *s) {
    enum {
        UNNUMBERED = 0x03,
        PADDING = 0x00,
        NLPID_SNAP = 0x80,
        NLPID_IPV6 = 0x8e,
        NLPID_IPV4 = 0xcc
    };
    (void)s;
    uint32_t size = 2;
    if (!walk_has(w, size))
        return LAYER_END;
    while (size < 4 && (w->at[size - 1] & 1) == 0)
        if (!walk_has(w, ++size))
            return LAYER_END;
    walk_skip(w, size);
    if (!walk_has(w, 2))
        return LAYER_END;
    if (w->at[0] != UNNUMBERED)
        return typed_header(w, 2, 0);
    walk_skip(w, 1);
    if (w->at[0] == PADDING)
        walk_skip(w, 1);
    if (!walk_has(w, 1))
        return LAYER_END;
    uint8_t nlpid = w->at[0];
    walk_skip(w, 1);
    if (nlpid == NLPID_SNAP)
        return snap(w);
    if (nlpid == NLPID_IPV4)
        return LAYER_IPV4;
    return nlpid == NLPID_IPV6 ? LAYER_IPV6 : walk_end(w, DECODE_NOT_TCP);
}

/* Netfilter's log: attributes in the capturing host's order of octets, one of which is the packet.
 * Types are small, so the octet that is not zero tells the order. */
static enum layer link_nflog(struct walk *w, struct segment *s) {
    enum { NFLOG_HEADER = 4, ATTRIBUTE_HEADER = 4, ATTRIBUTE_PACKET = 9 };
    (void)s;
    if (!walk_has(w, NFLOG_HEADER))
        return LAYER_END;
    walk_skip(w, NFLOG_HEADER);
    while (w->wire >= ATTRIBUTE_HEADER) {
        if (!walk_has(w, ATTRIBUTE_HEADER))
            return LAYER_END;
        bool little = w->at[2] != 0;
        uint32_t length = walk_u16(w->at);
        if (little)
            length = __builtin_bswap16((uint16_t)length);
        if (length < ATTRIBUTE_HEADER)
            return walk_end(w, DECODE_MALFORMED);
        if (w->at[little ? 2 : 3] == ATTRIBUTE_PACKET) {
            walk_skip(w, ATTRIBUTE_HEADER);
            walk_bound(w, length - ATTRIBUTE_HEADER);
            return LAYER_IP;
        }
        length = (length + 3) & ~UINT32_C(3);
        if (!walk_has(w, length))
            return LAYER_END;
        walk_skip(w, length);
    }
    return walk_end(w, DECODE_NOT_TCP);
}

/* Darwin's packets of any interface, each with its link type, in little endian. Those are told here
 * that its interfaces have. */
static enum layer link_pktap(struct walk *w, struct segment *s) {
    enum {
        PKTAP_HEADER = 12,
        LINK_AT = 8,
        OF_NULL = 0,
        OF_ETHERNET = 1,
        OF_RAW = 12,
        OF_WIFI = 105
    };
    if (!walk_has(w, PKTAP_HEADER))
        return LAYER_END;
    uint32_t header = __builtin_bswap32(walk_u32(w->at));
    uint32_t link = __builtin_bswap32(walk_u32(w->at + LINK_AT));
    if (header < PKTAP_HEADER)
        return walk_end(w, DECODE_MALFORMED);
    if (!walk_has(w, header))
        return LAYER_END;
    walk_skip(w, header);
    switch (link) {
    case OF_NULL:
        return link_loopback(w, s);
    case OF_ETHERNET:
        return LAYER_ETHERNET;
    case OF_RAW:
        return LAYER_IP;
    case OF_WIFI:
        return LAYER_WIFI;
    default:
        return walk_end(w, DECODE_NOT_TCP);
    }
}

static decode_step *const links[] = {
    [0] = link_loopback,       /* NULL */
    [1] = decode_ethernet,     /* ETHERNET */
    [9] = decode_ppp,          /* PPP */
    [10] = link_fddi,          /* FDDI */
    [12] = decode_ip,          /* RAW, as some systems number it */
    [14] = decode_ip,          /* the same */
    [50] = link_ppp_hdlc,      /* PPP_HDLC */
    [100] = decode_llc,        /* ATM_RFC1483 */
    [101] = decode_ip,         /* RAW */
    [104] = link_cisco_hdlc,   /* C_HDLC */
    [105] = decode_wifi,       /* IEEE802_11 */
    [107] = link_frame_relay,  /* FRELAY */
    [108] = link_loopback,     /* LOOP */
    [113] = link_cooked_v1,    /* LINUX_SLL */
    [127] = decode_radiotap,   /* IEEE802_11_RADIOTAP */
    [149] = link_pktap,        /* USER2, which older Darwins used for it */
    [166] = link_ppp_directed, /* PPP_PPPD */
    [204] = link_ppp_directed, /* PPP_WITH_DIR */
    [228] = decode_ipv4,       /* IPV4 */
    [229] = decode_ipv6,       /* IPV6 */
    [239] = link_nflog,        /* NFLOG */
    [258] = link_pktap,        /* PKTAP */
    [276] = link_cooked_v2,    /* LINUX_SLL2 */
    [284] = decode_dsa,        /* DSA_TAG_DSA */
    [285] = decode_edsa,       /* DSA_TAG_EDSA */
};

decode_step *decode_link(uint16_t link) {
    return link < sizeof links / sizeof links[0] ? links[link] : NULL;
}

bool decode_knows_link(uint16_t link) {
    return decode_link(link) != NULL;
}
