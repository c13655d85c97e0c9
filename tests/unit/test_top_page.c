/*
 * top: what rows of answers become on the screen, and what keys do, without any terminal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/top/page.h"

static const struct query_column summary_column[] = {
    {"service", QUERY_TEXT}, {"state", QUERY_TEXT}, {"count", QUERY_NUMBER}};
static const struct query_column client_column[] = {{"client", QUERY_TEXT},
                                                    {"name", QUERY_TEXT},
                                                    {"services", QUERY_JSON},
                                                    {"states", QUERY_JSON},
                                                    {"last_seen", QUERY_TIME}};
/* in another order than the contract's, and with one that the screen does not know */
static const struct query_column event_column[] = {
    {"probe", QUERY_TEXT},        {"cause", QUERY_TEXT},       {"ts", QUERY_TIME},
    {"client", QUERY_TEXT},       {"server", QUERY_TEXT},      {"service", QUERY_TEXT},
    {"client_state", QUERY_TEXT}, {"server_state", QUERY_TEXT}};

enum { NOW_S = 1700000060 };

/* Give an answer's rows to the data: cells of `columns` each. */
static void answer(struct top_data *d, enum query_what what, const char *filter,
                   const struct query_column *column, size_t columns, const char *const *cells,
                   size_t rows) {
    struct top_intake in;
    struct query_sink sink = top_intake_init(&in, d, what, TOP_BY_TROUBLE, filter);
    struct query_span span = {.probe = "edge1"};
    struct query_head head = {.what = what,
                              .at_ns = NOW_S * BASE_NS_PER_S,
                              .span = &span,
                              .spans = 1,
                              .column = column,
                              .columns = columns};
    sink.begin(sink.context, &head);
    for (size_t i = 0; i < rows; i++)
        assert_true(sink.row(sink.context, &(struct query_row){.cell = cells + i * columns}));
    sink.end(sink.context, rows, 0);
}

static struct top_data *sample(void) {
    static const char *const summary[] = {
        "web", "ESTABLISHED/ESTABLISHED", "1234567", "db",  "FIN_WAIT_2/CLOSE_WAIT", "7",
        "web", "SYN_SENT/CLOSED",         "3",       "api", "TIME_WAIT/CLOSED",      "2"};
    static const char *const clients[] = {
        "10.0.0.2",
        "",
        "[\"web\"]",
        "{\"ESTABLISHED/ESTABLISHED\":9}",
        "1700000059.500000000",
        "10.7.0.17",
        "pos-17",
        "[\"db\",\"web\"]",
        "{\"FIN_WAIT_2/CLOSE_WAIT\":2,\"ESTABLISHED/ESTABLISHED\":1}",
        "1699999940.000000000",
        "2001:db8::1",
        "",
        "[\"web\"]",
        "{\"SYN_SENT/CLOSED\":3}",
        "1700000000.000000000"};
    struct top_data *d = top_data_new();
    assert_non_null(d);
    answer(d, QUERY_SUMMARY, "", summary_column, 3, summary, 4);
    answer(d, QUERY_CLIENTS, "", client_column, 5, clients, 3);
    d->clients_asked = true;
    top_data_end(d, TOP_BY_TROUBLE);
    return d;
}

static void add_alarm(struct top_data *d, const char *json) {
    struct top_intake in;
    struct query_sink sink = top_intake_init(&in, d, QUERY_ACTIVE, TOP_BY_TROUBLE, "");
    struct query_head head = {.what = QUERY_ACTIVE};
    sink.begin(sink.context, &head);
    sink.row(sink.context, &(struct query_row){.record = json});
}

static struct top_page page;
static const struct top_status well = {.store = "unix:///s", .fault = ""};

static void draw(struct top_view *v, const struct top_data *d, unsigned columns, unsigned rows) {
    memset(&page, '#', sizeof page);
    page.rows = rows;
    page.columns = columns;
    top_draw(v, d, &well, &page);
}

/* The line that begins with this, after trailing blanks were cut; the last line when there is none.
 */
static const char *line(const char *begin) {
    static char text[TOP_LINE];
    for (unsigned i = 0; i < page.rows; i++) {
        snprintf(text, sizeof text, "%s", page.line[i].text);
        for (size_t n = strlen(text); n > 0 && text[n - 1] == ' ';)
            text[--n] = '\0';
        if (strncmp(text, begin, strlen(begin)) == 0)
            break;
    }
    return text;
}

static void test_classes(void **state) {
    (void)state;
    static const struct {
        const char *pair;
        enum top_class class;
    } cases[] = {
        {"ESTABLISHED/ESTABLISHED", TOP_ESTABLISHED},
        {"SYN_SENT/CLOSED", TOP_HALF_OPEN},
        {"ESTABLISHED/SYN_RECEIVED", TOP_HALF_OPEN},
        {"FIN_WAIT_2/CLOSE_WAIT", TOP_HALF_CLOSED},
        {"CLOSE_WAIT/FIN_WAIT_1", TOP_HALF_CLOSED},
        {"CLOSED/CLOSE_WAIT", TOP_HALF_CLOSED},
        {"TIME_WAIT/CLOSED", TOP_TIME_WAIT},
        {"FIN_WAIT_1/LAST_ACK", TOP_OTHER},
        {"ESTABLISHED/CLOSED", TOP_OTHER},
        {"ESTABLISHED", TOP_OTHER},
        {"", TOP_OTHER},
        {"X/Y", TOP_OTHER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(top_class_of(cases[i].pair), cases[i].class);
}

static void test_main_screen(void **state) {
    (void)state;
    struct top_data *d = sample();
    struct top_view v;
    top_view_init(&v);
    add_alarm(d, "{\"kind\":\"syn_flood\",\"severity\":\"critical\",\"since\":1700000000.5,"
                 "\"scope\":{\"service\":\"web\"},\"summary\":\"half-open\\u001b connections\"}");
    add_alarm(d, "{\"kind\":\"retrans_storm\",\"severity\":\"warning\",\"since\":1699990000,"
                 "\"scope\":{\"service\":\"db\",\"client\":\"10.7.0.17\"}}");
    draw(&v, d, 80, 24);
    assert_string_equal(line("spanwatch"),
                        "spanwatch top  2023-11-14 22:14:20 UTC  1234579 connections  edge1");
    static const char *const lines[] = {
        "  SERVICE                  CONNS   ESTAB   HALF-OPEN HALF-CLOSED  T-WAIT   OTHER",
        "  web                       1.2M    1.2M           3",
        "  db                           7                               7",
        "  api                          2                                       2",
        "* CLIENT                          CONNS  H-OPEN H-CLOSED       LAST SERVICES",
        "> 2001:db8::1                         3       3          1 min 00 s web",
        "  pos-17 (10.7.0.17)                  3                2 2 min 00 s db web",
        "  10.0.0.2                            9                         0 s web",
        "  SEVERITY ALARM                    FOR WHAT",
        "  critical syn_flood               59 s half-open? connections",
        "  warning  retrans_storm     2 h 47 min db 10.7.0.17",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char begin[16];
        snprintf(begin, sizeof begin, "%.8s", lines[i]);
        assert_string_equal(line(begin), lines[i]);
    }
    top_view_fini(&v);
    top_data_free(d);
}

/* Whatever the size, every line fits, and no line is left from before. */
static void test_sizes(void **state) {
    (void)state;
    struct top_data *d = sample();
    struct top_view v;
    top_view_init(&v);
    snprintf(d->warning, sizeof d->warning, "a warning");
    d->gap_count = 2;
    for (unsigned columns = 1; columns <= TOP_COLUMNS_MOST; columns += 5)
        for (unsigned rows = 1; rows <= TOP_ROWS_MOST; rows += rows < 40 ? 1 : 31)
            for (int screen = TOP_SCREEN_MAIN; screen <= TOP_SCREEN_HELP; screen++) {
                v.screen = (enum top_screen)screen;
                draw(&v, d, columns, rows);
                for (unsigned i = 0; i < rows; i++)
                    assert_true(strlen(page.line[i].text) <= columns);
                assert_true((unsigned char)page.line[rows].text[0] == '#' || rows == TOP_ROWS_MOST);
            }
    top_view_fini(&v);
    top_data_free(d);
}

static void test_gaps_are_told(void **state) {
    (void)state;
    static const char *const gaps[] = {"{\"type\":\"gap\",\"why\":\"old\"}",
                                       "{\"type\":\"gap\",\"why\":\"the ring was full\"}"};
    struct top_data *d = top_data_new();
    struct top_view v;
    struct top_intake in;
    struct query_sink sink = top_intake_init(&in, d, QUERY_SUMMARY, TOP_BY_TROUBLE, "");
    top_view_init(&v);
    sink.begin(sink.context, &(struct query_head){.gap = gaps, .gaps = 2});
    draw(&v, d, 80, 24);
    assert_string_equal(line("something"),
                        "something is missing near this moment: the ring was full, and more");
    top_view_fini(&v);
    top_data_free(d);
}

static void test_wide_and_odd_texts(void **state) {
    (void)state;
    static const char *const clients[] = {
        "10.0.0.9", "\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xff\x1b\xc3\xa9", "[]",
        "{\"SYN_SENT/CLOSED\":1}", "x"};
    struct top_data *d = top_data_new();
    struct top_view v;
    top_view_init(&v);
    answer(d, QUERY_CLIENTS, "", client_column, 5, clients, 1);
    draw(&v, d, 80, 24);
    /* four characters of two columns, two that cannot be shown, one of one: 11 columns, then the
     * address, and blanks up to 30 */
    assert_string_equal(line("> "),
                        "> \xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97??\xc3\xa9 (10.0.0.9)"
                        "              1       1");
    top_view_fini(&v);
    top_data_free(d);
}

static void press(struct top_view *v, const struct top_data *d, const char *keys) {
    for (; *keys != '\0'; keys++)
        top_press(v, d, *keys, 24);
}

static void test_keys(void **state) {
    (void)state;
    struct top_data *d = sample();
    struct top_view v;
    top_view_init(&v);
    assert_int_equal(top_press(&v, d, TOP_KEY_ENTER, 24), TOP_ASK); /* the first client */
    assert_int_equal(v.screen, TOP_SCREEN_TIMELINE);
    assert_string_equal(v.client, "2001:db8::1");
    draw(&v, d, 80, 24);
    assert_string_equal(line("  asking"), "  asking the store ...");
    assert_int_equal(top_press(&v, d, 'q', 24), TOP_ASK);
    assert_int_equal(v.screen, TOP_SCREEN_MAIN);
    assert_string_equal(v.client, "");
    top_press(&v, d, TOP_KEY_DOWN, 24);
    draw(&v, d, 80, 24);
    assert_non_null(strstr(line("> "), "pos-17"));
    press(&v, d, "s"); /* by connections */
    draw(&v, d, 80, 24);
    assert_non_null(strstr(line("> "), "10.0.0.2"));
    assert_non_null(strstr(line("q quit"), "s sort: connections"));
    top_press(&v, d, TOP_KEY_END, 24);
    draw(&v, d, 80, 24);
    assert_int_equal(v.selected[TOP_PANE_CLIENTS], 2);
    top_press(&v, d, TOP_KEY_BACK_TAB, 24);
    draw(&v, d, 80, 24);
    assert_non_null(strstr(line("> "), "> web"));
    top_press(&v, d, TOP_KEY_ENTER, 24);
    draw(&v, d, 80, 24);
    assert_string_equal(line("web:"), "web: 1234570 connections by client/server state");
    assert_string_equal(line("  SYN"), "  SYN_SENT/CLOSED                       3");
    press(&v, d, "qh");
    draw(&v, d, 80, 24);
    assert_string_equal(line("Help"), "Help");
    assert_int_equal(top_press(&v, d, 'q', 24), TOP_NOTHING);
    assert_int_equal(top_press(&v, d, 'q', 24), TOP_QUIT);
    top_view_fini(&v);
    top_data_free(d);
}

static void test_filter(void **state) {
    (void)state;
    struct top_data *d = sample();
    struct top_view v;
    top_view_init(&v);
    assert_int_equal(top_press(&v, d, '/', 24), TOP_NOTHING);
    press(&v, d, "POSq"); /* q is a character now */
    assert_int_equal(top_press(&v, d, TOP_KEY_BACK, 24), TOP_ASK);
    draw(&v, d, 80, 24);
    assert_non_null(strstr(line("> "), "pos-17"));
    assert_string_equal(line("  none"), "  none that matches the filter");
    assert_non_null(strstr(line("filter: POS_"), "Enter keeps it"));
    top_press(&v, d, TOP_KEY_ENTER, 24);
    assert_false(v.typing);
    draw(&v, d, 100, 24);
    assert_non_null(strstr(line("q quit"), "filter: POS"));
    top_press(&v, d, '/', 24);
    top_press(&v, d, 0xc3, 24);
    top_press(&v, d, 0xa9, 24);
    assert_string_equal(v.filter, "POS\xc3\xa9");
    top_press(&v, d, TOP_KEY_BACK, 24); /* both octets of it */
    assert_string_equal(v.filter, "POS");
    top_press(&v, d, TOP_KEY_ESCAPE, 24);
    assert_string_equal(v.filter, "");
    for (int i = 0; i < 2 * TOP_FILTER; i++) {
        top_press(&v, d, '/', 24);
        press(&v, d, "x");
    }
    assert_int_equal(strlen(v.filter), TOP_FILTER - 1);
    top_view_fini(&v);
    top_data_free(d);
}

static void test_timeline(void **state) {
    (void)state;
    struct top_data *d = sample();
    struct top_view v;
    char ts[32], port[48];
    top_view_init(&v);
    top_press(&v, d, TOP_KEY_ENTER, 24);
    for (int i = 0; i < TOP_EVENTS + 5; i++) {
        const char *const cells[] = {"edge1",        "syn", ts,         port,
                                     "10.0.0.2:443", "web", "SYN_SENT", "CLOSED"};
        snprintf(ts, sizeof ts, "%d.%03d000000", NOW_S - 10, i % 1000);
        snprintf(port, sizeof port, "[2001:db8::1]:%d", 40000 + i);
        answer(d, QUERY_TRANSITIONS, "", event_column, 8, cells, 1);
    }
    snprintf(d->timeline_of, sizeof d->timeline_of, "2001:db8::1");
    draw(&v, d, 80, 24);
    assert_string_equal(line("2001"), "2001:db8::1  1005 changes, the newest are shown");
    assert_string_equal(line("22:14:10.004"),
                        "22:14:10.004 41004 10.0.0.2:443       web       SYN_SENT/CLOSED          "
                        "syn");
    top_press(&v, d, TOP_KEY_HOME, 24);
    draw(&v, d, 80, 24);
    assert_non_null(strstr(line("22:14:10.005"), " 40005 ")); /* the oldest one kept */
    top_press(&v, d, TOP_KEY_PAGE_DOWN, 24);
    draw(&v, d, 80, 24);
    assert_non_null(strstr(line("22:14:10.023"), " 40023 "));
    top_view_fini(&v);
    top_data_free(d);
}

/* More clients than are kept: those with trouble stay, whenever they came. */
static void test_clients_have_a_cap(void **state) {
    (void)state;
    struct top_data *d = top_data_new();
    for (int i = 0; i < 5 * TOP_CLIENTS; i++) {
        char address[32], states[64];
        const char *const cells[] = {address, "", "[]", states, "1700000000"};
        bool troubled = i % 1000 == 7;
        snprintf(address, sizeof address, "10.0.%d.%d", i / 256, i % 256);
        snprintf(states, sizeof states, "{\"%s\":%d}",
                 troubled ? "SYN_SENT/CLOSED" : "ESTABLISHED/ESTABLISHED", troubled ? 1 : 2);
        answer(d, QUERY_CLIENTS, "", client_column, 5, cells, 1);
    }
    top_data_end(d, TOP_BY_TROUBLE);
    assert_int_equal(d->client_count, TOP_CLIENTS);
    assert_int_equal(d->clients_seen, 5 * TOP_CLIENTS);
    for (size_t i = 0; i < d->client_count; i++)
        assert_int_equal(d->clients[i].counts.of[TOP_HALF_OPEN], i < 11 ? 1 : 0);
    top_data_free(d);
}

/* Names sort before addresses, addresses by their octets. */
static void test_orders(void **state) {
    (void)state;
    struct top_client a = {.address = "10.0.0.9", .counts = {.total = 5}, .last_ns = 1},
                      b = {.address = "10.0.0.10", .counts = {.total = 4}, .last_ns = 2},
                      c = {.address = "10.0.0.200", .name = "till"};
    assert_true(top_client_before(&a, &b, TOP_BY_NAME));
    assert_true(top_client_before(&c, &a, TOP_BY_NAME));
    assert_true(top_client_before(&a, &b, TOP_BY_TOTAL));
    assert_true(top_client_before(&b, &a, TOP_BY_LAST));
    b.counts.of[TOP_HALF_CLOSED] = 1;
    assert_true(top_client_before(&b, &a, TOP_BY_TROUBLE));
    assert_true(top_client_before(&b, &a, TOP_BY_HALF_CLOSED));
    assert_true(top_client_before(&a, &b, TOP_BY_HALF_OPEN));
    assert_false(top_client_before(&a, &a, TOP_BY_NAME));
}

static void test_a_store_that_is_away(void **state) {
    (void)state;
    struct top_view v;
    struct top_data *d = sample();
    const struct top_status away = {.store = "unix:///s", .fault = "gone", .age_s = 12};
    top_view_init(&v);
    page.rows = 24;
    page.columns = 80;
    top_draw(&v, NULL, &away, &page);
    assert_string_equal(line("spanwatch"), "spanwatch top  unix:///s");
    assert_string_equal(line("trying"), "trying again: gone");
    assert_string_equal(line("  ..."), "  ...");
    top_draw(&v, d, &away, &page);
    assert_string_equal(line("this"), "this is 12 s old, trying again: gone");
    assert_int_equal(page.line[1].style, TOP_CRITICAL);
    assert_non_null(strstr(line("> "), "2001:db8::1"));
    assert_int_equal(top_press(&v, NULL, TOP_KEY_ENTER, 24), TOP_NOTHING);
    top_view_fini(&v);
    top_data_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_main_screen),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_gaps_are_told),
        cmocka_unit_test(test_wide_and_odd_texts),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_timeline),
        cmocka_unit_test(test_clients_have_a_cap),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_a_store_that_is_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
