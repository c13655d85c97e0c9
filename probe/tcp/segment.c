/*
 * segment: one segment in, one verdict out. Sorts by kind, and handles those of a synchronized
 * connection: sequence numbers, acknowledgements, probes. SYNs are in handshake.c, FINs in fin.c,
 * RSTs in reset.c, what was missed in unseen.c, what is repeated in retry.c, the tables in table.c.
 */
#include "machine.h"

/* RFC 7323 section 2.2: scaled only when both SYNs offered it; where they were not seen, the widest
 * that could be meant. */
uint32_t machine_edge(const struct tcp_endpoint *me, const struct tcp_endpoint *peer) {
    unsigned shift = 14;
    if (machine_is(me, TCP_UNSCALED))
        shift = 0;
    else if (machine_is(me, TCP_SYN_SEEN))
        shift = machine_is(me, TCP_SCALED) &&
                        (machine_is(peer, TCP_SCALED) || !machine_is(peer, TCP_SYN_SEEN))
                    ? me->wscale
                    : 0;
    return me->acked + ((uint32_t)me->window << shift);
}

void machine_note_wrap(struct tcp_detail *d, uint32_t before, uint32_t after) {
    d->wraps += after < before;
}

static void advance(struct machine *m, uint32_t end) {
    struct tcp_endpoint *me = &m->c->end[m->from];
    machine_note_wrap(&m->c->detail[m->from], me->nxt, end);
    me->nxt = end;
}

void machine_time(struct machine *m, uint32_t end) {
    machine_time_end(&m->c->end[m->from], true, end, m->now_ns);
}

void machine_sample(struct machine *m) {
    if (machine_sample_end(m->c->end, m->from, m->s->ack, m->now_ns))
        m->v->facts |= TCP_FACT_RTT_SAMPLE;
}

/* Payload or none, timed or not: a processor cannot guess which, so nothing branches on it. */
bool tcp_in_order(struct tcp_endpoint end[2], unsigned from, const struct segment *s) {
    enum {
        CONTROL = SEGMENT_SYN | SEGMENT_FIN | SEGMENT_RST | SEGMENT_ACK,
        KNOWN = TCP_SEEN | TCP_ACKING,
        ODD = TCP_HOLE | TCP_PENDING | TCP_DEAF | TCP_FIN_SENT | TCP_IGNORES
    };
    struct tcp_endpoint *me = &end[from], *peer = &end[!from];
    uint32_t next = s->seq + s->payload, all = me->flags & peer->flags,
             any = me->flags | peer->flags;
    uint32_t odd = ((s->flags ^ SEGMENT_ACK) & CONTROL) | (me->state ^ TCP_ESTABLISHED) |
                   (peer->state ^ TCP_ESTABLISHED) | (~all & KNOWN) | (any & ODD) |
                   (s->seq ^ me->nxt);
    uint32_t news = s->payload | (s->ack ^ me->acked); /* 0: a window update, a duplicate, a copy */
    bool laden = s->payload > 0;
    if (odd != 0 || news == 0 || next < s->seq || tcp_before(s->ack, me->acked) ||
        tcp_before(peer->nxt, s->ack) || machine_is_beyond(peer, me, s->seq) || s->window == 0 ||
        me->window == 0 || machine_either(laden, me->laden, me->bare) == UINT16_MAX)
        return false;
    me->laden = (uint16_t)(me->laden + laden);
    me->bare = (uint16_t)(me->bare + !laden);
    me->nxt = next;
    me->flags &= ~(uint32_t)TCP_UNSCALED;
    me->acked = s->ack;
    me->window = s->window;
    machine_time_end(me, laden, next, s->ts_ns);
    machine_sample_end(end, from, s->ack, s->ts_ns);
    return true;
}

/* A probe of an idle peer or of a closed window (RFC 9293 3.8.4, 3.8.6.1): one octet or none, just
 * below what the peer awaits. */
static bool is_probe(const struct machine *m) {
    const struct tcp_endpoint *peer = &m->c->end[!m->from];
    return m->s->payload <= 1 && !(m->s->flags & SEGMENT_FIN) && machine_is(peer, TCP_ACKING) &&
           m->s->seq == peer->acked - 1;
}

static void probe(struct machine *m) {
    const struct tcp_endpoint *peer = &m->c->end[!m->from];
    m->v->facts |= TCP_FACT_KEEPALIVE;
    machine_try_again(m, m->from, peer->window == 0 ? TCP_TRY_PROBE : TCP_TRY_KEEPALIVE);
}

/* Octets below nxt: sent again, or late. */
static void old_octets(struct machine *m, uint32_t end) {
    struct tcp_endpoint *me = &m->c->end[m->from];
    struct tcp_detail *d = &m->c->detail[m->from];
    if (machine_is(me, TCP_HOLE) && tcp_before(m->s->seq, d->hole_end) &&
        tcp_before(d->contiguous, end)) {
        m->v->facts |= TCP_FACT_OUT_OF_ORDER;
        if (!tcp_before(d->contiguous, m->s->seq))
            d->contiguous = end;
        if (!tcp_before(d->contiguous, d->hole_end))
            machine_close_hole(me);
        return;
    }
    me->flags &= ~(uint32_t)TCP_TIMED;
    if (m->s->payload > 0) {
        m->v->facts |= TCP_FACT_RETRANSMISSION;
        machine_try_again(m, m->from,
                          d->trying == TCP_TRY_FIN || (m->s->flags & SEGMENT_FIN) ? TCP_TRY_FIN
                                                                                  : TCP_TRY_DATA);
    }
}

/* Where the segment lies in what its sender sends: new, behind a hole, or old. */
static void place(struct machine *m) {
    const struct segment *s = m->s;
    struct tcp_endpoint *me = &m->c->end[m->from];
    struct tcp_detail *d = &m->c->detail[m->from];
    uint32_t end = s->seq + s->payload + ((s->flags & SEGMENT_FIN) != 0);
    if (!machine_is(me, TCP_SEEN)) {
        bool known =
            machine_is(&m->c->end[!m->from], TCP_ACKING); /* the peer has acknowledged up to nxt */
        me->flags |= TCP_SEEN;
        if (!known || tcp_before(s->seq, me->nxt) || (uint32_t)(s->seq - me->nxt) > 1u << 20) {
            me->nxt = s->seq;
            d->first = s->seq;
        }
    }
    if (tcp_before(me->nxt, s->seq))
        machine_open_hole(m, s->seq);
    if (tcp_before(me->nxt, end)) {
        advance(m, end);
        if (s->payload > 0)
            machine_time(m, end);
        if (d->trying == TCP_TRY_DATA || d->trying == TCP_TRY_KEEPALIVE)
            machine_stop_trying(m, m->from);
    } else if (end != s->seq) {
        old_octets(m, end);
    }
}

/* Take the acknowledgement and the window. False when it acknowledges what was never seen,
 * unconfirmed. */
static bool acknowledge(struct machine *m) {
    const struct segment *s = m->s;
    struct tcp_endpoint *me = &m->c->end[m->from], *peer = &m->c->end[!m->from];
    if (tcp_before(peer->nxt, s->ack) ||
        (!machine_is(peer, TCP_SEEN) && !machine_is(me, TCP_ACKING))) {
        if (!machine_confirm_ahead(m))
            return false;
    } else if (m->c->detail[m->from].ahead_kind == TCP_AHEAD_ACK) {
        m->c->detail[m->from].ahead_kind = TCP_AHEAD_NONE; /* contradicted: it was not this end's */
    }
    bool first = !machine_is(me, TCP_ACKING);
    if (!first && tcp_before(s->ack, me->acked))
        return true; /* old: says nothing new */
    if (!first && s->ack == me->acked && s->payload == 0 && !(s->flags & SEGMENT_FIN) &&
        s->window == me->window && tcp_before(s->ack, peer->nxt))
        m->v->facts |= TCP_FACT_DUP_ACK; /* RFC 5681 section 2 */
    if (s->window == 0 && (first || me->window != 0))
        m->v->facts |= TCP_FACT_ZERO_WINDOW;
    if (s->window != 0 && m->c->detail[!m->from].trying == TCP_TRY_PROBE)
        machine_stop_trying(m, !m->from);
    if (me->state == TCP_FIN_WAIT_2 && !first && tcp_before(me->acked, s->ack) &&
        !(machine_is(peer, TCP_FIN_SENT) && s->ack == m->c->detail[!m->from].fin)) {
        me->flags |= TCP_OWNED; /* Linux answers data to an orphan with a RST */
        m->rearm |= (uint8_t)(1u << m->from);
    }
    me->flags = (me->flags | TCP_ACKING) & ~(uint32_t)TCP_UNSCALED;
    me->acked = s->ack;
    me->window = s->window;
    machine_sample(m);
    if (machine_is(peer, TCP_HOLE) && !tcp_before(s->ack, m->c->detail[!m->from].hole_end)) {
        m->v->missed += m->c->detail[!m->from].hole_end - tcp_contiguous(m->c, !m->from);
        m->v->facts |= TCP_FACT_GAP;
        machine_close_hole(peer);
    }
    return true;
}

/* Of two SYN-ACKs with different ISNs the ACK selects one. */
static void select_isn(struct machine *m) {
    struct tcp_endpoint *peer = &m->c->end[!m->from];
    struct tcp_detail *pd = &m->c->detail[!m->from];
    if (!pd->other || peer->state != TCP_SYN_RECEIVED || m->s->ack != pd->other_isn + 1)
        return;
    pd->isn = pd->other_isn;
    pd->first = peer->nxt = pd->isn + 1;
    pd->other = 0;
}

/* The sender is synchronized; so must the peer be, or have been. */
static void synchronize(struct machine *m) {
    struct tcp_endpoint *me = &m->c->end[m->from], *peer = &m->c->end[!m->from];
    bool fast_open = me->state == TCP_SYN_RECEIVED &&
                     machine_is(me, TCP_FASTOPEN); /* RFC 7413: it may speak already */
    bool closed =
        me->state == TCP_CLOSED && machine_is(me, TCP_FIN_SENT); /* its FIN again says more */
    if (!fast_open && !closed)
        machine_sends(m, m->from, TCP_EVENT_ACK);
    if (me->state != TCP_SYN_RECEIVED) { /* past its handshake, by its own word */
        struct tcp_detail *d = &m->c->detail[m->from];
        me->flags &= ~(uint32_t)TCP_IGNORES;
        if (d->trying == TCP_TRY_SYN || d->trying == TCP_TRY_SYN_ACK)
            machine_stop_trying(m, m->from);
    }
    if (peer->state == TCP_CLOSED && !machine_is(peer, TCP_ENDED)) {
        machine_infer_receives(m, !m->from, TCP_EVENT_ACK);
    } else if (peer->state == TCP_SYN_SENT &&
               !tcp_before(m->s->ack, m->c->detail[!m->from].isn + 1)) {
        machine_infer_receives(m, !m->from, TCP_EVENT_ACK_OF_SYN);
    } else if (peer->state == TCP_SYN_RECEIVED && !machine_is(peer, TCP_IGNORES) &&
               !tcp_before(m->s->ack, m->c->detail[!m->from].isn + 1)) {
        machine_receives(m, !m->from, TCP_EVENT_ACK_OF_SYN);
    }
}

/* A FIN_WAIT_2 was taken to have run out, but it acknowledges new data: it had an owner. */
static bool still_reads(const struct tcp_endpoint *me, const struct segment *s) {
    return !machine_is(me, TCP_FIN_TAKEN) && machine_is(me, TCP_ACKING) &&
           tcp_before(me->acked, s->ack) && s->seq == me->nxt;
}

/* Octets where its FIN should be, or behind it: it has not closed. */
static bool sends_on(const struct tcp_connection *c, unsigned from, const struct segment *s) {
    const struct tcp_endpoint *me = &c->end[from];
    uint32_t fin = c->detail[from].fin;
    if (s->payload == 0 || !machine_is(me, TCP_FIN_SENT))
        return false;
    return !tcp_before(machine_is(me, TCP_FIN_GUESSED) ? s->seq + s->payload : s->seq, fin);
}

/* A closed endpoint speaks. Late octets of before say nothing; anything else proves that it is open
 * after all. */
static bool speaks_late(const struct tcp_connection *c, unsigned from, const struct segment *s) {
    const struct tcp_endpoint *me = &c->end[from];
    const struct tcp_detail *d = &c->detail[from];
    if (me->state != TCP_CLOSED || !machine_is(me, TCP_ENDED))
        return false;
    if (machine_is(me, TCP_FIN_SENT))
        return !((s->flags & SEGMENT_FIN) && s->seq + s->payload + 1 == d->fin) &&
               !still_reads(me, s) && !(machine_is(me, TCP_FIN_GUESSED) && sends_on(c, from, s));
    return tcp_crossing(c, from, s->ts_ns, d->since_ns);
}

bool tcp_is_late(const struct tcp_connection *c, unsigned from, const struct segment *s) {
    return speaks_late(c, from, s) || machine_is(&c->end[from], TCP_FIN_SENT);
}

/* A bare ACK of a connection of which nothing else is known, once or again: a keepalive's answer,
 * the last ACK of one that closed before the capture began, or a scan. The other end, or new
 * octets, have to confirm it. */
static bool is_tentative(const struct machine *m) {
    const struct tcp_endpoint *me = &m->c->end[m->from], *peer = &m->c->end[!m->from];
    return me->state == TCP_CLOSED && !machine_is(me, TCP_ENDED | TCP_SYN_SEEN) &&
           !machine_is(peer, TCP_SEEN) && m->s->payload == 0 && !(m->s->flags & SEGMENT_FIN) &&
           (!machine_is(me, TCP_SEEN) || (m->s->seq == me->nxt && m->s->ack == me->acked));
}

void machine_ordinary(struct machine *m) {
    struct tcp_endpoint *me = &m->c->end[m->from];
    const struct segment *s = m->s;
    bool tentative = is_tentative(m), hole = machine_is(me, TCP_HOLE);
    if (!(s->flags & SEGMENT_ACK) || speaks_late(m->c, m->from, s) || machine_is_stale(m)) {
        m->v->facts |= TCP_FACT_STRAY;
        return;
    }
    if (me->state == TCP_CLOSED && machine_is(me, TCP_FIN_SENT) && still_reads(me, s))
        machine_sends(m, m->from, TCP_EVENT_ALIVE);
    if (is_probe(m)) {
        machine_heard(m, m->from);
        probe(m);
    } else if (machine_beyond_window(m)) {
        m->v->facts |= TCP_FACT_STRAY;
        return;
    } else {
        machine_heard(m, m->from);
        if (sends_on(m->c, m->from, s))
            machine_fin_unsent(m);
        machine_settle_ahead(m, !m->from, s->seq);
        uint32_t before = me->nxt;
        bool seen = machine_is(me, TCP_SEEN);
        place(m);
        if (seen && s->payload == 0 && !(s->flags & SEGMENT_FIN) && s->seq == before + 1)
            machine_skip_fin(m);
    }
    select_isn(m);
    bool acknowledged = acknowledge(m);
    if (tentative)
        return;
    if (acknowledged) {
        synchronize(m);
        machine_acknowledge_fin(m);
    }
    machine_next_part(m);
    if (s->flags & SEGMENT_FIN)
        machine_send_fin(m);
    if ((s->flags & SEGMENT_FIN) || (hole && !machine_is(me, TCP_HOLE)))
        machine_deliver_fin(m);
}

/* Not believed: a control segment with a bad checksum from one whose checksums were good (so it is
 * no offload). */
static bool bad_checksum(struct machine *m) {
    struct tcp_endpoint *me = &m->c->end[m->from];
    if (m->s->checksum_state == SEGMENT_CHECKSUM_GOOD && (m->s->flags & SEGMENT_SYN))
        me->flags |= TCP_CHECKED;
    return m->s->checksum_state == SEGMENT_CHECKSUM_BAD && machine_is(me, TCP_CHECKED);
}

enum tcp_cause machine_cause(const struct segment *s) {
    if (s->flags & SEGMENT_RST)
        return TCP_CAUSE_RST;
    if (s->flags & SEGMENT_FIN)
        return TCP_CAUSE_FIN;
    if (s->flags & SEGMENT_SYN)
        return s->flags & SEGMENT_ACK ? TCP_CAUSE_SYN_ACK : TCP_CAUSE_SYN;
    return s->payload > 0 ? TCP_CAUSE_DATA : TCP_CAUSE_ACK;
}

static void note_pending(struct tcp_connection *c) {
    for (unsigned i = 0; i < 2; i++) {
        const struct tcp_detail *d = &c->detail[i];
        bool pending = d->trying != TCP_TRY_NONE || d->ahead_kind || d->other;
        c->end[i].flags =
            pending ? c->end[i].flags | TCP_PENDING : c->end[i].flags & ~(uint32_t)TCP_PENDING;
    }
}

void tcp_segment(struct tcp_connection *c, unsigned from, const struct segment *s,
                 const struct tcp_rules *rules, struct tcp_verdict *v) {
    v->facts = 0;
    v->missed = 0;
    v->steps = 0;
    tcp_count(c, from, s->payload > 0);
    struct machine m = {.c = c, .v = v, .s = s, .rules = rules, .now_ns = s->ts_ns, .from = from};
    bool odd = (s->flags & SEGMENT_SYN) && (s->flags & (SEGMENT_FIN | SEGMENT_RST));
    if (odd || bad_checksum(&m))
        v->facts |= TCP_FACT_STRAY;
    else if (s->flags & SEGMENT_RST)
        machine_rst(&m);
    else if ((s->flags & (SEGMENT_SYN | SEGMENT_ACK)) == (SEGMENT_SYN | SEGMENT_ACK))
        machine_syn_ack(&m);
    else if (s->flags & SEGMENT_SYN)
        machine_syn(&m);
    else
        machine_ordinary(&m);
    machine_finish(&m, machine_cause(s));
    note_pending(c);
}
