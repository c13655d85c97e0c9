/*
 * event: what the flow room hands on to snapshots, alarms and records.
 *
 * An event is self-contained (no pointers): it may cross a ring to another thread. Numbers only;
 * texts are made in record. Addresses are in network order, everything else in host order, times in
 * nanoseconds of capture time.
 */
#ifndef SPANWATCH_EVENT_H
#define SPANWATCH_EVENT_H

#include <stddef.h>

#include "spanwatch/base.h"
#include "spanwatch/tcp_state.h"

enum event_type {
    EVENT_TRANSITION,
    EVENT_CONNECTION,
    EVENT_PICTURE,     /* a picture of all connections begins */
    EVENT_MEMBER,      /* one connection of it */
    EVENT_PICTURE_END, /* all members were given */
    EVENT_SIGNAL       /* what no change of state tells */
};

/* Which connection. Enough to compute `flow` (design 1.3), the Community ID and the service. */
struct event_flow {
    uint8_t family;  /* 4 or 6 */
    uint8_t ordinal; /* tells connections apart that have the same endpoints, scope and first_ns */
    uint16_t client_port, server_port;
    uint32_t scope;                 /* decode_scope id */
    uint8_t client[16], server[16]; /* IPv4 in the first four octets, the others zero */
    uint64_t first_ns;              /* of the connection's first packet */
    uint64_t
        id; /* 0, or the `flow` that another run of the probe gave it: then not to be computed */
};

enum {
    EVENT_CLIENT,
    EVENT_SERVER,
    EVENT_NOBODY
}; /* index of per-side arrays; whose doing it was */

/* What passed since the last picture for a window of the alarms, or EVENT_OVER, by side. */
struct event_fresh {
    uint32_t packets[2];
    uint32_t laden[2]; /* of them with payload */
    uint32_t again[2]; /* of those, sent again */
    bool unseen[2];    /* it acknowledged what the other side was not seen to send */
    uint8_t iface;     /* number of the interface of the connection's first packet */
};

struct event_transition {
    uint8_t state[2]; /* of both sides after the change: enum tcp_state */
    uint8_t was[2];   /* before it; equal to state[] on a side that did not change */
    uint8_t cause;    /* enum tcp_cause */
    uint8_t inferred; /* enum tcp_inferred */
    uint8_t by;       /* whose segment it was; EVENT_NOBODY of a timer */
    bool retried : 1; /* of a handshake's step: a SYN or SYN-ACK had to be sent again */
    bool over : 1;    /* both ends have closed: what passed stands here, and no EVENT_OVER comes */
    uint64_t rtt_ns;  /* of a handshake's step: SYN to SYN-ACK, SYN-ACK to ACK; 0 is unknown */
    struct event_fresh fresh; /* valid when over */
};

enum event_end {
    EVENT_END_FIN,
    EVENT_END_RST,
    EVENT_END_REFUSED,
    EVENT_END_TIMEOUT,
    EVENT_END_EVICTED,
    EVENT_END_OPEN
};

enum {
    EVENT_HISTORY_TEXT = 32
}; /* Zeek history letters kept, and the NUL; later letters are not kept */

struct event_side {
    uint64_t bytes;        /* payload by sequence number, a retransmission once */
    uint32_t packets;      /* copies not counted */
    uint32_t retransmits;  /* segments sent again */
    uint32_t out_of_order; /* segments of this side that came late but were not sent before */
    uint32_t zero_windows; /* times this side closed its window */
    uint32_t dup_acks;     /* duplicate ACKs this side sent (RFC 5681 section 2) */
    uint64_t rtt_ns;       /* smoothed (RFC 6298): tap to this side and back; 0 is unknown */
};

enum { EVENT_IFACES = 32 }; /* numbers of interfaces; the last stands for all further ones too */

struct event_connection {
    struct event_side side[2];
    struct event_fresh fresh;
    uint8_t state[2];
    uint8_t end; /* enum event_end */
    uint8_t
        inferred; /* of the connection: the strongest reason met, TCP_PROVEN when all was seen */
    uint8_t role_score; /* 0 to 255 */
    char conn_state[8]; /* Zeek's, e.g. "SF" */
    char history[EVENT_HISTORY_TEXT];
    uint64_t last_ns;     /* of the last packet; duration is last_ns - first_ns */
    uint64_t since_ns[2]; /* when each side entered its state */
    uint64_t handshake_server_rtt_ns, handshake_client_rtt_ns; /* 0 is unknown */
    uint64_t missed_bytes;
    uint8_t reset_by;     /* of EVENT_END_RST: whose RST; else EVENT_NOBODY */
    uint8_t reset_was[2]; /* the states that it found */
};

/*
 * A picture: every open connection as it was at exactly the event's ts_ns, a multiple of the
 * picture's period. Members come between begin and end, in no order that means anything; live,
 * transitions that are later than the picture may come between them. A picture without its end is
 * to be thrown away. One for windows alone leaves out connections that are over (each end CLOSED or
 * in TIME_WAIT) and had no packet since EVENT_OVER or the last window.
 */
enum event_purpose { EVENT_FOR_SNAPSHOT = 1, EVENT_FOR_WINDOW = 2 /* of the alarms */ };

struct event_picture {
    uint8_t purpose; /* of enum event_purpose */
    bool quiet;      /* neither a packet nor a transition since the picture before */
    bool torn;       /* of the end: members were shed, the picture is not whole */
    uint32_t missed; /* of the begin: pictures left out while the one before was still given */
    uint64_t flows;  /* members that it has */
    /* Of the tracker since its begin: packets, segments, copies, segments with payload,
     * acknowledgements of octets that never passed the tap, live connections that had to make room.
     */
    uint64_t packets, tcp, duplicates, laden, gaps, evicted;
    uint64_t passed[EVENT_IFACES]; /* packets, by interface */
};

struct event_member {
    uint64_t since_ns[2]; /* when each side entered its state */
    uint64_t last_ns;     /* of the last packet; may be later than the picture */
    uint8_t state[2];
    /* Valid for EVENT_FOR_WINDOW: */
    struct event_fresh fresh;
    uint64_t zero_since_ns[2]; /* since when its window is closed; 0: it is not */
    uint64_t vain_since_ns[2]; /* since when what it sends is not answered: data or probes */
    uint8_t vain[2];           /* so often it sent it again; 0: it does not */

    uint8_t inferred; /* of the connection: the strongest reason met */
    uint8_t role_score;
};

enum event_signal_kind {
    EVENT_SYN_AGAIN,  /* a SYN was sent again, once, and no SYN-ACK was seen */
    EVENT_REPLY,      /* value_ns: last octet asked to first octet answered, less the way (a sample
                         of them, where there are many) */
    EVENT_ZERO_ENDED, /* a window is open again; value_ns: so long it was closed */
    EVENT_ODD_RST,    /* a RST that its sender cannot have meant */
    EVENT_ODD_SYN,    /* a SYN on a live connection that does not begin another */
    EVENT_OVER,       /* both ends have closed, and no transition told it: what passed (fresh) */
    EVENT_PROBE       /* a segment of no connection, with neither SYN, ACK nor RST */
};

struct event_signal {
    uint8_t kind; /* enum event_signal_kind */
    uint8_t by;   /* whose segment it was */
    uint64_t value_ns;
    struct event_fresh fresh; /* valid for EVENT_OVER */
};

struct event {
    uint64_t ts_ns;
    struct event_flow flow; /* not of a picture's begin and end */
    uint8_t type;           /* enum event_type; which of the union is valid */
    union {
        struct event_transition transition;
        struct event_connection connection;
        struct event_picture picture;
        struct event_member member;
        struct event_signal signal;
    };
};

/* So much of an event is valid, from its begin on: a connection's is four times a transition's. Of
 * a row of events, each begins where one may that ends so. */
static inline size_t event_octets(const struct event *e) {
    static const size_t part[] = {
        [EVENT_TRANSITION] = sizeof e->transition, [EVENT_CONNECTION] = sizeof e->connection,
        [EVENT_PICTURE] = sizeof e->picture,       [EVENT_MEMBER] = sizeof e->member,
        [EVENT_PICTURE_END] = sizeof e->picture,   [EVENT_SIGNAL] = sizeof e->signal};
    size_t align = _Alignof(struct event);
    return (offsetof(struct event, transition) + part[e->type] + align - 1) / align * align;
}

/* Receives events in the order of the contract; must not keep the pointer. */
typedef void event_sink(void *context, const struct event *e);

#endif
