/*
 * `diff`: what appeared, vanished and changed its states between two moments.
 *
 * Both moments of a slice are read, each from its own keyframe, and compared in the order of
 * clients and servers. What stands between the moments is not read: a connection that came and went
 * shows in `transitions`, not here.
 */
#include "kinds.h"

#include <stdlib.h>
#include <string.h>

static const struct query_column column[] = {
    {"change", QUERY_TEXT},       {"probe", QUERY_TEXT},        {"flow", QUERY_TEXT},
    {"client", QUERY_TEXT},       {"server", QUERY_TEXT},       {"service", QUERY_TEXT},
    {"client_state", QUERY_TEXT}, {"server_state", QUERY_TEXT}, {"client_since", QUERY_TIME},
    {"server_since", QUERY_TIME}, {"inferred", QUERY_TEXT},     {"client_name", QUERY_TEXT},
    {"cmdb", QUERY_JSON},         {"client_was", QUERY_TEXT},   {"server_was", QUERY_TEXT}};
enum { COLUMNS = sizeof column / sizeof *column };

static const uint8_t closed[2] = {TCP_CLOSED, TCP_CLOSED};

struct diff {
    struct query_run *run;
    struct query_cells cells;
};

/* `was` and `is` decide about the state filters: a row is shown when either would be. */
static bool give(struct diff *d, const char *change, const struct query_merged *m,
                 const uint8_t was[2], const uint8_t is[2]) {
    struct query_cells *c = &d->cells;
    const struct query_match *match = &d->run->match;
    if (!query_match_states(match, was) && !query_match_states(match, is))
        return true;
    query_cells_clear(c);
    query_cell_text(c, change);
    query_cells_connection(d->run, c, m, is);
    query_cell_text(c, was[0] != is[0] ? tcp_state_name(was[0]) : "");
    query_cell_text(c, was[1] != is[1] ? tcp_state_name(was[1]) : "");
    return query_give(d->run, c->cell, NULL);
}

/* Endpoints only: which view shows a connection may differ between the moments. */
static int compare(const struct query_merged *a, const struct query_merged *b) {
    return query_conn_compare(a->conn, b->conn);
}

static bool same_flow(const struct query_merged *a, const struct query_merged *b) {
    return a->view != b->view || a->conn->flow == b->conn->flow;
}

static bool is_in(const struct query_merged *m, const struct query_merged *row, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (same_flow(m, &row[i]))
            return true;
    return false;
}

static size_t run_length(const struct query_merged *row, size_t n) {
    size_t i = 1;
    while (i < n && compare(row, &row[i]) == 0)
        i++;
    return n == 0 ? 0 : i;
}

/* All connections of one pair of endpoints, then and now. */
static bool compare_pair(struct diff *d, const struct query_merged *was, size_t n_was,
                         const struct query_merged *now, size_t n_now) {
    for (size_t i = 0; i < n_was; i++)
        if (!is_in(&was[i], now, n_now) &&
            !give(d, "vanished", &was[i], was[i].conn->state, closed))
            return false;
    for (size_t i = 0; i < n_now; i++) {
        const struct query_merged *old = NULL;
        for (size_t k = 0; k < n_was && old == NULL; k++)
            if (same_flow(&now[i], &was[k]))
                old = &was[k];
        const uint8_t *before = old != NULL ? old->conn->state : closed;
        if (old != NULL && memcmp(before, now[i].conn->state, 2) == 0)
            continue;
        if (!give(d, old != NULL ? "changed" : "appeared", &now[i], before, now[i].conn->state))
            return false;
    }
    return true;
}

static bool compare_slices(struct diff *d, const struct query_slice *was,
                           const struct query_slice *now) {
    size_t i = 0, k = 0;
    while (i < was->rows || k < now->rows) {
        int order = i == was->rows ? 1 : k == now->rows ? -1 : compare(&was->row[i], &now->row[k]);
        size_t n = order <= 0 ? run_length(&was->row[i], was->rows - i) : 0;
        size_t m = order >= 0 ? run_length(&now->row[k], now->rows - k) : 0;
        if (!compare_pair(d, was->row + i, n, now->row + k, m))
            return false;
        i += n;
        k += m;
    }
    return true;
}

static int take_pass(struct diff *d, struct query_slice slice, struct base_error *error) {
    struct query_slice was = slice, now = slice;
    was.moment = QUERY_MOMENT_FROM;
    now.moment = QUERY_MOMENT_TO;
    int result = query_slice_load(&was, error);
    bool split = was.is_full;
    if (result == 0 && !split)
        result = query_slice_load(&now, error);
    split = split || now.is_full;
    if (result == 0 && !split)
        compare_slices(d, &was, &now);
    query_slice_fini(&was);
    query_slice_fini(&now);
    if (result != 0 || !split)
        return result;
    struct query_slice second;
    result = query_slice_split(&slice, &second, error);
    if (result == 0)
        result = take_pass(d, slice, error);
    return result != 0 || d->run->ended ? result : take_pass(d, second, error);
}

int query_run_diff(struct query_run *r, struct base_error *error) {
    struct diff *d = calloc(1, sizeof *d);
    if (d == NULL)
        return base_error_set(error, "query", "out of memory");
    d->run = r;
    unsigned slices = query_slices(r);
    int result = query_begin(r, column, COLUMNS, error);
    for (unsigned number = 0; number < slices && result == 0 && !r->ended; number++) {
        struct query_slice s = {.run = r,
                                .number = number,
                                .slices = slices,
                                .passes = 1,
                                .details = true,
                                .any_state = true,
                                .held_most = query_held(r) / 2};
        result = take_pass(d, s, error);
    }
    free(d);
    return result;
}
