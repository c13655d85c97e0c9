/*
 * Tests of cli: segments that come to another worker than their connection's are tracked where they
 * belong, and in order of time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "probe/cli/hand_over.h"
#include "tests/unit/flow_segments.h"

enum { WORKERS = 2, PORT = 443, CLIENT_PORT = 40000, SERVER = 1 };

#define AT(ms) (SEGMENTS_EPOCH_NS + (ms)*BASE_NS_PER_MS)

struct fixture {
    struct capture_share share;
    struct cli_hand_over *h;
    struct cli_pipe pipe[WORKERS];
    struct segments_seen seen[WORKERS];
    uint32_t host[WORKERS]; /* whose connections with SERVER are each worker's */
};

static uint32_t host_of(const struct capture_share *share, size_t worker) {
    uint8_t server[16], client[16];
    segments_addr(SERVER, server);
    for (uint32_t host = 2;; host++) {
        segments_addr(host, client);
        if (capture_share_worker(share, 4, client, server) == worker)
            return host;
    }
}

static int set_up(void **state) {
    struct flow_config config = {.timers = flow_timers_default(), .hash_seed = {1, 2}};
    struct fixture *x = calloc(1, sizeof *x);
    capture_share_init(&x->share, WORKERS);
    x->h = cli_hand_over_new(&x->share);
    for (size_t i = 0; i < WORKERS; i++) {
        x->pipe[i].decoder = decode_new();
        x->pipe[i].tracker = flow_new(&config, segments_sink, &x->seen[i]);
        x->host[i] = host_of(&x->share, i);
    }
    *state = x;
    return x->h == NULL;
}

static int tear_down(void **state) {
    struct fixture *x = *state;
    cli_hand_over_free(x->h);
    for (size_t i = 0; i < WORKERS; i++) {
        flow_free(x->pipe[i].tracker);
        decode_free(x->pipe[i].decoder);
    }
    free(x);
    return 0;
}

/* Worker `from` has decoded a segment of `owner`'s connection, and gets none older than it. */
static uint64_t gets(struct fixture *x, size_t from, size_t owner, bool client, uint8_t flags,
                     uint64_t ms) {
    struct cli_pipe *p = &x->pipe[from];
    uint32_t host = x->host[owner], client_seq = 1000, server_seq = 5000;
    bool syn = flags & SEGMENT_SYN;
    p->segment[0] =
        client ? segments_make(host, CLIENT_PORT, SERVER, PORT, flags, client_seq + !syn,
                               syn ? 0 : server_seq + 1)
               : segments_make(SERVER, PORT, host, CLIENT_PORT, flags, server_seq, client_seq + 1);
    p->segment[0].ts_ns = AT(ms);
    p->verdict[0] = DECODE_TCP;
    return cli_hand_over_give(x->h, from, p, 1, AT(ms));
}

static void hears_until(struct fixture *x, size_t from, uint64_t ms) {
    cli_hand_over_give(x->h, from, &x->pipe[from], 0, AT(ms));
}

static bool takes(struct fixture *x, size_t to, uint64_t ms) {
    return cli_hand_over_take(x->h, to, &x->pipe[to], AT(ms));
}

static void assert_causes(const struct segments_seen *seen, const enum tcp_cause *cause, size_t n) {
    assert_int_equal(seen->n, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(seen->event[i].type, EVENT_TRANSITION);
        assert_int_equal(seen->event[i].transition.cause, cause[i]);
        assert_int_equal(seen->event[i].transition.inferred, TCP_PROVEN);
    }
}

/* The client's half comes by another worker, which is behind: the server's half waits for it. */
static void test_order_of_time(void **state) {
    static const enum tcp_cause handshake[] = {TCP_CAUSE_SYN, TCP_CAUSE_SYN_ACK, TCP_CAUSE_ACK};
    struct fixture *x = *state;
    hears_until(x, 0, 1);
    assert_int_equal(gets(x, 1, 1, false, SEGMENT_SYN | SEGMENT_ACK, 20), 0);
    assert_true(takes(x, 1, 30));
    assert_int_equal(x->seen[1].n, 0);
    assert_int_equal(gets(x, 0, 1, true, SEGMENT_SYN, 10), 0);
    assert_true(takes(x, 1, 30));
    assert_causes(&x->seen[1], handshake, 1);
    assert_int_equal(gets(x, 0, 1, true, SEGMENT_ACK, 30), 0);
    hears_until(x, 1, 40);
    hears_until(x, 0, 40);
    assert_false(takes(x, 1, 40));
    assert_causes(&x->seen[1], handshake, 3);
    assert_int_equal(flow_counters(x->pipe[1].tracker)->reordered, 0);
    assert_false(takes(x, 0, 40));
    assert_int_equal(x->seen[0].n, 0);
}

/* Half a second is enough: what comes later is out of order, and tracked all the same. */
static void test_nobody_is_waited_for_long(void **state) {
    struct fixture *x = *state;
    hears_until(x, 0, 1);
    gets(x, 1, 1, true, SEGMENT_SYN, 10);
    assert_true(takes(x, 1, 400));
    assert_int_equal(x->seen[1].n, 0);
    assert_false(takes(x, 1, 600));
    assert_int_equal(x->seen[1].n, 1);
    gets(x, 0, 1, false, SEGMENT_SYN | SEGMENT_ACK, 5);
    takes(x, 1, 600);
    assert_int_equal(x->seen[1].n, 2);
    assert_int_equal(flow_counters(x->pipe[1].tracker)->reordered, 1);
}

/* Layers have other numbers in another decoder. */
static void test_scopes(void **state) {
    struct fixture *x = *state;
    struct decode_scope vlan = {.layers = 1, .layer = {{DECODE_LAYER_VLAN, 7}}};
    struct decode_scope other = {.layers = 1, .layer = {{DECODE_LAYER_VXLAN, 9}}};
    struct cli_pipe *p = &x->pipe[0];
    decode_scope_id(p->decoder, &other);
    p->segment[0] = segments_make(x->host[1], CLIENT_PORT, SERVER, PORT, SEGMENT_SYN, 1, 0);
    p->segment[0].ts_ns = AT(1);
    p->segment[0].scope = decode_scope_id(p->decoder, &vlan);
    p->verdict[0] = DECODE_TCP;
    assert_int_equal(cli_hand_over_give(x->h, 0, p, 1, AT(2)), 0);
    hears_until(x, 1, 2);
    takes(x, 1, 2);
    assert_int_equal(x->seen[1].n, 1);
    const struct decode_scope *now =
        decode_scope(x->pipe[1].decoder, x->seen[1].event[0].flow.scope);
    assert_int_equal(now->layers, 1);
    assert_int_equal(now->layer[0].kind, DECODE_LAYER_VLAN);
    assert_int_equal(now->layer[0].id, 7);
}

/* Of what finds no room the number is told; the own lane makes room, in whatever order. */
static void test_full_lanes(void **state) {
    struct fixture *x = *state;
    uint64_t lost = 0, packets;
    const unsigned many = 100000;
    for (unsigned n = 0; n < many; n++)
        lost += gets(x, 0, 1, true, SEGMENT_ACK, 10);
    assert_in_range(lost, 1, many - 1);
    takes(x, 1, 2000);
    packets = flow_counters(x->pipe[1].tracker)->packets;
    assert_int_equal(packets, many - lost);
    for (unsigned n = 0; n < many; n++) {
        cli_hand_over_make_room(x->h, 1, &x->pipe[1]);
        assert_int_equal(gets(x, 1, 1, true, SEGMENT_ACK, 10), 0);
    }
    takes(x, 1, 4000);
    assert_int_equal(flow_counters(x->pipe[1].tracker)->packets, packets + many);
}

static void test_rest(void **state) {
    struct fixture *x = *state;
    hears_until(x, 0, 1);
    gets(x, 1, 1, true, SEGMENT_SYN, 10);
    cli_hand_over_rest(x->h, 1);
    assert_false(cli_hand_over_all_rest(x->h));
    assert_true(takes(x, 1, 20));
    cli_hand_over_rest(x->h, 0);
    assert_true(cli_hand_over_all_rest(x->h));
    assert_false(takes(x, 1, 20));
    assert_int_equal(x->seen[1].n, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order_of_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nobody_is_waited_for_long, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_scopes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_lanes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rest, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
