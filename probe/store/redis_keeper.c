/*
 * What the writer says of itself, once a second: the lock, the status, the hash of probes; and what
 * it takes away: retention.
 *
 * The lock is a token with a short life: who finds another's there has lost it, and writes no more.
 * It is also the sign of life of the connection: without an answer to it the connection is cut.
 */
#include "redis_spool.h"
#include "redis_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    LOCK_MS = 10000,
    STATUS_MS = 10000,
    RETENTION_S = 10,   /* from one round of trimming to the next */
    TRIM_AT_ONCE = 256, /* commands of one round on their way */
    KEYFRAMES_LOOKED_AT = 200,
    KEEP_FREE_PERCENT = 10 /* of the server's maxmemory */
};

/* A reply that nobody waits for; refusals are told once, by store_refused's sink of words. */
static void on_said(redisAsyncContext *redis, void *reply, void *context) {
    struct store_redis *s = context;
    (void)redis;
    store_link_answered(&s->link, reply);
}

/* One that the end waits for. */
static void on_last_said(redisAsyncContext *redis, void *reply, void *context) {
    struct store_redis *s = context;
    on_said(redis, reply, context);
    if (reply == NULL)
        return;
    if (s->ending_words > 0)
        s->ending_words--;
    store_look_for_end(s);
}

static bool say(struct store_redis *s, const char *const *word, size_t words) {
    bool sent = store_send_words(s, word, words, s->ending ? on_last_said : on_said, s);
    s->ending_words += sent && s->ending;
    return sent;
}

/* ---- the lock ---- */

static void lose(struct store_redis *s) {
    if (!s->lost_lock)
        base_warn("%s: another probe of this name has taken the store over; this one writes no "
                  "more",
                  s->name);
    s->lost_lock = true;
    s->locked = false;
}

static void on_locked(redisAsyncContext *redis, void *reply, void *context) {
    struct store_redis *s = context;
    const redisReply *r = reply;
    (void)redis;
    store_link_answered(&s->link, reply);
    if (r == NULL)
        return;
    if (r->type == REDIS_REPLY_ERROR) {
        /* LOADING, OOM, READONLY, NOSCRIPT ...: a new connection finds out whether it is over */
        if (!s->locked || strncmp(r->str, "NOSCRIPT", 8) == 0)
            store_link_drop(&s->link, 500, r->str);
        return;
    }
    if (r->type != REDIS_REPLY_INTEGER || r->integer != 1) {
        lose(s);
        return;
    }
    if (s->locked)
        return;
    s->locked = true;
    store_ask_all(s);
}

static void lock(struct store_redis *s) {
    char key[REDIS_KEY_TEXT];
    redis_key_of(key, s->prefix, s->name, "lock");
    const char *const word[] = {"EVALSHA", s->sha[STORE_SCRIPT_LOCK], "1", key, s->token, "10000"};
    store_send_words(s, word, 6, on_locked, s);
}

void store_keeper_up(struct store_redis *s) {
    if (!s->lost_lock)
        lock(s);
}

/* ---- status and probes ---- */

/* Only a probe that goes on has a heartbeat: for all others "now" is their last capture time
 * (design 1.6). */
static void say_status(struct store_redis *s) {
    char key[REDIS_KEY_TEXT], stats[RECORD_MAX], beat[BASE_TIME_TEXT], expiry[16];
    struct timespec now;
    if (s->status.ts_ns == 0)
        return;
    size_t n = record_stats_json(&s->own, &s->status, stats);
    stats[n - 1] = '\0'; /* the newline */
    clock_gettime(CLOCK_REALTIME, &now);
    base_time_format((uint64_t)now.tv_sec * BASE_NS_PER_S + (uint64_t)now.tv_nsec, beat);
    snprintf(expiry, sizeof expiry, "%d", STATUS_MS);
    redis_key_of(key, s->prefix, s->name, "status");
    if (s->options.live && !s->ending)
        say(s, (const char *[]){"HSET", key, "stats", stats, "heartbeat", beat}, 6);
    else
        say(s, (const char *[]){"HSET", key, "stats", stats}, 4);
    if (s->ending)
        say(s, (const char *[]){"HDEL", key, "heartbeat"}, 3);
    say(s, (const char *[]){"PEXPIRE", key, expiry}, 3);
}

size_t store_probe_json(const struct store_redis *s, uint64_t last_ns, char *out, size_t size) {
    char started[BASE_TIME_TEXT], first[BASE_TIME_TEXT], last[BASE_TIME_TEXT];
    base_time_format(s->started_ns, started);
    base_time_format(s->floor_ns > s->first_ns ? s->floor_ns : s->first_ns, first);
    base_time_format(last_ns, last);
    int n = snprintf(out, size,
                     "{\"format\":1,\"partitions\":%u,\"skew_ms\":%u,\"host\":\"%s\","
                     "\"version\":\"%s\",\"started\":%s",
                     s->options.partitions, s->skew_ms, s->host, s->options.version, started);
    /* before the first entry there are no such times */
    if (s->first_ns != 0 && n > 0 && (size_t)n < size)
        n += snprintf(out + n, size - (size_t)n, ",\"first\":%s,\"last\":%s", first, last);
    if (n > 0 && (size_t)n < size)
        n += snprintf(out + n, size - (size_t)n, "}");
    return n > 0 ? (size_t)n : 0;
}

/* The newest capture time up to which a reader finds everything. */
static uint64_t last_stored(const struct store_redis *s) {
    bool all = s->queued_entries == 0 && (s->spool == NULL || store_spool_backlog(s->spool) == 0);
    if (s->ending && s->last_ns != 0)
        return s->last_ns;
    return all && s->status.ts_ns > s->stored_ns && s->options.live ? s->status.ts_ns
                                                                    : s->stored_ns;
}

static void say_probe(struct store_redis *s) {
    char key[REDIS_KEY_TEXT], json[512];
    uint64_t last_ns = last_stored(s);
    if (last_ns == s->last_told_ns && last_ns != 0 && !s->ending)
        return;
    store_probe_json(s, last_ns, json, sizeof json);
    redis_key(key, s->prefix, "probes");
    if (say(s, (const char *[]){"HSET", key, s->name, json}, 4))
        s->last_told_ns = last_ns;
}

/* ---- retention ---- */

static void on_trimmed(redisAsyncContext *redis, void *reply, void *context) {
    struct store_stream *st = context;
    struct store_redis *s = st->store;
    const redisReply *r = reply;
    (void)redis;
    store_link_answered(&s->link, reply);
    if (s->trimming > 0)
        s->trimming--;
    if (r != NULL && r->type == REDIS_REPLY_INTEGER && (uint64_t)r->integer <= st->length)
        st->length -= (uint64_t)r->integer;
}

static void trim(struct store_stream *st, uint64_t floor_ns) {
    struct store_redis *s = st->store;
    char key[REDIS_KEY_TEXT], id[STORE_ID_TEXT];
    if (floor_ns == 0 || st->state != STORE_STREAM_READY)
        return;
    store_id_format((struct store_id){.ms = floor_ns / BASE_NS_PER_MS}, id);
    const char *const word[] = {"XTRIM", store_key(st, key), "MINID", "~", id};
    s->trimming += store_send_words(s, word, 5, on_trimmed, st);
}

/* The newest complete keyframe that is not later than `ns`; 0: none is known. */
static uint64_t keyframe_before(const struct store_redis *s, uint64_t ns) {
    unsigned room = sizeof s->keyframe / sizeof s->keyframe[0];
    uint64_t best = 0;
    for (unsigned i = 0; i < room && i < s->keyframes; i++)
        if (s->keyframe[i] <= ns && s->keyframe[i] > best)
            best = s->keyframe[i];
    return best;
}

/* Everything older than `floor_ns`, but never what a reader needs from the keyframe before it on.
 */
static void trim_all(struct store_redis *s, uint64_t floor_ns) {
    uint64_t keyframe = keyframe_before(s, floor_ns);
    for (size_t i = 0; i < s->streams; i++) {
        struct store_stream *st = &s->stream[i];
        bool needed = st->kind == STORE_KIND_TRANSITIONS || st->kind == STORE_KIND_SNAPSHOTS;
        trim(st, needed ? keyframe : floor_ns);
    }
    if (keyframe > s->floor_ns)
        s->floor_ns = keyframe;
}

/* The begin of each keyframe, of a page of a snapshots stream read backwards; a keyframe whose end
 * is missing is none. */
static void on_keyframes(redisAsyncContext *redis, void *reply, void *context) {
    struct store_redis *s = context;
    const redisReply *r = reply;
    uint64_t end_ms = 0;
    (void)redis;
    store_link_answered(&s->link, reply);
    if (r == NULL || r->type != REDIS_REPLY_ARRAY)
        return;
    for (size_t i = 0; i < r->elements; i++) {
        const redisReply *e = r->element[i];
        struct store_id id;
        if (e->elements != 2 || !store_id_parse(e->element[0]->str, e->element[0]->len, &id) ||
            e->element[1]->elements < 6)
            continue;
        const char *kind = e->element[1]->element[3]->str, *key = e->element[1]->element[5]->str;
        const char *text = e->element[1]->element[1]->str;
        uint64_t ns;
        if (!base_time_parse(text, &ns))
            continue;
        if (strcmp(kind, "end") == 0)
            end_ms = ns / BASE_NS_PER_MS;
        if (strcmp(kind, "begin") == 0 && strcmp(key, "1") == 0 && end_ms == ns / BASE_NS_PER_MS)
            s->keyframe[s->keyframes++ % (sizeof s->keyframe / sizeof s->keyframe[0])] = ns;
    }
}

/* Keyframes of an earlier run, or that have left the ring of those known. */
static void look_for_keyframes(struct store_redis *s, uint64_t ns) {
    struct store_stream *st = store_stream_of(s, STORE_KIND_SNAPSHOTS, 0);
    char key[REDIS_KEY_TEXT], id[STORE_ID_TEXT], count[16];
    store_id_format((struct store_id){.ms = ns / BASE_NS_PER_MS}, id);
    snprintf(count, sizeof count, "%d", KEYFRAMES_LOOKED_AT);
    const char *const word[] = {"XREVRANGE", store_key(st, key), id, "-", "COUNT", count};
    store_send_words(s, word, 6, on_keyframes, s);
}

static uint64_t info_number(const char *info, const char *name) {
    const char *at = strstr(info, name);
    return at != NULL ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/* Too much memory used: everything up to the second oldest keyframe that is known goes. */
static void on_memory(redisAsyncContext *redis, void *reply, void *context) {
    struct store_redis *s = context;
    const redisReply *r = reply;
    (void)redis;
    store_link_answered(&s->link, reply);
    if (r == NULL || r->type != REDIS_REPLY_STRING || s->trimming > 0)
        return;
    uint64_t used = info_number(r->str, "used_memory:"), most = info_number(r->str, "maxmemory:");
    uint64_t bound = (uint64_t)s->options.retention_mib << 20;
    uint64_t high = most / 100 * (100 - KEEP_FREE_PERCENT);
    if ((bound == 0 || used <= bound) && (high == 0 || used <= high))
        return;
    uint64_t next = UINT64_MAX;
    unsigned room = sizeof s->keyframe / sizeof s->keyframe[0];
    for (unsigned i = 0; i < room && i < s->keyframes; i++)
        if (s->keyframe[i] > s->floor_ns && s->keyframe[i] < next)
            next = s->keyframe[i];
    if (next != UINT64_MAX)
        trim_all(s, next);
}

void store_retention(struct store_redis *s) {
    uint64_t age_ns = (uint64_t)s->options.retention_s * BASE_NS_PER_S;
    if (!s->options.live || s->trimming > 0 || ++s->retention_at % RETENTION_S != 0)
        return;
    if (age_ns > 0 && s->newest_ns > age_ns) {
        uint64_t floor_ns = s->newest_ns - age_ns;
        if (keyframe_before(s, floor_ns) == 0)
            look_for_keyframes(s, floor_ns);
        trim_all(s, floor_ns);
    }
    store_send_words(s, (const char *[]){"INFO", "memory"}, 2, on_memory, s);
}

/* ---- when ---- */

void store_keeper_second(struct store_redis *s) {
    if (s->link.state != STORE_LINK_UP || s->lost_lock || s->scripts_loaded != STORE_SCRIPTS)
        return;
    lock(s);
    if (!s->locked)
        return;
    say_status(s);
    say_probe(s);
    store_retention(s);
}

void store_keeper_end(struct store_redis *s) {
    char key[REDIS_KEY_TEXT];
    if (s->link.state != STORE_LINK_UP || !s->locked)
        return;
    say_status(s);
    say_probe(s);
    redis_key_of(key, s->prefix, s->name, "lock");
    say(s, (const char *[]){"EVALSHA", s->sha[STORE_SCRIPT_UNLOCK], "1", key, s->token}, 5);
}
