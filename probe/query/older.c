/*
 * Since when, and how it is known: what a keyframe's member does not say.
 *
 * A member has the time since which its pair of states holds; when each side entered its own, and
 * what was inferred, stands in the transitions before it. Both sides' changes usually lie a round
 * trip apart, so that short windows before that time are read first, then longer ones, until the
 * connection's first transition is met or a budget is spent: what it costs stays in proportion to
 * the answer. What is not found stays unknown. Corrected roles lead on into the partition of what
 * was the client before.
 */
#include "run.h"

#include <stdlib.h>

enum {
    BUDGET = 20000, /* entries for a slice, whatever its rows */
    BUDGET_A_ROW = 8
};

/* How far before a connection's known time each round looks. */
static const uint64_t reach_ms[] = {2000, 64000, UINT64_MAX};
enum { ROUNDS = sizeof reach_ms / sizeof reach_ms[0] };

struct window {
    unsigned partition;
    uint64_t from_ms, to_ms;
};

struct older {
    struct query_slice *slice;
    struct query_part *part;
    struct window *window;
    size_t windows, room;
    uint64_t budget;
};

static bool is_wanted(const struct query_conn *c) {
    return (c->flags & (QUERY_LIVE | QUERY_WANTED | QUERY_OPENED)) == (QUERY_LIVE | QUERY_WANTED);
}

static bool add_window(struct older *o, unsigned partition, uint64_t ns, uint64_t reach,
                       uint64_t end_ns) {
    const struct query_view *v = o->part->view;
    uint64_t ms = ns / BASE_NS_PER_MS;
    if (o->windows == o->room) {
        size_t room = o->room > 0 ? o->room * 2 : 64;
        struct window *bigger = reallocarray(o->window, room, sizeof *bigger);
        if (bigger == NULL)
            return false;
        o->window = bigger;
        o->room = room;
    }
    o->window[o->windows++] = (struct window){.partition = partition,
                                              .from_ms = ms > reach ? ms - reach : 0,
                                              .to_ms = end_ns / BASE_NS_PER_MS + v->probe->skew_ms};
    return true;
}

/* What came in between a member's time and the keyframe can only be corrected roles: it is looked
 * at when the first round has not found the beginning. */
static bool add_windows(struct older *o, const struct query_conn *c, size_t round) {
    unsigned partitions = o->part->view->probe->partitions;
    uint64_t base_ns = o->part->table.base_ns;
    uint64_t end_ns = round > 0 && base_ns > c->anchor_ns ? base_ns : c->anchor_ns;
    if (!add_window(o, o->part->partition, c->anchor_ns, reach_ms[round], end_ns))
        return false;
    return !(c->flags & QUERY_TURNED) || add_window(o, query_partition_of(&c->server, partitions),
                                                    c->turned_ns, reach_ms[round], c->turned_ns);
}

static int compare_windows(const void *x, const void *y) {
    const struct window *a = x, *b = y;
    if (a->partition != b->partition)
        return a->partition < b->partition ? -1 : 1;
    return (a->from_ms > b->from_ms) - (a->from_ms < b->from_ms);
}

/* Windows that touch become one. */
static void join(struct older *o) {
    size_t out = 0;
    if (o->windows == 0)
        return;
    qsort(o->window, o->windows, sizeof *o->window, compare_windows);
    for (size_t i = 1; i < o->windows; i++) {
        struct window *last = &o->window[out], *w = &o->window[i];
        if (w->partition == last->partition && w->from_ms <= last->to_ms) {
            if (w->to_ms > last->to_ms)
                last->to_ms = w->to_ms;
        } else {
            o->window[++out] = *w;
        }
    }
    o->windows = out + 1;
}

static bool take_older(struct query_scan *scan, const struct query_entry *e) {
    struct older *o = scan->context;
    struct query_step s;
    if (o->budget == 0)
        return false;
    o->budget--;
    if (query_step_parse(o->slice->run, e, &s))
        query_table_older(&o->part->table, &s);
    return true;
}

/* One round over one part. *left: connections that still want something. */
static int look(struct older *o, size_t round, size_t *left, struct base_error *error) {
    const struct query_table *t = &o->part->table;
    o->windows = *left = 0;
    for (uint32_t i = 0; i < t->used; i++) {
        if (!is_wanted(&t->conn[i]))
            continue;
        ++*left;
        if (!add_windows(o, &t->conn[i], round))
            return base_error_set(error, "query", "out of memory");
    }
    join(o);
    for (size_t i = 0; i < o->windows && o->budget > 0; i++) {
        const struct window *w = &o->window[i];
        struct query_scan scan = {
            .from = {w->from_ms, 0}, .to_ms = w->to_ms, .page = QUERY_PAGE, .context = o};
        query_stream_key(o->slice->run, o->part->view, w->partition, "transitions", scan.key);
        if (query_scan_run(&o->slice->run->q->link, &scan, 1, take_older, error) != 0)
            return -1;
    }
    return 0;
}

static size_t count_wanted(const struct query_table *t) {
    size_t n = 0;
    for (uint32_t i = 0; i < t->used; i++)
        n += is_wanted(&t->conn[i]);
    return n;
}

int query_older_load(struct query_slice *s, struct base_error *error) {
    struct older o = {.slice = s, .budget = BUDGET};
    int result = 0;
    for (size_t i = 0; i < s->parts; i++)
        o.budget += BUDGET_A_ROW * count_wanted(&s->part[i].table);
    for (size_t i = 0; i < s->parts && result == 0; i++) {
        size_t left = count_wanted(&s->part[i].table);
        o.part = &s->part[i];
        for (size_t round = 0; round < ROUNDS && result == 0 && left > 0; round++)
            result = look(&o, round, &left, error);
    }
    free(o.window);
    return result;
}
