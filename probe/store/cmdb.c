/*
 * The CMDB's way into the store and out of it (store_cmdb.h).
 *
 * Each hash is handled alone: in a cluster they lie in different slots. The key beside it, under
 * which the new hash is written, has the old key as its hash tag, so that both lie in one slot,
 * expires should we die meanwhile, and bears a random token, so that two writers do not mix.
 * WATCH makes the exchange fail when somebody else was faster; it is then tried again.
 */
#include "spanwatch/store_cmdb.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cmdb_pairs.h"

enum {
    PAGE = 256,     /* fields of one HSCAN or HSET: well below a millisecond of Redis's time */
    STAGED_S = 600, /* seconds after which a hash that was never put in place goes away */
    ATTEMPTS = 5,   /* against others who write the same hash */
    STAGED_TEXT = REDIS_KEY_TEXT + 40
};

/* One hash on its way. */
struct hash {
    redisContext *redis;
    const char *prefix;
    bool is_client;
    char key[REDIS_KEY_TEXT];
    char staged[STAGED_TEXT], old[STAGED_TEXT];
    struct base_error *error;
};

static struct hash hash_of(redisContext *redis, const char *prefix, bool is_client,
                           struct base_error *error) {
    struct hash h = {.redis = redis, .prefix = prefix, .is_client = is_client, .error = error};
    uint64_t token = 0;
    if (getrandom(&token, sizeof token, GRND_NONBLOCK) < 0)
        token = (uint64_t)(uintptr_t)redis; /* of little use, and none is needed with one writer */
    redis_key(h.key, prefix, is_client ? "clients" : "cmdb");
    snprintf(h.staged, sizeof h.staged, "{%s}:new:%016" PRIx64, h.key, token);
    snprintf(h.old, sizeof h.old, "{%s}:old:%016" PRIx64, h.key, token);
    return h;
}

static int fail(const struct hash *h, const redisReply *r) {
    if (r == NULL)
        return base_error_set(h->error, h->key, "the store does not answer: %s",
                              h->redis->err != 0 ? h->redis->errstr : "no reply");
    return base_error_set(h->error, h->key, "the store refuses: %s",
                          r->type == REDIS_REPLY_ERROR ? r->str : "an answer of another kind");
}

/* A command whose answer must be of one kind. The reply, or NULL with the error told. */
static redisReply *ask(const struct hash *h, int kind, int argc, const char **argv) {
    redisReply *r = redisCommandArgv(h->redis, argc, argv, NULL);
    if (r != NULL && r->type == kind)
        return r;
    fail(h, r);
    freeReplyObject(r);
    return NULL;
}

/* The same where only success matters. */
static int tell(const struct hash *h, int kind, int argc, const char **argv) {
    redisReply *r = ask(h, kind, argc, argv);
    freeReplyObject(r);
    return r != NULL ? 0 : -1;
}

/* ---- reading ---- */

/* One page of HSCAN: the next cursor and [field, value, ...]. */
static int take_page(const struct hash *h, const redisReply *r, struct cmdb_pairs *pairs,
                     char cursor[32]) {
    if (r->elements != 2 || r->element[0]->type != REDIS_REPLY_STRING ||
        r->element[1]->type != REDIS_REPLY_ARRAY)
        return fail(h, r);
    const redisReply *list = r->element[1];
    snprintf(cursor, 32, "%s", r->element[0]->str);
    for (size_t i = 0; i + 1 < list->elements; i += 2) {
        const redisReply *key = list->element[i], *value = list->element[i + 1];
        if (key->type == REDIS_REPLY_STRING && value->type == REDIS_REPLY_STRING)
            cmdb_pairs_add(pairs, key->str, key->len, value->str, value->len);
    }
    return 0;
}

static int read_hash(const struct hash *h, struct cmdb_pairs *pairs) {
    char cursor[32] = "0", page[16];
    snprintf(page, sizeof page, "%d", PAGE);
    do {
        const char *argv[] = {"HSCAN", h->key, cursor, "COUNT", page};
        redisReply *r = ask(h, REDIS_REPLY_ARRAY, 5, argv);
        int result = r != NULL ? take_page(h, r, pairs, cursor) : -1;
        freeReplyObject(r);
        if (result != 0)
            return -1;
    } while (strcmp(cursor, "0") != 0);
    cmdb_pairs_sort(pairs);
    return pairs->short_of_memory ? base_error_set(h->error, h->key, "out of memory") : 0;
}

int store_cmdb_get(struct redisContext *redis, const char *prefix, struct cmdb *cmdb, size_t *odd,
                   struct base_error *error) {
    int result = 0;
    *odd = 0;
    for (int is_client = 0; is_client < 2 && result == 0; is_client++) {
        struct hash h = hash_of(redis, prefix, is_client != 0, error);
        struct cmdb_pairs pairs = {0};
        result = read_hash(&h, &pairs);
        for (size_t i = 0; i < pairs.count && result == 0; i++)
            *odd += is_client ? !cmdb_put_client(cmdb, pairs.pair[i].key, pairs.pair[i].value)
                              : !cmdb_put_service(cmdb, pairs.pair[i].key, pairs.pair[i].value);
        cmdb_pairs_fini(&pairs);
    }
    cmdb_sort(cmdb);
    return result;
}

/* ---- writing ---- */

static void add_service(void *pairs, const char *service, const char *json) {
    cmdb_pairs_add(pairs, service, strlen(service), json, strlen(json));
}

static void add_client(void *pairs, const struct cmdb_client *client) {
    char cidr[CMDB_CIDR_TEXT];
    cmdb_cidr_format(client, cidr);
    cmdb_pairs_add(pairs, cidr, strlen(cidr), client->json, strlen(client->json));
}

/* All fields under the staged key, a page a command. */
static int stage(const struct hash *h, const struct cmdb_pairs *pairs) {
    const char *argv[2 + 2 * PAGE] = {"HSET", h->staged};
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%d", STAGED_S);
    for (size_t i = 0; i < pairs->count;) {
        int argc = 2;
        for (; i < pairs->count && argc < 2 + 2 * PAGE; i++) {
            argv[argc++] = pairs->pair[i].key;
            argv[argc++] = pairs->pair[i].value;
        }
        const char *expire[] = {"EXPIRE", h->staged, seconds};
        if (tell(h, REDIS_REPLY_INTEGER, argc, argv) != 0 ||
            tell(h, REDIS_REPLY_INTEGER, 3, expire) != 0)
            return -1;
    }
    return 0;
}

/* Queue one command of a transaction. */
static int queue(const struct hash *h, int argc, const char **argv) {
    return tell(h, REDIS_REPLY_STATUS, argc, argv);
}

/* What the transaction does: the old hash aside, the new one (if any) in its place. */
static int queue_exchange(const struct hash *h, bool exists, bool staged) {
    const char *multi[] = {"MULTI"};
    const char *aside[] = {"RENAME", h->key, h->old};
    const char *persist[] = {"PERSIST", h->staged};
    const char *in_place[] = {"RENAME", h->staged, h->key};
    int result = tell(h, REDIS_REPLY_STATUS, 1, multi);
    if (result == 0 && exists)
        result = queue(h, 3, aside);
    if (result == 0 && staged)
        result = queue(h, 2, persist);
    if (result == 0 && staged)
        result = queue(h, 3, in_place);
    return result;
}

/* 0: done, 1: somebody else wrote the hash meanwhile, -1 with the error. */
static int execute(const struct hash *h) {
    redisReply *r = redisCommand(h->redis, "EXEC");
    int result = 0;
    if (r != NULL && r->type == REDIS_REPLY_NIL) {
        result = 1;
    } else if (r == NULL || r->type != REDIS_REPLY_ARRAY) {
        fail(h, r);
        result = -1;
    } else {
        for (size_t i = 0; i < r->elements && result == 0; i++)
            if (r->element[i]->type == REDIS_REPLY_ERROR)
                result = fail(h, r->element[i]);
    }
    freeReplyObject(r);
    return result;
}

/* Put `now` in place of what is there, which was `was` when it was last looked at. */
static int exchange(const struct hash *h, const struct cmdb_pairs *was,
                    const struct cmdb_pairs *now) {
    bool exists = was->count > 0, staged = now->count > 0;
    const char *unlink_old[] = {"UNLINK", h->old};
    int result = stage(h, now);
    if (result == 0 && queue_exchange(h, exists, staged) != 0) {
        freeReplyObject(redisCommand(h->redis, "DISCARD")); /* for whoever uses the connection on */
        result = -1;
    }
    if (result == 0)
        result = execute(h);
    if (result == 0 && exists)
        result = tell(h, REDIS_REPLY_INTEGER, 2, unlink_old);
    return result;
}

/* One attempt. 0: the hash is as it should be, 1: try again, -1 with the error. */
static int replace(const struct hash *h, const struct cmdb_pairs *now, store_cmdb_visit *visit,
                   void *context) {
    struct cmdb_pairs was = {0};
    const char *watch[] = {"WATCH", h->key};
    const char *unwatch[] = {"UNWATCH"};
    int result = tell(h, REDIS_REPLY_STATUS, 2, watch);
    if (result == 0)
        result = read_hash(h, &was);
    if (result == 0 && cmdb_pairs_compare(&was, now, h->is_client, NULL, NULL) > 0)
        result = exchange(h, &was, now);
    else if (result == 0)
        result = tell(h, REDIS_REPLY_STATUS, 1, unwatch);
    if (result == 0)
        cmdb_pairs_compare(&was, now, h->is_client, visit, context);
    cmdb_pairs_fini(&was);
    return result;
}

static int put_hash(const struct hash *h, const struct cmdb_pairs *now, store_cmdb_visit *visit,
                    void *context) {
    int result = 1;
    for (int i = 0; i < ATTEMPTS && result > 0; i++)
        result = replace(h, now, visit, context);
    if (result > 0)
        return base_error_set(h->error, h->key,
                              "somebody else goes on writing it; try again when they are done");
    return result;
}

int store_cmdb_put(struct redisContext *redis, const char *prefix, const struct cmdb *cmdb,
                   store_cmdb_visit *visit, void *context, struct base_error *error) {
    int result = 0;
    for (int is_client = 0; is_client < 2 && result == 0; is_client++) {
        struct hash h = hash_of(redis, prefix, is_client != 0, error);
        struct cmdb_pairs now = {0};
        if (!(is_client ? cmdb_has_clients(cmdb) : cmdb_has_services(cmdb)))
            continue;
        if (is_client)
            cmdb_each_client(cmdb, add_client, &now);
        else
            cmdb_each_service(cmdb, add_service, &now);
        cmdb_pairs_sort(&now);
        result = now.short_of_memory ? base_error_set(error, h.key, "out of memory")
                                     : put_hash(&h, &now, visit, context);
        cmdb_pairs_fini(&now);
    }
    return result;
}
