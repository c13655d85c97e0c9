/*
 * Every kind of record, octet for octet (design 1.3).
 */
#include "test_record_fixture.h"

#define FLOW4 "\"flow\":\"7f63c458f93b7e3f\""
#define SIDES4                                                                                     \
    "\"client\":\"10.0.0.1:40000\",\"server\":\"10.0.0.2:50443\",\"service\":\"tcp/50443\""

static void assert_json(const struct record_context *c, const struct event *e,
                        const char *expected) {
    char out[RECORD_MAX + 1];
    size_t n = record_event_json(c, e, out);
    assert_true(n < sizeof out);
    out[n] = '\0';
    assert_string_equal(out, expected);
}

/* Without texts that are kept, and with them: not there yet, and there already. */
static void assert_event(struct fixture *x, const struct event *e, const char *expected) {
    struct record_context c = x->context;
    assert_json(&c, e, expected);
    c.texts = record_texts_new();
    assert_non_null(c.texts);
    assert_json(&c, e, expected);
    assert_json(&c, e, expected);
    record_texts_free(c.texts);
}

static struct event transition(enum tcp_state client, enum tcp_state server,
                               enum tcp_state client_was, enum tcp_state server_was,
                               enum tcp_cause cause) {
    struct event e = {.ts_ns = T0 + 123456789,
                      .flow = fixture_flow("10.0.0.1", 40000, "10.0.0.2", 50443),
                      .type = EVENT_TRANSITION};
    e.transition = (struct event_transition){.state = {(uint8_t)client, (uint8_t)server},
                                             .was = {(uint8_t)client_was, (uint8_t)server_was},
                                             .cause = (uint8_t)cause};
    return e;
}

static void test_transition_of_the_client(void **state) {
    struct event e = transition(TCP_SYN_SENT, TCP_CLOSED, TCP_CLOSED, TCP_CLOSED, TCP_CAUSE_SYN);
    assert_event(
        *state, &e,
        "{\"type\":\"transition\",\"ts\":1700000000.123456789,\"probe\":\"edge1\"," FLOW4 "," SIDES4
        ",\"client_state\":\"SYN_SENT\",\"server_state\":\"CLOSED\",\"client_was\":\"CLOSED\","
        "\"cause\":\"syn\"}\n");
}

static void test_transition_of_the_server(void **state) {
    struct event e =
        transition(TCP_SYN_SENT, TCP_SYN_RECEIVED, TCP_SYN_SENT, TCP_CLOSED, TCP_CAUSE_SYN_ACK);
    assert_event(*state, &e,
                 "{\"type\":\"transition\",\"ts\":1700000000.123456789,\"probe\":\"edge1\"," FLOW4
                 "," SIDES4 ",\"client_state\":\"SYN_SENT\",\"server_state\":\"SYN_RECEIVED\","
                 "\"server_was\":\"CLOSED\","
                 "\"cause\":\"syn_ack\"}\n");
}

static void test_transition_of_both(void **state) {
    struct event e =
        transition(TCP_FIN_WAIT_1, TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_ESTABLISHED, TCP_CAUSE_FIN);
    e.transition.inferred = TCP_INFERRED_GAP;
    assert_event(*state, &e,
                 "{\"type\":\"transition\",\"ts\":1700000000.123456789,\"probe\":\"edge1\"," FLOW4
                 "," SIDES4 ",\"client_state\":\"FIN_WAIT_1\",\"server_state\":\"CLOSE_WAIT\","
                 "\"client_was\":\"ESTABLISHED\",\"server_was\":\"ESTABLISHED\",\"cause\":\"fin\","
                 "\"inferred\":\"gap\"}\n");
}

static void test_transition_of_roles(void **state) {
    struct event e = transition(TCP_ESTABLISHED, TCP_CLOSE_WAIT, TCP_CLOSE_WAIT, TCP_ESTABLISHED,
                                TCP_CAUSE_ROLES);
    assert_event(
        *state, &e,
        "{\"type\":\"transition\",\"ts\":1700000000.123456789,\"probe\":\"edge1\"," FLOW4 "," SIDES4
        ",\"client_state\":\"ESTABLISHED\",\"server_state\":\"CLOSE_WAIT\",\"cause\":\"roles\"}\n");
}

static void test_transition_of_a_timer_in_qinq(void **state) {
    struct event e =
        transition(TCP_CLOSED, TCP_CLOSED, TCP_TIME_WAIT, TCP_CLOSED, TCP_CAUSE_TIMEOUT_TIME_WAIT);
    e.transition.inferred = TCP_INFERRED_TIMER;
    e.flow.scope = fixture_scope(*state, (const uint16_t[]){100, 20}, 2);
    assert_event(
        *state, &e,
        "{\"type\":\"transition\",\"ts\":1700000000.123456789,\"probe\":\"edge1\","
        "\"flow\":\"99ebc6622c6cfdfc\"," SIDES4
        ",\"client_state\":\"CLOSED\",\"server_state\":\"CLOSED\","
        "\"client_was\":\"TIME_WAIT\",\"cause\":\"timeout:time_wait\",\"inferred\":\"timer\","
        "\"vlan\":\"100.20\"}\n");
}

/* `vlan` and `tunnel` at the end of a transition; before `inferred` in a connection; in no row. */
static void test_tunnels(void **state) {
    struct fixture *x = *state;
    char out[RECORD_MAX + 1];
    struct event t = transition(TCP_ESTABLISHED, TCP_SYN_RECEIVED, TCP_SYN_SENT, TCP_SYN_RECEIVED,
                                TCP_CAUSE_ACK);
    struct event c = fixture_connection(fixture_flow("10.0.0.1", 40000, "10.0.0.2", 50443));
    t.flow.scope = c.flow.scope = fixture_tunnel(x, 100, 20);
    t.transition.inferred = c.connection.inferred = TCP_INFERRED_GAP;
    out[record_event_json(&x->context, &t, out)] = '\0';
    assert_non_null(strstr(out, ",\"cause\":\"ack\",\"inferred\":\"gap\",\"vlan\":\"100.20\","
                                "\"tunnel\":\"gre:0/vxlan:7\"}\n"));
    out[record_event_json(&x->context, &c, out)] = '\0';
    assert_non_null(strstr(out, ",\"missed_bytes\":0,\"vlan\":\"100.20\","
                                "\"tunnel\":\"gre:0/vxlan:7\",\"inferred\":\"gap\"}\n"));
    out[record_row_json(&x->context, &c, out)] = '\0';
    assert_null(strstr(out, "vxlan"));
}

static void test_transition_in_ipv6(void **state) {
    struct event e = transition(TCP_ESTABLISHED, TCP_SYN_RECEIVED, TCP_SYN_SENT, TCP_SYN_RECEIVED,
                                TCP_CAUSE_ACK);
    e.flow = fixture_flow("2001:db8::9", 40000, "2001:db8::2", 50443);
    assert_event(
        *state, &e,
        "{\"type\":\"transition\",\"ts\":1700000000.123456789,\"probe\":\"edge1\","
        "\"flow\":\"80fa906965ff0651\",\"client\":\"[2001:db8::9]:40000\","
        "\"server\":\"[2001:db8::2]:50443\",\"service\":\"api\",\"client_state\":\"ESTABLISHED\","
        "\"server_state\":\"SYN_RECEIVED\",\"client_was\":\"SYN_SENT\",\"cause\":\"ack\"}\n");
}

static void test_service_names_are_escaped(void **state) {
    struct fixture *x = *state;
    char out[RECORD_MAX + 1];
    struct event e = transition(TCP_SYN_SENT, TCP_CLOSED, TCP_CLOSED, TCP_CLOSED, TCP_CAUSE_SYN);
    e.flow = fixture_flow("10.0.0.1", 40000, "10.0.0.3", 50444);
    out[record_event_json(&x->context, &e, out)] = '\0';
    assert_non_null(strstr(out, ",\"service\":\"a\\\"b\\\\c\",\"client_state\""));
    e.flow.server_port = 50445;
    out[record_event_json(&x->context, &e, out)] = '\0';
    assert_non_null(strstr(out, ",\"service\":\"Bücher-日本\",\"client_state\""));
}

/* More servers than there are places, in many seconds, IPv6 and names of all lengths among them;
 * and other services from the middle on. */
static void test_kept_texts_are_those_that_would_be_written(void **state) {
    enum { ROUNDS = 6000, PORTS = 1500 };
    struct fixture *x = *state;
    struct record_context plain = x->context, keeping = x->context;
    struct service_table *other = service_new();
    char out[RECORD_MAX + 1];
    keeping.texts = record_texts_new();
    assert_non_null(keeping.texts);
    assert_non_null(other);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct event e = transition(TCP_ESTABLISHED, TCP_ESTABLISHED, TCP_SYN_SENT,
                                    TCP_SYN_RECEIVED, TCP_CAUSE_ACK);
        bool six = i % 7 == 0;
        uint16_t port = (uint16_t)(50443 + i * 31 % PORTS);
        e.flow = six ? fixture_flow("2001:db8::1", 40000, "2001:db8::2", port)
                     : fixture_flow("10.0.0.1", (uint16_t)i, i % 3 ? "10.0.0.3" : "10.0.0.2", port);
        e.ts_ns = T0 + i / 5 * BASE_NS_PER_S + i;
        if (i == ROUNDS / 2) {
            plain.services = keeping.services = other;
            record_texts_forget(keeping.texts);
        }
        size_t n = record_event_json(&plain, &e, out);
        out[n] = '\0';
        assert_json(&keeping, &e, out);
    }
    service_free(other);
    record_texts_free(keeping.texts);
}

static void test_connection(void **state) {
    struct event e = fixture_connection(fixture_flow("10.0.0.1", 40000, "10.0.0.2", 50443));
    assert_event(
        *state, &e,
        "{\"type\":\"connection\",\"ts\":1700000001.500000000,\"probe\":\"edge1\"," FLOW4
        ",\"community_id\":\"1:cYN9FhEz5Otu9T0TCUqkYOYsfvY=\"," SIDES4 ",\"role_score\":255,"
        "\"start\":1700000000.000000000,\"duration\":1.500000000,\"client_state\":\"CLOSED\","
        "\"server_state\":\"CLOSED\",\"conn_state\":\"SF\",\"history\":\"ShADadFf\",\"end\":"
        "\"fin\","
        "\"client_bytes\":300,\"server_bytes\":5000,\"client_packets\":6,\"server_packets\":7,"
        "\"handshake_server_rtt\":0.001200000,\"handshake_client_rtt\":0.000300000,"
        "\"server_rtt\":0.001250000,\"client_rtt\":0.000250000,\"client_retransmits\":0,"
        "\"server_retransmits\":0,\"client_out_of_order\":0,\"server_out_of_order\":0,"
        "\"client_zero_windows\":0,\"server_zero_windows\":0,\"client_dup_acks\":0,"
        "\"server_dup_acks\":0,\"missed_bytes\":0}\n");
}

/* Nothing known but that it was there: unknown numbers and empty texts are absent, counters are
 * not. */
static void test_connection_of_one_packet(void **state) {
    struct event e = {.ts_ns = T0,
                      .flow = fixture_flow("2001:db8::9", 40000, "2001:db8::2", 50443),
                      .type = EVENT_CONNECTION};
    e.connection = (struct event_connection){
        .state = {TCP_SYN_SENT, TCP_CLOSED}, .end = EVENT_END_OPEN, .last_ns = T0};
    assert_event(
        *state, &e,
        "{\"type\":\"connection\",\"ts\":1700000000.000000000,\"probe\":\"edge1\","
        "\"flow\":\"80fa906965ff0651\",\"community_id\":\"1:d0jX/Gvy/GtZLfKv5Pii13CKGHo=\","
        "\"client\":\"[2001:db8::9]:40000\",\"server\":\"[2001:db8::2]:50443\",\"service\":\"api\","
        "\"role_score\":0,\"start\":1700000000.000000000,\"duration\":0.000000000,"
        "\"client_state\":\"SYN_SENT\",\"server_state\":\"CLOSED\",\"end\":\"open\",\"client_"
        "bytes\":0,"
        "\"server_bytes\":0,\"client_packets\":0,\"server_packets\":0,\"client_retransmits\":0,"
        "\"server_retransmits\":0,\"client_out_of_order\":0,\"server_out_of_order\":0,"
        "\"client_zero_windows\":0,\"server_zero_windows\":0,\"client_dup_acks\":0,"
        "\"server_dup_acks\":0,\"missed_bytes\":0}\n");
}

/* All that can be there; each counter bears its own number, so that none can stand for another. */
static void test_connection_with_everything(void **state) {
    struct event e = fixture_connection(fixture_flow("10.0.0.1", 40000, "10.0.0.2", 50443));
    struct event_side *client = &e.connection.side[EVENT_CLIENT],
                      *server = &e.connection.side[EVENT_SERVER];
    *client = (struct event_side){.bytes = 1,
                                  .packets = 3,
                                  .retransmits = 5,
                                  .out_of_order = 7,
                                  .zero_windows = 9,
                                  .dup_acks = 11,
                                  .rtt_ns = 13};
    *server = (struct event_side){.bytes = 2,
                                  .packets = 4,
                                  .retransmits = 6,
                                  .out_of_order = 8,
                                  .zero_windows = 10,
                                  .dup_acks = 12,
                                  .rtt_ns = 14};
    e.connection.missed_bytes = 15;
    e.connection.end = EVENT_END_RST;
    e.connection.inferred = TCP_INFERRED_ONE_SIDED;
    e.flow.scope = fixture_scope(*state, (const uint16_t[]){20}, 1);
    e.flow.ordinal = 3;
    assert_event(
        *state, &e,
        "{\"type\":\"connection\",\"ts\":1700000001.500000000,\"probe\":\"edge1\","
        "\"flow\":\"23566a23d8939823\",\"community_id\":\"1:cYN9FhEz5Otu9T0TCUqkYOYsfvY=\"," SIDES4
        ",\"role_score\":255,\"start\":1700000000.000000000,\"duration\":1.500000000,"
        "\"client_state\":\"CLOSED\",\"server_state\":\"CLOSED\",\"conn_state\":\"SF\","
        "\"history\":\"ShADadFf\",\"end\":\"rst\",\"client_bytes\":1,\"server_bytes\":2,"
        "\"client_packets\":3,\"server_packets\":4,\"handshake_server_rtt\":0.001200000,"
        "\"handshake_client_rtt\":0.000300000,\"server_rtt\":0.000000014,\"client_rtt\":0."
        "000000013,"
        "\"client_retransmits\":5,\"server_retransmits\":6,\"client_out_of_order\":7,"
        "\"server_out_of_order\":8,\"client_zero_windows\":9,\"server_zero_windows\":10,"
        "\"client_dup_acks\":11,\"server_dup_acks\":12,\"missed_bytes\":15,\"vlan\":\"20\","
        "\"inferred\":\"one_sided\"}\n");
}

static void test_connection_ends(void **state) {
    struct fixture *x = *state;
    static const char *const names[] = {"fin", "rst", "refused", "timeout", "evicted", "open"};
    struct event e = fixture_connection(fixture_flow("10.0.0.1", 40000, "10.0.0.2", 50443));
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        char out[RECORD_MAX + 1], expected[32];
        e.connection.end = (uint8_t)i;
        out[record_event_json(&x->context, &e, out)] = '\0';
        snprintf(expected, sizeof expected, ",\"end\":\"%s\",", names[i]);
        assert_non_null(strstr(out, expected));
    }
}

static void test_row(void **state) {
    struct fixture *x = *state;
    char out[RECORD_MAX + 1];
    struct event e = fixture_connection(fixture_flow("10.0.0.1", 40000, "10.0.0.2", 50443));
    e.connection.state[EVENT_CLIENT] = TCP_FIN_WAIT_2;
    e.connection.state[EVENT_SERVER] = TCP_CLOSE_WAIT;
    out[record_row_json(&x->context, &e, out)] = '\0';
    assert_string_equal(
        out, "{\"probe\":\"edge1\"," FLOW4 "," SIDES4
             ",\"client_state\":\"FIN_WAIT_2\",\"server_state\":\"CLOSE_WAIT\","
             "\"client_since\":1700000001.500000000,\"server_since\":1700000001.400000000}\n");
    e.connection.inferred = TCP_INFERRED_MIDSTREAM;
    out[record_row_json(&x->context, &e, out)] = '\0';
    assert_non_null(strstr(out, ".400000000,\"inferred\":\"midstream\"}\n"));
}

/* The client's name and the service's attributes come last, and the longest of them fit. */
static void test_row_with_cmdb(void **state) {
    struct fixture *x = *state;
    char out[RECORD_MAX + 1], buffer[SERVICE_NAME_MAX], name[CMDB_NAME_MAX], value[CMDB_JSON_MAX];
    char attributes[CMDB_JSON_MAX], client[2 * CMDB_NAME_MAX + 16];
    struct record_context with = x->context;
    struct event e = fixture_connection(fixture_flow("10.0.0.1", 40000, "10.0.0.2", 50443));
    struct cmdb *c = cmdb_new();
    assert_non_null(c);
    with.cmdb = c;
    const char *service = record_service(&with, &e.flow, buffer);
    memset(value, 'v', sizeof value);
    snprintf(attributes, sizeof attributes, "{\"a\":\"%.*s\"}", CMDB_JSON_MAX - 9, value);
    assert_int_equal(strlen(attributes), CMDB_JSON_MAX - 1);
    client[0] = '\0';
    for (size_t n = 0; n < CMDB_NAME_MAX - 1; n++)
        strcat(client, "\\\"");
    snprintf(name, sizeof name, "{\"name\":\"%s\"}", "till");
    char json[sizeof client + 16];
    snprintf(json, sizeof json, "{\"name\":\"%s\"}", client);
    assert_true(cmdb_put_service(c, service, attributes));
    assert_true(cmdb_put_client(c, "10.0.0.0/8", json));
    assert_true(cmdb_put_client(c, "10.0.0.9", name));
    cmdb_sort(c);
    size_t length = record_row_json(&with, &e, out);
    assert_true(length < RECORD_MAX);
    out[length] = '\0';
    char *at = strstr(out, ",\"client_name\":\"");
    assert_non_null(at);
    assert_memory_equal(at + strlen(",\"client_name\":\""), client, strlen(client));
    at = strstr(out, "\",\"cmdb\":{");
    assert_non_null(at);
    assert_memory_equal(at + strlen("\",\"cmdb\":"), attributes, strlen(attributes));
    assert_string_equal(at + strlen("\",\"cmdb\":") + strlen(attributes), "}\n");
    e.flow = fixture_flow("10.0.0.9", 40000, "10.0.0.3", 1);
    out[record_row_json(&with, &e, out)] = '\0';
    assert_non_null(strstr(out, ",\"client_name\":\"till\"}\n")); /* no attributes: no key */
    cmdb_free(c);
}

static void test_stats(void **state) {
    struct fixture *x = *state;
    char out[RECORD_MAX + 1];
    struct record_stats s = {.ts_ns = T0,
                             .packets = 1,
                             .bytes = 2,
                             .tcp = 3,
                             .not_tcp = 4,
                             .truncated = 5,
                             .malformed = 6,
                             .duplicates = 7,
                             .reordered = 8,
                             .time_jumps = 9,
                             .fragments = 10,
                             .stray = 11,
                             .kernel_drops = 12,
                             .interface_drops = 13,
                             .missed_bytes = 14,
                             .flows_open = 15,
                             .flows_total = 16,
                             .flows_evicted = 17,
                             .transitions = 18,
                             .connections = 19,
                             .snapshots = 20,
                             .alarms = 21,
                             .gaps = 22,
                             .store_queued = 23,
                             .store_spooled = 24,
                             .store_lost = 0};
    out[record_stats_json(&x->context, &s, out)] = '\0';
    assert_string_equal(
        out,
        "{\"type\":\"stats\",\"ts\":1700000000.000000000,\"probe\":\"edge1\",\"packets\":1,"
        "\"bytes\":2,\"tcp\":3,\"not_tcp\":4,\"truncated\":5,\"malformed\":6,\"duplicates\":7,"
        "\"reordered\":8,\"time_jumps\":9,\"fragments\":10,\"stray\":11,\"kernel_drops\":12,"
        "\"interface_drops\":13,\"missed_bytes\":14,\"flows_open\":15,\"flows_total\":16,"
        "\"flows_evicted\":17,\"transitions\":18,\"connections\":19,\"snapshots\":20,"
        "\"alarms\":21,\"gaps\":22,\"store_queued\":23,\"store_spooled\":24,\"store_lost\":0}\n");
}

static void test_gap(void **state) {
    struct fixture *x = *state;
    char out[RECORD_MAX + 1];
    struct record_gap g = {.ts_ns = T0,
                           .from_ns = T0 - 2,
                           .to_ns = T0 - 1,
                           .lost = 0,
                           .what = RECORD_GAP_SNAPSHOTS,
                           .why = "disk \"a\"\nfull \xff"};
    out[record_gap_json(&x->context, &g, out)] = '\0';
    assert_string_equal(
        out, "{\"type\":\"gap\",\"ts\":1700000000.000000000,\"probe\":\"edge1\","
             "\"from\":1699999999.999999998,\"to\":1699999999.999999999,\"what\":\"snapshots\","
             "\"lost\":0,\"why\":\"disk \\\"a\\\"\\nfull \\ufffd\"}\n");
    g.why = "";
    g.lost = 7;
    g.what = RECORD_GAP_PACKETS;
    out[record_gap_json(&x->context, &g, out)] = '\0';
    assert_string_equal(
        out, "{\"type\":\"gap\",\"ts\":1700000000.000000000,\"probe\":\"edge1\","
             "\"from\":1699999999.999999998,\"to\":1699999999.999999999,\"what\":\"packets\","
             "\"lost\":7}\n");
}

/* The longest that any of them can be still fits. */
static void test_longest_records_fit(void **state) {
    struct fixture *x = *state;
    char out[2 * RECORD_MAX], name[65], why[2 * RECORD_MAX];
    struct record_context c = x->context;
    memset(name, 'x', sizeof name - 1);
    memset(why, '\1', sizeof why - 1);
    name[sizeof name - 1] = why[sizeof why - 1] = '\0';
    c.probe = name;

    struct event e;
    memset(&e, 0xff, sizeof e); /* every counter at its largest */
    e.type = EVENT_CONNECTION;
    e.flow = fixture_flow("fedc:ba98:7654:3210:fedc:ba98:7654:3210", 65535,
                          "fedc:ba98:7654:3210:fedc:ba98:7654:3211", 65535);
    e.flow.scope = fixture_scope(x, (const uint16_t[]){4094, 4093, 4092, 4091}, 4);
    e.connection.state[0] = e.connection.state[1] = TCP_SYN_RECEIVED;
    e.connection.end = EVENT_END_REFUSED;
    e.connection.inferred = TCP_INFERRED_MIDSTREAM;
    memset(e.connection.history, 'S', sizeof e.connection.history - 1);
    e.connection.history[sizeof e.connection.history - 1] = '\0';
    snprintf(e.connection.conn_state, sizeof e.connection.conn_state, "RSTOS0");
    size_t n = record_event_json(&c, &e, out);
    assert_in_range(n, 1000, RECORD_MAX);

    struct record_gap g = {.ts_ns = UINT64_MAX,
                           .from_ns = UINT64_MAX,
                           .to_ns = UINT64_MAX,
                           .lost = UINT64_MAX,
                           .why = why};
    assert_in_range(record_gap_json(&c, &g, out), 1000, RECORD_MAX);
    struct record_stats s;
    memset(&s, 0xff, sizeof s);
    assert_in_range(record_stats_json(&c, &s, out), 800, RECORD_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transition_of_the_client),
        cmocka_unit_test(test_transition_of_the_server),
        cmocka_unit_test(test_transition_of_both),
        cmocka_unit_test(test_transition_of_roles),
        cmocka_unit_test(test_transition_of_a_timer_in_qinq),
        cmocka_unit_test(test_tunnels),
        cmocka_unit_test(test_transition_in_ipv6),
        cmocka_unit_test(test_service_names_are_escaped),
        cmocka_unit_test(test_kept_texts_are_those_that_would_be_written),
        cmocka_unit_test(test_connection),
        cmocka_unit_test(test_connection_of_one_packet),
        cmocka_unit_test(test_connection_with_everything),
        cmocka_unit_test(test_connection_ends),
        cmocka_unit_test(test_row),
        cmocka_unit_test(test_row_with_cmdb),
        cmocka_unit_test(test_stats),
        cmocka_unit_test(test_gap),
        cmocka_unit_test(test_longest_records_fit),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
