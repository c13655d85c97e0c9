/*
 * Answers as JSON, as CSV, as a table (query.h).
 *
 * JSON and CSV are written as rows come. A table waits in a temporary file, cells apart by tabs
 * (which no cell can hold: they are escaped), until the widths of its columns are known; only these
 * are kept in memory.
 */
#include "kinds.h"

#include "spanwatch/query.h"
#include "spanwatch/record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CELL = 1024, STRING = 6 * CELL, WIDTH_MOST = 60, LINE = QUERY_COLUMNS_MOST * (CELL + 1) };

struct query_writer {
    enum query_format format;
    FILE *out, *warnings;
    bool colour, lines;
    struct query_column column[QUERY_COLUMNS_MOST];
    char name[QUERY_COLUMNS_MOST][64]; /* of the columns */
    size_t columns;
    enum query_what what;
    bool hidden[QUERY_COLUMNS_MOST]; /* of a table: not for people, or nowhere filled */
    bool filled[QUERY_COLUMNS_MOST];
    size_t width[QUERY_COLUMNS_MOST];
    uint64_t at_ns, rows;
    FILE *spool;
    int fault;       /* errno of the first write that failed */
    int spool_fault; /* of the temporary file */
};

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

static bool is_good(struct query_writer *w) {
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
        size_t length = query_json_string(cut, piece, sizeof piece);
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

/* UTC to the millisecond; the day where it is not that of the moment. */
static void readable_time(const struct query_writer *w, const char *cell, char out[CELL]) {
    uint64_t ns;
    char utc[BASE_TIME_TEXT], day[BASE_TIME_TEXT];
    enum { DAY = 11 /* "2023-11-14 " */ };
    if (!query_stamp_parse((struct query_text){cell, strlen(cell)}, &ns)) {
        snprintf(out, CELL, "%s", cell);
        return;
    }
    base_time_format_utc(ns, utc);
    base_time_format_utc(w->at_ns, day);
    bool today = strncmp(utc, day, DAY) == 0;
    snprintf(out, CELL, "%s.%03u", today ? utc + DAY : utc, (unsigned)(ns / BASE_NS_PER_MS % 1000));
}

/* How long ago, next to a moment: "4 min 05 s". */
static void readable_age(uint64_t ns, char *out, size_t size) {
    uint64_t s = ns / BASE_NS_PER_S;
    if (s < 1)
        snprintf(out, size, "%u ms", (unsigned)(ns / BASE_NS_PER_MS));
    else if (s < 60)
        snprintf(out, size, "%" PRIu64 ".%u s", s, (unsigned)(ns / (BASE_NS_PER_S / 10) % 10));
    else if (s < 3600)
        snprintf(out, size, "%" PRIu64 " min %02" PRIu64 " s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, size, "%" PRIu64 " h %02" PRIu64 " min", s / 3600, s / 60 % 60);
    else
        snprintf(out, size, "%" PRIu64 " d %02" PRIu64 " h", s / 86400, s / 3600 % 24);
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

static void readable(struct query_writer *w, size_t i, const char *cell, char out[CELL]) {
    char text[CELL];
    uint64_t ns;
    const char *name = w->column[i].name;
    size_t n = strlen(name);
    bool since = n > 5 && strcmp(name + n - 5, "since") == 0;
    text[0] = '\0';
    if (*cell == '\0') {
        text[0] = '\0';
    } else if (w->column[i].cell == QUERY_TIME &&
               query_stamp_parse((struct query_text){cell, strlen(cell)}, &ns) && since &&
               ns <= w->at_ns && w->what != QUERY_ALARMS) {
        readable_age(w->at_ns - ns, text, sizeof text);
    } else if (w->column[i].cell == QUERY_TIME) {
        readable_time(w, cell, text);
    } else if (w->column[i].cell == QUERY_JSON) {
        readable_json(cell, text);
    } else if (strcmp(name, "duration") == 0 &&
               query_stamp_parse((struct query_text){cell, strlen(cell)}, &ns)) {
        readable_age(ns, text, sizeof text);
    } else {
        snprintf(text, sizeof text, "%s", cell);
    }
    record_text_printable(text, out, CELL);
}

static size_t columns_of(const char *text) {
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* States and severities by how much they want to be looked at; NO_COLOR is the caller's to honour.
 */
static const char *colour_of(const char *name, const char *cell) {
    size_t n = strlen(name);
    bool state = (n > 5 && strcmp(name + n - 5, "state") == 0) || strcmp(name, "state") == 0;
    if (strcmp(name, "severity") == 0)
        return strcmp(cell, "critical") == 0 ? "31" : strcmp(cell, "warning") == 0 ? "33" : NULL;
    if (strcmp(name, "change") == 0)
        return strcmp(cell, "appeared") == 0 ? "32" : strcmp(cell, "vanished") == 0 ? "31" : "33";
    if (!state || *cell == '\0')
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
    size_t used = columns_of(text);
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
        size_t n = columns_of(cell);
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
    while (is_good(w) && fgets(line, LINE, w->spool) != NULL) {
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

static const char *noun_of(enum query_what what, uint64_t n) {
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
        w->hidden[i] = is_hidden(h->what, w->name[i]);
        w->width[i] = strlen(w->name[i]);
    }
    if (w->format == QUERY_FORMAT_JSON && !w->lines)
        begin_json(w, h);
    if (w->format == QUERY_FORMAT_CSV)
        put_csv_row(w, NULL);
    if (w->format != QUERY_FORMAT_JSON)
        tell_gaps(w, h);
    if (w->format == QUERY_FORMAT_TABLE && w->lines) {
        guess_widths(w);
        put_head(w);
    }
}

static bool row(void *context, const struct query_row *r) {
    struct query_writer *w = context;
    if (w->format == QUERY_FORMAT_CSV)
        put_csv_row(w, r);
    else if (w->format == QUERY_FORMAT_TABLE && w->lines)
        print_row(w, r);
    else if (w->format == QUERY_FORMAT_TABLE)
        spool_row(w, r);
    else {
        if (w->rows > 0 && !w->lines)
            fputc(',', w->out);
        put_json_row(w, r);
        if (w->lines)
            fputc('\n', w->out);
    }
    w->rows++;
    return is_good(w) && w->spool_fault == 0;
}

static void end_table(struct query_writer *w) {
    char at[BASE_TIME_TEXT];
    base_time_format_utc(w->at_ns, at);
    fprintf(w->out, "%s.%03u UTC: %" PRIu64 " %s\n", at,
            (unsigned)(w->at_ns / BASE_NS_PER_MS % 1000), w->rows, noun_of(w->what, w->rows));
    if (w->spool != NULL)
        print_spool(w);
}

static void end(void *context, uint64_t rows, uint64_t cut) {
    struct query_writer *w = context;
    char text[128];
    if (w->format == QUERY_FORMAT_JSON && !w->lines)
        fprintf(w->out, "],\"cut\":%" PRIu64 "}\n", cut);
    if (w->format == QUERY_FORMAT_TABLE && !w->lines)
        end_table(w);
    snprintf(text, sizeof text, "--limit left out %" PRIu64 " of %" PRIu64 " %s", cut, rows + cut,
             noun_of(w->what, rows + cut));
    if (cut > 0 && w->format != QUERY_FORMAT_JSON)
        warn(w, text);
}

static bool wait_for_more(void *context) {
    struct query_writer *w = context;
    if (fflush(w->out) != 0 && w->fault == 0)
        w->fault = errno;
    return is_good(w);
}

struct query_sink query_writer_sink(struct query_writer *w) {
    return (struct query_sink){
        .begin = begin, .row = row, .end = end, .warn = warn, .pause = wait_for_more, .context = w};
}

int query_writer_end(struct query_writer *w, struct base_error *error) {
    if (w->fault == 0 && fflush(w->out) != 0)
        w->fault = errno;
    is_good(w);
    if (w->spool_fault != 0)
        return base_error_set(error, "temporary file",
                              "%s: not all rows could be kept; is there room in TMPDIR?",
                              strerror(w->spool_fault));
    if (w->fault == 0 || w->fault == EPIPE)
        return 0;
    return base_error_set(error, "output", "cannot write: %s", strerror(w->fault));
}
