/*
 * fin: the end of a direction: FINs sent, repeated, crossed, received behind what was sent before
 * them, acknowledged; and those that the tap has missed, or that were never sent.
 */
#include "machine.h"

/* A FIN sent before the peer's could arrive, which is on its way: FIN_WAIT_1 first, then CLOSING
 * (RFC 9293 section 3.6, case 3). */
static void cross(struct machine *m, unsigned side) {
    bool assumed = m->c->end[side].state == TCP_CLOSE_WAIT;
    machine_sends(m, side, TCP_EVENT_FIN_CROSSING);
    if (assumed)
        machine_receives(m, side, TCP_EVENT_FIN);
}

/* The peer's FIN was not seen, but one octet at the end of what it sent was acknowledged, or
 * skipped by itself. */
void machine_guess_fin(struct machine *m, unsigned side, uint32_t fin) {
    struct tcp_endpoint *e = &m->c->end[side];
    if (machine_is(e, TCP_FIN_SENT) || (e->state != TCP_ESTABLISHED && e->state != TCP_CLOSE_WAIT))
        return;
    e->flags |= TCP_FIN_SENT | TCP_FIN_GUESSED;
    m->c->detail[side].fin = fin;
    if (machine_is(&m->c->end[!side], TCP_FIN_SENT)) /* the segment that was missed has acknowledged
                                                        the other FIN, most likely */
        machine_infer_receives(m, !side, TCP_EVENT_ACK_OF_FIN);
    /* It speaks from behind its FIN, and acknowledges the peer's for the first time, if at all: a
     * FIN sent after the peer's had come would have done so. Unless that was missed with it: then
     * the peer has had to repeat its own. */
    const struct tcp_detail *pd = &m->c->detail[!side];
    bool repeated = pd->trying == TCP_TRY_FIN && pd->tries > 0;
    bool crossing = m->from == side && machine_is(e, TCP_FIN_TAKEN) &&
                    !machine_is(e, TCP_FIN_PROVEN) && !repeated;
    m->inferred = machine_reason(m, side);
    if (crossing)
        cross(m, side);
    else
        machine_sends(m, side, TCP_EVENT_FIN);
    m->inferred = TCP_PROVEN;
    bool proven = m->from != side && !tcp_before(m->s->ack, fin);
    m->c->end[!side].flags |= proven ? TCP_FIN_TAKEN | TCP_FIN_PROVEN : TCP_FIN_TAKEN;
    machine_infer_receives(m, !side, TCP_EVENT_FIN);
    if (proven)
        machine_infer_receives(m, side, TCP_EVENT_ACK_OF_FIN);
    else
        machine_first_try(m, side, TCP_TRY_FIN);
}

/* What the acknowledgement says of the peer's FIN. */
void machine_acknowledge_fin(struct machine *m) {
    struct tcp_endpoint *me = &m->c->end[m->from], *peer = &m->c->end[!m->from];
    struct tcp_detail *pd = &m->c->detail[!m->from];
    if (!machine_is(peer, TCP_FIN_SENT))
        return;
    if (!tcp_before(m->s->ack, pd->fin)) {
        me->flags |= TCP_FIN_TAKEN | TCP_FIN_PROVEN;
        pd->fin_acked_us = (uint32_t)(m->now_ns / 1000);
        machine_sends(m, m->from, TCP_EVENT_ACK_OF_FIN);
        machine_receives(m, !m->from, TCP_EVENT_ACK_OF_FIN);
        if (pd->trying == TCP_TRY_FIN)
            machine_stop_trying(m, !m->from);
    } else if (machine_is(me, TCP_FIN_TAKEN) && !machine_is(me, TCP_FIN_PROVEN) &&
               !machine_crossing(m, m->from, pd->tried_ns)) {
        me->flags &= ~(uint32_t)TCP_FIN_TAKEN;
        machine_sends(m, m->from, TCP_EVENT_ACK_BEFORE_FIN);
    }
    if (tcp_before(m->s->ack, pd->fin) && pd->trying == TCP_TRY_FIN &&
        !machine_crossing(m, m->from, pd->tried_ns)) {
        pd->tries = 0; /* the other end lives, and has not got it: it goes on trying from here */
        pd->tried_ns = m->now_ns;
        m->rearm |= (uint8_t)(1u << !m->from);
    }
}

/* Octets after its FIN: the FIN was forged, or guessed. */
void machine_fin_unsent(struct machine *m) {
    struct tcp_endpoint *me = &m->c->end[m->from], *peer = &m->c->end[!m->from];
    if (machine_is(peer, TCP_FIN_PROVEN) && !machine_is(me, TCP_FIN_GUESSED))
        return;
    me->flags &= ~(uint32_t)(TCP_FIN_SENT | TCP_FIN_GUESSED);
    peer->flags &= ~(uint32_t)(TCP_FIN_TAKEN | TCP_FIN_PROVEN);
    machine_stop_trying(m, m->from);
    machine_sends(m, m->from, TCP_EVENT_FIN_UNSENT);
    machine_receives(m, !m->from, TCP_EVENT_FIN_UNSENT);
}

static void fin_again(struct machine *m) {
    struct tcp_endpoint *me = &m->c->end[m->from], *peer = &m->c->end[!m->from];
    struct tcp_detail *d = &m->c->detail[m->from];
    bool acknowledged =
        me->state == TCP_FIN_WAIT_2 || me->state == TCP_TIME_WAIT || me->state == TCP_CLOSED;
    /* On its way while an acknowledgement comes towards it: both ends may repeat at once. */
    uint64_t told_ns =
        m->now_ns - (uint64_t)((uint32_t)(m->now_ns / 1000) - d->fin_acked_us) * 1000;
    if (acknowledged &&
        (machine_crossing(m, m->from, d->since_ns) || machine_crossing(m, m->from, told_ns)))
        return;
    machine_sends(m, m->from, TCP_EVENT_FIN_AGAIN);
    if (machine_is(me, TCP_FIN_TAKEN) &&
        !(machine_is(peer, TCP_FIN_SENT) && !tcp_before(m->s->ack, m->c->detail[!m->from].fin)))
        machine_sends(m, m->from, TCP_EVENT_ACK_BEFORE_FIN);
    machine_try_again(m, m->from, TCP_TRY_FIN);
}

void machine_send_fin(struct machine *m) {
    struct tcp_endpoint *me = &m->c->end[m->from], *peer = &m->c->end[!m->from];
    struct tcp_detail *d = &m->c->detail[m->from];
    uint32_t fin = m->s->seq + m->s->payload + 1;
    if (machine_is(me, TCP_FIN_SENT) && fin == d->fin) {
        fin_again(m);
        return;
    }
    if (machine_is(peer, TCP_ACKING) && tcp_before(fin, peer->acked))
        return; /* below what the peer awaits: it is dropped (RFC 9293 3.10.7.4, first) */
    if (machine_is(me, TCP_FIN_SENT)) { /* not both can be its own: the later one, unless the first
                                           was acknowledged */
        if (!machine_is(peer, TCP_FIN_PROVEN) && tcp_before(d->fin, fin))
            d->fin = fin;
        return;
    }
    struct tcp_detail *pd = &m->c->detail[!m->from];
    if (!machine_is(peer, TCP_SEEN) && pd->ahead_kind == TCP_AHEAD_FIN && pd->ahead == m->s->ack)
        machine_guess_fin(
            m, !m->from, m->s->ack); /* what it acknowledged last, alone, was the other end's FIN */
    me->flags |= TCP_FIN_SENT;
    d->fin = fin;
    bool crossing = machine_is(me, TCP_FIN_TAKEN) && !machine_is(me, TCP_FIN_PROVEN);
    if (crossing)
        cross(m, m->from);
    else
        machine_sends(m, m->from, TCP_EVENT_FIN);
    machine_first_try(m, m->from, TCP_TRY_FIN);
}

/* The receiver takes a FIN only behind all that was sent before it (RFC 9293 3.10.7.4, eighth).
 * Where the tap misses packets, a hole is its own rather than the receiver's. */
void machine_deliver_fin(struct machine *m) {
    struct tcp_endpoint *me = &m->c->end[m->from], *peer = &m->c->end[!m->from];
    if (!machine_is(me, TCP_FIN_SENT) || machine_is(peer, TCP_FIN_TAKEN | TCP_DEAF))
        return;
    if (machine_is(me, TCP_HOLE) && !m->rules->tap_loses)
        return;
    if (peer->state == TCP_CLOSED || peer->state == TCP_SYN_SENT)
        return;
    peer->flags |= TCP_FIN_TAKEN;
    machine_receives(m, !m->from, TCP_EVENT_FIN);
}

/* A bare ACK one octet further than all that was seen: what lies between was this end's FIN. */
void machine_skip_fin(struct machine *m) {
    struct tcp_endpoint *me = &m->c->end[m->from];
    if (machine_is(me, TCP_HOLE) && m->s->seq - tcp_contiguous(m->c, m->from) == 1)
        machine_close_hole(me);
    machine_guess_fin(m, m->from, m->s->seq);
}
