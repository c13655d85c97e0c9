/*
 * Kinds of alarms that no recording has, and the edges of others: levels, words, what clears them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "alarm_bench.h"

static void expect(const struct bench *b, enum alarm_kind kind, enum alarm_status status,
                   enum alarm_severity severity) {
    const struct alarm *m = last_of(b, kind);
    assert_non_null(m);
    assert_int_equal(m->status, status);
    assert_int_equal(m->severity, severity);
}

static void windows(struct bench *b, unsigned n) {
    while (n-- > 0)
        window(b);
}

/* ---- idle_long: no limit by default; by service, with traffic as its end ---- */

static void silent_since(struct bench *b, uint16_t port, uint64_t since_s) {
    struct event_flow f = flow(b, 1, 40000, port);
    picture_begins(b);
    member(b, &f, TCP_ESTABLISHED, TCP_ESTABLISHED, since_s);
    picture_ends(b);
}

static void test_idle_long(void **state) {
    struct bench *b = *state;
    struct alarm_rule_for https = {.service = "https"};
    begin(b);
    silent_since(b, 443, b->now_s - 100000);
    assert_null(last_of(b, ALARM_IDLE_LONG));
    assert_int_equal(alarm_rules_set(b->rules, &https, ALARM_IDLE_LONG, ALARM_AGE, 300, "rules"),
                     0);
    alarm_use_rules(b->engine, b->rules);
    silent_since(b, 443, b->now_s - 299);
    silent_since(b, 22, b->now_s - 100000); /* another service */
    assert_null(last_of(b, ALARM_IDLE_LONG));
    silent_since(b, 443, b->now_s - 301);
    expect(b, ALARM_IDLE_LONG, ALARM_RAISED, ALARM_WARNING);
    assert_string_equal(last_of(b, ALARM_IDLE_LONG)->service, "https");
    assert_true(last_of(b, ALARM_IDLE_LONG)->since_ns <= (b->now_s - WINDOW_S) * BASE_NS_PER_S);
    assert_string_equal(last_of(b, ALARM_IDLE_LONG)->rule, "rules");
    silent_since(b, 443, b->now_s - 5); /* it was used */
    expect(b, ALARM_IDLE_LONG, ALARM_CLEARED, ALARM_WARNING);
}

/* ---- sink_lag: 25 % or 10 s, critical 75 %, quiet below 5 % ---- */

static void store_is(struct bench *b, double fill, double lag_s, unsigned n) {
    alarm_stats(b->engine, &(struct alarm_stats){.sink_fill = fill, .sink_lag_s = lag_s});
    windows(b, n);
}

static void test_sink_lag(void **state) {
    struct bench *b = *state;
    begin(b);
    store_is(b, 0.24, 9.9, 3);
    assert_null(last_of(b, ALARM_SINK_LAG));
    store_is(b, 0.26, 1, 1);
    expect(b, ALARM_SINK_LAG, ALARM_RAISED, ALARM_WARNING);
    store_is(b, 0.8, 1, 1);
    expect(b, ALARM_SINK_LAG, ALARM_UPDATED, ALARM_IS_CRITICAL);
    store_is(b, 0.06, 0, 20); /* in between */
    assert_int_not_equal(last_of(b, ALARM_SINK_LAG)->status, ALARM_CLEARED);
    store_is(b, 0.04, 0, 5);
    assert_int_not_equal(last_of(b, ALARM_SINK_LAG)->status, ALARM_CLEARED);
    store_is(b, 0.04, 0, 1);
    expect(b, ALARM_SINK_LAG, ALARM_CLEARED, ALARM_WARNING);
}

static void test_sink_lag_by_age(void **state) {
    struct bench *b = *state;
    begin(b);
    store_is(b, 0.001, 10.5, 1);
    expect(b, ALARM_SINK_LAG, ALARM_RAISED, ALARM_WARNING);
    store_is(b, 0.001, 30, 12);
    assert_int_not_equal(last_of(b, ALARM_SINK_LAG)->status, ALARM_CLEARED);
    store_is(b, 0, 0, 6);
    expect(b, ALARM_SINK_LAG, ALARM_CLEARED, ALARM_WARNING);
}

/* ---- zero_window_stall: three connections closed for a second in the window ---- */

static void stall_ends(struct bench *b, uint16_t port, double after_s) {
    struct event e = {.ts_ns = (uint64_t)(((double)b->now_s - 9 + after_s) * 1e9),
                      .flow = flow(b, 7, port, 443),
                      .type = EVENT_SIGNAL};
    e.signal.kind = EVENT_ZERO_ENDED;
    e.signal.by = EVENT_CLIENT;
    e.signal.value_ns = 1100 * BASE_NS_PER_MS;
    alarm_event(b->engine, &e);
}

static void test_one_slow_reader_is_one_connection(void **state) {
    struct bench *b = *state;
    begin(b);
    for (int i = 0; i < 8; i++)
        stall_ends(b, 40000, i);
    window(b);
    assert_null(last_of(b, ALARM_ZERO_WINDOW_STALL));
    for (uint16_t i = 0; i < 3; i++) {
        stall_ends(b, (uint16_t)(40000 + i), 2 * i);
        stall_ends(b, (uint16_t)(40000 + i), 2 * i + 1);
    }
    window(b);
    expect(b, ALARM_ZERO_WINDOW_STALL, ALARM_RAISED, ALARM_WARNING);
    const struct alarm *m = last_of(b, ALARM_ZERO_WINDOW_STALL);
    assert_true(m->value == 3);
    assert_int_equal(m->flows, 4); /* each once; the one of the window before is another life */
}

/* ---- table_pressure: 80 %, an eviction is critical, quiet below 60 % ---- */

static void table_is(struct bench *b, uint64_t flows, uint64_t evicted, unsigned n) {
    for (; n > 0; n--, evicted = 0) {
        b->sum.flows = flows;
        b->sum.evicted += evicted;
        window(b);
    }
}

static void test_table_pressure(void **state) {
    struct bench *b = *state;
    b->max_flows = 1000;
    begin(b);
    table_is(b, 800, 0, 3);
    assert_null(last_of(b, ALARM_TABLE_PRESSURE));
    table_is(b, 801, 0, 1);
    expect(b, ALARM_TABLE_PRESSURE, ALARM_RAISED, ALARM_WARNING);
    table_is(b, 990, 1, 1);
    expect(b, ALARM_TABLE_PRESSURE, ALARM_UPDATED, ALARM_IS_CRITICAL);
    table_is(b, 610, 0, 20);
    assert_int_not_equal(last_of(b, ALARM_TABLE_PRESSURE)->status, ALARM_CLEARED);
    table_is(b, 590, 0, 6);
    expect(b, ALARM_TABLE_PRESSURE, ALARM_CLEARED, ALARM_WARNING);
}

static void test_an_eviction_alone_is_critical(void **state) {
    struct bench *b = *state;
    b->max_flows = 1000;
    begin(b);
    table_is(b, 10, 0, 2);
    table_is(b, 10, 1, 1);
    expect(b, ALARM_TABLE_PRESSURE, ALARM_RAISED, ALARM_IS_CRITICAL);
}

/* ---- service_unreachable: also when clients give up before the next picture ---- */

static void try_in_vain(struct bench *b, uint32_t client, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        struct event_flow f = flow(b, client, (uint16_t)(41000 + b->now_s % 1000 + i), 443);
        f.first_ns -= 4 * BASE_NS_PER_S;
        step(b, &f, closed, asking, TCP_CAUSE_SYN, EVENT_CLIENT);
        step(b, &f, asking, closed, TCP_CAUSE_TIMEOUT_SYN_SENT, EVENT_NOBODY);
    }
}

static void test_attempts_that_were_given_up_count(void **state) {
    struct bench *b = *state;
    begin(b);
    window(b);
    try_in_vain(b, 1, 3);
    window(b);
    try_in_vain(b, 2, 3);
    window(b);
    expect(b, ALARM_SERVICE_UNREACHABLE, ALARM_RAISED, ALARM_WARNING);
    serve(b, 1, 1);
    windows(b, 3);
    expect(b, ALARM_SERVICE_UNREACHABLE, ALARM_CLEARED, ALARM_WARNING);
}

/* A flood's victim answers some of what comes: it is not unreachable. */
static void test_a_syn_ack_is_an_answer(void **state) {
    struct bench *b = *state;
    begin(b);
    window(b);
    for (int i = 0; i < 5; i++) {
        struct event_flow f = flow(b, 3, (uint16_t)(42000 + i), 443);
        try_in_vain(b, 1, 3);
        try_in_vain(b, 2, 3);
        half_open(b, &f);
        window(b);
    }
    assert_null(last_of(b, ALARM_SERVICE_UNREACHABLE));
}

/* ---- client_silent: who has a name of his own needs no day of habits ---- */

static bool is_the_first(void *context, const struct base_addr *client) {
    (void)context;
    return client->octet[0] == 1;
}

static void come_and_go(struct bench *b, unsigned n, bool there) {
    for (unsigned i = 0; i < n; i++) {
        for (uint32_t client = 1; client <= 2 && there; client++)
            serve(b, client, 1);
        window(b);
    }
}

static void test_a_named_client_is_missed(void **state) {
    enum { HOUR = 3600 / WINDOW_S, TEN_MINUTES = 600 / WINDOW_S };
    struct bench *b = *state;
    b->named = is_the_first;
    begin(b);
    come_and_go(b, 3, true); /* too short a time to be known */
    come_and_go(b, 2 * TEN_MINUTES, false);
    assert_null(last_of(b, ALARM_CLIENT_SILENT));
    come_and_go(b, HOUR, true);
    come_and_go(b, TEN_MINUTES * 6, false); /* thrice its longest absence, which was above */
    assert_null(last_of(b, ALARM_CLIENT_SILENT));
    come_and_go(b, 6, false);
    const struct alarm *a = last_of(b, ALARM_CLIENT_SILENT);
    assert_non_null(a);
    assert_int_equal(a->status, ALARM_RAISED);
    assert_int_equal(a->client.octet[0], 1);
    assert_int_equal(b->n, 1); /* the other one has no name */
    come_and_go(b, 1, true);
    assert_int_equal(last_of(b, ALARM_CLIENT_SILENT)->status, ALARM_CLEARED);
}

/* ---- time_wait_ports: a small range at a high rate ---- */

/* 60 connections a second out of 1,500 ports: from the 25th second on each comes again. In the
 * minute before that most did not: it must not take another minute to tell. */
static void test_a_small_range_is_used_up_soon(void **state) {
    enum { RATE = 60, RANGE = 1500, DUE_S = RANGE / RATE + 20 };
    struct bench *b = *state;
    unsigned opened = 0;
    begin(b);
    window(b);
    for (unsigned w = 0; w < DUE_S / WINDOW_S; w++) {
        for (unsigned i = 0; i < RATE * WINDOW_S; i++, opened++) {
            struct event_flow f = flow(b, 9, (uint16_t)(40000 + opened * 7 % RANGE), 443);
            half_open(b, &f);
            step(b, &f, answered, open_now, TCP_CAUSE_ACK, EVENT_CLIENT);
        }
        window(b);
    }
    expect(b, ALARM_TIME_WAIT_PORTS, ALARM_RAISED, ALARM_WARNING);
}

/* Ports of the whole range, by chance: some come again, and that is no trouble. */
static void test_ports_by_chance(void **state) {
    struct bench *b = *state;
    uint32_t random = 1;
    begin(b);
    for (unsigned w = 0; w < 12; w++) {
        for (unsigned i = 0; i < 600; i++) {
            random = random * 1664525 + 1013904223;
            struct event_flow f = flow(b, 9, (uint16_t)(32768 + (random >> 8) % 14116 * 2), 443);
            half_open(b, &f);
            step(b, &f, answered, open_now, TCP_CAUSE_ACK, EVENT_CLIENT);
        }
        window(b);
    }
    assert_null(last_of(b, ALARM_TIME_WAIT_PORTS));
}

/* ---- handshake_latency: of a service that few call ---- */

static void shake_hands(struct bench *b, unsigned n, uint64_t rtt_ms) {
    for (unsigned i = 0; i < n; i++) {
        struct event_flow f = flow(b, 20 + i, (uint16_t)(30000 + i), 443);
        struct event e = {.ts_ns = (b->now_s - 9 + i) * BASE_NS_PER_S,
                          .flow = f,
                          .type = EVENT_TRANSITION,
                          .transition = {.was = {TCP_SYN_SENT, TCP_CLOSED},
                                         .state = {TCP_ESTABLISHED, TCP_SYN_RECEIVED},
                                         .cause = TCP_CAUSE_SYN_ACK,
                                         .by = EVENT_SERVER,
                                         .rtt_ns = rtt_ms * BASE_NS_PER_MS}};
        alarm_event(b->engine, &e);
        e.ts_ns += BASE_NS_PER_MS;
        e.transition = (struct event_transition){.was = {TCP_ESTABLISHED, TCP_SYN_RECEIVED},
                                                 .state = {TCP_ESTABLISHED, TCP_ESTABLISHED},
                                                 .cause = TCP_CAUSE_ACK};
        alarm_event(b->engine, &e);
    }
    window(b);
}

/* Seven handshakes a window: 30 samples, the least, lie within the last minute. */
static void test_a_service_that_few_call_has_a_latency(void **state) {
    struct bench *b = *state;
    b->history_hours = 2;
    begin(b);
    for (unsigned w = 0; w < 3 * 360; w++)
        shake_hands(b, 7, 2);
    assert_int_equal(b->n, 0);
    shake_hands(b, 7, 60);
    shake_hands(b, 7, 60);
    assert_null(last_of(b, ALARM_HANDSHAKE_LATENCY));
    shake_hands(b, 7, 60);
    expect(b, ALARM_HANDSHAKE_LATENCY, ALARM_RAISED, ALARM_WARNING);
    for (unsigned w = 0; w < 6; w++)
        shake_hands(b, 7, 2);
    expect(b, ALARM_HANDSHAKE_LATENCY, ALARM_CLEARED, ALARM_WARNING);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_idle_long),
        TEST(test_sink_lag),
        TEST(test_sink_lag_by_age),
        TEST(test_one_slow_reader_is_one_connection),
        TEST(test_table_pressure),
        TEST(test_an_eviction_alone_is_critical),
        TEST(test_attempts_that_were_given_up_count),
        TEST(test_a_syn_ack_is_an_answer),
        TEST(test_a_named_client_is_missed),
        TEST(test_a_small_range_is_used_up_soon),
        TEST(test_ports_by_chance),
        TEST(test_a_service_that_few_call_has_a_latency),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
