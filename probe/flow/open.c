/*
 * open: the connections that are not CLOSED/CLOSED: at a moment (`read --at`), and at the end of a
 * capture.
 */
#include "tracker.h"

#include <stdlib.h>
#include <string.h>

struct open_flow {
    uint64_t first_ns;
    struct moment moment;
    uint32_t serial, index;
};

static int by_start(const void *a, const void *b) {
    const struct open_flow *x = a, *y = b;
    if (x->first_ns != y->first_ns)
        return x->first_ns < y->first_ns ? -1 : 1;
    return (int32_t)(x->serial - y->serial);
}

/* All open flows by start, and their states now; their number, 0 also when memory is short. Freed
 * by the caller. */
static size_t list_open(const struct flow_tracker *t, struct open_flow **list) {
    size_t n = 0;
    bool sorted = true; /* as they come, where few entries were used twice */
    *list = malloc((t->counters.flows_open + 1) * sizeof **list);
    if (*list == NULL)
        return 0;
    for (uint32_t i = 0; i < t->pool.flow.top && n < t->counters.flows_open; i++) {
        struct body scratch;
        struct flow *f = pool_at(&t->pool, i);
        if (i + FORM_HEADS_AHEAD < t->pool.flow.top)
            form_fetch(&t->pool, i + FORM_HEADS_AHEAD, i + FORM_BODIES_AHEAD);
        if (!(f->flags & FLOW_COUNTED))
            continue;
        struct open_flow *o = &(*list)[n++];
        *o = (struct open_flow){.first_ns = f->first_ns, .serial = f->serial, .index = i};
        moment_take(form_view(t, f, &scratch), &o->moment);
        sorted = sorted && (n == 1 || by_start(o - 1, o) < 0);
    }
    if (!sorted)
        qsort(*list, n, sizeof **list, by_start);
    return n;
}

/* At the end of a capture a connection that waits in TIME_WAIT has ended in order. */
static enum event_end end_now(const struct moment *m) {
    return m->state[0] == TCP_TIME_WAIT || m->state[1] == TCP_TIME_WAIT ? EVENT_END_FIN
                                                                        : EVENT_END_OPEN;
}

static void give(struct flow_tracker *t, const struct open_flow *list, size_t n, uint64_t ts_ns,
                 event_sink *sink, void *context) {
    for (size_t i = 0; i < n; i++) {
        struct body scratch;
        if (i + FORM_HEADS_AHEAD < n)
            form_fetch(&t->pool, list[i + FORM_HEADS_AHEAD].index,
                       list[i + FORM_BODIES_AHEAD].index);
        const struct body *b = form_view(t, pool_at(&t->pool, list[i].index), &scratch);
        emit_connection(t, b, ts_ns, end_now(&list[i].moment), &list[i].moment, sink, context);
    }
}

void flow_each_open(struct flow_tracker *t, event_sink *sink, void *context) {
    struct open_flow *list;
    size_t n = list_open(t, &list);
    give(t, list, n, t->now_ns, sink, context);
    free(list);
}

void flow_finish(struct flow_tracker *t, uint64_t linger_ns) {
    struct open_flow *list;
    picture_finish(t);
    uint64_t last_ns = t->now_ns, open = t->counters.flows_open;
    size_t n = list_open(t, &list);
    t->at_end = true; /* timers still give transitions; no flow goes away */
    flow_advance(t, last_ns + linger_ns);
    t->counters.connections += n;
    give(t, list, n, last_ns, t->sink, t->context);
    t->counters.flows_open = open;
    t->now_ns = last_ns;
    free(list);
}
