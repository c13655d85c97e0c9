/*
 * `transitions`: what changed, from all partitions and probes in the order of time.
 *
 * One client: one partition, read page by page. Otherwise the partitions are merged: each has a
 * page of its own at hand, and the oldest head of all is next. With `follow` all partitions are
 * asked again and again for what is new; entries that come within one look are in order.
 */
#include "kinds.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct query_column column[] = {
    {"type", QUERY_TEXT},       {"ts", QUERY_TIME},           {"probe", QUERY_TEXT},
    {"flow", QUERY_TEXT},       {"client", QUERY_TEXT},       {"server", QUERY_TEXT},
    {"service", QUERY_TEXT},    {"client_state", QUERY_TEXT}, {"server_state", QUERY_TEXT},
    {"client_was", QUERY_TEXT}, {"server_was", QUERY_TEXT},   {"cause", QUERY_TEXT},
    {"inferred", QUERY_TEXT},   {"vlan", QUERY_TEXT},         {"tunnel", QUERY_TEXT}};
enum {
    COLUMNS = sizeof column / sizeof *column,
    MERGED_PAGE = 100, /* entries at hand of each of many partitions */
    FOLLOW_MS = 200
};

struct source { /* one partition of one probe */
    struct query_view *view;
    char key[REDIS_KEY_TEXT];
    struct query_id next; /* to be asked for */
    uint64_t to_ms;
    unsigned page;
    redisReply *reply; /* the page at hand */
    size_t at;         /* its next entry */
    bool is_last;      /* no page follows */
    struct query_step step;
    struct query_entry entry; /* of the step */
};

struct merge {
    struct query_run *run;
    struct source *source;
    size_t count;
    struct source **heap; /* those that have a step, the oldest first */
    size_t heaped;
    struct query_cells cells;
};

static int ask(struct merge *m, struct source *s, struct base_error *error) {
    struct query_range range = {.from = s->next,
                                .to = {s->to_ms, UINT64_MAX},
                                .direction = QUERY_FORWARD,
                                .count = s->page};
    return query_range_send(&m->run->q->link, s->key, &range, error);
}

static int take_reply(struct merge *m, struct source *s, struct base_error *error) {
    struct query_entry last;
    query_reply_free(s->reply);
    s->at = 0;
    s->reply = query_range_reply(&m->run->q->link, error);
    if (s->reply == NULL)
        return -1;
    s->is_last = s->reply->elements < s->page;
    if (s->reply->elements > 0 && query_reply_entry(s->reply, s->reply->elements - 1, &last)) {
        s->next = last.id;
        if (++s->next.seq == 0)
            s->next.ms++;
    }
    return 0;
}

/* Is the entry of those that were asked for? That a connection goes on in another partition is told
 * only to who asks for the client that it leaves: elsewhere it would look like an end. */
static bool is_wanted(const struct merge *m, const struct source *s) {
    struct query_run *r = m->run;
    const struct query_step *t = &s->step;
    return t->ts_ns >= s->view->from_ns && t->ts_ns <= s->view->to_ns &&
           (t->cause != TCP_CAUSE_MOVED || r->exact) &&
           query_match_places(&r->match, &t->client, &t->server) &&
           query_match_states(&r->match, t->state) && t->service != UINT32_MAX &&
           r->service[t->service].matches;
}

/* The next wanted step of the page at hand; false at its end. */
static bool next_of_page(struct merge *m, struct source *s) {
    while (s->reply != NULL && s->at < s->reply->elements) {
        if (!query_reply_entry(s->reply, s->at++, &s->entry) ||
            !query_step_parse(m->run, &s->entry, &s->step)) {
            m->run->faulty++;
            continue;
        }
        if (is_wanted(m, s))
            return true;
    }
    return false;
}

static bool is_older(const struct source *a, const struct source *b) {
    if (a->step.ts_ns != b->step.ts_ns)
        return a->step.ts_ns < b->step.ts_ns;
    return a < b; /* by probe, then by partition */
}

static void sink_down(struct merge *m, size_t i) {
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < m->heaped; child++)
            if (is_older(m->heap[child], m->heap[least]))
                least = child;
        if (least == i)
            return;
        struct source *s = m->heap[i];
        m->heap[i] = m->heap[least];
        m->heap[least] = s;
        i = least;
    }
}

/* A step at hand of this source, pages being read as needed; false in *found at its end. */
static int advance(struct merge *m, struct source *s, bool *found, struct base_error *error) {
    while (!(*found = next_of_page(m, s)) && !s->is_last)
        if (ask(m, s, error) != 0 || take_reply(m, s, error) != 0)
            return -1;
    return 0;
}

/* The first pages of all, asked for some at a time. */
static int fill(struct merge *m, struct base_error *error) {
    enum { AT_ONCE = 64 };
    m->heaped = 0;
    for (size_t from = 0; from < m->count; from += AT_ONCE) {
        size_t to = from + AT_ONCE < m->count ? from + AT_ONCE : m->count;
        for (size_t i = from; i < to; i++)
            if (ask(m, &m->source[i], error) != 0)
                return -1;
        for (size_t i = from; i < to; i++)
            if (take_reply(m, &m->source[i], error) != 0)
                return -1;
    }
    for (size_t i = 0; i < m->count; i++) {
        bool found;
        if (advance(m, &m->source[i], &found, error) != 0)
            return -1;
        if (found)
            m->heap[m->heaped++] = &m->source[i];
    }
    for (size_t i = m->heaped; i-- > 0;)
        sink_down(m, i);
    return 0;
}

static bool give(struct merge *m, const struct source *s) {
    static const char *const cause_field[] = {"cause"};
    struct query_cells *c = &m->cells;
    const struct query_step *t = &s->step;
    struct query_text text;
    struct query_cause cause;
    bool turned = t->cause == TCP_CAUSE_ROLES; /* the sides change places, no state changes */
    query_entry_fields(&s->entry, cause_field, 1, &text);
    query_cause_parse(text, &cause);
    query_cells_clear(c);
    query_cell_text(c, "transition");
    query_cell_time(c, t->ts_ns);
    query_cell_text(c, s->view->probe->name);
    query_cell_flow(c, t->flow);
    query_cell_place(c, &t->client);
    query_cell_place(c, &t->server);
    query_cell_text(c, m->run->service[t->service].name);
    for (int side = 0; side < 2; side++)
        query_cell_text(c, tcp_state_name(t->state[side]));
    for (int side = 0; side < 2; side++)
        query_cell_text(c, turned || t->was[side] == t->state[side] ? ""
                                                                    : tcp_state_name(t->was[side]));
    query_cell_text(c, tcp_cause_name(t->cause));
    query_cell_text(c, tcp_inferred_name(t->inferred));
    query_cell_slice(c, cause.vlan);
    query_cell_slice(c, cause.tunnel);
    return query_give(m->run, c->cell, NULL);
}

/* All that is there, in order. */
static int drain(struct merge *m, struct base_error *error) {
    if (fill(m, error) != 0)
        return -1;
    while (m->heaped > 0 && m->run->q->stop == 0) {
        bool found;
        if (!give(m, m->heap[0]))
            return 0;
        if (advance(m, m->heap[0], &found, error) != 0)
            return -1;
        if (!found)
            m->heap[0] = m->heap[--m->heaped];
        sink_down(m, 0);
    }
    return 0;
}

static bool take_one(struct query_scan *scan, const struct query_entry *e) {
    struct merge *m = scan->context;
    struct source *s = &m->source[0];
    s->entry = *e;
    if (!query_step_parse(m->run, e, &s->step)) {
        m->run->faulty++;
        return true;
    }
    return m->run->q->stop == 0 && (!is_wanted(m, s) || give(m, s));
}

/* A single partition: the next page is under way while this one is looked at. */
static int read_one(struct merge *m, struct base_error *error) {
    struct source *s = &m->source[0];
    struct query_scan scan = {.from = s->next, .to_ms = s->to_ms, .page = QUERY_PAGE, .context = m};
    memcpy(scan.key, s->key, sizeof scan.key);
    return query_scan_run(&m->run->q->link, &scan, 1, take_one, error);
}

static size_t count_sources(const struct query_run *r) {
    size_t n = 0;
    for (size_t i = 0; i < r->views; i++)
        n += r->exact ? 1 : r->view[i].probe->partitions;
    return n;
}

static int make_sources(struct merge *m, struct base_error *error) {
    struct query_run *r = m->run;
    size_t n = count_sources(r);
    m->source = calloc(n + 1, sizeof *m->source);
    m->heap = calloc(n + 1, sizeof *m->heap);
    if (m->source == NULL || m->heap == NULL)
        return base_error_set(error, "query", "out of memory");
    for (size_t i = 0; i < r->views; i++) {
        struct query_view *v = &r->view[i];
        unsigned step = r->exact ? v->probe->partitions : 1;
        unsigned p = r->exact ? redis_partition(&r->client, step) : 0;
        for (; p < v->probe->partitions; p += step) {
            struct source *s = &m->source[m->count++];
            s->view = v;
            s->page = n > 4 ? MERGED_PAGE : QUERY_PAGE;
            s->next = (struct query_id){v->from_ns / BASE_NS_PER_MS, 0};
            s->to_ms = v->to_ns / BASE_NS_PER_MS + v->probe->skew_ms;
            query_stream_key(r, v, p, "transitions", s->key);
        }
    }
    return 0;
}

static void tell_trims(struct query_run *r) {
    for (size_t i = 0; i < r->views; i++) {
        const struct query_view *v = &r->view[i];
        char text[BASE_TIME_TEXT];
        base_time_format(v->span.from_ns, text);
        if (r->ask->from.kind != QUERY_TIME_NONE && v->from_ns < v->span.from_ns)
            query_warn(r, "probe %s: what was before %s is not in the store", v->probe->name, text);
    }
}

/* New entries for ever; an ID is never below one that was seen, so that none is missed. */
static int follow(struct merge *m, struct base_error *error) {
    unsigned wait_ms = m->run->ask->follow_ms > 0 ? m->run->ask->follow_ms : FOLLOW_MS;
    struct timespec pause = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000L};
    for (size_t i = 0; i < m->count; i++) {
        m->source[i].to_ms = UINT64_MAX;
        m->source[i].view->to_ns = UINT64_MAX;
    }
    while (m->run->q->stop == 0 && !m->run->ended && m->run->rows < m->run->ask->limit) {
        if (drain(m, error) != 0)
            return -1;
        if (m->run->sink->pause != NULL && !m->run->sink->pause(m->run->sink->context))
            return 0;
        nanosleep(&pause, NULL);
    }
    return 0;
}

int query_run_transitions(struct query_run *r, struct base_error *error) {
    struct merge *m = calloc(1, sizeof *m);
    if (m == NULL)
        return base_error_set(error, "query", "out of memory");
    m->run = r;
    if (r->ask->follow && r->ask->from.kind == QUERY_TIME_NONE)
        for (size_t i = 0; i < r->views; i++)
            r->view[i].from_ns = r->view[i].now_ns;
    tell_trims(r);
    int result = make_sources(m, error);
    if (result == 0)
        result = query_begin(r, column, COLUMNS, error);
    if (result == 0)
        result = r->ask->follow  ? follow(m, error)
                 : m->count == 1 ? read_one(m, error)
                                 : drain(m, error);
    for (size_t i = 0; i < m->count; i++)
        query_reply_free(m->source[i].reply);
    free(m->source);
    free(m->heap);
    free(m);
    return result;
}
