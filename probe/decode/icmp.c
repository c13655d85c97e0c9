/*
 * ICMP and ICMPv6 errors that quote a TCP segment (RFC 792, RFC 4443).
 *
 * Input: a walk at an ICMP header. Output: DECODE_ICMP with the endpoints and the sequence number
 * of the quoted segment. Routers quote 8 octets of it at least, so no more is asked for; lengths
 * and checksums within a quote are not looked at, as hosts were known to return them altered.
 */
#include "walk.h"

enum { ICMP_HEADER = 8, QUOTED_TCP = 8 };

/* Destination unreachable, time exceeded, parameter problem; of ICMPv6 also packet too big. */
static bool is_error(uint8_t family, uint8_t type) {
    if (family == 4)
        return type == 3 || type == 11 || type == 12;
    return type >= 1 && type <= 4;
}

enum layer decode_icmp(struct walk *w, struct segment *s) {
    if (!walk_has(w, ICMP_HEADER))
        return LAYER_END;
    uint8_t family = w->ip.family, type = w->at[0], code = w->at[1];
    if (!is_error(family, type))
        return walk_end(w, DECODE_NOT_TCP);
    walk_skip(w, ICMP_HEADER);
    w->quoted = true;
    if (!decode_ip_quoted(w, family))
        return LAYER_END;
    if (w->ip.protocol != IP_TCP)
        return walk_end(w, DECODE_NOT_TCP);
    if (!walk_has(w, QUOTED_TCP))
        return LAYER_END;
    walk_identify(w, s);
    s->src_port = walk_u16(w->at);
    s->dst_port = walk_u16(w->at + 2);
    s->seq = walk_u32(w->at + 4);
    s->icmp_type = type;
    s->icmp_code = code;
    return walk_end(w, DECODE_ICMP);
}
