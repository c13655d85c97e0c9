/*
 * unseen: what the tap has not seen: holes in what a side sends, acknowledgements and sequence
 * numbers beyond all that passed, and segments that belong to another connection. One segment may
 * be forged; what a second confirms is believed.
 */
#include "machine.h"

/* Is the segment beyond the window that the peer offers? Once may be forged; twice, the tap has
 * missed a lot. */
bool machine_beyond_window(struct machine *m) {
    const struct tcp_endpoint *peer = &m->c->end[!m->from];
    struct tcp_detail *d = &m->c->detail[m->from];
    if (!machine_is(peer, TCP_ACKING) ||
        !tcp_before(machine_edge(peer, &m->c->end[m->from]), m->s->seq) || peer->window == 0)
        return false;
    const struct tcp_detail *pd = &m->c->detail[!m->from];
    if (pd->ahead_kind == TCP_AHEAD_ACK && pd->ahead == m->s->seq)
        return false; /* what the peer said that it awaits, unconfirmed so far */
    if ((d->ahead_kind == TCP_AHEAD_SEQ || d->ahead_kind == TCP_AHEAD_FIN) &&
        !tcp_before(m->s->seq, d->ahead))
        return false;
    bool fin = (m->s->flags & SEGMENT_FIN) != 0;
    d->ahead_kind = fin ? TCP_AHEAD_FIN : TCP_AHEAD_SEQ;
    d->ahead = m->s->seq + m->s->payload + fin;
    return true;
}

/* By more than any reordering explains. */
static bool is_far_below(uint32_t n, uint32_t mark) {
    enum { REORDER = 1 << 20 };
    return tcp_before(n, mark) && mark - n > REORDER;
}

/* Below all that the receiver awaits: of another connection, or forged. */
bool machine_is_stale(const struct machine *m) {
    const struct tcp_endpoint *me = &m->c->end[m->from], *peer = &m->c->end[!m->from];
    return (machine_is(peer, TCP_ACKING) && is_far_below(m->s->seq + m->s->payload, peer->acked)) ||
           (machine_is(me, TCP_ACKING) &&
            is_far_below(m->s->ack, me->acked)); /* RFC 5961 section 5 */
}

void machine_open_hole(struct machine *m, uint32_t seq) {
    struct tcp_endpoint *me = &m->c->end[m->from];
    if (!machine_is(me, TCP_HOLE))
        m->c->detail[m->from].contiguous = me->nxt;
    me->flags |= TCP_HOLE;
    m->c->detail[m->from].hole_end = seq;
}

void machine_close_hole(struct tcp_endpoint *e) {
    e->flags &= ~(uint32_t)TCP_HOLE;
}

/* Octets of `side` up to `end` were sent, though the tap has not seen them. */
static void take_unseen(struct machine *m, unsigned side, uint32_t end) {
    struct tcp_endpoint *e = &m->c->end[side];
    m->v->missed += end - e->nxt;
    m->v->facts |= TCP_FACT_GAP;
    machine_note_wrap(&m->c->detail[side], e->nxt, end);
    e->nxt = end;
    machine_close_hole(e);
}

/* The acknowledgement that waited to be confirmed is: by a later one, or by a segment that follows
 * what it covers. */
void machine_settle_ahead(struct machine *m, unsigned acker, uint32_t reached) {
    struct tcp_detail *d = &m->c->detail[acker];
    if (d->ahead_kind != TCP_AHEAD_ACK || tcp_before(reached, d->ahead))
        return;
    struct tcp_endpoint *e = &m->c->end[acker];
    d->ahead_kind = TCP_AHEAD_NONE;
    if (machine_is(e, TCP_ACKING) && tcp_before(e->acked, d->ahead))
        e->acked = d->ahead; /* so that a copy of it says nothing new */
    if (tcp_before(m->c->end[!acker].nxt, d->ahead))
        take_unseen(m, !acker, d->ahead);
}

/* One direction only: the acknowledgements are all that is known of the other end. One octet alone
 * may be its FIN: it is, where this end has closed already, or closes with the next segment
 * (send_fin). */
static void confirm_unseen(struct machine *m) {
    struct tcp_endpoint *me = &m->c->end[m->from], *peer = &m->c->end[!m->from];
    struct tcp_detail *pd = &m->c->detail[!m->from];
    uint32_t ack = m->s->ack;
    bool known = machine_is(me, TCP_ACKING), one = known && ack - peer->nxt == 1;
    if (!known)
        pd->first = ack;
    else
        machine_note_wrap(pd, peer->nxt, ack);
    peer->nxt = ack;
    pd->ahead_kind = one ? TCP_AHEAD_FIN : TCP_AHEAD_NONE;
    pd->ahead = ack;
    if (one && machine_is(me, TCP_FIN_SENT))
        machine_guess_fin(m, !m->from, ack);
}

/* An acknowledgement of octets that the tap has not seen: believed when it is repeated or exceeded.
 * False: not yet. One octet alone is a FIN that was missed, as nobody forges that, and the last ACK
 * of a connection is not repeated. */
bool machine_confirm_ahead(struct machine *m) {
    const struct tcp_endpoint *me = &m->c->end[m->from], *peer = &m->c->end[!m->from];
    struct tcp_detail *d = &m->c->detail[m->from];
    uint32_t ack = m->s->ack;
    if (!machine_is(peer, TCP_SEEN)) {
        confirm_unseen(m);
        return true;
    }
    machine_settle_ahead(m, m->from, ack);
    if (peer->nxt == ack)
        return true;
    if (ack - peer->nxt == 1 && !machine_is(peer, TCP_FIN_SENT)) {
        take_unseen(m, !m->from, ack);
        m->v->missed--; /* a FIN is no octet of payload */
        machine_guess_fin(m, !m->from, ack);
        return true;
    }
    struct tcp_detail *pd = &m->c->detail[!m->from];
    if (pd->ahead_kind == TCP_AHEAD_FIN &&
        pd->ahead == ack) { /* a FIN that seemed beyond the window */
        pd->ahead_kind = TCP_AHEAD_NONE;
        take_unseen(m, !m->from, ack);
        m->v->missed--;
        machine_guess_fin(m, !m->from, ack);
        return true;
    }
    if (!machine_is(me, TCP_ACKING) &&
        ack - peer->nxt <= UINT16_MAX) { /* its first word: the handshake was missed */
        take_unseen(m, !m->from, ack);
        return true;
    }
    d->ahead_kind = TCP_AHEAD_ACK;
    d->ahead = ack;
    return false;
}
