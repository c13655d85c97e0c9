/*
 * A connection for those that may wait: readers, and the checks before a writer's loop runs.
 *
 * hiredis's synchronous calls, each with a deadline. What the server refuses is told in words that
 * say what to do; the password is in none of them.
 */
#include "spanwatch/redis.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

static void *fail(redisContext *c, const struct redis_url *u, struct base_error *error,
                  const char *why) {
    char shown[REDIS_SHOWN_TEXT];
    base_error_set(error, redis_url_shown(u, shown), "%s", why);
    if (c != NULL)
        redisFree(c);
    return NULL;
}

/* Why a server's answer is none that lets us go on; NULL when it is fine. `text` may hold it. */
static const char *refusal(const redisContext *c, const redisReply *r, char *text, size_t size) {
    if (r == NULL) {
        snprintf(text, size, "no answer: %s", c->errstr);
        return text;
    }
    if (r->type != REDIS_REPLY_ERROR)
        return NULL;
    if (strncmp(r->str, "NOAUTH", 6) == 0)
        return "the server wants a password: redis://user:password@host, or redis://:password@host";
    if (strncmp(r->str, "WRONGPASS", 9) == 0 || strstr(r->str, "invalid password") != NULL)
        return "the server does not take this user and password";
    if (strncmp(r->str, "LOADING", 7) == 0)
        return "the server is still loading its data; try again in a while";
    snprintf(text, size, "the server answered: %.200s", r->str);
    return text;
}

static redisReply *authenticate(redisContext *c, const struct redis_url *u) {
    if (u->user[0] != '\0')
        return redisCommand(c, "AUTH %s %s", u->user, u->password);
    return redisCommand(c, "AUTH %s", u->password);
}

/* The password, then the database: NULL, or why it cannot be. */
static const char *introduce(redisContext *c, const struct redis_url *u, char *text, size_t size) {
    const char *why = NULL;
    if (u->auth) {
        redisReply *r = authenticate(c, u);
        why = refusal(c, r, text, size);
        freeReplyObject(r);
    }
    if (why == NULL) {
        redisReply *r = u->db > 0 ? redisCommand(c, "SELECT %u", u->db) : redisCommand(c, "PING");
        /* a user who may not PING may still read */
        if (r == NULL || u->db > 0 || r->type != REDIS_REPLY_ERROR ||
            strncmp(r->str, "NOPERM", 6) != 0)
            why = refusal(c, r, text, size);
        freeReplyObject(r);
    }
    return why;
}

struct redisContext *redis_open(const struct redis_url *u, unsigned timeout_ms,
                                struct base_error *error) {
    struct timeval wait = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    char text[320];
    redisContext *c = u->path[0] != '\0' ? redisConnectUnixWithTimeout(u->path, wait)
                                         : redisConnectWithTimeout(u->host, u->port, wait);
    if (c == NULL)
        return fail(NULL, u, error, "out of memory");
    if (c->err != 0) {
        snprintf(text, sizeof text, "cannot be reached: %s", c->errstr);
        return fail(c, u, error, text);
    }
    redisSetTimeout(c, wait);
    const char *why = introduce(c, u, text, sizeof text);
    return why == NULL ? c : fail(c, u, error, why);
}
