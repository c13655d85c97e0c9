/*
 * The reader of comma-separated text (csv.h), RFC 4180 section 2, with the ABNF at its end.
 *
 * Stricter than many: a quote within a field that does not begin with one, and text behind a
 * closing quote, are faults, because guessing there moves values into wrong columns.
 */
#include "csv.h"

#include <string.h>

void csv_init(struct csv_reader *r, char *text, size_t n) {
    static const char mark[] = {'\xef', '\xbb', '\xbf'};
    *r = (struct csv_reader){.next = text, .end = text + n, .line = 1};
    if (n >= sizeof mark && memcmp(text, mark, sizeof mark) == 0)
        r->next += sizeof mark;
}

static bool fail(struct csv_reader *r, uint32_t line, const char *why) {
    r->fault = why;
    r->fault_line = line;
    return false;
}

/* Octets of the line's end at `p`: 0 when it is none. */
static size_t line_end(const struct csv_reader *r, const char *p) {
    if (p < r->end && *p == '\n')
        return 1;
    return r->end - p >= 2 && p[0] == '\r' && p[1] == '\n' ? 2 : 0;
}

/* A field that begins with a quote: its text moves to the front; `next` goes behind the closing
 * quote. */
static bool read_quoted(struct csv_reader *r, char **text_end) {
    uint32_t begin = r->line;
    char *from = r->next + 1, *to = from;
    r->field[r->fields++] = to;
    for (; from < r->end; *to++ = *from++) {
        r->line += *from == '\n';
        if (*from == '\0')
            return fail(r, r->line, "an octet 0 stands in it");
        if (*from != '"')
            continue;
        if (from + 1 == r->end || from[1] != '"')
            break;
        from++; /* two quotes stand for one */
    }
    if (from == r->end)
        return fail(r, begin, "a quote is opened here and never closed");
    r->next = from + 1;
    *text_end = to;
    return true;
}

static bool read_plain(struct csv_reader *r, char **text_end) {
    char *p = r->next;
    r->field[r->fields++] = p;
    for (; p < r->end && *p != ',' && line_end(r, p) == 0; p++) {
        if (*p == '"')
            return fail(r, r->line,
                        "a quote within a field; a field with quotes begins and ends with one, "
                        "and doubles those inside");
        if (*p == '\0')
            return fail(r, r->line, "an octet 0 stands in it");
    }
    r->next = *text_end = p;
    return true;
}

/* One field and what ends it. `more` when a comma did. */
static bool read_field(struct csv_reader *r, bool *more) {
    char *text_end;
    if (r->fields == CSV_FIELDS)
        return fail(r, r->line, "more than 256 columns");
    bool quoted = r->next < r->end && *r->next == '"';
    if (!(quoted ? read_quoted(r, &text_end) : read_plain(r, &text_end)))
        return false;
    size_t n = line_end(r, r->next);
    *more = n == 0 && r->next < r->end && *r->next == ',';
    if (n == 0 && !*more && r->next < r->end)
        return fail(r, r->line,
                    "text behind a closing quote, where a comma or the line's end is due");
    r->line += n > 0;
    r->next += *more ? 1 : n;
    *text_end = '\0';
    return true;
}

bool csv_next(struct csv_reader *r) {
    bool more = true;
    for (size_t n; (n = line_end(r, r->next)) > 0; r->line++)
        r->next += n;
    r->fields = 0;
    r->row_line = r->line;
    if (r->next == r->end)
        return false;
    while (more)
        if (!read_field(r, &more))
            return false;
    return true;
}
