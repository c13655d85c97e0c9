/*
 * evict: room for a new flow when max_flows is reached. Which one goes: first what is only
 * remembered for latecomers or was never confirmed (stray), then half-open, then closing and
 * TIME_WAIT, then the longest idle. A handful of entries picked at random stands for all (as Redis
 * does), so that the choice costs the same whatever the number of flows.
 */
#include "tracker.h"

enum { SAMPLE = 16 };

enum evict_class { EVICT_STRAY, EVICT_HALF_OPEN, EVICT_CLOSED, EVICT_IDLE };

static enum evict_class class_of(const struct flow_tracker *t, const struct flow *f) {
    const struct tcp_endpoint *end = form_ends(&t->pool, f);
    if (end == NULL)
        return EVICT_HALF_OPEN;
    bool begun = (end[0].flags | end[1].flags) & TCP_SYN_SEEN,
         both = end[0].flags & end[1].flags & TCP_SEEN;
    if ((f->flags & (FLOW_FINISHED | FLOW_TENTATIVE)) ||
        (!begun && !both)) /* or one side alone, which anybody can forge */
        return EVICT_STRAY;
    /* No end has proven to be established: SYNs without answer, SYN-ACKs without a third segment;
     * also after the server has given up, or has never kept anything (SYN cookies). */
    for (unsigned i = 0; i < 2; i++)
        if (end[i].state == TCP_SYN_SENT || end[i].state == TCP_SYN_RECEIVED ||
            (end[i].flags & (TCP_SYN_SEEN | TCP_ACKING)) == TCP_SYN_SEEN)
            return EVICT_HALF_OPEN;
    for (unsigned i = 0; i < 2; i++)
        if (end[i].state == TCP_CLOSED || end[i].state == TCP_TIME_WAIT)
            return EVICT_CLOSED;
    return EVICT_IDLE;
}

static uint32_t next_random(struct flow_tracker *t) {
    t->evict_seed =
        t->evict_seed * 1664525u + 1013904223u; /* Knuth, Lewis: the same in every run */
    return t->evict_seed;
}

/* Without a need for memory: there may be none. */
void evict_flow(struct flow_tracker *t, uint32_t index) {
    struct flow *f = pool_at(&t->pool, index);
    if (!(f->flags & (FLOW_FINISHED | FLOW_TENTATIVE))) {
        struct tcp_verdict v;
        struct body scratch, *b;
        picture_before_change(t, f);
        b = form_view(t, f, &scratch);
        tcp_end(&b->tcp, t->now_ns, TCP_CAUSE_EVICT, TCP_INFERRED_TIMER, &v);
        t->counters.flows_evicted++;
        flow_settle(t, b, t->now_ns, 0, &v);
    }
    flow_forget(t, index);
}

void evict_one(struct flow_tracker *t) {
    uint32_t victim = FLOW_NONE;
    enum evict_class lowest = EVICT_IDLE;
    for (int n = 0; n < SAMPLE || victim == FLOW_NONE; n++) {
        uint32_t index = (uint32_t)((uint64_t)next_random(t) * t->pool.flow.top >> 32);
        const struct flow *f = pool_at(&t->pool, index);
        if (!(f->flags & FLOW_USED))
            continue;
        enum evict_class c = class_of(t, f);
        if (victim == FLOW_NONE || c < lowest ||
            (c == lowest && flow_last_ns(f) < flow_last_ns(pool_at(&t->pool, victim)))) {
            victim = index;
            lowest = c;
        }
    }
    evict_flow(t, victim);
}
