/*
 * restore: connections of an earlier run that ended without a checkpoint: the store knows their
 * states, and nothing of their numbers, VLANs or tunnels.
 */
#include "tracker.h"

#include <assert.h>
#include <string.h>

/* The key as a segment from the client would make it; `scope` 0. */
static void key_of(const struct flow_tracker *t, const struct event_flow *f, struct flow_key *k) {
    struct segment s = {
        .family = f->family, .src_port = f->client_port, .dst_port = f->server_port};
    memcpy(s.src, f->client, sizeof s.src);
    memcpy(s.dst, f->server, sizeof s.dst);
    flow_key_make(t->config.hash_seed, &s, k);
}

int flow_restore(struct flow_tracker *t, const struct flow_restored *r) {
    struct flow_key k;
    struct tcp_rules rules;
    key_of(t, &r->flow, &k);
    assert(t->now_ns != 0); /* the wheel turns from there */
    if (t->pool.flow.used >= t->config.max_flows || table_find(&t->table, &k) != FLOW_NONE)
        return -1;
    uint32_t index = flow_enter_full(t, &k);
    if (index == FLOW_NONE)
        return -1;
    struct body *b = form_open(t, index);
    struct flow *f = b->flow;
    unsigned client = k.from;
    *b = (struct body){.flow = f};
    f->flags |= FLOW_COUNTED | FLOW_RESTORED | FLOW_UNSURE | t->picture.parity;
    f->flags |= client == 1 ? FLOW_CLIENT_1 : 0;
    b->restored_id = r->flow.id;
    f->first_ns = f->last_ns = r->flow.first_ns;
    f->serial = ++t->serial;
    b->role_score = r->role_score;
    b->inferred = r->inferred;
    uint8_t state[2];
    uint64_t since_ns[2];
    for (unsigned role = 0; role < 2; role++) {
        unsigned side = role == EVENT_CLIENT ? client : !client;
        state[side] = r->state[role];
        since_ns[side] = r->since_ns[role];
    }
    rules_of(t, f, &rules);
    tcp_restore(&b->tcp, state, since_ns, &rules);
    t->counters.flows_open++;
    t->unsure++;
    flow_rest(t, index, b);
    return 0;
}

uint32_t restore_adopt(struct flow_tracker *t, const struct segment *s, const struct flow_key *k) {
    struct flow_key plain;
    struct segment scopeless = *s;
    scopeless.scope = 0;
    flow_key_make(t->config.hash_seed, &scopeless, &plain);
    uint32_t index = s->scope == 0 ? FLOW_NONE : table_find(&t->table, &plain);
    if (index == FLOW_NONE || !(pool_at(&t->pool, index)->flags & FLOW_UNSURE))
        return FLOW_NONE;
    struct flow *f = pool_at(&t->pool, index);
    if (table_insert(&t->table, k->hash, index) != 0)
        return FLOW_NONE;
    table_erase(&t->table, flow_hash(t, f), index);
    f->scope = k->scope;
    return index;
}
