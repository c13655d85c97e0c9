/*
 * retry: what an endpoint repeats, how long it will go on, and what the absence of the next try
 * means.
 *
 * The intervals seen on the wire tell when the next retransmission is due (RFC 6298 section 5.5:
 * the RTO doubles). When that time passes without one, either the answer has arrived unseen, or the
 * sender has given up: which of the two depends on how often it tried. Before the first repetition
 * only the configured timers can tell.
 */
#include "machine.h"

enum {
    FIRST_RTO_MS = 1000, /* RFC 6298 (2.1); Linux TCP_TIMEOUT_INIT for SYN and SYN-ACK */
    GIVEN_UP_TRIES =
        3,          /* unanswered repetitions after which silence means that the sender is gone */
    DEAF_TRIES = 2, /* unanswered repetitions after which the other end is out of reach */
    UNHEARD_MS = 64000,  /* as long as Linux repeats a SYN-ACK by default, and a second */
    PATIENCE_MS = 10000, /* four doublings of Linux's least RTO (TCP_RTO_MIN, 200 ms) and more */
    BURST_MS = 10,       /* repetitions closer than this belong to one round */
    RST_DOUBT_MS =
        1000 /* a live receiver challenges a doubtful RST at once (RFC 5961 section 3.2) */
};

static uint64_t ms(uint64_t n) {
    return n * BASE_NS_PER_MS;
}

/* A kernel's timer fires late, by some hundredths of its length (Linux's timer wheel), and a busy
 * host later. */
static uint64_t with_slack(uint64_t interval_ns) {
    return interval_ns + interval_ns / 32 + ms(200);
}

static uint64_t at_least(uint64_t n, uint64_t least) {
    return n > least ? n : least;
}

uint64_t machine_first_rto_ns(const struct machine *m, unsigned side) {
    uint64_t rtt_ns = (uint64_t)m->c->end[!side].rtt_us * 1000;
    return with_slack(at_least(rtt_ns * 3, ms(FIRST_RTO_MS)));
}

/* Has the sender repeated so often without an answer that its silence means that it is gone? Less
 * often where the host is known to try less, more often where the tap misses packets; and never,
 * where the answers cannot be seen at all. */
static bool has_given_up(const struct machine *m, unsigned side, unsigned configured) {
    unsigned tries = m->rules->tap_loses ? 2 * GIVEN_UP_TRIES : GIVEN_UP_TRIES;
    if (configured > 0 && configured < tries)
        tries = configured;
    return machine_is(&m->c->end[!side], TCP_SEEN) && m->c->detail[side].tries >= tries;
}

void machine_first_try(struct machine *m, unsigned side, enum tcp_try kind) {
    struct tcp_detail *d = &m->c->detail[side];
    d->trying = (uint8_t)kind;
    d->tried_ns = m->now_ns;
    d->began_s = (uint32_t)(m->now_ns / BASE_NS_PER_S);
    d->interval_us = 0;
    d->tries = d->steady = 0;
    m->rearm |= (uint8_t)(1u << side);
}

static bool about_equal(uint32_t a, uint32_t b) {
    return a < b + b / 4 + 20000 && b < a + a / 4 + 20000;
}

void machine_try_again(struct machine *m, unsigned side, enum tcp_try kind) {
    struct tcp_detail *d = &m->c->detail[side];
    struct tcp_endpoint *peer = &m->c->end[!side];
    m->rearm |= 3;           /* a client that asks again puts the server's own repetitions off */
    if (d->trying != kind) { /* the first repetition: when the original passed was not noted */
        machine_first_try(m, side, kind);
        d->tries = 1;
        return;
    }
    uint64_t interval_us = (m->now_ns - d->tried_ns) / 1000;
    if (interval_us < BURST_MS * 1000)
        return;
    if (interval_us > UINT32_MAX)
        interval_us = UINT32_MAX;
    d->steady = d->interval_us && about_equal((uint32_t)interval_us, d->interval_us)
                    ? (uint8_t)(d->steady + (d->steady < 255))
                    : 0;
    d->interval_us = (uint32_t)interval_us;
    d->tried_ns = m->now_ns;
    if (d->tries < 255)
        d->tries++;
    if (!machine_is(
            peer,
            TCP_SEEN)) /* a direction that never reaches the tap says nothing by its silence */
        return;
    if (d->tries < DEAF_TRIES || kind == TCP_TRY_SYN || kind == TCP_TRY_SYN_ACK ||
        kind == TCP_TRY_PROBE)
        return;
    peer->flags |= TCP_DEAF;
    if (machine_is(peer, TCP_FIN_TAKEN) && !machine_is(peer, TCP_FIN_PROVEN)) {
        peer->flags &= ~(uint32_t)TCP_FIN_TAKEN;
        machine_infer_sends(m, !side, TCP_EVENT_ACK_BEFORE_FIN);
    }
}

void machine_stop_trying(struct machine *m, unsigned side) {
    m->c->detail[side].trying = TCP_TRY_NONE;
    m->rearm |= 3; /* the other end's repetitions may depend on it (syn_ack_due_ns) */
}

void machine_restart_try(struct machine *m, unsigned side) {
    m->c->detail[side].tried_ns = m->now_ns;
    m->rearm |= (uint8_t)(1u << side);
}

void machine_heard(struct machine *m, unsigned side) {
    struct tcp_detail *other = &m->c->detail[!side];
    m->c->end[side].flags &= ~(uint32_t)TCP_DEAF;
    if (other->trying == TCP_TRY_DATA || other->trying == TCP_TRY_KEEPALIVE) {
        machine_stop_trying(m, !side);
    } else if (other->trying == TCP_TRY_PROBE) {
        other->tries = 0; /* answered: Linux goes on for ever (tcp_ack_probe) */
    } else if (other->trying == TCP_TRY_RST && !(m->s->flags & SEGMENT_RST)) {
        machine_stop_trying(m, !side); /* the receiver of the doubtful RST lives */
        if (machine_is(&m->c->end[!side], TCP_FIN_SENT))
            machine_first_try(m, !side, TCP_TRY_FIN);
    }
}

/* The interval after which the next try is due, from those seen; `linear` is how many equal ones
 * may come in a row. */
static uint64_t next_interval_ns(const struct machine *m, unsigned side, unsigned linear) {
    const struct tcp_detail *d = &m->c->detail[side];
    uint64_t interval_ns = (uint64_t)d->interval_us * 1000,
             max_ns = m->rules->timers[side]->rto_max_ns;
    if (d->steady == 0 || d->steady >= linear)
        interval_ns *= 2;
    return with_slack(interval_ns > max_ns ? max_ns : interval_ns);
}

/* How long Linux goes on repeating from one second on, doubling: 63 s for five times. */
static uint64_t doubling_ns(unsigned retries, uint64_t max_ns) {
    uint64_t total = 0, interval = ms(FIRST_RTO_MS);
    if (retries < 32 && interval << retries <= max_ns) /* no interval is cut: the usual settings */
        return (interval << (retries + 1)) - interval;
    for (unsigned i = 0; i <= retries; i++) {
        total += interval;
        interval = interval * 2 > max_ns ? max_ns : interval * 2;
    }
    return total;
}

/* Without a repetition the settings alone tell: 131 s, of which the first intervals are equal
 * (tcp_syn_linear_timeouts). Where the tap misses packets an answer was missed, rather than three
 * repetitions in a row. */
uint64_t tcp_syn_wait_ns(const struct tcp_rules *rules, unsigned side, bool answered) {
    enum { MISSED_RETRIES = 2 };
    const struct tcp_timers *t = rules->timers[side];
    if (rules->tap_loses && !answered)
        return with_slack(doubling_ns(MISSED_RETRIES, t->rto_max_ns));
    return t->syn_linear * ms(FIRST_RTO_MS) + doubling_ns(t->syn_retries, t->rto_max_ns);
}

static uint64_t syn_due_ns(const struct machine *m, unsigned side) {
    const struct tcp_detail *d = &m->c->detail[side];
    const struct tcp_timers *t = m->rules->timers[side];
    if (d->tries == 0)
        return d->tried_ns +
               tcp_syn_wait_ns(m->rules, side, machine_is(&m->c->end[!side], TCP_SEEN));
    return d->tried_ns +
           at_least(next_interval_ns(m, side, t->syn_linear), with_slack(ms(FIRST_RTO_MS)));
}

/* A passive end repeats its SYN-ACK after a second; if not, it keeps no state (SYN cookies).
 * Crossed SYNs leave a socket behind, which goes on trying as an active one does. */
static uint64_t syn_ack_due_ns(const struct machine *m, unsigned side) {
    const struct tcp_detail *d = &m->c->detail[side];
    const struct tcp_timers *t = m->rules->timers[side];
    if (d->trying == TCP_TRY_SYN)
        return d->tried_ns + with_slack(doubling_ns(t->syn_retries, t->rto_max_ns));
    const struct tcp_detail *pd = &m->c->detail[!side];
    if (d->tries > 0)
        return d->tried_ns + at_least(next_interval_ns(m, side, 0), with_slack(ms(FIRST_RTO_MS)));
    /* Asked again and again, it has had no time to repeat by itself; its back-off has gone on as
     * far as the client's. */
    uint64_t first_ns = with_slack(ms(FIRST_RTO_MS));
    uint64_t asked_ns =
        pd->trying == TCP_TRY_SYN && pd->tries > 0 ? next_interval_ns(m, !side, 0) : 0;
    return d->tried_ns + at_least(asked_ns, first_ns);
}

/* When to look at an unanswered FIN: where its next repetition is overdue. Where the tap is known
 * to miss packets that alone tells that the answer was given; elsewhere only a silence in which
 * several repetitions should have passed does. */
static uint64_t fin_due_ns(const struct machine *m, unsigned side) {
    const struct tcp_detail *d = &m->c->detail[side];
    uint64_t patience_ns = machine_first_rto_ns(m, side);
    if (!m->rules->tap_loses)
        patience_ns = at_least(patience_ns, with_slack(ms(PATIENCE_MS)));
    uint64_t next_ns = d->tries == 0 ? 0 : next_interval_ns(m, side, 0);
    bool given_up = has_given_up(m, side, m->rules->timers[side]->orphan_retries);
    return d->tried_ns + (given_up || next_ns > patience_ns ? next_ns : patience_ns);
}

/* In ESTABLISHED and CLOSE_WAIT nothing runs out, unless something is repeated in vain. */
static uint64_t open_due_ns(const struct machine *m, unsigned side) {
    const struct tcp_detail *d = &m->c->detail[side];
    const struct tcp_endpoint *e = &m->c->end[side];
    if (machine_is(e, TCP_SYN_SEEN) &&
        !machine_is(e, TCP_ACKING)) /* assumed to have the SYN-ACK, and silent since */
        return d->since_ns + with_slack(ms(UNHEARD_MS));
    bool repeats =
        d->trying == TCP_TRY_DATA || d->trying == TCP_TRY_KEEPALIVE || d->trying == TCP_TRY_PROBE;
    unsigned configured = d->trying == TCP_TRY_KEEPALIVE ? m->rules->timers[side]->keepalive_probes
                                                         : m->rules->timers[side]->retries2;
    if (!repeats || !has_given_up(m, side, configured))
        return BASE_NEVER_NS;
    uint64_t interval_ns = d->interval_us ? (uint64_t)d->interval_us * 1000
                                          : m->rules->timers[side]->keepalive_intvl_ns;
    if (d->trying == TCP_TRY_KEEPALIVE)
        return d->tried_ns + with_slack(interval_ns);
    return d->tried_ns + next_interval_ns(m, side, 0);
}

/* CLOSE_WAIT is over when the process closes. Its FIN may be missed, with all that would tell of
 * it: so a silent one is looked at now and then, less often the longer it lasts. */
static uint64_t close_wait_due_ns(const struct machine *m, unsigned side) {
    uint64_t silent_ns = m->s ? 0 : m->now_ns - m->c->detail[side].since_ns;
    uint64_t look_ns = m->now_ns + at_least(silent_ns, ms(PATIENCE_MS));
    uint64_t due_ns = open_due_ns(m, side);
    return due_ns < look_ns ? due_ns : look_ns;
}

bool tcp_half_closed(const struct tcp_connection *c, unsigned side) {
    const struct tcp_endpoint *e = &c->end[side], *peer = &c->end[!side];
    bool waits = peer->state == TCP_FIN_WAIT_2 || peer->state == TCP_CLOSED;
    return e->state == TCP_CLOSE_WAIT && waits && c->detail[side].trying == TCP_TRY_NONE &&
           machine_is(e, TCP_SEEN) && machine_is(peer, TCP_SEEN);
}

void machine_arm(struct machine *m, unsigned side) {
    struct tcp_detail *d = &m->c->detail[side];
    const struct tcp_endpoint *e = &m->c->end[side];
    const struct tcp_timers *t = m->rules->timers[side];
    if (d->trying == TCP_TRY_RST) {
        d->due_ns = d->tried_ns + ms(RST_DOUBT_MS);
        return;
    }
    switch ((enum tcp_state)e->state) {
    case TCP_SYN_SENT:
        d->due_ns = syn_due_ns(m, side);
        break;
    case TCP_SYN_RECEIVED:
        d->due_ns = syn_ack_due_ns(m, side);
        break;
    case TCP_FIN_WAIT_1:
    case TCP_CLOSING:
    case TCP_LAST_ACK:
        d->due_ns = d->trying == TCP_TRY_FIN || d->trying == TCP_TRY_DATA ? fin_due_ns(m, side)
                                                                          : open_due_ns(m, side);
        break;
    case TCP_FIN_WAIT_2: /* Linux: only an orphan's runs out (tcp_rcv_state_process, tcp_fin_time)
                          */
        d->due_ns = machine_is(e, TCP_OWNED) ? BASE_NEVER_NS : d->since_ns + t->fin_timeout_ns;
        break;
    case TCP_TIME_WAIT: /* begins anew with each segment received (Linux tcp_timewait_state_process)
                         */
        if (d->since_ns == m->now_ns || (m->s && m->from != side))
            d->due_ns = m->now_ns + t->time_wait_ns;
        break;
    case TCP_ESTABLISHED:
        d->due_ns = open_due_ns(m, side);
        break;
    case TCP_CLOSE_WAIT:
        d->due_ns = close_wait_due_ns(m, side);
        break;
    case TCP_CLOSED:
    case TCP_LISTEN:
    case TCP_STATES:
        d->due_ns = BASE_NEVER_NS;
        break;
    }
}

static void run_out(struct machine *m, unsigned side, enum tcp_cause cause) {
    m->inferred = TCP_INFERRED_TIMER;
    machine_set(m, side, TCP_CLOSED);
    machine_finish(m, cause);
}

/* SYN_RECEIVED runs out: the ACKs that were seen have been taken after all, or the request has
 * expired. */
static void syn_received_over(struct machine *m, unsigned side) {
    struct tcp_endpoint *e = &m->c->end[side];
    if (machine_is(e, TCP_IGNORES) &&
        m->c->detail[side].tries < m->rules->timers[side]->synack_retries) {
        e->flags &= ~(uint32_t)TCP_IGNORES;
        machine_infer_receives(m, side, TCP_EVENT_ACK_OF_SYN);
        machine_finish(m, TCP_CAUSE_ACK);
        return;
    }
    if (m->rules->tap_loses &&
        m->c->detail[side].tries == 0) { /* it would have repeated: the ACK was missed */
        machine_infer_receives(m, side, TCP_EVENT_ACK_OF_SYN);
        machine_finish(m, TCP_CAUSE_ACK);
        return;
    }
    run_out(m, side, TCP_CAUSE_TIMEOUT_SYN_RECEIVED);
}

/* TIME_WAIT was entered unseen, most likely at once after what was seen last: it has run since. */
static void time_wait_since(struct machine *m, unsigned side, uint64_t then_ns) {
    if (m->c->end[side].state != TCP_TIME_WAIT)
        return;
    uint64_t due_ns = then_ns + m->rules->timers[side]->time_wait_ns;
    m->c->detail[side].due_ns = due_ns > m->now_ns ? due_ns : m->now_ns;
}

/* No (further) retransmission of the FIN came: it was acknowledged unseen, or its sender has given
 * up. */
static void fin_over(struct machine *m, unsigned side) {
    if (has_given_up(m, side, m->rules->timers[side]->orphan_retries)) {
        run_out(m, side, TCP_CAUSE_TIMEOUT_RETRANSMIT);
        return;
    }
    machine_infer_sends(m, !side, TCP_EVENT_ACK_OF_FIN);
    machine_infer_receives(m, side, TCP_EVENT_ACK_OF_FIN);
    machine_finish(m, TCP_CAUSE_ACK);
    time_wait_since(m, !side, m->c->detail[side].tried_ns);
}

/* Half closed and silent, at a tap that is known to miss closes: the FIN and the ACK of it were
 * missed. */
static void close_missed(struct machine *m, unsigned side) {
    struct tcp_endpoint *e = &m->c->end[side], *peer = &m->c->end[!side];
    uint64_t then_ns = at_least(m->c->detail[side].since_ns, m->c->detail[!side].since_ns);
    e->flags |= TCP_FIN_SENT | TCP_FIN_GUESSED;
    peer->flags |= TCP_FIN_TAKEN;
    m->c->detail[side].fin = e->nxt + 1;
    machine_infer_sends(m, side, TCP_EVENT_FIN);
    machine_infer_receives(m, !side, TCP_EVENT_FIN);
    machine_infer_receives(m, side, TCP_EVENT_ACK_OF_FIN);
    machine_finish(m, TCP_CAUSE_ACK);
    m->v->step[0].cause = TCP_CAUSE_FIN;
    time_wait_since(m, !side, then_ns);
}

/* A client of whom only SYNs were seen has never been there (SYN flood), or is long gone. */
static enum tcp_cause open_cause(const struct tcp_endpoint *e, const struct tcp_detail *d) {
    if (machine_is(e, TCP_SYN_SEEN) && !machine_is(e, TCP_ACKING))
        return TCP_CAUSE_TIMEOUT_IDLE;
    return d->trying == TCP_TRY_KEEPALIVE ? TCP_CAUSE_TIMEOUT_KEEPALIVE
                                          : TCP_CAUSE_TIMEOUT_RETRANSMIT;
}

static void close_wait_over(struct machine *m, unsigned side) {
    if (open_due_ns(m, side) <= m->now_ns)
        run_out(m, side, open_cause(&m->c->end[side], &m->c->detail[side]));
    else if (m->rules->misses_closes && tcp_half_closed(m->c, side))
        close_missed(m, side);
    else
        machine_arm(m, side);
}

/* Nothing contradicted a RST that was in the window: what it closed up to was missed by the tap. */
static void rst_believed(struct machine *m, unsigned side) {
    machine_stop_trying(m, side);
    machine_infer_sends(m, side, TCP_EVENT_RST);
    machine_infer_receives(m, !side, TCP_EVENT_RST);
    machine_finish(m, TCP_CAUSE_RST);
}

void tcp_timeout(struct tcp_connection *c, unsigned side, const struct tcp_rules *rules,
                 struct tcp_verdict *v) {
    struct tcp_detail *d = &c->detail[side];
    *v = (struct tcp_verdict){0};
    struct machine m = {.c = c, .v = v, .rules = rules, .now_ns = d->due_ns, .from = side};
    d->due_ns = BASE_NEVER_NS;
    if (d->trying == TCP_TRY_RST) {
        rst_believed(&m, side);
        return;
    }
    switch ((enum tcp_state)c->end[side].state) {
    case TCP_SYN_SENT:
        run_out(&m, side, TCP_CAUSE_TIMEOUT_SYN_SENT);
        break;
    case TCP_SYN_RECEIVED:
        syn_received_over(&m, side);
        break;
    case TCP_FIN_WAIT_1:
    case TCP_CLOSING:
    case TCP_LAST_ACK:
        fin_over(&m, side);
        break;
    case TCP_FIN_WAIT_2:
        run_out(&m, side, TCP_CAUSE_TIMEOUT_FIN_WAIT_2);
        break;
    case TCP_TIME_WAIT:
        run_out(&m, side, TCP_CAUSE_TIMEOUT_TIME_WAIT);
        break;
    case TCP_CLOSE_WAIT:
        close_wait_over(&m, side);
        break;
    case TCP_ESTABLISHED:
        run_out(&m, side, open_cause(&c->end[side], d));
        break;
    case TCP_CLOSED:
    case TCP_LISTEN:
    case TCP_STATES:
        break;
    }
}
