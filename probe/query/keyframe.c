/*
 * Keyframes: where to begin (design 1.6: the newest complete one at or before the moment).
 *
 * Looking back goes from snapshot to snapshot, two entries each: the last entry before a cursor
 * tells the snapshot's time and whether it was ended, and IDs are times, so its begin is found
 * directly. What was decided for one partition is tried first in the next, because keyframes are
 * the whole probe's; one that was never ended in a partition is passed over there, which is right,
 * for every partition can be replayed on its own.
 */
#include "run.h"

#include <stdlib.h>
#include <string.h>

enum { TS, KIND, KEYFRAME, FLOWS, HEAD_FIELDS };
static const char *const head_field[HEAD_FIELDS] = {"ts", "kind", "keyframe", "flows"};

struct head {
    struct query_id id;
    uint64_t ts_ns, flows;
    bool is_begin, is_end, keyframe;
};

static bool parse_head(const struct query_entry *e, struct head *h) {
    struct query_text t[HEAD_FIELDS];
    query_entry_fields(e, head_field, HEAD_FIELDS, t);
    *h = (struct head){.id = e->id,
                       .is_begin = query_text_is(t[KIND], "begin"),
                       .is_end = query_text_is(t[KIND], "end"),
                       .keyframe = query_flag_parse(t[KEYFRAME])};
    query_number_parse(t[FLOWS], &h->flows);
    return query_stamp_parse(t[TS], &h->ts_ns);
}

/* One entry of a range; false in *found when there is none, or none that can be read. */
static int one_entry(struct query_run *r, const char *key, const struct query_range *range,
                     struct head *h, bool *found, struct base_error *error) {
    struct query_entry e;
    if (query_range_send(&r->q->link, key, range, error) != 0)
        return -1;
    redisReply *page = query_range_reply(&r->q->link, error);
    if (page == NULL)
        return -1;
    *found = query_reply_entry(page, 0, &e);
    if (*found && !parse_head(&e, h)) {
        r->faulty++;
        *h = (struct head){.id = e.id};
    }
    query_reply_free(page);
    return 0;
}

static void step_back(struct query_id *id) {
    if (id->seq-- == 0)
        id->ms--;
}

/* The begin of the snapshot that `last` belongs to, by its time. */
static int find_begin(struct query_run *r, const char *key, const struct head *last, struct head *h,
                      bool *found, struct base_error *error) {
    struct query_range range = {.from = {last->ts_ns / BASE_NS_PER_MS, 0},
                                .to = last->id,
                                .direction = QUERY_FORWARD,
                                .count = 1};
    *found = last->is_begin;
    *h = *last;
    if (last->is_begin)
        return 0;
    if (one_entry(r, key, &range, h, found, error) != 0)
        return -1;
    *found = *found && h->is_begin && h->ts_ns == last->ts_ns;
    return 0;
}

int query_shot_before(struct query_run *r, const char *key, struct query_id *cursor,
                      struct query_shot *shot, struct base_error *error) {
    struct head last, begin;
    bool found, ended = false;
    uint64_t ts_ns = 0;
    *shot = (struct query_shot){0};
    for (;;) {
        struct query_range range = {
            .from = *cursor, .to = {0, 0}, .direction = QUERY_BACKWARD, .count = 1};
        if (one_entry(r, key, &range, &last, &found, error) != 0)
            return -1;
        if (!found)
            return 0;
        if (last.ts_ns != ts_ns) { /* the last entry of a snapshot tells whether it was ended */
            ts_ns = last.ts_ns;
            ended = last.is_end;
        }
        if (find_begin(r, key, &last, &begin, &found, error) != 0)
            return -1;
        *cursor = found ? begin.id : last.id;
        step_back(cursor);
        if (found) /* else IDs were raised above their times: entry by entry */
            break;
        if (cursor->ms == UINT64_MAX)
            return 0;
    }
    *shot = (struct query_shot){.found = true,
                                .ts_ns = begin.ts_ns,
                                .flows = begin.flows,
                                .keyframe = begin.keyframe,
                                .ended = ended,
                                .begin = begin.id};
    return 0;
}

/* Members of one keyframe on their way into a table. */
struct load {
    struct query_slice *slice;
    struct query_table *table;
    uint64_t ts_ns;
    bool begun, ended, short_of_memory;
    uint64_t flows, members;
};

enum { G_SERVER, G_SERVICE, G_CLIENT_STATE, G_SERVER_STATE, G_STATE, G_MEMBERS, GROUP_FIELDS };
static const char *const group_field[GROUP_FIELDS] = {"server",       "service", "client_state",
                                                      "server_state", "state",   "members"};

/* The contract's stream has the pair in `state`. */
static bool parse_group(struct load *l, const struct query_entry *e, struct query_conn *model,
                        struct query_text *members) {
    struct query_text t[GROUP_FIELDS];
    query_entry_fields(e, group_field, GROUP_FIELDS, t);
    *model = (struct query_conn){.service = query_service_number(l->slice->run, t[G_SERVICE])};
    *members = t[G_MEMBERS];
    l->short_of_memory = l->short_of_memory || model->service == UINT32_MAX;
    return query_place_parse(t[G_SERVER], &model->server) &&
           query_pair_parse(t[G_STATE], model->state);
}

static bool add_member(struct load *l, const struct query_conn *model,
                       const struct query_member *m) {
    struct query_slice *s = l->slice;
    const struct query_match *match = &s->run->match;
    l->members++;
    if (!query_match_places(match, &m->client, &model->server) ||
        !query_slice_holds(s, &m->client, &model->server))
        return true;
    if (query_table_find(l->table, m->flow) != NULL)
        return true; /* a member twice */
    struct query_conn *c = query_table_add(l->table, m->flow);
    if (c == NULL)
        return false;
    c->client = m->client;
    c->server = model->server;
    c->service = model->service;
    c->state[0] = model->state[0];
    c->state[1] = model->state[1];
    c->pair_ns = c->anchor_ns = m->since_ns;
    return !query_slice_is_full(s);
}

static bool take_group(struct load *l, const struct query_entry *e) {
    struct query_run *r = l->slice->run;
    struct query_conn model;
    struct query_text members;
    struct query_member m;
    enum query_next next;
    if (!parse_group(l, e, &model, &members)) {
        r->faulty++;
        return true;
    }
    if (l->short_of_memory)
        return false;
    if (!r->service[model.service].matches)
        return true;
    while ((next = query_member_next(&members, &m)) != QUERY_NEXT_NONE) {
        r->faulty += next == QUERY_NEXT_BAD;
        if (next == QUERY_NEXT_GOOD && !add_member(l, &model, &m)) {
            l->short_of_memory = !l->slice->is_full;
            return false;
        }
    }
    return true;
}

static bool take_entry(struct query_scan *scan, const struct query_entry *e) {
    struct load *l = scan->context;
    struct head h;
    if (!parse_head(e, &h)) {
        l->slice->run->faulty++;
        return true;
    }
    if (h.ts_ns != l->ts_ns)
        return h.ts_ns < l->ts_ns;
    if (!l->begun) {
        l->begun = h.is_begin && h.keyframe;
        return l->begun;
    }
    l->ended = h.is_end;
    return !h.is_end && take_group(l, e);
}

/* The keyframe of this time into the table. *complete: it is there, from begin to end. */
static int load_keyframe(struct query_slice *s, struct query_part *p, uint64_t ts_ns,
                         struct query_id from, bool *complete, struct base_error *error) {
    struct load l = {.slice = s, .table = &p->table, .ts_ns = ts_ns};
    struct query_scan scan = {.from = from,
                              .to_ms = from.ms + p->view->probe->skew_ms,
                              .page = QUERY_LARGE_PAGE,
                              .large = true,
                              .context = &l};
    query_stream_key(s->run, p->view, p->partition, "snapshots", scan.key);
    query_table_clear(&p->table);
    p->table.base_ns = ts_ns;
    if (query_scan_run(&s->run->q->link, &scan, 1, take_entry, error) != 0)
        return -1;
    if (l.short_of_memory)
        return base_error_set(error, "query", "out of memory");
    *complete = l.ended || s->is_full;
    if (!*complete)
        query_table_clear(&p->table);
    return 0;
}

void query_warn_unended(struct query_run *r, const struct query_view *v, uint64_t ts_ns) {
    char at[BASE_TIME_TEXT];
    base_time_format(ts_ns, at);
    query_warn(r, "probe %s: the keyframe of %s was never ended; an older one is used",
               v->probe->name, at);
}

int query_keyframe_load(struct query_slice *s, struct query_part *p, uint64_t at_ns,
                        struct base_error *error) {
    struct query_view *v = p->view;
    uint64_t *hint_ns = &v->keyframe_ns[s->moment];
    struct query_id cursor = {at_ns / BASE_NS_PER_MS + v->probe->skew_ms, UINT64_MAX};
    struct query_shot shot;
    char key[REDIS_KEY_TEXT];
    bool complete = false;
    if (*hint_ns != 0 && *hint_ns <= at_ns) {
        struct query_id from = {*hint_ns / BASE_NS_PER_MS, 0};
        if (load_keyframe(s, p, *hint_ns, from, &complete, error) != 0 || complete)
            return complete ? 0 : -1;
    }
    query_stream_key(s->run, v, p->partition, "snapshots", key);
    while (!complete) {
        if (query_shot_before(s->run, key, &cursor, &shot, error) != 0)
            return -1;
        if (!shot.found)
            return 0;
        if (!shot.keyframe || shot.ts_ns > at_ns)
            continue;
        if (!shot.ended) {
            query_warn_unended(s->run, v, shot.ts_ns);
            continue;
        }
        if (load_keyframe(s, p, shot.ts_ns, shot.begin, &complete, error) != 0)
            return -1;
    }
    *hint_ns = shot.ts_ns;
    return 0;
}
