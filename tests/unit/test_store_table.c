/*
 * The table of `read --at`.
 */
#include "test_record_fixture.h"

#include "spanwatch/store.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

enum { PAGE = 4096 };

static struct event row(const char *client, const char *server, uint16_t server_port,
                        enum tcp_inferred inferred) {
    struct event e = fixture_connection(fixture_flow(client, 40000, server, server_port));
    e.connection.state[EVENT_CLIENT] = TCP_ESTABLISHED;
    e.connection.state[EVENT_SERVER] = TCP_SYN_RECEIVED;
    e.connection.inferred = (uint8_t)inferred;
    return e;
}

static void assert_table(struct store_table *t, uint64_t at_ns, const char *expected) {
    char page[PAGE];
    FILE *out = fmemopen(page, sizeof page, "w");
    assert_non_null(out);
    assert_int_equal(store_table_print(t, at_ns, out, NULL), 0);
    fclose(out);
    assert_string_equal(page, expected);
}

static void test_no_rows(void **state) {
    struct fixture *x = *state;
    struct store_table *t = store_table_new(&x->context);
    assert_non_null(t);
    assert_table(t, T0, "2023-11-14 22:13:20.000 UTC: 0 connections\n");
    store_table_free(t);
}

static void test_rows_are_aligned(void **state) {
    struct fixture *x = *state;
    struct store_table *t = store_table_new(&x->context);
    struct event a = row("10.0.0.1", "10.0.0.2", 50443, TCP_PROVEN);
    struct event b = row("2001:db8::9", "2001:db8::2", 50443, TCP_INFERRED_MIDSTREAM);
    assert_non_null(t);
    store_table_row(t, &a);
    store_table_row(t, &b);
    assert_table(t, T0 + 3 * BASE_NS_PER_S,
                 "2023-11-14 22:13:23.000 UTC: 2 connections\n"
                 "CLIENT               SERVER               SERVICE    CLIENT_STATE  SINCE         "
                 "SERVER_STATE  "
                 "SINCE         INFERRED   FLOW\n"
                 "10.0.0.1:40000       10.0.0.2:50443       tcp/50443  ESTABLISHED   22:13:21.500  "
                 "SYN_RECEIVED  "
                 "22:13:21.400             7f63c458f93b7e3f\n"
                 "[2001:db8::9]:40000  [2001:db8::2]:50443  api        ESTABLISHED   22:13:21.500  "
                 "SYN_RECEIVED  "
                 "22:13:21.400  midstream  80fa906965ff0651\n");
    store_table_free(t);
}

/* A state that is held since an earlier day names the day. */
static void test_days(void **state) {
    struct fixture *x = *state;
    struct store_table *t = store_table_new(&x->context);
    struct event a = row("10.0.0.1", "10.0.0.2", 50443, TCP_PROVEN);
    assert_non_null(t);
    store_table_row(t, &a);
    assert_table(t, T0 + 7200 * BASE_NS_PER_S,
                 "2023-11-15 00:13:20.000 UTC: 1 connection\n"
                 "CLIENT          SERVER          SERVICE    CLIENT_STATE  SINCE                   "
                 " SERVER_STATE  "
                 "SINCE                    INFERRED  FLOW\n"
                 "10.0.0.1:40000  10.0.0.2:50443  tcp/50443  ESTABLISHED   2023-11-14 22:13:21.500 "
                 " SYN_RECEIVED  "
                 "2023-11-14 22:13:21.400            7f63c458f93b7e3f\n");
    store_table_free(t);
}

static struct store_table *many_rows(struct fixture *x) {
    struct store_table *t = store_table_new(&x->context);
    struct event a = row("10.0.0.1", "10.0.0.2", 50443, TCP_PROVEN);
    assert_non_null(t);
    for (int i = 0; i < 1000; i++)
        store_table_row(t, &a);
    return t;
}

static void test_full_disk_is_told(void **state) {
    struct store_table *t = many_rows(*state);
    struct base_error error = {0};
    FILE *full = fopen("/dev/full", "w");
    if (full == NULL)
        skip();
    assert_int_equal(store_table_print(t, T0, full, &error), -1);
    assert_non_null(strstr(error.why, strerror(ENOSPC)));
    fclose(full);
    store_table_free(t);
}

static void test_closed_pipe_is_no_failure(void **state) {
    struct store_table *t = many_rows(*state);
    int fd[2];
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(fd), 0);
    close(fd[0]);
    FILE *out = fdopen(fd[1], "w");
    assert_non_null(out);
    assert_int_equal(store_table_print(t, T0, out, NULL), 0);
    fclose(out);
    store_table_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_rows),
        cmocka_unit_test(test_rows_are_aligned),
        cmocka_unit_test(test_days),
        cmocka_unit_test(test_full_disk_is_told),
        cmocka_unit_test(test_closed_pipe_is_no_failure),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
