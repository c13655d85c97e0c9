/*
 * open: the connections that are not CLOSED/CLOSED: at a moment (`read --at`), and at the end of a capture.
 */
#include "tracker.h"

#include <stdlib.h>
#include <string.h>

struct open_flow {
    uint64_t first_ns, serial;
    uint32_t index;
};

static int by_start(const void *a, const void *b) {
    const struct open_flow *x = a, *y = b;
    if (x->first_ns != y->first_ns)
        return x->first_ns < y->first_ns ? -1 : 1;
    return x->serial < y->serial ? -1 : x->serial > y->serial;
}

/* All open flows by start; their number, 0 also when memory is short. Freed by the caller. */
static size_t list_open(const struct flow_tracker *t, struct open_flow **list) {
    size_t n = 0;
    *list = malloc((t->counters.flows_open + 1) * sizeof **list);
    if (*list == NULL)
        return 0;
    for (uint32_t i = 0; i < t->pool.top; i++) {
        const struct flow *f = pool_at(&t->pool, i);
        if ((f->flags & FLOW_USED) && (f->flags & FLOW_COUNTED) && n < t->counters.flows_open)
            (*list)[n++] = (struct open_flow){f->first_ns, f->serial, i};
    }
    qsort(*list, n, sizeof **list, by_start);
    return n;
}

/* At the end of a capture a connection that waits in TIME_WAIT has ended in order. */
static enum event_end end_now(const uint8_t state[2]) {
    return state[0] == TCP_TIME_WAIT || state[1] == TCP_TIME_WAIT ? EVENT_END_FIN : EVENT_END_OPEN;
}

void flow_each_open(struct flow_tracker *t, event_sink *sink, void *context) {
    struct open_flow *list;
    size_t n = list_open(t, &list);
    for (size_t i = 0; i < n; i++) {
        const struct flow *f = pool_at(&t->pool, list[i].index);
        const uint8_t state[2] = {f->tcp.end[0].state, f->tcp.end[1].state};
        emit_connection(t, f, t->now_ns, end_now(state), state, sink, context);
    }
    free(list);
}

void flow_finish(struct flow_tracker *t, uint64_t linger_ns) {
    struct open_flow *list;
    uint64_t last_ns = t->now_ns, open = t->counters.flows_open;
    size_t n = list_open(t, &list);
    for (size_t i = 0; i < n; i++) {
        struct flow *f = pool_at(&t->pool, list[i].index);
        for (unsigned side = 0; side < 2; side++)
            f->end_state[side] = f->tcp.end[side].state;
    }
    t->at_end = true;
    flow_advance(t, last_ns + linger_ns);
    for (size_t i = 0; i < n; i++) {
        const struct flow *f = pool_at(&t->pool, list[i].index);
        t->counters.connections++;
        emit_connection(t, f, last_ns, end_now(f->end_state), f->end_state, t->sink, t->context);
    }
    t->counters.flows_open = open;
    t->now_ns = last_ns;
    free(list);
}
