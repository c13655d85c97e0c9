/*
 * The embedded redis-server (store_embedded.h): found or started, watched by its guard, ended.
 *
 * Guard and server have sessions of their own, so that what ends the probe from a terminal does not
 * end its server first; the server's output goes to a log in the folder.
 */
#include "spanwatch/store_embedded.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "redis_guard.h"

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

static int await(int guard, const char *folder, const struct redis_url *u,
                 struct base_error *error) {
    bool told = false;
    for (int look = 0; look < LOAD_S * 1000 / LOOK_MS; look++) {
        bool loading;
        int32_t status;
        if (answers(u, &loading))
            return 0;
        if (store_guard_has_ended(guard, &status))
            return base_error_set(error, program,
                                  "the store's server ended at once (status %d): see "
                                  "%s/redis.log; another store is given with --redis URL",
                                  (int)status, folder);
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

/* The number of the server's process; 0 when it does not tell. */
static int32_t process_of(const struct redis_url *u) {
    static const char name[] = "process_id:";
    struct base_error error;
    redisContext *c = redis_open(u, ANSWER_MS, &error);
    redisReply *r = c != NULL ? redisCommand(c, "INFO server") : NULL;
    const char *at = r != NULL && r->type == REDIS_REPLY_STRING ? strstr(r->str, name) : NULL;
    int32_t number = at != NULL ? (int32_t)strtol(at + sizeof name - 1, NULL, 10) : 0;
    if (r != NULL)
        freeReplyObject(r);
    if (c != NULL)
        redisFree(c);
    return number;
}

int store_embedded_guard(const char *folder, uid_t uid, gid_t gid, struct base_error *error) {
    struct redis_url u = {0};
    return redis_embedded_path(folder, u.path, error) != 0
               ? -1
               : store_guard_new(folder, u.path, uid, gid, error);
}

int store_embedded_start(const char *folder, int guard, struct redis_url *u,
                         struct base_error *error) {
    bool loading;
    *u = (struct redis_url){0};
    if (redis_embedded_path(folder, u->path, error) != 0)
        return -1;
    if (answers(u, &loading) || loading) { /* of a probe that was killed */
        int result = await(guard, folder, u, error);
        int32_t server = result == 0 ? process_of(u) : 0;
        if (server > 0)
            store_guard_say(guard, server);
        return result;
    }
    if (!is_installed())
        return base_error_set(error, program,
                              "is not installed, and no store was given: install it (apt-get "
                              "install redis-server), or give --redis URL, or --redis none for no "
                              "store");
    if (!store_guard_say(guard, STORE_GUARD_START))
        return base_error_set(error, program, "cannot be started: its guard is gone");
    return await(guard, folder, u, error);
}

void store_embedded_stop(const struct redis_url *u, int guard) {
    struct base_error error;
    struct timeval wait = {.tv_sec = STOP_MS / 1000};
    store_guard_say(guard, STORE_GUARD_END);
    redisContext *c = redis_open(u, ANSWER_MS, &error);
    if (c == NULL)
        return;
    redisSetTimeout(c, wait);
    freeReplyObject(redisCommand(c, "SHUTDOWN")); /* answers by hanging up, its file written */
    redisFree(c);
}
