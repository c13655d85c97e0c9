/*
 * Words to the service manager: a socket of the test's own plays it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "spanwatch/daemon.h"

/* A manager in the abstract namespace, its name ("@...") in the environment. */
static int open_manager(void) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char name[64];
    snprintf(name, sizeof name, "@spanwatch-test-%d", (int)getpid());
    memcpy(at.sun_path + 1, name + 1, strlen(name) - 1);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, size), 0);
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

static int forget_environment(void **state) {
    (void)state;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return 0;
}

static void test_no_manager_no_words(void **state) {
    (void)state;
    struct daemon_notify n;
    setenv("WATCHDOG_USEC", "1000000", 1);
    daemon_notify_open(&n);
    assert_int_equal(n.fd, -1);
    assert_int_equal(n.watchdog_ns, 0);
    daemon_notify_send(&n, "READY=1");
    daemon_notify_close(&n);
}

static void test_words_arrive(void **state) {
    (void)state;
    struct daemon_notify n;
    char word[64];
    int manager = open_manager();
    daemon_notify_open(&n);
    daemon_notify_send(&n, "READY=1");
    daemon_notify_send(&n, "STOPPING=1");
    assert_int_equal(recv(manager, word, sizeof word, MSG_DONTWAIT), 7);
    assert_memory_equal(word, "READY=1", 7);
    assert_int_equal(recv(manager, word, sizeof word, MSG_DONTWAIT), 10);
    assert_memory_equal(word, "STOPPING=1", 10);
    assert_int_equal(n.watchdog_ns, 0);
    daemon_notify_close(&n);
    close(manager);
}

static uint64_t watchdog_of(const char *usec, const char *pid) {
    struct daemon_notify n;
    int manager = open_manager();
    setenv("WATCHDOG_USEC", usec, 1);
    if (pid != NULL)
        setenv("WATCHDOG_PID", pid, 1);
    daemon_notify_open(&n);
    daemon_notify_close(&n);
    close(manager);
    return n.watchdog_ns;
}

static void test_watchdog_is_ours_or_off(void **state) {
    (void)state;
    char mine[24], other[24];
    snprintf(mine, sizeof mine, "%d", (int)getpid());
    snprintf(other, sizeof other, "%d", (int)getpid() + 1);
    assert_int_equal(watchdog_of("250000", NULL), 250 * BASE_NS_PER_MS);
    assert_int_equal(watchdog_of("250000", mine), 250 * BASE_NS_PER_MS);
    assert_int_equal(watchdog_of("250000", other), 0);
    unsetenv("WATCHDOG_PID");
    assert_int_equal(watchdog_of("soon", NULL), 0);
    assert_int_equal(watchdog_of("99999999999999999999", NULL), 0);
}

static void test_strange_names_are_left_alone(void **state) {
    (void)state;
    char name[300];
    const char *strange[] = {"", "@", "relative", "/nobody/listens/here", name};
    memset(name, 'x', sizeof name - 1);
    name[0] = '/';
    name[sizeof name - 1] = '\0';
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        struct daemon_notify n;
        setenv("NOTIFY_SOCKET", strange[i], 1);
        daemon_notify_open(&n);
        assert_int_equal(n.fd, -1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_no_manager_no_words, forget_environment),
        cmocka_unit_test_setup(test_words_arrive, forget_environment),
        cmocka_unit_test_setup(test_watchdog_is_ours_or_off, forget_environment),
        cmocka_unit_test_setup(test_strange_names_are_left_alone, forget_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
