/*
 * reset: RST by RFC 5961 section 3, and ICMP errors by RFC 5927 section 4.
 */
#include "machine.h"

enum rst_validity { RST_EXACT, RST_IN_WINDOW, RST_OUTSIDE };

/*
 * What the receiver's kernel makes of a RST. It compares with RCV.NXT: all that the tap has seen go
 * to it, if that arrived, else its last acknowledgement; a RST there is exact. Above that, within
 * the window, it answers with a challenge ACK: either it is forged, or the tap has missed what lies
 * between. Below, it is dropped without an answer.
 */
static enum rst_validity validate(const struct machine *m) {
    const struct tcp_endpoint *me = &m->c->end[m->from], *peer = &m->c->end[!m->from];
    const struct segment *s = m->s;
    if (peer->state == TCP_SYN_SENT) /* RFC 9293 3.10.7.3, second: it must acknowledge the SYN */
        return (s->flags & SEGMENT_ACK) && s->ack == peer->nxt                        ? RST_EXACT
               : (s->flags & SEGMENT_ACK) && s->ack == m->c->detail[!m->from].isn + 1 ? RST_EXACT
                                                                                      : RST_OUTSIDE;
    if (!machine_is(me, TCP_SEEN) && !machine_is(peer, TCP_ACKING))
        return RST_EXACT; /* nothing to compare with */
    uint32_t low = machine_is(peer, TCP_ACKING) ? peer->acked : me->nxt;
    uint32_t high = machine_is(me, TCP_SEEN) && tcp_before(low, me->nxt) ? me->nxt : low;
    if (s->seq == low || s->seq == high ||
        (machine_is(me, TCP_SEEN) && s->seq == tcp_contiguous(m->c, m->from)))
        return RST_EXACT;
    uint32_t edge = machine_is(peer, TCP_ACKING) ? machine_edge(peer, me)
                                                 : high + UINT16_MAX; /* not told yet */
    if (tcp_before(high, s->seq) && tcp_before(s->seq, edge))
        return RST_IN_WINDOW;
    return RST_OUTSIDE;
}

void machine_rst(struct machine *m) {
    struct tcp_endpoint *me = &m->c->end[m->from], *peer = &m->c->end[!m->from];
    struct tcp_detail *d = &m->c->detail[m->from];
    if (me->state == TCP_CLOSED && peer->state == TCP_CLOSED) {
        m->v->facts |= TCP_FACT_STRAY;
        return;
    }
    switch (validate(m)) {
    case RST_EXACT:
        machine_sends(m, m->from, TCP_EVENT_RST);
        if (!machine_is(peer, TCP_DEAF))
            machine_receives(m, !m->from, TCP_EVENT_RST);
        break;
    case RST_IN_WINDOW:
        d->trying = TCP_TRY_RST;
        d->tried_ns = m->now_ns;
        m->rearm |= (uint8_t)(1u << m->from);
        m->v->facts |= TCP_FACT_STRAY;
        break;
    case RST_OUTSIDE:
        m->v->facts |= TCP_FACT_STRAY;
        break;
    }
}

void tcp_icmp(struct tcp_connection *c, unsigned told, const struct segment *s,
              struct tcp_verdict *v) {
    *v = (struct tcp_verdict){0};
    struct tcp_endpoint *me = &c->end[told];
    struct machine m = {.c = c, .v = v, .s = s, .now_ns = s->ts_ns, .from = told};
    bool unreachable = s->family == 4 ? s->icmp_type == 3 || s->icmp_type == 11
                                      : s->icmp_type == 1 || s->icmp_type == 3;
    bool too_big = s->family == 4 && s->icmp_type == 3 &&
                   s->icmp_code == 4; /* RFC 1191: a smaller segment follows */
    /* Only an opening connection is given up (RFC 1122 4.2.3.9; Linux tcp_v4_err): elsewhere it is
     * a soft error. */
    if (!unreachable || too_big || me->state != TCP_SYN_SENT || s->seq != c->detail[told].isn) {
        v->facts |= TCP_FACT_STRAY;
        return;
    }
    machine_set(&m, told, TCP_CLOSED);
    c->detail[told].due_ns = BASE_NEVER_NS;
    for (unsigned i = 0; i < v->steps; i++)
        v->step[i].cause = TCP_CAUSE_ICMP;
}
