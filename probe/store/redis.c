/*
 * The writer as a whole (store_redis.h): its life, its sinks, its clock.
 *
 * Every half of flush_ms what stands in open chunks is sealed and sent, and what was sealed before
 * and is not acknowledged gets its copy in the spool: so at most flush_ms of records are neither
 * stored nor spooled at any moment.
 */
#include "redis_spool.h"
#include "redis_writer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECT_MS = 5000,
    REPLY_MS = 8000, /* below the lock's life: who does not hear from the server stops in time */
    SECOND_MS = 1000,
    READ_QUEUE_OCTETS = 4 << 20 /* a reader waits above it */
};

static uint64_t wall_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * BASE_NS_PER_S + (uint64_t)t.tv_nsec;
}

/* ---- streams ---- */

struct store_stream *store_stream_of(struct store_redis *s, enum store_kind kind,
                                     unsigned partition) {
    if (kind < STORE_KINDS_PARTITIONED)
        return &s->stream[(size_t)partition * STORE_KINDS_PARTITIONED + kind];
    return &s->stream[s->streams - STORE_KINDS + kind];
}

static int init_streams(struct store_redis *s, struct base_error *error) {
    unsigned partitions = s->options.partitions;
    s->streams =
        (size_t)partitions * STORE_KINDS_PARTITIONED + STORE_KINDS - STORE_KINDS_PARTITIONED;
    s->stream = calloc(s->streams, sizeof *s->stream);
    if (s->stream == NULL)
        return base_error_set(error, "store", "out of memory");
    for (unsigned kind = 0; kind < STORE_KINDS; kind++)
        for (unsigned p = 0; p < (kind < STORE_KINDS_PARTITIONED ? partitions : 1); p++) {
            struct store_stream *st = store_stream_of(s, (enum store_kind)kind, p);
            st->store = s;
            st->kind = (enum store_kind)kind;
            st->partition = p;
        }
    return 0;
}

static void free_list(struct store_chunk *c) {
    while (c != NULL) {
        struct store_chunk *next = c->next;
        store_chunk_free(c);
        c = next;
    }
}

uint64_t store_redis_down_ns(const struct store_redis *s) {
    return s->down_ns;
}

/* ---- sinks ---- */

/* The first record of a run that comes after another: what lies between is not known. */
static void tell_down(struct store_redis *s, uint64_t ts_ns) {
    struct record_gap gap = {.ts_ns = ts_ns,
                             .from_ns = s->down_ns,
                             .to_ns = ts_ns,
                             .what = RECORD_GAP_PACKETS,
                             .why = "the probe was down"};
    bool was_down = s->down_ns != 0 && s->down_ns < ts_ns;
    s->down_ns = 0;
    if (was_down)
        store_redis_gap(s, &gap);
}

static void put_event(struct store_redis *s, const struct record_context *c, const struct event *e,
                      enum store_kind kind, unsigned partition) {
    struct store_stream *st = store_stream_of(s, kind, partition);
    char *p = store_put_begin(st, e->ts_ns, RECORD_MAX);
    if (p == NULL)
        return;
    p += kind == STORE_KIND_TRANSITIONS ? record_transition_entry(c, e, p)
                                        : record_connection_entry(c, e, p);
    store_put_end(st, e->ts_ns, p);
}

/* All that is known of a client lies in one partition: the flow's old client (the server of now)
 * gets a last word. */
static void put_moved(struct store_redis *s, const struct record_context *c,
                      const struct event *e) {
    struct event moved = {.ts_ns = e->ts_ns, .flow = e->flow, .type = EVENT_TRANSITION};
    memcpy(moved.flow.client, e->flow.server, sizeof moved.flow.client);
    memcpy(moved.flow.server, e->flow.client, sizeof moved.flow.server);
    moved.flow.client_port = e->flow.server_port;
    moved.flow.server_port = e->flow.client_port;
    moved.transition = (struct event_transition){
        .state = {TCP_CLOSED, TCP_CLOSED},
        .was = {e->transition.was[EVENT_SERVER], e->transition.was[EVENT_CLIENT]},
        .cause = TCP_CAUSE_MOVED};
    unsigned before = store_redis_partition(s, &moved.flow);
    if (before != store_redis_partition(s, &e->flow))
        put_event(s, c, &moved, STORE_KIND_TRANSITIONS, before);
}

void store_redis_event(struct store_redis *s, const struct record_context *c,
                       const struct event *e) {
    if (e->type != EVENT_TRANSITION && e->type != EVENT_CONNECTION)
        return;
    if (s->down_ns != 0)
        tell_down(s, e->ts_ns);
    if (e->type == EVENT_CONNECTION) {
        put_event(s, c, e, STORE_KIND_CONNECTIONS, store_redis_partition(s, &e->flow));
        return;
    }
    if (e->transition.cause == TCP_CAUSE_ROLES)
        put_moved(s, c, e);
    put_event(s, c, e, STORE_KIND_TRANSITIONS, store_redis_partition(s, &e->flow));
}

void store_redis_gap(struct store_redis *s, const struct record_gap *g) {
    if (g->what == RECORD_GAP_PACKETS && s->down_ns >= g->from_ns)
        s->down_ns = 0; /* told by the caller */
    struct store_stream *st = store_stream_of(s, STORE_KIND_GAPS, 0);
    char *p = store_put_begin(st, g->ts_ns, RECORD_MAX);
    if (p != NULL)
        store_put_end(st, g->ts_ns, p + record_gap_entry(&s->own, g, p));
}

void store_redis_stats(struct store_redis *s, const struct record_stats *stats) {
    if (s->down_ns != 0 && stats->ts_ns != 0)
        tell_down(s, stats->ts_ns);
    s->status = *stats;
    if (stats->ts_ns > s->newest_ns)
        s->newest_ns = stats->ts_ns;
}

uint64_t store_redis_alarm_seq(struct store_redis *s) {
    return ++s->alarm_seq;
}

static char *put_text(char *p, const char *text) {
    return record_put_bulk(p, text, strlen(text));
}

void store_redis_alarm(struct store_redis *s, const struct store_redis_alarm *a) {
    struct store_stream *st = store_stream_of(s, STORE_KIND_ALARMS, 0);
    char text[BASE_TIME_TEXT];
    char *p = store_put_begin(st, a->ts_ns, RECORD_MAX + a->json_octets);
    if (p == NULL)
        return;
    p = record_put_bulk(p, text, base_time_format(a->ts_ns, text));
    p = put_text(put_text(put_text(p, a->kind), a->severity), a->status);
    p = record_put_bulk(p, text,
                        (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)a->seq));
    store_put_end(st, a->ts_ns, record_put_bulk(p, a->json, a->json_octets));
}

/* ---- gaps of our own ---- */

static void tell(struct store_redis *s, enum store_kind kind, struct store_missing *m,
                 const char *why) {
    struct record_gap gap = {.ts_ns = s->newest_ns > m->to_ns ? s->newest_ns : m->to_ns,
                             .from_ns = m->from_ns,
                             .to_ns = m->to_ns,
                             .lost = m->lost,
                             .what = store_kind_what(kind),
                             .why = why};
    *m = (struct store_missing){0};
    store_redis_gap(s, &gap);
}

void store_tell_missing(struct store_redis *s) {
    for (unsigned kind = 0; kind < STORE_KINDS; kind++)
        if (s->missing[kind].to_ns != 0) {
            s->shed_since = true;
            tell(s, (enum store_kind)kind, &s->missing[kind],
                 "the store lost what it had acknowledged");
        }
}

/* What is shed goes on for a while: one record a second, and never for a gap that was shed itself
 * (there is no room for the word either). */
static void tell_shed(struct store_redis *s) {
    for (unsigned kind = 0; kind < STORE_KINDS; kind++) {
        struct store_missing m = s->shed[kind];
        if (m.lost == 0)
            continue;
        struct store_missing gaps = s->shed[STORE_KIND_GAPS];
        s->shed[kind] = (struct store_missing){0};
        s->shed_since = true;
        tell(s, (enum store_kind)kind, &m, "more than the store, memory and the spool took");
        if (kind != STORE_KIND_GAPS && s->shed[STORE_KIND_GAPS].lost != gaps.lost) {
            s->shed[kind] = (struct store_missing){0};
            s->shed[STORE_KIND_GAPS] = gaps; /* the gap found no room: keep what it told */
            return;
        }
    }
}

bool store_redis_wants_keyframe(struct store_redis *s) {
    bool wants = s->shed_since;
    s->shed_since = false;
    return wants;
}

/* ---- the clock ---- */

static bool is_over(const struct store_redis *s) {
    if (s->queued_entries > 0 || s->asking > 0)
        return false;
    for (size_t i = 0; i < s->streams; i++) {
        const struct store_stream *st = &s->stream[i];
        if (st->unacked != NULL || (st->open != NULL && st->open->entries > 0))
            return false;
    }
    return s->spool == NULL || store_spool_backlog(s->spool) == 0;
}

/* Up to which capture time everything is stored or spooled, for a start after a kill. */
static void note_covered(struct store_redis *s) {
    char text[128];
    if (s->covered_fd < 0)
        return;
    if (s->spool != NULL || s->queued_entries == 0)
        s->covered_ns = s->covering_ns;
    s->covering_ns = s->newest_ns;
    int n = snprintf(text, sizeof text, "%20llu %20llu\n", (unsigned long long)s->covered_ns,
                     (unsigned long long)s->alarm_seq);
    if (pwrite(s->covered_fd, text, (size_t)n, 0) != n)
        return; /* the next one comes soon; the time noted before is still true */
}

void store_look_for_end(struct store_redis *s) {
    bool late = s->deadline_ms != 0 && uv_now(s->loop) >= s->deadline_ms;
    if (!s->ending || s->finished || (!late && !s->lost_lock && !is_over(s)))
        return;
    if (s->spool != NULL && late)
        store_spool_copy(s->spool, s, true);
    if (s->last_ns != UINT64_MAX) {
        store_keeper_end(s);
        s->last_ns = UINT64_MAX; /* said */
    }
    s->finished = s->ending_words == 0 || s->link.state != STORE_LINK_UP || late;
}

static void on_flush(uv_timer_t *timer) {
    struct store_redis *s = timer->data;
    store_seal_all(s);
    store_ask_those_due(s);
    store_pump(s);
    if (s->spool != NULL)
        store_spool_copy(s->spool, s, false);
    note_covered(s);
    store_look_for_end(s);
}

static void on_second(uv_timer_t *timer) {
    struct store_redis *s = timer->data;
    tell_shed(s);
    store_keeper_second(s);
    for (size_t i = 0; i < s->streams; i++)
        store_trim_kept(&s->stream[i]);
}

/* ---- the connection ---- */

static void on_up(void *store) {
    struct store_redis *s = store;
    s->locked = false;
    store_scripts_load(s);
}

static void on_down(void *store) {
    struct store_redis *s = store;
    s->locked = false;
    s->asking = 0;
    s->trimming = 0;
    s->ending_words = 0;
    s->scripts_loaded = 0;
    for (size_t i = 0; i < s->streams; i++) {
        struct store_stream *st = &s->stream[i];
        assert(st->in_flight == 0);
        store_compare_free(st);
        st->state = STORE_STREAM_UNKNOWN;
    }
}

/* ---- life ---- */

static void on_found(void *store, const struct store_segment_record *r) {
    struct store_redis *s = store;
    struct store_stream *st = store_stream_of(s, r->kind, r->partition);
    const struct store_chunk *c = r->chunk;
    if (store_id_compare(st->assigned, c->last) < 0)
        st->assigned = c->last;
    if (c->to_ns > s->newest_ns)
        s->newest_ns = c->to_ns;
    if (s->first_ns == 0 || c->from_ns < s->first_ns)
        s->first_ns = c->from_ns;
    if (r->kind != STORE_KIND_ALARMS)
        return;
    struct store_entry e;
    for (uint32_t at = 0; at < c->used; at += (uint32_t)e.octets) {
        const char *value = NULL, *p = NULL;
        size_t length = 0;
        if (!store_entry_parse(c->data + at, c->used - at, store_kind_fields(st->kind), 0, &e))
            return;
        p = e.values;
        for (unsigned field = 0; field <= 4; field++) /* ts kind severity status seq */
            p += store_bulk_parse(p, (size_t)(e.data + e.octets - p), &value, &length);
        uint64_t seq = strtoull(value, NULL, 10);
        if (seq > s->alarm_seq)
            s->alarm_seq = seq;
    }
}

static int open_spool(struct store_redis *s, struct base_error *error) {
    if (s->options.spool_folder == NULL)
        return 0;
    s->spool = store_spool_new(s->options.spool_folder, s->options.partitions,
                               (uint64_t)s->options.spool_mib << 20, error);
    if (s->spool == NULL)
        return -1;
    store_spool_each(s->spool, on_found, s);
    if (store_spool_backlog(s->spool) > 0)
        base_warn("%s: %llu records of an earlier run were not stored yet; they are stored first",
                  s->options.spool_folder, (unsigned long long)store_spool_backlog(s->spool));
    return 0;
}

struct store_redis *store_redis_new(const struct store_redis_options *o, struct base_error *error) {
    struct store_redis *s = calloc(1, sizeof *s);
    if (s == NULL) {
        base_error_set(error, "store", "out of memory");
        return NULL;
    }
    s->options = *o;
    s->covered_fd = -1;
    s->skew_ms = STORE_SKEW_MS;
    s->started_ns = wall_ns();
    snprintf(s->prefix, sizeof s->prefix, "%s", o->prefix);
    snprintf(s->name, sizeof s->name, "%s", o->name);
    if (gethostname(s->host, sizeof s->host - 1) != 0)
        s->host[0] = '\0';
    for (char *p = s->host; *p != '\0'; p++)
        if (*p < 0x20 || *p == 0x7f || *p == '"' || *p == '\\')
            *p = '_'; /* it stands in JSON */
    s->own = (struct record_context){.probe = s->name};
    if (init_streams(s, error) == 0 && store_token(s, error) == 0 && open_spool(s, error) == 0 &&
        store_inspect(s, error) == 0)
        return s;
    store_redis_free(s);
    return NULL;
}

int store_redis_start(struct store_redis *s, struct uv_loop_s *loop, struct base_error *error) {
    uint64_t half_ms = s->options.flush_ms / 2;
    s->loop = loop;
    s->link.url = s->options.url;
    s->link.connect_ms = CONNECT_MS;
    s->link.reply_ms = REPLY_MS;
    s->link.up = on_up;
    s->link.down = on_down;
    s->link.context = s;
    s->flush.data = s->second.data = s;
    if (store_link_init(&s->link, loop) != 0 || uv_timer_init(loop, &s->flush) != 0 ||
        uv_timer_init(loop, &s->second) != 0)
        return base_error_set(error, "store", "out of memory");
    uv_timer_start(&s->flush, on_flush, half_ms > 0 ? half_ms : 1, half_ms > 0 ? half_ms : 1);
    uv_timer_start(&s->second, on_second, SECOND_MS, SECOND_MS);
    store_link_start(&s->link);
    return 0;
}

void store_redis_counters(const struct store_redis *s, struct store_redis_counters *c) {
    *c = (struct store_redis_counters){.queued = s->queued_entries,
                                       .lost = s->lost,
                                       .resent = s->resent,
                                       .refused = s->refused,
                                       .reached = s->link.state == STORE_LINK_UP && s->locked,
                                       .lost_lock = s->lost_lock,
                                       .conflict = s->conflict};
    for (size_t i = 0; i < s->streams; i++) {
        const struct store_chunk *u = s->stream[i].unacked;
        if (u != NULL && (c->oldest_ns == 0 || u->from_ns < c->oldest_ns))
            c->oldest_ns = u->from_ns;
    }
    if (s->spool == NULL)
        return;
    c->spooled = store_spool_backlog(s->spool);
    c->spool_octets = store_spool_octets(s->spool);
    c->spool_most = (uint64_t)s->options.spool_mib << 20;
    uint64_t from_ns = store_spool_backlog_from_ns(s->spool);
    if (c->oldest_ns == 0 || (from_ns != 0 && from_ns < c->oldest_ns))
        c->oldest_ns = from_ns;
}

bool store_redis_is_full(const struct store_redis *s) {
    return s->queued_octets > READ_QUEUE_OCTETS;
}

bool store_redis_is_ready(const struct store_redis *s) {
    for (size_t i = 0; i < s->streams; i++)
        if (!s->stream[i].known)
            return s->lost_lock;
    return true;
}

void store_redis_finish(struct store_redis *s, uint64_t last_ns, uint32_t deadline_ms) {
    s->ending = true;
    s->last_ns = last_ns;
    if (s->first_ns == 0)
        s->first_ns = last_ns;
    for (size_t i = 0; i < s->streams; i++) /* the store holds more than came now */
        s->conflict = s->conflict || s->stream[i].resume.ms != 0;
    uv_update_time(s->loop);
    s->deadline_ms = deadline_ms != 0 ? uv_now(s->loop) + deadline_ms : 0;
    tell_shed(s);
    store_seal_all(s);
    store_pump(s);
    store_look_for_end(s);
}

bool store_redis_is_finished(const struct store_redis *s) {
    return s->finished;
}

/* The copies in the spool do not count; what memory alone has does. */
uint64_t store_redis_left(const struct store_redis *s) {
    uint64_t left = 0;
    for (size_t i = 0; i < s->streams; i++)
        for (const struct store_chunk *c = s->stream[i].unacked; c != NULL; c = c->next)
            left += c->segment == 0 ? c->entries : 0;
    return left;
}

void store_redis_close(struct store_redis *s) {
    if (s->loop == NULL || s->closing)
        return;
    s->closing = true;
    store_link_close(&s->link);
    uv_close((uv_handle_t *)&s->flush, NULL);
    uv_close((uv_handle_t *)&s->second, NULL);
}

void store_redis_free(struct store_redis *s) {
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->streams && s->stream != NULL; i++) {
        free_list(s->stream[i].oldest);
        store_chunk_free(s->stream[i].open);
        store_compare_free(&s->stream[i]);
        free(s->stream[i].resume_values);
    }
    while (s->free_batch != NULL) {
        struct store_batch *next = s->free_batch->next;
        free(s->free_batch);
        s->free_batch = next;
    }
    store_grouping_free(s);
    store_spool_free(s->spool);
    if (s->covered_fd >= 0)
        close(s->covered_fd);
    explicit_bzero(&s->link.url, sizeof s->link.url);
    explicit_bzero(&s->options.url, sizeof s->options.url);
    free(s->scratch);
    free(s->stream);
    free(s);
}
