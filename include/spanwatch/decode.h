/*
 * decode: from a packet's octets to one TCP segment, or to the reason why there is none.
 *
 * Every octet is read within bounds; any octets may arrive. Pure: no allocation on the path, no clock.
 * All numbers are in host byte order from here on; addresses stay in network order.
 */
#ifndef SPANWATCH_DECODE_H
#define SPANWATCH_DECODE_H

#include "spanwatch/capture.h"

enum segment_flag { /* RFC 9293 section 3.1, the octet of flags as it stands in the header */
    SEGMENT_FIN = 0x01,
    SEGMENT_SYN = 0x02,
    SEGMENT_RST = 0x04,
    SEGMENT_PSH = 0x08,
    SEGMENT_ACK = 0x10,
    SEGMENT_URG = 0x20
};

enum segment_option { /* which options stood in the header */
    SEGMENT_OPT_MSS = 0x01,
    SEGMENT_OPT_WSCALE = 0x02,      /* RFC 7323 section 2 */
    SEGMENT_OPT_TIMESTAMP = 0x04,   /* RFC 7323 section 3 */
    SEGMENT_OPT_SACK_OK = 0x08,     /* RFC 2018 section 2 */
    SEGMENT_OPT_SACK = 0x10,        /* RFC 2018 section 3 */
    SEGMENT_OPT_FASTOPEN = 0x20,    /* RFC 7413, kind 34, or 254 with its magic */
    SEGMENT_OPT_COOKIE = 0x40       /* a Fast Open option that carries a cookie (not a bare request) */
};

enum segment_checksum {
    SEGMENT_CHECKSUM_UNKNOWN,    /* not looked at, or not all octets captured */
    SEGMENT_CHECKSUM_GOOD,
    SEGMENT_CHECKSUM_UNFINISHED, /* the sum of the pseudo header only: left to the sending host's card */
    SEGMENT_CHECKSUM_BAD
};

struct segment {
    uint64_t ts_ns;
    uint8_t src[16], dst[16]; /* network order; IPv4 in the first four octets, the others undefined */
    uint16_t src_port, dst_port;
    uint32_t scope;   /* VLAN and tunnel layers: an id of decode_scope(); 0 is none */
    uint32_t seq, ack;
    uint32_t payload; /* octets of TCP payload on the wire, by the IP length (captured or not) */
    uint32_t tsval, tsecr;             /* valid with SEGMENT_OPT_TIMESTAMP */
    uint32_t sack_left, sack_right;    /* first SACK block, valid with SEGMENT_OPT_SACK */
    uint16_t window;  /* as it stands in the header, not scaled */
    uint16_t mss;     /* valid with SEGMENT_OPT_MSS */
    uint16_t ip_id;   /* IPv4 identification; 0 for IPv6 */
    uint16_t checksum; /* TCP's, as it stands in the header */
    uint8_t family;   /* 4 or 6 */
    uint8_t ttl;      /* or hop limit */
    uint8_t flags;    /* of enum segment_flag, and ECE 0x40, CWR 0x80 */
    uint8_t options;  /* of enum segment_option */
    uint8_t wscale;   /* valid with SEGMENT_OPT_WSCALE; as sent, not capped */
    uint8_t checksum_state; /* of enum segment_checksum; only segments with SYN, FIN or RST are summed */
    uint8_t icmp_type, icmp_code; /* valid for DECODE_ICMP */
};

enum decode_verdict {
    DECODE_TCP,       /* *segment is filled */
    DECODE_ICMP,      /* an ICMP or ICMPv6 error that quotes a TCP segment: src, dst, ports, seq, family, scope,
                         icmp_type and icmp_code are filled, of the QUOTED segment (so src is the end that is told) */
    DECODE_NOT_TCP,   /* something else, whole as far as it was looked at */
    DECODE_FRAGMENT,  /* an IP fragment without a usable TCP header */
    DECODE_TRUNCATED, /* cut by the snaplen before all needed was read */
    DECODE_MALFORMED, /* contradicts its own protocol */
    DECODE_UNKNOWN_LINK /* a link type that is not decoded */
};

/* The layers around a segment's IP header that are part of a flow's identity, outermost first. */
enum decode_layer_kind { DECODE_LAYER_VLAN };

enum { DECODE_MAX_LAYERS = 8, DECODE_MAX_SCOPES = 65536 };

struct decode_scope {
    uint8_t layers;
    struct {
        uint8_t kind; /* of enum decode_layer_kind */
        uint32_t id;  /* VLAN id (12 bits) */
    } layer[DECODE_MAX_LAYERS];
};

struct decoder;

/* A decoder owns the table of scopes. NULL when memory is short. */
struct decoder *decode_new(void);
void decode_free(struct decoder *d);

/*
 * Decode one packet. *segment is written only where the verdict says so; ts_ns is the packet's, always.
 * A segment whose TCP header is cut within its options still is DECODE_TCP, with the options read so far.
 * A first fragment with a whole TCP header is DECODE_TCP with the payload of that fragment.
 * When the table of scopes is full, further ones share id DECODE_MAX_SCOPES - 1 (see decode_scopes_full).
 */
enum decode_verdict decode_packet(struct decoder *d, const struct packet *p, struct segment *segment);

/* The layers of a scope id that a segment bore; valid until decode_free. Id 0 has no layers. */
const struct decode_scope *decode_scope(const struct decoder *d, uint32_t id);

/* How many packets had a scope that found no room. */
uint64_t decode_scopes_full(const struct decoder *d);

/* True when packets of this link type are decoded (LINKTYPE_ value). */
bool decode_knows_link(uint16_t link);

#endif
