/*
 * Following the alarms of all probes: the streams say what there is, the channel when to look.
 *
 * A message on the channel only wakes; what is given is read from the streams, from the last entry
 * on, so that nothing is missed while a connection or the server is away. A server may come back
 * with the last second of its streams missing, which the probe then writes again: after a break the
 * streams are read from a little earlier, and what has been given is told by (probe, seq).
 */
#include "follow.h"

#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spanwatch/redis.h"

enum { WAIT_MS = 2000, TURN_MS = 1000, PAGE = 500, BACK_MS = 10000, PROBES_MOST = 1024 };

struct followed {
    char name[CLI_NAME_MAX + 1];
    uint64_t seq;       /* of the last one given; 0: none yet */
    uint64_t ms, entry; /* its id */
};

struct follow {
    struct redis_url url;
    const char *prefix, *probe; /* probe: NULL for all */
    follow_sink *sink;
    void *context;
    redisContext *reader, *waker;
    struct followed *probes;
    size_t count;
    uint64_t from_ns;
    bool begun; /* streams that turn up later are read from their begin */
    bool told;  /* that the server is away */
};

static void hang_up(struct follow *f) {
    redisFree(f->reader);
    redisFree(f->waker);
    f->reader = f->waker = NULL;
}

static redisReply *ask(struct follow *f, int argc, const char **argv) {
    redisReply *r = f->reader != NULL ? redisCommandArgv(f->reader, argc, argv, NULL) : NULL;
    if (r != NULL && r->type == REDIS_REPLY_ARRAY)
        return r;
    if (r != NULL)
        freeReplyObject(r);
    hang_up(f);
    return NULL;
}

static bool parse_id(const char *id, uint64_t *ms, uint64_t *entry) {
    char *end;
    *ms = strtoull(id, &end, 10);
    *entry = *end == '-' ? strtoull(end + 1, &end, 10) : 0;
    return *end == '\0';
}

/* Where a probe's stream ends now. */
static bool skip_to_end(struct follow *f, struct followed *p, const char *key) {
    const char *argv[] = {"XREVRANGE", key, "+", "-", "COUNT", "1"};
    redisReply *r = ask(f, 6, argv);
    if (r == NULL)
        return false;
    if (r->elements == 1 && r->element[0]->elements == 2)
        parse_id(r->element[0]->element[0]->str, &p->ms, &p->entry);
    freeReplyObject(r);
    return true;
}

static bool add_probe(struct follow *f, const char *name) {
    char key[REDIS_KEY_TEXT];
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->probes[i].name, name) == 0)
            return true;
    if (f->count >= PROBES_MOST || !cli_name_is_valid(name) ||
        (f->probe != NULL && strcmp(f->probe, name) != 0))
        return true;
    struct followed *grown = reallocarray(f->probes, f->count + 1, sizeof *grown);
    if (grown == NULL)
        return false;
    f->probes = grown;
    struct followed *p = &f->probes[f->count];
    *p = (struct followed){.ms = f->begun ? 0 : f->from_ns / BASE_NS_PER_MS};
    snprintf(p->name, sizeof p->name, "%s", name);
    redis_key_of(key, f->prefix, name, "alarms");
    if (!f->begun && f->from_ns == 0 && !skip_to_end(f, p, key))
        return false;
    f->count++;
    return true;
}

static bool find_probes(struct follow *f) {
    char key[REDIS_KEY_TEXT];
    const char *argv[] = {"HKEYS", key};
    redis_key(key, f->prefix, "probes");
    redisReply *r = ask(f, 2, argv);
    bool good = r != NULL;
    for (size_t i = 0; good && i < r->elements; i++)
        good = r->element[i]->type != REDIS_REPLY_STRING || add_probe(f, r->element[i]->str);
    if (r != NULL)
        freeReplyObject(r);
    f->begun = f->begun || good;
    return good;
}

/* The value of a field of an entry; NULL without. */
static const char *field(const redisReply *entry, const char *name) {
    const redisReply *fields = entry->element[1];
    for (size_t i = 0; i + 1 < fields->elements; i += 2)
        if (strcmp(fields->element[i]->str, name) == 0)
            return fields->element[i + 1]->str;
    return NULL;
}

static void give(struct follow *f, struct followed *p, const redisReply *entry) {
    const char *seq_text = field(entry, "seq"), *json = field(entry, "json");
    uint64_t ms, number, seq = 0;
    if (parse_id(entry->element[0]->str, &ms, &number) &&
        (ms > p->ms || (ms == p->ms && number > p->entry))) {
        p->ms = ms;
        p->entry = number;
    }
    if (seq_text == NULL || json == NULL || !base_uint_parse(seq_text, UINT64_MAX, &seq) ||
        seq <= p->seq)
        return;
    if (p->seq != 0 && seq != p->seq + 1)
        base_warn("%s: alarm messages %llu to %llu are not in the store any more", p->name,
                  (unsigned long long)p->seq + 1, (unsigned long long)seq - 1);
    p->seq = seq;
    json_t *message = json_loads(json, 0, NULL);
    if (json_is_object(message))
        f->sink(f->context, message, json);
    json_decref(message);
}

/* What a stream has beyond the last entry given, page by page. */
static bool read_stream(struct follow *f, struct followed *p, uint64_t back_ms) {
    char key[REDIS_KEY_TEXT], from[64], page[16];
    const char *argv[] = {"XRANGE", key, from, "+", "COUNT", page};
    size_t got;
    redis_key_of(key, f->prefix, p->name, "alarms");
    snprintf(page, sizeof page, "%d", PAGE);
    if (back_ms > 0)
        snprintf(from, sizeof from, "%llu-0",
                 (unsigned long long)(p->ms > back_ms ? p->ms - back_ms : 0));
    else
        snprintf(from, sizeof from, "(%llu-%llu", (unsigned long long)p->ms,
                 (unsigned long long)p->entry);
    do {
        redisReply *r = ask(f, 6, argv);
        if (r == NULL)
            return false;
        got = r->elements;
        for (size_t i = 0; i < got; i++)
            if (r->element[i]->type == REDIS_REPLY_ARRAY && r->element[i]->elements == 2) {
                give(f, p, r->element[i]);
                snprintf(from, sizeof from, "(%s", r->element[i]->element[0]->str);
            }
        freeReplyObject(r);
    } while (got == PAGE);
    return true;
}

static bool read_streams(struct follow *f, uint64_t back_ms) {
    if (!find_probes(f))
        return false;
    for (size_t i = 0; i < f->count; i++)
        if (!read_stream(f, &f->probes[i], f->probes[i].seq != 0 ? back_ms : 0))
            return false;
    return true;
}

static bool connect_both(struct follow *f, struct base_error *error) {
    char channel[REDIS_KEY_TEXT];
    const char *argv[] = {"SUBSCRIBE", channel};
    f->reader = redis_open(&f->url, WAIT_MS, error);
    f->waker = f->reader != NULL ? redis_open(&f->url, WAIT_MS, error) : NULL;
    redis_key(channel, f->prefix, "alarms");
    redisReply *r = f->waker != NULL ? redisCommandArgv(f->waker, 2, argv, NULL) : NULL;
    if (r != NULL) {
        freeReplyObject(r);
        return true;
    }
    if (f->waker != NULL)
        base_error_set(error, "--redis", "SUBSCRIBE was refused");
    hang_up(f);
    return false;
}

struct follow *follow_new(const struct redis_url *url, const char *prefix, const char *probe,
                          uint64_t from_ns, follow_sink *sink, void *context,
                          struct base_error *error) {
    struct follow *f = calloc(1, sizeof *f);
    if (f == NULL) {
        base_error_set(error, "alarms", "out of memory");
        return NULL;
    }
    *f = (struct follow){.url = *url,
                         .prefix = prefix,
                         .probe = probe,
                         .from_ns = from_ns,
                         .sink = sink,
                         .context = context};
    if (connect_both(f, error) && read_streams(f, 0))
        return f;
    if (f->reader == NULL && f->count == 0 && error->why[0] == '\0')
        base_error_set(error, "--redis", "the store went away");
    follow_free(f);
    return NULL;
}

/* Whatever the channel says: it is time to look. */
static bool drain(struct follow *f) {
    void *reply = NULL;
    if (redisBufferRead(f->waker) != REDIS_OK)
        return false;
    while (redisGetReplyFromReader(f->waker, &reply) == REDIS_OK && reply != NULL)
        freeReplyObject(reply);
    return f->waker->err == 0;
}

static bool come_back(struct follow *f) {
    struct base_error error;
    if (connect_both(f, &error) && read_streams(f, BACK_MS)) {
        if (f->told)
            base_warn("the store is back");
        f->told = false;
        return true;
    }
    if (!f->told)
        base_warn("the store is away; waiting for it");
    f->told = true;
    return false;
}

bool follow_turn(struct follow *f) {
    if (f->reader == NULL && !come_back(f)) {
        poll(NULL, 0, TURN_MS);
        return false;
    }
    struct pollfd p = {.fd = f->waker->fd, .events = POLLIN};
    int ready = poll(&p, 1, TURN_MS);
    if (ready > 0 && !drain(f)) {
        hang_up(f);
        return false;
    }
    return read_streams(f, 0);
}

void follow_free(struct follow *f) {
    if (f == NULL)
        return;
    hang_up(f);
    free(f->probes);
    free(f);
}
