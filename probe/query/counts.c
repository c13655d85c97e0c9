/*
 * A summary without its connections: the newest snapshot's groups, which have a count each, and
 * what the transitions since then added to one pair of states and took from another.
 *
 * That reads some entries a partition where counting connections would read a keyframe with all its
 * members, so that it is the way for a store of millions. It is exact or given up: when a partition
 * lacks the snapshot, when a transition has the snapshot's very time (it may be in it or not), when
 * roles were corrected within a partition, when a count falls below zero (a service was renamed in
 * between), or when transitions are trimmed.
 */
#include "groups.h"

#include <stdlib.h>
#include <string.h>

enum {
    MANY = 1000, /* members of a partition that are not worth reading for their counts */
    PAGE = 200,
    ATTEMPTS = 3 /* snapshots tried: the newest may still be being written */
};

struct counts {
    struct query_run *run;
    struct query_view *view;
    struct query_groups *groups;
    uint64_t ts_ns;     /* of the snapshot */
    uint64_t latest_ns; /* it may be of this time at the latest */
    int64_t turned;     /* corrected roles: come less gone */
    bool inexact, failed;
    struct base_error *error;
};

struct partition {
    struct counts *counts;
    bool begun, ended;
};

bool query_counts_may(const struct query_run *r) {
    for (size_t i = 0; i < r->ask->by_count; i++)
        if (r->ask->by[i].by == QUERY_BY_CLIENT)
            return false;
    return r->views == 1 && !r->match.filter->client.is_given;
}

static bool is_closed(const uint8_t state[2]) {
    return state[0] == TCP_CLOSED && state[1] == TCP_CLOSED;
}

/* Add to what is counted, if it is asked for. False when the work failed. */
static bool add(struct counts *c, struct query_what_counts *w, const uint8_t state[2], int64_t n) {
    const struct query_match *m = &c->run->match;
    struct query_place nobody = {0};
    w->state[0] = state[0];
    w->state[1] = state[1];
    if (is_closed(state) || !query_match_places(m, &nobody, &w->server) ||
        !query_match_states(m, state) || !c->run->service[w->service].matches)
        return true;
    c->failed = query_group_count(c->run, c->groups, w, n, c->error) != 0;
    return !c->failed;
}

enum { TS, KIND, SERVER, SERVICE, STATE, COUNT, PART, FIELDS };
static const char *const field[FIELDS] = {"ts",    "kind",  "server", "service",
                                          "state", "count", "part"};

static bool take_group(struct counts *c, const struct query_text t[FIELDS]) {
    struct query_what_counts w = {.service = query_service_number(c->run, t[SERVICE])};
    uint8_t state[2];
    uint64_t n;
    if (t[PART].n > 0 && !query_text_is(t[PART], "1"))
        return true; /* the whole group's count stands in each of its parts */
    if (w.service == UINT32_MAX || !query_place_parse(t[SERVER], &w.server) ||
        !query_pair_parse(t[STATE], state) || !query_number_parse(t[COUNT], &n) || n > INT32_MAX) {
        c->inexact = true;
        return false;
    }
    return add(c, &w, state, (int64_t)n);
}

static bool take_entry(struct query_scan *scan, const struct query_entry *e) {
    struct partition *p = scan->context;
    struct query_text t[FIELDS];
    uint64_t ts_ns;
    query_entry_fields(e, field, FIELDS, t);
    if (!query_stamp_parse(t[TS], &ts_ns) || ts_ns != p->counts->ts_ns)
        return false; /* not here, or not ended */
    if (!p->begun) {
        p->begun = query_text_is(t[KIND], "begin");
        return p->begun;
    }
    p->ended = query_text_is(t[KIND], "end");
    return !p->ended && take_group(p->counts, t);
}

static bool take_step(struct query_scan *scan, const struct query_entry *e) {
    struct counts *c = scan->context;
    struct query_step s;
    if (!query_step_parse(c->run, e, &s) || s.service == UINT32_MAX) {
        c->inexact = true;
        return false;
    }
    if (s.ts_ns < c->ts_ns || s.ts_ns > c->view->at_ns)
        return true;
    c->inexact = c->inexact || s.ts_ns == c->ts_ns;
    c->turned += (s.cause == TCP_CAUSE_ROLES) - (s.cause == TCP_CAUSE_MOVED);
    struct query_what_counts w = {.server = s.server, .service = s.service};
    bool leaves = s.cause != TCP_CAUSE_ROLES; /* what they were is told by the entry `moved` */
    return !c->inexact && (!leaves || add(c, &w, s.was, -1)) && add(c, &w, s.state, 1);
}

/* Pages of all partitions are under way beside each other. */
static int scan_all(struct counts *c, const char *what, struct query_scan *scan,
                    query_scan_handler *handler, struct base_error *error) {
    unsigned n = c->view->probe->partitions;
    uint64_t to_ms = strcmp(what, "snapshots") == 0 ? c->ts_ns / BASE_NS_PER_MS
                                                    : c->view->at_ns / BASE_NS_PER_MS;
    for (unsigned p = 0; p < n; p++) {
        query_stream_key(c->run, c->view, p, what, scan[p].key);
        scan[p].from = (struct query_id){c->ts_ns / BASE_NS_PER_MS, 0};
        scan[p].to_ms = to_ms + c->view->probe->skew_ms;
    }
    int result = query_scan_run(&c->run->q->link, scan, n, handler, error);
    return c->failed ? -1 : result;
}

/* The snapshot to count from: the newest ended one, or the one before where that is a keyframe with
 * many members. */
static int find_snapshot(struct counts *c, struct base_error *error) {
    struct query_run *r = c->run;
    struct query_shot shot = {0};
    char key[REDIS_KEY_TEXT];
    for (unsigned p = 0; p < c->view->probe->partitions && !shot.found; p++) {
        struct query_id cursor = {c->latest_ns / BASE_NS_PER_MS + c->view->probe->skew_ms,
                                  UINT64_MAX};
        query_stream_key(r, c->view, p, "snapshots", key);
        do {
            if (query_shot_before(r, key, &cursor, &shot, error) != 0)
                return -1;
            if (!shot.found || !shot.ended || shot.ts_ns > c->latest_ns)
                continue;
            if (c->ts_ns != 0 && shot.keyframe)
                break;
            c->ts_ns = shot.ts_ns;
            if (!shot.keyframe || shot.flows < MANY)
                break;
        } while (shot.found);
    }
    return 0;
}

static bool is_trimmed(const struct counts *c) {
    const struct query_trim *t = c->view->trim;
    for (unsigned p = 0; p < c->view->probe->partitions; p++)
        if (t[p].trimmed && t[p].first_ms > c->ts_ns / BASE_NS_PER_MS &&
            t[p].first_ms <= c->view->at_ns / BASE_NS_PER_MS)
            return true;
    return false;
}

static bool is_whole(const struct partition *partition, unsigned n) {
    for (unsigned p = 0; p < n; p++)
        if (!partition[p].ended)
            return false;
    return true;
}

static bool is_below_zero(const struct query_groups *g) {
    for (size_t i = 0; i < g->slots; i++)
        if (g->slot[i] != NULL && g->slot[i]->count < 0)
            return true;
    return false;
}

static int count(struct counts *c, struct query_scan *scan, struct partition *partition,
                 struct base_error *error) {
    unsigned n = c->view->probe->partitions;
    for (unsigned p = 0; p < n; p++) {
        partition[p].counts = c;
        scan[p] = (struct query_scan){.page = PAGE, .large = true, .context = &partition[p]};
    }
    if (scan_all(c, "snapshots", scan, take_entry, error) != 0)
        return -1;
    if (c->inexact || !is_whole(partition, n)) {
        c->inexact = true;
        return 0;
    }
    for (unsigned p = 0; p < n; p++)
        scan[p] = (struct query_scan){.page = QUERY_PAGE, .context = c};
    if (scan_all(c, "transitions", scan, take_step, error) != 0)
        return -1;
    c->inexact = c->inexact || c->turned != 0 || is_below_zero(c->groups);
    return 0;
}

/* With one snapshot; the next attempt takes an older one. */
static int attempt(struct counts *c, struct base_error *error) {
    unsigned n = c->view->probe->partitions;
    c->ts_ns = 0;
    c->turned = 0;
    c->inexact = true;
    if (find_snapshot(c, error) != 0)
        return -1;
    if (c->ts_ns == 0 || is_trimmed(c))
        return 0;
    c->latest_ns = c->ts_ns - 1;
    c->inexact = false;
    struct query_scan *scan = calloc(n, sizeof *scan);
    struct partition *partition = calloc(n, sizeof *partition);
    int result = scan == NULL || partition == NULL ? base_error_set(error, "query", "out of memory")
                                                   : count(c, scan, partition, error);
    free(scan);
    free(partition);
    return result;
}

int query_counts_read(struct query_run *r, struct query_groups *g, bool *exact,
                      struct base_error *error) {
    struct query_view *v = &r->view[0];
    struct counts c = {
        .run = r, .view = v, .groups = g, .latest_ns = v->at_ns, .inexact = true, .error = error};
    *exact = query_view_is_silent(r, v, v->at_ns);
    for (int i = 0; i < ATTEMPTS && !*exact; i++) {
        query_groups_clear(g);
        if (attempt(&c, error) != 0)
            return -1;
        *exact = !c.inexact;
        if (c.ts_ns == 0)
            break;
    }
    return 0;
}
