/*
 * Forms: what is kept of a connection at each point of its life, and that nothing told depends on
 * it. Debug builds compare each fold with its unfolding octet by octet (SPANWATCH_VERIFY).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/flow/tracker.h"
#include "tests/unit/flow_segments.h"

enum { CLIENT = 1, SERVER = 0x800000, PORT = 443, ISN = 1000, SERVER_ISN = 5000 };
enum { ASKS = 10, REPLIES = 20 }; /* octets */
enum { SYN = SEGMENT_SYN, ACK = SEGMENT_ACK, FIN = SEGMENT_FIN | SEGMENT_ACK };

struct fixture {
    struct flow_tracker *tracker;
    struct segments_seen seen;
};

static void sink(void *context, const struct event *e) {
    segments_sink(&((struct fixture *)context)->seen, e);
}

static void start(struct fixture *x) {
    memset(x, 0, sizeof *x);
    const struct flow_config config = {.timers = flow_timers_default(), .hash_seed = {1, 2}};
    x->tracker = flow_new(&config, sink, x);
    assert_non_null(x->tracker);
}

static void say(struct fixture *x, uint64_t ms, bool client, uint8_t flags, uint32_t seq,
                uint32_t ack, uint32_t payload) {
    struct segment s = client ? segments_make(CLIENT, 40000, SERVER, PORT, flags, seq, ack)
                              : segments_make(SERVER, PORT, CLIENT, 40000, flags, seq, ack);
    s.payload = payload;
    segments_feed(x->tracker, ms, s);
}

/* A handshake, a question, an answer. */
static void establish(struct fixture *x) {
    say(x, 0, true, SYN, ISN, 0, 0);
    say(x, 1, false, SYN | ACK, SERVER_ISN, ISN + 1, 0);
    say(x, 2, true, ACK, ISN + 1, SERVER_ISN + 1, 0);
    say(x, 3, true, ACK, ISN + 1, SERVER_ISN + 1, ASKS);
    say(x, 4, false, ACK, SERVER_ISN + 1, ISN + 1 + ASKS, REPLIES);
}

static void close_both(struct fixture *x) {
    uint32_t client = ISN + 1 + ASKS, server = SERVER_ISN + 1 + REPLIES;
    say(x, 10, true, FIN, client, server, 0);
    say(x, 11, false, FIN, server, client + 1, 0);
    say(x, 12, true, ACK, client + 1, server + 1, 0);
}

static enum flow_form form_now(const struct fixture *x) {
    const struct pool *p = &x->tracker->pool;
    const struct flow *f = pool_at(p, 0);
    assert_int_equal(p->flow.used, 1);
    assert_int_equal(p->lean.used, f->form == FORM_LEAN);
    assert_int_equal(p->body.used, f->form == FORM_FULL);
    return (enum flow_form)f->form;
}

static void a_lone_syn_has_no_body(void **state) {
    (void)state;
    struct fixture x;
    start(&x);
    say(&x, 0, true, SYN, ISN, 0, 0);
    assert_int_equal(form_now(&x), FORM_SYN);
    say(&x, 1000, true, SYN, ISN, 0, 0); /* again: its timer has begun to count */
    assert_int_equal(form_now(&x), FORM_FULL);
    flow_free(x.tracker);
}

static void an_open_connection_is_lean(void **state) {
    (void)state;
    struct fixture x;
    start(&x);
    say(&x, 0, true, SYN, ISN, 0, 0);
    say(&x, 1, false, SYN | ACK, SERVER_ISN, ISN + 1, 0);
    assert_int_equal(form_now(&x), FORM_LEAN);
    flow_free(x.tracker);
    start(&x);
    establish(&x);
    assert_int_equal(form_now(&x), FORM_LEAN);
    close_both(&x);
    assert_int_equal(form_now(&x), FORM_LEAN); /* TIME_WAIT */
    assert_int_equal(x.tracker->pool.body.top, 0); /* none was ever unfolded */
    flow_advance(x.tracker, SEGMENTS_EPOCH_NS + 70 * BASE_NS_PER_S);
    assert_int_equal(x.tracker->pool.flow.used, 0);
    assert_int_equal(x.tracker->pool.lean.used, 0);
    assert_int_equal(x.tracker->pool.body.used, 0);
    flow_free(x.tracker);
}

static void a_fault_is_kept_in_full(void **state) {
    (void)state;
    struct fixture x;
    start(&x);
    establish(&x);
    say(&x, 300, true, ACK, ISN + 1, SERVER_ISN + 1, ASKS); /* sent again */
    assert_int_equal(form_now(&x), FORM_FULL);
    close_both(&x);
    assert_int_equal(form_now(&x), FORM_FULL);
    flow_advance(x.tracker, SEGMENTS_EPOCH_NS + 70 * BASE_NS_PER_S);
    const struct event *last = &x.seen.event[x.seen.n - 1];
    assert_int_equal(last->type, EVENT_CONNECTION);
    assert_int_equal(last->connection.side[EVENT_CLIENT].retransmits, 1);
    flow_free(x.tracker);
}

/* What is told at the end has gone through every form. */
static void a_life_is_told_whole(void **state) {
    (void)state;
    struct fixture x;
    start(&x);
    establish(&x);
    close_both(&x);
    flow_advance(x.tracker, SEGMENTS_EPOCH_NS + 70 * BASE_NS_PER_S);
    const struct event *e = &x.seen.event[x.seen.n - 1];
    assert_int_equal(e->type, EVENT_CONNECTION);
    assert_int_equal(e->connection.end, EVENT_END_FIN);
    assert_int_equal(e->connection.side[EVENT_CLIENT].bytes, ASKS);
    assert_int_equal(e->connection.side[EVENT_SERVER].bytes, REPLIES);
    assert_int_equal(e->connection.side[EVENT_CLIENT].packets, 5);
    assert_int_equal(e->connection.side[EVENT_SERVER].packets, 3);
    assert_int_equal(e->connection.handshake_server_rtt_ns, BASE_NS_PER_MS);
    assert_int_equal(e->connection.handshake_client_rtt_ns, BASE_NS_PER_MS);
    assert_int_equal(e->connection.last_ns, SEGMENTS_EPOCH_NS + 12 * BASE_NS_PER_MS);
    assert_int_equal(e->flow.first_ns, SEGMENTS_EPOCH_NS);
    assert_string_equal(e->connection.history, "ShADdFf");
    assert_string_equal(e->connection.conn_state, "SF");
    flow_free(x.tracker);
}

/* Memory by form: what "Fast" promises (the table takes 13 to 26 octets a flow beside). */
static void forms_are_small(void **state) {
    (void)state;
    assert_true(sizeof(struct flow) <= 64);
    assert_true(sizeof(struct flow) + sizeof(struct lean) <= 192);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lone_syn_has_no_body),  cmocka_unit_test(an_open_connection_is_lean),
        cmocka_unit_test(a_fault_is_kept_in_full), cmocka_unit_test(a_life_is_told_whole),
        cmocka_unit_test(forms_are_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
