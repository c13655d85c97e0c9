/*
 * usual: the short way of handshakes and closes that nothing disturbs.
 *
 * Of nearly all connections each segment is the one that comes next: a SYN-ACK that answers the
 * SYN, the ACK that completes it, a FIN in order, its acknowledgement with or without the other
 * FIN, the last ACK. What they do needs no struct tcp_detail: both ends, and what each is trying,
 * say all. So both states and the FIN bit choose one of a few passages, whose conditions are asked
 * all at once, for want of anything that a processor could foresee. The moves are those of the
 * tables (table.c), in the order of machine_ordinary; everything else is left to tcp_segment. With
 * SPANWATCH_VERIFY the flow room compares the two (flow/usual.c).
 */
#include "machine.h"

enum {
    ODD = TCP_HOLE | TCP_DEAF | TCP_IGNORES | TCP_FASTOPEN | TCP_FIN_GUESSED | TCP_OWNED,
    KNOWN = TCP_SEEN | TCP_ACKING,
    CLOSING = TCP_FIN_SENT | TCP_FIN_TAKEN,
    CONFIRMED = TCP_FIN_TAKEN | TCP_FIN_PROVEN /* of who acknowledges the other's FIN */
};

/* Of what an end is trying: sets of it. */
enum {
    NOTHING = 1u << TCP_TRY_NONE,
    SYN = 1u << TCP_TRY_SYN,
    SYN_ACK = 1u << TCP_TRY_SYN_ACK,
    FIN = 1u << TCP_TRY_FIN
};

/* What a segment of `me` does to a connection in the states that choose the passage. */
struct passage {
    uint8_t steps, me[2], peer[2];         /* the states after each step */
    uint8_t me_tries, peer_tries;          /* one of these sets */
    uint32_t me_has, me_lacks, peer_lacks; /* flags */
    uint32_t all;                /* all ones: it acknowledges everything that peer has sent */
    uint32_t bare;               /* all ones: without payload */
    bool news;                   /* with payload, or it acknowledges more than before */
    uint8_t me_then;             /* what me tries after it */
    uint8_t peer_keeps;          /* all ones: peer goes on with what it tries */
    uint32_t me_gets, peer_gets; /* flags */
};

#define ALL UINT32_MAX

static const struct passage completes = {.steps = 1,
                                         .me = {TCP_ESTABLISHED},
                                         .peer = {TCP_ESTABLISHED},
                                         .me_tries = SYN,
                                         .peer_tries = SYN_ACK,
                                         .me_lacks = TCP_ACKING,
                                         .all = ALL,
                                         .peer_keeps = UINT8_MAX};
/* Open at both ends, of which one or the other has not confirmed it yet. */
static const struct passage continues = {.me_tries = NOTHING | SYN_ACK,
                                         .peer_tries = NOTHING | SYN_ACK,
                                         .me_has = TCP_ACKING,
                                         .me_lacks = CLOSING,
                                         .peer_lacks = CLOSING,
                                         .news = true,
                                         .peer_keeps = UINT8_MAX};
static const struct passage closes = {.steps = 1,
                                      .me = {TCP_FIN_WAIT_1},
                                      .peer = {TCP_CLOSE_WAIT},
                                      .me_tries = NOTHING | SYN_ACK,
                                      .peer_tries = NOTHING,
                                      .me_has = TCP_ACKING,
                                      .me_lacks = CLOSING,
                                      .peer_lacks = CLOSING,
                                      .me_then = TCP_TRY_FIN,
                                      .me_gets = TCP_FIN_SENT,
                                      .peer_gets = TCP_FIN_TAKEN};
static const struct passage confirms = {.steps = 1,
                                        .me = {TCP_CLOSE_WAIT},
                                        .peer = {TCP_FIN_WAIT_2},
                                        .me_tries = NOTHING,
                                        .peer_tries = FIN,
                                        .me_has = TCP_ACKING,
                                        .me_lacks = TCP_FIN_SENT,
                                        .all = ALL,
                                        .me_gets = CONFIRMED};
/* Its ACK first, then its FIN (RFC 9293 3.10.7.4). */
static const struct passage confirms_and_closes = {.steps = 2,
                                                   .me = {TCP_CLOSE_WAIT, TCP_LAST_ACK},
                                                   .peer = {TCP_FIN_WAIT_2, TCP_TIME_WAIT},
                                                   .me_tries = NOTHING,
                                                   .peer_tries = FIN,
                                                   .me_has = TCP_ACKING,
                                                   .me_lacks = TCP_FIN_SENT,
                                                   .all = ALL,
                                                   .me_then = TCP_TRY_FIN,
                                                   .me_gets = CONFIRMED | TCP_FIN_SENT,
                                                   .peer_gets = TCP_FIN_TAKEN};
static const struct passage closes_too = {.steps = 1,
                                          .me = {TCP_LAST_ACK},
                                          .peer = {TCP_TIME_WAIT},
                                          .me_tries = NOTHING,
                                          .peer_tries = NOTHING,
                                          .me_has = TCP_ACKING,
                                          .me_lacks = TCP_FIN_SENT,
                                          .all = ALL,
                                          .me_then = TCP_TRY_FIN,
                                          .me_gets = CONFIRMED | TCP_FIN_SENT,
                                          .peer_gets = TCP_FIN_TAKEN};
static const struct passage concludes = {.steps = 1,
                                         .me = {TCP_TIME_WAIT},
                                         .peer = {TCP_CLOSED},
                                         .me_tries = NOTHING,
                                         .peer_tries = FIN,
                                         .all = ALL,
                                         .bare = ALL,
                                         .news = true,
                                         .me_gets = CONFIRMED,
                                         .peer_gets = TCP_ENDED};

/* By FIN bit, the sender's state and its peer's. */
static const struct passage *const passages[2][TCP_STATES][TCP_STATES] = {
    {[TCP_ESTABLISHED] = {[TCP_ESTABLISHED] = &continues, [TCP_SYN_RECEIVED] = &completes},
     [TCP_CLOSE_WAIT] = {[TCP_FIN_WAIT_1] = &confirms},
     [TCP_TIME_WAIT] = {[TCP_LAST_ACK] = &concludes}},
    {[TCP_ESTABLISHED] = {[TCP_ESTABLISHED] = &closes},
     [TCP_CLOSE_WAIT] = {[TCP_FIN_WAIT_1] = &confirms_and_closes, [TCP_FIN_WAIT_2] = &closes_too}}};

static void note_pending(struct tcp_endpoint end[2], const uint8_t trying[2]) {
    for (unsigned i = 0; i < 2; i++)
        end[i].flags =
            (end[i].flags & ~(uint32_t)TCP_PENDING) | (trying[i] != TCP_TRY_NONE) * TCP_PENDING;
}

static void note_step(struct tcp_verdict *v, struct tcp_endpoint end[2], unsigned from, uint8_t me,
                      uint8_t peer) {
    struct tcp_step *step = &v->step[v->steps++];
    step->was[from] = end[from].state;
    step->was[!from] = end[!from].state;
    step->state[from] = end[from].state = me;
    step->state[!from] = end[!from].state = peer;
    step->inferred = TCP_PROVEN;
}

/* A SYN-ACK of one who has not spoken yet, that acknowledges a SYN without octets. */
static bool answers(const struct tcp_endpoint end[2], const uint32_t first[2],
                    const uint8_t trying[2], unsigned from, const struct segment *s) {
    const struct tcp_endpoint *me = &end[from], *peer = &end[!from];
    return me->state == TCP_CLOSED && me->flags == 0 && peer->state == TCP_SYN_SENT &&
           trying[!from] == TCP_TRY_SYN && s->ack == peer->nxt && s->ack == first[!from] &&
           s->payload == 0 && s->window != 0;
}

static void answer(struct tcp_endpoint end[2], uint32_t first[2], uint8_t trying[2], unsigned from,
                   const struct segment *s, struct tcp_verdict *v) {
    bool scaled = (s->options & SEGMENT_OPT_WSCALE) != 0;
    uint32_t flags = KNOWN | TCP_SYN_SEEN | TCP_UNSCALED | (scaled ? TCP_SCALED : 0u) |
                     (s->checksum_state == SEGMENT_CHECKSUM_GOOD ? TCP_CHECKED : 0u);
    end[from] = (struct tcp_endpoint){.nxt = s->seq + 1,
                                      .acked = s->ack,
                                      .bare = 1,
                                      .flags = flags,
                                      .window = s->window,
                                      .state = TCP_CLOSED,
                                      .wscale = tcp_wscale(s)};
    first[from] = s->seq + 1;
    trying[from] = TCP_TRY_SYN_ACK;
    machine_time_end(&end[from], true, s->seq + 1, s->ts_ns);
    machine_sample_end(end, from, s->ack, s->ts_ns);
    note_step(v, end, from, TCP_SYN_RECEIVED, TCP_ESTABLISHED);
}

/* Nothing is missing, the segment follows what its sender has sent, and the passage is open to it.
 */
static bool fits(const struct passage *p, const struct tcp_endpoint end[2], const uint8_t trying[2],
                 unsigned from, const struct segment *s, uint32_t next) {
    const struct tcp_endpoint *me = &end[from], *peer = &end[!from];
    uint32_t odd = (s->seq ^ me->nxt) | ((me->flags | peer->flags) & ODD) |
                   (~me->flags & TCP_SEEN) | (~peer->flags & KNOWN) | (~me->flags & p->me_has) |
                   (me->flags & p->me_lacks) | (peer->flags & p->peer_lacks) |
                   ((s->ack ^ peer->nxt) & p->all) | (s->payload & p->bare) |
                   (1u << trying[from] & ~(uint32_t)p->me_tries) |
                   (1u << trying[!from] & ~(uint32_t)p->peer_tries);
    uint32_t news = s->payload | (s->ack ^ me->acked) | !p->news;
    bool old = machine_is(me, TCP_ACKING) & (int)tcp_before(s->ack, me->acked);
    uint16_t count = (uint16_t)machine_either(s->payload > 0, me->laden, me->bare);
    return odd == 0 && news != 0 && next >= s->seq && s->window != 0 && !old &&
           s->checksum_state != SEGMENT_CHECKSUM_BAD && !tcp_before(peer->nxt, s->ack) &&
           !tcp_before(me->nxt, peer->acked) && !machine_is_beyond(peer, me, s->seq) &&
           count != UINT16_MAX;
}

static void take_numbers(struct tcp_endpoint end[2], unsigned from, const struct segment *s,
                         uint32_t next) {
    struct tcp_endpoint *me = &end[from];
    bool laden = s->payload > 0;
    me->laden = (uint16_t)(me->laden + laden);
    me->bare = (uint16_t)(me->bare + !laden);
    me->nxt = next;
    machine_time_end(me, laden, next, s->ts_ns);
    me->flags = (me->flags | TCP_ACKING) & ~(uint32_t)TCP_UNSCALED;
    me->acked = s->ack;
    me->window = s->window;
    machine_sample_end(end, from, s->ack, s->ts_ns);
}

static void pass(const struct passage *p, struct tcp_endpoint end[2], uint8_t trying[2],
                 unsigned from, struct tcp_verdict *v) {
    for (unsigned i = 0; i < p->steps; i++)
        note_step(v, end, from, p->me[i], p->peer[i]);
    end[from].flags |= p->me_gets;
    end[!from].flags |= p->peer_gets;
    trying[from] = p->me_then;
    trying[!from] &= p->peer_keeps;
}

bool tcp_usual(struct tcp_endpoint end[2], uint32_t first[2], uint8_t trying[2], unsigned from,
               const struct segment *s, struct tcp_verdict *v) {
    enum { CONTROL = SEGMENT_SYN | SEGMENT_FIN | SEGMENT_RST | SEGMENT_ACK };
    bool fin = (s->flags & SEGMENT_FIN) != 0;
    uint32_t next = s->seq + s->payload + fin;
    v->facts = 0;
    v->missed = 0;
    v->steps = 0;
    if ((s->flags & CONTROL) == (SEGMENT_SYN | SEGMENT_ACK)) {
        if (!answers(end, first, trying, from, s))
            return false;
        answer(end, first, trying, from, s, v);
    } else {
        const struct passage *p = passages[fin][end[from].state][end[!from].state];
        if ((s->flags & (CONTROL ^ SEGMENT_FIN)) != SEGMENT_ACK || p == NULL ||
            !fits(p, end, trying, from, s, next))
            return false;
        take_numbers(end, from, s, next);
        pass(p, end, trying, from, v);
    }
    note_pending(end, trying);
    machine_causes(v, machine_cause(s));
    return true;
}
