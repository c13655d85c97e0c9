/*
 * Closes that the tap misses: half-closed connections that fall silent are closed where losses
 * explain them, and stay where they do not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/flow_segments.h"

enum { CLIENT = 1, SERVER = 2, GOOD = 443, LEAKY = 8080, FINS = SEGMENT_FIN | SEGMENT_ACK };

static struct segments_seen seen;

static struct flow_tracker *tracker(void) {
    const struct flow_config config = {.timers = flow_timers_default(), .max_flows = 10000};
    memset(&seen, 0, sizeof seen);
    struct flow_tracker *t = flow_new(&config, segments_sink, &seen);
    assert_non_null(t);
    return t;
}

static void client(struct flow_tracker *t, uint64_t ms, uint16_t port, uint16_t service,
                   uint8_t flags, uint32_t seq, uint32_t ack) {
    segments_feed(t, ms, segments_make(CLIENT, port, SERVER, service, flags, seq, ack));
}

static void server(struct flow_tracker *t, uint64_t ms, uint16_t port, uint16_t service,
                   uint8_t flags, uint32_t seq, uint32_t ack) {
    segments_feed(t, ms, segments_make(SERVER, service, CLIENT, port, flags, seq, ack));
}

/* Opens, asks and is answered; with `loses` the tap has missed the first half of the answer. Then
 * the client closes. */
static void half_close(struct flow_tracker *t, uint64_t ms, uint16_t port, uint16_t service,
                       bool loses) {
    client(t, ms, port, service, SEGMENT_SYN, 1000, 0);
    server(t, ms, port, service, SEGMENT_SYN | SEGMENT_ACK, 5000, 1001);
    client(t, ms, port, service, SEGMENT_ACK, 1001, 5001);
    struct segment data = segments_make(SERVER, service, CLIENT, port, SEGMENT_ACK, 5001, 1001);
    data.payload = 100;
    if (!loses)
        segments_feed(t, ms, data);
    data.seq = 5101;
    segments_feed(t, ms, data);
    client(t, ms, port, service, SEGMENT_ACK, 1001, 5201);
    client(t, ms + 1, port, service, FINS, 1001, 5201);
    server(t, ms + 1, port, service, SEGMENT_ACK, 5201, 1002);
}

static void whole_close(struct flow_tracker *t, uint64_t ms, uint16_t port, uint16_t service,
                        bool loses) {
    half_close(t, ms, port, service, loses);
    server(t, ms + 2, port, service, FINS, 5201, 1002);
    client(t, ms + 2, port, service, SEGMENT_ACK, 1002, 5202);
}

/* What the sink hears from now on of the only connection that is still changing. */
static void silence(struct flow_tracker *t, uint64_t until_ms) {
    seen.n = 0;
    flow_advance(t, SEGMENTS_EPOCH_NS + until_ms * BASE_NS_PER_MS);
}

/* Every second connection of a service misses a segment: a silent half-closed one is soon taken for
 * closed. */
static void losses_explain_it(void **state) {
    (void)state;
    struct flow_tracker *t = tracker();
    for (uint16_t i = 0; i < 60; i++)
        whole_close(t, i * 10u, 10000 + i, GOOD, i % 2 == 0);
    half_close(t, 1000, 20000, GOOD, false);
    silence(t, 30000);
    assert_int_equal(seen.n, 2);
    const struct event *fin = &seen.event[0], *ack = &seen.event[1];
    assert_int_equal(fin->type, EVENT_TRANSITION);
    assert_int_equal(fin->transition.cause, TCP_CAUSE_FIN);
    assert_int_equal(fin->transition.state[0], TCP_TIME_WAIT);
    assert_int_equal(fin->transition.state[1], TCP_LAST_ACK);
    assert_int_equal(fin->transition.inferred, TCP_INFERRED_GAP);
    assert_int_equal(fin->ts_ns, SEGMENTS_EPOCH_NS + 11001 * BASE_NS_PER_MS);
    assert_int_equal(ack->transition.state[1], TCP_CLOSED);
    flow_free(t);
}

/* The same connections, but the tap has missed nothing. */
static void nothing_is_missed(void **state) {
    (void)state;
    struct flow_tracker *t = tracker();
    for (uint16_t i = 0; i < 60; i++)
        whole_close(t, i * 10u, 10000 + i, GOOD, false);
    half_close(t, 1000, 20000, GOOD, false);
    silence(t, 30000);
    assert_int_equal(seen.n, 0);
    flow_free(t);
}

/* At the same tap a service that does not close: its connections stay in CLOSE_WAIT. */
static void a_leak_is_seen(void **state) {
    (void)state;
    struct flow_tracker *t = tracker();
    for (uint16_t i = 0; i < 60; i++) {
        whole_close(t, i * 10u, 10000 + i, GOOD, i % 2 == 0);
        half_close(t, i * 10u, 20000 + i, LEAKY, i % 2 == 0);
    }
    silence(t, 50000);
    assert_int_equal(seen.n, 0);
    flow_free(t);
}

/* A service of which too few closes were seen to tell. */
static void too_few_to_tell(void **state) {
    (void)state;
    struct flow_tracker *t = tracker();
    for (uint16_t i = 0; i < 60; i++)
        whole_close(t, i * 10u, 10000 + i, GOOD, i % 2 == 0);
    whole_close(t, 900, 30000, LEAKY, false);
    half_close(t, 1000, 20000, LEAKY, false);
    silence(t, 30000);
    assert_int_equal(seen.n, 0);
    flow_free(t);
}

/* Taken for closed, and then it goes on: the guess is taken back. */
static void it_goes_on(void **state) {
    (void)state;
    struct flow_tracker *t = tracker();
    for (uint16_t i = 0; i < 60; i++)
        whole_close(t, i * 10u, 10000 + i, GOOD, i % 2 == 0);
    half_close(t, 1000, 20000, GOOD, false);
    silence(t, 14000);
    assert_true(seen.n >= 2);
    seen.n = 0;
    struct segment data = segments_make(SERVER, GOOD, CLIENT, 20000, SEGMENT_ACK, 5201, 1002);
    data.payload = 100;
    segments_feed(t, 14000, data);
    data.seq = 5301;
    segments_feed(t, 14001, data);
    assert_true(seen.n >= 1);
    const struct event *last = &seen.event[seen.n - 1];
    assert_int_equal(last->type, EVENT_TRANSITION);
    assert_int_equal(last->transition.state[0], TCP_FIN_WAIT_2);
    assert_int_equal(last->transition.state[1], TCP_CLOSE_WAIT);
    flow_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_explain_it), cmocka_unit_test(nothing_is_missed),
        cmocka_unit_test(a_leak_is_seen),    cmocka_unit_test(too_few_to_tell),
        cmocka_unit_test(it_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
