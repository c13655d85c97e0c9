/*
 * Answers as a table: columns as wide as they need be, ages and moments for a person, what is empty
 * left out, and faults of the output.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spanwatch/query.h"

enum { PAGE = 4096 };
#define AT_NS UINT64_C(1700000003000000000) /* 2023-11-14 22:13:23 UTC */

static const char *const first[QUERY_CONNECTION_COLUMNS] = {"edge1",
                                                            "7f63c458f93b7e3f",
                                                            "10.0.0.1:40000",
                                                            "10.0.0.2:443",
                                                            "https",
                                                            "ESTABLISHED",
                                                            "SYN_RECEIVED",
                                                            "1700000001.500000000",
                                                            "1699999000.000000000",
                                                            "",
                                                            "kiosk-\xc3\xa9\t\x1b",
                                                            ""};
static const char *const second[QUERY_CONNECTION_COLUMNS] = {"edge1",
                                                             "80fa906965ff0651",
                                                             "[2001:db8::9]:40000",
                                                             "[2001:db8::2]:50443",
                                                             "日本",
                                                             "ESTABLISHED",
                                                             "ESTABLISHED",
                                                             "1700000001.500000000",
                                                             "",
                                                             "midstream",
                                                             "",
                                                             ""};

static struct query_writer *table_of(FILE *out, const char *const *const *rows, size_t n) {
    struct query_writer *w = query_writer_new(QUERY_FORMAT_TABLE, out, NULL, false, false);
    assert_non_null(w);
    struct query_sink sink = query_writer_sink(w);
    sink.begin(w, &(struct query_head){.what = QUERY_CONNECTIONS,
                                       .at_ns = AT_NS,
                                       .column = query_connection_column,
                                       .columns = QUERY_CONNECTION_COLUMNS});
    for (size_t i = 0; i < n; i++)
        assert_true(sink.row(w, &(struct query_row){.cell = rows[i]}));
    sink.end(w, n, 0);
    return w;
}

static void assert_table(const char *const *const *rows, size_t n, const char *expected) {
    char page[PAGE];
    FILE *out = fmemopen(page, sizeof page, "w");
    assert_non_null(out);
    struct query_writer *w = table_of(out, rows, n);
    assert_int_equal(query_writer_end(w, NULL), 0);
    query_writer_free(w);
    fclose(out);
    assert_string_equal(page, expected);
}

static void test_no_rows(void **state) {
    (void)state;
    assert_table(NULL, 0, "2023-11-14 22:13:23.000 UTC: 0 connections\n");
}

static void test_rows_are_aligned(void **state) {
    (void)state;
    assert_table(
        (const char *const *const[]){first, second}, 2,
        "2023-11-14 22:13:23.000 UTC: 2 connections\n"
        "PROBE  FLOW              CLIENT               SERVER               SERVICE  CLIENT_STATE  "
        "SERVER_STATE  CLIENT_SINCE  SERVER_SINCE  INFERRED   CLIENT_NAME\n"
        "edge1  7f63c458f93b7e3f  10.0.0.1:40000       10.0.0.2:443         https    ESTABLISHED   "
        "SYN_RECEIVED  1.50 s        16 min 43 s              kiosk-\xc3\xa9\\x09\\x1b\n"
        "edge1  80fa906965ff0651  [2001:db8::9]:40000  [2001:db8::2]:50443  日本     ESTABLISHED   "
        "ESTABLISHED   1.50 s                      midstream  \n");
}

static void test_empty_columns_are_left_out(void **state) {
    (void)state;
    assert_table((const char *const *const[]){second}, 1,
                 "2023-11-14 22:13:23.000 UTC: 1 connection\n"
                 "PROBE  FLOW              CLIENT               SERVER               SERVICE  "
                 "CLIENT_STATE  SERVER_STATE  CLIENT_SINCE  INFERRED\n"
                 "edge1  80fa906965ff0651  [2001:db8::9]:40000  [2001:db8::2]:50443  日本     "
                 "ESTABLISHED   ESTABLISHED   1.50 s        midstream\n");
}

static struct query_writer *many_rows(FILE *out) {
    static const char *const *rows[1000];
    for (size_t i = 0; i < 1000; i++)
        rows[i] = first;
    return table_of(out, rows, 1000);
}

static void test_full_disk_is_told(void **state) {
    struct base_error error = {0};
    FILE *full = fopen("/dev/full", "w");
    (void)state;
    if (full == NULL)
        skip();
    struct query_writer *w = many_rows(full);
    assert_int_equal(query_writer_end(w, &error), -1);
    assert_non_null(strstr(error.why, strerror(ENOSPC)));
    query_writer_free(w);
    fclose(full);
}

static void test_closed_pipe_is_no_failure(void **state) {
    int fd[2];
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(fd), 0);
    close(fd[0]);
    FILE *out = fdopen(fd[1], "w");
    assert_non_null(out);
    struct query_writer *w = many_rows(out);
    assert_int_equal(query_writer_end(w, NULL), 0);
    query_writer_free(w);
    fclose(out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_rows),
        cmocka_unit_test(test_rows_are_aligned),
        cmocka_unit_test(test_empty_columns_are_left_out),
        cmocka_unit_test(test_full_disk_is_told),
        cmocka_unit_test(test_closed_pipe_is_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
