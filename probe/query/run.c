/*
 * One question from beginning to end: names, filters, probes, the head, then the rows of its kind.
 */
#include "kinds.h"

#include <stdlib.h>
#include <string.h>

bool query_give(struct query_run *r, const char *const *cell, const char *record) {
    struct query_row row = {.cell = cell, .record = record};
    if (r->rows >= r->ask->limit) {
        r->cut++;
        return true;
    }
    r->rows++;
    if (!r->ended && !r->sink->row(r->sink->context, &row))
        r->ended = true;
    return !r->ended;
}

int query_begin(struct query_run *r, const struct query_column *column, size_t columns,
                struct base_error *error) {
    struct query_head h = {.what = r->ask->what, .column = column, .columns = columns};
    struct query_span *span = calloc(r->views + 1, sizeof *span);
    struct query_gaps gaps = {0};
    int result = 0;
    if (span == NULL)
        return base_error_set(error, "query", "out of memory");
    bool moment = h.what == QUERY_CONNECTIONS || h.what == QUERY_CLIENTS ||
                  h.what == QUERY_SUMMARY || h.what == QUERY_ACTIVE;
    for (size_t i = 0; i < r->views && result == 0; i++) {
        const struct query_view *v = &r->view[i];
        uint64_t at_ns = moment ? v->at_ns : v->to_ns;
        uint64_t from_ns = h.what == QUERY_ACTIVE ? at_ns
                           : moment               ? v->keyframe_ns[QUERY_MOMENT_AT]
                                                  : v->from_ns;
        span[h.spans++] = v->span;
        h.at_ns = at_ns > h.at_ns ? at_ns : h.at_ns;
        if (i == 0 || from_ns < h.from_ns)
            h.from_ns = from_ns;
        result = query_gaps_read(r, v, from_ns, at_ns, &gaps, error);
    }
    if (r->views == 0) /* the store has no probe: now is the wall clock's */
        h.at_ns = query_wall_ns();
    if (result == 0) {
        h.has_range = !moment;
        h.to_ns = h.at_ns;
        h.span = span;
        h.gap = (const char *const *)gaps.record;
        h.gaps = gaps.count;
        r->sink->begin(r->sink->context, &h);
    }
    query_gaps_free(&gaps);
    free(span);
    return result;
}

static void finish(struct query_run *r) {
    for (size_t i = 0; i < r->services; i++)
        free(r->service[i].name);
    for (size_t i = 0; i < r->views; i++)
        free(r->view[i].trim);
    for (size_t i = 0; i < r->tolds; i++)
        free(r->told[i]);
    free(r->service);
    free(r->service_slot);
    free(r->view);
    free(r->told);
    query_names_free(r->names);
}

static int prepare(struct query_run *r, struct base_error *error) {
    /* A connection serves once: after a failure there is a new one. */
    struct query *q = r->q;
    if ((q->link.c == NULL || q->link.c->err != 0) &&
        query_link_open(&q->link, &q->url, q->timeout_ms, error) != 0)
        return -1;
    r->names = query_names_new(&r->q->link, r->q->prefix, error);
    if (r->names == NULL || query_match_init(&r->match, &r->ask->filter, r->names, error) != 0)
        return -1;
    r->exact = query_match_exact_client(&r->match, &r->client);
    if (query_names_faults(r->names) > 0)
        query_warn(
            r,
            "%zu entries of clients or CMDB in the store are not as they should be; they are "
            "left out",
            query_names_faults(r->names));
    if (query_views_init(r, error) != 0)
        return -1;
    return r->ask->what == QUERY_ALARMS || r->ask->what == QUERY_ACTIVE
               ? 0
               : query_views_spans(r, error);
}

static int answer(struct query_run *r, struct base_error *error) {
    switch (r->ask->what) {
    case QUERY_CONNECTIONS:
        return query_run_connections(r, error);
    case QUERY_TRANSITIONS:
        return query_run_transitions(r, error);
    case QUERY_CLIENTS:
    case QUERY_SUMMARY:
        return query_run_groups(r, error);
    case QUERY_DIFF:
        return query_run_diff(r, error);
    default:
        return query_run_alarms(r, error);
    }
}

int query_run(struct query *q, const struct query_ask *ask, const struct query_sink *sink,
              struct base_error *error) {
    struct query_run r = {.q = q, .ask = ask, .sink = sink};
    q->stop = 0;
    int result = prepare(&r, error);
    if (result == 0)
        result = answer(&r, error);
    if (result == 0 && r.faulty > 0)
        query_warn(&r, "%llu entries of the store could not be understood; they are left out",
                   (unsigned long long)r.faulty);
    if (result == 0 && !r.ended)
        sink->end(sink->context, r.rows, r.cut);
    finish(&r);
    if (result != 0) /* replies may be under way: they must not answer the next question */
        query_link_close(&q->link);
    return result;
}
