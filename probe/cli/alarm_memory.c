/*
 * What the alarms know across restarts, in the store: baselines, and the alarms in force (design
 * 1.4: the hashes `baselines` and `active`).
 *
 * Input and output: the store, through a connection that is opened for it and may wait for half a
 * second. Nothing is remembered where the store cannot be had: that is told, and is no failure.
 */
#include "alarms.h"

#include <hiredis/hiredis.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "spanwatch/alarm.h"

enum { WAIT_MS = 500 };

static redisReply *ask(redisContext *redis, const char *command, const char *key) {
    const char *argv[] = {command, key};
    size_t length[] = {strlen(command), strlen(key)};
    redisReply *r = redisCommandArgv(redis, 2, argv, length);
    if (r != NULL && r->type == REDIS_REPLY_ARRAY)
        return r;
    if (r != NULL)
        freeReplyObject(r);
    return NULL;
}

static uint64_t time_member(const json_t *o, const char *name) {
    const json_t *v = json_object_get(o, name);
    return json_is_number(v) ? (uint64_t)(json_number_value(v) * 1e6) * 1000 : 0;
}

static bool address_member(const json_t *scope, const char *name, struct base_addr *a) {
    const char *text = json_string_value(json_object_get(scope, name));
    return text != NULL && base_addr_parse(text, a);
}

/* "10.0.0.1:80", "[2001:db8::1]:80" */
static bool endpoint_member(const json_t *scope, const char *name, struct base_addr *a,
                            uint16_t *port) {
    const char *text = json_string_value(json_object_get(scope, name));
    const char *colon = text != NULL ? strrchr(text, ':') : NULL;
    char host[BASE_ADDR_TEXT];
    uint64_t n;
    if (colon == NULL || !base_uint_parse(colon + 1, UINT16_MAX, &n))
        return false;
    bool bracket = text[0] == '[';
    size_t length = (size_t)(colon - text) - (bracket ? 2 : 0);
    if (length >= sizeof host)
        return false;
    memcpy(host, text + bracket, length);
    host[length] = '\0';
    *port = (uint16_t)n;
    return base_addr_parse(host, a);
}

/* An alarm in force as it was last written. False when it is not one of ours. */
static bool understand(const json_t *o, struct alarm *m, char **service) {
    const json_t *scope = json_object_get(o, "scope");
    const char *kind = json_string_value(json_object_get(o, "kind"));
    const char *severity = json_string_value(json_object_get(o, "severity"));
    const char *id = json_string_value(json_object_get(o, "id"));
    *m = (struct alarm){.value = NAN,
                        .threshold = NAN,
                        .clear_level = NAN,
                        .baseline = NAN,
                        .rule = "default",
                        .status = ALARM_RAISED};
    if (kind == NULL || severity == NULL || id == NULL || !json_is_object(scope) ||
        alarm_kind_find(kind) == ALARM_KINDS)
        return false;
    m->kind = (uint8_t)alarm_kind_find(kind);
    m->severity = strcmp(severity, "critical") == 0 ? ALARM_IS_CRITICAL : ALARM_WARNING;
    m->id = strtoull(id, NULL, 16);
    m->since_ns = time_member(o, "since");
    m->peak = json_number_value(json_object_get(o, "value"));
    address_member(scope, "client", &m->client);
    endpoint_member(scope, "server", &m->server, &m->server_port);
    const char *name = json_string_value(json_object_get(scope, "service"));
    *service = name != NULL ? strdup(name) : NULL;
    m->service = *service;
    m->interface = json_string_value(json_object_get(scope, "interface"));
    m->vlan = json_string_value(json_object_get(scope, "vlan"));
    return true;
}

static void recall_active(struct cli_alarms *a, redisContext *redis, const char *key) {
    redisReply *r = ask(redis, "HVALS", key);
    for (size_t i = 0; r != NULL && i < r->elements; i++) {
        struct alarm m;
        char *service = NULL;
        json_t *o = r->element[i]->type == REDIS_REPLY_STRING
                        ? json_loadb(r->element[i]->str, r->element[i]->len, 0, NULL)
                        : NULL;
        if (o != NULL && understand(o, &m, &service))
            alarm_restore(a->engine, &m);
        free(service);
        json_decref(o);
    }
    if (r != NULL)
        freeReplyObject(r);
}

static void recall_baselines(struct cli_alarms *a, redisContext *redis, const char *key) {
    redisReply *r = ask(redis, "HGETALL", key);
    for (size_t i = 0; r != NULL && i + 1 < r->elements; i += 2)
        if (r->element[i]->type == REDIS_REPLY_STRING &&
            r->element[i + 1]->type == REDIS_REPLY_STRING)
            alarm_take_baseline(a->engine, r->element[i]->str, r->element[i + 1]->str);
    if (r != NULL)
        freeReplyObject(r);
}

void cli_alarms_recall(struct cli_alarms *a, const struct redis_url *url, const char *prefix,
                       const char *name) {
    struct base_error error;
    char key[REDIS_KEY_TEXT];
    redisContext *redis = redis_open(url, WAIT_MS, &error);
    if (redis == NULL) {
        base_warn("alarms begin without what they knew before: %s", error.why);
        return;
    }
    redis_key_of(key, prefix, name, "baselines");
    recall_baselines(a, redis, key);
    redis_key_of(key, prefix, name, "active");
    recall_active(a, redis, key);
    redisFree(redis);
}

struct cli_alarm_saving {
    char key[REDIS_KEY_TEXT];
    char *octets; /* commands, as they go over the wire */
    size_t used, room, commands;
};

static void save_one(void *context, const char *key, const char *json) {
    struct cli_alarm_saving *s = context;
    const char *argv[] = {"HSET", s->key, key, json};
    size_t length[] = {4, strlen(s->key), strlen(key), strlen(json)};
    char *command = NULL;
    int n = redisFormatCommandArgv(&command, 4, argv, length);
    if (n > 0 && s->used + (size_t)n > s->room) {
        size_t room = (s->used + (size_t)n) * 2;
        char *grown = realloc(s->octets, room);
        s->room = grown != NULL ? room : s->room;
        s->octets = grown != NULL ? grown : s->octets;
    }
    if (n > 0 && s->used + (size_t)n <= s->room) {
        memcpy(s->octets + s->used, command, (size_t)n);
        s->used += (size_t)n;
        s->commands++;
    }
    if (n > 0)
        redisFreeCommand(command);
}

struct cli_alarm_saving *cli_alarms_collect(struct cli_alarms *a, const char *prefix,
                                            const char *name) {
    if (a->engine == NULL || !alarm_baselines_changed(a->engine))
        return NULL;
    struct cli_alarm_saving *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL; /* they stay marked as changed */
    redis_key_of(s->key, prefix, name, "baselines");
    alarm_each_baseline(a->engine, true, save_one, s);
    return s;
}

bool cli_alarms_send(const struct cli_alarm_saving *s, const struct redis_url *url) {
    struct base_error error;
    size_t answers = 0;
    redisReply *r;
    redisContext *redis = redis_open(url, WAIT_MS, &error);
    if (redis == NULL)
        return false;
    bool sent = redisAppendFormattedCommand(redis, s->octets, s->used) == REDIS_OK;
    for (; sent && answers < s->commands && redisGetReply(redis, (void **)&r) == REDIS_OK;
         answers++)
        freeReplyObject(r);
    redisFree(redis);
    return answers == s->commands;
}

void cli_alarms_saving_free(struct cli_alarm_saving *s) {
    if (s == NULL)
        return;
    free(s->octets);
    free(s);
}

void cli_alarms_save(struct cli_alarms *a, const struct redis_url *url, const char *prefix,
                     const char *name) {
    struct cli_alarm_saving *s = cli_alarms_collect(a, prefix, name);
    if (s != NULL)
        cli_alarms_send(s, url);
    cli_alarms_saving_free(s);
}
