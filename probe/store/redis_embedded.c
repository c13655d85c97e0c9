/*
 * The embedded redis-server (store_embedded.h).
 *
 * It is started in a session of its own, so that what ends the probe from a terminal does not end
 * its server first; standard output goes to a log in the folder. Its settings stand on its command
 * line: there is no file that could say otherwise.
 */
#include "spanwatch/store_embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LOOK_MS = 50,
    START_S = 10, /* until it listens */
    LOAD_S = 600, /* while it says that it loads its file */
    ANSWER_MS = 2000,
    STOP_MS = 3000
};

static const char program[] = "redis-server";

/* Is it in the path? execvp would say so too, but in the child. */
static bool is_installed(void) {
    const char *path = getenv("PATH");
    char file[512];
    path = path != NULL && *path != '\0' ? path : "/usr/local/bin:/usr/bin:/bin";
    while (*path != '\0') {
        size_t n = strcspn(path, ":");
        snprintf(file, sizeof file, "%.*s/%s", (int)n, path, program);
        if (access(file, X_OK) == 0)
            return true;
        path += n + (path[n] == ':');
    }
    return false;
}

/* In the child, up to the new program; what fails here ends it. */
static _Noreturn void become_server(const char *folder, const char *socket, uid_t uid, gid_t gid) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    if (geteuid() == 0 &&
        (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 ||
         setresuid(uid, uid, uid) != 0) &&
        uid != 0)
        _exit(126);
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || chdir(folder) != 0)
        _exit(126);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    for (int fd = STDERR_FILENO + 1; fd < 1024; fd++) /* nothing of ours is its business */
        close(fd);
    execlp(program, program, "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700",
           "--dir", folder, "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
           "--maxmemory-policy", "noeviction", "--daemonize", "no", "--logfile", "redis.log",
           (char *)NULL);
    _exit(127);
}

/* Does it answer, and is it done with loading? */
static bool answers(const struct redis_url *u, bool *loading) {
    struct base_error error;
    redisContext *c = redis_open(u, ANSWER_MS, &error);
    *loading = c == NULL && strstr(error.why, "loading") != NULL;
    if (c == NULL)
        return false;
    redisFree(c);
    return true;
}

static int await(pid_t child, const char *folder, const struct redis_url *u,
                 struct base_error *error) {
    bool told = false;
    for (int look = 0; look < LOAD_S * 1000 / LOOK_MS; look++) {
        bool loading;
        int status;
        if (answers(u, &loading))
            return 0;
        if (child > 0 && waitpid(child, &status, WNOHANG) == child)
            return base_error_set(error, program,
                                  "the store's server ended at once (status %d): see "
                                  "%s/redis.log; another store is given with --redis URL",
                                  WIFEXITED(status) ? WEXITSTATUS(status) : -1, folder);
        if (loading && !told)
            base_warn("%s: the store's server loads its file", folder);
        told = told || loading;
        if (!loading && look > START_S * 1000 / LOOK_MS)
            break;
        usleep(LOOK_MS * 1000);
    }
    return base_error_set(error, program, "the store's server does not answer: see %s/redis.log",
                          folder);
}

int store_embedded_start(const char *folder, uid_t uid, gid_t gid, struct redis_url *u,
                         struct base_error *error) {
    bool loading;
    *u = (struct redis_url){0};
    if (redis_embedded_path(folder, u->path, error) != 0)
        return -1;
    if (answers(u, &loading) || loading) /* of a probe that was killed */
        return await(-1, folder, u, error);
    if (!is_installed())
        return base_error_set(error, program,
                              "is not installed, and no store was given: install it (apt-get "
                              "install redis-server), or give --redis URL, or --redis none for no "
                              "store");
    pid_t child = fork();
    if (child < 0)
        return base_error_set(error, program, "cannot be started: %s", strerror(errno));
    if (child == 0)
        become_server(folder, u->path, uid, gid);
    return await(child, folder, u, error);
}

void store_embedded_stop(const struct redis_url *u) {
    struct base_error error;
    struct timeval wait = {.tv_sec = STOP_MS / 1000};
    redisContext *c = redis_open(u, ANSWER_MS, &error);
    if (c == NULL)
        return;
    redisSetTimeout(c, wait);
    freeReplyObject(redisCommand(c, "SHUTDOWN")); /* answers by hanging up, its file written */
    redisFree(c);
}
