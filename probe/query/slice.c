/*
 * A slice of all connections at one moment (run.h).
 *
 *   keyframe -> table <- transitions since, page by page to the moment and the writer's skew
 *   tables of all views -> sorted by client, server -> what several views see becomes one row
 *
 * Memory: at most `held_most` connections; a slice with more says is_full, and its caller takes it
 * in more passes, each of which holds a share of the pairs of endpoints.
 */
#include "kinds.h"

#include <stdlib.h>
#include <string.h>

enum { ROW_VIEWS = 64 /* bits of query_merged.views */ };

unsigned query_partition_of(const struct query_place *p, unsigned partitions) {
    struct base_addr a = {.family = p->family};
    memcpy(a.octet, p->octet, sizeof a.octet);
    return redis_partition(&a, partitions);
}

static unsigned common_divisor(unsigned a, unsigned b) {
    while (b != 0) {
        unsigned rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

unsigned query_slices(const struct query_run *r) {
    unsigned slices = 0;
    for (size_t i = 0; i < r->views; i++)
        slices = common_divisor(r->view[i].probe->partitions, slices);
    return r->exact || slices == 0 ? 1 : slices;
}

/* Both ends alike, so that a connection stays in its pass when its roles are corrected. */
bool query_slice_holds(const struct query_slice *s, const struct query_place *a,
                       const struct query_place *b) {
    static const uint64_t key[2] = {UINT64_C(0x736c696365), UINT64_C(0x70617373)};
    if (s->passes == 1)
        return true;
    uint64_t both = base_siphash(key, a, sizeof *a) + base_siphash(key, b, sizeof *b);
    return both % s->passes == s->pass;
}

bool query_slice_is_full(struct query_slice *s) {
    size_t held = 0;
    for (size_t i = 0; i < s->parts; i++)
        held += s->part[i].table.live;
    s->is_full = held > s->held_most;
    return s->is_full;
}

static uint64_t moment_of(const struct query_slice *s, const struct query_view *v) {
    return s->moment == QUERY_MOMENT_AT     ? v->at_ns
           : s->moment == QUERY_MOMENT_FROM ? v->from_ns
                                            : v->to_ns;
}

struct replay {
    struct query_slice *slice;
    struct query_part *part;
    uint64_t at_ns;
    bool short_of_memory;
};

static bool take_step(struct query_scan *scan, const struct query_entry *e) {
    struct replay *p = scan->context;
    struct query_run *r = p->slice->run;
    struct query_step s;
    if (!query_step_parse(r, e, &s)) {
        r->faulty++;
        return true;
    }
    if (s.ts_ns > p->at_ns)
        return true;
    bool wanted = query_match_places(&r->match, &s.client, &s.server) && s.service != UINT32_MAX &&
                  r->service[s.service].matches;
    if (!query_slice_holds(p->slice, &s.client, &s.server))
        return true;
    if (!query_table_step(&p->part->table, &s, wanted)) {
        p->short_of_memory = true;
        return false;
    }
    return p->part->table.live < p->slice->held_most || !query_slice_is_full(p->slice);
}

/* Entries are gone that the answer may have needed. */
static void tell_trimmed(struct query_run *r, const struct query_part *p, bool from_beginning) {
    const struct query_trim *t = &p->view->trim[p->partition];
    char at[BASE_TIME_TEXT];
    base_time_format(t->first_ms * BASE_NS_PER_MS, at);
    if (from_beginning)
        query_warn(r,
                   "probe %s: what was before %s is trimmed, and no keyframe before the asked "
                   "moment is left: nothing is known of it",
                   p->view->probe->name, at);
    else
        query_warn(r,
                   "probe %s: transitions before %s are trimmed, later than the keyframe that the "
                   "answer begins with: changes between them are missing",
                   p->view->probe->name, at);
}

static int replay(struct query_slice *s, struct query_part *p, uint64_t at_ns,
                  struct base_error *error) {
    struct replay context = {.slice = s, .part = p, .at_ns = at_ns};
    const struct query_trim *trim = &p->view->trim[p->partition];
    uint64_t base_ms = p->table.base_ns / BASE_NS_PER_MS;
    struct query_scan scan = {.from = {base_ms, 0},
                              .to_ms = at_ns / BASE_NS_PER_MS + p->view->probe->skew_ms,
                              .page = QUERY_PAGE,
                              .context = &context};
    if (trim->trimmed && trim->first_ms > base_ms &&
        (p->table.base_ns == 0 || trim->first_ms <= at_ns / BASE_NS_PER_MS)) {
        tell_trimmed(s->run, p, p->table.base_ns == 0);
        if (p->table.base_ns == 0)
            return 0;
    }
    query_stream_key(s->run, p->view, p->partition, "transitions", scan.key);
    if (query_scan_run(&s->run->q->link, &scan, 1, take_step, error) != 0)
        return -1;
    if (context.short_of_memory)
        return base_error_set(error, "query", "out of memory");
    if (p->table.torn > 0)
        query_warn(s->run,
                   "probe %s: transitions do not follow from the ones before: some are missing in "
                   "the store",
                   p->view->probe->name);
    return 0;
}

static int load_part(struct query_slice *s, struct query_part *p, struct base_error *error) {
    uint64_t at_ns = moment_of(s, p->view);
    if (query_keyframe_load(s, p, at_ns, error) != 0)
        return -1;
    return s->is_full ? 0 : replay(s, p, at_ns, error);
}

/* The partitions of the slice, of the views that have something to say. */
static int make_parts(struct query_slice *s, struct base_error *error) {
    struct query_run *r = s->run;
    size_t most = 0;
    for (size_t i = 0; i < r->views; i++)
        most += r->view[i].probe->partitions / s->slices + 1;
    s->part = calloc(most + 1, sizeof *s->part);
    if (s->part == NULL)
        return base_error_set(error, "query", "out of memory");
    for (size_t i = 0; i < r->views; i++) {
        struct query_view *v = &r->view[i];
        unsigned partitions = v->probe->partitions, number = s->number, step = s->slices;
        if (query_view_is_silent(r, v, moment_of(s, v)))
            continue;
        if (r->exact) {
            number = redis_partition(&r->client, partitions);
            step = partitions;
        }
        for (; number < partitions; number += step)
            s->part[s->parts++] = (struct query_part){.view = v, .partition = number};
    }
    return 0;
}

static int compare_places(const struct query_place *a, const struct query_place *b) {
    int order = a->family - b->family;
    if (order == 0)
        order = memcmp(a->octet, b->octet, sizeof a->octet);
    return order != 0 ? order : a->port - b->port;
}

int query_conn_compare(const struct query_conn *a, const struct query_conn *b) {
    int order = compare_places(&a->client, &b->client);
    return order != 0 ? order : compare_places(&a->server, &b->server);
}

int query_merged_compare(const void *x, const void *y) {
    const struct query_merged *a = x, *b = y;
    int order = query_conn_compare(a->conn, b->conn);
    if (order == 0)
        order = (int)a->view->number - (int)b->view->number;
    if (order == 0)
        order = (a->conn->flow > b->conn->flow) - (a->conn->flow < b->conn->flow);
    return order;
}

static int gather(struct query_slice *s, struct base_error *error) {
    size_t most = 0;
    for (size_t i = 0; i < s->parts; i++)
        most += s->part[i].table.live;
    s->row = calloc(most + 1, sizeof *s->row);
    if (s->row == NULL)
        return base_error_set(error, "query", "out of memory");
    for (size_t i = 0; i < s->parts; i++) {
        struct query_part *p = &s->part[i];
        unsigned bit = p->view->number < ROW_VIEWS ? p->view->number : ROW_VIEWS - 1;
        for (uint32_t k = 0; k < p->table.used; k++)
            if (p->table.conn[k].flags & QUERY_LIVE)
                s->row[s->rows++] =
                    (struct query_merged){&p->table.conn[k], p->view, UINT64_C(1) << bit};
    }
    if (s->rows > 0)
        qsort(s->row, s->rows, sizeof *s->row, query_merged_compare);
    return 0;
}

static bool same_places(const struct query_conn *a, const struct query_conn *b) {
    return memcmp(&a->client, &b->client, sizeof a->client) == 0 &&
           memcmp(&a->server, &b->server, sizeof a->server) == 0;
}

/* The rows from `i` on that are of one pair of endpoints. */
static size_t run_length(const struct query_slice *s, size_t i) {
    size_t n = 1;
    while (i + n < s->rows && same_places(s->row[i].conn, s->row[i + n].conn))
        n++;
    return n;
}

static bool has_several_views(const struct query_slice *s, size_t i, size_t n) {
    for (size_t k = 1; k < n; k++)
        if (s->row[i + k].view != s->row[i].view)
            return true;
    return false;
}

static void want(struct query_conn *c) {
    if ((c->flags & QUERY_OPENED) && c->since_ns[0] != 0 && c->since_ns[1] != 0)
        return;
    c->flags |= QUERY_WANTED;
    for (unsigned side = 0; side < 2; side++)
        if (c->since_ns[side] != 0)
            c->flags |= (uint8_t)(QUERY_KNOWN << side);
}

/* Mark what must be known better: of rows that will be shown, and where views differ. */
static void mark_wanted(struct query_slice *s) {
    for (size_t i = 0, n; i < s->rows; i += n) {
        n = run_length(s, i);
        bool several = has_several_views(s, i, n), differ = false;
        for (size_t k = 1; k < n; k++)
            differ = differ || memcmp(s->row[i].conn->state, s->row[i + k].conn->state, 2) != 0;
        for (size_t k = 0; k < n; k++) {
            struct query_conn *c = s->row[i + k].conn;
            bool shown = several || s->any_state || query_match_states(&s->run->match, c->state);
            if ((s->details && shown) || (several && differ))
                want(c);
        }
    }
}

static unsigned newest(const struct query_conn *c, uint64_t *ns) {
    *ns = c->since_ns[0] > c->since_ns[1] ? c->since_ns[0] : c->since_ns[1];
    if (c->pair_ns > *ns)
        *ns = c->pair_ns;
    return c->inferred != TCP_PROVEN;
}

/* Design 1.6: less inferred, then newer. */
static bool is_better(const struct query_conn *a, const struct query_conn *b) {
    uint64_t a_ns, b_ns;
    unsigned a_doubt = newest(a, &a_ns), b_doubt = newest(b, &b_ns);
    return a_doubt != b_doubt ? a_doubt < b_doubt : a_ns > b_ns;
}

/* Several connections of one pair of endpoints (VLANs) pair up between views by their order. */
static size_t merge_run(struct query_slice *s, size_t i, size_t n, size_t out) {
    size_t of_view = 0, first_out = out;
    for (size_t k = 0; k < n; k++) {
        struct query_merged row = s->row[i + k];
        of_view = k > 0 && s->row[i + k - 1].view == row.view ? of_view + 1 : 0;
        if (first_out + of_view == out) {
            s->row[out++] = row;
            continue;
        }
        struct query_merged *old = &s->row[first_out + of_view];
        row.views |= old->views;
        if (!is_better(row.conn, old->conn)) {
            row.conn = old->conn;
            row.view = old->view;
        }
        *old = row;
    }
    return out;
}

static void merge(struct query_slice *s) {
    size_t out = 0, kept = 0;
    for (size_t i = 0, n; i < s->rows; i += n) {
        n = run_length(s, i);
        out = merge_run(s, i, n, out);
    }
    for (size_t i = 0; i < out; i++)
        if (s->any_state || query_match_states(&s->run->match, s->row[i].conn->state))
            s->row[kept++] = s->row[i];
    s->rows = kept;
}

int query_slice_load(struct query_slice *s, struct base_error *error) {
    if (make_parts(s, error) != 0)
        return -1;
    for (size_t i = 0; i < s->parts && !s->is_full; i++)
        if (load_part(s, &s->part[i], error) != 0)
            return -1;
    if (s->is_full)
        return 0;
    if (gather(s, error) != 0)
        return -1;
    mark_wanted(s);
    if (query_older_load(s, error) != 0)
        return -1;
    merge(s);
    return 0;
}

void query_slice_fini(struct query_slice *s) {
    for (size_t i = 0; i < s->parts; i++)
        query_table_fini(&s->part[i].table);
    free(s->part);
    free(s->row);
    s->part = NULL;
    s->row = NULL;
    s->parts = s->rows = 0;
    s->is_full = false;
}

int query_slice_split(struct query_slice *s, struct query_slice *second, struct base_error *error) {
    enum { PASSES_MOST = 1 << 16 };
    if (s->passes >= PASSES_MOST)
        return base_error_set(error, "query", "one pair of endpoints has more than %zu connections",
                              s->held_most);
    s->passes *= 2;
    *second = *s;
    second->pass += s->passes / 2;
    return 0;
}

/* One pass of one slice; one that is too full is taken as two. */
static int take_pass(struct query_slice *s, query_visit *visit, void *context,
                     struct base_error *error) {
    struct query_slice second;
    int result = query_slice_load(s, error);
    bool split = s->is_full;
    if (result == 0 && !split)
        result = visit(context, s, error);
    query_slice_fini(s);
    if (result != 0 || !split)
        return result;
    if (query_slice_split(s, &second, error) != 0)
        return -1;
    result = take_pass(s, visit, context, error);
    return result != 0 ? result : take_pass(&second, visit, context, error);
}

size_t query_held(const struct query_run *r) {
    return r->ask->held > 0 ? r->ask->held : QUERY_HELD;
}

int query_each_slice(struct query_run *r, enum query_moment moment, bool details,
                     query_visit *visit, void *context, struct base_error *error) {
    unsigned slices = query_slices(r);
    int result = 0;
    for (unsigned number = 0; number < slices && result == 0 && !r->ended; number++) {
        struct query_slice s = {.run = r,
                                .moment = moment,
                                .number = number,
                                .slices = slices,
                                .passes = 1,
                                .details = details,
                                .held_most = query_held(r)};
        result = take_pass(&s, visit, context, error);
    }
    return result;
}
