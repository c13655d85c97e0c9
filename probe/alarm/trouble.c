/*
 * trouble: the last connections of each sort of trouble, for the evidence of alarms.
 */
#include "engine.h"

bool trouble_is_same(const struct event_flow *x, const struct event_flow *y) {
    return x->first_ns == y->first_ns && x->client_port == y->client_port &&
           x->server_port == y->server_port && x->scope == y->scope &&
           memcmp(x->client, y->client, sizeof x->client) == 0 &&
           memcmp(x->server, y->server, sizeof x->server) == 0;
}

bool trouble_was_noted(const struct alarm_engine *a, enum trouble t, const struct event_flow *f) {
    const struct troubles *r = &a->trouble[t];
    for (uint32_t i = 0; i < TROUBLE_RING; i++)
        if (r->ts_ns[i] > a->window_ns && trouble_is_same(&r->flow[i], f))
            return true;
    return false;
}

void trouble_note(struct alarm_engine *a, enum trouble t, int64_t service,
                  const struct event_flow *f, uint64_t ts_ns) {
    struct troubles *r = &a->trouble[t];
    uint32_t at = r->next++ % TROUBLE_RING;
    r->flow[at] = *f;
    r->ts_ns[at] = ts_ns;
    r->service[at] = (uint32_t)service;
}
