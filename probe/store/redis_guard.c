/*
 * The guard of the embedded redis-server (store_embedded.h): a process of its own that starts the
 * server again when it dies.
 *
 * The probe gives its rights away, the right to start programs too; so this process is made before,
 * and does nothing else. It learns of the server's end by a descriptor of the process, and of the
 * probe's by the socket between them. A probe that ends in order says so first; behind one that was
 * killed the server stays, for the next one.
 */
#include "redis_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    WAIT_FIRST_MS = 100,
    WAIT_MOST_MS = 10000,
    STEADY_S = 60, /* a server that lived so long is started at once */
    DESCRIPTORS = 1024
};

static const char program[] = "redis-server";

struct guard {
    const char *folder, *socket;
    uid_t uid;
    gid_t gid;
    int fd;      /* to the probe */
    pid_t child; /* a server that this process started; 0: none */
};

/* Nothing of the probe's is this process's business but `kept`. */
static void close_all_but(int kept) {
    for (int fd = STDERR_FILENO + 1; fd < DESCRIPTORS; fd++)
        if (fd != kept)
            close(fd);
}

static bool drop_rights(const struct guard *g) {
    return geteuid() != 0 || g->uid == 0 ||
           (setgroups(0, NULL) == 0 && setresgid(g->gid, g->gid, g->gid) == 0 &&
            setresuid(g->uid, g->uid, g->uid) == 0);
}

static bool close_standard(int last) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; null >= 0 && fd <= last; fd++)
        dup2(null, fd);
    return null >= 0;
}

/* In the server's process, up to the new program; what fails here ends it. Its settings stand on
 * its command line: there is no file that could say otherwise. */
static _Noreturn void become_server(const struct guard *g) {
    signal(SIGPIPE, SIG_DFL);
    setsid();
    if (!close_standard(STDERR_FILENO))
        _exit(126);
    close_all_but(-1);
    execlp(program, program, "--port", "0", "--unixsocket", g->socket, "--unixsocketperm", "700",
           "--dir", g->folder, "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
           "--maxmemory-policy", "noeviction", "--daemonize", "no", "--logfile", "redis.log",
           (char *)NULL);
    _exit(127);
}

static pid_t start_server(struct guard *g) {
    pid_t child = fork();
    if (child == 0)
        become_server(g);
    g->child = child > 0 ? child : 0;
    return child;
}

/* A word of the probe; false when it is gone, or says that this is the end. */
static bool take_word(const struct guard *g, pid_t *server) {
    int32_t word;
    if (recv(g->fd, &word, sizeof word, 0) != sizeof word || word == STORE_GUARD_END)
        return false;
    *server = word;
    return true;
}

/* Has the probe something to say, or is it gone? */
static bool is_called(const struct guard *g, int timeout_ms) {
    struct pollfd p = {.fd = g->fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) > 0;
}

/* Until the server has ended: true; or until the probe says, or shows, that it is over: false. */
static bool await_end(const struct guard *g, pid_t server) {
    int fd = (int)syscall(SYS_pidfd_open, server, 0);
    struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = g->fd, .events = POLLIN}};
    bool ended = fd < 0 && errno == ESRCH;
    if (fd < 0 && !ended)
        return false; /* a kernel before 5.3: there is no guard */
    while (!ended && p[1].revents == 0)
        ended = poll(p, 2, -1) > 0 && p[0].revents != 0;
    if (fd >= 0)
        close(fd);
    return ended && !is_called(g, 0);
}

static int32_t reap(struct guard *g) {
    int status = -1;
    if (g->child > 0 && waitpid(g->child, &status, 0) != g->child)
        status = -1;
    g->child = 0;
    return status >= 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static uint64_t now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec;
}

/* As long as there is a probe, there is a server. */
static void watch(struct guard *g, pid_t server) {
    int wait_ms = WAIT_FIRST_MS;
    while (server > 0) {
        uint64_t since_s = now_s();
        if (!await_end(g, server))
            return;
        int32_t status = reap(g);
        send(g->fd, &status, sizeof status, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (now_s() - since_s >= STEADY_S)
            wait_ms = WAIT_FIRST_MS;
        if (is_called(g, wait_ms))
            return;
        base_warn("%s: the store's server has ended (see redis.log there); starting it again",
                  g->folder);
        wait_ms = wait_ms * 2 < WAIT_MOST_MS ? wait_ms * 2 : WAIT_MOST_MS;
        server = start_server(g);
    }
}

static _Noreturn void run(struct guard *g) {
    sigset_t none;
    pid_t server = 0;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_NAME, "store-guard");
    setsid();
    close_all_but(g->fd);
    if (!close_standard(STDOUT_FILENO) || chdir(g->folder) != 0 || !drop_rights(g))
        _exit(126);
    if (!take_word(g, &server))
        _exit(0);
    if (server == STORE_GUARD_START)
        server = start_server(g);
    watch(g, server);
    _exit(0);
}

int store_guard_new(const char *folder, const char *socket, uid_t uid, gid_t gid,
                    struct base_error *error) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return base_error_set(error, program, "cannot be guarded: %s", strerror(errno));
    pid_t child = fork();
    if (child == 0) {
        struct guard g = {
            .folder = folder, .socket = socket, .uid = uid, .gid = gid, .fd = pair[1]};
        run(&g);
    }
    close(pair[1]);
    if (child > 0)
        return pair[0];
    base_error_set(error, program, "cannot be guarded: %s", strerror(errno));
    close(pair[0]);
    return -1;
}

bool store_guard_say(int guard, int32_t word) {
    return send(guard, &word, sizeof word, MSG_NOSIGNAL) == sizeof word;
}

bool store_guard_has_ended(int guard, int32_t *status) {
    return recv(guard, status, sizeof *status, MSG_DONTWAIT) == sizeof *status;
}
