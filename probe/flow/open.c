/*
 * open: the connections that are not CLOSED/CLOSED: at a moment (`read --at`), and at the end of a
 * capture.
 */
#include "tracker.h"

#include <stdlib.h>
#include <string.h>

/* Open flows by start; their states at a moment, or NULL: as they are now. */
struct open_list {
    uint32_t *flow;
    struct moment *then;
    size_t n;
};

static void free_list(struct open_list *l) {
    free(l->flow);
    free(l->then);
}

static int by_start(const void *a, const void *b, void *tracker) {
    const struct flow_tracker *t = tracker;
    const struct flow *x = pool_at(&t->pool, *(const uint32_t *)a),
                      *y = pool_at(&t->pool, *(const uint32_t *)b);
    if (x->first_ns != y->first_ns)
        return x->first_ns < y->first_ns ? -1 : 1;
    return (int32_t)(x->serial - y->serial);
}

/* All open flows; none when memory is short. */
static void list_open(struct flow_tracker *t, struct open_list *l) {
    bool sorted = true; /* as they come, where few entries were used twice */
    *l = (struct open_list){.flow = malloc((t->counters.flows_open + 1) * sizeof *l->flow)};
    if (l->flow == NULL)
        return;
    for (uint32_t i = 0; i < t->pool.flow.top && l->n < t->counters.flows_open; i++) {
        if (i + FORM_HEADS_AHEAD < t->pool.flow.top)
            __builtin_prefetch(pool_at(&t->pool, i + FORM_HEADS_AHEAD));
        if (!(pool_at(&t->pool, i)->flags & FLOW_COUNTED))
            continue;
        uint32_t *last = &l->flow[l->n++];
        *last = i;
        sorted = sorted && (l->n == 1 || by_start(last - 1, last, t) < 0);
    }
    if (!sorted)
        qsort_r(l->flow, l->n, sizeof *l->flow, by_start, t);
}

/* Fetch what the list comes to soon, and look at where it is. */
static struct body *view_at(const struct flow_tracker *t, const struct open_list *l, size_t i,
                            struct body *scratch) {
    if (i + FORM_HEADS_AHEAD < l->n)
        form_fetch(&t->pool, l->flow[i + FORM_HEADS_AHEAD], l->flow[i + FORM_BODIES_AHEAD]);
    return form_view(t, pool_at(&t->pool, l->flow[i]), scratch);
}

/* Time will run on: what is told is of now. Nothing will be told when memory is short. */
static void remember(const struct flow_tracker *t, struct open_list *l) {
    l->then = malloc((l->n + 1) * sizeof *l->then);
    if (l->then == NULL)
        l->n = 0;
    for (size_t i = 0; i < l->n; i++) {
        struct body scratch;
        moment_take(view_at(t, l, i, &scratch), &l->then[i]);
    }
}

/* At the end of a capture a connection that waits in TIME_WAIT has ended in order. */
static enum event_end end_now(const struct moment *m) {
    return m->state[0] == TCP_TIME_WAIT || m->state[1] == TCP_TIME_WAIT ? EVENT_END_FIN
                                                                        : EVENT_END_OPEN;
}

static void give(struct flow_tracker *t, const struct open_list *l, uint64_t ts_ns,
                 event_sink *sink, void *context) {
    for (size_t i = 0; i < l->n; i++) {
        struct body scratch;
        struct moment now;
        const struct body *b = view_at(t, l, i, &scratch);
        moment_take(b, &now);
        const struct moment *m = l->then ? &l->then[i] : &now;
        emit_connection(t, b, ts_ns, end_now(m), m, sink, context);
    }
}

void flow_each_open(struct flow_tracker *t, event_sink *sink, void *context) {
    struct open_list l;
    list_open(t, &l);
    give(t, &l, t->now_ns, sink, context);
    free_list(&l);
}

void flow_finish(struct flow_tracker *t, uint64_t linger_ns) {
    struct open_list l;
    picture_finish(t);
    uint64_t last_ns = t->now_ns, open = t->counters.flows_open;
    list_open(t, &l);
    if (linger_ns > 0)
        remember(t, &l);
    t->at_end = true; /* timers still give transitions; no flow goes away */
    flow_advance(t, last_ns + linger_ns);
    t->counters.connections += l.n;
    give(t, &l, last_ns, t->sink, t->context);
    t->counters.flows_open = open;
    t->now_ns = last_ns;
    free_list(&l);
}
