/*
 * A connection that comes back (redis_link.h).
 *
 * hiredis tells of a lost connection in three ways, none of which always comes; its cleanup hook
 * is called whenever a context goes: that is where this file learns of it. A context is freed by
 * hiredis itself after a failure, and by cut() otherwise, which is never called from inside one of
 * hiredis's callbacks.
 */
#include "redis_link.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    TICK_MS = 20,
    LATE_MS = 500,
    WAIT_FIRST_MS = 50,
    WAIT_MOST_MS = 2000,
    KEEPALIVE_IDLE_S = 5,
    KEEPALIVE_INTERVAL_S = 2,
    KEEPALIVE_COUNT = 3,
    USER_TIMEOUT_MS = 10000
};

/* The handle lives until libuv has closed it, longer than the context. */
struct store_link_poll {
    uv_poll_t handle;
    struct store_link *link; /* NULL once the context is gone */
    int events;
};

static void set_state(struct store_link *l, enum store_link_state state) {
    l->state = state;
    l->since_ms = uv_now(l->loop);
}

static void note_why(struct store_link *l, const char *why) {
    if (l->why[0] == '\0')
        snprintf(l->why, sizeof l->why, "%s", why);
}

/* ---- the adapter between hiredis and libuv ---- */

static void on_poll_closed(uv_handle_t *handle) {
    free(handle->data);
}

static void on_poll(uv_poll_t *handle, int status, int events);

static void set_events(struct store_link_poll *p, int events) {
    if (p->link == NULL || events == p->events)
        return;
    p->events = events;
    if (events == 0)
        uv_poll_stop(&p->handle);
    else if (uv_poll_start(&p->handle, events, on_poll) != 0)
        store_link_drop(p->link, 0, "the socket cannot be watched");
}

static void add_read(void *data) {
    struct store_link_poll *p = data;
    set_events(p, p->events | UV_READABLE);
}

static void del_read(void *data) {
    struct store_link_poll *p = data;
    set_events(p, p->events & ~UV_READABLE);
}

static void add_write(void *data) {
    struct store_link_poll *p = data;
    set_events(p, p->events | UV_WRITABLE);
}

static void del_write(void *data) {
    struct store_link_poll *p = data;
    set_events(p, p->events & ~UV_WRITABLE);
}

/* Told once, and again when it fails for another reason. */
static void tell_break(struct store_link *l) {
    char shown[REDIS_SHOWN_TEXT];
    const char *why = l->why[0] != '\0' ? l->why : "connection lost";
    if (l->told && strncmp(why, l->told_why, sizeof l->told_why - 1) == 0)
        return;
    base_warn("%s: the store is not reached: %s; trying again, and keeping what it lacks",
              redis_url_shown(&l->url, shown), why);
    snprintf(l->told_why, sizeof l->told_why, "%.95s", why);
    if (!l->told)
        l->down_ms = uv_now(l->loop);
    l->told = true;
}

/* The connection is gone, or was never there: wait, longer each time, then try again. */
static void retry(struct store_link *l) {
    uint32_t wait = WAIT_FIRST_MS << (l->attempt < 6 ? l->attempt : 6);
    l->attempt++;
    l->breaks++;
    if (l->state == STORE_LINK_CLOSED)
        return;
    if (wait > WAIT_MOST_MS)
        wait = WAIT_MOST_MS;
    if (l->wait_ms < wait)
        l->wait_ms = wait;
    tell_break(l);
    set_state(l, STORE_LINK_WAITING);
}

/* hiredis lets go of a context: stop, close the handle; hiredis closes the descriptor behind us.
 * 0.14 has run the pending callbacks by now, 1.2 runs them right behind this call: what follows is
 * left to the next tick, which comes after both. */
static void cleanup(void *data) {
    struct store_link_poll *p = data;
    struct store_link *l = p->link;
    if (l == NULL)
        return;
    if (l->redis != NULL && l->redis->err != 0)
        note_why(l, l->redis->errstr);
    uv_poll_stop(&p->handle);
    uv_close((uv_handle_t *)&p->handle, on_poll_closed);
    p->link = NULL;
    l->poll = NULL;
    l->redis = NULL;
    l->gone = true;
    l->was_up = l->state == STORE_LINK_UP;
    if (l->state != STORE_LINK_CLOSED)
        set_state(l, STORE_LINK_WAITING);
}

static void take_leave(struct store_link *l) {
    l->gone = false;
    l->outstanding = 0;
    l->drop = false;
    retry(l);
    if (l->was_up)
        l->down(l->context);
}

/* Not from inside hiredis's callbacks. */
static void cut(struct store_link *l) {
    if (l->redis != NULL)
        redisAsyncFree(l->redis);
}

static void on_poll(uv_poll_t *handle, int status, int events) {
    struct store_link_poll *p = handle->data;
    if (p->link == NULL)
        return;
    if (status < 0) { /* libuv has stopped to look: nothing would ever come again */
        note_why(p->link, uv_strerror(status));
        cut(p->link);
        return;
    }
    redisAsyncContext *redis = p->link->redis;
    if (events & UV_READABLE)
        redisAsyncHandleRead(redis);
    if ((events & UV_WRITABLE) && p->link != NULL) /* the read may have freed it */
        redisAsyncHandleWrite(redis);
}

static int attach(struct store_link *l, redisAsyncContext *redis) {
    struct store_link_poll *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -1;
    if (uv_poll_init(l->loop, &p->handle, redis->c.fd) != 0) {
        free(p);
        return -1;
    }
    p->handle.data = p;
    p->link = l;
    l->poll = p;
    redis->ev.data = p;
    redis->ev.addRead = add_read;
    redis->ev.delRead = del_read;
    redis->ev.addWrite = add_write;
    redis->ev.delWrite = del_write;
    redis->ev.cleanup = cleanup;
    return 0;
}

/* ---- greeting: AUTH, SELECT ---- */

static void be_up(struct store_link *l) {
    char shown[REDIS_SHOWN_TEXT];
    if (l->told)
        base_warn("%s: the store is reached again after %.1f s", redis_url_shown(&l->url, shown),
                  (double)(uv_now(l->loop) - l->down_ms) / 1000);
    l->told = false;
    l->attempt = 0;
    l->wait_ms = 0;
    l->why[0] = '\0';
    set_state(l, STORE_LINK_UP);
    l->up(l->context);
}

static void on_greeting(redisAsyncContext *redis, void *reply, void *context) {
    struct store_link *l = redis->data;
    const redisReply *r = reply;
    (void)context;
    store_link_answered(l, reply);
    if (r == NULL || l->drop)
        return;
    if (r->type == REDIS_REPLY_ERROR)
        store_link_drop(l, WAIT_MOST_MS, r->str);
    else if (--l->greetings == 0)
        be_up(l);
}

/* One command of up to three words; texts may hold anything. */
static void greet_with(struct store_link *l, const char *const *word, size_t words) {
    char command[3 * (REDIS_SECRET_TEXT + 24)], *p = command;
    p += sprintf(p, "*%zu\r\n", words);
    for (size_t i = 0; i < words; i++) {
        p += sprintf(p, "$%zu\r\n", strlen(word[i]));
        p = mempcpy(p, word[i], strlen(word[i]));
        p = mempcpy(p, "\r\n", 2);
    }
    *p = '\0'; /* see scratch_room in redis_send.c */
    l->greetings += store_link_send(l, command, (size_t)(p - command), on_greeting, NULL);
    explicit_bzero(command, sizeof command);
}

static void greet(struct store_link *l) {
    char db[16];
    snprintf(db, sizeof db, "%u", l->url.db);
    set_state(l, STORE_LINK_GREETING);
    l->greetings = 0;
    if (l->url.auth && l->url.user[0] != '\0')
        greet_with(l, (const char *[]){"AUTH", l->url.user, l->url.password}, 3);
    else if (l->url.auth)
        greet_with(l, (const char *[]){"AUTH", l->url.password}, 2);
    if (l->url.db > 0)
        greet_with(l, (const char *[]){"SELECT", db}, 2);
    if (l->greetings == 0)
        be_up(l);
}

/* A peer that is gone without a word is noticed by the kernel too, not by our deadlines alone. */
static void keep_alive(int fd) {
    const int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S,
              count = KEEPALIVE_COUNT, user_timeout = USER_TIMEOUT_MS;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof user_timeout);
}

static void on_connected(const redisAsyncContext *redis, int status) {
    struct store_link *l = redis->data;
    if (status != REDIS_OK || l->state == STORE_LINK_CLOSED)
        return; /* hiredis frees the context behind us: cleanup() is called */
    if (l->url.path[0] == '\0')
        keep_alive(redis->c.fd);
    greet(l);
}

/* ---- connecting ---- */

static void connect_to(struct store_link *l, const char *address) {
    redisAsyncContext *redis = l->url.path[0] != '\0' ? redisAsyncConnectUnix(l->url.path)
                                                      : redisAsyncConnect(address, l->url.port);
    set_state(l, STORE_LINK_CONNECTING);
    l->why[0] = '\0';
    if (redis == NULL || redis->err != 0 || attach(l, redis) != 0) {
        note_why(l, redis != NULL && redis->err != 0 ? redis->errstr : "out of memory");
        if (redis != NULL)
            redisAsyncFree(redis); /* ours, since it never was attached */
        retry(l);
        return;
    }
    redis->data = l;
    l->redis = redis;
    redisAsyncSetConnectCallback(redis, on_connected);
}

/* Of several addresses another one is tried each time. */
static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list) {
    struct store_link *l = request->data;
    char address[INET6_ADDRSTRLEN] = "";
    unsigned n = 0;
    l->resolving = false;
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next)
        n++;
    const struct addrinfo *a = list;
    for (unsigned i = n > 0 ? l->attempt % n : 0; i > 0; i--)
        a = a->ai_next;
    if (l->state == STORE_LINK_RESOLVING && status == 0 && a != NULL &&
        getnameinfo(a->ai_addr, a->ai_addrlen, address, sizeof address, NULL, 0, NI_NUMERICHOST) ==
            0)
        connect_to(l, address);
    else if (l->state == STORE_LINK_RESOLVING) {
        l->why[0] = '\0';
        note_why(l, status != 0 ? uv_strerror(status) : "the name has no address");
        retry(l);
    }
    uv_freeaddrinfo(list);
}

static void attempt(struct store_link *l) {
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct base_addr known;
    l->wait_ms = 0;
    if (l->url.path[0] != '\0' || base_addr_parse(l->url.host, &known)) {
        connect_to(l, l->url.host);
        return;
    }
    if (l->resolving) /* the last lookup still goes on: its answer will do */
        return;
    set_state(l, STORE_LINK_RESOLVING);
    l->resolve.data = l;
    int status = uv_getaddrinfo(l->loop, &l->resolve, on_resolved, l->url.host, NULL, &hints);
    l->resolving = status == 0;
    if (status != 0) {
        l->why[0] = '\0';
        note_why(l, uv_strerror(status));
        retry(l);
    }
}

/* ---- deadlines ---- */

static void on_tick(uv_timer_t *tick) {
    struct store_link *l = tick->data;
    uint64_t now = uv_now(l->loop);
    if (now - l->tick_ms > LATE_MS &&
        l->tick_ms != 0) { /* the loop did not run: answers may wait */
        l->progress_ms += now - l->tick_ms;
        l->since_ms += now - l->tick_ms;
    }
    l->tick_ms = now;
    if (l->gone)
        take_leave(l);
    uint64_t in_state = now - l->since_ms;
    switch (l->state) {
    case STORE_LINK_WAITING:
        if (in_state >= l->wait_ms)
            attempt(l);
        return;
    case STORE_LINK_RESOLVING:
        if (in_state >= l->connect_ms) {
            l->why[0] = '\0';
            note_why(l, "its name is not resolved in time");
            retry(l);
        }
        return;
    case STORE_LINK_CLOSED:
        return;
    default:
        break;
    }
    if (l->state != STORE_LINK_UP && in_state >= l->connect_ms)
        note_why(l, "no connection in time");
    else if (l->outstanding > 0 && now - l->progress_ms >= l->reply_ms)
        note_why(l, "no answer in time");
    else if (!l->drop)
        return;
    cut(l);
}

int store_link_init(struct store_link *l, uv_loop_t *loop) {
    l->loop = loop;
    l->tick.data = l;
    set_state(l, STORE_LINK_WAITING);
    return uv_timer_init(loop, &l->tick);
}

void store_link_start(struct store_link *l) {
    l->started = true;
    uv_timer_start(&l->tick, on_tick, 0, TICK_MS);
}

bool store_link_send(struct store_link *l, const char *command, size_t n, redisCallbackFn *reply,
                     void *context) {
    if (l->redis == NULL || l->drop ||
        (l->state != STORE_LINK_UP && l->state != STORE_LINK_GREETING))
        return false;
    if (redisAsyncFormattedCommand(l->redis, reply, context, command, n) != REDIS_OK)
        return false;
    if (l->outstanding++ == 0)
        l->progress_ms = uv_now(l->loop);
    return true;
}

void store_link_answered(struct store_link *l, const void *reply) {
    if (reply == NULL)
        return;
    l->progress_ms = uv_now(l->loop);
    if (l->outstanding > 0)
        l->outstanding--;
}

void store_link_drop(struct store_link *l, uint32_t wait_ms, const char *why) {
    if (l->wait_ms < wait_ms)
        l->wait_ms = wait_ms;
    note_why(l, why);
    l->drop = true;
}

void store_link_close(struct store_link *l) {
    if (l->state == STORE_LINK_CLOSED)
        return;
    set_state(l, STORE_LINK_CLOSED);
    cut(l);
    if (l->resolving)
        uv_cancel((uv_req_t *)&l->resolve);
    if (!uv_is_closing((uv_handle_t *)&l->tick))
        uv_close((uv_handle_t *)&l->tick, NULL);
}
