/*
 * JSON Lines: what is written, what is left out, and what happens when nothing more can be.
 */
#include "test_record_fixture.h"

#include "spanwatch/store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANY = 4000 /* records that fill the buffer several times over */ };

static struct event syn(uint64_t ts_ns) {
    struct event e = {.ts_ns = ts_ns,
                      .flow = fixture_flow("10.0.0.1", 40000, "10.0.0.2", 50443),
                      .type = EVENT_TRANSITION};
    e.transition =
        (struct event_transition){.state = {TCP_SYN_SENT, TCP_CLOSED}, .cause = TCP_CAUSE_SYN};
    return e;
}

/* One of each kind, through a sink that wants `records`; the text that it wrote. */
static char *written(struct fixture *x, unsigned records) {
    FILE *file = tmpfile();
    assert_non_null(file);
    struct store_jsonl *j = store_jsonl_new(&x->context, fileno(file), "test", records);
    struct event t = syn(T0), c = fixture_connection(t.flow);
    struct record_gap gap = {.ts_ns = T0, .lost = 1};
    struct record_stats stats = {.ts_ns = T0};
    assert_non_null(j);
    store_jsonl_event(j, &t);
    store_jsonl_event(j, &c);
    store_jsonl_gap(j, &gap);
    store_jsonl_stats(j, &stats);
    assert_int_equal(store_jsonl_end(j, NULL), 0);
    store_jsonl_free(j);
    char *text = calloc(1, 4 * RECORD_MAX);
    assert_non_null(text);
    rewind(file);
    assert_true(fread(text, 1, 4 * RECORD_MAX - 1, file) < 4 * RECORD_MAX - 1);
    fclose(file);
    return text;
}

static unsigned lines(const char *text) {
    unsigned n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

static void test_records_in_order(void **state) {
    char *text = written(*state, STORE_ALL);
    static const char *const types[] = {"{\"type\":\"transition\",", "{\"type\":\"connection\",",
                                        "{\"type\":\"gap\",", "{\"type\":\"stats\","};
    char *line = text;
    assert_int_equal(lines(text), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_memory_equal(line, types[i], strlen(types[i]));
        line = strchr(line, '\n') + 1;
    }
    free(text);
}

static void test_only_the_records_asked_for(void **state) {
    static const struct {
        unsigned records;
        const char *type;
    } cases[] = {{STORE_TRANSITIONS, "{\"type\":\"transition\","},
                 {STORE_CONNECTIONS, "{\"type\":\"connection\","},
                 {STORE_GAPS, "{\"type\":\"gap\","},
                 {STORE_STATS, "{\"type\":\"stats\","}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = written(*state, cases[i].records);
        assert_int_equal(lines(text), 1);
        assert_memory_equal(text, cases[i].type, strlen(cases[i].type));
        free(text);
    }
    char *text = written(*state, STORE_ALARMS);
    assert_string_equal(text, "");
    free(text);
}

static void test_rows_do_not_depend_on_records(void **state) {
    struct fixture *x = *state;
    char text[RECORD_MAX] = "", expected[RECORD_MAX];
    struct event c = fixture_connection(fixture_flow("10.0.0.1", 40000, "10.0.0.2", 50443));
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    struct store_jsonl *j = store_jsonl_new(&x->context, fd[1], "test", 0);
    assert_non_null(j);
    store_jsonl_row(j, &c);
    assert_int_equal(store_jsonl_end(j, NULL), 0);
    store_jsonl_free(j);
    size_t n = record_row_json(&x->context, &c, expected);
    assert_int_equal(read(fd[0], text, sizeof text), n);
    assert_memory_equal(text, expected, n);
    close(fd[0]);
    close(fd[1]);
}

/* More than the buffer holds: every record is there once, in order. */
static void test_many_records(void **state) {
    struct fixture *x = *state;
    FILE *file = tmpfile();
    char line[RECORD_MAX], expected[RECORD_MAX];
    assert_non_null(file);
    struct store_jsonl *j = store_jsonl_new(&x->context, fileno(file), "test", STORE_ALL);
    assert_non_null(j);
    for (int i = 0; i < MANY; i++) {
        struct event e = syn(T0 + (uint64_t)i);
        store_jsonl_event(j, &e);
    }
    assert_true(lseek(fileno(file), 0, SEEK_END) >
                512 << 10); /* written as it filled, not only at the end */
    assert_int_equal(store_jsonl_end(j, NULL), 0);
    store_jsonl_free(j);
    rewind(file);
    for (int i = 0; i < MANY; i++) {
        struct event e = syn(T0 + (uint64_t)i);
        expected[record_event_json(&x->context, &e, expected)] = '\0';
        assert_non_null(fgets(line, sizeof line, file));
        assert_string_equal(line, expected);
    }
    assert_null(fgets(line, sizeof line, file));
    fclose(file);
}

static int end_after_many(struct fixture *x, int fd, struct base_error *error) {
    struct store_jsonl *j = store_jsonl_new(&x->context, fd, "out.jsonl", STORE_ALL);
    struct event e = syn(T0);
    assert_non_null(j);
    for (int i = 0; i < MANY; i++)
        store_jsonl_event(j, &e);
    int result = store_jsonl_end(j, error);
    store_jsonl_free(j);
    return result;
}

static void test_full_disk_is_told(void **state) {
    struct base_error error = {0};
    int fd = open("/dev/full", O_WRONLY);
    if (fd < 0)
        skip();
    assert_int_equal(end_after_many(*state, fd, &error), -1);
    assert_string_equal(error.what, "out.jsonl");
    assert_non_null(strstr(error.why, strerror(ENOSPC)));
    close(fd);
}

static void test_closed_pipe_is_no_failure(void **state) {
    struct base_error error = {0};
    int fd[2];
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(fd), 0);
    close(fd[0]);
    assert_int_equal(end_after_many(*state, fd[1], &error), 0);
    assert_string_equal(error.what, "");
    close(fd[1]);
}

/* A pipe that another program made non-blocking, emptied more slowly than it is filled. */
static void test_slow_reader_loses_nothing(void **state) {
    struct fixture *x = *state;
    struct event e = syn(T0);
    char text[RECORD_MAX];
    size_t expected = MANY * record_event_json(&x->context, &e, text), got = 0;
    int fd[2];
    assert_int_equal(pipe2(fd, O_NONBLOCK), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(end_after_many(x, fd[1], NULL) == 0 ? 0 : 1);
    close(fd[1]);
    assert_int_equal(fcntl(fd[0], F_SETFL, 0), 0);
    for (ssize_t n; (n = read(fd[0], text, sizeof text)) > 0;)
        got += (size_t)n;
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(got, expected);
    close(fd[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_in_order),
        cmocka_unit_test(test_only_the_records_asked_for),
        cmocka_unit_test(test_rows_do_not_depend_on_records),
        cmocka_unit_test(test_many_records),
        cmocka_unit_test(test_full_disk_is_told),
        cmocka_unit_test(test_closed_pipe_is_no_failure),
        cmocka_unit_test(test_slow_reader_loses_nothing),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
