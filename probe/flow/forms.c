/*
 * forms: a flow's body in the smallest form that holds all that is known of it.
 *
 * Nearly all connections never meet a fault: of struct body the faults are zero then, and most of
 * the rest follows from a few numbers. A lone SYN leaves less still. So a body is unfolded for a
 * piece of work (form_open) and folded after it, where it is plain; the full ones, used in turn,
 * never leave the cache.
 *
 * With FLOW_VERIFY (debug builds) each fold is unfolded again and compared: what is_plain lets
 * pass is held octet by octet.
 */
#include "tracker.h"

#include <assert.h>
#include <string.h>

/* Bodies are compared with the octets between their members. */
static void blank(struct body *b) {
    if (FLOW_VERIFY)
        memset(b, 0, sizeof *b);
}

struct body *form_new(struct flow_tracker *t, uint32_t index) {
    struct flow *f = pool_at(&t->pool, index);
    uint32_t full = slab_take(&t->pool.body);
    if (full == FLOW_NONE)
        return NULL;
    struct body *b = pool_body(&t->pool, full);
    b->flow = f;
    f->form = FORM_FULL;
    f->body = full;
    return b;
}

void form_drop(struct flow_tracker *t, struct flow *f) {
    if (f->form == FORM_FULL)
        slab_give(&t->pool.body, f->body);
    else if (f->form == FORM_LEAN)
        slab_give(&t->pool.lean, f->body);
    f->form = FORM_SYN;
}

/* ---- FORM_SYN ---- */

enum { FLAGS_OF_SYN = TCP_SEEN | TCP_SYN_SEEN | TCP_TIMED | TCP_PENDING };

static struct tcp_endpoint end_of_syn(const struct flow *f) {
    const struct flow_syn *syn = &f->syn;
    return (struct tcp_endpoint){.nxt = syn->isn + 1,
                                 .timed_end = syn->isn + 1,
                                 .timed_us = (uint32_t)(f->first_ns / 1000),
                                 .bare = 1,
                                 .flags = FLAGS_OF_SYN |
                                          (syn->bits & FLOW_SYN_SCALED ? TCP_SCALED : 0) |
                                          (syn->bits & FLOW_SYN_CHECKED ? TCP_CHECKED : 0),
                                 .state = TCP_SYN_SENT,
                                 .wscale = syn->scale};
}

static void unfold_syn(const struct flow *f, struct body *b) {
    const struct flow_syn *syn = &f->syn;
    unsigned from = flow_client(f);
    b->tcp = (struct tcp_connection){0};
    b->zeek = (struct zeek_view){0};
    b->handshake_server_ns = b->handshake_client_ns = 0;
    b->tcp.end[from] = end_of_syn(f);
    b->tcp.detail[from].isn = syn->isn;
    b->tcp.detail[from].first = syn->isn + 1;
    b->tcp.detail[from].trying = TCP_TRY_SYN;
    for (unsigned side = 0; side < 2; side++) {
        b->tcp.detail[side].since_ns = f->first_ns;
        b->told_laden[side] = 0;
        b->ttl[side] = side == from ? syn->ttl : 0;
        b->told_packets[side] = side == from && (syn->bits & FLOW_SYN_TOLD) != 0;
    }
    zeek_take_usual(&b->zeek.core, (int)from, SEGMENT_SYN, false);
    b->role_score = ROLE_SYN;
    b->inferred = TCP_PROVEN;
    b->last_cause = TCP_CAUSE_SYN;
}

static void fold_syn(const struct body *b, struct flow *f) {
    unsigned from = flow_client(f);
    const struct tcp_endpoint *me = &b->tcp.end[from];
    f->syn = (struct flow_syn){.isn = b->tcp.detail[from].isn,
                               .ttl = b->ttl[from],
                               .scale = me->wscale,
                               .bits = (uint8_t)((me->flags & TCP_SCALED ? FLOW_SYN_SCALED : 0) |
                                                 (me->flags & TCP_CHECKED ? FLOW_SYN_CHECKED : 0) |
                                                 (b->told_packets[from] ? FLOW_SYN_TOLD : 0))};
}

void form_syn_to_lean(const struct flow *f, struct lean *l) {
    unsigned from = flow_client(f);
    *l = (struct lean){.role_score = ROLE_SYN, .inferred = TCP_PROVEN, .last_cause = TCP_CAUSE_SYN};
    l->end[from] = end_of_syn(f);
    l->first[from] = f->syn.isn + 1;
    l->trying[from] = TCP_TRY_SYN;
    l->told_packets[from] = (f->syn.bits & FLOW_SYN_TOLD) != 0;
    l->ttl[from] = f->syn.ttl;
    zeek_take_usual(&l->zeek, (int)from, SEGMENT_SYN, false);
}

/* ---- FORM_LEAN ---- */

static void unfold_lean(const struct flow *f, const struct lean *l, struct body *b) {
    memcpy(b->tcp.end, l->end, sizeof b->tcp.end);
    for (unsigned side = 0; side < 2; side++) {
        const struct tcp_endpoint *me = &l->end[side];
        bool open = me->state == TCP_ESTABLISHED, fin = (me->flags & TCP_FIN_SENT) != 0;
        uint64_t since_ns = open ? f->first_ns + l->since_ns[side] : f->last_ns - l->since_ns[side];
        b->tcp.detail[side] =
            (struct tcp_detail){.since_ns = since_ns,
                                .first = l->first[side],
                                .trying = l->trying[side],
                                .isn = me->flags & TCP_SYN_SEEN ? l->first[side] - 1 : 0,
                                .fin = fin ? me->nxt : 0,
                                .fin_acked_us = fin ? (uint32_t)(since_ns / 1000) : 0};
        b->zeek.faults[side] = (struct zeek_faults){.fin_seq = (uint16_t)(fin ? me->nxt - 1 : 0)};
        b->told_laden[side] = l->told_laden[side];
        b->told_packets[side] = l->told_packets[side];
        b->ttl[side] = l->ttl[side];
    }
    b->handshake_server_ns = l->handshake_ns[0];
    b->handshake_client_ns = l->handshake_ns[1];
    b->zeek.core = l->zeek;
    b->role_score = l->role_score;
    b->inferred = l->inferred;
    b->last_cause = l->last_cause;
}

static bool is_within(uint64_t ns, uint64_t from_ns) {
    return ns - from_ns <= UINT32_MAX;
}

static bool is_plain_end(const struct flow *f, const struct body *b, unsigned side) {
    const struct tcp_endpoint *e = &b->tcp.end[side];
    const struct tcp_detail *d = &b->tcp.detail[side];
    const struct zeek_faults *z = &b->zeek.faults[side];
    bool fin = (e->flags & TCP_FIN_SENT) != 0, syn = (e->flags & TCP_SYN_SEEN) != 0;
    bool since = e->state == TCP_ESTABLISHED ? is_within(d->since_ns, f->first_ns)
                                             : is_within(f->last_ns, d->since_ns);
    return since && !(e->flags & TCP_HOLE) && !d->ahead_kind && !d->other && !d->wraps &&
           !d->laden_over && !d->bare_over && d->isn == (syn ? d->first - 1 : 0) &&
           d->fin == (fin ? e->nxt : 0) &&
           d->fin_acked_us == (fin ? (uint32_t)(d->since_ns / 1000) : 0) &&
           z->fin_seq == (uint16_t)(fin ? e->nxt - 1 : 0) && !z->rst_seq && !z->late && !z->zero &&
           !z->gaps && b->told_laden[side] <= UINT16_MAX;
}

/* Will unfolding give it back? */
static bool is_plain(const struct flow *f, struct body *b, const struct tcp_rules *rules) {
    static const struct faults none;
    return memcmp(&b->faults, &none, sizeof none) == 0 && is_plain_end(f, b, 0) &&
           is_plain_end(f, b, 1) && b->handshake_server_ns <= UINT32_MAX &&
           b->handshake_client_ns <= UINT32_MAX &&
           tcp_waits_as_usual(&b->tcp, f->first_ns, f->last_ns, rules);
}

/* Nothing but a SYN that asks for no more than others do, and silence from the other end. */
static bool is_syn(const struct flow *f, const struct body *b) {
    enum { KNOWN = FLAGS_OF_SYN | TCP_SCALED | TCP_CHECKED };
    static const struct tcp_endpoint silent;
    unsigned from = flow_client(f);
    const struct tcp_endpoint *me = &b->tcp.end[from];
    const struct tcp_detail *d = b->tcp.detail;
    const struct tcp_endpoint plain = {.nxt = d[from].isn + 1,
                                       .timed_end = d[from].isn + 1,
                                       .timed_us = (uint32_t)(f->first_ns / 1000),
                                       .bare = 1,
                                       .flags = me->flags,
                                       .state = TCP_SYN_SENT,
                                       .wscale = me->wscale};
    return f->last_ns == f->first_ns && memcmp(me, &plain, sizeof plain) == 0 &&
           (me->flags & FLAGS_OF_SYN) == FLAGS_OF_SYN && (me->flags | KNOWN) == KNOWN &&
           memcmp(&b->tcp.end[!from], &silent, sizeof silent) == 0 &&
           d[from].trying == TCP_TRY_SYN && d[!from].trying == TCP_TRY_NONE && !d[!from].first &&
           d[0].since_ns == f->first_ns && d[1].since_ns == f->first_ns &&
           b->zeek.core.letters == 1 && b->role_score == ROLE_SYN && b->inferred == TCP_PROVEN &&
           b->last_cause == TCP_CAUSE_SYN && !b->ttl[!from] && !b->told_packets[!from] &&
           b->told_packets[from] <= 1 && !b->told_laden[0] && !b->told_laden[1] &&
           !b->handshake_server_ns && !b->handshake_client_ns;
}

static void fold_lean(const struct flow *f, const struct body *b, struct lean *l) {
    memcpy(l->end, b->tcp.end, sizeof l->end);
    for (unsigned side = 0; side < 2; side++) {
        const struct tcp_detail *d = &b->tcp.detail[side];
        bool open = l->end[side].state == TCP_ESTABLISHED;
        l->first[side] = d->first;
        l->trying[side] = d->trying;
        l->since_ns[side] = (uint32_t)(open ? d->since_ns - f->first_ns : f->last_ns - d->since_ns);
        l->told_laden[side] = (uint16_t)b->told_laden[side];
        l->told_packets[side] = b->told_packets[side];
        l->ttl[side] = b->ttl[side];
    }
    l->handshake_ns[0] = (uint32_t)b->handshake_server_ns;
    l->handshake_ns[1] = (uint32_t)b->handshake_client_ns;
    l->zeek = b->zeek.core;
    l->role_score = b->role_score;
    l->inferred = b->inferred;
    l->last_cause = b->last_cause;
}

/* ---- any form ---- */

static void unfold(const struct flow_tracker *t, struct flow *f, struct body *b) {
    struct tcp_rules rules;
    b->flow = f;
    b->faults = (struct faults){0};
    if (f->form == FORM_LEAN)
        unfold_lean(f, pool_lean(&t->pool, f->body), b);
    else
        unfold_syn(f, b);
    rules_of(t, f, &rules);
    rules.tap_loses = (f->flags & FLOW_TAP_LOST) != 0;
    tcp_await(&b->tcp, f->first_ns, flow_last_ns(f), &rules);
}

struct body *form_open(struct flow_tracker *t, uint32_t index) {
    struct flow *f = pool_at(&t->pool, index);
    if (f->form == FORM_FULL)
        return pool_body(&t->pool, f->body);
    uint32_t full = slab_take(&t->pool.body);
    if (full == FLOW_NONE)
        return NULL;
    struct body *b = pool_body(&t->pool, full);
    unfold(t, f, b);
    f->last_ns = flow_last_ns(f);
    form_drop(t, f);
    f->form = FORM_FULL;
    f->body = full;
    return b;
}

struct body *form_view(const struct flow_tracker *t, struct flow *f, struct body *scratch) {
    if (f->form == FORM_FULL)
        return pool_body(&t->pool, f->body);
    blank(scratch);
    unfold(t, f, scratch);
    return scratch;
}

struct body *form_keep(struct flow_tracker *t, uint32_t index, struct body *view) {
    struct flow *f = pool_at(&t->pool, index);
    if (f->form == FORM_FULL)
        return view;
    struct flow before = *f;
    struct body *b = form_new(t, index);
    if (b == NULL)
        return NULL;
    *b = *view;
    f->last_ns = flow_last_ns(&before);
    form_drop(t, &before);
    return b;
}

void form_told(struct flow_tracker *t, struct flow *f, const struct body *view) {
    if (f->form == FORM_LEAN)
        fold_lean(f, view, pool_lean(&t->pool, f->body));
    else if (f->form == FORM_SYN && view->told_packets[flow_client(f)])
        f->syn.bits |= FLOW_SYN_TOLD;
}

/* Does the flow, as it is folded now, say all that `b` does? */
static bool holds(const struct flow_tracker *t, struct flow *f, const struct body *b) {
    struct body again;
    blank(&again);
    unfold(t, f, &again);
    again.flow = b->flow;
    return memcmp(&again, b, sizeof again) == 0;
}

void form_rest(struct flow_tracker *t, struct flow *f) {
    bool passing = (f->flags & (FLOW_TENTATIVE | FLOW_FINISHED)) != 0;
    if (!(f->flags & FLOW_USED) || f->form != FORM_FULL || passing || (f->flags & FLOW_RESTORED))
        return; /* soon over; or emit_identity wants it */
    struct body *b = pool_body(&t->pool, f->body);
    struct flow small = *f;
    struct tcp_rules rules;
    rules_of(t, f, &rules);
    tcp_settle(&b->tcp);
    if (!is_plain(f, b, &rules))
        return;
    bool syn = is_syn(f, b);
    small.flags = rules.tap_loses ? f->flags | FLOW_TAP_LOST : f->flags & ~(uint32_t)FLOW_TAP_LOST;
    if (syn) {
        small.form = FORM_SYN;
        fold_syn(b, &small);
    } else {
        small.form = FORM_LEAN;
        small.body = slab_take(&t->pool.lean);
        if (small.body == FLOW_NONE)
            return;
        fold_lean(f, b, pool_lean(&t->pool, small.body));
    }
    assert(!FLOW_VERIFY || holds(t, &small, b));
    slab_give(&t->pool.body, f->body);
    *f = small;
}
