/*
 * life: a flow's begin, its deadlines, what is told of it, its end.
 */
#include "tracker.h"

#include <string.h>

enum { TENTATIVE_S = 60 /* a bare ACK waits so long for a second witness */ };

void flow_forget(struct flow_tracker *t, uint32_t index) {
    struct flow *f = pool_at(&t->pool, index);
    restore_settle(t, f);
    wheel_remove(&t->wheel, index);
    table_erase(&t->table, flow_hash(t, f), index);
    form_drop(t, f);
    if (f->flags & FLOW_IPV6)
        slab_give(&t->pool.pair, f->addr[0]);
    if (f->flags & FLOW_COUNTED)
        t->counters.flows_open--;
    f->flags = 0;
    slab_give(&t->pool.flow, index);
}

uint64_t flow_due_ns(const struct body *b) {
    const struct flow *f = b->flow;
    const struct tcp_detail *d = b->tcp.detail;
    if (f->flags &
        FLOW_FINISHED) /* at once, where it has been silent for long (TIME_WAIT ran out) */
        return flow_last_ns(f) + FLOW_TOMBSTONE_S * BASE_NS_PER_S;
    if (f->flags & FLOW_TENTATIVE)
        return flow_last_ns(f) + TENTATIVE_S * BASE_NS_PER_S;
    return d[0].due_ns < d[1].due_ns ? d[0].due_ns : d[1].due_ns;
}

void flow_look_at(struct flow_tracker *t, uint32_t index, uint64_t due_ns) {
    struct flow *f = pool_at(&t->pool, index);
    if (due_ns < f->deadline_ns && wheel_set(&t->wheel, index, due_ns) != 0)
        f->deadline_ns = BASE_NEVER_NS;
}

/* The deadlines of a handshake and of a close overtake each other, so the first look is taken after
 * FLOW_CHECK_MS: most short connections are in TIME_WAIT by then, and need only one more. */
void flow_rest(struct flow_tracker *t, uint32_t index, const struct body *b) {
    struct flow *f = b->flow;
    uint64_t due_ns = flow_due_ns(b), check_ns = t->now_ns + FLOW_CHECK_MS * BASE_NS_PER_MS;
    bool young =
        f->deadline_ns == BASE_NEVER_NS && t->now_ns - f->first_ns < FLOW_CHECK_MS * BASE_NS_PER_MS;
    flow_look_at(t, index, young && due_ns > check_ns ? check_ns : due_ns);
    if (!tcp_is_closing(&b->tcp))
        form_rest(t, f); /* a close takes some segments more; or the next timer comes by */
}

void flow_begin_head(struct flow_tracker *t, struct flow *f, const struct segment *s) {
    uint64_t before_ns = f->first_ns, ts_ns = s->ts_ns;
    restore_settle(t, f);
    f->ordinal = before_ns == ts_ns && f->serial != 0 ? (uint8_t)(f->ordinal + 1) : 0;
    f->first_ns = f->last_ns = ts_ns;
    f->serial = ++t->serial;
    f->flags = (f->flags & (FLOW_USED | FLOW_IPV6)) | t->picture.parity |
               (uint32_t)s->iface << FLOW_IFACE_AT;
}

void flow_begin(struct flow_tracker *t, struct body *b, const struct segment *s, unsigned from) {
    struct flow *f = b->flow;
    flow_begin_head(t, f, s);
    memset(b, 0, sizeof *b);
    b->flow = f;
    tcp_init(&b->tcp, s->ts_ns);
    roles_begin(t, b, s, from);
}

/* Not in the table, and without a body. */
static void give_back(struct flow_tracker *t, uint32_t index) {
    struct flow *f = pool_at(&t->pool, index);
    if (f->flags & FLOW_IPV6)
        slab_give(&t->pool.pair, f->addr[0]);
    f->flags = 0;
    slab_give(&t->pool.flow, index);
}

uint32_t flow_enter(struct flow_tracker *t, const struct flow_key *k) {
    if (t->pool.flow.used >= t->config.max_flows)
        evict_one(t);
    uint32_t index = slab_take(&t->pool.flow);
    if (index == FLOW_NONE)
        return FLOW_NONE;
    struct flow *f = pool_at(&t->pool, index);
    *f = (struct flow){.scope = k->scope,
                       .flags = FLOW_USED,
                       .deadline_ns = BASE_NEVER_NS,
                       .wheel_slot = WHEEL_OUT,
                       .form = FORM_SYN};
    memcpy(f->port, k->port, sizeof f->port);
    if (k->family == 4) {
        memcpy(f->addr, k->v4, sizeof f->addr);
    } else if ((f->addr[0] = slab_take(&t->pool.pair)) != FLOW_NONE) {
        f->flags |= FLOW_IPV6;
        memcpy(pool_pair(&t->pool, f), k->v6, sizeof k->v6);
    }
    bool paired = k->family == 4 || (f->flags & FLOW_IPV6);
    if (paired && table_insert(&t->table, k->hash, index) == 0)
        return index;
    give_back(t, index);
    return FLOW_NONE;
}

uint32_t flow_enter_full(struct flow_tracker *t, const struct flow_key *k) {
    uint32_t index = flow_enter(t, k);
    if (index == FLOW_NONE || form_new(t, index) != NULL)
        return index;
    table_erase(&t->table, k->hash, index);
    give_back(t, index);
    return FLOW_NONE;
}

uint32_t flow_make(struct flow_tracker *t, const struct flow_key *k, const struct segment *s) {
    uint32_t index = flow_enter_full(t, k);
    if (index != FLOW_NONE)
        flow_begin(t, form_open(t, index), s, k->from);
    return index;
}

void flow_announce(struct flow_tracker *t, struct flow *f) {
    if (f->flags & FLOW_COUNTED)
        return;
    f->flags |= FLOW_COUNTED;
    f->flags &= ~(uint32_t)FLOW_TENTATIVE;
    t->counters.flows_open++;
    t->counters.flows_total++;
}

/* How it ends. Refused is who was told so while opening; who takes back its own SYN was not. */
static void note_end(struct body *b, const struct tcp_step *step, unsigned from) {
    struct flow *f = b->flow;
    b->last_cause = step->cause;
    if (step->cause == TCP_CAUSE_ICMP ||
        (step->cause == TCP_CAUSE_RST && step->was[!from] == TCP_SYN_SENT))
        f->flags |= FLOW_REFUSED;
    else if (step->cause == TCP_CAUSE_RST) {
        f->flags |= FLOW_RESET;
        b->faults.reset_by = (uint8_t)from;
        memcpy(b->faults.reset_was, step->was, sizeof b->faults.reset_was);
    }
}

static bool is_over(uint8_t state) {
    return state == TCP_CLOSED || state == TCP_TIME_WAIT;
}

/* TIME_WAIT begins, or is taken back. The end of it all is told with the connection. */
static void note_over(struct flow_tracker *t, struct body *b, uint64_t ts_ns, bool whole) {
    struct flow *f = b->flow;
    bool over = is_over(b->tcp.end[0].state) && is_over(b->tcp.end[1].state);
    if (over && !whole && !(f->flags & FLOW_OVER))
        signal_over(t, b, ts_ns);
    f->flags = over ? f->flags | FLOW_OVER : f->flags & ~(uint32_t)FLOW_OVER;
}

void flow_settle(struct flow_tracker *t, struct body *b, uint64_t ts_ns, unsigned from,
                 const struct tcp_verdict *v) {
    struct flow *f = b->flow;
    if (v->steps > 0)
        flow_announce(t, f);
    for (unsigned i = 0; i < v->steps; i++) {
        note_end(b, &v->step[i], from);
        emit_step(t, b, ts_ns, v->step[i].cause < TCP_CAUSE_ICMP ? from : FLOW_NOBODY, &v->step[i]);
    }
    bool over =
        v->steps > 0 && b->tcp.end[0].state == TCP_CLOSED && b->tcp.end[1].state == TCP_CLOSED;
    if (v->steps > 0)
        note_over(t, b, ts_ns, over);
    if (over) {
        f->flags |= FLOW_FINISHED;
        f->flags &= ~(uint32_t)FLOW_COUNTED;
        t->counters.flows_open--;
        if (!t->at_end) {
            struct moment now;
            moment_take(b, &now);
            t->counters.connections++;
            emit_connection(t, b, ts_ns, emit_end_of(b), &now, t->sink, t->context);
        }
    }
}
