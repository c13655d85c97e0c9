/*
 * Answers as JSON and as CSV, written as rows come, or as a table (query.h).
 */
#include "writer.h"

#include "spanwatch/record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { CELL = 1024, STRING = 6 * CELL };

struct query_writer *query_writer_new(enum query_format format, FILE *out, FILE *warnings,
                                      bool colour, bool lines) {
    struct query_writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->format = format;
    w->out = out;
    w->warnings = warnings;
    w->colour = colour && format == QUERY_FORMAT_TABLE;
    w->lines = lines;
    return w;
}

void query_writer_free(struct query_writer *w) {
    if (w != NULL && w->spool != NULL)
        fclose(w->spool);
    free(w);
}

bool query_writer_is_good(struct query_writer *w) {
    if (w->fault == 0 && ferror(w->out))
        w->fault = errno != 0 ? errno : EIO;
    return w->fault == 0;
}

/* Texts of any length, escaped piece by piece: a piece ends between characters. */
static void put_json_string(FILE *out, const char *text) {
    char piece[STRING], cut[CELL];
    fputc('"', out);
    while (*text != '\0') {
        size_t n = strlen(text);
        if (n >= sizeof cut) {
            n = sizeof cut - 1;
            while (n > sizeof cut - 5 && ((unsigned char)text[n] & 0xc0) == 0x80)
                n--;
        }
        memcpy(cut, text, n);
        cut[n] = '\0';
        size_t length = record_json_string(cut, piece, sizeof piece);
        fwrite(piece + 1, 1, length - 2, out);
        text += n;
    }
    fputc('"', out);
}

static void put_json_row(struct query_writer *w, const struct query_row *r) {
    bool first = true;
    if (r->record != NULL) {
        fputs(r->record, w->out);
        return;
    }
    fputc('{', w->out);
    for (size_t i = 0; i < w->columns; i++) {
        const char *cell = r->cell[i];
        /* A group's key stands even when it is empty: services without that attribute. */
        bool key = w->what == QUERY_SUMMARY && w->column[i].cell == QUERY_TEXT;
        if (*cell == '\0' && !key)
            continue;
        fprintf(w->out, "%s\"%s\":", first ? "" : ",", w->column[i].name);
        first = false;
        if (w->column[i].cell == QUERY_TEXT)
            put_json_string(w->out, cell);
        else
            fputs(cell, w->out);
    }
    fputc('}', w->out);
}

static void begin_json(struct query_writer *w, const struct query_head *h) {
    char text[BASE_TIME_TEXT];
    base_time_format(h->at_ns, text);
    fprintf(w->out, "{\"at\":%s,\"span\":[", text);
    for (size_t i = 0; i < h->spans; i++) {
        fprintf(w->out, "%s{\"probe\":\"%s\"", i > 0 ? "," : "", h->span[i].probe);
        base_time_format(h->span[i].from_ns, text);
        fprintf(w->out, ",\"from\":%s", text);
        base_time_format(h->span[i].to_ns, text);
        fprintf(w->out, ",\"to\":%s}", text);
    }
    fputs("],\"gaps\":[", w->out);
    for (size_t i = 0; i < h->gaps; i++)
        fprintf(w->out, "%s%s", i > 0 ? "," : "", h->gap[i]);
    fputs("],\"rows\":[", w->out);
}

/* RFC 4180: quoted where a comma, a quote or a line's end stands in it, quotes doubled. */
static void put_csv_cell(FILE *out, const char *cell) {
    if (strpbrk(cell, ",\"\r\n") == NULL) {
        fputs(cell, out);
        return;
    }
    fputc('"', out);
    for (; *cell != '\0'; cell++) {
        if (*cell == '"')
            fputc('"', out);
        fputc(*cell, out);
    }
    fputc('"', out);
}

static void put_csv_row(struct query_writer *w, const struct query_row *r) {
    for (size_t i = 0; i < w->columns; i++) {
        if (i > 0)
            fputc(',', w->out);
        put_csv_cell(w->out, r != NULL ? r->cell[i] : w->column[i].name);
    }
    fputs("\r\n", w->out);
}

const char *query_noun(enum query_what what, uint64_t n) {
    static const char *const one[] = {"connection", "transition", "client",        "group",
                                      "change",     "alarm",      "alarm in force"};
    static const char *const many[] = {"connections", "transitions", "clients",        "groups",
                                       "changes",     "alarms",      "alarms in force"};
    return n == 1 ? one[what] : many[what];
}

static void warn(void *context, const char *sentence) {
    struct query_writer *w = context;
    char text[CELL];
    record_text_printable(sentence, text, sizeof text);
    if (w->warnings != NULL)
        fprintf(w->warnings, "spanwatch: %s\n", text);
}

static void tell_gaps(struct query_writer *w, const struct query_head *h) {
    for (size_t i = 0; i < h->gaps; i++) {
        char text[CELL];
        snprintf(text, sizeof text, "something is missing: %s", h->gap[i]);
        warn(w, text);
    }
}

static void begin(void *context, const struct query_head *h) {
    struct query_writer *w = context;
    w->what = h->what;
    w->at_ns = h->at_ns;
    w->columns = h->columns;
    for (size_t i = 0; i < h->columns; i++) {
        snprintf(w->name[i], sizeof w->name[i], "%s", h->column[i].name);
        w->column[i] = (struct query_column){w->name[i], h->column[i].cell};
    }
    if (w->format == QUERY_FORMAT_JSON && !w->lines)
        begin_json(w, h);
    if (w->format == QUERY_FORMAT_CSV)
        put_csv_row(w, NULL);
    if (w->format != QUERY_FORMAT_JSON)
        tell_gaps(w, h);
    if (w->format == QUERY_FORMAT_TABLE)
        query_table_begin(w);
}

static bool row(void *context, const struct query_row *r) {
    struct query_writer *w = context;
    if (w->format == QUERY_FORMAT_CSV)
        put_csv_row(w, r);
    else if (w->format == QUERY_FORMAT_TABLE)
        query_table_row(w, r);
    else {
        if (w->rows > 0 && !w->lines)
            fputc(',', w->out);
        put_json_row(w, r);
        if (w->lines)
            fputc('\n', w->out);
    }
    w->rows++;
    return query_writer_is_good(w) && w->spool_fault == 0;
}

static void end(void *context, uint64_t rows, uint64_t cut) {
    struct query_writer *w = context;
    char text[128];
    if (w->format == QUERY_FORMAT_JSON && !w->lines)
        fprintf(w->out, "],\"cut\":%" PRIu64 "}\n", cut);
    if (w->format == QUERY_FORMAT_TABLE && !w->lines)
        query_table_end(w);
    snprintf(text, sizeof text, "--limit left out %" PRIu64 " of %" PRIu64 " %s", cut, rows + cut,
             query_noun(w->what, rows + cut));
    if (cut > 0 && w->format != QUERY_FORMAT_JSON)
        warn(w, text);
}

static bool wait_for_more(void *context) {
    struct query_writer *w = context;
    if (fflush(w->out) != 0 && w->fault == 0)
        w->fault = errno;
    return query_writer_is_good(w);
}

struct query_sink query_writer_sink(struct query_writer *w) {
    return (struct query_sink){
        .begin = begin, .row = row, .end = end, .warn = warn, .pause = wait_for_more, .context = w};
}

int query_writer_end(struct query_writer *w, struct base_error *error) {
    if (w->fault == 0 && fflush(w->out) != 0)
        w->fault = errno;
    query_writer_is_good(w);
    if (w->spool_fault != 0)
        return base_error_set(error, "temporary file",
                              "%s: not all rows could be kept; is there room in TMPDIR?",
                              strerror(w->spool_fault));
    if (w->fault == 0 || w->fault == EPIPE)
        return 0;
    return base_error_set(error, "output", "cannot write: %s", strerror(w->fault));
}
