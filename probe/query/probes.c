/*
 * Opening a store, and which probes it has (query.h).
 */
#include "raw.h"
#include "run.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SKEW_MS = 2000 /* the contract's, where a probe does not say */, HOUR_S = 3600 };

struct query *query_open(const struct redis_url *url, const char *prefix, unsigned timeout_ms,
                         struct base_error *error) {
    if (!redis_prefix_is_valid(prefix)) {
        base_error_set(error, "store.prefix",
                       "allowed are 1 to %d octets without braces and control characters",
                       REDIS_PREFIX_MOST);
        return NULL;
    }
    struct query *q = calloc(1, sizeof *q);
    if (q == NULL) {
        base_error_set(error, "query", "out of memory");
        return NULL;
    }
    q->url = *url;
    q->timeout_ms = timeout_ms;
    redis_url_shown(url, q->link.shown);
    query_text_copy((struct query_text){prefix, strlen(prefix)}, q->prefix, sizeof q->prefix);
    if (query_link_open(&q->link, url, timeout_ms, error) != 0) {
        query_close(q);
        return NULL;
    }
    return q;
}

void query_close(struct query *q) {
    if (q == NULL)
        return;
    query_link_close(&q->link);
    explicit_bzero(&q->url, sizeof q->url);
    free(q->probe);
    free(q);
}

void query_stop(struct query *q) {
    q->stop = 1;
}

static bool is_name(struct query_text t) {
    for (size_t i = 0; i < t.n; i++) {
        char c = t.s[i];
        bool good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    c == '.' || c == '_' || c == '-';
        if (!good)
            return false;
    }
    return t.n > 0 && t.n < QUERY_NAME_TEXT;
}

static uint64_t stamp_member(struct query_text json, const char *key) {
    uint64_t ns = 0;
    struct query_text value = query_raw_member(json, key);
    if (value.n > 1 && value.s[0] == '"') /* quoted as well */
        value = (struct query_text){value.s + 1, value.n - 2};
    return query_stamp_parse(value, &ns) ? ns : 0;
}

static uint64_t number_member(struct query_text json, const char *key, uint64_t absent) {
    uint64_t n;
    return query_number_parse(query_raw_member(json, key), &n) ? n : absent;
}

static int take_probe(void *context, struct query_text field, struct query_text value) {
    struct query *q = context;
    if (!is_name(field) || !query_raw_is_object(value))
        return 0;
    uint64_t partitions = number_member(value, "partitions", 0);
    if (partitions == 0 || partitions > REDIS_PARTITIONS_MOST)
        return 0;
    struct query_probe *bigger = reallocarray(q->probe, q->probes + 1, sizeof *bigger);
    if (bigger == NULL)
        return -1;
    q->probe = bigger;
    struct query_probe *p = &q->probe[q->probes++];
    *p =
        (struct query_probe){.format = (unsigned)number_member(value, "format", QUERY_STORE_FORMAT),
                             .partitions = (unsigned)partitions,
                             .skew_ms = (uint32_t)number_member(value, "skew_ms", SKEW_MS),
                             .first_ns = stamp_member(value, "first"),
                             .last_ns = stamp_member(value, "last")};
    query_text_copy(field, p->name, sizeof p->name);
    return 0;
}

static int compare_probes(const void *x, const void *y) {
    const struct query_probe *a = x, *b = y;
    return strcmp(a->name, b->name);
}

/* Twice from one HSCAN that met a growing hash. */
static void drop_twins(struct query *q) {
    size_t out = 0;
    for (size_t i = 0; i < q->probes; i++)
        if (out == 0 || strcmp(q->probe[i].name, q->probe[out - 1].name) != 0)
            q->probe[out++] = q->probe[i];
    q->probes = out;
}

uint64_t query_wall_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * BASE_NS_PER_S + (uint64_t)t.tv_nsec;
}

static struct query_text text_of(const redisReply *r) {
    return r->type == REDIS_REPLY_STRING ? (struct query_text){r->str, (size_t)r->len}
                                         : (struct query_text){"", 0};
}

/* The newest capture time that the status tells: of the stats record, or on its own. */
static uint64_t capture_time(const redisReply *status) {
    uint64_t ns;
    if (query_stamp_parse(text_of(status->element[1]), &ns))
        return ns;
    return stamp_member(text_of(status->element[2]), "ts");
}

/* The heartbeat expires with the probe. One whose capture time is far from the wall's reads a file:
 * its now is the file's. */
static int ask_heartbeat(struct query *q, struct query_probe *p, struct base_error *error) {
    char key[REDIS_KEY_TEXT];
    redis_key_of(key, q->prefix, p->name, "status");
    const char *argv[] = {"HMGET", key, "heartbeat", "ts", "stats"};
    redisReply *r = query_command(&q->link, error, 5, argv);
    if (r == NULL)
        return -1;
    if (r->type == REDIS_REPLY_ARRAY && r->elements == 3) {
        uint64_t ts_ns = capture_time(r), wall_ns = query_wall_ns();
        bool is_old = ts_ns != 0 && wall_ns > ts_ns && wall_ns - ts_ns > HOUR_S * BASE_NS_PER_S;
        p->is_running = (ts_ns != 0 || text_of(r->element[0]).n > 0) && !is_old;
    }
    query_reply_free(r);
    return 0;
}

int query_probes(struct query *q, const struct query_probe **probes, size_t *count,
                 struct base_error *error) {
    char key[REDIS_KEY_TEXT];
    if ((q->link.c == NULL || q->link.c->err != 0) &&
        query_link_open(&q->link, &q->url, q->timeout_ms, error) != 0)
        return -1;
    q->probes = 0;
    redis_key(key, q->prefix, "probes");
    if (query_hash_each(&q->link, key, take_probe, q, error) != 0)
        return -1;
    if (q->probes > 0)
        qsort(q->probe, q->probes, sizeof *q->probe, compare_probes);
    drop_twins(q);
    for (size_t i = 0; i < q->probes; i++)
        if (ask_heartbeat(q, &q->probe[i], error) != 0)
            return -1;
    *probes = q->probe;
    *count = q->probes;
    return 0;
}
