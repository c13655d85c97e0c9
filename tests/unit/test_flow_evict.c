/*
 * A full tracker: who goes first, what is told of it, and that memory stays as it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/flow/tracker.h"
#include "tests/unit/flow_segments.h"

enum { SERVER = 0x800000, PORT = 443 };

enum kind { STRAY, HALF_OPEN, CLOSED, IDLE, KINDS };

struct fixture {
    struct flow_tracker *tracker;
    struct segments_seen seen;
    unsigned gone[KINDS]; /* evicted, by the kind that the client's host number says */
    uint8_t state[2];     /* of the connection that is being evicted */
};

/* Hosts are numbered by kind: the upper octet. */
static uint32_t host_of(enum kind kind, uint32_t n) {
    return (uint32_t)kind << 16 | n;
}

static void sink(void *context, const struct event *e) {
    struct fixture *x = context;
    segments_sink(&x->seen, e);
    if (e->type == EVENT_TRANSITION && e->transition.cause == TCP_CAUSE_EVICT) {
        assert_int_equal(e->transition.state[0], TCP_CLOSED);
        assert_int_equal(e->transition.state[1], TCP_CLOSED);
        memcpy(x->state, e->transition.was, 2);
        x->gone[e->flow.client[1]]++;
    }
    if (e->type == EVENT_CONNECTION && e->connection.end == EVENT_END_EVICTED)
        assert_int_equal(e->connection.state[0] | e->connection.state[1], TCP_CLOSED);
}

static void start(struct fixture *x, uint32_t max_flows) {
    memset(x, 0, sizeof *x);
    struct flow_config config = {
        .timers = flow_timers_default(), .hash_seed = {1, 2}, .max_flows = max_flows};
    x->tracker = flow_new(&config, sink, x);
    assert_non_null(x->tracker);
}

static void say(struct fixture *x, uint64_t ms, uint32_t host, bool client, uint8_t flags,
                uint32_t seq, uint32_t ack) {
    struct segment s = client ? segments_make(host, 40000, SERVER, PORT, flags, seq, ack)
                              : segments_make(SERVER, PORT, host, 40000, flags, seq, ack);
    segments_feed(x->tracker, ms, s);
}

/* A connection of a kind. */
static void make(struct fixture *x, uint64_t ms, enum kind kind, uint32_t n) {
    uint32_t host = host_of(kind, n);
    say(x, ms, host, true, SEGMENT_SYN, 1000, 0);
    if (kind == STRAY) { /* refused: only remembered for what comes late */
        say(x, ms, host, false, SEGMENT_RST | SEGMENT_ACK, 0, 1001);
    } else if (kind != HALF_OPEN) {
        say(x, ms, host, false, SEGMENT_SYN | SEGMENT_ACK, 5000, 1001);
        say(x, ms, host, true, SEGMENT_ACK, 1001, 5001);
    }
    if (kind == CLOSED) {
        say(x, ms, host, true, SEGMENT_FIN | SEGMENT_ACK, 1001, 5001);
        say(x, ms, host, false, SEGMENT_FIN | SEGMENT_ACK, 5001, 1002);
        say(x, ms, host, true, SEGMENT_ACK, 1002, 5002);
    }
}

static uint64_t held(const struct fixture *x) {
    return x->tracker->pool.flow.used;
}

/* A tracker for four, one of each kind, the idle one the eldest: they go in the order of design
 * part 2, one for each newcomer. */
static void in_the_order_of_their_worth(void **state) {
    (void)state;
    struct fixture x;
    start(&x, 4);
    for (unsigned kind = KINDS; kind-- > 0;)
        make(&x, 10 * (KINDS - kind), (enum kind)kind, 1);
    assert_int_equal(held(&x), 4);
    const uint64_t *evicted = &flow_counters(x.tracker)->flows_evicted;
    make(&x, 100, IDLE, 2);
    assert_int_equal(*evicted, 0); /* it was told to be over before */
    make(&x, 110, IDLE, 3);
    assert_int_equal(*evicted, 1);
    assert_int_equal(x.gone[HALF_OPEN], 1);
    assert_int_equal(x.state[EVENT_CLIENT], TCP_SYN_SENT);
    make(&x, 120, IDLE, 4);
    assert_int_equal(*evicted, 2);
    assert_int_equal(x.gone[CLOSED], 1);
    assert_int_equal(x.state[EVENT_CLIENT], TCP_TIME_WAIT);
    make(&x, 130, IDLE, 5);
    assert_int_equal(*evicted, 3);
    assert_int_equal(x.gone[IDLE], 1);
    assert_int_equal(x.state[EVENT_CLIENT], TCP_ESTABLISHED);
    assert_int_equal(held(&x), 4);
    flow_free(x.tracker);
}

/* A spoofed SYN that was answered (SYN cookies), and that the server has given up since: still less
 * worth than one in TIME_WAIT that has been silent for longer. */
static void a_client_that_was_never_there(void **state) {
    (void)state;
    struct fixture x;
    start(&x, 2);
    make(&x, 10, CLOSED, 1);
    say(&x, 20, host_of(HALF_OPEN, 1), true, SEGMENT_SYN, 1000, 0);
    say(&x, 20, host_of(HALF_OPEN, 1), false, SEGMENT_SYN | SEGMENT_ACK, 5000, 1001);
    flow_advance(x.tracker, SEGMENTS_EPOCH_NS + 10 * BASE_NS_PER_S);
    make(&x, 11000, IDLE, 1);
    assert_int_equal(x.gone[HALF_OPEN], 1);
    assert_int_equal(x.state[EVENT_CLIENT], TCP_ESTABLISHED);
    assert_int_equal(x.state[EVENT_SERVER], TCP_CLOSED);
    flow_free(x.tracker);
}

/* What is told of an eviction: the transition from the states that were, then the connection. */
static void what_is_told(void **state) {
    (void)state;
    struct fixture x;
    start(&x, 1);
    make(&x, 10, HALF_OPEN, 1);
    make(&x, 20, HALF_OPEN, 2);
    assert_int_equal(x.seen.n, 4);
    const struct event *e = &x.seen.event[1];
    assert_int_equal(e->type, EVENT_TRANSITION);
    assert_int_equal(e->transition.cause, TCP_CAUSE_EVICT);
    assert_int_equal(e->transition.was[EVENT_CLIENT], TCP_SYN_SENT);
    assert_int_equal(e->transition.was[EVENT_SERVER], TCP_CLOSED);
    assert_int_not_equal(e->transition.inferred, TCP_PROVEN); /* no packet proves it */
    assert_true(e->ts_ns == SEGMENTS_EPOCH_NS + 20 * BASE_NS_PER_MS);
    assert_int_equal(e[1].type, EVENT_CONNECTION);
    assert_int_equal(e[1].connection.end, EVENT_END_EVICTED);
    assert_true(e[1].flow.first_ns == e->flow.first_ns);
    assert_memory_equal(e[1].flow.client, e->flow.client, sizeof e->flow.client);
    assert_int_equal(e[2].transition.state[EVENT_CLIENT], TCP_SYN_SENT);
    flow_free(x.tracker);
}

/* A handful of entries stands for all, so the order holds in the large only: the better the kind,
 * the fewer go. */
static void in_the_large(void **state) {
    (void)state;
    enum { EACH = 500, NEWCOMERS = 900 };
    struct fixture x;
    start(&x, KINDS * EACH);
    for (uint32_t n = 0; n < EACH; n++)
        for (unsigned kind = 0; kind < KINDS; kind++)
            make(&x, 1000 + n, (enum kind)kind, n);
    assert_int_equal(held(&x), KINDS * EACH);
    for (uint32_t n = 0; n < NEWCOMERS; n++)
        make(&x, 1600 + n, IDLE, EACH + n);
    unsigned told = x.gone[HALF_OPEN] + x.gone[CLOSED] + x.gone[IDLE], strays = NEWCOMERS - told;
    assert_int_equal(flow_counters(x.tracker)->flows_evicted, told);
    assert_true(strays > EACH * 9 / 10);
    assert_true(x.gone[HALF_OPEN] > EACH * 2 / 3);
    assert_true(x.gone[CLOSED] < EACH / 10);
    assert_int_equal(x.gone[IDLE], 0);
    assert_int_equal(held(&x), KINDS * EACH);
    flow_free(x.tracker);
}

/* Of those that are idle the longest silent goes first. */
static void the_longest_silent_first(void **state) {
    (void)state;
    struct fixture x;
    start(&x, 3);
    for (uint32_t n = 0; n < 3; n++)
        make(&x, 10 + n, IDLE, n);
    say(&x, 500, host_of(IDLE, 0), false, SEGMENT_ACK, 5001, 1001); /* the eldest speaks again */
    make(&x, 600, IDLE, 9);
    const struct event *e = &x.seen.event[9]; /* three make three transitions each */
    assert_int_equal(x.seen.n, 14);
    assert_int_equal(e->transition.cause, TCP_CAUSE_EVICT);
    assert_int_equal(e->flow.client[3], 1);
    flow_free(x.tracker);
}

static void memory_stays(void **state) {
    (void)state;
    enum { CAP = 2000 };
    struct fixture x;
    start(&x, CAP);
    for (uint32_t n = 0; n < CAP; n++)
        make(&x, 1000 + n / 100, HALF_OPEN, n);
    flow_advance(x.tracker, SEGMENTS_EPOCH_NS +
                                1500 * BASE_NS_PER_MS); /* deadlines have been looked at once */
    uint64_t memory = flow_memory(x.tracker);
    for (uint32_t n = 0; n < 20000; n++)
        make(&x, 1600 + n / 100, HALF_OPEN, CAP + n);
    assert_int_equal(flow_memory(x.tracker), memory);
    const struct flow_counters *c = flow_counters(x.tracker);
    assert_int_equal(c->flows_open, CAP);
    assert_int_equal(c->flows_total, CAP + 20000);
    assert_int_equal(c->flows_evicted, 20000);
    assert_int_equal(c->connections, 20000);
    assert_int_equal(c->transitions, CAP + 20000 + 20000);
    flow_free(x.tracker);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_the_order_of_their_worth),
        cmocka_unit_test(a_client_that_was_never_there),
        cmocka_unit_test(what_is_told),
        cmocka_unit_test(in_the_large),
        cmocka_unit_test(the_longest_silent_first),
        cmocka_unit_test(memory_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
