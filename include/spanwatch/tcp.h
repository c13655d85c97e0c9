/*
 * tcp: the two-endpoint state machine, pure: no clock, no memory of its own, no events beyond the
 * verdict it returns.
 *
 * Where we stand: beside the wire, not at an end of it. An endpoint that sends a segment proves its
 * own state; the one it is sent to is assumed to have received it, until what follows proves that
 * it did not. So each segment is turned into an ordered list of events (RST; SYN or SYN-ACK; ACK;
 * ACK of SYN; ACK of FIN; FIN: RFC 9293 section 3.10.7), and each event is looked up twice: in the
 * table of what the sender has proven, and in the table of what the receiver has now been told.
 *
 *            segment                     sender table              receiver table
 *   ----> classify ----> validate ---->  [event][state]  ------>   [event][state]  ----> one setter
 * ----> verdict (events)    (RFC 5961, holes)  (table.c)                 (table.c) (step.c)
 *
 * What may be wrong and how it is mended:
 *   - the packet passed the tap and was lost beyond it: a retransmission contradicts what was
 * assumed; the *_AGAIN events and ACK_BEFORE_FIN put the endpoint back (unless both could have
 * crossed on the way, judged by the round trip from the tap);
 *   - the packet was lost before the tap, or by it: the other end's later segments, or the absence
 * of a retransmission that would be due, tell (inferred);
 *   - an endpoint that leaves two retransmissions in a row without any answer is taken to be out of
 * reach ("deaf"): what is sent to it is no longer assumed to arrive, until it speaks;
 *   - a segment that the kernel would not accept (RFC 5961 RST and SYN, an ACK of data never sent,
 * a segment beyond the window, a bad checksum) changes nothing, unless what follows confirms it.
 *
 * Sequence numbers are compared modulo 2^32 (RFC 9293 section 3.4). Times are nanoseconds of
 * capture time.
 */
#ifndef SPANWATCH_TCP_H
#define SPANWATCH_TCP_H

#include "spanwatch/decode.h"
#include "spanwatch/tcp_state.h"

enum tcp_endpoint_flag {
    TCP_SEEN = 0x0001,       /* it has sent at least one segment: nxt is known */
    TCP_ACKING = 0x0002,     /* it has sent an acknowledgement: acked and window are known */
    TCP_SYN_SEEN = 0x0004,   /* isn is known */
    TCP_FIN_SENT = 0x0008,   /* fin is known (or inferred) */
    TCP_FIN_TAKEN = 0x0010,  /* the peer's FIN was assumed or proven received here */
    TCP_FIN_PROVEN = 0x0020, /* this endpoint has acknowledged the peer's FIN */
    TCP_FIN_GUESSED =
        0x0040,          /* its FIN was not seen: one octet is missing at the end of what it sent */
    TCP_HOLE = 0x0080,   /* octets between contiguous and hole_end were not seen */
    TCP_SCALED = 0x0100, /* its SYN bore a window scale option */
    TCP_FASTOPEN =
        0x0200, /* it took data with the SYN: it may send before its SYN is acknowledged */
    TCP_IGNORES = 0x0400, /* it has sent its SYN-ACK again in spite of an ACK */
    TCP_DEAF = 0x0800,    /* it leaves retransmissions unanswered */
    TCP_OWNED =
        0x1000, /* in FIN_WAIT_2 it acknowledged new data: a process still reads (not orphaned) */
    TCP_ENDED = 0x2000,   /* it was open and is CLOSED: only its own segment opens it again */
    TCP_CHECKED = 0x4000, /* a checksum of its own was good: a bad one is not offload */
    TCP_TIMED = 0x8000,   /* timed_end is waiting for its acknowledgement */
    TCP_PENDING =
        0x10000, /* something is repeated, unconfirmed or doubted: the short way is closed */
    TCP_UNSCALED = 0x20000 /* window is of a SYN-ACK: never scaled (RFC 7323 section 2.2) */
};

/* What each segment touches of one endpoint: two of them fill a cache line. */
struct tcp_endpoint {
    uint32_t nxt;         /* one past the highest sequence number that it sent (SND.NXT as seen) */
    uint32_t acked;       /* the highest acknowledgement that it sent (its RCV.NXT as proven) */
    uint32_t timed_end;   /* the sequence number whose acknowledgement gives the next RTT sample */
    uint32_t timed_us;    /* when that passed the tap, microseconds modulo 2^32 */
    uint32_t rtt_us;      /* smoothed, tap to this endpoint and back; 0 unknown */
    uint16_t laden, bare; /* segments that it sent, with payload and without, modulo 2^16:
                             tcp_packets */
    uint32_t flags;       /* enum tcp_endpoint_flag */
    uint16_t window;      /* last advertised, as it stands in the header */
    uint8_t state;        /* enum tcp_state */
    uint8_t wscale;       /* 0 to 14 (RFC 7323 section 2.3) */
};

enum tcp_ahead { /* what lies beyond all that was seen, and is not confirmed yet */
                 TCP_AHEAD_NONE,
                 TCP_AHEAD_ACK, /* an acknowledgement that this endpoint sent */
                 TCP_AHEAD_SEQ, /* the end of a segment that it sent */
                 TCP_AHEAD_FIN  /* the same, of one with a FIN; of a direction that is never seen:
                                   one octet that may be its FIN */
};

enum tcp_try { /* what an endpoint is repeating, or waiting to have answered */
               TCP_TRY_NONE,
               TCP_TRY_SYN,
               TCP_TRY_SYN_ACK,
               TCP_TRY_DATA,
               TCP_TRY_FIN,
               TCP_TRY_KEEPALIVE,
               TCP_TRY_PROBE, /* of a zero window */
               TCP_TRY_RST /* a reset in the window but not exact: believed when nothing contradicts
                              it */
};

/* What only some segments touch. */
struct tcp_detail {
    uint64_t since_ns;    /* when the state was entered */
    uint64_t due_ns;      /* when its timer runs out; BASE_NEVER_NS */
    uint64_t tried_ns;    /* last transmission of what it repeats */
    uint32_t interval_us; /* between the last two of these; 0 after the first */
    uint32_t began_s;     /* when the first of them was noted: in vain since then (seconds) */
    uint32_t isn;
    uint32_t
        other_isn; /* of a second SYN or SYN-ACK, until an ACK selects one; valid when other != 0 */
    uint32_t fin;  /* one past its FIN */
    uint32_t contiguous; /* with TCP_HOLE: all before this was seen at the tap or acknowledged by
                            the peer; else that is nxt */
    uint32_t hole_end;
    uint32_t ahead;                 /* see enum tcp_ahead */
    uint16_t laden_over, bare_over; /* how often the counters of segments passed 2^16 */
    uint32_t first; /* sequence number of its first payload octet: bytes are counted from here */
    uint32_t fin_acked_us; /* when the peer's last acknowledgement of its FIN passed the tap,
                              modulo 2^32 */
    uint16_t wraps;        /* how often nxt passed 2^32: 281 TB */
    uint8_t tries;         /* repetitions seen */
    uint8_t steady;        /* equal intervals in a row (the linear phase of newer SYN retries) */
    uint8_t trying;        /* enum tcp_try */
    uint8_t other;         /* other_isn is valid */
    uint8_t ahead_kind;    /* enum tcp_ahead */
};

struct tcp_connection {
    struct tcp_endpoint end[2];
    struct tcp_detail detail[2];
};

enum tcp_fact { /* what a segment was, for the measures */
                TCP_FACT_RETRANSMISSION = 0x0001,
                TCP_FACT_OUT_OF_ORDER = 0x0002,
                TCP_FACT_KEEPALIVE = 0x0004,
                TCP_FACT_DUP_ACK = 0x0008,
                TCP_FACT_ZERO_WINDOW = 0x0010, /* the window was closed by this segment */
                TCP_FACT_STRAY = 0x0020,       /* not acceptable, changed nothing */
                TCP_FACT_RTT_SAMPLE = 0x0040,  /* rtt_us of the sender was updated */
                TCP_FACT_NEW_SYN = 0x0080, /* a SYN that begins another connection on this tuple:
                                              not applied here */
                TCP_FACT_GAP = 0x0100      /* octets were acknowledged that never passed the tap */
};

enum { TCP_MAX_STEPS = 8 };

struct tcp_step {
    uint8_t state[2], was[2]; /* by side */
    uint8_t cause, inferred;
};

struct tcp_verdict {
    uint32_t facts;
    uint32_t missed; /* octets acknowledged but never seen, newly known (TCP_FACT_GAP) */
    uint8_t steps;
    struct tcp_step step[TCP_MAX_STEPS];
};

/* The hosts' timers, one set for each side; see flow_timers for the meaning. */
struct tcp_timers {
    uint64_t fin_timeout_ns, time_wait_ns, rto_max_ns, keepalive_intvl_ns;
    uint8_t syn_retries, syn_linear, synack_retries, retries2, orphan_retries, keepalive_probes;
};

/* What the state machine goes by beside the segments. */
struct tcp_rules {
    const struct tcp_timers *timers[2]; /* of the hosts, by side */
    bool tap_loses; /* packets are missing elsewhere too: an answer that was not seen may well have
                       been given */
    bool misses_closes; /* so many of them that a half-closed connection without a sound is most
                           likely closed: see tcp_half_closed */
};

/* A fresh connection: both ends CLOSED since now_ns, nothing known. */
void tcp_init(struct tcp_connection *c, uint64_t now_ns);

/*
 * The short way, for nearly all segments: both ends ESTABLISHED, nothing repeated, missing or
 * doubted, and this one in order. Touches both ends only. False: not such a segment, nothing was
 * changed; ask tcp_segment.
 */
bool tcp_in_order(struct tcp_endpoint end[2], unsigned from, const struct segment *s);

/*
 * The short way of handshakes and closes, for the segment that is to come next where nothing
 * unusual ever happened: such a connection is two ends, its `first` numbers and what each end is
 * `trying` (struct tcp_detail has the same). A verdict as tcp_segment gives it; each side that a
 * step moves is in its state since then. False: not such a segment, nothing was changed.
 */
bool tcp_usual(struct tcp_endpoint end[2], uint32_t first[2], uint8_t trying[2], unsigned from,
               const struct segment *s, struct tcp_verdict *v);

/* How long an end waits for an answer to its first SYN, which it was not seen to repeat. */
uint64_t tcp_syn_wait_ns(const struct tcp_rules *rules, unsigned side, bool answered);

/*
 * One segment from side `from`. When the verdict has TCP_FACT_NEW_SYN nothing was changed: the
 * caller ends this connection with tcp_end() and begins another. Copies are removed before.
 */
void tcp_segment(struct tcp_connection *c, unsigned from, const struct segment *s,
                 const struct tcp_rules *rules, struct tcp_verdict *v);

/* An ICMP error that quotes a segment of side `told`; RFC 5927 section 4: counts only when the
 * sequence number is outstanding. */
void tcp_icmp(struct tcp_connection *c, unsigned told, const struct segment *s,
              struct tcp_verdict *v);

/* An end has sent its FIN, or has the other's, and the close goes on. */
static inline bool tcp_is_closing(const struct tcp_connection *c) {
    unsigned states = 1u << c->end[0].state | 1u << c->end[1].state;
    return states & (1u << TCP_FIN_WAIT_1 | 1u << TCP_FIN_WAIT_2 | 1u << TCP_CLOSE_WAIT |
                     1u << TCP_CLOSING | 1u << TCP_LAST_ACK);
}

/* Forget what can matter no longer, so that connections of equal fate are equal in memory. */
void tcp_settle(struct tcp_connection *c);

/* Of a connection without faults, with its first and last segment at these times, and of which all
 * is filled in but the times of what its ends are `trying`: since when they do, and when their
 * timers run out. */
void tcp_await(struct tcp_connection *c, uint64_t first_ns, uint64_t last_ns,
               const struct tcp_rules *rules);

/* Of one that is settled: would tcp_await find out the same? Changes nothing. */
bool tcp_waits_as_usual(struct tcp_connection *c, uint64_t first_ns, uint64_t last_ns,
                        const struct tcp_rules *rules);

/* Let the timer of `side` (whose due_ns has come) run out. */
void tcp_timeout(struct tcp_connection *c, unsigned side, const struct tcp_rules *rules,
                 struct tcp_verdict *v);

/* Does the side whose timer has come wait in CLOSE_WAIT, silent for so long that its FIN may have
 * been missed? To be asked before tcp_timeout, which goes by tcp_rules.misses_closes. */
bool tcp_half_closed(const struct tcp_connection *c, unsigned side);

/* Take both ends to CLOSED (a new connection on the same tuple; eviction). No step when both
 * already are. */
void tcp_end(struct tcp_connection *c, uint64_t now_ns, enum tcp_cause cause,
             enum tcp_inferred inferred, struct tcp_verdict *v);

/* For a connection that is over: does this segment only belong to it (in flight, sent again), or
 * does its sender go on? */
bool tcp_is_late(const struct tcp_connection *c, unsigned from, const struct segment *s);

/*
 * A connection that an earlier run of the probe has followed, of which only the states are known:
 * numbers are learned from the next segment, deadlines count from since_ns.
 */
void tcp_restore(struct tcp_connection *c, const uint8_t state[2], const uint64_t since_ns[2],
                 const struct tcp_rules *rules);

static inline void tcp_carry(struct tcp_detail *d, bool payload, int by) {
    uint16_t *over = payload ? &d->laden_over : &d->bare_over;
    *over = (uint16_t)(*over + by);
}

/* One segment more, or (of a SYN that turned out to begin another connection) one less. */
static inline void tcp_count(struct tcp_connection *c, unsigned side, bool payload) {
    uint16_t *n = payload ? &c->end[side].laden : &c->end[side].bare;
    if (++*n == 0)
        tcp_carry(&c->detail[side], payload, 1);
}
static inline void tcp_uncount(struct tcp_connection *c, unsigned side, bool payload) {
    uint16_t *n = payload ? &c->end[side].laden : &c->end[side].bare;
    if ((*n)-- == 0)
        tcp_carry(&c->detail[side], payload, -1);
}

/* Segments that side has sent: those with payload, and all. */
static inline uint32_t tcp_laden(const struct tcp_connection *c, unsigned side) {
    return (uint32_t)c->detail[side].laden_over << 16 | c->end[side].laden;
}
static inline uint32_t tcp_packets(const struct tcp_connection *c, unsigned side) {
    return tcp_laden(c, side) + ((uint32_t)c->detail[side].bare_over << 16 | c->end[side].bare);
}

/* Payload octets that side has sent, by sequence number. */
uint64_t tcp_bytes(const struct tcp_connection *c, unsigned side);

/* The window scale that a SYN offers: at most 14 (RFC 7323 section 2.3), 0 without the option. */
static inline uint8_t tcp_wscale(const struct segment *s) {
    enum { MOST = 14 };
    if (!(s->options & SEGMENT_OPT_WSCALE))
        return 0;
    return s->wscale > MOST ? MOST : s->wscale;
}

/* a before b, modulo 2^32 */
static inline bool tcp_before(uint32_t a, uint32_t b) {
    return (int32_t)(a - b) < 0;
}

/* All that side sent before this was seen at the tap or acknowledged by the peer. */
static inline uint32_t tcp_contiguous(const struct tcp_connection *c, unsigned side) {
    return c->end[side].flags & TCP_HOLE ? c->detail[side].contiguous : c->end[side].nxt;
}

/* ---- the tables, for the tests and the documentation ---- */

enum tcp_event {
    TCP_EVENT_SYN,       /* a SYN that opens */
    TCP_EVENT_SYN_AGAIN, /* the same SYN once more: its sender has no answer yet */
    TCP_EVENT_SYN_ACK,
    TCP_EVENT_SYN_ACK_AGAIN, /* its sender has no ACK of it yet */
    TCP_EVENT_ACK,           /* any segment of a synchronized endpoint */
    TCP_EVENT_ACK_OF_SYN,
    TCP_EVENT_ACK_OF_FIN,
    TCP_EVENT_ACK_BEFORE_FIN, /* acknowledges less than the FIN that it should have received by now
                               */
    TCP_EVENT_FIN,
    TCP_EVENT_FIN_CROSSING, /* sent before the peer's FIN, which has passed the tap, could arrive */
    TCP_EVENT_FIN_AGAIN,    /* its sender has no ACK of it yet */
    TCP_EVENT_FIN_UNSENT,   /* its sender goes on sending: the FIN was not its own */
    TCP_EVENT_ALIVE,        /* it answers, though its timer should have run out */
    TCP_EVENT_RST,
    TCP_EVENTS
};

enum tcp_cell_verdict { TCP_IMPOSSIBLE, TCP_STAY, TCP_MOVE };

struct tcp_cell {
    uint8_t verdict; /* enum tcp_cell_verdict */
    uint8_t next;    /* enum tcp_state, valid for TCP_MOVE */
    const char *reason;
};

extern const struct tcp_cell tcp_sends[TCP_EVENTS][TCP_STATES];
extern const struct tcp_cell tcp_receives[TCP_EVENTS][TCP_STATES];
const char *tcp_event_name(enum tcp_event e);

#endif
