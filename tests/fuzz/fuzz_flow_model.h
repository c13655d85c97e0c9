/*
 * What must hold of the tracker's events, whatever the segments: a naive model of each connection's
 * pair of states.
 *
 * A connection begins with CLOSED on both sides; each transition begins where the last one ended,
 * changes something, and takes each end only where model_moves lets it; client and server change
 * places by cause `roles` only; time does not run back; one connection record ends each, at once
 * when both ends are CLOSED.
 */
#ifndef TESTS_FUZZ_FLOW_MODEL_H
#define TESTS_FUZZ_FLOW_MODEL_H

#include <assert.h>
#include <string.h>

#include "probe/flow/tracker.h"

enum { MODEL_MAX = 2048 };

/* Where one end may go in one transition, by the states' order: RFC 9293 figure 5, and back where
 * what was assumed turns out not to have arrived. Written down here once more, so that a slip in
 * the tables shows. */
/* clang-format off */
static const char model_moves[TCP_STATES][TCP_STATES + 1] = {
    /* to CLOSED LISTEN SYN_SENT SYN_RECEIVED ESTABLISHED FIN_WAIT_1 FIN_WAIT_2 CLOSE_WAIT CLOSING LAST_ACK TIME_WAIT */
    [TCP_CLOSED]        = "..xxx.xx.x.",
    [TCP_LISTEN]        = "...........",
    [TCP_SYN_SENT]      = "x..xx......",
    [TCP_SYN_RECEIVED]  = "x.x.xx.x...",
    [TCP_ESTABLISHED]   = "x.xx.x.x...",
    [TCP_FIN_WAIT_1]    = "x...x.x.x.x",
    [TCP_FIN_WAIT_2]    = "x...xx....x",
    [TCP_CLOSE_WAIT]    = "x..xxx...x.",
    [TCP_CLOSING]       = "x....x.x..x",
    [TCP_LAST_ACK]      = "x....x.x...",
    [TCP_TIME_WAIT]     = "x.....xxx..",
};
/* clang-format on */

struct model_connection {
    struct event_flow id; /* as last told */
    uint8_t state[2];     /* client's, server's */
    uint8_t end_state[2]; /* when the capture ended */
    bool live, owed;      /* no connection record yet; one must follow at once */
};

struct model {
    struct model_connection c[MODEL_MAX];
    size_t n;
    uint64_t last_ns, digest, transitions, connections;
    size_t live, listed;
    bool finishing, records; /* the linger runs; the records of open connections have begun */
};

static void model_start(struct model *m) {
    memset(m, 0, sizeof *m);
}

static bool model_same_ends(const struct event_flow *a, const struct event_flow *b, bool swapped) {
    const uint8_t *client = swapped ? b->server : b->client,
                  *server = swapped ? b->client : b->server;
    return memcmp(a->client, client, 16) == 0 && memcmp(a->server, server, 16) == 0 &&
           a->client_port == (swapped ? b->server_port : b->client_port) &&
           a->server_port == (swapped ? b->client_port : b->server_port);
}

static struct model_connection *model_find(struct model *m, const struct event_flow *id) {
    for (size_t i = 0; i < m->n; i++) {
        const struct event_flow *o = &m->c[i].id;
        if (m->c[i].live && o->family == id->family && o->scope == id->scope &&
            o->first_ns == id->first_ns && o->ordinal == id->ordinal &&
            (model_same_ends(o, id, false) || model_same_ends(o, id, true)))
            return &m->c[i];
    }
    return NULL;
}

static void model_mix(struct model *m, const void *octets, size_t n) {
    for (size_t i = 0; i < n; i++)
        m->digest = (m->digest ^ ((const uint8_t *)octets)[i]) * UINT64_C(0x100000001b3);
}

static bool model_closed(const uint8_t state[2]) {
    return state[0] == TCP_CLOSED && state[1] == TCP_CLOSED;
}

static struct model_connection *model_begin(struct model *m, const struct event *e) {
    assert(!m->finishing); /* timers begin nothing */
    assert(m->n < MODEL_MAX);
    assert(e->transition.cause != TCP_CAUSE_ROLES && model_closed(e->transition.was));
    assert(e->flow.first_ns <= e->ts_ns);
    struct model_connection *c = &m->c[m->n++];
    *c = (struct model_connection){.id = e->flow, .live = true};
    m->live++;
    return c;
}

static bool model_may_move(uint8_t was, uint8_t state) {
    return was < TCP_STATES && state < TCP_STATES &&
           (was == state || model_moves[was][state] == 'x');
}

static void model_roles(struct model_connection *c, const struct event *e) {
    assert(model_same_ends(&c->id, &e->flow, true));
    uint8_t client = c->state[0];
    c->state[0] = c->state[1];
    c->state[1] = client;
    c->id = e->flow;
    assert(memcmp(e->transition.was, e->transition.state, 2) == 0);
    assert(memcmp(e->transition.state, c->state, 2) == 0);
}

static void model_transition(struct model *m, const struct event *e) {
    const struct event_transition *t = &e->transition;
    struct model_connection *c = model_find(m, &e->flow);
    assert(!m->records);
    if (c == NULL)
        c = model_begin(m, e);
    for (unsigned i = 0; i < 2; i++)
        assert(model_may_move(t->was[i], t->state[i]));
    assert(t->cause < TCP_CAUSES && t->inferred < TCP_INFERRED_REASONS);
    assert(t->cause < TCP_CAUSE_TIMEOUT_SYN_SENT || t->inferred == TCP_INFERRED_TIMER);
    if (t->cause == TCP_CAUSE_ROLES) {
        model_roles(c, e);
    } else {
        assert(model_same_ends(&c->id, &e->flow, false));
        assert(memcmp(t->was, c->state, 2) == 0);
        assert(memcmp(t->was, t->state, 2) != 0);
        memcpy(c->state, t->state, 2);
    }
    m->transitions++;
    c->owed = model_closed(c->state) && !m->finishing;
}

static void model_record(struct model *m, const struct event *e) {
    const struct event_connection *r = &e->connection;
    struct model_connection *c = model_find(m, &e->flow);
    assert(c != NULL && model_same_ends(&c->id, &e->flow, false));
    if (m->finishing)
        m->records = true;
    else
        assert(c->owed && r->end != EVENT_END_OPEN);
    assert(memcmp(r->state, m->finishing ? c->end_state : c->state, 2) == 0);
    assert(r->last_ns >= e->flow.first_ns && r->end <= EVENT_END_OPEN && r->conn_state[0] != 0);
    m->connections++;
    c->live = c->owed = false;
    m->live--;
}

/* A signal is of a connection, and of this moment; the alarms' tests look into them. */
static void model_signal(struct model *m, const struct event *e) {
    assert(e->signal.kind <= EVENT_PROBE && e->signal.by <= EVENT_NOBODY);
    assert(e->flow.first_ns <= e->ts_ns);
    model_mix(m, &e->ts_ns, sizeof e->ts_ns);
    model_mix(m, &e->signal.kind, sizeof e->signal.kind);
    model_mix(m, &e->signal.value_ns, sizeof e->signal.value_ns);
}

/* What is valid of it. */
static void model_mix_transition(struct model *m, const struct event_transition *x) {
    const uint8_t marks = (uint8_t)(x->retried | x->over << 1);
    model_mix(m, x, offsetof(struct event_transition, by) + sizeof x->by);
    model_mix(m, &marks, sizeof marks);
    model_mix(m, &x->rtt_ns, sizeof x->rtt_ns);
    if (x->over) {
        model_mix(m, x->fresh.packets, sizeof x->fresh.packets);
        model_mix(m, x->fresh.laden, sizeof x->fresh.laden);
    }
}

/* The tracker's sink. */
static void model_take(void *context, const struct event *e) {
    struct model *m = context;
    bool transition = e->type == EVENT_TRANSITION;
    if (e->type == EVENT_SIGNAL) {
        model_signal(m, e);
        return;
    }
    assert(transition || e->type == EVENT_CONNECTION);
    if (transition)
        model_transition(m, e);
    else
        model_record(m, e);
    if (!m->records)
        assert(e->ts_ns >= m->last_ns);
    m->last_ns = e->ts_ns;
    model_mix(m, &e->ts_ns, sizeof e->ts_ns);
    model_mix(m, e->flow.client, sizeof e->flow.client);
    model_mix(m, &e->flow.client_port, sizeof e->flow.client_port);
    if (transition)
        model_mix_transition(m, &e->transition);
    else
        model_mix(m, e->connection.state, sizeof e->connection.state);
}

/* After a batch. */
static void model_check(const struct model *m, const struct flow_tracker *t) {
    size_t used = 0, bodies[] = {[FORM_SYN] = 0, [FORM_LEAN] = 0, [FORM_FULL] = 0};
    for (size_t i = 0; i < m->n; i++)
        assert(!m->c[i].owed);
    assert(flow_counters(t)->flows_open == m->live);
    assert(flow_counters(t)->flows_total == m->n);
    for (uint32_t i = 0; i < t->pool.flow.top; i++) {
        const struct flow *f = pool_at(&t->pool, i);
        if (!(f->flags & FLOW_USED))
            continue;
        used++;
        bodies[f->form]++;
        /* what is not open waits to be forgotten */
        bool passing = (f->flags & (FLOW_FINISHED | FLOW_TENTATIVE)) != 0;
        assert(passing || (f->flags & FLOW_COUNTED));
        assert(!passing || f->deadline_ns != BASE_NEVER_NS);
    }
    assert(used == t->pool.flow.used && used == t->table.used);
    assert(t->pool.lean.used == bodies[FORM_LEAN] && t->pool.body.used == bodies[FORM_FULL]);
    assert(t->config.max_flows == 0 || used <= t->config.max_flows);
}

static void model_open(void *context, const struct event *e) {
    struct model *m = context;
    const struct model_connection *c = model_find(m, &e->flow);
    assert(e->type == EVENT_CONNECTION && c != NULL && model_same_ends(&c->id, &e->flow, false));
    assert(memcmp(c->state, e->connection.state, 2) == 0);
    assert(!model_closed(c->state));
    m->listed++;
}

/* flow_each_open tells what the transitions have told. */
static void model_check_open(struct model *m, struct flow_tracker *t) {
    m->listed = 0;
    flow_each_open(t, model_open, m);
    assert(m->listed == m->live);
}

/* The capture ends here; flow_finish follows. */
static void model_finish(struct model *m) {
    m->finishing = true;
    for (size_t i = 0; i < m->n; i++)
        memcpy(m->c[i].end_state, m->c[i].state, 2);
}

static void model_check_end(const struct model *m) {
    assert(m->live == 0);
}

#endif
