/*
 * spanwatch-bench-store: how fast transitions go into Redis, by the writer and by a bare client.
 *
 *   spanwatch-bench-store URL ENTRIES [RUNS]
 *
 * The bare client stores the same entries in the same way (batches of 256 through the same script,
 * naming their predecessor, in as many streams) from commands that were built before the clock
 * started, over a blocking socket of hiredis with two batches in flight. Both write into names of
 * their own, which are deleted behind them. Output: one JSON object.
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "probe/store/redis_writer.h"

enum { PARTITIONS = 16, BATCH = 256, CLIENTS = 5000, RUNS_MOST = 15 };

static const char prefix[] = "spanwatch-bench";

struct tables {
    struct service_table *services;
    struct decoder *decoder;
    struct record_context context;
};

static _Noreturn void die(const char *why) {
    fprintf(stderr, "spanwatch-bench-store: %s\n", why);
    exit(1);
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_s(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* The i-th transition: three of a connection, of changing clients. */
static struct event make_event(uint64_t i) {
    static const uint8_t states[3][4] = {
        {TCP_SYN_SENT, TCP_CLOSED, TCP_CLOSED, TCP_CLOSED},
        {TCP_ESTABLISHED, TCP_SYN_RECEIVED, TCP_SYN_SENT, TCP_CLOSED},
        {TCP_ESTABLISHED, TCP_ESTABLISHED, TCP_ESTABLISHED, TCP_SYN_RECEIVED}};
    static const uint8_t causes[3] = {TCP_CAUSE_SYN, TCP_CAUSE_SYN_ACK, TCP_CAUSE_ACK};
    uint64_t connection = i / 3, client = connection % CLIENTS;
    const uint8_t *s = states[i % 3];
    struct event e = {.ts_ns = UINT64_C(1700000000000000000) + i * 2500, .type = EVENT_TRANSITION};
    e.flow = (struct event_flow){.family = 4,
                                 .client_port = (uint16_t)(20000 + connection % 40000),
                                 .server_port = 8443,
                                 .client = {10, 1, (uint8_t)(client >> 8), (uint8_t)client},
                                 .server = {10, 200, 0, 1},
                                 .first_ns = e.ts_ns - i % 3 * 2500};
    e.transition = (struct event_transition){
        .state = {s[0], s[1]}, .was = {s[2], s[3]}, .cause = causes[i % 3]};
    return e;
}

/* ---- the bare client ---- */

struct command {
    char *octets;
    size_t n;
};

struct bare_stream {
    struct store_id last, before; /* of all; of those before the open batch */
    char *body;
    size_t used;
    unsigned entries;
};

static struct command wrap(const char *sha, unsigned partition, struct bare_stream *b) {
    char key[REDIS_KEY_TEXT], id[STORE_ID_TEXT];
    size_t key_n = redis_key_in(key, prefix, "bare", partition, "transitions");
    struct command c = {.octets = malloc(b->used + 512)};
    if (c.octets == NULL)
        die("out of memory");
    char *p = c.octets + sprintf(c.octets, "*%u\r\n", 5 + b->entries * 9);
    p = record_put_bulk(record_put_bulk(p, "EVALSHA", 7), sha, strlen(sha));
    p = record_put_bulk(record_put_bulk(p, "1", 1), key, key_n);
    p = record_put_bulk(p, id, store_id_format(b->before, id));
    p = mempcpy(p, b->body, b->used);
    c.n = (size_t)(p - c.octets);
    b->before = b->last;
    b->used = b->entries = 0;
    return c;
}

static size_t build(const struct tables *t, const char *sha, uint64_t entries,
                    struct command *commands) {
    static struct bare_stream streams[PARTITIONS];
    size_t n = 0;
    memset(streams, 0, sizeof streams);
    for (uint64_t i = 0; i < entries; i++) {
        struct event e = make_event(i);
        struct base_addr client = {.family = 4};
        char id[STORE_ID_TEXT];
        memcpy(client.octet, e.flow.client, 16);
        unsigned partition = redis_partition(&client, PARTITIONS);
        struct bare_stream *b = &streams[partition];
        if (b->body == NULL && (b->body = malloc(BATCH * 1024)) == NULL)
            die("out of memory");
        store_id_next(b->last, e.ts_ns, UINT64_MAX, STORE_SKEW_MS, &b->last);
        char *p = record_put_bulk(b->body + b->used, id, store_id_format(b->last, id));
        p += record_transition_entry(&t->context, &e, p);
        b->used = (size_t)(p - b->body);
        if (++b->entries == BATCH)
            commands[n++] = wrap(sha, partition, b);
    }
    for (unsigned i = 0; i < PARTITIONS; i++) {
        if (streams[i].entries > 0)
            commands[n++] = wrap(sha, i, &streams[i]);
        free(streams[i].body);
        streams[i].body = NULL;
    }
    return n;
}

static void take_reply(redisContext *c) {
    redisReply *r = NULL;
    if (redisGetReply(c, (void **)&r) != REDIS_OK || r->type != REDIS_REPLY_INTEGER)
        die(r != NULL && r->type == REDIS_REPLY_ERROR ? r->str : "the bare client was refused");
    freeReplyObject(r);
}

static double run_bare(redisContext *c, const struct tables *t, uint64_t entries, double *cpu) {
    char text[4096];
    size_t n = store_script_text(STORE_SCRIPT_APPEND, text, sizeof text);
    redisReply *r = redisCommand(c, "SCRIPT LOAD %b", text, n);
    struct command *commands = calloc(entries / BATCH + PARTITIONS + 1, sizeof *commands);
    if (r == NULL || r->type != REDIS_REPLY_STRING || commands == NULL)
        die("no script");
    size_t count = build(t, r->str, entries, commands);
    freeReplyObject(r);
    double began = now_s(), used = cpu_s();
    for (size_t i = 0; i < count; i++) {
        int done = 0;
        redisAppendFormattedCommand(c, commands[i].octets, commands[i].n);
        while (!done)
            if (redisBufferWrite(c, &done) != REDIS_OK)
                die("the connection broke");
        if (i > 0)
            take_reply(c);
    }
    take_reply(c);
    double took = now_s() - began;
    *cpu = cpu_s() - used;
    for (size_t i = 0; i < count; i++)
        free(commands[i].octets);
    free(commands);
    return took;
}

/* ---- the writer ---- */

static double run_writer(const struct redis_url *u, const struct tables *t, uint64_t entries,
                         double *cpu) {
    struct store_redis_options o = {.url = *u,
                                    .prefix = prefix,
                                    .name = "writer",
                                    .version = "bench",
                                    .partitions = PARTITIONS,
                                    .flush_ms = 200,
                                    .keep_s = 10,
                                    .queue_mib = 64,
                                    .history = STORE_REDIS_REPLACE};
    struct base_error error;
    uv_loop_t loop;
    struct store_redis *s = store_redis_new(&o, &error);
    if (s == NULL || uv_loop_init(&loop) != 0 || store_redis_start(s, &loop, &error) != 0)
        die(error.why);
    while (!store_redis_is_ready(s))
        uv_run(&loop, UV_RUN_ONCE);
    double began = now_s(), used = cpu_s();
    for (uint64_t i = 0; i < entries; i++) {
        struct event e = make_event(i);
        store_redis_event(s, &t->context, &e);
        if (i % BATCH == 0)
            uv_run(&loop, UV_RUN_NOWAIT);
        while (store_redis_is_full(s))
            uv_run(&loop, UV_RUN_ONCE);
    }
    store_redis_finish(s, make_event(entries).ts_ns, 0);
    while (!store_redis_is_finished(s))
        uv_run(&loop, UV_RUN_ONCE);
    double took = now_s() - began;
    *cpu = cpu_s() - used;
    store_redis_close(s);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    store_redis_free(s);
    return took;
}

/* ---- both, in turns ---- */

static long long ask_number(redisContext *c, const char *section, const char *name) {
    redisReply *r = redisCommand(c, "INFO %s", section);
    const char *at = r != NULL && r->type == REDIS_REPLY_STRING ? strstr(r->str, name) : NULL;
    long long v = at != NULL ? atoll(at + strlen(name)) : 0;
    freeReplyObject(r);
    return v;
}

/* Processor time of the server so far: what a loaded machine does not falsify. */
static double server_s(redisContext *c) {
    static const char *const names[] = {"used_cpu_sys:", "used_cpu_user:"};
    redisReply *r = redisCommand(c, "INFO cpu");
    double sum = 0;
    for (int i = 0; i < 2 && r != NULL && r->type == REDIS_REPLY_STRING; i++) {
        const char *at = strstr(r->str, names[i]);
        sum += at != NULL ? strtod(at + strlen(names[i]), NULL) : 0;
    }
    freeReplyObject(r);
    return sum;
}

static int compare(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b;
}

static double median(double *v, unsigned n) {
    qsort(v, n, sizeof *v, compare);
    return v[n / 2];
}

/* All of it is there: a time without its work is none. */
static void check_length(redisContext *c, const char *name, uint64_t entries) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < PARTITIONS; i++) {
        char key[REDIS_KEY_TEXT];
        redis_key_in(key, prefix, name, i, "transitions");
        redisReply *r = redisCommand(c, "XLEN %s", key);
        sum += r != NULL && r->type == REDIS_REPLY_INTEGER ? (uint64_t)r->integer : 0;
        freeReplyObject(r);
    }
    if (sum != entries)
        die("the store does not hold what was written");
}

static void forget(const struct redis_url *u, const char *name) {
    struct base_error error;
    uint64_t deleted;
    if (store_redis_forget(u, prefix, name, &deleted, &error) != 0)
        die(error.why);
}

int main(int argc, char **argv) {
    struct redis_url u;
    struct base_error error;
    uint64_t entries, runs = 3;
    double bare[RUNS_MOST], writer[RUNS_MOST], bare_cpu[RUNS_MOST], writer_cpu[RUNS_MOST];
    double bare_server[RUNS_MOST], writer_server[RUNS_MOST];
    if (argc < 3 || redis_url_parse(&u, argv[1], &error) != 0 ||
        !base_uint_parse(argv[2], 100000000, &entries) ||
        (argc > 3 && (!base_uint_parse(argv[3], RUNS_MOST, &runs) || runs == 0)))
        die("usage: spanwatch-bench-store URL ENTRIES [RUNS]");
    struct tables t = {.services = service_new(), .decoder = decode_new()};
    t.context =
        (struct record_context){.probe = "bench", .services = t.services, .decoder = t.decoder};
    redisContext *c = redis_open(&u, 30000, &error);
    if (c == NULL)
        die(error.why);
    long long empty = ask_number(c, "memory", "used_memory:"), full = 0;
    for (unsigned i = 0; i < runs; i++) {
        double before = server_s(c);
        bare[i] = run_bare(c, &t, entries, &bare_cpu[i]);
        bare_server[i] = server_s(c) - before;
        check_length(c, "bare", entries);
        forget(&u, "bare");
        before = server_s(c);
        writer[i] = run_writer(&u, &t, entries, &writer_cpu[i]);
        writer_server[i] = server_s(c) - before;
        full = ask_number(c, "memory", "used_memory_dataset:");
        check_length(c, "writer", entries);
        forget(&u, "writer");
    }
    long long after = ask_number(c, "memory", "used_memory_dataset:");
    double b = median(bare, (unsigned)runs), w = median(writer, (unsigned)runs);
    printf("{\"entries\":%llu,\"runs\":%llu,\"bare_per_s\":%.0f,\"writer_per_s\":%.0f,"
           "\"writer_over_bare\":%.3f,\"bare_cpu_us\":%.3f,\"writer_cpu_us\":%.3f,"
           "\"bare_server_us\":%.3f,\"writer_server_us\":%.3f,"
           "\"octets_per_entry\":%.1f,\"empty\":%lld}\n",
           (unsigned long long)entries, (unsigned long long)runs, (double)entries / b,
           (double)entries / w, b / w, median(bare_cpu, (unsigned)runs) / (double)entries * 1e6,
           median(writer_cpu, (unsigned)runs) / (double)entries * 1e6,
           median(bare_server, (unsigned)runs) / (double)entries * 1e6,
           median(writer_server, (unsigned)runs) / (double)entries * 1e6,
           (double)(full - after) / (double)entries, empty);
    redisFree(c);
    service_free(t.services);
    decode_free(t.decoder);
    return 0;
}
