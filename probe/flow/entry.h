/*
 * entry: what is kept of a connection: a head, and a body in one of three forms.
 */
#ifndef SPANWATCH_FLOW_ENTRY_H
#define SPANWATCH_FLOW_ENTRY_H

#include <assert.h>
#include <stddef.h>

#include "spanwatch/flow.h"
#include "spanwatch/tcp.h"

#include "zeek.h"

enum flow_flag {
    FLOW_IPV6 = 0x01,
    FLOW_CLIENT_1 = 0x02,   /* side 1 is the client, else side 0 */
    FLOW_FINISHED = 0x04,   /* both ends CLOSED and told: kept a while for what comes late */
    FLOW_TENTATIVE = 0x08,  /* nothing is said of it yet */
    FLOW_USED = 0x10,       /* the entry holds a flow */
    FLOW_COUNTED = 0x20,    /* in flows_open */
    FLOW_REFUSED = 0x40,    /* the SYN was answered with a RST, or an ICMP error */
    FLOW_RESET = 0x80,      /* closed by a RST */
    FLOW_DATA_0 = 0x100,    /* Zeek's D stands for side 0; FLOW_DATA_0 << 1 for side 1 */
    FLOW_ACK_0 = 0x400,     /* Zeek's A likewise */
    FLOW_PICTURED = 0x1000, /* equal to picture.parity: not to be given any more */
    FLOW_RESTORED = 0x2000, /* begun in another run of the program, which gave it restored_id */
    FLOW_UNSURE = 0x4000, /* restored, and nothing was seen of it since: what happened meanwhile is
                             not known, nor its scope */
    FLOW_SILENT = 0x8000, /* counted as half closed and silent (closes.c) */
    FLOW_ASKED = 0x10000, /* the client has sent octets that the server has not replied to */
    FLOW_ODD = 0x20000,   /* its odd RST was told */
    FLOW_TAP_LOST = 0x40000, /* rules.tap_loses when it was folded */
    FLOW_OVER = 0x80000,     /* each end is CLOSED or in TIME_WAIT, and that was told */
    FLOW_TOLD = 0x4000000,   /* ... and nothing was seen of it since (signal_over) */
    FLOW_IFACE_AT = 27       /* from this bit on: the number of its first packet's interface */
};

/*
 * One connection is a head, which never moves and by whose index all others know it, and a body,
 * kept in the smallest form that holds all that is known of it (forms.c):
 *
 *   FORM_SYN    no body:    one SYN, and nothing else yet (a flood of them costs a line each)
 *   FORM_LEAN   two lines:  open or in TIME_WAIT, and nothing unusual ever happened
 *   FORM_FULL   struct body: handshakes, closes, faults
 *
 * A plain segment touches the head and the first line of the body, which FORM_LEAN and FORM_FULL
 * share.
 */
enum flow_form { FORM_SYN, FORM_LEAN, FORM_FULL };

/* All that is left of a first SYN: last_ns is first_ns. */
struct flow_syn {
    uint32_t isn;
    uint8_t ttl, scale; /* scale: the option's value, capped; valid with FLOW_SYN_SCALED */
    uint8_t bits;       /* enum flow_syn_bit */
};
enum flow_syn_bit {
    FLOW_SYN_SCALED = 0x01,
    FLOW_SYN_CHECKED = 0x02,
    FLOW_SYN_TOLD = 0x04 /* by a picture for a window */
};

struct flow {
    _Alignas(64) union {
        struct {              /* as in struct flow_key */
            uint32_t addr[2]; /* IPv4, network order; of IPv6 addr[0] is the index of the pair */
            uint16_t port[2];
            uint32_t scope;
        };
        uint64_t word[2];
    };
    uint32_t flags; /* enum flow_flag */
    uint32_t body;  /* index in the slab of its form */
    uint64_t first_ns;
    union {
        uint64_t last_ns; /* see flow_last_ns */
        struct flow_syn syn;
    };
    uint64_t deadline_ns; /* when the wheel looks at it; BASE_NEVER_NS: it is not in the wheel */
    uint32_t wheel_next, wheel_prev;
    uint32_t serial;     /* in order of first packets, modulo 2^32 */
    uint16_t wheel_slot; /* WHEEL_OUT, WHEEL_DUE or the slot's number */
    uint8_t form;        /* enum flow_form */
    uint8_t ordinal;
};
static_assert(sizeof(struct flow) == 64, "a flow's head is one cache line");
static_assert(EVENT_IFACES == 1 << (32 - FLOW_IFACE_AT) && (int)DECODE_IFACES == (int)EVENT_IFACES,
              "the number of an interface fits the flags");

struct body {
    _Alignas(64) struct tcp_connection tcp;
    struct flow *flow; /* whose it is */
    union {
        uint64_t handshake_server_ns;
        uint64_t restored_id; /* with FLOW_RESTORED, which has no handshake that was seen */
    };
    uint64_t handshake_client_ns;
    uint32_t told_laden[2];   /* by the last picture */
    uint16_t told_packets[2]; /* modulo 2^16 */
    uint8_t ttl[2];           /* of its first segments; 0 is unknown */
    uint8_t role_score, inferred;
    uint8_t last_cause;
    struct zeek_view zeek;
    struct faults {
        uint64_t missed_bytes;
        uint32_t retransmits[2], out_of_order[2], dup_acks[2], zero_windows[2];
        uint32_t zero_ms[2];            /* since when its window is closed, modulo 2^32; 0 */
        uint16_t told_again[2];         /* by the last picture, modulo 2^16 */
        bool unseen[2];                 /* event_fresh */
        uint8_t reset_by, reset_was[2]; /* whose RST ended it, and the states before */
    } faults;                           /* all zero of nearly all connections */
};
static_assert(sizeof(struct tcp_endpoint[2]) == 64 && offsetof(struct body, tcp.end) == 0,
              "what each packet touches of a body is one cache line");

struct lean {
    _Alignas(64) struct tcp_endpoint end[2];
    uint32_t first[2];        /* tcp_detail */
    uint32_t since_ns[2];     /* of an end that is open: after first_ns; else before last_ns */
    uint32_t handshake_ns[2]; /* server, client */
    uint16_t told_laden[2], told_packets[2];
    struct zeek_core zeek;
    uint8_t role_score, inferred, last_cause, ttl[2], trying[2];
};
static_assert(sizeof(struct lean) == 128, "the body of an open connection is two cache lines");

#endif
