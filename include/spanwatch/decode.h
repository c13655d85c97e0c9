/*
 * decode: from a packet's octets to one TCP segment, or to the reason why there is none.
 *
 * Every octet is read within bounds; any octets may arrive. Pure: no allocation on the path, no
 * clock. All numbers are in host byte order from here on; addresses stay in network order.
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
                      SEGMENT_OPT_WSCALE = 0x02,    /* RFC 7323 section 2 */
                      SEGMENT_OPT_TIMESTAMP = 0x04, /* RFC 7323 section 3 */
                      SEGMENT_OPT_SACK_OK = 0x08,   /* RFC 2018 section 2 */
                      SEGMENT_OPT_SACK = 0x10,      /* RFC 2018 section 3 */
                      SEGMENT_OPT_FASTOPEN = 0x20,  /* RFC 7413, kind 34, or 254 with its magic */
                      SEGMENT_OPT_COOKIE =
                          0x40 /* a Fast Open option that carries a cookie (not a bare request) */
};

enum segment_checksum {
    SEGMENT_CHECKSUM_UNKNOWN, /* not looked at, or not all octets captured */
    SEGMENT_CHECKSUM_GOOD,
    SEGMENT_CHECKSUM_UNFINISHED, /* the sum of the pseudo header only: left to the sending host's
                                    card */
    SEGMENT_CHECKSUM_BAD
};

struct segment {
    uint64_t ts_ns;
    uint8_t src[16],
        dst[16]; /* network order; IPv4 in the first four octets, the others undefined */
    uint16_t src_port, dst_port;
    uint32_t scope; /* VLAN and tunnel layers: an id of decode_scope(); 0 is none */
    uint32_t seq, ack;
    uint32_t payload; /* octets of TCP payload on the wire, by the IP length (captured or not) */
    uint32_t tsval, tsecr;          /* valid with SEGMENT_OPT_TIMESTAMP */
    uint32_t sack_left, sack_right; /* first SACK block, valid with SEGMENT_OPT_SACK */
    uint16_t window;                /* as it stands in the header, not scaled */
    uint16_t checksum;              /* TCP's, as it stands in the header */
    uint16_t ip_id;                 /* IPv4 identification; 0 for IPv6 */
    uint8_t flags;                  /* of enum segment_flag, and ECE 0x40, CWR 0x80 */
    uint8_t family;                 /* 4 or 6 */
    uint8_t ttl;                    /* or hop limit */
    uint8_t options;                /* of enum segment_option */
    uint16_t mss;                   /* valid with SEGMENT_OPT_MSS */
    uint8_t wscale;                 /* valid with SEGMENT_OPT_WSCALE; as sent, not capped */
    uint8_t checksum_state; /* of enum segment_checksum; only segments with SYN, FIN or RST are
                               summed */
    uint8_t icmp_type, icmp_code; /* valid for DECODE_ICMP */
    uint8_t hops; /* of TCP: the sum of the TTLs of all IP headers, modulo 256 */
    uint8_t iface; /* of every packet, whatever its verdict: its interface's number, below
                      DECODE_IFACES; the last stands for all further ones too */
};
enum { DECODE_IFACES = 32 };

enum decode_verdict {
    DECODE_TCP,  /* *segment is filled */
    DECODE_ICMP, /* an ICMP or ICMPv6 error that quotes a TCP segment: src, dst, ports, seq, family,
                    scope, icmp_type and icmp_code are filled, of the QUOTED segment (so src is the
                    end that is told) */
    DECODE_NOT_TCP,      /* something else, whole as far as it was looked at */
    DECODE_FRAGMENT,     /* an IP fragment whose datagram still lacks others, or a copy of one */
    DECODE_TRUNCATED,    /* cut by the snaplen before all needed was read */
    DECODE_MALFORMED,    /* contradicts its own protocol */
    DECODE_UNKNOWN_LINK, /* a link type that is not decoded */
    DECODE_VERDICTS
};

/*
 * The layers around a segment's innermost IP header that are part of a flow's identity, outermost
 * first: those that tell overlapping address spaces apart. Both directions of a connection must get
 * one scope, so an id counts only where it is the same both ways; where it is not, the id is 0.
 * MPLS is no layer at all: labels differ by direction, and the hop before the last takes them off
 * (RFC 3031 section 3.16), so that one direction of a connection often has a label and the other
 * none. MACsec, AH and 802.11 are no layers either: they separate nothing.
 */
enum decode_layer_kind {
    DECODE_LAYER_VLAN,  /* VLAN id, IEEE 802.1Q; a priority tag (id 0) is no layer */
    DECODE_LAYER_PPPOE, /* session id, RFC 2516: one for both directions */
    DECODE_LAYER_PBB,   /* service id (I-SID) of IEEE 802.1ah */
    DECODE_LAYER_GRE, /* key, RFC 2890; 0 without one, and for PPTP, whose call id is the receiver's
                         (RFC 2637) */
    DECODE_LAYER_NVGRE,  /* virtual subnet, RFC 7637: the key without its flow id */
    DECODE_LAYER_EOIP,   /* tunnel id of Ethernet over IP in GRE */
    DECODE_LAYER_ERSPAN, /* 0: each direction may come by a mirror session of its own */
    DECODE_LAYER_VXLAN,  /* VNI, RFC 7348. Where routers bridge into the receiver's VNI (asymmetric
                            routing): strip */
    DECODE_LAYER_GENEVE, /* VNI, RFC 8926 */
    DECODE_LAYER_GTPU,   /* 0: an endpoint id (TEID) is the receiver's, one a direction (3GPP
                            TS 29.281) */
    DECODE_LAYER_IPIP,   /* 0: IPv4 or IPv6 in IPv4 or IPv6 (RFC 2003, 2473, 4213) has no id */
    DECODE_LAYER_TEREDO, /* 0, RFC 4380 */
    DECODE_LAYER_CAPWAP  /* 0, RFC 5415 */
};

enum { DECODE_MAX_LAYERS = 8, DECODE_MAX_SCOPES = 65536 };

struct decode_scope {
    uint8_t layers;
    struct {
        uint8_t kind; /* of enum decode_layer_kind */
        uint32_t id;
    } layer[DECODE_MAX_LAYERS];
};

/* Which layers of a sort (VLANs; all others) count: all, none, only the innermost of the sort. */
enum decode_identity { DECODE_KEEP, DECODE_STRIP, DECODE_INNERMOST };

struct decoder;

/* A decoder owns the tables of scopes and of fragments; all layers count. NULL when memory is
 * short. */
struct decoder *decode_new(void);
void decode_free(struct decoder *d);

/* Before the first packet: which layers count as identity. Others are decoded too, but not part of
 * a scope. */
void decode_identify(struct decoder *d, enum decode_identity vlan, enum decode_identity tunnel);

/*
 * Decode one packet. *segment is written only where the verdict says so; ts_ns is the packet's,
 * always. A segment whose TCP header is cut within its options still is DECODE_TCP, with the
 * options read so far. More than DECODE_MAX_LAYERS layers are not followed: DECODE_NOT_TCP.
 *
 * Fragments (RFC 791, RFC 8200 section 4.5) wait for each other, in any order: the one that
 * completes its datagram gives one segment of the whole length. Only the datagram's first octets
 * are kept, enough for all headers. A datagram that is never completed gives nothing, as no host
 * hands it on either; it is counted (decode_datagrams_lost). Overlapping or contradicting fragments
 * make it DECODE_MALFORMED, with all that follow of it (RFC 5722); exact copies are ignored.
 *
 * When the table of scopes is full, further ones share id DECODE_MAX_SCOPES - 1 (see
 * decode_scopes_full).
 */
enum decode_verdict decode_packet(struct decoder *d, const struct packet *p,
                                  struct segment *segment);

/* The layers of a scope id that a segment bore; valid until decode_free. Id 0 has no layers. */
const struct decode_scope *decode_scope(const struct decoder *d, uint32_t id);

/* The id of a stack of layers, as far as they count; a new one where it is new. */
uint32_t decode_scope_id(struct decoder *d, const struct decode_scope *scope);

/* Ids given so far are below this. */
uint32_t decode_scopes(const struct decoder *d);

/* How many packets had a scope that found no room. */
uint64_t decode_scopes_full(const struct decoder *d);

/* Datagrams given up so far: a fragment was missing for 30 s of capture time, or newer datagrams
 * needed the room. */
uint64_t decode_datagrams_lost(const struct decoder *d);

/* True when packets of this link type are decoded (LINKTYPE_ value). */
bool decode_knows_link(uint16_t link);

#endif
