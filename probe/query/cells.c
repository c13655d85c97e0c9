/*
 * Cells of rows as text (kinds.h).
 */
#include "kinds.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void query_cells_clear(struct query_cells *c) {
    c->count = c->used = 0;
}

void query_cell_slice(struct query_cells *c, struct query_text text) {
    size_t room = QUERY_ROW_TEXT - c->used;
    if (c->count == QUERY_COLUMNS_MOST)
        return;
    if (room < 2) {
        c->cell[c->count++] = "";
        return;
    }
    char *at = c->text + c->used;
    query_text_copy(text, at, room);
    size_t n = strlen(at);
    c->used += n + 1;
    c->cell[c->count++] = at;
}

void query_cell_text(struct query_cells *c, const char *text) {
    query_cell_slice(c, (struct query_text){text, strlen(text)});
}

void query_cell_time(struct query_cells *c, uint64_t ns) {
    char text[BASE_TIME_TEXT] = "";
    if (ns != 0)
        base_time_format(ns, text);
    query_cell_text(c, text);
}

void query_cell_number(struct query_cells *c, uint64_t n) {
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, n);
    query_cell_text(c, text);
}

void query_cell_flow(struct query_cells *c, uint64_t flow) {
    char text[24];
    snprintf(text, sizeof text, "%016" PRIx64, flow);
    query_cell_text(c, text);
}

void query_cell_place(struct query_cells *c, const struct query_place *p) {
    char text[BASE_ENDPOINT_TEXT];
    query_place_format(p, text);
    query_cell_text(c, text);
}
