/*
 * machine: one segment's (or one timer's) passage through the state machine; private to the tcp
 * room.
 */
#ifndef SPANWATCH_TCP_MACHINE_H
#define SPANWATCH_TCP_MACHINE_H

#include "spanwatch/tcp.h"

struct machine {
    struct tcp_connection *c;
    struct tcp_verdict *v;
    const struct segment *s; /* NULL for a timer */
    const struct tcp_rules *rules;
    uint64_t now_ns;
    unsigned from;    /* the sender's side */
    uint8_t moved;    /* sides (bits) that changed in the open step */
    uint8_t rearm;    /* sides whose timer may have to be set anew */
    uint8_t inferred; /* enum tcp_inferred of the next move: TCP_PROVEN unless set */
};

/* Look an event up for one side in a table, and move it there. False when the cell is impossible.
 */
bool machine_sends(struct machine *m, unsigned side, enum tcp_event e);
bool machine_receives(struct machine *m, unsigned side, enum tcp_event e);

/* As above, for a move that no packet proves. */
void machine_infer_sends(struct machine *m, unsigned side, enum tcp_event e);
void machine_infer_receives(struct machine *m, unsigned side, enum tcp_event e);

/* The one setter: state, time, step. */
void machine_set(struct machine *m, unsigned side, enum tcp_state next);

/* What the ACK of a segment has moved is told before what its FIN moves: the next move opens a
 * step. */
void machine_next_part(struct machine *m);

/* What a segment is the cause of, and the causes of its steps (design 1.3). */
enum tcp_cause machine_cause(const struct segment *s);
void machine_causes(struct tcp_verdict *v, enum tcp_cause cause);
/* Close the verdict: causes, and the timers of what changed. */
void machine_finish(struct machine *m, enum tcp_cause cause);

/* Segments by kind (segment.c, handshake.c, reset.c). */
void machine_syn(struct machine *m);
void machine_syn_ack(struct machine *m);
void machine_rst(struct machine *m);
void machine_ordinary(struct machine *m);

/* Round trips: one segment at a time is timed (segment.c). */
void machine_time(struct machine *m, uint32_t end);
void machine_sample(struct machine *m);

/* What was not seen (unseen.c). */
void machine_note_wrap(struct tcp_detail *d, uint32_t before, uint32_t after);
void machine_open_hole(struct machine *m, uint32_t seq);
void machine_close_hole(struct tcp_endpoint *e);
/* The right edge of the window that `me` offers. */
uint32_t machine_edge(const struct tcp_endpoint *me, const struct tcp_endpoint *peer);
void machine_settle_ahead(struct machine *m, unsigned acker, uint32_t reached);
bool machine_confirm_ahead(struct machine *m);
bool machine_beyond_window(struct machine *m);
bool machine_is_stale(const struct machine *m);

/* FINs (fin.c). */
void machine_guess_fin(struct machine *m, unsigned side, uint32_t fin);
void machine_skip_fin(struct machine *m);
void machine_acknowledge_fin(struct machine *m);
void machine_fin_unsent(struct machine *m);
void machine_send_fin(struct machine *m);
void machine_deliver_fin(struct machine *m);

/* A repetition of what `side` waits to have answered (retry.c). */
void machine_first_try(struct machine *m, unsigned side, enum tcp_try kind);
void machine_try_again(struct machine *m, unsigned side, enum tcp_try kind);
/* What it repeated has been answered, or matters no longer. */
void machine_stop_trying(struct machine *m, unsigned side);
/* It repeated because it was asked again, not because its timer ran out: the timer begins anew, the
 * count stays. */
void machine_restart_try(struct machine *m, unsigned side);
/* `side` has spoken: what was repeated to it was not in vain, and it is not deaf. */
void machine_heard(struct machine *m, unsigned side);
/* Set due_ns of both sides for the states they are in now. */
void machine_arm(struct machine *m, unsigned side);

/* Could a segment of `side` that passes now have been sent before what passed the tap at `then_ns`
 * reached it? */
bool tcp_crossing(const struct tcp_connection *c, unsigned side, uint64_t now_ns, uint64_t then_ns);
bool machine_crossing(const struct machine *m, unsigned side, uint64_t then_ns);

/* Why a change that nothing proves is believed: design 1.2. */
enum tcp_inferred machine_reason(const struct machine *m, unsigned side);

/* First RTO of which we are sure that it has passed: RFC 6298 (2.4), rounded up to a second. */
uint64_t machine_first_rto_ns(const struct machine *m, unsigned side);

static inline bool machine_is(const struct tcp_endpoint *e, unsigned flag) {
    return (e->flags & flag) != 0;
}

/* One of two without a branch: for what a processor could only guess. */
static inline uint32_t machine_either(bool first, uint32_t a, uint32_t b) {
    uint32_t mask = -(uint32_t)first;
    return b ^ ((a ^ b) & mask);
}

/* Time one segment a round trip, one with payload or a flag that counts as an octet (RFC 6298
 * section 3; Karn: none that was repeated). */
static inline void machine_time_end(struct tcp_endpoint *me, bool laden, uint32_t end,
                                    uint64_t now_ns) {
    bool begin = laden & !machine_is(me, TCP_TIMED);
    me->flags |= machine_either(begin, TCP_TIMED, 0);
    me->timed_end = machine_either(begin, end, me->timed_end);
    me->timed_us = machine_either(begin, (uint32_t)(now_ns / 1000), me->timed_us);
}

/* The acknowledgement `ack` of side `acker` may be that of the timed segment of the other side:
 * smooth (RFC 6298 section 2). */
static inline bool machine_sample_end(struct tcp_endpoint end[2], unsigned acker, uint32_t ack,
                                      uint64_t now_ns) {
    struct tcp_endpoint *timed = &end[!acker];
    uint32_t took_us = (uint32_t)(now_ns / 1000) - timed->timed_us, was_us = end[acker].rtt_us;
    bool answered = machine_is(timed, TCP_TIMED) & (int)!tcp_before(ack, timed->timed_end);
    took_us += took_us == 0;
    uint32_t smooth_us = machine_either(was_us == 0, took_us, was_us - was_us / 8 + took_us / 8);
    timed->flags &= ~machine_either(answered, TCP_TIMED, 0);
    end[acker].rtt_us = machine_either(answered, smooth_us, was_us);
    return answered;
}

/* Is seq of `me` beyond the window that `peer` offers? The first comparison is enough, nearly
 * always: with the scale where both ends are known to have offered one, else without. */
static inline bool machine_is_beyond(const struct tcp_endpoint *peer, const struct tcp_endpoint *me,
                                     uint32_t seq) {
    uint32_t scales = (peer->flags & me->flags & TCP_SCALED) | (peer->flags & TCP_UNSCALED);
    unsigned shift = scales == TCP_SCALED ? peer->wscale : 0;
    return seq - peer->acked > (uint32_t)peer->window << shift &&
           tcp_before(machine_edge(peer, me), seq);
}

#endif
