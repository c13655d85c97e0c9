/*
 * step: events become moves, moves become steps of a verdict. One setter, one place where states
 * change.
 *
 * A step is one record of the contract: a side that would change twice in one step opens the next.
 */
#include "machine.h"

/* What holds no longer, or holds from now on, in the state that is entered. */
static void on_enter(struct machine *m, unsigned side, enum tcp_state was, enum tcp_state next) {
    struct tcp_endpoint *e = &m->c->end[side];
    if (next == TCP_CLOSED && was != TCP_CLOSED)
        e->flags |= TCP_ENDED;
    else
        e->flags &= ~(uint32_t)TCP_ENDED;
    if (next == TCP_CLOSED)
        machine_stop_trying(m, side);
}

void machine_set(struct machine *m, unsigned side, enum tcp_state next) {
    struct tcp_endpoint *end = m->c->end;
    struct tcp_verdict *v = m->v;
    enum tcp_state was = end[side].state;
    if (was == next)
        return;
    bool full = v->steps ==
                TCP_MAX_STEPS; /* any octets may arrive: what is left folds into the last step */
    if (v->steps == 0 || ((m->moved & (1u << side)) && !full)) {
        struct tcp_step *fresh = &v->step[v->steps++];
        for (unsigned i = 0; i < 2; i++)
            fresh->was[i] = fresh->state[i] = end[i].state;
        fresh->inferred = TCP_PROVEN;
        m->moved = 0;
    }
    struct tcp_step *step = &v->step[v->steps - 1];
    m->moved |= (uint8_t)(1u << side);
    m->rearm |= (uint8_t)(1u << side);
    end[side].state = next;
    step->state[side] = next;
    if (m->inferred != TCP_PROVEN && (step->inferred == TCP_PROVEN || m->inferred < step->inferred))
        step->inferred = m->inferred;
    m->c->detail[side].since_ns = m->now_ns;
    on_enter(m, side, was, next);
}

void machine_next_part(struct machine *m) {
    m->moved = 3;
}

static bool look_up(struct machine *m, unsigned side,
                    const struct tcp_cell table[TCP_EVENTS][TCP_STATES], enum tcp_event e) {
    const struct tcp_cell *cell = &table[e][m->c->end[side].state];
    if (cell->verdict == TCP_MOVE)
        machine_set(m, side, cell->next);
    return cell->verdict != TCP_IMPOSSIBLE;
}

bool machine_sends(struct machine *m, unsigned side, enum tcp_event e) {
    return look_up(m, side, tcp_sends, e);
}

bool machine_receives(struct machine *m, unsigned side, enum tcp_event e) {
    return look_up(m, side, tcp_receives, e);
}

void machine_infer_sends(struct machine *m, unsigned side, enum tcp_event e) {
    m->inferred = machine_reason(m, side);
    machine_sends(m, side, e);
    m->inferred = TCP_PROVEN;
}

void machine_infer_receives(struct machine *m, unsigned side, enum tcp_event e) {
    m->inferred = machine_reason(m, side);
    machine_receives(m, side, e);
    m->inferred = TCP_PROVEN;
}

enum tcp_inferred machine_reason(const struct machine *m, unsigned side) {
    const struct tcp_endpoint *e = &m->c->end[side], *peer = &m->c->end[!side];
    bool begun = machine_is(e, TCP_SYN_SEEN) || machine_is(peer, TCP_SYN_SEEN);
    if (!begun && (e->state == TCP_CLOSED || peer->state == TCP_CLOSED))
        return TCP_INFERRED_MIDSTREAM;
    /* A direction that never reached the tap has no gap: it is not there at all. */
    if (!machine_is(e, TCP_SEEN) || !machine_is(peer, TCP_SEEN))
        return TCP_INFERRED_ONE_SIDED;
    return TCP_INFERRED_GAP;
}

bool tcp_crossing(const struct tcp_connection *c, unsigned side, uint64_t now_ns,
                  uint64_t then_ns) {
    uint64_t rtt_us = c->end[side].rtt_us;
    /* Half as much again as the smoothed round trip, and the scheduling of a busy host. Unknown:
     * 100 ms, half of the least RTO of Linux (TCP_RTO_MIN), so that a retransmission never counts
     * as crossing. */
    uint64_t guard_ns = rtt_us ? rtt_us * 1500 + 5 * BASE_NS_PER_MS : 100 * BASE_NS_PER_MS;
    return now_ns - then_ns < guard_ns;
}

bool machine_crossing(const struct machine *m, unsigned side, uint64_t then_ns) {
    return tcp_crossing(m->c, side, m->now_ns, then_ns);
}

void machine_causes(struct tcp_verdict *v, enum tcp_cause cause) {
    for (unsigned i = 0; i < v->steps; i++)
        v->step[i].cause = (uint8_t)cause;
    /* A segment that takes one side through two states: its ACK, then its FIN (design 1.3). */
    if (v->steps > 1 && cause == TCP_CAUSE_FIN)
        for (unsigned i = 0; i + 1 < v->steps; i++)
            v->step[i].cause = TCP_CAUSE_ACK;
}

void machine_finish(struct machine *m, enum tcp_cause cause) {
    machine_causes(m->v, cause);
    for (unsigned side = 0; side < 2; side++)
        if ((m->rearm & (1u << side)) || m->c->end[side].state == TCP_TIME_WAIT ||
            m->c->end[side].state == TCP_CLOSE_WAIT)
            machine_arm(m, side);
    for (unsigned side = 0; side < 2;
         side++) /* what is known now may say that it should have run out before */
        if (m->c->detail[side].due_ns < m->now_ns)
            m->c->detail[side].due_ns = m->now_ns;
}

/* What an endpoint in a state awaits an answer to. */
static enum tcp_try try_of(enum tcp_state state) {
    switch (state) {
    case TCP_SYN_SENT:
        return TCP_TRY_SYN;
    case TCP_SYN_RECEIVED:
        return TCP_TRY_SYN_ACK;
    case TCP_FIN_WAIT_1:
    case TCP_CLOSING:
    case TCP_LAST_ACK:
        return TCP_TRY_FIN;
    default:
        return TCP_TRY_NONE;
    }
}

void tcp_init(struct tcp_connection *c, uint64_t now_ns) {
    *c = (struct tcp_connection){0};
    for (unsigned side = 0; side < 2; side++) {
        c->detail[side].since_ns = now_ns;
        c->detail[side].due_ns = BASE_NEVER_NS;
    }
}

/* When an end without faults sent what it waits to have answered. An end that is taken to be
 * ESTABLISHED goes on waiting until it speaks: its SYN came first, its SYN-ACK opened the other. */
static uint64_t tried_ns(const struct tcp_connection *c, unsigned side, uint64_t first_ns) {
    bool open = c->end[side].state == TCP_ESTABLISHED;
    switch ((enum tcp_try)c->detail[side].trying) {
    case TCP_TRY_SYN:
        return open ? first_ns : c->detail[side].since_ns;
    case TCP_TRY_SYN_ACK:
        return c->detail[open ? !side : side].since_ns;
    default:
        return c->detail[side].since_ns;
    }
}

/* When the timer of a side runs out, by what it waits for. */
static uint64_t usual_due_ns(struct tcp_connection *c, unsigned side, uint64_t last_ns,
                             const struct tcp_rules *rules) {
    static const struct segment any;
    const struct tcp_endpoint *e = &c->end[side];
    if (e->state == TCP_CLOSED || (e->state == TCP_ESTABLISHED && machine_is(e, TCP_ACKING)))
        return BASE_NEVER_NS; /* most ends, most of the time */
    /* Each segment begins the wait for a close anew (machine_finish). */
    bool anew = e->state == TCP_CLOSE_WAIT;
    struct machine m = {.c = c, .s = anew ? &any : NULL, .rules = rules, .from = side};
    m.now_ns = anew ? last_ns : c->detail[side].since_ns;
    machine_arm(&m, side);
    return c->detail[side].due_ns;
}

void tcp_await(struct tcp_connection *c, uint64_t first_ns, uint64_t last_ns,
               const struct tcp_rules *rules) {
    for (unsigned side = 0; side < 2; side++) {
        struct tcp_detail *d = &c->detail[side];
        if (d->trying != TCP_TRY_NONE) {
            d->tried_ns = tried_ns(c, side, first_ns);
            d->began_s = (uint32_t)(d->tried_ns / BASE_NS_PER_S);
        }
    }
    for (unsigned side = 0; side < 2; side++)
        c->detail[side].due_ns = usual_due_ns(c, side, last_ns, rules);
}

bool tcp_waits_as_usual(struct tcp_connection *c, uint64_t first_ns, uint64_t last_ns,
                        const struct tcp_rules *rules) {
    for (unsigned side = 0; side < 2; side++) {
        struct tcp_detail *d = &c->detail[side];
        uint64_t due_ns = d->due_ns;
        if (d->trying != TCP_TRY_NONE && (d->tries || d->interval_us || d->steady ||
                                          d->tried_ns != tried_ns(c, side, first_ns) ||
                                          d->began_s != (uint32_t)(d->tried_ns / BASE_NS_PER_S)))
            return false;
        if (usual_due_ns(c, side, last_ns, rules) != due_ns) {
            d->due_ns = due_ns;
            return false;
        }
    }
    return true;
}

void tcp_settle(struct tcp_connection *c) {
    for (unsigned side = 0; side < 2; side++) {
        struct tcp_detail *d = &c->detail[side];
        uint32_t since_us = (uint32_t)(d->since_ns / 1000);
        if (d->trying == TCP_TRY_NONE) {
            d->tried_ns = 0;
            d->interval_us = d->began_s = 0;
            d->tries = d->steady = 0;
        }
        if (!d->other)
            d->other_isn = 0;
        if (d->ahead_kind == TCP_AHEAD_NONE)
            d->ahead = 0;
        if (!machine_is(&c->end[side], TCP_HOLE))
            d->contiguous = d->hole_end = 0;
        /* fin_again asks for the later of the two times, once the FIN is acknowledged. */
        bool awaited = try_of(c->end[side].state) == TCP_TRY_FIN;
        if (machine_is(&c->end[side], TCP_FIN_SENT) &&
            (awaited || tcp_before(d->fin_acked_us, since_us)))
            d->fin_acked_us = since_us;
    }
}

void tcp_restore(struct tcp_connection *c, const uint8_t state[2], const uint64_t since_ns[2],
                 const struct tcp_rules *rules) {
    tcp_init(c, since_ns[0]);
    for (unsigned side = 0; side < 2; side++) {
        c->end[side].state = state[side];
        c->detail[side].since_ns = since_ns[side];
        if (state[side] == TCP_CLOSED && state[!side] != TCP_SYN_SENT)
            c->end[side].flags |= TCP_ENDED;
        c->detail[side].trying = try_of(state[side]);
        if (c->detail[side].trying != TCP_TRY_NONE)
            c->end[side].flags |= TCP_PENDING;
    }
    tcp_await(c, since_ns[0], since_ns[0] > since_ns[1] ? since_ns[0] : since_ns[1], rules);
}

void tcp_end(struct tcp_connection *c, uint64_t now_ns, enum tcp_cause cause,
             enum tcp_inferred inferred, struct tcp_verdict *v) {
    *v = (struct tcp_verdict){0};
    struct machine m = {.c = c, .v = v, .now_ns = now_ns, .inferred = (uint8_t)inferred};
    for (unsigned side = 0; side < 2; side++) {
        machine_set(&m, side, TCP_CLOSED);
        c->detail[side].due_ns = BASE_NEVER_NS;
    }
    for (unsigned i = 0; i < v->steps; i++)
        v->step[i].cause = (uint8_t)cause;
}

uint64_t tcp_bytes(const struct tcp_connection *c, unsigned side) {
    const struct tcp_endpoint *e = &c->end[side];
    const struct tcp_detail *d = &c->detail[side];
    if (!machine_is(e, TCP_SEEN))
        return 0;
    uint64_t n = ((uint64_t)d->wraps << 32) + e->nxt - d->first;
    if (machine_is(e, TCP_FIN_SENT) && n > 0 && !tcp_before(e->nxt, d->fin))
        n--; /* the FIN takes a sequence number (RFC 9293 section 3.4) */
    return (int64_t)n < 0 ? 0 : n;
}
