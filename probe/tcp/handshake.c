/*
 * handshake: SYN and SYN-ACK, in any order of arrival, repeated, crossed, with another ISN, or
 * where none belongs.
 */
#include "machine.h"

static void note_scale(struct machine *m) {
    struct tcp_endpoint *me = &m->c->end[m->from];
    me->flags &= ~(uint32_t)TCP_SCALED;
    me->flags |= m->s->options & SEGMENT_OPT_WSCALE ? TCP_SCALED : 0u;
    me->wscale = tcp_wscale(m->s);
}

/* Remember where side `from` begins; a SYN takes one sequence number, its payload (RFC 7413) the
 * next. */
static void note_isn(struct machine *m) {
    const struct segment *s = m->s;
    struct tcp_endpoint *me = &m->c->end[m->from];
    struct tcp_detail *d = &m->c->detail[m->from];
    me->flags |= TCP_SEEN | TCP_SYN_SEEN;
    d->isn = s->seq;
    d->first = s->seq + 1;
    d->wraps = 0;
    me->nxt = s->seq + 1 + s->payload;
    machine_time(m, s->seq + 1);
    me->flags &= ~(uint32_t)TCP_HOLE;
    note_scale(m);
}

static void note_ack_of_syn_ack(struct machine *m) {
    struct tcp_endpoint *me = &m->c->end[m->from];
    me->flags |= TCP_ACKING | TCP_UNSCALED;
    me->acked = m->s->ack;
    me->window = m->s->window;
}

/* True when nothing but SYNs came from this side: no later segment has proven more. */
static bool only_syns(const struct tcp_connection *c, unsigned side) {
    const struct tcp_endpoint *e = &c->end[side];
    return machine_is(e, TCP_SYN_SEEN) && e->nxt == c->detail[side].isn + 1;
}

/* A SYN that comes after segments which followed it (packets in the wrong order, a pick-up in the
 * middle): its number is just below theirs. */
static bool is_late_syn(const struct machine *m) {
    enum { LATE_OCTETS = 1 << 16 };
    const struct tcp_endpoint *me = &m->c->end[m->from], *peer = &m->c->end[!m->from];
    bool placed = machine_is(me, TCP_SEEN) || machine_is(peer, TCP_ACKING);
    return placed && !machine_is(me, TCP_SYN_SEEN) &&
           m->c->detail[m->from].first - (m->s->seq + 1) < LATE_OCTETS;
}

static void late_syn(struct machine *m) {
    struct tcp_endpoint *me = &m->c->end[m->from];
    m->c->detail[m->from].isn = m->s->seq;
    m->c->detail[m->from].first = m->s->seq + 1;
    me->flags |= TCP_SYN_SEEN | TCP_SEEN;
    note_scale(m);
}

/* Does a SYN with another ISN on this tuple begin another connection at once (RFC 9293 3.10.7.4,
 * RFC 6191)? Its sender has surely forgotten the old one where that was over for it; the other end
 * agrees where it is in TIME_WAIT and the number is above what it has received. Elsewhere the
 * SYN-ACK has to confirm it. */
static bool begins_another(const struct machine *m) {
    const struct tcp_endpoint *me = &m->c->end[m->from], *peer = &m->c->end[!m->from];
    if (peer->state == TCP_CLOSED) /* nothing is left that would challenge it */
        return true;
    if (me->state != TCP_CLOSED && me->state != TCP_TIME_WAIT)
        return false;
    if (peer->state == TCP_TIME_WAIT && machine_is(me, TCP_SEEN))
        return tcp_before(me->nxt, m->s->seq) || (m->s->options & SEGMENT_OPT_TIMESTAMP);
    return true;
}

static void syn_again(struct machine *m) {
    struct tcp_endpoint *me = &m->c->end[m->from];
    if (machine_is(me, TCP_ACKING)) { /* it has acknowledged the peer's SYN since: an old copy */
        m->v->facts |= TCP_FACT_STRAY;
        return;
    }
    me->flags &= ~(uint32_t)TCP_TIMED;
    machine_try_again(m, m->from, TCP_TRY_SYN);
    if (me->state == TCP_ESTABLISHED || me->state == TCP_SYN_RECEIVED) {
        if (machine_crossing(m, m->from, m->c->detail[m->from].since_ns))
            return;
        me->flags |= TCP_IGNORES; /* the next SYN-ACK is not assumed to arrive either */
    }
    machine_sends(m, m->from, TCP_EVENT_SYN_AGAIN);
}

void machine_syn(struct machine *m) {
    struct tcp_endpoint *me = &m->c->end[m->from], *peer = &m->c->end[!m->from];
    struct tcp_detail *d = &m->c->detail[m->from];
    bool known = machine_is(me, TCP_SEEN) || machine_is(peer, TCP_SEEN);
    bool crossed = !machine_is(me, TCP_SEEN) && peer->state == TCP_SYN_SENT;
    if (machine_is(me, TCP_SYN_SEEN) && d->isn == m->s->seq) {
        syn_again(m);
    } else if (!known || crossed) {
        note_isn(m);
        machine_sends(m, m->from, TCP_EVENT_SYN);
        machine_receives(m, !m->from, TCP_EVENT_SYN);
        if (crossed) /* the peer's SYN, which passed before, reaches this end too */
            machine_receives(m, m->from, TCP_EVENT_SYN);
        machine_first_try(m, m->from, TCP_TRY_SYN);
    } else if (!machine_is(me, TCP_SEEN) && machine_is(peer, TCP_SYN_SEEN) &&
               peer->state == TCP_SYN_RECEIVED && only_syns(m->c, !m->from)) {
        note_isn(m); /* the SYN-ACK came first: packets in the wrong order */
        machine_sends(m, m->from, TCP_EVENT_SYN);
        machine_receives(m, m->from, TCP_EVENT_SYN_ACK);
    } else if (is_late_syn(m)) {
        late_syn(m);
    } else if (begins_another(m)) {
        m->v->facts |= TCP_FACT_NEW_SYN;
    } else {
        d->other_isn = m->s->seq;
        d->other = 1;
        m->v->facts |= TCP_FACT_STRAY;
    }
}

/* A SYN-ACK of an endpoint that has sent its SYN before: the crossed SYN acknowledged, or a
 * repetition. */
static void syn_ack_known(struct machine *m) {
    struct tcp_endpoint *me = &m->c->end[m->from];
    bool first = !machine_is(me, TCP_ACKING);
    note_ack_of_syn_ack(m);
    if (first) {
        machine_sends(m, m->from, TCP_EVENT_SYN_ACK);
        machine_receives(m, !m->from, TCP_EVENT_SYN_ACK);
        machine_first_try(m, m->from, TCP_TRY_SYN_ACK);
        return;
    }
    if (!only_syns(m->c, m->from) && !machine_is(me, TCP_FASTOPEN)) {
        m->v->facts |= TCP_FACT_STRAY; /* it has sent more since: an old copy */
        return;
    }
    if (me->state != TCP_SYN_RECEIVED) {
        if (machine_crossing(m, m->from, m->c->detail[m->from].since_ns))
            return;
        if (me->state == TCP_ESTABLISHED || me->state == TCP_CLOSE_WAIT)
            me->flags |= TCP_IGNORES;
    }
    me->flags &= ~(uint32_t)TCP_TIMED;
    machine_sends(m, m->from, TCP_EVENT_SYN_ACK_AGAIN);
    const struct tcp_detail *pd = &m->c->detail[!m->from];
    if (pd->trying == TCP_TRY_SYN && pd->tries > 0 && machine_crossing(m, m->from, pd->tried_ns))
        machine_restart_try(m, m->from); /* the answer to a repeated SYN (Linux tcp_check_req) */
    else
        machine_try_again(m, m->from, TCP_TRY_SYN_ACK);
    if (!machine_is(&m->c->end[!m->from], TCP_IGNORES))
        machine_receives(m, !m->from, TCP_EVENT_SYN_ACK);
}

/* A SYN-ACK with another ISN: the client's ACK will say which of the two counts. The server may
 * have forgotten the first request and taken the repeated SYN for a new one (Linux, once its
 * retries are over): it has as long again. */
static void other_syn_ack(struct machine *m) {
    struct tcp_detail *d = &m->c->detail[m->from];
    if (d->other && d->other_isn == m->s->seq)
        machine_try_again(m, m->from, TCP_TRY_SYN_ACK);
    else
        machine_first_try(m, m->from, TCP_TRY_SYN_ACK);
    d->other_isn = m->s->seq;
    d->other = 1;
}

static void syn_ack_first(struct machine *m) {
    struct tcp_endpoint *me = &m->c->end[m->from], *peer = &m->c->end[!m->from];
    note_isn(m);
    note_ack_of_syn_ack(m);
    machine_sample(m);
    if (machine_is(peer, TCP_SYN_SEEN) && m->s->ack != m->c->detail[!m->from].isn + 1) {
        me->flags |= TCP_FASTOPEN; /* RFC 7413: the data of the SYN is acknowledged too */
    } else if (!machine_is(peer,
                           TCP_SEEN)) { /* its SYN was not seen, but its number is known now */
        m->c->detail[!m->from].first = m->s->ack;
        peer->nxt = m->s->ack;
    }
    machine_sends(m, m->from, TCP_EVENT_SYN_ACK);
    if (!machine_is(peer, TCP_IGNORES))
        machine_receives(m, !m->from, TCP_EVENT_SYN_ACK);
    machine_first_try(m, m->from, TCP_TRY_SYN_ACK);
}

void machine_syn_ack(struct machine *m) {
    struct tcp_endpoint *me = &m->c->end[m->from], *peer = &m->c->end[!m->from];
    struct tcp_detail *d = &m->c->detail[m->from], *pd = &m->c->detail[!m->from];
    machine_heard(m, m->from);
    bool acceptable = !machine_is(peer, TCP_SYN_SEEN) ||
                      (tcp_before(pd->isn, m->s->ack) && !tcp_before(peer->nxt, m->s->ack));
    if (pd->other && m->s->ack == pd->other_isn + 1) {
        m->v->facts |=
            TCP_FACT_NEW_SYN; /* the other SYN was accepted (RFC 9293 3.10.7.4, field: reuse) */
    } else if (!acceptable) {
        m->v->facts |= TCP_FACT_STRAY;
    } else if (machine_is(me, TCP_SYN_SEEN) && d->isn == m->s->seq) {
        syn_ack_known(m);
    } else if (machine_is(me, TCP_SYN_SEEN) && me->state == TCP_SYN_RECEIVED) {
        other_syn_ack(m);
    } else if (machine_is(me, TCP_SEEN) && me->state != TCP_CLOSED) {
        m->v->facts |= TCP_FACT_STRAY;
    } else {
        syn_ack_first(m);
    }
}
