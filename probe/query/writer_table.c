/*
 * Answers as a table for a person (writer.h).
 *
 * Rows wait in a temporary file, cells apart by tabs (which no cell can hold: they are escaped),
 * until the widths of its columns are known; only these are kept in memory.
 */
#include "writer.h"

#include "spanwatch/readable.h"
#include "spanwatch/record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { CELL = 1024, LINE = QUERY_COLUMNS_MOST * (CELL + 1) };

/* What people do not read in a table; programs have JSON and CSV. */
static bool is_hidden(enum query_what what, const char *name) {
    static const char *const of_alarms[] = {"seq", "id", "interface", "vlan", "threshold"};
    if (what == QUERY_TRANSITIONS && strcmp(name, "type") == 0)
        return true;
    for (size_t i = 0; i < sizeof of_alarms / sizeof *of_alarms; i++)
        if ((what == QUERY_ALARMS || what == QUERY_ACTIVE) && strcmp(name, of_alarms[i]) == 0)
            return true;
    return false;
}

/* A JSON object or array as words: {"owner":"web","tier":"1"} is owner=web tier=1. */
static void readable_json(const char *cell, char out[CELL]) {
    size_t n = 0;
    bool quoted = false, value = false;
    for (const char *p = cell; *p != '\0' && n + 2 < CELL; p++) {
        if (*p == '"') {
            quoted = !quoted;
        } else if (quoted) {
            p += *p == '\\' && p[1] != '\0';
            out[n++] = *p;
        } else if (*p == ':') {
            out[n++] = '=';
            value = true;
        } else if (*p == ',') {
            out[n++] = ' ';
            value = false;
        } else if (strchr("{}[]", *p) == NULL || value) {
            if (strchr("{}[]", *p) == NULL)
                out[n++] = *p;
        }
    }
    out[n] = '\0';
}

static bool ends_in(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* Moments since which a state holds tell its age. */
static void readable_time(const struct query_writer *w, size_t i, const char *cell, char *out,
                          size_t size) {
    uint64_t ns;
    const char *name = w->column[i].name;
    bool is_age = ends_in(name, "_since");
    if (!query_stamp_parse((struct query_text){cell, strlen(cell)}, &ns))
        snprintf(out, size, "%s", cell);
    else if (strcmp(name, "duration") == 0)
        snprintf(out, size, "%s", base_readable_span(ns).text);
    else if (is_age && ns <= w->at_ns)
        snprintf(out, size, "%s", base_readable_span(w->at_ns - ns).text);
    else
        snprintf(out, size, "%s", base_readable_moment(ns, w->at_ns).text);
}

static void readable(const struct query_writer *w, size_t i, const char *cell, char out[CELL]) {
    char text[CELL] = "";
    bool is_time = w->column[i].cell == QUERY_TIME || strcmp(w->column[i].name, "duration") == 0;
    if (*cell != '\0' && is_time)
        readable_time(w, i, cell, text, sizeof text);
    else if (w->column[i].cell == QUERY_JSON)
        readable_json(cell, text);
    else
        snprintf(text, sizeof text, "%s", cell);
    record_text_printable(text, out, CELL);
}

/* States and severities by how much they want to be looked at; NO_COLOR is the caller's to honour.
 */
static const char *colour_of(const char *name, const char *cell) {
    if (strcmp(name, "severity") == 0)
        return strcmp(cell, "critical") == 0 ? "31" : strcmp(cell, "warning") == 0 ? "33" : NULL;
    if (strcmp(name, "change") == 0)
        return strcmp(cell, "appeared") == 0 ? "32" : strcmp(cell, "vanished") == 0 ? "31" : "33";
    if (!ends_in(name, "state") || *cell == '\0')
        return NULL;
    if (strncmp(cell, "ESTABLISHED", 11) == 0)
        return "32";
    if (strncmp(cell, "SYN_", 4) == 0)
        return "33";
    if (strncmp(cell, "CLOSE_WAIT", 10) == 0 || strncmp(cell, "LAST_ACK", 8) == 0)
        return "31";
    return "36";
}

static void put_cell(struct query_writer *w, size_t i, const char *text, bool last) {
    const char *colour = w->colour ? colour_of(w->column[i].name, text) : NULL;
    size_t used = base_text_columns(text);
    int blanks = used < w->width[i] ? (int)(w->width[i] - used) : 0;
    bool right = w->column[i].cell == QUERY_NUMBER;
    if (right)
        fprintf(w->out, "%*s", blanks, "");
    if (colour != NULL)
        fprintf(w->out, "\033[%sm%s\033[0m", colour, text);
    else
        fputs(text, w->out);
    if (!last)
        fprintf(w->out, "%*s  ", right ? 0 : blanks, "");
}

static void put_line(struct query_writer *w, const char *const cell[QUERY_COLUMNS_MOST],
                     bool head) {
    size_t last = w->columns;
    bool colour = w->colour;
    while (last > 0 && w->hidden[last - 1])
        last--;
    w->colour = colour && !head;
    if (head && colour)
        fputs("\033[1m", w->out);
    for (size_t i = 0; i < last; i++)
        if (!w->hidden[i])
            put_cell(w, i, cell[i], i + 1 == last);
    if (head && colour)
        fputs("\033[0m", w->out);
    w->colour = colour;
    fputc('\n', w->out);
}

static void put_head(struct query_writer *w) {
    const char *cell[QUERY_COLUMNS_MOST];
    char upper[QUERY_COLUMNS_MOST][64];
    for (size_t i = 0; i < w->columns; i++) {
        size_t n = 0;
        for (; w->column[i].name[n] != '\0' && n + 1 < sizeof upper[i]; n++) {
            char c = w->column[i].name[n];
            upper[i][n] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
        }
        upper[i][n] = '\0';
        cell[i] = upper[i];
    }
    put_line(w, cell, true);
}

/* Without a look ahead: widths that most cells of a column fit. */
static void guess_widths(struct query_writer *w) {
    for (size_t i = 0; i < w->columns; i++) {
        const char *name = w->column[i].name;
        size_t guess = w->column[i].cell == QUERY_TIME                                 ? 12
                       : strstr(name, "state") != NULL || strstr(name, "_was") != NULL ? 12
                       : strcmp(name, "client") == 0 || strcmp(name, "server") == 0    ? 21
                       : strcmp(name, "flow") == 0                                     ? 16
                                                                                       : 8;
        w->width[i] = guess > w->width[i] ? guess : w->width[i];
    }
}

static void spool_row(struct query_writer *w, const struct query_row *r) {
    char cell[CELL];
    if (w->spool == NULL && (w->spool = tmpfile()) == NULL) {
        w->spool_fault = errno;
        return;
    }
    for (size_t i = 0; i < w->columns; i++) {
        readable(w, i, r->cell[i], cell);
        size_t n = base_text_columns(cell);
        w->filled[i] = w->filled[i] || n > 0;
        w->width[i] = n > w->width[i] ? n : w->width[i];
        fprintf(w->spool, "%s%c", cell, i + 1 < w->columns ? '\t' : '\n');
    }
    if (ferror(w->spool))
        w->spool_fault = errno != 0 ? errno : EIO;
}

static void print_row(struct query_writer *w, const struct query_row *r) {
    static const char empty[] = "";
    char text[QUERY_COLUMNS_MOST][CELL];
    const char *cell[QUERY_COLUMNS_MOST];
    for (size_t i = 0; i < w->columns; i++) {
        cell[i] = empty;
        if (w->hidden[i])
            continue;
        readable(w, i, r->cell[i], text[i]);
        cell[i] = text[i];
    }
    put_line(w, cell, false);
}

static void print_spool(struct query_writer *w) {
    char *line = malloc(LINE);
    const char *cell[QUERY_COLUMNS_MOST];
    if (line == NULL) {
        w->spool_fault = ENOMEM;
        return;
    }
    for (size_t i = 0; i < w->columns; i++)
        w->hidden[i] = w->hidden[i] || !w->filled[i];
    if (w->rows > 0)
        put_head(w);
    rewind(w->spool);
    while (query_writer_is_good(w) && fgets(line, LINE, w->spool) != NULL) {
        char *rest = line;
        line[strcspn(line, "\n")] = '\0';
        for (size_t i = 0; i < w->columns; i++) {
            cell[i] = strsep(&rest, "\t");
            if (cell[i] == NULL)
                cell[i] = "";
        }
        put_line(w, cell, false);
    }
    if (ferror(w->spool))
        w->spool_fault = errno != 0 ? errno : EIO;
    free(line);
}

void query_table_begin(struct query_writer *w) {
    for (size_t i = 0; i < w->columns; i++) {
        w->hidden[i] = is_hidden(w->what, w->name[i]);
        w->width[i] = strlen(w->name[i]);
    }
    if (!w->lines)
        return;
    guess_widths(w);
    put_head(w);
}

void query_table_row(struct query_writer *w, const struct query_row *r) {
    if (w->lines)
        print_row(w, r);
    else
        spool_row(w, r);
}

void query_table_end(struct query_writer *w) {
    fprintf(w->out, "%s UTC: %" PRIu64 " %s\n", base_readable_moment(w->at_ns, 0).text, w->rows,
            query_noun(w->what, w->rows));
    if (w->spool != NULL)
        print_spool(w);
}
