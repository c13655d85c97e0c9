/*
 * signals: what no change of state tells and alarms want to know (event.h, EVENT_SIGNAL), and what
 * passed since the last picture.
 *
 * Called off the short way only, but for replies. What strangers can repeat at will is bounded: so
 * many a second for each bucket of addresses; samples are enough there.
 */
#include "tracker.h"

#include <string.h>

enum { TTL_STEPS = 5 }; /* routes change by a few hops; a forger sits elsewhere */

/* Signals are for alarms, as are the pictures of their windows. */
static bool wanted(const struct flow_tracker *t) {
    return t->config.window_ns > 0;
}

static bool may_tell(struct signal_budget *b, uint64_t now_ns, uint32_t key, bool reply) {
    uint64_t second = now_ns / BASE_NS_PER_S;
    uint32_t bucket = (key * 2654435761u) >> 24; /* Knuth: multiplicative hashing */
    uint8_t *given = reply ? &b->replies[bucket] : &b->given[bucket];
    if (b->second != second) {
        b->second = second;
        memset(b->given, 0, sizeof b->given);
        memset(b->replies, 0, sizeof b->replies);
    }
    if (*given >= (reply ? SIGNAL_REPLIES : SIGNAL_MOST))
        return false;
    ++*given;
    return true;
}

static void send(struct flow_tracker *t, const struct flow *f, uint64_t ts_ns, unsigned from,
                 enum event_signal_kind kind, uint64_t value_ns) {
    struct event e; /* not zeroed as a whole: see send_transition */
    if (!wanted(t))
        return;
    e.ts_ns = ts_ns;
    e.type = EVENT_SIGNAL;
    emit_identity(t, f, &e.flow);
    e.signal.kind = (uint8_t)kind;
    e.signal.by = from == flow_client(f) ? EVENT_CLIENT : EVENT_SERVER;
    e.signal.value_ns = value_ns;
    t->sink(t->context, &e);
}

/* An odd RST, once a connection and second at most: what repeats it says nothing new. */
static void tell_odd_rst(struct flow_tracker *t, struct flow *f, uint64_t ts_ns, unsigned from) {
    if (may_tell(&t->budget, ts_ns, f->addr[from], false))
        send(t, f, ts_ns, from, EVENT_ODD_RST, 0);
}

void signal_take_before(const struct body *b, unsigned from, struct signal_before *before) {
    for (unsigned side = 0; side < 2; side++) {
        before->state[side] = b->tcp.end[side].state;
        before->trying[side] = b->tcp.detail[side].trying;
    }
    before->nxt = b->tcp.end[from].nxt;
}

static bool is_open(const uint8_t state[2]) {
    return state[0] == TCP_ESTABLISHED && state[1] == TCP_ESTABLISHED;
}

static bool from_elsewhere(const struct body *b, unsigned from, const struct segment *s) {
    int usual = b->ttl[from], steps = usual - s->ttl;
    return usual != 0 && (steps > TTL_STEPS || steps < -TTL_STEPS);
}

/*
 * A RST on an open connection: of another distance than its sender, or where its receiver's kernel
 * drops it without an answer. One in the window, which the receiver challenges (RFC 5961 section
 * 3.2), is odd once the receiver has spoken and the connection goes on.
 */
static void look_at_rst(struct flow_tracker *t, struct body *b, unsigned from,
                        const struct segment *s, const struct tcp_verdict *v,
                        const struct signal_before *before) {
    struct flow *f = b->flow;
    bool stray = (v->facts & TCP_FACT_STRAY) != 0;
    bool doubted = b->tcp.detail[from].trying == TCP_TRY_RST;
    bool far = from_elsewhere(b, from, s);
    if (!is_open(before->state))
        return;
    if (far || (stray && !doubted)) {
        f->flags |= FLOW_ODD;
        tell_odd_rst(t, f, s->ts_ns, from);
    } else {
        f->flags &= ~(uint32_t)FLOW_ODD;
    }
}

static void look_at_doubt(struct flow_tracker *t, struct body *b, const struct segment *s,
                          const struct signal_before *before) {
    struct flow *f = b->flow;
    for (unsigned side = 0; side < 2; side++)
        if (before->trying[side] == TCP_TRY_RST && b->tcp.detail[side].trying != TCP_TRY_RST &&
            is_open(before->state) && b->tcp.end[side].state == TCP_ESTABLISHED) {
            if (!(f->flags & FLOW_ODD))
                tell_odd_rst(t, f, s->ts_ns, side);
            f->flags |= FLOW_ODD;
        }
}

uint64_t signal_zero_since(const struct body *b, unsigned side, uint64_t now_ns) {
    uint32_t ago_ms = (uint32_t)(now_ns / BASE_NS_PER_MS) - b->faults.zero_ms[side];
    if (b->faults.zero_ms[side] == 0)
        return 0;
    return ago_ms > UINT32_MAX / 2 ? now_ns : now_ns - ago_ms * BASE_NS_PER_MS;
}

static void look_at_window(struct flow_tracker *t, struct body *b, unsigned from,
                           const struct segment *s, const struct tcp_verdict *v) {
    if (v->facts & TCP_FACT_ZERO_WINDOW) {
        b->faults.zero_ms[from] = (uint32_t)(s->ts_ns / BASE_NS_PER_MS) | 1; /* 0 stands for open */
    } else if (b->faults.zero_ms[from] != 0 && b->tcp.end[from].window != 0) {
        uint64_t since_ns = signal_zero_since(b, from, s->ts_ns);
        send(t, b->flow, s->ts_ns, from, EVENT_ZERO_ENDED, s->ts_ns - since_ns);
        b->faults.zero_ms[from] = 0;
    }
}

void signal_after(struct flow_tracker *t, struct body *b, unsigned from, const struct segment *s,
                  const struct tcp_verdict *v, const struct signal_before *before) {
    struct flow *f = b->flow;
    const struct tcp_detail *d = &b->tcp.detail[from];
    bool syn = (s->flags & (SEGMENT_SYN | SEGMENT_ACK)) == SEGMENT_SYN;
    if (v->facts & TCP_FACT_GAP)
        b->faults.unseen[from] = true;
    if (s->flags & SEGMENT_RST) {
        look_at_rst(t, b, from, s, v, before);
        return;
    }
    if (b->ttl[from] == 0)
        b->ttl[from] = s->ttl;
    look_at_doubt(t, b, s, before);
    look_at_window(t, b, from, s, v);
    if (!syn)
        return;
    if (d->trying == TCP_TRY_SYN && d->tries == 1 && b->tcp.end[!from].state == TCP_CLOSED &&
        !(b->tcp.end[!from].flags & TCP_SEEN))
        send(t, f, s->ts_ns, from, EVENT_SYN_AGAIN, 0);
    if ((v->facts & TCP_FACT_STRAY) && d->other && is_open(before->state) &&
        may_tell(&t->budget, s->ts_ns, f->addr[from], false))
        send(t, f, s->ts_ns, from, EVENT_ODD_SYN, 0);
}

void signal_after_reset(struct flow_tracker *t, struct body *b, unsigned from,
                        const struct segment *s) {
    struct flow *f = b->flow;
    if (from != b->faults.reset_by || s->payload == 0 || (s->flags & (SEGMENT_SYN | SEGMENT_RST)) ||
        tcp_before(s->seq, b->tcp.end[from].nxt) || !is_open(b->faults.reset_was))
        return;
    if (!(f->flags & FLOW_ODD))
        tell_odd_rst(t, f, s->ts_ns, from);
    f->flags |= FLOW_ODD;
}

void signal_stray(struct flow_tracker *t, const struct segment *s) {
    struct event e = {.ts_ns = s->ts_ns, .type = EVENT_SIGNAL};
    size_t octets = s->family == 6 ? 16 : 4;
    uint32_t key;
    memcpy(&key, s->src + octets - 4, sizeof key);
    if (!wanted(t) || !may_tell(&t->budget, s->ts_ns, key, false))
        return;
    e.flow = (struct event_flow){.family = s->family,
                                 .client_port = s->src_port,
                                 .server_port = s->dst_port,
                                 .scope = s->scope,
                                 .first_ns = s->ts_ns};
    memcpy(e.flow.client, s->src, octets);
    memcpy(e.flow.server, s->dst, octets);
    e.signal = (struct event_signal){.kind = EVENT_PROBE, .by = EVENT_CLIENT};
    t->sink(t->context, &e);
}

/* The client's last octets passed when the segment that is timed did (tcp: timed_us); the way from
 * the tap to the server and back is not the server's doing. */
void signal_reply(struct flow_tracker *t, struct flow *f, const struct tcp_endpoint end[2],
                  const struct segment *s) {
    unsigned client = flow_client(f);
    const struct tcp_endpoint *asked = &end[client];
    uint32_t took_us = (uint32_t)(s->ts_ns / 1000) - asked->timed_us, way_us = end[!client].rtt_us;
    f->flags &= ~(uint32_t)FLOW_ASKED;
    if (!may_tell(&t->budget, s->ts_ns, f->addr[!client] ^ f->port[!client], true))
        return;
    send(t, f, s->ts_ns, !client, EVENT_REPLY,
         took_us > way_us ? (uint64_t)(took_us - way_us) * 1000 : 0);
}

void signal_fresh(const struct body *b, struct event_fresh *fresh) {
    unsigned client = flow_client(b->flow);
    fresh->iface = (uint8_t)(b->flow->flags >> FLOW_IFACE_AT);
    for (unsigned role = 0; role < 2; role++) {
        unsigned side = role == EVENT_CLIENT ? client : !client;
        const struct tcp_endpoint *me = &b->tcp.end[side], *peer = &b->tcp.end[!side];
        fresh->packets[role] = (uint16_t)(tcp_packets(&b->tcp, side) - b->told_packets[side]);
        fresh->laden[role] = tcp_laden(&b->tcp, side) - b->told_laden[side];
        fresh->again[role] = (uint16_t)(b->faults.retransmits[side] - b->faults.told_again[side]);
        fresh->unseen[role] = b->faults.unseen[side] ||
                              b->tcp.detail[side].ahead_kind == TCP_AHEAD_ACK ||
                              ((me->flags & TCP_ACKING) && !(peer->flags & TCP_SEEN));
    }
}

/* So the next picture need not unfold each connection that has ended since the last. */
void signal_over(struct flow_tracker *t, struct body *b, uint64_t ts_ns) {
    struct event e; /* not zeroed as a whole: see send_transition */
    if (!wanted(t))
        return;
    e.ts_ns = ts_ns;
    e.type = EVENT_SIGNAL;
    emit_identity(t, b->flow, &e.flow);
    e.signal = (struct event_signal){.kind = EVENT_OVER, .by = EVENT_NOBODY};
    signal_fresh(b, &e.signal.fresh);
    signal_fresh_told(b);
    b->flow->flags |= FLOW_TOLD;
    t->sink(t->context, &e);
}

bool signal_over_lean(struct flow_tracker *t, struct flow *f, struct lean *l,
                      struct event_fresh *fresh) {
    unsigned client = flow_client(f);
    if (!wanted(t))
        return false;
    *fresh = (struct event_fresh){.iface = (uint8_t)(f->flags >> FLOW_IFACE_AT)};
    for (unsigned role = 0; role < 2; role++) {
        unsigned side = role == EVENT_CLIENT ? client : !client;
        const struct tcp_endpoint *me = &l->end[side];
        uint16_t packets = (uint16_t)(me->laden + me->bare);
        fresh->packets[role] = (uint16_t)(packets - l->told_packets[side]);
        fresh->laden[role] = (uint16_t)(me->laden - l->told_laden[side]);
        fresh->unseen[role] = (me->flags & TCP_ACKING) && !(l->end[!side].flags & TCP_SEEN);
        l->told_packets[side] = packets;
        l->told_laden[side] = me->laden;
    }
    f->flags |= FLOW_TOLD;
    return true;
}

bool signal_is_told(const struct pool *p, const struct flow *f) {
    const struct tcp_endpoint *end = form_ends(p, f);
    const uint16_t *told = f->form == FORM_LEAN   ? pool_lean(p, f->body)->told_packets
                           : f->form == FORM_FULL ? pool_body(p, f->body)->told_packets
                                                  : NULL;
    return told != NULL && told[0] == (uint16_t)(end[0].laden + end[0].bare) &&
           told[1] == (uint16_t)(end[1].laden + end[1].bare);
}

void signal_fresh_told(struct body *b) {
    for (unsigned side = 0; side < 2; side++) {
        b->told_packets[side] = (uint16_t)tcp_packets(&b->tcp, side);
        b->told_laden[side] = tcp_laden(&b->tcp, side);
        b->faults.told_again[side] = (uint16_t)b->faults.retransmits[side];
        b->faults.unseen[side] = false;
    }
}
