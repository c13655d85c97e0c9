/*
 * Pictures: each shows every open connection exactly as the transitions up to its time leave it,
 * however slowly it is given and whatever happens meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/flow/tracker.h"
#include "tests/unit/flow_traffic.h"

enum { HOSTS = TRAFFIC_HOSTS, PERIOD_S = 1 };

/* What the transitions say of a client host's connection. */
struct known {
    uint64_t since_ns[2], first_ns;
    uint8_t state[2];
};

struct fixture {
    struct flow_tracker *tracker;
    struct known now[HOSTS], then[HOSTS]; /* then: when the picture began */
    bool given[HOSTS];
    struct traffic traffic;
    uint64_t picture_ns, pictures, members, early, missed, quiet;
    bool picturing;
};

static bool is_open(const struct known *k) {
    return k->state[0] != TCP_CLOSED || k->state[1] != TCP_CLOSED;
}

static void take_transition(struct fixture *x, const struct event *e) {
    struct known *k = &x->now[traffic_host(e)];
    if (k->first_ns != e->flow.first_ns) /* another connection: both ends CLOSED since its begin */
        *k = (struct known){.since_ns = {e->flow.first_ns, e->flow.first_ns}};
    for (unsigned side = 0; side < 2; side++) {
        if (k->state[side] != e->transition.state[side])
            k->since_ns[side] = e->ts_ns;
        k->state[side] = e->transition.state[side];
    }
    k->first_ns = e->flow.first_ns;
}

static void begin(struct fixture *x, const struct event *e) {
    assert_false(x->picturing);
    assert_int_equal(e->ts_ns % (PERIOD_S * BASE_NS_PER_S), 0);
    assert_true(e->ts_ns > x->picture_ns);
    x->picturing = true;
    x->picture_ns = e->ts_ns;
    x->missed += e->picture.missed;
    x->quiet += e->picture.quiet;
    x->pictures++;
    memcpy(x->then, x->now, sizeof x->then);
    memset(x->given, 0, sizeof x->given);
}

static void take_member(struct fixture *x, const struct event *e) {
    uint32_t host = traffic_host(e);
    const struct known *k = &x->then[host];
    assert_true(x->picturing);
    assert_int_equal(e->ts_ns, x->picture_ns);
    assert_false(x->given[host]);
    assert_true(is_open(k));
    assert_int_equal(e->flow.first_ns, k->first_ns);
    assert_memory_equal(e->member.state, k->state, 2);
    assert_memory_equal(e->member.since_ns, k->since_ns, sizeof k->since_ns);
    x->given[host] = true;
    x->members++;
}

static void end(struct fixture *x, const struct event *e) {
    uint64_t open = 0;
    assert_true(x->picturing);
    assert_int_equal(e->ts_ns, x->picture_ns);
    for (uint32_t host = 0; host < HOSTS; host++) {
        assert_int_equal(x->given[host], is_open(&x->then[host]));
        open += x->given[host];
    }
    assert_true(open <= HOSTS);
    x->picturing = false;
}

static void sink(void *context, const struct event *e) {
    struct fixture *x = context;
    switch (e->type) {
    case EVENT_TRANSITION:
        x->early += x->picturing;
        take_transition(x, e);
        break;
    case EVENT_PICTURE:
        begin(x, e);
        break;
    case EVENT_MEMBER:
        take_member(x, e);
        break;
    case EVENT_PICTURE_END:
        end(x, e);
        break;
    default:
        break;
    }
}

static struct fixture *start(bool at_once, uint32_t max_flows) {
    struct fixture *x = calloc(1, sizeof *x);
    struct flow_config config = {.timers = flow_timers_default(),
                                 .hash_seed = {1, 2},
                                 .max_flows = max_flows,
                                 .snapshot_ns = PERIOD_S * BASE_NS_PER_S,
                                 .picture_at_once = at_once};
    assert_non_null(x);
    x->tracker = flow_new(&config, sink, x);
    assert_non_null(x->tracker);
    return x;
}

static void stop(struct fixture *x) {
    flow_free(x->tracker);
    free(x);
}

static void act(struct fixture *x, uint32_t host) {
    segments_feed(x->tracker, x->traffic.ms, traffic_next(&x->traffic, host));
}

static void open_all(struct fixture *x, uint32_t hosts) {
    for (uint32_t host = 0; host < hosts; host++)
        for (int step = 0; step < 3; step++)
            act(x, host);
}

static void run(struct fixture *x, uint32_t hosts, unsigned steps, size_t room) {
    for (unsigned n = 0; n < steps; n++) {
        x->traffic.ms++;
        for (int i = 0; i < 4; i++)
            act(x, (uint32_t)random_below(&x->traffic.random, hosts));
        flow_picture_go_on(x->tracker, room);
    }
}

/* Slowly, with changes before the cursor comes, tuples used again and timers. */
static void by_and_by(void **state) {
    (void)state;
    struct fixture *x = start(false, 0);
    open_all(x, HOSTS);
    run(x, HOSTS, 20000, 20);
    assert_true(x->pictures > 15);
    assert_true(x->early > 1000); /* or nothing was proven */
    assert_true(x->members > 15 * HOSTS / 2);
    assert_int_equal(x->missed, 0);
    flow_finish(x->tracker, 0);
    assert_false(x->picturing);
    stop(x);
}

/* Connections are evicted while they are still to be given. */
static void with_evictions(void **state) {
    (void)state;
    struct fixture *x = start(false, HOSTS * 3 / 4);
    open_all(x, HOSTS);
    run(x, HOSTS, 10000, 20);
    assert_true(flow_counters(x->tracker)->flows_evicted > 1000);
    assert_true(x->pictures > 8);
    stop(x);
}

/* One that takes longer than the period: the next ones are left out, and that is told. */
static void too_slow(void **state) {
    (void)state;
    struct fixture *x = start(false, 0);
    open_all(x, HOSTS);
    run(x, HOSTS, 10000, 2);
    assert_true(x->pictures >= 1 && x->pictures < 4);
    assert_true(x->missed >= 2);
    stop(x);
}

static void at_once(void **state) {
    (void)state;
    struct fixture *x = start(true, 0);
    open_all(x, HOSTS);
    for (unsigned n = 0; n < 5000; n++) {
        x->traffic.ms++;
        act(x, (uint32_t)random_below(&x->traffic.random, HOSTS));
        assert_false(x->picturing);
        assert_false(flow_picture_go_on(x->tracker, 100));
    }
    assert_int_equal(x->pictures, 5);
    stop(x);
}

/* While no packets come pictures go on, and say that they are quiet; after a long silence only the
 * last one before the next packet is made. */
static void in_silence(void **state) {
    (void)state;
    struct fixture *x = start(true, 0);
    open_all(x, 10);
    x->traffic.ms = 100 * 1000;
    act(x, 10);
    assert_int_equal(x->pictures, 100);
    assert_int_equal(x->quiet, 99);
    x->traffic.ms += UINT64_C(48) * 3600 * 1000;
    for (int witness = 0; witness < 3; witness++)
        act(x, 11 + (uint32_t)witness);
    /* half an hour after the last SYN was given up, which takes 131 s */
    assert_in_range(x->pictures, 100 + 1800, 100 + 131 + 1800 + 3);
    assert_int_equal(x->picture_ns,
                     SEGMENTS_EPOCH_NS + x->traffic.ms * BASE_NS_PER_MS - BASE_NS_PER_S);
    stop(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_and_by), cmocka_unit_test(with_evictions), cmocka_unit_test(too_slow),
        cmocka_unit_test(at_once),   cmocka_unit_test(in_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
