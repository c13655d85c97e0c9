/*
 * What happens before the loop runs: the token, and all that the server has to be asked while a
 * person may still read the error. And `forget`, which asks the same.
 *
 * Synchronous, with deadlines. What the server may not be asked (an ACL user without CONFIG) is
 * left out; what is a risk is said and not mended, since it is the operator's.
 */
#include "redis_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    WAIT_MS = 5000,
    LOCK_LOOKS = 24, /* of half a second: a lock that nobody renews is gone after ten */
    LOOK_MS = 500,
    PATH_TEXT = 384
};

/* ---- the token, and the file of what was covered ---- */

static int open_file(struct store_redis *s, const char *suffix, struct base_error *error) {
    char path[PATH_TEXT];
    snprintf(path, sizeof path, "%s/%s.%s", s->options.state_folder, s->name, suffix);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        base_error_set(error, path, "cannot be opened: %s", strerror(errno));
    return fd;
}

static bool make_token(char token[33]) {
    unsigned char octet[16];
    if (getrandom(octet, sizeof octet, 0) != (ssize_t)sizeof octet)
        return false;
    for (size_t i = 0; i < sizeof octet; i++)
        snprintf(token + 2 * i, 3, "%02x", octet[i]);
    return true;
}

/* A probe keeps its token: started again, it takes its own lock back. */
static int keep_token(struct store_redis *s, struct base_error *error) {
    int fd = open_file(s, "token", error);
    if (fd < 0)
        return -1;
    char found[33] = "";
    bool whole = pread(fd, found, 32, 0) == 32 && strspn(found, "0123456789abcdef") == 32;
    if (whole)
        memcpy(s->token, found, sizeof found);
    int result = 0;
    if (!whole && (pwrite(fd, s->token, 32, 0) != 32 || ftruncate(fd, 32) != 0))
        result = base_error_set(error, s->options.state_folder, "cannot be written: %s",
                                strerror(errno));
    close(fd);
    return result;
}

int store_token(struct store_redis *s, struct base_error *error) {
    char text[128] = "";
    unsigned long long covered, seq;
    if (!make_token(s->token))
        return base_error_set(error, "getrandom", "the system gives no random octets");
    if (s->options.state_folder == NULL)
        return 0;
    if (keep_token(s, error) != 0)
        return -1;
    s->covered_fd = open_file(s, "covered", error);
    if (s->covered_fd < 0)
        return -1;
    if (pread(s->covered_fd, text, sizeof text - 1, 0) > 0 &&
        sscanf(text, "%llu %llu", &covered, &seq) == 2) {
        s->down_ns = s->covered_ns = s->covering_ns = covered;
        s->alarm_seq = seq;
    }
    return 0;
}

/* ---- asking ---- */

static int no_answer(const struct redis_url *u, const redisContext *c, const redisReply *r,
                     struct base_error *error) {
    char shown[REDIS_SHOWN_TEXT];
    return base_error_set(error, redis_url_shown(u, shown), "the server answered: %s",
                          r != NULL ? r->str : c->errstr);
}

/* The answer to a command in printf's way of hiredis; NULL when there is none or it is an error. */
static redisReply *ask(redisContext *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    redisReply *r = redisvCommand(c, format, args);
    va_end(args);
    if (r != NULL && r->type == REDIS_REPLY_ERROR) {
        freeReplyObject(r);
        return NULL;
    }
    return r;
}

/* The value of CONFIG GET's answer; false when it may not be asked. */
static bool setting(redisContext *c, const char *name, char *out, size_t size) {
    redisReply *r = ask(c, "CONFIG GET %s", name);
    bool got = r != NULL && r->type == REDIS_REPLY_ARRAY && r->elements == 2;
    if (got)
        snprintf(out, size, "%s", r->element[1]->str);
    freeReplyObject(r);
    return got;
}

/* What may lose data, said once at the start. */
static void tell_risks(const struct store_redis *s, redisContext *c) {
    char policy[64], most[32], aof[16], rdb[256], shown[REDIS_SHOWN_TEXT];
    const char *name = redis_url_shown(&s->options.url, shown);
    if (setting(c, "maxmemory-policy", policy, sizeof policy) && strcmp(policy, "noeviction") != 0)
        base_warn("%s: maxmemory-policy is %s: when its memory is full the server deletes whole "
                  "streams; noeviction is wanted",
                  name, policy);
    if (setting(c, "maxmemory", most, sizeof most) && strcmp(most, "0") == 0 && s->options.live &&
        s->options.retention_s == 0 && s->options.retention_mib == 0)
        base_warn("%s: neither maxmemory nor a retention is set: the history grows without end",
                  name);
    if (!setting(c, "appendonly", aof, sizeof aof) || strcmp(aof, "no") != 0)
        return;
    if (setting(c, "save", rdb, sizeof rdb) && rdb[0] == '\0')
        base_warn("%s: appendonly is no and there are no snapshots (save \"\"): a restart of the "
                  "server loses all history",
                  name);
    else
        base_warn("%s: appendonly is no: a crash of the server loses what came since its last "
                  "snapshot, of which only the last %u s are sent again",
                  name, s->options.keep_s);
}

static int check_version(const struct store_redis *s, redisContext *c, struct base_error *error) {
    char shown[REDIS_SHOWN_TEXT];
    redisReply *r = ask(c, "INFO server");
    const char *at =
        r != NULL && r->type == REDIS_REPLY_STRING ? strstr(r->str, "redis_version:") : NULL;
    long major = at != NULL ? strtol(at + strlen("redis_version:"), NULL, 10) : 0;
    freeReplyObject(r);
    if (major == 0 || major >= 6)
        return 0; /* or it may not be asked */
    return base_error_set(error, redis_url_shown(&s->options.url, shown),
                          "the server is version %ld; streams are trimmed by time from version "
                          "6.2 on",
                          major);
}

/* ---- what is there of the NAME ---- */

/* "key":VALUE of the JSON in the hash of probes, which this program wrote. */
static bool json_number(const char *json, const char *key, char *out, size_t size) {
    char quoted[32];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(json, quoted);
    if (at == NULL)
        return false;
    at += strlen(quoted);
    snprintf(out, size, "%.*s", (int)strspn(at, "0123456789."), at);
    return out[0] != '\0';
}

struct known { /* of the hash of probes */
    unsigned partitions;
    uint64_t first_ns, last_ns;
};

static int known_probe(redisContext *c, const char *prefix, const char *name, struct known *k,
                       const struct redis_url *u, struct base_error *error) {
    char key[REDIS_KEY_TEXT], text[64];
    uint64_t n;
    redis_key(key, prefix, "probes");
    redisReply *r = redisCommand(c, "HGET %s %s", key, name);
    *k = (struct known){0};
    if (r == NULL || r->type == REDIS_REPLY_ERROR) {
        no_answer(u, c, r, error);
        if (r != NULL && strncmp(r->str, "WRONGTYPE", 9) == 0)
            base_error_set(error, key,
                           "the store has something else under this key; choose "
                           "another store.prefix");
        freeReplyObject(r);
        return -1;
    }
    if (r->type == REDIS_REPLY_STRING) {
        if (json_number(r->str, "partitions", text, sizeof text) &&
            base_uint_parse(text, REDIS_PARTITIONS_MOST, &n))
            k->partitions = (unsigned)n;
        if (json_number(r->str, "first", text, sizeof text))
            base_time_parse(text, &k->first_ns);
        if (json_number(r->str, "last", text, sizeof text))
            base_time_parse(text, &k->last_ns);
    }
    freeReplyObject(r);
    return 0;
}

/* Keys of NAME, one after another: streams of `partitions` partitions, then what is the whole
 * NAME's. False after the last. */
static bool name_key(const char *prefix, const char *name, unsigned partitions, size_t i,
                     char key[REDIS_KEY_TEXT], bool *stream) {
    static const char *const whole[] = {"alarms", "gaps", "active", "status", "baselines"};
    size_t partitioned = (size_t)partitions * STORE_KINDS_PARTITIONED;
    *stream = i < partitioned + 2;
    if (i < partitioned) {
        enum store_kind kind = (enum store_kind)(i % STORE_KINDS_PARTITIONED);
        redis_key_in(key, prefix, name, (unsigned)(i / STORE_KINDS_PARTITIONED),
                     store_kind_name(kind));
        return true;
    }
    i -= partitioned;
    if (i >= sizeof whole / sizeof whole[0])
        return false;
    redis_key_of(key, prefix, name, whole[i]);
    return true;
}

/* Every key is of its type or absent; how many streams there are. */
static int check_types(struct store_redis *s, redisContext *c, unsigned partitions, size_t *streams,
                       struct base_error *error) {
    char key[REDIS_KEY_TEXT];
    size_t n = 0;
    bool stream;
    int result = 0;
    for (; name_key(s->prefix, s->name, partitions, n, key, &stream); n++)
        redisAppendCommand(c, "TYPE %s", key);
    *streams = 0;
    for (size_t i = 0; i < n; i++) {
        redisReply *r = NULL;
        if (redisGetReply(c, (void **)&r) != REDIS_OK || r->type == REDIS_REPLY_ERROR) {
            result = no_answer(&s->options.url, c, r, error);
            freeReplyObject(r);
            if (r == NULL)
                return result;
            continue;
        }
        name_key(s->prefix, s->name, partitions, i, key, &stream);
        bool none = strcmp(r->str, "none") == 0;
        *streams += stream && !none;
        if (!none && strcmp(r->str, stream ? "stream" : "hash") != 0)
            result = base_error_set(error, key,
                                    "is a %s, not a %s of this program's: nothing was written; "
                                    "choose another --name or store.prefix, or remove that key",
                                    r->str, stream ? "stream" : "hash");
        freeReplyObject(r);
    }
    return result;
}

static uint64_t delete_keys(redisContext *c, const char *prefix, const char *name) {
    char key[REDIS_KEY_TEXT];
    uint64_t deleted = 0;
    size_t n = 0;
    bool stream;
    for (; name_key(prefix, name, REDIS_PARTITIONS_MOST, n, key, &stream); n++)
        redisAppendCommand(c, "UNLINK %s", key);
    for (size_t i = 0; i < n; i++) {
        redisReply *r = NULL;
        if (redisGetReply(c, (void **)&r) != REDIS_OK)
            break;
        if (r->type == REDIS_REPLY_INTEGER)
            deleted += (uint64_t)r->integer;
        freeReplyObject(r);
    }
    redis_key(key, prefix, "probes");
    freeReplyObject(ask(c, "HDEL %s %s", key, name));
    return deleted;
}

/* ---- the lock ---- */

/* Whose is it: 0 ours now, 1 somebody's who renews it; -1 with error. A lock that is not renewed
 * is waited for. */
static int take_lock(redisContext *c, const char *key, const char *token, const struct redis_url *u,
                     struct base_error *error) {
    long long before = -1;
    for (int look = 0; look < LOCK_LOOKS; look++) {
        redisReply *r = redisCommand(c, "SET %s %s NX PX 10000", key, token);
        if (r == NULL || r->type == REDIS_REPLY_ERROR) {
            no_answer(u, c, r, error);
            freeReplyObject(r);
            return -1;
        }
        bool ours = r->type == REDIS_REPLY_STATUS;
        freeReplyObject(r);
        r = ours ? NULL : ask(c, "GET %s", key);
        if (r != NULL && r->type == REDIS_REPLY_STRING && strcmp(r->str, token) == 0)
            ours = true;
        freeReplyObject(r);
        if (ours)
            return 0;
        r = ask(c, "PTTL %s", key);
        long long left = r != NULL && r->type == REDIS_REPLY_INTEGER ? r->integer : -2;
        freeReplyObject(r);
        if (left == -1 || (before >= 0 && left > before))
            return 1;
        before = left;
        usleep(LOOK_MS * 1000);
    }
    return 1;
}

static int lock_name(const char *prefix, const char *name, redisContext *c, const char *token,
                     const struct redis_url *u, struct base_error *error) {
    char key[REDIS_KEY_TEXT];
    redis_key_of(key, prefix, name, "lock");
    int taken = take_lock(c, key, token, u, error);
    if (taken == 1)
        return base_error_set(error, name,
                              "a running probe writes under this name; choose another with --name, "
                              "or end that one");
    return taken;
}

/* ---- the whole ---- */

/* The number of the last alarm that is stored. */
static void learn_alarms(struct store_redis *s, redisContext *c) {
    char key[REDIS_KEY_TEXT];
    redis_key_of(key, s->prefix, s->name, "alarms");
    redisReply *r = ask(c, "XREVRANGE %s + - COUNT 1", key);
    if (r != NULL && r->type == REDIS_REPLY_ARRAY && r->elements == 1 &&
        r->element[0]->elements == 2 && r->element[0]->element[1]->elements >= 10) {
        uint64_t seq = strtoull(r->element[0]->element[1]->element[9]->str, NULL, 10);
        if (seq > s->alarm_seq)
            s->alarm_seq = seq;
    }
    freeReplyObject(r);
}

/* Streams of an earlier run, when there are any: what is to become of them. */
static int settle_history(struct store_redis *s, redisContext *c, size_t streams,
                          const struct known *k, struct base_error *error) {
    bool other = k->partitions != 0 && k->partitions != s->options.partitions;
    if (s->options.history == STORE_REDIS_REPLACE) {
        delete_keys(c, s->prefix, s->name);
        return 0;
    }
    if (streams == 0 && k->partitions == 0)
        return 0;
    if (s->options.history == STORE_REDIS_REFUSE)
        return base_error_set(error, s->name,
                              "the store holds records of this name already; --replace deletes "
                              "them, --resume goes on after them, --name NAME takes another name");
    if (other)
        return base_error_set(error, s->name,
                              "its history lies in %u partitions, not %u: keep "
                              "store.partitions=%u, or delete it with 'spanwatch forget %s'",
                              k->partitions, s->options.partitions, k->partitions, s->name);
    s->first_ns = k->first_ns;
    if (s->options.live && s->down_ns == 0)
        s->down_ns = k->last_ns;
    if (s->options.history == STORE_REDIS_CONTINUE)
        learn_alarms(s, c); /* read --resume gives the same numbers again */
    return 0;
}

static int inspect(struct store_redis *s, redisContext *c, struct base_error *error) {
    struct known k;
    size_t streams;
    if (check_version(s, c, error) != 0 ||
        known_probe(c, s->prefix, s->name, &k, &s->options.url, error) != 0)
        return -1;
    unsigned partitions =
        k.partitions > s->options.partitions ? k.partitions : s->options.partitions;
    if (check_types(s, c, partitions, &streams, error) != 0 ||
        lock_name(s->prefix, s->name, c, s->token, &s->options.url, error) != 0)
        return -1;
    tell_risks(s, c);
    return settle_history(s, c, streams, &k, error);
}

/* A server that is away comes back; one that knows no such password does not. */
static bool is_patient(const struct store_redis *s, const struct base_error *error) {
    return s->options.may_wait && strstr(error->why, "password") == NULL;
}

int store_inspect(struct store_redis *s, struct base_error *error) {
    redisContext *c = redis_open(&s->options.url, WAIT_MS, error);
    if (c == NULL) {
        if (!is_patient(s, error))
            return -1;
        base_error_print(error);
        base_warn("the store is not there yet: trying again, and keeping what it lacks");
        return 0;
    }
    int result = inspect(s, c, error);
    redisFree(c);
    return result;
}

int store_redis_forget(const struct redis_url *u, const char *prefix, const char *name,
                       uint64_t *deleted, struct base_error *error) {
    char key[REDIS_KEY_TEXT], token[33];
    redisContext *c = redis_open(u, WAIT_MS, error);
    if (c == NULL)
        return -1;
    int result = make_token(token) ? lock_name(prefix, name, c, token, u, error)
                                   : base_error_set(error, "getrandom", "no random octets");
    if (result == 0) {
        *deleted = delete_keys(c, prefix, name);
        redis_key_of(key, prefix, name, "lock");
        freeReplyObject(ask(c, "DEL %s", key));
    }
    redisFree(c);
    return result;
}
