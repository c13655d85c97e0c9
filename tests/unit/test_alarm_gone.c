/*
 * Alarms about those who go: client_drop and mass_close. Who goes and comes again, and what was
 * open when.
 */
#include "alarm_bench.h"

static const uint8_t over[2] = {TCP_FIN_WAIT_1, TCP_ESTABLISHED};

/* What happens at a time of its own, in seconds before the window's end. */
static void move_at(struct bench *b, const struct event_flow *f, double before_s,
                    const uint8_t was[2], const uint8_t now[2], enum tcp_cause cause) {
    struct event e = {.ts_ns = b->now_s * BASE_NS_PER_S - (uint64_t)(before_s * 1e9),
                      .flow = *f,
                      .type = EVENT_TRANSITION};
    memcpy(e.transition.was, was, 2);
    memcpy(e.transition.state, now, 2);
    e.transition.cause = (uint8_t)cause;
    e.transition.by = EVENT_CLIENT;
    alarm_event(b->engine, &e);
}

/* ---- client_drop ---- */

static void connected(struct bench *b, unsigned n) {
    picture_begins(b);
    for (unsigned i = 0; i < n; i++) {
        struct event_flow f = flow(b, 1000 + i, 40000, 443);
        f.first_ns = START_S * BASE_NS_PER_S;
        member(b, &f, TCP_ESTABLISHED, TCP_ESTABLISHED, START_S);
    }
    picture_ends(b);
}

static void learn(struct bench *b) {
    b->history_hours = 1;
    begin(b);
    for (unsigned i = 0; i < 2 * 360; i++)
        connected(b, 30);
    assert_int_equal(b->n, 0);
}

/* A service that aborts all it is asked: each client comes again, and is sent away again. */
static void test_who_is_turned_away_is_not_gone(void **state) {
    struct bench *b = *state;
    learn(b);
    for (unsigned w = 0; w < 6; w++) {
        for (unsigned i = 0; i < 30; i++) {
            struct event_flow f = flow(b, 1000 + i, (uint16_t)(41000 + w), 443);
            half_open(b, &f);
            step(b, &f, answered, open_now, TCP_CAUSE_ACK, EVENT_CLIENT);
            step(b, &f, open_now, closed, TCP_CAUSE_RST, EVENT_SERVER);
        }
        connected(b, 4);
    }
    assert_null(last_of(b, ALARM_CLIENT_DROP));
    for (unsigned w = 0; w < 3; w++) /* now they give up */
        connected(b, 4);
    assert_non_null(last_of(b, ALARM_CLIENT_DROP));
    assert_true(last_of(b, ALARM_CLIENT_DROP)->value == 4);
}

/* ---- mass_close ---- */

enum { LONG_LIVED = 40, QUEUED = 25 };

static struct event_flow long_lived(const struct bench *b, unsigned i) {
    struct event_flow f = flow(b, 2000 + i, 42000, 443);
    f.first_ns = (START_S - 100) * BASE_NS_PER_S;
    return f;
}

static void with_long_lived(struct bench *b) {
    begin(b);
    for (unsigned w = 0; w < 3; w++) {
        picture_begins(b);
        for (unsigned i = 0; i < LONG_LIVED; i++) {
            struct event_flow f = long_lived(b, i);
            member(b, &f, TCP_ESTABLISHED, TCP_ESTABLISHED, START_S - 100);
        }
        picture_ends(b);
    }
}

static void test_those_that_were_open_close_together(void **state) {
    struct bench *b = *state;
    with_long_lived(b);
    for (unsigned i = 0; i < QUEUED; i++) {
        struct event_flow f = long_lived(b, i);
        move_at(b, &f, 5 - i * 0.01, open_now, over, TCP_CAUSE_FIN);
    }
    window(b);
    const struct alarm *m = last_of(b, ALARM_MASS_CLOSE);
    assert_non_null(m);
    assert_true(m->detail.count == QUEUED && m->detail.total == LONG_LIVED);
}

/* A full backlog: their SYNs waited for six seconds, and when they were let in they were soon done.
 * They were not open when the second began. */
static void test_what_waited_in_a_backlog_was_not_open(void **state) {
    struct bench *b = *state;
    struct event_flow f[QUEUED];
    with_long_lived(b);
    for (unsigned i = 0; i < QUEUED; i++) {
        f[i] = flow(b, 3000 + i, 43000, 443);
        f[i].first_ns = (b->now_s - 9) * BASE_NS_PER_S;
        move_at(b, &f[i], 9, closed, asking, TCP_CAUSE_SYN);
    }
    for (unsigned i = 0; i < QUEUED; i++) {
        move_at(b, &f[i], 2.8, asking, answered, TCP_CAUSE_SYN_ACK);
        move_at(b, &f[i], 2.7, answered, open_now, TCP_CAUSE_ACK);
    }
    for (unsigned i = 0; i < QUEUED; i++)
        move_at(b, &f[i], 1.5 - i * 0.01, open_now, over, TCP_CAUSE_FIN);
    window(b);
    assert_null(last_of(b, ALARM_MASS_CLOSE));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_who_is_turned_away_is_not_gone),
        TEST(test_those_that_were_open_close_together),
        TEST(test_what_waited_in_a_backlog_was_not_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
