/*
 * The table of `read --at` for a person (store.h).
 *
 * Input: EVENT_CONNECTION events, one a row. Output: a head with the moment and the number of rows,
 * then the rows, aligned. Only the widths of the columns are kept in memory; the rows wait in a
 * temporary file, one line each, cells apart by tabs (which no cell can hold: they are escaped).
 * Owner: one thread.
 */
#include "output.h"
#include "readable.h"

#include "spanwatch/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME = 1, /* of the client; shown where the CMDB names one at least */
    CLIENT_SINCE = 5,
    SERVER_SINCE = 7,
    COLUMNS = 10,
    CELL = 4 * SERVICE_NAME_MAX,
    LINE = COLUMNS * CELL
};

static const char *const column_name[COLUMNS] = {
    "CLIENT", "CLIENT_NAME",  "SERVER", "SERVICE",  "CLIENT_STATE",
    "SINCE",  "SERVER_STATE", "SINCE",  "INFERRED", "FLOW"};

struct store_table {
    const struct record_context *context; /* borrowed */
    FILE *rows;                           /* made for the first row */
    uint64_t count;
    uint64_t oldest_ns; /* of the moments that the rows name */
    bool named;         /* a row has a client's name */
    int fault;          /* errno of the temporary file's first fault */
    size_t width[COLUMNS];
};

struct store_table *store_table_new(const struct record_context *c) {
    struct store_table *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->context = c;
    t->oldest_ns = BASE_NEVER_NS;
    for (int i = 0; i < COLUMNS; i++)
        t->width[i] = strlen(column_name[i]);
    return t;
}

static void row_cells(const struct record_context *c, const struct event *e,
                      char cell[COLUMNS][CELL]) {
    const struct event_connection *n = &e->connection;
    char buffer[SERVICE_NAME_MAX];
    const char *name = record_client_name(c, &e->flow);
    snprintf(cell[0], CELL, "%s", store_endpoint(&e->flow, true).text);
    record_text_printable(name != NULL ? name : "", cell[NAME], CELL);
    snprintf(cell[2], CELL, "%s", store_endpoint(&e->flow, false).text);
    record_text_printable(record_service(c, &e->flow, buffer), cell[3], CELL);
    snprintf(cell[4], CELL, "%s", tcp_state_name(n->state[EVENT_CLIENT]));
    snprintf(cell[CLIENT_SINCE], CELL, "%s",
             store_moment(n->since_ns[EVENT_CLIENT], BASE_NEVER_NS).text);
    snprintf(cell[6], CELL, "%s", tcp_state_name(n->state[EVENT_SERVER]));
    snprintf(cell[SERVER_SINCE], CELL, "%s",
             store_moment(n->since_ns[EVENT_SERVER], BASE_NEVER_NS).text);
    snprintf(cell[8], CELL, "%s", tcp_inferred_name(n->inferred));
    snprintf(cell[9], CELL, "%016" PRIx64, record_flow_id(c, &e->flow));
}

void store_table_row(void *table, const struct event *e) {
    struct store_table *t = table;
    char cell[COLUMNS][CELL];
    if (t->fault != 0)
        return;
    errno = 0;
    if (t->rows == NULL && (t->rows = tmpfile()) == NULL) {
        t->fault = errno;
        return;
    }
    row_cells(t->context, e, cell);
    for (int i = 0; i < COLUMNS; i++) {
        size_t n = store_text_columns(cell[i]);
        t->width[i] = n > t->width[i] ? n : t->width[i];
        fprintf(t->rows, "%s%c", cell[i], i < COLUMNS - 1 ? '\t' : '\n');
    }
    t->named = t->named || cell[NAME][0] != '\0';
    for (int side = 0; side < 2; side++)
        if (e->connection.since_ns[side] < t->oldest_ns)
            t->oldest_ns = e->connection.since_ns[side];
    if (store_output_good(t->rows, &t->fault))
        t->count++;
}

/* A column of width 0 is left out. */
static void print_row(FILE *out, const size_t width[COLUMNS], const char *const cell[COLUMNS]) {
    for (int i = 0; i < COLUMNS - 1; i++) {
        if (width[i] == 0)
            continue;
        store_text_pad(out, cell[i], width[i], false);
        fputs("  ", out);
    }
    fprintf(out, "%s\n", cell[COLUMNS - 1]);
}

/* Cut a line of the temporary file into its cells. */
static void split(char *line, const char *cell[COLUMNS]) {
    line[strcspn(line, "\n")] = '\0';
    for (int i = 0; i < COLUMNS; i++)
        cell[i] = strsep(&line, "\t");
}

static void print_rows(struct store_table *t, uint64_t at_ns, FILE *out, int *fault) {
    char line[LINE];
    const char *cell[COLUMNS];
    size_t width[COLUMNS];
    /* The day is left out where it is everywhere that of the asked moment. */
    size_t day = strlen(store_moment(at_ns, BASE_NEVER_NS).text) -
                 strlen(store_moment(at_ns, t->oldest_ns).text);
    memcpy(width, t->width, sizeof width);
    width[CLIENT_SINCE] -= day;
    width[SERVER_SINCE] -= day;
    width[NAME] = t->named ? width[NAME] : 0;
    print_row(out, width, column_name);
    rewind(t->rows);
    while (store_output_good(out, fault) && fgets(line, sizeof line, t->rows) != NULL) {
        split(line, cell);
        cell[CLIENT_SINCE] += day;
        cell[SERVER_SINCE] += day;
        print_row(out, width, cell);
    }
    store_output_good(t->rows, &t->fault);
}

int store_table_print(struct store_table *t, uint64_t at_ns, FILE *out, struct base_error *error) {
    int fault = 0;
    if (t->rows != NULL && t->fault == 0 && fflush(t->rows) != 0)
        t->fault = errno;
    fprintf(out, "%s UTC: %" PRIu64 " %s\n", store_moment(at_ns, BASE_NEVER_NS).text, t->count,
            t->count == 1 ? "connection" : "connections");
    if (t->count != 0)
        print_rows(t, at_ns, out, &fault);
    int result = store_output_end(out, &fault, error);
    if (t->fault != 0)
        return base_error_set(error, "temporary file",
                              "%s: not all rows could be kept; is there room in TMPDIR?",
                              strerror(t->fault));
    return result;
}

void store_table_free(struct store_table *t) {
    if (t == NULL)
        return;
    if (t->rows != NULL)
        fclose(t->rows);
    free(t);
}
