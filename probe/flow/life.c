/*
 * life: a flow's begin, its deadlines, what is told of it, its end.
 */
#include "tracker.h"

#include <string.h>

enum {
    CHECK_MS = 1100, /* just below the first deadline of a handshake */
    TENTATIVE_S = 60 /* a bare ACK waits so long for a second witness */
};

void flow_forget(struct flow_tracker *t, uint32_t index) {
    struct flow *f = pool_at(&t->pool, index);
    restore_settle(t, f);
    wheel_remove(&t->wheel, index);
    table_erase(&t->table, f->hash, index);
    if (f->flags & FLOW_IPV6)
        pool6_give(&t->pool6, f->addr[0]);
    if (f->flags & FLOW_COUNTED)
        t->counters.flows_open--;
    pool_give(&t->pool, index);
}

/* When the flow wants to be looked at next. */
uint64_t flow_due_ns(const struct flow *f) {
    uint64_t a = f->tcp.detail[0].due_ns, b = f->tcp.detail[1].due_ns;
    if (f->flags &
        FLOW_FINISHED) /* at once, where it has been silent for long (TIME_WAIT ran out) */
        return f->last_ns + FLOW_TOMBSTONE_S * BASE_NS_PER_S;
    if (f->flags & FLOW_TENTATIVE)
        return f->last_ns + TENTATIVE_S * BASE_NS_PER_S;
    return a < b ? a : b;
}

/* Earlier than the wheel knows: set it anew. Later: the wheel will find out. The deadlines of a
 * handshake and of a close overtake each other, so the first look is taken after CHECK_MS: most
 * short connections are in TIME_WAIT by then, and need only one more. */
void flow_arm(struct flow_tracker *t, uint32_t index) {
    struct flow *f = pool_at(&t->pool, index);
    uint64_t due = flow_due_ns(f), check_ns = t->now_ns + CHECK_MS * BASE_NS_PER_MS;
    if (due >= f->deadline_ns)
        return;
    if (due > check_ns && f->deadline_ns == BASE_NEVER_NS &&
        t->now_ns - f->first_ns < CHECK_MS * BASE_NS_PER_MS)
        due = check_ns;
    if (wheel_set(&t->wheel, index, due) != 0)
        f->deadline_ns = BASE_NEVER_NS;
}

void flow_begin(struct flow_tracker *t, struct flow *f, const struct segment *s, unsigned from) {
    uint64_t before_ns = f->first_ns;
    restore_settle(t, f);
    f->ordinal = before_ns == s->ts_ns && f->serial != 0 ? (uint8_t)(f->ordinal + 1) : 0;
    f->first_ns = f->last_ns = s->ts_ns;
    f->serial = ++t->serial;
    f->flags = (f->flags & (FLOW_USED | FLOW_IPV6)) | t->picture.parity;
    f->handshake_server_ns = f->handshake_client_ns = f->missed_bytes = 0;
    memset(f->retransmits, 0, sizeof f->retransmits);
    memset(f->out_of_order, 0, sizeof f->out_of_order);
    memset(f->dup_acks, 0, sizeof f->dup_acks);
    memset(f->zero_windows, 0, sizeof f->zero_windows);
    memset(f->ttl, 0, sizeof f->ttl);
    memset(f->unseen, 0, sizeof f->unseen);
    memset(f->zero_ms, 0, sizeof f->zero_ms);
    memset(f->told_packets, 0, sizeof f->told_packets);
    memset(f->told_laden, 0, sizeof f->told_laden);
    memset(f->told_again, 0, sizeof f->told_again);
    f->role_score = f->inferred = f->last_cause = 0;
    f->zeek = (struct zeek_view){0};
    tcp_init(&f->tcp, s->ts_ns);
    roles_begin(t, f, s, from);
}

/* An entry with the addresses, ports and scope of a key, in the pool and in the table. */
uint32_t flow_enter(struct flow_tracker *t, const struct flow_key *k) {
    uint32_t index = pool_take(&t->pool);
    if (index == FLOW_NONE)
        return FLOW_NONE;
    struct flow *f = pool_at(&t->pool, index);
    if (k->family == 4) {
        memcpy(f->addr, k->v4, sizeof f->addr);
    } else {
        f->addr[0] = pool6_take(&t->pool6);
        if (f->addr[0] == FLOW_NONE) {
            pool_give(&t->pool, index);
            return FLOW_NONE;
        }
        memcpy(pool6_at(&t->pool6, f->addr[0]), k->v6, sizeof k->v6);
        f->flags |= FLOW_IPV6;
    }
    memcpy(f->port, k->port, sizeof f->port);
    f->scope = k->scope;
    f->hash = k->hash;
    if (table_insert(&t->table, k->hash, index) != 0) {
        if (f->flags & FLOW_IPV6)
            pool6_give(&t->pool6, f->addr[0]);
        pool_give(&t->pool, index);
        return FLOW_NONE;
    }
    return index;
}

uint32_t flow_make(struct flow_tracker *t, const struct flow_key *k, const struct segment *s) {
    if (t->pool.used >= t->config.max_flows)
        evict_one(t);
    uint32_t index = flow_enter(t, k);
    if (index != FLOW_NONE)
        flow_begin(t, pool_at(&t->pool, index), s, k->from);
    return index;
}

/* The first step makes the connection known. */
static void announce(struct flow_tracker *t, struct flow *f) {
    if (f->flags & FLOW_COUNTED)
        return;
    f->flags |= FLOW_COUNTED;
    f->flags &= ~(uint32_t)FLOW_TENTATIVE;
    t->counters.flows_open++;
    t->counters.flows_total++;
}

/* How it ends. Refused is who was told so while opening; who takes back its own SYN was not. */
static void note_end(struct flow *f, const struct tcp_step *step, unsigned from) {
    f->last_cause = step->cause;
    if (step->cause == TCP_CAUSE_ICMP ||
        (step->cause == TCP_CAUSE_RST && step->was[!from] == TCP_SYN_SENT))
        f->flags |= FLOW_REFUSED;
    else if (step->cause == TCP_CAUSE_RST) {
        f->flags |= FLOW_RESET;
        f->reset_by = (uint8_t)from;
        memcpy(f->reset_was, step->was, sizeof f->reset_was);
    }
}

void flow_settle(struct flow_tracker *t, uint32_t index, uint64_t ts_ns, unsigned from,
                 const struct tcp_verdict *v) {
    struct flow *f = pool_at(&t->pool, index);
    if (v->steps > 0)
        announce(t, f);
    for (unsigned i = 0; i < v->steps; i++) {
        note_end(f, &v->step[i], from);
        emit_step(t, f, ts_ns, v->step[i].cause < TCP_CAUSE_ICMP ? from : FLOW_NOBODY, &v->step[i]);
    }
    bool over =
        v->steps > 0 && f->tcp.end[0].state == TCP_CLOSED && f->tcp.end[1].state == TCP_CLOSED;
    if (over) {
        f->flags |= FLOW_FINISHED;
        f->flags &= ~(uint32_t)FLOW_COUNTED;
        t->counters.flows_open--;
        if (!t->at_end) {
            struct moment now;
            moment_take(f, &now);
            t->counters.connections++;
            emit_connection(t, f, ts_ns, emit_end_of(f), &now, t->sink, t->context);
        }
    }
}
