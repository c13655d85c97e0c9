/*
 * Who is the client: each rank of the evidence alone, the ranks against each other, and the
 * correction of a guess.
 */
#include "tests/unit/notation.h"

#include "tests/unit/flow_segments.h"

enum { A = 1, B = 2, C = 3 }; /* hosts */

/* What the callback of the service room would say: 443 on B is configured, 8080 is a known port. */
static enum flow_service_evidence lookup(void *context, const struct base_addr *a, uint16_t port,
                                         uint32_t scope) {
    unsigned *asked = context;
    (*asked)++;
    assert_int_equal(a->family, 4);
    assert_int_equal(scope, 0);
    if (port == 50443 && a->octet[3] == B)
        return FLOW_SERVICE_CONFIGURED;
    return port == 8080 || port == 8081 ? FLOW_SERVICE_PORT_KNOWN : FLOW_SERVICE_NONE;
}

struct fixture {
    struct flow_tracker *tracker;
    struct segments_seen seen;
    unsigned asked;
};

static void start(struct fixture *x) {
    memset(x, 0, sizeof *x);
    struct flow_config config = {.timers = flow_timers_default(),
                                 .hash_seed = {1, 2},
                                 .service = lookup,
                                 .service_context = &x->asked};
    x->tracker = flow_new(&config, segments_sink, &x->seen);
    assert_non_null(x->tracker);
}

/* The score of the only connection, whose client must have this port. */
static unsigned score_of(struct fixture *x, uint16_t client_port) {
    struct segments_seen open = {.n = 0};
    flow_each_open(x->tracker, segments_sink, &open);
    assert_int_equal(open.n, 1);
    assert_int_equal(open.event[0].flow.client_port, client_port);
    return open.event[0].connection.role_score;
}

static void feed(struct fixture *x, uint64_t ms, uint32_t from, uint16_t from_port, uint32_t to,
                 uint16_t to_port, uint8_t flags, uint32_t payload) {
    struct segment s =
        segments_make(from, from_port, to, to_port, flags, 1000, flags & SEGMENT_ACK ? 5000 : 0);
    s.payload = payload;
    segments_feed(x->tracker, ms, s);
}

static void by_one_segment(uint32_t from, uint16_t from_port, uint32_t to, uint16_t to_port,
                           uint8_t flags, uint16_t client_port, unsigned score) {
    struct fixture x;
    start(&x);
    feed(&x, 0, from, from_port, to, to_port, flags, flags & SEGMENT_SYN ? 0 : 10);
    assert_int_equal(score_of(&x, client_port), score);
    flow_free(x.tracker);
}

/* The sender of a SYN is the client, whatever the ports say. */
static void a_syn(void **state) {
    (void)state;
    by_one_segment(A, 40000, C, 80, SEGMENT_SYN, 40000, 255);
    by_one_segment(A, 80, C, 40000, SEGMENT_SYN, 80, 255);
    by_one_segment(B, 50443, A, 40000, SEGMENT_SYN, 50443, 255);
}

static void a_syn_ack(void **state) {
    (void)state;
    by_one_segment(C, 80, A, 40000, SEGMENT_SYN | SEGMENT_ACK, 40000, 224);
    by_one_segment(C, 40000, A, 80, SEGMENT_SYN | SEGMENT_ACK, 80, 224);
}

static void a_configured_service(void **state) {
    (void)state;
    by_one_segment(A, 80, B, 50443, SEGMENT_ACK, 80, 192); /* above the port numbers */
    by_one_segment(B, 50443, A, 80, SEGMENT_ACK, 80, 192);
    by_one_segment(B, 50443, A, 8080, SEGMENT_ACK, 8080, 192); /* above the known port */
}

static void a_listener_learned_earlier(void **state) {
    (void)state;
    struct fixture x;
    start(&x);
    feed(&x, 0, C, 50000, A, 80, SEGMENT_SYN | SEGMENT_ACK, 0); /* C answers on 50000 */
    feed(&x, 1, A, 80, C, 50000, SEGMENT_RST, 0);
    segments_feed(x.tracker, 2, segments_make(A, 80, C, 50000, SEGMENT_RST, 5000, 0));
    flow_advance(x.tracker, SEGMENTS_EPOCH_NS + 60 * BASE_NS_PER_S);
    assert_int_equal(flow_counters(x.tracker)->flows_open, 0);
    feed(&x, 61000, C, 50000, B, 8080, SEGMENT_ACK,
         10); /* above the known port, and the lower one */
    assert_int_equal(score_of(&x, 8080), 160);
    flow_free(x.tracker);
}

static void a_known_port(void **state) {
    (void)state;
    by_one_segment(A, 8080, C, 80, SEGMENT_ACK, 80, 96); /* above the lower port */
    by_one_segment(C, 50000, A, 8080, SEGMENT_ACK, 50000, 96);
}

static void a_port_below_those_of_clients(void **state) {
    (void)state;
    by_one_segment(A, 40000, C, 32767, SEGMENT_ACK, 40000, 64);
    by_one_segment(C, 32767, A, 40000, SEGMENT_ACK, 40000, 64);
    by_one_segment(C, 32768, A, 40000, SEGMENT_ACK, 32768, 32); /* both may be clients */
}

static void the_first_to_speak(void **state) {
    (void)state;
    by_one_segment(A, 40000, C, 50000, SEGMENT_ACK, 40000, 32);
    by_one_segment(C, 50000, A, 40000, SEGMENT_ACK, 50000, 32);
    by_one_segment(A, 79, C, 80, SEGMENT_ACK, 79, 32);
}

/* Evidence that speaks for both ends says nothing. */
static void the_same_for_both(void **state) {
    (void)state;
    by_one_segment(A, 8080, C, 8081, SEGMENT_ACK, 8080, 32);
}

static void asked_once_a_connection(void **state) {
    (void)state;
    struct fixture x;
    start(&x);
    for (uint64_t i = 0; i < 10; i++)
        feed(&x, i * 100, A, 40000, B, 50443, SEGMENT_ACK, 10);
    assert_int_equal(x.asked, 2); /* once for each end */
    flow_free(x.tracker);
}

/* Data first, on ports that speak for the wrong end; the SYN-ACK comes behind it, and settles who
 * is who. */
static void corrected_by_a_syn_ack(void **state) {
    (void)state;
    NOTATION_CASE({"0 s>d A 1001 5001 +10", "d:ESTABLISHED/ESTABLISHED data inferred=midstream"},
                  {"0.001 d>s SA 5000 1001", "d:ESTABLISHED/ESTABLISHED roles"},
                  {"1 s>d FA 1011 5001", "d:FIN_WAIT_1/CLOSE_WAIT fin"},
                  {"1.01 d>s A 5001 1012", "d:FIN_WAIT_2/CLOSE_WAIT ack"});
}

/* The number of the SYN is the one before what the server acknowledges: it is of this connection.
 */
static void corrected_by_a_late_syn(void **state) {
    (void)state;
    NOTATION_CASE({"0 p>c A 5001 1001 +10", "ESTABLISHED/ESTABLISHED data inferred=midstream"},
                  {"0.001 c>p S 1000", "ESTABLISHED/ESTABLISHED roles"},
                  {"0.002 c>p S 1000", "ESTABLISHED/ESTABLISHED"},
                  {"1 p>c FA 5011 1001", "CLOSE_WAIT/FIN_WAIT_1 fin"});
}

/* The states go with their end, not with the role. */
static void corrected_when_the_states_differ(void **state) {
    (void)state;
    NOTATION_CASE({"0 s>d A 1001 5001 +10", "d:ESTABLISHED/ESTABLISHED data inferred=midstream"},
                  {"0.001 s>d FA 1011 5001", "d:CLOSE_WAIT/FIN_WAIT_1 fin"},
                  {"0.002 d>s SA 5000 1001", "d:FIN_WAIT_1/CLOSE_WAIT roles"});
}

static void right_from_the_begin(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>p A 1001 5001 +10", "ESTABLISHED/ESTABLISHED data inferred=midstream"},
                  {"0.001 c>p S 1000", "ESTABLISHED/ESTABLISHED"});
}

/* A bare ACK tells nobody of the connection yet: the SYN-ACK after it decides the roles, and no
 * correction is due. */
static void decided_before_anything_was_told(void **state) {
    (void)state;
    NOTATION_CASE({"0 p>c A 5001 1001", "CLOSED/CLOSED"},
                  {"0.001 p>c SA 5000 1001", "CLOSED/SYN_RECEIVED syn_ack"},
                  {"0.01 c>p A 1001 5001", "ESTABLISHED/ESTABLISHED ack"});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_syn),
        cmocka_unit_test(a_syn_ack),
        cmocka_unit_test(a_configured_service),
        cmocka_unit_test(a_listener_learned_earlier),
        cmocka_unit_test(a_known_port),
        cmocka_unit_test(a_port_below_those_of_clients),
        cmocka_unit_test(the_first_to_speak),
        cmocka_unit_test(the_same_for_both),
        cmocka_unit_test(asked_once_a_connection),
        cmocka_unit_test(corrected_by_a_syn_ack),
        cmocka_unit_test(corrected_by_a_late_syn),
        cmocka_unit_test(corrected_when_the_states_differ),
        cmocka_unit_test(right_from_the_begin),
        cmocka_unit_test(decided_before_anything_was_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
