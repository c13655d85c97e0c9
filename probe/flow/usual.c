/*
 * usual: the short way of handshakes and closes (tcp_usual) through the tracker. From the first SYN
 * to TIME_WAIT nearly all connections keep one of the two small forms, and are never unfolded.
 *
 * Deadlines are not worked out here: the wheel looks at the flow before any can come (check_ns),
 * and finds out. Where the tap loses packets deadlines depend on that too: the long way, then.
 * verify.c holds the two ways together.
 */
#include "tracker.h"

#include <assert.h>

bool usual_is_syn(const struct flow_tracker *t, const struct segment *s) {
    enum { CONTROL = SEGMENT_SYN | SEGMENT_FIN | SEGMENT_RST | SEGMENT_ACK };
    return (s->flags & CONTROL) == SEGMENT_SYN && s->payload == 0 && s->window != 0 &&
           !flow_tap_loses(t);
}

/* What a SYN does, by the tables, whoever sends it. */
static struct tcp_verdict verdict_of_syn(unsigned from) {
    struct tcp_verdict v = {.steps = 1};
    v.step[0] = (struct tcp_step){.cause = TCP_CAUSE_SYN, .inferred = TCP_PROVEN};
    v.step[0].was[0] = v.step[0].was[1] = v.step[0].state[!from] = TCP_CLOSED;
    v.step[0].state[from] = tcp_sends[TCP_EVENT_SYN][TCP_CLOSED].next;
    return v;
}

static void note_syn(struct flow *f, const struct segment *s) {
    bool scaled = (s->options & SEGMENT_OPT_WSCALE) != 0;
    bool checked = s->checksum_state == SEGMENT_CHECKSUM_GOOD;
    f->form = FORM_SYN;
    f->syn = (struct flow_syn){
        .isn = s->seq,
        .ttl = s->ttl,
        .scale = tcp_wscale(s),
        .bits = (uint8_t)((scaled ? FLOW_SYN_SCALED : 0) | (checked ? FLOW_SYN_CHECKED : 0))};
}

uint32_t usual_begin(struct flow_tracker *t, const struct flow_key *k, const struct segment *s) {
    static const struct emit_handshake none;
    const struct tcp_verdict v = verdict_of_syn(k->from);
    struct tcp_rules rules;
    struct long_way expected;
    uint32_t index = flow_enter(t, k);
    if (index == FLOW_NONE)
        return FLOW_NONE;
    struct flow *f = pool_at(&t->pool, index);
    flow_begin_head(t, f, s);
    f->flags |= k->from == 1 ? FLOW_CLIENT_1 : 0;
    note_syn(f, s);
    if (FLOW_VERIFY) {
        verify_begin(t, f, s, k->from, &expected);
        verify_step(t, s, k->from, &expected);
        assert(verify_same(t, f, &v, &expected));
    }
    flow_announce(t, f);
    emit_transition(t, f, s->ts_ns, k->from, &v.step[0], &none);
    rules_of(t, f, &rules);
    uint64_t wait_ns = tcp_syn_wait_ns(&rules, k->from, false);
    flow_look_at(t, index, s->ts_ns + (wait_ns < t->check_ns ? wait_ns : t->check_ns));
    return index;
}

/* Will the form hold the times, whatever moves? Those of an end that is not open count back from
 * the last segment, those of an open one from the first; and an end that opens sent its SYN-ACK
 * when that opened the other (tried_ns in tcp/step.c). */
static bool fits(const struct lean *l, uint64_t age_ns, uint64_t gone_ns) {
    uint64_t longest_ns = 0;
    bool opening = false, together = true;
    for (unsigned side = 0; side < 2; side++) {
        unsigned state = l->end[side].state;
        uint64_t closed = -(uint64_t)(state != TCP_ESTABLISHED);
        longest_ns |= (l->since_ns[side] + gone_ns) & closed;
        opening |= (state == TCP_SYN_SENT) | (state == TCP_SYN_RECEIVED);
        together &= (state != TCP_SYN_RECEIVED) |
                    (l->since_ns[side] + gone_ns + l->since_ns[!side] == age_ns);
    }
    longest_ns |= age_ns & -(uint64_t)opening;
    return longest_ns <= UINT32_MAX && together;
}

/* The round trip that the segment completes: it answers what the other end, in the state before,
 * waits for. */
static void note_handshake(struct lean *l, uint64_t gone_ns, unsigned from, unsigned awaits) {
    static_assert(TCP_SYN_RECEIVED == TCP_SYN_SENT + 1, "the client's state, then the server's");
    if (awaits - TCP_SYN_SENT < 2)
        l->handshake_ns[awaits - TCP_SYN_SENT] = (uint32_t)gone_ns + l->since_ns[!from];
}

/* When each end entered the state that it has now: no branch, as each side of each segment does
 * another thing. */
static void note_since(struct lean *l, const uint8_t was[2], uint64_t age_ns, uint64_t gone_ns) {
    for (unsigned side = 0; side < 2; side++) {
        uint32_t moved = -(uint32_t)(l->end[side].state != was[side]);
        uint32_t open = -(uint32_t)(l->end[side].state == TCP_ESTABLISHED);
        l->since_ns[side] = (l->since_ns[side] & ~moved) + ((uint32_t)gone_ns & ~moved & ~open) +
                            ((uint32_t)age_ns & moved & open);
    }
}

/* All but what is told of it. False: nothing was changed. */
static bool take(const struct flow *f, struct lean *l, const struct segment *s, unsigned from,
                 struct tcp_verdict *v) {
    uint64_t age_ns = s->ts_ns - f->first_ns, gone_ns = s->ts_ns - flow_last_ns(f);
    uint8_t was[2] = {l->end[0].state, l->end[1].state};
    if (!fits(l, age_ns, gone_ns) || !tcp_usual(l->end, l->first, l->trying, from, s, v))
        return false;
    if (v->steps > 0) {
        note_handshake(l, gone_ns, from, was[!from]);
        l->last_cause = v->step[v->steps - 1].cause;
    }
    note_since(l, was, age_ns, gone_ns);
    zeek_take_usual(&l->zeek, (int)from, s->flags, s->payload > 0);
    if (l->ttl[from] == 0)
        l->ttl[from] = s->ttl;
    return true;
}

/* The body of a flow in FORM_LEAN; or, where a lone SYN may be answered, the one that follows it.
 * (An open end that waits for more has its SYN as the first segment: tried_ns in tcp/step.c.) */
static struct lean *lean_for(struct flow_tracker *t, const struct flow *f, const struct segment *s,
                             unsigned from, uint32_t *place) {
    bool syn_ack = (s->flags & (SEGMENT_SYN | SEGMENT_ACK)) == (SEGMENT_SYN | SEGMENT_ACK);
    *place = f->body;
    if (f->form == FORM_LEAN)
        return syn_ack ? NULL : pool_lean(&t->pool, f->body);
    if (!syn_ack || from == flow_client(f) || (*place = slab_take(&t->pool.lean)) == FLOW_NONE)
        return NULL;
    struct lean *l = pool_lean(&t->pool, *place);
    form_syn_to_lean(f, l);
    return l;
}

static bool is_over(uint8_t state) {
    return state == TCP_CLOSED || state == TCP_TIME_WAIT;
}

static void tell(struct flow_tracker *t, struct flow *f, struct lean *l, const struct segment *s,
                 unsigned from, const struct tcp_verdict *v) {
    struct emit_handshake h = {.server_ns = l->handshake_ns[0], .client_ns = l->handshake_ns[1]};
    struct event_fresh fresh;
    bool over = v->steps > 0 && is_over(l->end[0].state) && is_over(l->end[1].state);
    if (s->payload > 0)
        signal_asking(t, f, l->end, s, from);
    flow_note_quality(t, s->payload > 0, false);
    for (unsigned i = 0; i < v->steps; i++) {
        if (over && i + 1 == v->steps && signal_over_lean(t, f, l, &fresh))
            h.over = &fresh;
        emit_transition(t, f, s->ts_ns, from, &v->step[i], &h);
    }
    if (over)
        f->flags |= FLOW_OVER;
}

bool usual_step(struct flow_tracker *t, uint32_t index, const struct segment *s, unsigned from) {
    struct flow *f = pool_at(&t->pool, index);
    struct long_way expected;
    struct tcp_verdict v;
    uint32_t place;
    if (f->form == FORM_FULL || (f->flags & FLOW_TAP_LOST) || flow_tap_loses(t))
        return false;
    picture_before_change(t, f);
    struct lean *l = lean_for(t, f, s, from, &place);
    if (l == NULL)
        return false;
    if (FLOW_VERIFY) {
        form_view(t, f, &expected.body);
        verify_step(t, s, from, &expected);
    }
    if (!take(f, l, s, from, &v)) {
        if (f->form == FORM_SYN)
            slab_give(&t->pool.lean, place);
        return false;
    }
    f->form = FORM_LEAN;
    f->body = place;
    f->last_ns = s->ts_ns;
    f->flags &= ~(uint32_t)FLOW_TOLD;
    assert(!FLOW_VERIFY || verify_same(t, f, &v, &expected));
    tell(t, f, l, s, from, &v);
    if (l->end[0].state != TCP_ESTABLISHED || l->end[1].state != TCP_ESTABLISHED)
        flow_look_at(t, index, s->ts_ns + t->check_ns);
    return true;
}
