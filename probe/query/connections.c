/*
 * `connections`: a row for each connection that is not CLOSED/CLOSED at the moment.
 *
 * Up to QUERY_SORTED rows wait until all slices are read and come in order of client and server;
 * when there are more, those that wait are given, and the rest slice by slice.
 */
#include "kinds.h"

#include <stdlib.h>
#include <string.h>

const struct query_column query_connection_column[QUERY_CONNECTION_COLUMNS] = {
    {"probe", QUERY_TEXT},        {"flow", QUERY_TEXT},         {"client", QUERY_TEXT},
    {"server", QUERY_TEXT},       {"service", QUERY_TEXT},      {"client_state", QUERY_TEXT},
    {"server_state", QUERY_TEXT}, {"client_since", QUERY_TIME}, {"server_since", QUERY_TIME},
    {"inferred", QUERY_TEXT},     {"client_name", QUERY_TEXT},  {"cmdb", QUERY_JSON}};

struct waiting { /* what outlives its slice */
    struct query_conn conn;
    struct query_view *view;
    uint64_t views;
};

struct rows {
    struct query_run *run;
    struct waiting *waiting;
    size_t count, room;
    bool is_flushed; /* too many to wait */
    struct query_cells cells;
};

/* "edge1", or "edge1,edge2" of one that several see. */
static void views_names(const struct query_run *r, const struct query_merged *m, char *out,
                        size_t size) {
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < r->views && i < 64 && n < size; i++)
        if (m->views >> i & 1)
            n += (size_t)snprintf(out + n, size - n, "%s%s", n > 0 ? "," : "",
                                  r->view[i].probe->name);
}

void query_cells_connection(struct query_run *r, struct query_cells *c,
                            const struct query_merged *m, const uint8_t state[2]) {
    const struct query_conn *n = m->conn;
    bool known = memcmp(state, n->state, sizeof n->state) == 0; /* else when is not known */
    char probes[4096];
    views_names(r, m, probes, sizeof probes);
    query_cell_text(c, probes);
    query_cell_flow(c, n->flow);
    query_cell_place(c, &n->client);
    query_cell_place(c, &n->server);
    query_cell_text(c, r->service[n->service].name);
    query_cell_text(c, tcp_state_name(state[0]));
    query_cell_text(c, tcp_state_name(state[1]));
    query_cell_time(c, known ? n->since_ns[0] : 0);
    query_cell_time(c, known ? n->since_ns[1] : 0);
    query_cell_text(c, tcp_inferred_name(n->inferred));
    query_cell_text(c, query_names_client(r->names, &n->client));
    query_cell_text(c, query_names_cmdb(r->names, r->service[n->service].name));
}

static bool give(struct rows *rows, const struct query_merged *m) {
    query_cells_clear(&rows->cells);
    query_cells_connection(rows->run, &rows->cells, m, m->conn->state);
    return query_give(rows->run, rows->cells.cell, NULL);
}

static int compare_waiting(const void *x, const void *y) {
    /* Only read: struct query_merged points to what may be changed elsewhere. */
    union {
        const void *in;
        struct waiting *out;
    } a = {x}, b = {y};
    struct query_merged m = {.conn = &a.out->conn, .view = a.out->view};
    struct query_merged n = {.conn = &b.out->conn, .view = b.out->view};
    return query_merged_compare(&m, &n);
}

static void flush(struct rows *rows) {
    if (rows->count > 0)
        qsort(rows->waiting, rows->count, sizeof *rows->waiting, compare_waiting);
    for (size_t i = 0; i < rows->count; i++) {
        struct waiting *w = &rows->waiting[i];
        struct query_merged m = {.conn = &w->conn, .view = w->view, .views = w->views};
        if (!give(rows, &m))
            break;
    }
    rows->count = 0;
}

static int hold(struct rows *rows, const struct query_merged *m, struct base_error *error) {
    if (rows->count == rows->room) {
        size_t room = rows->room > 0 ? rows->room * 2 : 256;
        struct waiting *bigger = reallocarray(rows->waiting, room, sizeof *bigger);
        if (bigger == NULL)
            return base_error_set(error, "query", "out of memory");
        rows->waiting = bigger;
        rows->room = room;
    }
    rows->waiting[rows->count++] = (struct waiting){*m->conn, m->view, m->views};
    return 0;
}

static int take_slice(void *context, struct query_slice *s, struct base_error *error) {
    struct rows *rows = context;
    if (!rows->is_flushed && rows->count + s->rows > QUERY_SORTED) {
        rows->is_flushed = true;
        flush(rows);
    }
    for (size_t i = 0; i < s->rows; i++) {
        if (!rows->is_flushed && hold(rows, &s->row[i], error) != 0)
            return -1;
        if (rows->is_flushed && !give(rows, &s->row[i]))
            return 0;
    }
    return 0;
}

int query_run_connections(struct query_run *r, struct base_error *error) {
    struct rows *rows = calloc(1, sizeof *rows);
    if (rows == NULL)
        return base_error_set(error, "query", "out of memory");
    rows->run = r;
    int result = query_begin(r, query_connection_column, QUERY_CONNECTION_COLUMNS, error);
    if (result == 0)
        result = query_each_slice(r, QUERY_MOMENT_AT, true, take_slice, rows, error);
    if (result == 0)
        flush(rows);
    free(rows->waiting);
    free(rows);
    return result;
}
