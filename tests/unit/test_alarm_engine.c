/*
 * The alarm engine: a life from raise to clear, flapping, doubt, rules, allow lists, baselines, and
 * the bounds of its memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "alarm_bench.h"

/* ---- a life ---- */

static void test_raised_updated_cleared(void **state) {
    struct bench *b = *state;
    begin(b);
    refuse(b, 7, 12);
    window(b);
    assert_int_equal(b->n, 1);
    const struct alarm *m = &b->told[0];
    assert_int_equal(m->kind, ALARM_CONN_REFUSED);
    assert_int_equal(m->status, ALARM_RAISED);
    assert_int_equal(m->seq, 1);
    assert_string_equal(m->service, "https");
    assert_int_equal(m->since_ns, START_S * BASE_NS_PER_S);
    assert_true(m->value == 12);
    assert_int_equal(m->flows, 10);
    for (int i = 0; i < 5; i++) { /* worse, but told once a minute at most */
        refuse(b, 7, 20);
        window(b);
    }
    assert_int_equal(b->n, 1);
    refuse(b, 7, 20);
    window(b);
    assert_int_equal(b->n, 2);
    assert_int_equal(b->told[1].status, ALARM_UPDATED);
    for (int i = 0; i < 5; i++)
        window(b);
    assert_int_equal(b->n, 2);
    window(b);
    assert_int_equal(b->n, 3);
    m = &b->told[2];
    assert_int_equal(m->status, ALARM_CLEARED);
    assert_int_equal(m->reason, ALARM_OVER);
    assert_true(m->peak == 20);
    assert_int_equal(m->duration_ns, 130 * BASE_NS_PER_S);
    assert_int_equal(m->id, b->told[0].id);
    assert_int_equal(alarm_counters(b->engine)->active, 0);
}

static size_t windows_until_cleared(struct bench *b) {
    size_t windows = 0, before = b->n;
    while (b->n == before || b->told[b->n - 1].status != ALARM_CLEARED) {
        assert_true(++windows < 400);
        window(b);
    }
    return windows;
}

static void test_flapping_doubles_the_hold_time(void **state) {
    struct bench *b = *state;
    begin(b);
    size_t expected[] = {6, 12, 24, 48};
    for (int i = 0; i < 4; i++) {
        refuse(b, 7, 12);
        window(b);
        assert_int_equal(b->told[b->n - 1].status, ALARM_RAISED);
        assert_int_equal(windows_until_cleared(b), expected[i]);
    }
    for (int i = 0; i < 70; i++) /* more than ten minutes of peace: forgotten */
        window(b);
    refuse(b, 7, 12);
    window(b);
    assert_int_equal(windows_until_cleared(b), 6);
}

static void test_in_between_neither_raises_nor_clears(void **state) {
    struct bench *b = *state;
    begin(b);
    refuse(b, 7, 3);
    serve(b, 8, 40);
    window(b);
    assert_int_equal(b->n, 0);
    refuse(b, 7, 12);
    window(b);
    for (int i = 0; i < 30; i++) {
        refuse(b, 7, 1);
        serve(b, 8, 40);
        window(b);
    }
    assert_int_equal(last_of(b, ALARM_CONN_REFUSED)->status, ALARM_UPDATED);
}

static void leak(struct bench *b, unsigned connections) {
    picture_begins(b);
    for (unsigned i = 0; i < connections; i++) {
        struct event_flow f = flow(b, 100 + i % 50, (uint16_t)(20000 + i), 443);
        member(b, &f, TCP_FIN_WAIT_2, TCP_CLOSE_WAIT, b->now_s - 90);
    }
    picture_ends(b);
}

static void test_severity_rises_at_once_and_falls_slowly(void **state) {
    struct bench *b = *state;
    begin(b);
    leak(b, 25);
    const struct alarm *m = last_of(b, ALARM_CLOSE_WAIT_LEAK);
    assert_non_null(m);
    assert_int_equal(m->severity, ALARM_WARNING);
    leak(b, 210);
    m = last_of(b, ALARM_CLOSE_WAIT_LEAK);
    assert_int_equal(m->severity, ALARM_IS_CRITICAL);
    assert_int_equal(m->status, ALARM_UPDATED);
    assert_true(m->forecast_ns > m->ts_ns);
    assert_int_equal(m->tops, 10);
    for (int i = 0; i < 6; i++)
        leak(b, 30);
    assert_int_equal(last_of(b, ALARM_CLOSE_WAIT_LEAK)->severity, ALARM_WARNING);
}

/* ---- the tap ---- */

static void test_doubted_when_the_tap_loses(void **state) {
    struct bench *b = *state;
    begin(b);
    b->sum.gaps += 30; /* of 500 segments */
    leak(b, 25);
    const struct alarm *m = last_of(b, ALARM_CLOSE_WAIT_LEAK);
    assert_true(m->doubtful);
    assert_true(m->gap_ratio > 0.05 && m->gap_ratio < 0.06);
    assert_non_null(last_of(b, ALARM_CAPTURE_DROP));
    refuse(b, 7, 12); /* a RST that was seen cannot be faked by loss */
    leak(b, 25);
    assert_false(last_of(b, ALARM_CONN_REFUSED)->doubtful);
    for (int i = 0; i < 12; i++)
        leak(b, 25);
    assert_false(last_of(b, ALARM_CLOSE_WAIT_LEAK)->doubtful);
}

static void test_silence(void **state) {
    struct bench *b = *state;
    begin(b);
    for (int i = 0; i < 5; i++)
        window(b);
    for (int i = 0; i < 3; i++) {
        assert_null(last_of(b, ALARM_CAPTURE_SILENT));
        b->sum.packets -= 1000;
        b->sum.passed[0] -= 1000;
        window(b);
    }
    assert_int_equal(last_of(b, ALARM_CAPTURE_SILENT)->status, ALARM_RAISED);
    window(b);
    assert_int_equal(last_of(b, ALARM_CAPTURE_SILENT)->status, ALARM_CLEARED);
}

static void test_a_torn_picture_clears_nothing(void **state) {
    struct bench *b = *state;
    begin(b);
    leak(b, 25);
    b->sum.torn = true;
    for (int i = 0; i < 20; i++)
        window(b);
    b->sum.torn = false;
    assert_int_equal(last_of(b, ALARM_CLOSE_WAIT_LEAK)->status, ALARM_RAISED);
}

/* ---- rules ---- */

static void test_service_beats_client_beats_all(void **state) {
    struct bench *b = *state;
    struct base_addr net = {.family = 4, .octet = {7, 0, 0, 0}};
    const struct alarm_rule_for clients = {.clients = &net, .prefix_length = 8};
    const struct alarm_rule_for service = {.service = "https"};
    assert_int_equal(
        alarm_rules_set(b->rules, NULL, ALARM_CONNECT_TIMEOUT, ALARM_RAISE, 9, "f:all"), 0);
    assert_int_equal(
        alarm_rules_set(b->rules, &clients, ALARM_CONNECT_TIMEOUT, ALARM_RAISE, 2, "f:clients"), 0);
    begin(b);
    serve(b, 9, 3); /* others are answered */
    picture_begins(b);
    for (unsigned i = 0; i < 4; i++) { /* 25 s without an answer */
        struct event_flow one = flow(b, 7, (uint16_t)(30000 + i), 443),
                          other = flow(b, 8, (uint16_t)(30000 + i), 443);
        one.first_ns = other.first_ns = (b->now_s - 25) * BASE_NS_PER_S;
        member(b, &one, TCP_SYN_SENT, TCP_CLOSED, b->now_s - 25);
        member(b, &other, TCP_SYN_SENT, TCP_CLOSED, b->now_s - 25);
    }
    picture_ends(b);
    const struct alarm *m = last_of(b, ALARM_CONNECT_TIMEOUT);
    assert_non_null(m);
    assert_string_equal(m->rule, "f:clients");
    assert_int_equal(m->client.octet[0], 7);
    size_t raised = 0;
    for (size_t i = 0; i < b->n; i++)
        raised += b->told[i].kind == ALARM_CONNECT_TIMEOUT;
    assert_int_equal(raised, 1);
    assert_int_equal(
        alarm_rules_set(b->rules, &service, ALARM_CONN_REFUSED, ALARM_RAISE, 50, "f:service"), 0);
    assert_int_equal(
        alarm_rules_set(b->rules, &service, ALARM_CONN_REFUSED, ALARM_RATIO, 100, "f:service"), 0);
    refuse(b, 7, 40);
    window(b);
    assert_null(last_of(b, ALARM_CONN_REFUSED));
    refuse(b, 7, 60);
    window(b);
    assert_string_equal(last_of(b, ALARM_CONN_REFUSED)->rule, "f:service");
}

static void test_switched_off_clears(void **state) {
    struct bench *b = *state;
    begin(b);
    refuse(b, 7, 12);
    window(b);
    struct alarm_rules *off = alarm_rules_new();
    assert_int_equal(alarm_rules_set(off, NULL, ALARM_CONN_REFUSED, ALARM_ENABLED, 0, "f:off"), 0);
    alarm_use_rules(b->engine, off);
    refuse(b, 7, 12);
    window(b);
    assert_int_equal(b->n, 2);
    assert_int_equal(b->told[1].status, ALARM_CLEARED);
    assert_int_equal(b->told[1].reason, ALARM_RULE_OFF);
    alarm_use_rules(b->engine, b->rules);
    alarm_rules_free(off);
}

static void test_the_allowed_raise_nothing(void **state) {
    struct bench *b = *state;
    struct base_addr net = {.family = 4, .octet = {7, 0, 0, 0}};
    assert_int_equal(alarm_rules_allow(b->rules, ALARM_SCANNERS, &net, 32), 0);
    begin(b);
    for (unsigned i = 0; i < 60; i++) {
        for (uint32_t client = 7; client <= 8; client++) {
            struct event_flow f = flow(b, client, 40000, (uint16_t)(1000 + i));
            step(b, &f, closed, asking, TCP_CAUSE_SYN, EVENT_CLIENT);
            step(b, &f, asking, closed, TCP_CAUSE_RST, EVENT_SERVER);
        }
    }
    refuse(b, 7, 40);
    window(b);
    assert_int_equal(b->n, 1);
    assert_int_equal(b->told[0].kind, ALARM_PORT_SCAN);
    assert_int_equal(b->told[0].client.octet[0], 8);
    assert_true(b->told[0].value == 60);
}

/* ---- memory ---- */

static void test_a_flood_of_addresses_is_bounded(void **state) {
    struct bench *b = *state;
    begin(b);
    serve(b, 7, 20);
    window(b);
    for (uint32_t i = 0; i < 1000000; i++) {
        struct event_flow f = flow(b, 0x01000000u + i * 7919u, (uint16_t)i, 443);
        half_open(b, &f);
        if (i % 4 == 0) /* some are refused, some go on to other ports */
            step(b, &f, asking, closed, TCP_CAUSE_RST, EVENT_SERVER);
        f.server_port = (uint16_t)i;
        step(b, &f, closed, asking, TCP_CAUSE_SYN, EVENT_CLIENT);
        step(b, &f, asking, closed, TCP_CAUSE_RST, EVENT_SERVER);
        if (i % 250000 == 249999)
            window(b);
    }
    assert_true(alarm_memory(b->engine) < 80u << 20);
    assert_true(alarm_counters(b->engine)->active < 4096);
}

/* ---- baselines ---- */

struct texts {
    char *key[64], *json[64];
    size_t n;
};

static void keep_text(void *context, const char *key, const char *json) {
    struct texts *t = context;
    assert_true(t->n < 64);
    t->key[t->n] = strdup(key);
    t->json[t->n++] = strdup(json);
}

static void clients_here(struct bench *b, unsigned n) {
    picture_begins(b);
    for (unsigned i = 0; i < n; i++) {
        struct event_flow f = flow(b, 1000 + i, 40000, 443);
        f.first_ns = START_S * BASE_NS_PER_S;
        member(b, &f, TCP_ESTABLISHED, TCP_ESTABLISHED, START_S);
    }
    picture_ends(b);
}

static void test_baselines_are_learned_and_survive(void **state) {
    struct bench *b = *state;
    begin(b);
    for (unsigned i = 0; i < 23 * 360; i++)
        clients_here(b, 30 + i % 3);
    for (unsigned i = 0; i < 5; i++) /* no day of history yet */
        clients_here(b, 3);
    assert_null(last_of(b, ALARM_CLIENT_DROP));
    for (unsigned i = 0; i < 3 * 360; i++)
        clients_here(b, 30 + i % 3);
    assert_int_equal(b->n, 0);

    struct texts t = {.n = 0};
    alarm_each_baseline(b->engine, false, keep_text, &t);
    assert_true(t.n > 0);
    alarm_free(b->engine);
    uint64_t now_s = b->now_s;
    begin(b);
    b->now_s = now_s;
    for (size_t i = 0; i < t.n; i++) {
        assert_true(alarm_take_baseline(b->engine, t.key[i], t.json[i]));
        assert_false(
            alarm_take_baseline(b->engine, t.key[i], "{\"since\":1,\"hours\":{\"999\":[1]}}"));
        free(t.key[i]);
        free(t.json[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_null(last_of(b, ALARM_CLIENT_DROP));
        clients_here(b, 10);
    }
    const struct alarm *m = last_of(b, ALARM_CLIENT_DROP);
    assert_non_null(m);
    assert_true(m->baseline >= 30 && m->baseline <= 32);
    for (unsigned i = 0; i < 6; i++)
        clients_here(b, 31);
    assert_int_equal(last_of(b, ALARM_CLIENT_DROP)->status, ALARM_CLEARED);
}

static void test_history_is_as_long_as_configured(void **state) {
    struct bench *b = *state;
    b->history_hours = 4;
    begin(b);
    for (unsigned i = 0; i < 4 * 360 - 6; i++)
        clients_here(b, 30);
    for (unsigned i = 0; i < 5; i++)
        clients_here(b, 3);
    assert_null(last_of(b, ALARM_CLIENT_DROP));
    for (unsigned i = 0; i < 360; i++)
        clients_here(b, 30);
    for (unsigned i = 0; i < 4; i++)
        clients_here(b, 3);
    assert_non_null(last_of(b, ALARM_CLIENT_DROP));
}

static void test_a_restored_alarm_that_is_over(void **state) {
    struct bench *b = *state;
    begin(b);
    refuse(b, 7, 12);
    window(b);
    struct alarm was = b->told[0];
    alarm_free(b->engine);
    b->n = 0;
    uint64_t now_s = b->now_s;
    begin(b);
    b->now_s = now_s;
    was.service = "https";
    alarm_restore(b->engine, &was);
    assert_int_equal(alarm_counters(b->engine)->active, 1);
    for (int i = 0; i < 6; i++)
        window(b);
    assert_int_equal(b->n, 1);
    assert_int_equal(b->told[0].status, ALARM_CLEARED);
    assert_int_equal(b->told[0].reason, ALARM_RESTART);
    assert_int_equal(b->told[0].id, was.id);
}

/* An earlier run's, known only after its successor had raised the same anew. */
static void test_a_restored_alarm_that_was_replaced(void **state) {
    struct bench *b = *state;
    begin(b);
    refuse(b, 7, 12);
    window(b);
    struct alarm was = b->told[0];
    was.id++;
    alarm_restore(b->engine, &was);
    assert_int_equal(b->n, 2);
    assert_int_equal(b->told[1].status, ALARM_CLEARED);
    assert_int_equal(b->told[1].id, was.id);
    assert_int_equal(b->told[1].reason, ALARM_RESTART);
    assert_int_equal(alarm_counters(b->engine)->active, 1);
    alarm_restore(b->engine, &b->told[0]); /* the same: nothing to say */
    assert_int_equal(b->n, 2);
}

/* Where all pairs are connected, newcomers are refused, and counted; once they go, there is room.
 */
static void test_a_full_table_of_pairs(void **state) {
    enum { PAIRS = 65536, MORE = 5000, NEWCOMERS = 1 << 20 };
    struct bench *b = *state;
    begin(b);
    for (unsigned w = 1; w <= 2; w++) {
        picture_begins(b);
        for (unsigned i = 0; i < PAIRS + MORE; i++) {
            struct event_flow f = flow(b, i, 40000, 443);
            member(b, &f, TCP_ESTABLISHED, TCP_ESTABLISHED, START_S);
        }
        picture_ends(b);
        assert_int_equal(alarm_counters(b->engine)->pairs_full, w * MORE);
    }
    picture_begins(b);
    for (unsigned i = 0; i < MORE; i++) {
        struct event_flow f = flow(b, NEWCOMERS + i, 40000, 443);
        member(b, &f, TCP_ESTABLISHED, TCP_ESTABLISHED, START_S);
    }
    picture_ends(b);
    assert_int_equal(alarm_counters(b->engine)->pairs_full, 2 * MORE);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_raised_updated_cleared),
        CASE(test_flapping_doubles_the_hold_time),
        CASE(test_in_between_neither_raises_nor_clears),
        CASE(test_severity_rises_at_once_and_falls_slowly),
        CASE(test_doubted_when_the_tap_loses),
        CASE(test_silence),
        CASE(test_a_torn_picture_clears_nothing),
        CASE(test_service_beats_client_beats_all),
        CASE(test_switched_off_clears),
        CASE(test_the_allowed_raise_nothing),
        CASE(test_a_flood_of_addresses_is_bounded),
        CASE(test_a_full_table_of_pairs),
        CASE(test_baselines_are_learned_and_survive),
        CASE(test_history_is_as_long_as_configured),
        CASE(test_a_restored_alarm_that_is_over),
        CASE(test_a_restored_alarm_that_was_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
