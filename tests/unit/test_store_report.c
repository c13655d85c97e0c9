/*
 * The report: what it says of a capture, and that what it is given cannot hurt it.
 */
#include "test_record_fixture.h"

#include "spanwatch/store.h"

#include <errno.h>

enum { PAGE = 64 << 10 };

struct reporting {
    struct store_report *report;
    struct store_report_input input;
    struct record_stats stats;
    bool colour;
    unsigned width;
    char page[PAGE];
};

static const char *const one_file[] = {"edge.pcap"};

static struct reporting *begin(struct fixture *x) {
    struct reporting *t = calloc(1, sizeof *t);
    assert_non_null(t);
    t->report = store_report_new(&x->context);
    assert_non_null(t->report);
    t->input = (struct store_report_input){one_file, 1, T0, T0 + 90 * BASE_NS_PER_S, NULL};
    t->stats =
        (struct record_stats){.packets = 1234567, .bytes = UINT64_C(3400000000), .tcp = 1220000};
    t->width = 100;
    return t;
}

static void print(struct reporting *t) {
    FILE *out = fmemopen(t->page, sizeof t->page, "w");
    assert_non_null(out);
    assert_int_equal(
        store_report_print(t->report, &t->input, &t->stats, out, t->colour, t->width, NULL), 0);
    fclose(out);
}

static void end(struct reporting *t) {
    store_report_free(t->report);
    free(t);
}

static void assert_says(const struct reporting *t, const char *text) {
    if (strstr(t->page, text) == NULL)
        fail_msg("\"%s\" is missing in:\n%s", text, t->page);
}

static void assert_silent(const struct reporting *t, const char *text) {
    if (strstr(t->page, text) != NULL)
        fail_msg("\"%s\" should not be in:\n%s", text, t->page);
}

static struct event connection(const char *client, uint16_t port, const char *server,
                               uint16_t server_port) {
    return fixture_connection(fixture_flow(client, port, server, server_port));
}

static void learn(struct reporting *t, struct event e) {
    store_report_event(t->report, &e);
}

static struct event ended(struct event e, enum event_end how, const char *conn_state,
                          const char *history) {
    e.connection.end = (uint8_t)how;
    snprintf(e.connection.conn_state, sizeof e.connection.conn_state, "%s", conn_state);
    snprintf(e.connection.history, sizeof e.connection.history, "%s", history);
    return e;
}

static struct event open_since(struct event e, enum tcp_state client, enum tcp_state server,
                               uint64_t client_since, uint64_t server_since) {
    e.connection.end = EVENT_END_OPEN;
    e.connection.state[EVENT_CLIENT] = (uint8_t)client;
    e.connection.state[EVENT_SERVER] = (uint8_t)server;
    e.connection.since_ns[EVENT_CLIENT] = T0 + client_since * BASE_NS_PER_S;
    e.connection.since_ns[EVENT_SERVER] = T0 + server_since * BASE_NS_PER_S;
    return e;
}

/* Nothing but one good connection: the whole page. */
static void test_ordinary_capture(void **state) {
    struct reporting *t = begin(*state);
    learn(t, connection("10.0.0.1", 40000, "10.0.0.3", 50443));
    print(t);
    assert_string_equal(t->page,
                        "  files     edge.pcap\n"
                        "  span      2023-11-14 22:13:20.000 to 22:14:50.000 UTC (1 min 30 s)\n"
                        "  packets   1.2 M, 3.4 GB, 98.8 % TCP\n"
                        "  quality   clean\n"
                        "  tcp       1 connection, 5.3 kB of payload\n"
                        "  ended     1 fin\n"
                        "\n"
                        "Connections by service and final state\n"
                        "  service  client/server  connections  to server  to client\n"
                        "  https    CLOSED/CLOSED            1      300 B     5.0 kB\n"
                        "\n"
                        "Slowest handshakes, server side (SYN to SYN-ACK)\n"
                        "     rtt  client          server          service\n"
                        "  1.2 ms  10.0.0.1:40000  10.0.0.3:50443  https\n"
                        "\n"
                        "Slowest handshakes, client side (SYN-ACK to ACK)\n"
                        "       rtt  client          server          service\n"
                        "  300.0 us  10.0.0.1:40000  10.0.0.3:50443  https\n");
    end(t);
}

static void test_empty_capture(void **state) {
    struct reporting *t = begin(*state);
    t->stats = (struct record_stats){0};
    print(t);
    assert_string_equal(t->page, "  files     edge.pcap\n"
                                 "  span      no packets\n"
                                 "  packets   0, 0 B, - TCP\n"
                                 "  quality   clean\n"
                                 "  tcp       0 connections, 0 B of payload\n");
    end(t);
}

static void test_quality_and_fault(void **state) {
    struct reporting *t = begin(*state);
    struct base_error fault = {"edge.pcap", "cut short within packet 7"};
    struct event e = connection("10.0.0.1", 40000, "10.0.0.3", 50443);
    e.connection.inferred = TCP_INFERRED_ONE_SIDED;
    learn(t, e);
    e.connection.inferred = TCP_INFERRED_MIDSTREAM;
    learn(t, e);
    t->input.fault = &fault;
    t->stats.truncated = 1;
    t->stats.malformed = 2;
    t->stats.fragments = 3;
    t->stats.duplicates = 4;
    t->stats.reordered = 5;
    t->stats.time_jumps = 6;
    t->stats.kernel_drops = 7;
    t->stats.interface_drops = 8;
    t->stats.missed_bytes = 1060;
    print(t);
    assert_says(t, "  fault     edge.pcap: cut short within packet 7\n");
    assert_says(t, "  quality   7 dropped by the kernel, 8 dropped by the interface, 1 truncated, "
                   "2 malformed,\n"
                   "            3 fragmented, 4 duplicated, 5 reordered, 6 stamped far ahead,\n"
                   "            1.1 kB of payload missed (10.0 %)\n");
    assert_says(t, "  inferred  1 begun before the capture, 1 seen in one direction only\n");
    assert_silent(t, "clean");
    end(t);
}

static void test_resets_by_sender(void **state) {
    struct reporting *t = begin(*state);
    struct event e = connection("10.0.0.1", 40000, "10.0.0.3", 50443);
    learn(t, ended(e, EVENT_END_RST, "RSTO", "ShADadR"));
    learn(t, ended(e, EVENT_END_RST, "RSTOS0", "SR"));
    learn(t, ended(e, EVENT_END_RST, "RSTR", "ShADadr"));
    learn(t, ended(e, EVENT_END_RST, "OTH", "Dr"));   /* by the history alone */
    learn(t, ended(e, EVENT_END_RST, "OTH", "DadR")); /* by the history alone */
    learn(t, ended(e, EVENT_END_RST, "OTH", "Dad"));  /* not known */
    learn(t, ended(e, EVENT_END_REFUSED, "REJ", "Sr"));
    learn(t, ended(e, EVENT_END_REFUSED, "REJ", "Sr"));
    learn(t, ended(e, EVENT_END_TIMEOUT, "S0", "S"));
    learn(t, ended(e, EVENT_END_EVICTED, "S1", "Sh"));
    print(t);
    assert_says(
        t, "  ended     3 rst by client, 2 rst by server, 1 rst by unknown, 2 refused, 1 timeout, "
           "1 evicted\n");
    assert_says(t, "\nResets and refusals by sender\n"
                   "  sender    connections  of which refused\n"
                   "  10.0.0.3            4                 2\n"
                   "  10.0.0.1            3                 0\n");
    assert_says(
        t, "\nClients in trouble\n"
           "  client    connections  refused  timeouts  resets  retransmitted  zero windows\n"
           "  10.0.0.1           10        2         1       6          0.0 %             0\n");
    end(t);
}

static void test_clients_by_trouble(void **state) {
    struct reporting *t = begin(*state);
    struct event lossy = connection("10.0.0.7", 40000, "10.0.0.3", 50443);
    struct event choked = connection("10.0.0.8", 40000, "10.0.0.3", 50443);
    lossy.connection.side[EVENT_SERVER].packets = 100;
    lossy.connection.side[EVENT_SERVER].retransmits = 8;
    choked.connection.side[EVENT_CLIENT].zero_windows = 3;
    learn(t, choked);
    learn(t, connection("10.0.0.6", 40000, "10.0.0.3", 50443));
    learn(t, lossy);
    learn(t, ended(connection("10.0.0.9", 40000, "10.0.0.3", 50443), EVENT_END_TIMEOUT, "S0", "S"));
    print(t);
    assert_says(
        t, "  10.0.0.9            1        0         1       0          0.0 %             0\n"
           "  10.0.0.7            1        0         0       0          7.5 %             0\n"
           "  10.0.0.8            1        0         0       0          0.0 %             3\n");
    assert_silent(t, "  10.0.0.6            1 ");
    end(t);
}

static void test_lingering(void **state) {
    struct reporting *t = begin(*state);
    struct event a = connection("10.0.0.1", 40001, "10.0.0.3", 50443);
    struct event b = connection("10.0.0.1", 40002, "10.0.0.3", 50443);
    struct event c = connection("10.0.0.1", 40003, "10.0.0.3", 50443);
    struct event d = connection("10.0.0.1", 40004, "10.0.0.3", 50443);
    struct event e = connection("10.0.0.1", 40005, "10.0.0.3", 50443);
    learn(t, open_since(a, TCP_SYN_SENT, TCP_CLOSED, 30, 0));
    learn(t,
          open_since(b, TCP_SYN_SENT, TCP_SYN_RECEIVED, 9, 10)); /* older, though it came later */
    learn(t, open_since(c, TCP_FIN_WAIT_2, TCP_CLOSE_WAIT, 61, 60));
    learn(t, open_since(d, TCP_ESTABLISHED, TCP_ESTABLISHED, 1, 1));
    learn(t, open_since(e, TCP_CLOSE_WAIT, TCP_FIN_WAIT_2, 50, 51));
    print(t);
    assert_says(
        t,
        "\nHalf-open at the end, oldest first\n"
        "  since                for  client          server          client/server          "
        "service\n"
        "  22:13:30.000  1 min 20 s  10.0.0.1:40002  10.0.0.3:50443  SYN_SENT/SYN_RECEIVED  https\n"
        "  22:13:50.000  1 min 00 s  10.0.0.1:40001  10.0.0.3:50443  SYN_SENT/CLOSED        "
        "https\n");
    assert_says(
        t,
        "\nHalf-closed at the end, oldest first\n"
        "  since             for  client          server          client/server          service\n"
        "  22:14:10.000  40.00 s  10.0.0.1:40005  10.0.0.3:50443  CLOSE_WAIT/FIN_WAIT_2  https\n"
        "  22:14:20.000  30.00 s  10.0.0.1:40003  10.0.0.3:50443  FIN_WAIT_2/CLOSE_WAIT  https\n");
    end(t);
}

/* Long lists are cut, and say so. */
static void test_lists_are_short(void **state) {
    struct reporting *t = begin(*state);
    for (uint16_t i = 0; i < 30; i++) {
        struct event e = connection("10.0.0.1", 40000, "10.0.0.3", (uint16_t)(51000 + i));
        e.connection.handshake_server_rtt_ns = (i + 1) * BASE_NS_PER_MS;
        learn(t, open_since(e, TCP_SYN_SENT, TCP_CLOSED, i, 0));
    }
    print(t);
    assert_says(t,
                "  tcp/51019  SYN_SENT/CLOSED            1      300 B     5.0 kB\n  and 10 more\n");
    assert_says(
        t,
        "  22:13:29.000  1 min 21 s  10.0.0.1:40000  10.0.0.3:51009  SYN_SENT/CLOSED  tcp/51009\n"
        "  and 20 more\n");
    assert_says(t, "  30.0 ms  10.0.0.1:40000  10.0.0.3:51029  tcp/51029\n");
    assert_says(t, "  26.0 ms  10.0.0.1:40000  10.0.0.3:51025  tcp/51025\n\n");
    end(t);
}

/* Names of files and services may hold anything: nothing of it steers the terminal. */
static void test_text_is_escaped(void **state) {
    struct reporting *t = begin(*state);
    static const char *const files[] = {"a\x1b[2Jb.pcap", "c\nd.pcap"};
    struct base_error fault = {"a\x1b[2Jb.pcap", "odd \x9b octets"};
    t->input.files = files;
    t->input.file_count = 2;
    t->input.fault = &fault;
    learn(t, connection("10.0.0.1", 40000, "10.0.0.3", 50445));
    print(t);
    assert_says(t, "  files     a\\x1b[2Jb.pcap, c\\x0ad.pcap\n");
    assert_says(t, "  fault     a\\x1b[2Jb.pcap: odd \\x9b octets\n");
    assert_says(t, "  service      client/server  connections  to server  to client\n"
                   "  Bücher-日本  CLOSED/CLOSED            1      300 B     5.0 kB\n");
    assert_silent(t, "\x1b");
    end(t);
}

static void test_colour_only_when_asked(void **state) {
    struct reporting *t = begin(*state);
    t->colour = true;
    learn(t, connection("10.0.0.1", 40000, "10.0.0.3", 50443));
    print(t);
    assert_says(t, "\n\033[1mConnections by service and final state\033[0m\n");
    end(t);
}

static void test_transitions_are_not_connections(void **state) {
    struct reporting *t = begin(*state);
    learn(t, (struct event){.ts_ns = T0,
                            .flow = fixture_flow("10.0.0.1", 1, "10.0.0.2", 2),
                            .type = EVENT_TRANSITION});
    print(t);
    assert_says(t, "  tcp       0 connections, 0 B of payload\n");
    end(t);
}

static void test_full_disk_is_told(void **state) {
    struct reporting *t = begin(*state);
    struct base_error error = {0};
    FILE *full = fopen("/dev/full", "w");
    if (full == NULL)
        skip();
    learn(t, connection("10.0.0.1", 40000, "10.0.0.3", 50443));
    assert_int_equal(store_report_print(t->report, &t->input, &t->stats, full, false, 80, &error),
                     -1);
    assert_non_null(strstr(error.why, strerror(ENOSPC)));
    fclose(full);
    end(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ordinary_capture),
        cmocka_unit_test(test_empty_capture),
        cmocka_unit_test(test_quality_and_fault),
        cmocka_unit_test(test_resets_by_sender),
        cmocka_unit_test(test_clients_by_trouble),
        cmocka_unit_test(test_lingering),
        cmocka_unit_test(test_lists_are_short),
        cmocka_unit_test(test_text_is_escaped),
        cmocka_unit_test(test_colour_only_when_asked),
        cmocka_unit_test(test_transitions_are_not_connections),
        cmocka_unit_test(test_full_disk_is_told),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
