/*
 * spanwatch-store-driver: the writer's interface for tests, with a probe's clock.
 *
 *   spanwatch-store-driver URL FOLDER [KEY=VALUE]...     keys: keep_s queue_mib spool_mib
 * retention_s spool (a folder) partitions name
 *
 * Reads commands from standard input, one a line, and answers each with a line:
 *   put N [SECONDS]      N transitions of now, or of so many seconds ago
 *   keyframe [SECONDS]   a keyframe of two connections
 *   alarm KIND STATUS    an alarm; answers its number
 *   wait [MS]            run the loop until all is stored, at most so long; answers the counters
 *   run MS               run the loop
 *   end                  finish as a probe does; answers what is left
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef _NETINET_TCP_H
#define _NETINET_TCP_H 1
#endif
#include <uv.h>

#include "spanwatch/store_redis.h"

struct driver {
    struct store_redis *store;
    uv_loop_t loop;
    uv_timer_t tick;
    struct record_context context;
    uint64_t made;
};

static uint64_t wall_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * BASE_NS_PER_S + (uint64_t)t.tv_nsec;
}

static void on_tick(uv_timer_t *timer) {
    (void)timer; /* the loop has to wake up for run() to look at the clock */
}

static struct event_flow flow_of(uint64_t i, uint64_t ts_ns) {
    return (struct event_flow){.family = 4,
                               .client_port = (uint16_t)(20000 + i % 30000),
                               .server_port = 8443,
                               .client = {10, 1, (uint8_t)(i >> 8), (uint8_t)i},
                               .server = {10, 200, 0, 1},
                               .first_ns = ts_ns};
}

static void put(struct driver *d, uint64_t n, uint64_t ts_ns) {
    for (uint64_t i = 0; i < n; i++, d->made++) {
        struct event e = {
            .ts_ns = ts_ns + i, .flow = flow_of(d->made, ts_ns + i), .type = EVENT_TRANSITION};
        e.transition =
            (struct event_transition){.state = {TCP_SYN_SENT, TCP_CLOSED}, .cause = TCP_CAUSE_SYN};
        store_redis_event(d->store, &d->context, &e);
    }
    struct record_stats stats = {.ts_ns = ts_ns + n};
    store_redis_stats(d->store, &stats);
    printf("put %llu\n", (unsigned long long)d->made);
}

static void ignore(void *context, size_t worker, const struct event_flow *f,
                   char out[SNAPSHOT_SERVICE_TEXT]) {
    (void)context;
    (void)worker;
    (void)f;
    snprintf(out, SNAPSHOT_SERVICE_TEXT, "api");
}

static void keyframe(struct driver *d, uint64_t ts_ns) {
    struct snapshot_config config = {.workers = 1, .members_always = true, .service = ignore};
    struct snapshot_maker *maker = snapshot_new(&config); /* a first one is a keyframe */
    struct event e = {.ts_ns = ts_ns, .type = EVENT_PICTURE};
    const struct snapshot *made = NULL;
    e.picture = (struct event_picture){.purpose = EVENT_FOR_SNAPSHOT, .flows = 2};
    snapshot_take(maker, 0, &e);
    for (uint64_t i = 0; i < 2; i++) {
        struct event m = {.ts_ns = ts_ns, .type = EVENT_MEMBER, .flow = flow_of(i * 77, ts_ns)};
        m.member.state[0] = m.member.state[1] = TCP_ESTABLISHED;
        m.member.since_ns[0] = m.member.since_ns[1] = ts_ns;
        snapshot_take(maker, 0, &m);
    }
    e.type = EVENT_PICTURE_END;
    made = snapshot_take(maker, 0, &e);
    struct store_redis_cursor at = {0};
    while (made != NULL && !store_redis_snapshot(d->store, &d->context, made, &at))
        ;
    printf("keyframe %d\n", made != NULL && made->keyframe);
    snapshot_free(maker);
}

static void alarm_message(struct driver *d, const char *kind, const char *status) {
    char json[256];
    struct store_redis_alarm a = {.ts_ns = wall_ns(),
                                  .seq = store_redis_alarm_seq(d->store),
                                  .kind = kind,
                                  .severity = "warning",
                                  .status = status,
                                  .json = json};
    a.json_octets = (size_t)snprintf(json, sizeof json,
                                     "{\"type\":\"alarm\",\"seq\":%llu,\"id\":\"id-%s\",\"kind\":"
                                     "\"%s\",\"status\":\"%s\"}",
                                     (unsigned long long)a.seq, kind, kind, status);
    store_redis_alarm(d->store, &a);
    printf("alarm %llu\n", (unsigned long long)a.seq);
}

static void run(struct driver *d, uint64_t ms, bool until_stored) {
    uint64_t end = uv_hrtime() + ms * BASE_NS_PER_MS;
    struct store_redis_counters c;
    do {
        uv_run(&d->loop, UV_RUN_ONCE);
        store_redis_counters(d->store, &c);
    } while (uv_hrtime() < end && !(until_stored && c.reached && c.queued == 0 && c.spooled == 0));
    printf("queued %llu spooled %llu lost %llu reached %d\n", (unsigned long long)c.queued,
           (unsigned long long)c.spooled, (unsigned long long)c.lost, c.reached);
}

static void finish(struct driver *d) {
    store_redis_finish(d->store, wall_ns(), 3000);
    while (!store_redis_is_finished(d->store))
        uv_run(&d->loop, UV_RUN_ONCE);
    printf("left %llu\n", (unsigned long long)store_redis_left(d->store));
}

static void obey(struct driver *d, char *line) {
    char *word[3] = {0}, *rest = line;
    for (int i = 0; i < 3; i++)
        word[i] = strtok_r(rest, " \n", &rest);
    uint64_t first = word[0] != NULL && word[1] != NULL ? strtoull(word[1], NULL, 10) : 0;
    uint64_t second = word[1] != NULL && word[2] != NULL ? strtoull(word[2], NULL, 10) : 0;
    if (word[0] == NULL)
        return;
    if (strcmp(word[0], "put") == 0)
        put(d, first, wall_ns() - second * BASE_NS_PER_S);
    else if (strcmp(word[0], "keyframe") == 0)
        keyframe(d, wall_ns() - first * BASE_NS_PER_S);
    else if (strcmp(word[0], "alarm") == 0 && word[2] != NULL)
        alarm_message(d, word[1], word[2]);
    else if (strcmp(word[0], "wait") == 0)
        run(d, word[1] != NULL ? first : 20000, true);
    else if (strcmp(word[0], "run") == 0)
        run(d, first, false);
    else if (strcmp(word[0], "end") == 0)
        finish(d);
    else
        printf("what?\n");
    fflush(stdout);
}

static void option(struct store_redis_options *o, const char *text) {
    const char *equals = strchr(text, '=');
    size_t n = equals != NULL ? (size_t)(equals - text) : 0;
    uint32_t value = equals != NULL ? (uint32_t)strtoul(equals + 1, NULL, 10) : 0;
    if (n == 6 && strncmp(text, "keep_s", n) == 0)
        o->keep_s = value;
    else if (n == 9 && strncmp(text, "queue_mib", n) == 0)
        o->queue_mib = value;
    else if (n == 9 && strncmp(text, "spool_mib", n) == 0)
        o->spool_mib = value;
    else if (n == 11 && strncmp(text, "retention_s", n) == 0)
        o->retention_s = value;
    else if (n == 10 && strncmp(text, "partitions", n) == 0)
        o->partitions = value;
    else if (n == 5 && strncmp(text, "spool", n) == 0)
        o->spool_folder = equals + 1;
    else if (n == 4 && strncmp(text, "name", n) == 0)
        o->name = equals + 1;
}

int main(int argc, char **argv) {
    static struct driver d;
    struct base_error error;
    char line[128];
    struct store_redis_options o = {.prefix = "spanwatch",
                                    .name = "driver",
                                    .version = "test",
                                    .partitions = 4,
                                    .flush_ms = 100,
                                    .keep_s = 10,
                                    .queue_mib = 16,
                                    .spool_mib = 16,
                                    .history = STORE_REDIS_CONTINUE,
                                    .live = true,
                                    .may_wait = true};
    if (argc < 3 || redis_url_parse(&o.url, argv[1], &error) != 0)
        return 2;
    o.state_folder = argv[2];
    for (int i = 3; i < argc; i++)
        option(&o, argv[i]);
    d.context = (struct record_context){
        .probe = o.name, .services = service_new(), .decoder = decode_new()};
    d.store = store_redis_new(&o, &error);
    if (d.store == NULL) {
        base_error_print(&error);
        return 1;
    }
    uv_loop_init(&d.loop);
    uv_timer_init(&d.loop, &d.tick);
    uv_timer_start(&d.tick, on_tick, 10, 10);
    if (store_redis_start(d.store, &d.loop, &error) != 0)
        return 1;
    while (fgets(line, sizeof line, stdin) != NULL)
        obey(&d, line);
    store_redis_close(d.store);
    uv_close((uv_handle_t *)&d.tick, NULL);
    uv_run(&d.loop, UV_RUN_DEFAULT);
    uv_loop_close(&d.loop);
    store_redis_free(d.store);
    service_free((struct service_table *)(uintptr_t)d.context.services);
    decode_free((struct decoder *)(uintptr_t)d.context.decoder);
    return 0;
}
