/*
 * The probes of one question: which, at which moments, what the store holds of them.
 */
#include "run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINGER_S = 120, /* after its last packet a file's timers run on (design 1.1) */
    WARNINGS = 64,
    LOOKS = 256 /* snapshots looked at for the oldest keyframe */
};

void query_warn(struct query_run *r, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (size_t i = 0; i < r->tolds; i++)
        if (strcmp(r->told[i], text) == 0)
            return;
    char **bigger =
        r->tolds < WARNINGS ? reallocarray(r->told, r->tolds + 1, sizeof *bigger) : NULL;
    if (bigger == NULL)
        return;
    r->told = bigger;
    r->told[r->tolds] = strdup(text);
    if (r->told[r->tolds] == NULL)
        return;
    r->tolds++;
    if (r->sink->warn != NULL)
        r->sink->warn(r->sink->context, text);
}

void query_stream_key(const struct query_run *r, const struct query_view *v, unsigned partition,
                      const char *what, char key[REDIS_KEY_TEXT]) {
    redis_key_in(key, r->q->prefix, v->probe->name, partition, what);
}

static uint64_t resolve(const struct query_view *v, const struct query_time *t, uint64_t absent) {
    if (t->kind == QUERY_TIME_MOMENT)
        return t->ns;
    if (t->kind == QUERY_TIME_NONE)
        return absent;
    return v->now_ns > t->ns ? v->now_ns - t->ns : 0;
}

static void set_moments(struct query_run *r, struct query_view *v) {
    const struct query_ask *a = r->ask;
    bool relative = a->at.kind != QUERY_TIME_MOMENT;
    if (a->what == QUERY_TRANSITIONS || a->what == QUERY_ALARMS || a->what == QUERY_DIFF)
        relative = a->from.kind == QUERY_TIME_BEFORE_NOW || a->to.kind != QUERY_TIME_MOMENT;
    v->now_ns = v->probe->is_running ? query_wall_ns() : v->probe->last_ns;
    v->at_ns = resolve(v, &a->at, v->now_ns);
    v->from_ns = resolve(v, &a->from, 0);
    v->to_ns = resolve(v, &a->to, v->now_ns);
    v->span = (struct query_span){v->probe->name, v->probe->first_ns, v->now_ns};
    if (relative && !v->probe->is_running) {
        char last[BASE_TIME_TEXT];
        base_time_format(v->probe->last_ns, last);
        query_warn(r, "probe %s does not run: its now is its last capture time, %s", v->probe->name,
                   last);
    }
}

static int no_probe(struct query_run *r, struct base_error *error) {
    char names[256] = "";
    size_t n = 0;
    for (size_t i = 0; i < r->q->probes && n + QUERY_NAME_TEXT + 2 < sizeof names; i++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i > 0 ? ", " : "",
                              r->q->probe[i].name);
    return base_error_set(error, "--probe", "found \"%s\"; this store has %s", r->ask->probe,
                          n > 0 ? names : "no probe yet");
}

int query_views_init(struct query_run *r, struct base_error *error) {
    const struct query_probe *probes;
    size_t count;
    if (query_probes(r->q, &probes, &count, error) != 0)
        return -1;
    r->view = calloc(count + 1, sizeof *r->view);
    if (r->view == NULL)
        return base_error_set(error, "query", "out of memory");
    for (size_t i = 0; i < count; i++) {
        if (r->ask->probe != NULL && strcmp(r->ask->probe, probes[i].name) != 0)
            continue;
        if (probes[i].format != QUERY_STORE_FORMAT)
            return base_error_set(error, probes[i].name,
                                  "this probe's part of the store is of format %u, understood is "
                                  "%d; use its own version of spanwatch, or --probe for another",
                                  probes[i].format, QUERY_STORE_FORMAT);
        struct query_view *v = &r->view[r->views];
        v->probe = &probes[i];
        v->number = (unsigned)r->views++;
        v->trim = calloc(v->probe->partitions, sizeof *v->trim);
        if (v->trim == NULL)
            return base_error_set(error, "query", "out of memory");
        set_moments(r, v);
    }
    if (r->views == 0 && r->ask->probe != NULL)
        return no_probe(r, error);
    if (r->views == 0)
        query_warn(r, "the store has no probe yet");
    return 0;
}

/* The first partition that is read of a view, and the step to the next. */
static unsigned first_partition(const struct query_run *r, const struct query_view *v,
                                unsigned *step) {
    *step = r->exact ? v->probe->partitions : 1;
    return r->exact ? redis_partition(&r->client, v->probe->partitions) : 0;
}

static uint64_t id_ms(const redisReply *r) {
    struct query_id id;
    if (r->type == REDIS_REPLY_ARRAY && r->elements > 0) /* an entry: its ID comes first */
        r = r->element[0];
    if (r->type != REDIS_REPLY_STRING ||
        !query_id_parse((struct query_text){r->str, (size_t)r->len}, &id))
        return UINT64_MAX;
    return id.ms;
}

/* What XINFO STREAM says: entries are gone when more were added than are there (Redis 7). */
static void take_info(const redisReply *info, struct query_trim *t) {
    long long length = 0, added = 0;
    uint64_t first_ms = UINT64_MAX, last_ms = UINT64_MAX;
    t->known = true;
    for (size_t i = 0; info->type == REDIS_REPLY_ARRAY && i + 1 < info->elements; i += 2) {
        const redisReply *value = info->element[i + 1];
        const char *name =
            info->element[i]->type == REDIS_REPLY_STRING ? info->element[i]->str : "";
        if (strcmp(name, "length") == 0)
            length = value->integer;
        else if (strcmp(name, "entries-added") == 0)
            added = value->integer;
        else if (strcmp(name, "first-entry") == 0)
            first_ms = id_ms(value);
        else if (strcmp(name, "last-generated-id") == 0)
            last_ms = id_ms(value);
    }
    t->trimmed = added > length;
    t->first_ms = first_ms != UINT64_MAX ? first_ms : last_ms;
}

static int read_trims(struct query_run *r, struct query_view *v, struct base_error *error) {
    unsigned step, first = first_partition(r, v, &step);
    for (unsigned p = first; p < v->probe->partitions; p += step) {
        char key[REDIS_KEY_TEXT];
        query_stream_key(r, v, p, "transitions", key);
        const char *argv[] = {"XINFO", "STREAM", key};
        if (redisAppendCommandArgv(r->q->link.c, 3, argv, NULL) != REDIS_OK)
            return base_error_set(error, r->q->link.shown, "out of memory");
    }
    for (unsigned p = first; p < v->probe->partitions; p += step) {
        redisReply *info = query_any_reply(&r->q->link, error);
        if (info == NULL)
            return -1;
        take_info(info, &v->trim[p]);
        query_reply_free(info);
    }
    return 0;
}

/* The first partition with a snapshot at or before a moment, and that snapshot. */
static int first_shot(struct query_run *r, struct query_view *v, uint64_t at_ns,
                      struct query_id *cursor, struct query_shot *shot, char key[REDIS_KEY_TEXT],
                      struct base_error *error) {
    unsigned step, p = first_partition(r, v, &step);
    for (; p < v->probe->partitions; p += step) {
        *cursor = (struct query_id){at_ns / BASE_NS_PER_MS + v->probe->skew_ms, UINT64_MAX};
        query_stream_key(r, v, p, "snapshots", key);
        if (query_shot_before(r, key, cursor, shot, error) != 0)
            return -1;
        if (shot->found)
            return 0;
    }
    return 0;
}

/* The keyframe that the answer will begin with, so that the gaps after it can be told first. */
static int find_keyframe(struct query_run *r, struct query_view *v, enum query_moment m,
                         uint64_t at_ns, struct base_error *error) {
    struct query_id cursor;
    struct query_shot shot = {0};
    char key[REDIS_KEY_TEXT];
    if (first_shot(r, v, at_ns, &cursor, &shot, key, error) != 0)
        return -1;
    while (shot.found) {
        if (shot.keyframe && shot.ended && shot.ts_ns <= at_ns) {
            v->keyframe_ns[m] = shot.ts_ns;
            return 0;
        }
        if (shot.keyframe && shot.ts_ns <= at_ns)
            query_warn_unended(r, v, shot.ts_ns);
        if (query_shot_before(r, key, &cursor, &shot, error) != 0)
            return -1;
    }
    return 0;
}

/* Of a trimmed partition: its oldest complete keyframe is the first moment that can be told. */
static int oldest_keyframe(struct query_run *r, struct query_view *v, unsigned partition,
                           uint64_t *ns, struct base_error *error) {
    struct query_shot shot = {0};
    struct query_range range = {
        .from = {0, 0}, .to = {UINT64_MAX, 0}, .direction = QUERY_FORWARD, .count = 1};
    char key[REDIS_KEY_TEXT];
    query_stream_key(r, v, partition, "snapshots", key);
    for (int i = 0; i < LOOKS; i++) {
        struct query_entry e;
        if (query_range_send(&r->q->link, key, &range, error) != 0)
            return -1;
        redisReply *page = query_range_reply(&r->q->link, error);
        if (page == NULL)
            return -1;
        bool found = query_reply_entry(page, 0, &e);
        query_reply_free(page);
        if (!found)
            break;
        struct query_id cursor = {e.id.ms, UINT64_MAX};
        if (query_shot_before(r, key, &cursor, &shot, error) != 0)
            return -1;
        if (shot.found && shot.keyframe && shot.ended) {
            *ns = shot.ts_ns;
            return 0;
        }
        range.from = (struct query_id){e.id.ms + 1, 0};
    }
    return 0;
}

static int set_span(struct query_run *r, struct query_view *v, struct base_error *error) {
    unsigned step, p = first_partition(r, v, &step);
    for (; p < v->probe->partitions; p += step) {
        uint64_t from_ns = v->trim[p].first_ms * BASE_NS_PER_MS;
        if (!v->trim[p].trimmed)
            continue;
        if (oldest_keyframe(r, v, p, &from_ns, error) != 0)
            return -1;
        if (from_ns > v->span.from_ns)
            v->span.from_ns = from_ns;
        return 0; /* all partitions are trimmed to the same keyframe */
    }
    return 0;
}

int query_views_spans(struct query_run *r, struct base_error *error) {
    enum query_what what = r->ask->what;
    bool moment = what == QUERY_CONNECTIONS || what == QUERY_CLIENTS || what == QUERY_SUMMARY;
    for (size_t i = 0; i < r->views; i++) {
        struct query_view *v = &r->view[i];
        int result = 0;
        if (read_trims(r, v, error) != 0 || set_span(r, v, error) != 0)
            return -1;
        if (moment)
            result = find_keyframe(r, v, QUERY_MOMENT_AT, v->at_ns, error);
        else if (what == QUERY_DIFF)
            result = find_keyframe(r, v, QUERY_MOMENT_FROM, v->from_ns, error);
        if (result == 0 && what == QUERY_DIFF)
            result = find_keyframe(r, v, QUERY_MOMENT_TO, v->to_ns, error);
        if (result != 0)
            return -1;
    }
    return 0;
}

bool query_view_is_silent(struct query_run *r, const struct query_view *v, uint64_t at_ns) {
    char text[BASE_TIME_TEXT];
    if (at_ns < v->span.from_ns && !(v->probe->first_ns == 0)) {
        base_time_format(v->span.from_ns, text);
        query_warn(r, "probe %s: the moment lies before what the store holds (from %s)",
                   v->probe->name, text);
        return true;
    }
    uint64_t end_ns = v->span.to_ns + (v->probe->is_running ? 0 : LINGER_S * BASE_NS_PER_S);
    if (at_ns <= v->span.to_ns)
        return false;
    base_time_format(v->span.to_ns, text);
    if (at_ns > end_ns && !v->probe->is_running)
        query_warn(r, "probe %s does not run: nothing is known of it after %s", v->probe->name,
                   text);
    else
        query_warn(r, "probe %s: the moment lies after its last capture time, %s", v->probe->name,
                   text);
    return at_ns > end_ns && !v->probe->is_running;
}
