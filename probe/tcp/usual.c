/*
 * usual: the short way of handshakes and closes that nothing disturbs.
 *
 * Of nearly all connections each segment is the one that comes next: a SYN-ACK that answers the
 * SYN, the ACK that completes it, a FIN in order, its acknowledgement with or without the other
 * FIN, the last ACK. What they do needs no struct tcp_detail: both ends, and what each is trying,
 * say all. The moves are those of the tables (table.c), in the order of machine_ordinary;
 * everything else is left to tcp_segment. With SPANWATCH_VERIFY the flow room compares the two
 * (flow/usual.c).
 */
#include "machine.h"

enum {
    ODD = TCP_HOLE | TCP_DEAF | TCP_IGNORES | TCP_FASTOPEN | TCP_FIN_GUESSED | TCP_OWNED,
    KNOWN = TCP_SEEN | TCP_ACKING,
    CLOSING = TCP_FIN_SENT | TCP_FIN_TAKEN
};

/* What a segment does to a connection that has a table, two ends and nothing else. */
struct passage {
    struct tcp_endpoint *end;
    struct tcp_verdict *v;
    unsigned moved; /* sides (bits) that changed in the open step, as in struct machine */
};

static void move(struct passage *p, unsigned side, const struct tcp_cell *cell) {
    struct tcp_verdict *v = p->v;
    if (cell->verdict != TCP_MOVE)
        return;
    if (v->steps == 0 || (p->moved & (1u << side))) {
        struct tcp_step *fresh = &v->step[v->steps++];
        for (unsigned i = 0; i < 2; i++)
            fresh->was[i] = fresh->state[i] = p->end[i].state;
        fresh->inferred = TCP_PROVEN;
        p->moved = 0;
    }
    p->moved |= 1u << side;
    p->end[side].state = v->step[v->steps - 1].state[side] = cell->next;
    if (cell->next == TCP_CLOSED)
        p->end[side].flags |= TCP_ENDED;
}

static void sends(struct passage *p, unsigned side, enum tcp_event e) {
    move(p, side, &tcp_sends[e][p->end[side].state]);
}

static void receives(struct passage *p, unsigned side, enum tcp_event e) {
    move(p, side, &tcp_receives[e][p->end[side].state]);
}

static void note_pending(struct tcp_endpoint end[2], const uint8_t trying[2]) {
    for (unsigned i = 0; i < 2; i++)
        end[i].flags = trying[i] != TCP_TRY_NONE ? end[i].flags | TCP_PENDING
                                                 : end[i].flags & ~(uint32_t)TCP_PENDING;
}

/* A SYN-ACK of one who has not spoken yet, that acknowledges a SYN without octets. */
static bool answers(const struct tcp_endpoint end[2], const uint32_t first[2],
                    const uint8_t trying[2], unsigned from, const struct segment *s) {
    const struct tcp_endpoint *me = &end[from], *peer = &end[!from];
    return me->state == TCP_CLOSED && me->flags == 0 && peer->state == TCP_SYN_SENT &&
           trying[!from] == TCP_TRY_SYN && s->ack == peer->nxt && s->ack == first[!from] &&
           s->payload == 0 && s->window != 0;
}

static void answer(struct passage *p, uint32_t first[2], uint8_t trying[2], unsigned from,
                   const struct segment *s) {
    bool scaled = (s->options & SEGMENT_OPT_WSCALE) != 0;
    uint32_t flags = KNOWN | TCP_SYN_SEEN | TCP_UNSCALED | (scaled ? TCP_SCALED : 0u) |
                     (s->checksum_state == SEGMENT_CHECKSUM_GOOD ? TCP_CHECKED : 0u);
    p->end[from] = (struct tcp_endpoint){.nxt = s->seq + 1,
                                         .acked = s->ack,
                                         .bare = 1,
                                         .flags = flags,
                                         .window = s->window,
                                         .state = TCP_CLOSED,
                                         .wscale = tcp_wscale(s)};
    first[from] = s->seq + 1;
    trying[from] = TCP_TRY_SYN_ACK;
    machine_time_end(&p->end[from], true, s->seq + 1, s->ts_ns);
    machine_sample_end(p->end, from, s->ack, s->ts_ns);
    sends(p, from, TCP_EVENT_SYN_ACK);
    receives(p, !from, TCP_EVENT_SYN_ACK);
}

/* Nothing is missing, and the segment follows what its sender has sent. */
static bool is_next(const struct tcp_endpoint end[2], unsigned from, const struct segment *s,
                    uint32_t next) {
    const struct tcp_endpoint *me = &end[from], *peer = &end[!from];
    return s->seq == me->nxt && next >= s->seq && s->window != 0 && machine_is(me, TCP_SEEN) &&
           !((me->flags | peer->flags) & ODD) && (peer->flags & KNOWN) == KNOWN &&
           s->checksum_state != SEGMENT_CHECKSUM_BAD && !tcp_before(peer->nxt, s->ack) &&
           !tcp_before(me->nxt, peer->acked) && !machine_is_beyond(peer, me, s->seq) &&
           (s->payload > 0 ? me->laden : me->bare) != UINT16_MAX;
}

/* The acknowledgement that completes the handshake, alone or with the first octets. */
static bool completes(const struct tcp_endpoint end[2], const uint8_t trying[2], unsigned from,
                      const struct segment *s) {
    return trying[from] == TCP_TRY_SYN && trying[!from] == TCP_TRY_SYN_ACK &&
           !machine_is(&end[from], TCP_ACKING) && s->ack == end[!from].nxt &&
           !(s->flags & SEGMENT_FIN);
}

/* Open at both ends, of which one or the other has not confirmed it yet; or the first FIN. */
static bool continues(const struct tcp_endpoint end[2], const uint8_t trying[2], unsigned from,
                      const struct segment *s) {
    const struct tcp_endpoint *me = &end[from], *peer = &end[!from];
    bool fin = (s->flags & SEGMENT_FIN) != 0;
    bool mine = trying[from] == TCP_TRY_NONE || trying[from] == TCP_TRY_SYN_ACK;
    bool others = trying[!from] == TCP_TRY_NONE || (!fin && trying[!from] == TCP_TRY_SYN_ACK);
    return mine && others && machine_is(me, TCP_ACKING) && !((me->flags | peer->flags) & CLOSING) &&
           !tcp_before(s->ack, me->acked) && (s->payload > 0 || fin || s->ack != me->acked);
}

/* It has the other's FIN, and says so; or closes too. */
static bool closes(const struct tcp_endpoint end[2], const uint8_t trying[2], unsigned from,
                   const struct segment *s) {
    bool first = end[!from].state == TCP_FIN_WAIT_1 && trying[!from] == TCP_TRY_FIN;
    bool told = end[!from].state == TCP_FIN_WAIT_2 && trying[!from] == TCP_TRY_NONE;
    return trying[from] == TCP_TRY_NONE && machine_is(&end[from], TCP_ACKING) &&
           !machine_is(&end[from], TCP_FIN_SENT) && s->ack == end[!from].nxt &&
           (first || (told && (s->flags & SEGMENT_FIN)));
}

/* The last acknowledgement. */
static bool concludes(const struct tcp_endpoint end[2], const uint8_t trying[2], unsigned from,
                      const struct segment *s) {
    return end[!from].state == TCP_LAST_ACK && trying[!from] == TCP_TRY_FIN &&
           trying[from] == TCP_TRY_NONE && s->ack == end[!from].nxt && s->payload == 0 &&
           s->ack != end[from].acked && !(s->flags & SEGMENT_FIN);
}

static bool is_usual(const struct tcp_endpoint end[2], const uint8_t trying[2], unsigned from,
                     const struct segment *s) {
    switch ((enum tcp_state)end[from].state) {
    case TCP_ESTABLISHED:
        return end[!from].state == TCP_ESTABLISHED    ? continues(end, trying, from, s)
               : end[!from].state == TCP_SYN_RECEIVED ? completes(end, trying, from, s)
                                                      : false;
    case TCP_CLOSE_WAIT:
        return closes(end, trying, from, s);
    case TCP_TIME_WAIT:
        return concludes(end, trying, from, s);
    default:
        return false;
    }
}

static void take_numbers(struct tcp_endpoint end[2], unsigned from, const struct segment *s,
                         uint32_t next) {
    struct tcp_endpoint *me = &end[from];
    ++*(s->payload > 0 ? &me->laden : &me->bare);
    me->nxt = next;
    machine_time_end(me, s->payload > 0, next, s->ts_ns);
    me->flags = (me->flags | TCP_ACKING) & ~(uint32_t)TCP_UNSCALED;
    me->acked = s->ack;
    me->window = s->window;
    machine_sample_end(end, from, s->ack, s->ts_ns);
}

/* Its ACK first, then its FIN (RFC 9293 3.10.7.4). */
static void go_on(struct passage *p, uint8_t trying[2], unsigned from, const struct segment *s) {
    if (trying[from] == TCP_TRY_SYN || trying[from] == TCP_TRY_SYN_ACK)
        trying[from] = TCP_TRY_NONE; /* past its handshake, by its own word */
    if (p->end[!from].state == TCP_SYN_RECEIVED)
        receives(p, !from, TCP_EVENT_ACK_OF_SYN);
    if (machine_is(&p->end[!from], TCP_FIN_SENT)) {
        p->end[from].flags |= TCP_FIN_TAKEN | TCP_FIN_PROVEN;
        receives(p, !from, TCP_EVENT_ACK_OF_FIN);
        trying[!from] = TCP_TRY_NONE;
    }
    if (!(s->flags & SEGMENT_FIN))
        return;
    p->moved = 3;
    p->end[from].flags |= TCP_FIN_SENT;
    sends(p, from, TCP_EVENT_FIN);
    trying[from] = TCP_TRY_FIN;
    p->end[!from].flags |= TCP_FIN_TAKEN;
    receives(p, !from, TCP_EVENT_FIN);
}

bool tcp_usual(struct tcp_endpoint end[2], uint32_t first[2], uint8_t trying[2], unsigned from,
               const struct segment *s, struct tcp_verdict *v) {
    struct passage p = {.end = end, .v = v};
    uint32_t next = s->seq + s->payload + ((s->flags & SEGMENT_FIN) != 0);
    v->facts = 0;
    v->missed = 0;
    v->steps = 0;
    switch (s->flags & (SEGMENT_SYN | SEGMENT_FIN | SEGMENT_RST | SEGMENT_ACK)) {
    case SEGMENT_SYN | SEGMENT_ACK:
        if (!answers(end, first, trying, from, s))
            return false;
        answer(&p, first, trying, from, s);
        break;
    case SEGMENT_ACK:
    case SEGMENT_FIN | SEGMENT_ACK:
        if (!is_next(end, from, s, next) || !is_usual(end, trying, from, s))
            return false;
        take_numbers(end, from, s, next);
        go_on(&p, trying, from, s);
        break;
    default:
        return false;
    }
    note_pending(end, trying);
    machine_causes(v, machine_cause(s));
    return true;
}
