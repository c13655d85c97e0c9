/*
 * Connections of an earlier run, known by their states alone: they keep their identity, go on from
 * the states that were known, say that something is missing, and find their VLAN again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/flow/tracker.h"
#include "tests/unit/flow_traffic.h"

enum { HOSTS = 2000, SCOPE = 3 };

struct known { /* of a host's connection, by the events of one run */
    uint64_t id;
    uint8_t state[2];
    bool restored, told; /* told: its first transition has come */
};

struct run {
    struct flow_tracker *tracker;
    struct known host[HOSTS];
    uint32_t fed, scope; /* the host that is given segments now, and of its events */
    uint64_t kept, transitions;
};

static void sink(void *context, const struct event *e) {
    struct run *r = context;
    struct known *k = &r->host[traffic_host(e)];
    if (traffic_host(e) == r->fed)
        assert_int_equal(e->flow.scope, r->scope);
    if (e->type == EVENT_TRANSITION && e->transition.cause != TCP_CAUSE_ROLES) {
        bool same = e->flow.id != 0;
        assert_true(!same || (k->restored && e->flow.id == k->id));
        if (same) {
            assert_memory_equal(e->transition.was, k->state, 2);
            assert_true(k->told || e->transition.inferred != TCP_PROVEN);
        }
        k->told = k->told || same;
        r->kept += same;
        r->transitions++;
        memcpy(k->state, e->transition.state, 2);
    }
}

static void start(struct run *r) {
    struct flow_config config = {.timers = flow_timers_default(), .hash_seed = {1, 2}};
    r->tracker = flow_new(&config, sink, r);
    assert_non_null(r->tracker);
}

struct fixture {
    struct run before, after;
    struct traffic traffic;
    uint64_t restored;
};

/* What the store would tell of an open connection. */
static void restore(void *context, const struct event *e) {
    struct fixture *x = context;
    struct known *k = &x->after.host[traffic_host(e)];
    struct flow_restored r = {.flow = e->flow,
                              .state = {e->connection.state[0], e->connection.state[1]},
                              .since_ns = {e->connection.since_ns[0], e->connection.since_ns[1]},
                              .role_score = 200};
    r.flow.id = UINT64_C(0xabc000000000) + traffic_host(e);
    r.flow.scope = 0;
    *k = (struct known){.id = r.flow.id, .state = {r.state[0], r.state[1]}, .restored = true};
    assert_int_equal(flow_restore(x->after.tracker, &r), 0);
    x->restored++;
}

static void run(struct fixture *x, struct run *a, struct run *b, unsigned steps, uint32_t scope) {
    for (unsigned n = 0; n < steps; n++) {
        x->traffic.ms += 2;
        uint32_t host = (uint32_t)random_below(&x->traffic.random, HOSTS);
        struct segment s = traffic_next(&x->traffic, host);
        s.family = host % 2 ? 6 : 4;
        s.scope = scope;
        segments_feed(a->tracker, x->traffic.ms, s);
        if (b != NULL)
            segments_feed(b->tracker, x->traffic.ms, s);
    }
}

static struct fixture *begin(uint32_t scope) {
    struct fixture *x = calloc(1, sizeof *x);
    assert_non_null(x);
    x->before.scope = scope;
    start(&x->before);
    start(&x->after);
    run(x, &x->before, NULL, 20000, scope);
    flow_advance(x->after.tracker, flow_now(x->before.tracker));
    flow_each_open(x->before.tracker, restore, x);
    assert_true(x->restored > HOSTS / 4);
    assert_int_equal(flow_counters(x->after.tracker)->flows_open, x->restored);
    return x;
}

static void finish(struct fixture *x) {
    flow_free(x->before.tracker);
    flow_free(x->after.tracker);
    free(x);
}

/* The states that follow are those of the run that was not interrupted. */
static void goes_on(void **state) {
    (void)state;
    struct fixture *x = begin(0);
    unsigned right = 0;
    run(x, &x->before, &x->after, 20000, 0);
    assert_true(x->after.kept > x->restored / 2);
    for (uint32_t host = 0; host < HOSTS; host++)
        right += memcmp(x->before.host[host].state, x->after.host[host].state, 2) == 0;
    assert_in_range(right, HOSTS * 98 / 100, HOSTS);
    finish(x);
}

/* In a VLAN, which the store does not tell: no connection is taken for another. */
static void finds_its_scope(void **state) {
    (void)state;
    struct fixture *x = begin(SCOPE);
    uint64_t total = flow_counters(x->after.tracker)->flows_total;
    x->after.scope = SCOPE;
    for (uint32_t host = 0; host < HOSTS; host++) {
        if (x->after.host[host].state[0] != TCP_ESTABLISHED ||
            x->after.host[host].state[1] != TCP_ESTABLISHED)
            continue;
        uint32_t c = x->traffic.seq[host];
        x->after.fed = host;
        struct segment s =
            segments_make(host, 40000, TRAFFIC_SERVER, TRAFFIC_PORT, SEGMENT_ACK, c, c + 7);
        s.family = host % 2 ? 6 : 4;
        s.scope = SCOPE;
        s.payload = 10;
        segments_feed(x->after.tracker, x->traffic.ms, s);
        s.flags = SEGMENT_RST | SEGMENT_ACK;
        s.seq = c + 10;
        s.payload = 0;
        segments_feed(x->after.tracker, x->traffic.ms, s);
        assert_int_equal(x->after.host[host].state[0], TCP_CLOSED);
        assert_true(x->after.host[host].told);
    }
    assert_int_equal(flow_counters(x->after.tracker)->flows_total, total);
    finish(x);
}

/* What is silent runs out as it would have. */
static void runs_out(void **state) {
    (void)state;
    struct fixture *x = begin(0);
    flow_advance(x->after.tracker, flow_now(x->after.tracker) + 200 * BASE_NS_PER_S);
    for (uint32_t host = 0; host < HOSTS; host++)
        for (unsigned side = 0; side < 2; side++)
            assert_int_not_equal(x->after.host[host].state[side], TCP_TIME_WAIT);
    assert_true(x->after.transitions > 100);
    finish(x);
}

static void refused(void **state) {
    (void)state;
    struct fixture *x = begin(0);
    struct flow_restored r = {.flow = {.family = 4, .client_port = 40000, .server_port = 443},
                              .state = {TCP_ESTABLISHED, TCP_ESTABLISHED}};
    uint64_t open = flow_counters(x->after.tracker)->flows_open;
    r.flow.id = 1;
    r.flow.first_ns = r.since_ns[0] = r.since_ns[1] = flow_now(x->after.tracker);
    r.flow.client[0] = 10;
    r.flow.server[0] = 11;
    assert_int_equal(flow_restore(x->after.tracker, &r), 0);
    assert_int_equal(flow_restore(x->after.tracker, &r), -1); /* known already */
    assert_int_equal(flow_counters(x->after.tracker)->flows_open, open + 1);
    finish(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_on),
        cmocka_unit_test(finds_its_scope),
        cmocka_unit_test(runs_out),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
