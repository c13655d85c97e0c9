/*
 * kinds: the questions, each in a file of its own, and what their rows share.
 */
#ifndef QUERY_KINDS_H
#define QUERY_KINDS_H

#include "run.h"

int query_run_connections(struct query_run *r, struct base_error *error);
int query_run_transitions(struct query_run *r, struct base_error *error);
int query_run_groups(struct query_run *r, struct base_error *error); /* clients, summary */
int query_run_diff(struct query_run *r, struct base_error *error);
int query_run_alarms(struct query_run *r, struct base_error *error); /* alarms, active */

/* The head to the sink: moment, spans, gaps. */
int query_begin(struct query_run *r, const struct query_column *column, size_t columns,
                struct base_error *error);

/* Gap records that touch [from, to], as JSON; owned. */
struct query_gaps {
    char **record;
    size_t count, room;
};
int query_gaps_read(struct query_run *r, const struct query_view *v, uint64_t from_ns,
                    uint64_t to_ns, struct query_gaps *gaps, struct base_error *error);
void query_gaps_free(struct query_gaps *gaps);

/* Texts of one row's cells, in one piece of memory that the next row uses again. Too long ones are
 * cut. */
enum { QUERY_ROW_TEXT = 64 << 10 };
struct query_cells {
    const char *cell[QUERY_COLUMNS_MOST];
    size_t count, used;
    char text[QUERY_ROW_TEXT];
};
void query_cells_clear(struct query_cells *c);
void query_cell_text(struct query_cells *c, const char *text);
void query_cell_slice(struct query_cells *c, struct query_text text);
void query_cell_time(struct query_cells *c, uint64_t ns); /* "" for 0 */
void query_cell_number(struct query_cells *c, uint64_t n);
void query_cell_flow(struct query_cells *c, uint64_t flow);
void query_cell_place(struct query_cells *c, const struct query_place *p);

/* The keys of a connection's row, of which the states may be others than it has now. */
void query_cells_connection(struct query_run *r, struct query_cells *c,
                            const struct query_merged *m, const uint8_t state[2]);

/* The connections of all slices, one after the other; `visit` gets them slice by slice, ordered. */
typedef int query_visit(void *context, struct query_slice *s, struct base_error *error);
int query_each_slice(struct query_run *r, enum query_moment moment, bool details,
                     query_visit *visit, void *context, struct base_error *error);

#endif
