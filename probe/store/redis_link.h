/*
 * link: one connection to a Redis server on a libuv loop, made again whenever it breaks.
 *
 * Input: a URL. Output: calls of `up` (authenticated, the database chosen: commands may be sent)
 * and `down` (every command's callback has run, those without an answer with NULL). hiredis's own
 * libuv adapter of 0.14.1 swallows errors and goes deaf; this one does not, and keeps deadlines of
 * its own for the connection and for replies. Names are resolved without waiting. Owner: the
 * loop's thread; the struct is the caller's, and must stay until the loop has run after
 * store_link_close.
 */
#ifndef SPANWATCH_STORE_REDIS_LINK_H
#define SPANWATCH_STORE_REDIS_LINK_H

/* libuv's header brings netinet/tcp.h along, whose TCP states are spelled as ours are; the guard
 * that both glibc and musl give it leaves it out. */
#ifndef _NETINET_TCP_H
#define _NETINET_TCP_H 1
#endif
#include <uv.h>

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "spanwatch/redis.h"

enum store_link_state {
    STORE_LINK_WAITING, /* for the next attempt */
    STORE_LINK_RESOLVING,
    STORE_LINK_CONNECTING,
    STORE_LINK_GREETING, /* AUTH and SELECT are on their way */
    STORE_LINK_UP,
    STORE_LINK_CLOSED
};

struct store_link {
    /* set by the owner before store_link_start */
    struct redis_url url;
    uint32_t connect_ms, reply_ms; /* deadlines */
    void (*up)(void *context);
    void (*down)(void *context);
    void *context;

    uv_loop_t *loop;
    uv_timer_t tick;
    uv_getaddrinfo_t resolve;
    bool gone, was_up;             /* the context went since the last tick, and had been up */
    bool resolving, started, told; /* told: that it is down */
    enum store_link_state state;
    redisAsyncContext *redis;     /* NULL while there is none */
    struct store_link_poll *poll; /* its handle; freed by its close callback */
    unsigned attempt, greetings;  /* in a row; answers still to come */
    uint64_t since_ms;            /* of the state, by uv_now() */
    uint64_t down_ms;             /* when the connection was lost */
    uint64_t progress_ms;         /* of the last answer, or the first command without one */
    uint32_t wait_ms;             /* until the next attempt */
    size_t outstanding;           /* commands without an answer */
    uint64_t breaks;              /* connections that were lost or could not be made */
    char why[256];                /* of the last break; "" for none */
    char told_why[96];            /* what was told of it last */
    uint64_t tick_ms;             /* of the last tick */
    bool drop;                    /* cut it at the next tick */
};

int store_link_init(struct store_link *l, uv_loop_t *loop);
void store_link_start(struct store_link *l);

/* Send a command in the protocol's form; `reply` is called exactly once, with NULL when the
 * connection breaks before the answer, and must call store_link_answered first. False when it was
 * not sent: reply is not called then. */
bool store_link_send(struct store_link *l, const char *command, size_t n, redisCallbackFn *reply,
                     void *context);
void store_link_answered(struct store_link *l, const void *reply);

/* Cut the connection soon, and try again after `wait_ms` at least. May be called from a reply. */
void store_link_drop(struct store_link *l, uint32_t wait_ms, const char *why);

/* The end: no more attempts; closed once the loop has run. */
void store_link_close(struct store_link *l);

#endif
