/*
 * The pure parts of the reading side: endpoints of filters, texts of entries, members, JSON as
 * text, the table of connections.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "probe/query/raw.h"
#include "probe/query/table.h"
#include "spanwatch/query.h"

static struct query_text text(const char *s) {
    return (struct query_text){s, strlen(s)};
}

static void endpoints(void **state) {
    static const struct {
        const char *text, *address;
        unsigned length;
        uint16_t port;
    } good[] = {{"10.0.0.1", "10.0.0.1", 32, 0},
                {"10.0.0.0/8", "10.0.0.0", 8, 0},
                {"10.0.0.1:443", "10.0.0.1", 32, 443},
                {"10.0.0.0/8:443", "10.0.0.0", 8, 443},
                {"2001:db8::1", "2001:db8::1", 128, 0},
                {"2001:db8::/32", "2001:db8::", 32, 0},
                {"[2001:db8::1]", "2001:db8::1", 128, 0},
                {"[2001:db8::1]:443", "2001:db8::1", 128, 443},
                {"[2001:db8::/32]:443", "2001:db8::", 32, 443},
                {"[2001:db8::]/32:443", "2001:db8::", 32, 443},
                {"[2001:db8::]/32", "2001:db8::", 32, 0},
                {"0.0.0.0/0", "0.0.0.0", 0, 0}};
    static const char *const bad[] = {"",           "10.0.0",     "10.0.0.1/33",    "10.0.0.1/8",
                                      "10.0.0.1:",  "10.0.0.1:0", "10.0.0.1:65536", "[10.0.0.1]:1",
                                      "[::1",       "[::1]x",     "[]:5",           "[::1]:99999",
                                      "10.0.0.300", "/8",         "::1/129"};
    struct query_endpoint e;
    struct base_addr a;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(query_endpoint_parse(good[i].text, false, &e));
        assert_true(base_addr_parse(good[i].address, &a));
        assert_memory_equal(&a, &e.addr, sizeof a);
        assert_int_equal(e.prefix_length, good[i].length);
        assert_int_equal(e.port, good[i].port);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(query_endpoint_parse(bad[i], false, &e));
    assert_true(query_endpoint_parse(":443", false, &e));
    assert_int_equal(e.addr.family, 0);
    assert_true(query_endpoint_parse("pos-terminal-17", true, &e));
    assert_string_equal(e.name, "pos-terminal-17");
    assert_false(query_endpoint_parse("10.0.0.300", true, &e));
    assert_false(query_endpoint_parse("two\nlines", true, &e));
}

static void stamps(void **state) {
    static const char *const bad[] = {"",  ".", "1.", "-1", "1.0000000001", "1,5", "99999999999999",
                                      "1 "};
    uint64_t ns;
    (void)state;
    assert_true(query_stamp_parse(text("1700000000.123456789"), &ns));
    assert_int_equal(ns, UINT64_C(1700000000123456789));
    assert_true(query_stamp_parse(text("1.5"), &ns));
    assert_int_equal(ns, 1500000000);
    assert_true(query_stamp_parse(text("7"), &ns));
    assert_int_equal(ns, UINT64_C(7000000000));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(query_stamp_parse(text(bad[i]), &ns));
}

static void causes(void **state) {
    struct query_cause c;
    (void)state;
    assert_true(query_cause_parse(
        text("timeout:time_wait inferred=timer vlan=100.20 tunnel=gre:0/vxlan:7"), &c));
    assert_int_equal(c.cause, TCP_CAUSE_TIMEOUT_TIME_WAIT);
    assert_int_equal(c.inferred, TCP_INFERRED_TIMER);
    assert_true(query_text_is(c.vlan, "100.20"));
    assert_true(query_text_is(c.tunnel, "gre:0/vxlan:7"));
    assert_true(query_cause_parse(text("syn"), &c));
    assert_int_equal(c.vlan.n, 0);
    assert_false(query_cause_parse(text("sin"), &c));
    assert_false(query_cause_parse(text("syn inferred=maybe"), &c));
    assert_false(query_cause_parse(text("syn colour=red"), &c));
}

static void members(void **state) {
    struct query_text rest = text("10.0.0.1:4000,9f0c00112233aabb,1700000000.000000001 nonsense "
                                  "[2001:db8::1]:5,0000000000000002,1700000001.000000000");
    struct query_member m;
    char place[BASE_ENDPOINT_TEXT];
    (void)state;
    assert_int_equal(query_member_next(&rest, &m), QUERY_NEXT_GOOD);
    assert_int_equal(m.flow, UINT64_C(0x9f0c00112233aabb));
    assert_int_equal(m.since_ns, UINT64_C(1700000000000000001));
    assert_int_equal(query_member_next(&rest, &m), QUERY_NEXT_BAD);
    assert_int_equal(query_member_next(&rest, &m), QUERY_NEXT_GOOD);
    query_place_format(&m.client, place);
    assert_string_equal(place, "[2001:db8::1]:5");
    assert_int_equal(query_member_next(&rest, &m), QUERY_NEXT_NONE);
}

static void json_as_text(void **state) {
    struct query_text json =
        text("{ \"a\" : [1,{\"ts\":2}], \"s\":\"x,\\\"}\", \"ts\" : 1700000000.123456789 , "
             "\"scope\":{\"client\":\"10.0.0.1\"}}");
    char out[32];
    (void)state;
    assert_true(query_text_is(query_raw_member(json, "ts"), "1700000000.123456789"));
    assert_string_equal(query_raw_string(query_raw_path(json, "scope.client"), out, sizeof out),
                        "10.0.0.1");
    assert_string_equal(query_raw_string(query_raw_member(json, "s"), out, sizeof out), "x,\"}");
    assert_int_equal(query_raw_member(json, "none").n, 0);
    assert_int_equal(query_raw_path(json, "s.client").n, 0);
    assert_false(query_raw_is_object(text("[1]")));
    assert_false(query_raw_is_object(text("{\"a\":}")));
}

/* Thousands come and go in an order of their own: what is there is found, what is not is not. */
static void table_of_many(void **state) {
    enum { FLOWS = 5000, STEPS = 60000 };
    static bool open[FLOWS];
    struct query_table t = {0};
    uint32_t dice = 1, live = 0;
    (void)state;
    for (int i = 0; i < STEPS; i++) {
        dice = dice * 1664525 + 1013904223;
        uint32_t n = (dice >> 8) % FLOWS;
        struct query_step s = {
            .ts_ns = (uint64_t)i + 1, .flow = n * UINT64_C(0x10001), .client.port = (uint16_t)n};
        s.state[0] = open[n] ? TCP_CLOSED : TCP_SYN_SENT;
        s.was[0] = open[n] ? TCP_SYN_SENT : TCP_CLOSED;
        assert_true(query_table_step(&t, &s, true));
        open[n] = !open[n];
        live += open[n] ? 1 : UINT32_MAX;
    }
    assert_int_equal(t.live, live);
    assert_int_equal(t.torn, 0);
    for (uint32_t n = 0; n < FLOWS; n++)
        assert_int_equal(query_table_find(&t, n * UINT64_C(0x10001)) != NULL, open[n]);
    query_table_fini(&t);
}

/* A change that does not follow from what the table holds is counted: something is missing. */
static void table_tells_holes(void **state) {
    struct query_table t = {0};
    struct query_step s = {.ts_ns = 1, .flow = 1, .state = {TCP_SYN_SENT}};
    (void)state;
    assert_true(query_table_step(&t, &s, true));
    s = (struct query_step){.ts_ns = 2,
                            .flow = 1,
                            .state = {TCP_FIN_WAIT_2, TCP_CLOSE_WAIT},
                            .was = {TCP_FIN_WAIT_1, TCP_CLOSE_WAIT}};
    assert_true(query_table_step(&t, &s, true));
    assert_int_equal(t.torn, 1);
    s = (struct query_step){
        .ts_ns = 3, .flow = 2, .state = {TCP_TIME_WAIT}, .was = {TCP_FIN_WAIT_2, TCP_LAST_ACK}};
    assert_true(query_table_step(&t, &s, true));
    assert_int_equal(t.torn, 2);
    query_table_fini(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints),        cmocka_unit_test(stamps),
        cmocka_unit_test(causes),           cmocka_unit_test(members),
        cmocka_unit_test(json_as_text),     cmocka_unit_test(table_of_many),
        cmocka_unit_test(table_tells_holes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
