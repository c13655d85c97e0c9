/*
 * IPv4 and IPv6 headers, extension headers, IP in IP.
 *
 * Input: a walk that stands at an IP header. Output: walk.ip, the walk behind the headers and
 * bounded by the length that they state, and the layer that follows. A stated length beyond the
 * frame is believed: brokers that slice packets leave such frames, and payload is counted by the IP
 * length, as for a packet that the snaplen cut.
 */
#include "walk.h"

enum {
    IPV4_HEADER = 20,
    IPV6_HEADER = 40,
    EXTENSION_UNIT = 8, /* also the shortest extension header */
    AH_HEADER = 12,     /* its fixed part, RFC 4302 section 2 */
    MAX_EXTENSIONS = 16 /* RFC 8200 section 4.1 knows eight at most; more is an attack on parsers */
};

enum ipv6_extension {
    EXT_HOP_BY_HOP = 0,
    EXT_ROUTING = 43,
    EXT_FRAGMENT = 44,
    EXT_DESTINATION = 60,
    EXT_MOBILITY = 135,
    EXT_HIP = 139,
    EXT_SHIM6 = 140
};

static bool fail(struct walk *w, enum decode_verdict verdict) {
    walk_end(w, verdict);
    return false;
}

/* A header states no length: the sending host left it to its card, so all of the frame belongs to
 * the datagram. */
static bool bound_by_frame(struct walk *w) {
    w->ip.exact = false;
    return w->wire <= CAPTURE_MAX_RECORD || fail(w, DECODE_MALFORMED);
}

/* Hosts drop a datagram whose options do not fit (RFC 791 section 3.1); what they say does not
 * matter here. */
static bool ipv4_options_fit(const uint8_t *at, uint32_t n) {
    enum { OPTION_END = 0, OPTION_NOP = 1 };
    for (uint32_t i = 0; i < n && at[i] != OPTION_END;) {
        if (at[i] == OPTION_NOP) {
            i++;
            continue;
        }
        if (n - i < 2 || at[i + 1] < 2 || at[i + 1] > n - i)
            return false;
        i += at[i + 1];
    }
    return true;
}

/* Read the fixed part and the options, and move behind them; the length is not looked at. */
static bool ipv4_header(struct walk *w) {
    if (!walk_has(w, IPV4_HEADER))
        return false;
    const uint8_t *h = w->at;
    uint32_t header = (h[0] & 0x0fu) * 4;
    if (h[0] >> 4 != 4 || header < IPV4_HEADER)
        return fail(w, DECODE_MALFORMED);
    if (!walk_has(w, header))
        return false;
    if (!ipv4_options_fit(h + IPV4_HEADER, header - IPV4_HEADER))
        return fail(w, DECODE_MALFORMED);
    w->ip = (struct ip){.src = h + 12,
                        .dst = h + 16,
                        .id = walk_u16(h + 4),
                        .family = 4,
                        .protocol = h[9],
                        .ttl = h[8],
                        .exact = true};
    w->hops = (uint8_t)(w->hops + h[8]);
    walk_skip(w, header);
    return true;
}

static struct fragment ipv4_fragment(const uint8_t *header) {
    uint16_t field = walk_u16(header + 6);
    return (struct fragment){
        .id = walk_u16(header + 4), .offset = (field & 0x1fffu) * 8, .more = (field & 0x2000) != 0};
}

static bool ipv6_header(struct walk *w) {
    if (!walk_has(w, IPV6_HEADER))
        return false;
    const uint8_t *h = w->at;
    if (h[0] >> 4 != 6)
        return fail(w, DECODE_MALFORMED);
    w->ip = (struct ip){
        .src = h + 8, .dst = h + 24, .family = 6, .protocol = h[6], .ttl = h[7], .exact = true};
    w->hops = (uint8_t)(w->hops + h[7]);
    walk_skip(w, IPV6_HEADER);
    return true;
}

/* Octets of the extension header that is next; units differ (RFC 8200 section 4, RFC 4302
 * section 2.2). */
static uint32_t extension_length(const struct walk *w) {
    if (w->ip.protocol == EXT_FRAGMENT)
        return EXTENSION_UNIT;
    if (w->ip.protocol == IP_AH)
        return (w->at[1] + 2u) * 4;
    return (w->at[1] + 1u) * EXTENSION_UNIT;
}

/* The extension header that is next, all of it: false when the walk has ended. */
static bool has_extension(struct walk *w, uint32_t *length) {
    if (!walk_has(w, EXTENSION_UNIT))
        return false;
    *length = extension_length(w);
    return walk_has(w, *length);
}

/* The value of an option of the hop-by-hop or destination header that is next; NULL for none of
 * that length. */
static const uint8_t *find_option(const struct walk *w, uint32_t header, uint8_t kind,
                                  uint8_t length) {
    enum { PAD_1 = 0 };
    for (uint32_t n = 2; n + 2 <= header;) {
        const uint8_t *option = w->at + n;
        if (option[0] == PAD_1) {
            n++;
            continue;
        }
        n += 2u + option[1];
        if (option[0] == kind && option[1] == length && n <= header)
            return option + 2;
    }
    return NULL;
}

/* A payload length of zero: a jumbogram (RFC 2675), or a segment larger than 64 KiB that has not
 * left its host yet. */
static bool bound_jumbo(struct walk *w) {
    enum { OPTION_JUMBO = 0xc2 };
    if (w->ip.protocol != EXT_HOP_BY_HOP)
        return bound_by_frame(w);
    uint32_t header;
    if (!has_extension(w, &header))
        return false;
    const uint8_t *option = find_option(w, header, OPTION_JUMBO, 4);
    if (option == NULL)
        return bound_by_frame(w);
    uint32_t length = walk_u32(option);
    /* Section 3: not for lengths that the header could state. */
    if (length <= UINT16_MAX || length > w->wire || length > CAPTURE_MAX_RECORD)
        return fail(w, DECODE_MALFORMED);
    walk_bound(w, length);
    return true;
}

/* While segments are left, the header's destination is a waypoint; both ends count, and sum, the
 * last address (RFC 8200 section 8.1; types 0 and 2: RFC 5095, RFC 6275; segment routing: RFC 8754
 * section 2). */
static void follow_route(struct walk *w, uint32_t length) {
    enum { TYPE_SOURCE = 0, TYPE_HOME = 2, TYPE_SEGMENTS = 4, ONE_ADDRESS = 24 };
    uint8_t type = w->at[2], left = w->at[3];
    if (left == 0)
        return;
    if (length >= ONE_ADDRESS && (type == TYPE_SOURCE || type == TYPE_HOME))
        w->ip.dst = w->at + length - 16;
    else if (length >= ONE_ADDRESS && type == TYPE_SEGMENTS)
        w->ip.dst = w->at + 8;
    else
        w->ip.exact = false;
}

/* A mobile host away from home: both ends count, and sum, its home address (RFC 6275, 6.3). */
static void follow_home(struct walk *w, uint32_t length) {
    enum { OPTION_HOME_ADDRESS = 0xc9 };
    const uint8_t *home = find_option(w, length, OPTION_HOME_ADDRESS, 16);
    if (home != NULL)
        w->ip.src = home;
}

/* The fragment header that is next, and what follows it. One that is first and last is whole
 * (RFC 6946); of a quoted one all that there is of it is here. */
static bool pass_fragment(struct walk *w) {
    const uint8_t *h = w->at;
    uint16_t field = walk_u16(h + 2);
    struct fragment f = {
        .id = walk_u32(h + 4), .offset = field & 0xfff8u, .more = (field & 1) != 0};
    uint8_t next = h[0];
    walk_skip(w, EXTENSION_UNIT);
    w->ip.protocol = next;
    if (f.offset == 0 && (!f.more || w->quoted))
        return true;
    return w->quoted ? fail(w, DECODE_FRAGMENT) : decode_join(w, &f, next);
}

static bool is_extension(const struct ip *ip) {
    switch (ip->protocol) {
    case EXT_HOP_BY_HOP:
    case EXT_ROUTING:
    case EXT_FRAGMENT:
    case EXT_DESTINATION:
    case EXT_MOBILITY:
    case EXT_HIP:
    case EXT_SHIM6:
        return ip->family == 6;
    case IP_AH: /* signs and does not hide: what follows is as it was */
        return true;
    default:
        return false;
    }
}

/* What an extension header says besides what follows it; false when the walk has ended. */
static bool note_extension(struct walk *w, uint32_t length) {
    switch (w->ip.protocol) {
    case EXT_ROUTING:
        follow_route(w, length);
        return true;
    case EXT_DESTINATION:
        follow_home(w, length);
        return true;
    case IP_AH:
        return length >= AH_HEADER || fail(w, DECODE_MALFORMED);
    default:
        return true;
    }
}

/* Move behind all extension headers; false when the walk has ended. */
static bool skip_extensions(struct walk *w) {
    for (int n = 0; is_extension(&w->ip); n++) {
        uint32_t length;
        if (n == MAX_EXTENSIONS)
            return fail(w, DECODE_MALFORMED);
        if (!has_extension(w, &length))
            return false;
        if (w->ip.protocol == EXT_FRAGMENT) {
            if (!pass_fragment(w))
                return false;
            continue;
        }
        if (!note_extension(w, length))
            return false;
        w->ip.protocol = w->at[0];
        walk_skip(w, length);
    }
    return true;
}

static enum layer next_layer(struct walk *w) {
    if (!skip_extensions(w))
        return LAYER_END;
    switch (w->ip.protocol) {
    case IP_TCP:
        return LAYER_TCP;
    case IP_UDP:
        return LAYER_UDP;
    case IP_GRE:
        return LAYER_GRE;
    case IP_IPV4:
        return walk_into(w, DECODE_LAYER_IPIP, 0, LAYER_IPV4);
    case IP_IPV6:
        return walk_into(w, DECODE_LAYER_IPIP, 0, LAYER_IPV6);
    case IP_MPLS: /* RFC 4023 */
        return LAYER_MPLS;
    default:
        break;
    }
    if (w->ip.protocol == (w->ip.family == 4 ? IP_ICMP : IP_ICMPV6))
        return LAYER_ICMP;
    return walk_end(w, DECODE_NOT_TCP);
}

enum layer decode_ipv4(struct walk *w, struct segment *s) {
    (void)s;
    const uint8_t *start = w->at;
    if (!ipv4_header(w))
        return LAYER_END;
    uint32_t total = walk_u16(start + 2), header = (uint32_t)(w->at - start);
    if (total == 0) {
        if (!bound_by_frame(w))
            return LAYER_END;
    } else if (total < header) {
        return walk_end(w, DECODE_MALFORMED);
    } else {
        walk_bound(w, total - header);
    }
    struct fragment f = ipv4_fragment(start);
    if ((f.offset != 0 || f.more) && !decode_join(w, &f, w->ip.protocol))
        return LAYER_END;
    return next_layer(w);
}

enum layer decode_ipv6(struct walk *w, struct segment *s) {
    (void)s;
    const uint8_t *start = w->at;
    if (!ipv6_header(w))
        return LAYER_END;
    uint32_t length = walk_u16(start + 4);
    if (length != 0)
        walk_bound(w, length);
    else if (!bound_jumbo(w))
        return LAYER_END;
    return next_layer(w);
}

enum layer decode_ip(struct walk *w, struct segment *s) {
    (void)s;
    if (!walk_has(w, 1))
        return LAYER_END;
    switch (w->at[0] >> 4) {
    case 4:
        return LAYER_IPV4;
    case 6:
        return LAYER_IPV6;
    default:
        return walk_end(w, DECODE_MALFORMED);
    }
}

bool decode_ip_quoted(struct walk *w, uint8_t family) {
    const uint8_t *start = w->at;
    if (!(family == 4 ? ipv4_header(w) : ipv6_header(w)))
        return false;
    if (family == 4 && ipv4_fragment(start).offset != 0)
        return fail(w, DECODE_FRAGMENT);
    return skip_extensions(w);
}
