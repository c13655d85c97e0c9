/*
 * The store of `read` (read_store.h).
 */
#include "read_store.h"

#include <poll.h>
#include <stdlib.h>

#include "alarms.h"

#ifndef _NETINET_TCP_H
#define _NETINET_TCP_H 1 /* see probe.h */
#endif
#include <uv.h>

enum { TURN = 256 /* records between two looks at what the store answers */ };

struct read_store {
    struct store_redis *redis;
    uv_loop_t loop;
    bool running;
    struct redis_url url;
    unsigned records; /* since the last turn of the loop */
};

static enum store_redis_history history_of(const struct cli_options *o) {
    if (o->replace)
        return STORE_REDIS_REPLACE;
    return o->resume ? STORE_REDIS_RESUME : STORE_REDIS_REFUSE;
}

static bool is_lost(const struct read_store *r) {
    struct store_redis_counters c;
    store_redis_counters(r->redis, &c);
    return c.lost_lock;
}

static int start(struct read_store *r, struct base_error *error) {
    if (uv_loop_init(&r->loop) != 0)
        return base_error_set(error, "store", "no event loop: out of memory or descriptors");
    r->running = true;
    if (store_redis_start(r->redis, &r->loop, error) != 0)
        return -1;
    while (!store_redis_is_ready(r->redis))
        uv_run(&r->loop, UV_RUN_ONCE);
    return 0;
}

struct read_store *read_store_new(const struct cli_options *o, const struct cli_config *config,
                                  const char *name, struct base_error *error) {
    struct store_redis_options options = {.prefix = config->store_prefix,
                                          .name = name,
                                          .version = SPANWATCH_VERSION,
                                          .partitions = config->store_partitions,
                                          .flush_ms = config->store_flush_ms,
                                          .keep_s = config->store_keep_s,
                                          .queue_mib = config->store_queue_mib,
                                          .history = history_of(o)};
    struct read_store *r = calloc(1, sizeof *r);
    if (r == NULL) {
        base_error_set(error, "store", "out of memory");
        return NULL;
    }
    if (redis_url_parse(&options.url, o->redis, error) == 0) {
        r->url = options.url;
        r->redis = store_redis_new(&options, error);
    }
    if (r->redis != NULL && start(r, error) == 0)
        return r;
    read_store_free(r);
    return NULL;
}

/* Let the loop look at what has come, and wait while too much is on its way. */
static void turn(struct read_store *r) {
    if (++r->records >= TURN) {
        r->records = 0;
        uv_run(&r->loop, UV_RUN_NOWAIT);
    }
    while (store_redis_is_full(r->redis) && !is_lost(r))
        uv_run(&r->loop, UV_RUN_ONCE);
}

void read_store_event(struct read_store *r, const struct record_context *c, const struct event *e) {
    store_redis_event(r->redis, c, e);
    turn(r);
}

void read_store_gap(struct read_store *r, const struct record_gap *g) {
    store_redis_gap(r->redis, g);
}

void read_store_snapshot(struct read_store *r, const struct record_context *c,
                         const struct snapshot *s) {
    struct store_redis_cursor at = {0};
    while (!store_redis_snapshot(r->redis, c, s, &at))
        turn(r);
}

void read_store_alarm(struct read_store *r, const struct record_context *c, struct alarm *a) {
    cli_alarms_store(r->redis, c, a);
    turn(r);
}

void read_store_wait(void *store, int fd) {
    struct read_store *r = store;
    struct pollfd p[] = {{.fd = fd, .events = POLLIN},
                         {.fd = uv_backend_fd(&r->loop), .events = POLLIN}};
    while (poll(p, 1, 0) == 0) {
        uv_run(&r->loop, UV_RUN_NOWAIT);
        poll(p, 2, uv_backend_timeout(&r->loop));
    }
}

void read_store_look(struct read_store *r) {
    uv_run(&r->loop, UV_RUN_NOWAIT);
}

const struct redis_url *read_store_url(const struct read_store *r) {
    return &r->url;
}

int read_store_end(struct read_store *r, const struct record_stats *stats,
                   struct base_error *error) {
    struct store_redis_counters c;
    store_redis_stats(r->redis, stats);
    store_redis_finish(r->redis, stats->ts_ns, 0);
    while (!store_redis_is_finished(r->redis))
        uv_run(&r->loop, UV_RUN_ONCE);
    store_redis_counters(r->redis, &c);
    if (c.lost_lock)
        return base_error_set(error, "store",
                              "another probe has taken this name over; what was not stored until "
                              "then is missing");
    if (c.conflict)
        return base_error_set(error, "--resume",
                              "the store holds other records than these captures give with these "
                              "options; --replace begins anew");
    if (c.lost > 0)
        return base_error_set(error, "store", "%llu records are missing: see the gap records",
                              (unsigned long long)c.lost);
    return 0;
}

void read_store_free(struct read_store *r) {
    if (r == NULL)
        return;
    if (r->redis != NULL)
        store_redis_close(r->redis);
    if (r->running) {
        uv_run(&r->loop, UV_RUN_DEFAULT);
        uv_loop_close(&r->loop);
    }
    store_redis_free(r->redis);
    free(r);
}
