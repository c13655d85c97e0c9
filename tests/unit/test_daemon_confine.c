/*
 * The filters of system calls: each case is a process of its own that confines itself and tries one
 * call. It ends with the errno that the call gave, or by the kernel's hand.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "spanwatch/daemon.h"

enum { UNCONFINED = 200 /* exit status: this system has no such filter */ };

static int fault(long result) {
    return result < 0 ? errno : 0;
}

static int try_read_file(void) {
    return fault(open("/proc/self/stat", O_RDONLY | O_CLOEXEC));
}

static int try_write_file(void) {
    return fault(open("/dev/null", O_WRONLY | O_CLOEXEC));
}

static int try_create_file(void) {
    return fault(openat(AT_FDCWD, "spanwatch-must-not-exist", O_RDONLY | O_CREAT, 0600));
}

static int try_write(void) {
    return fault(syscall(SYS_write, STDERR_FILENO, "", 0));
}

static int try_internet_socket(void) {
    return fault(socket(AF_INET, SOCK_STREAM, 0));
}

static int try_unix_socket(void) {
    return fault(socket(AF_UNIX, SOCK_DGRAM, 0));
}

static int try_send(void) {
    return fault(syscall(SYS_sendto, -1, "", 0, 0, NULL, 0));
}

static int try_execute(void) {
    char *const arguments[] = {NULL};
    return fault(execve("/bin/true", arguments, arguments));
}

static int try_process(void) {
    return fault(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
}

static int try_executable_memory(void) {
    void *p =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? errno : 0;
}

static int try_set_time(void) {
    return fault(syscall(SYS_clock_settime, CLOCK_REALTIME, NULL));
}

static void *nothing(void *context) {
    return context;
}

static int try_thread(void) {
    pthread_t thread;
    int result = pthread_create(&thread, NULL, nothing, NULL);
    return result != 0 ? result : pthread_join(thread, NULL);
}

enum { KILLED = -1 };

/* errno of the call under the profile, 0 when it worked, KILLED when the kernel ended the process.
 */
static int outcome(enum daemon_profile profile, int (*call)(void)) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        _exit(daemon_confine(profile) ? call() : UNCONFINED);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGSYS);
        return KILLED;
    }
    if (WEXITSTATUS(status) == UNCONFINED)
        skip();
    return WEXITSTATUS(status);
}

static void test_probe_does_its_work(void **state) {
    (void)state;
    assert_int_equal(outcome(DAEMON_PROBE, try_read_file), 0);
    assert_int_equal(outcome(DAEMON_PROBE, try_write), 0);
    assert_int_equal(outcome(DAEMON_PROBE, try_thread), 0);
}

static void test_probe_changes_nothing_else(void **state) {
    (void)state;
    assert_int_equal(outcome(DAEMON_PROBE, try_write_file), EPERM);
    assert_int_equal(outcome(DAEMON_PROBE, try_create_file), EPERM);
    assert_int_equal(outcome(DAEMON_PROBE, try_internet_socket), EPERM);
    assert_int_equal(outcome(DAEMON_PROBE, try_unix_socket), EPERM);
    assert_int_equal(outcome(DAEMON_PROBE, try_executable_memory), EPERM);
    assert_int_equal(outcome(DAEMON_PROBE, try_set_time), EPERM);
}

static int try_packet_socket(void) {
    return fault(socket(AF_PACKET, SOCK_RAW, 0));
}

static int try_connect(void) {
    return fault(connect(-1, NULL, 0));
}

/* The store's socket and the spool's files, and nothing more than that. */
static void test_writer_reaches_its_store(void **state) {
    (void)state;
    assert_int_equal(outcome(DAEMON_WRITER, try_write_file), 0);
    assert_int_equal(outcome(DAEMON_WRITER, try_internet_socket), 0);
    assert_int_equal(outcome(DAEMON_WRITER, try_unix_socket), 0);
    assert_int_equal(outcome(DAEMON_WRITER, try_connect), EBADF);
    assert_int_equal(outcome(DAEMON_WRITER, try_thread), 0);
    assert_int_equal(outcome(DAEMON_WRITER, try_packet_socket), EPERM);
    assert_int_equal(outcome(DAEMON_WRITER, try_executable_memory), EPERM);
    assert_int_equal(outcome(DAEMON_WRITER, try_execute), KILLED);
    assert_int_equal(outcome(DAEMON_WRITER, try_process), KILLED);
}

static void test_opener_opens_only(void **state) {
    (void)state;
    assert_int_equal(outcome(DAEMON_OPENER, try_read_file), 0);
    assert_int_equal(outcome(DAEMON_OPENER, try_unix_socket), 0);
    assert_int_equal(outcome(DAEMON_OPENER, try_write), EPERM);
    assert_int_equal(outcome(DAEMON_OPENER, try_send), EPERM);
    assert_int_equal(outcome(DAEMON_OPENER, try_internet_socket), EPERM);
    assert_int_equal(outcome(DAEMON_OPENER, try_thread), EPERM);
    assert_int_equal(outcome(DAEMON_OPENER, try_executable_memory), EPERM);
}

static void test_no_programs_and_no_processes(void **state) {
    (void)state;
    assert_int_equal(outcome(DAEMON_PROBE, try_execute), KILLED);
    assert_int_equal(outcome(DAEMON_PROBE, try_process), KILLED);
    assert_int_equal(outcome(DAEMON_OPENER, try_execute), KILLED);
    assert_int_not_equal(outcome(DAEMON_OPENER, try_process), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probe_does_its_work),
        cmocka_unit_test(test_probe_changes_nothing_else),
        cmocka_unit_test(test_writer_reaches_its_store),
        cmocka_unit_test(test_opener_opens_only),
        cmocka_unit_test(test_no_programs_and_no_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
