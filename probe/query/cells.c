/*
 * Cells of rows as text (kinds.h), and strings as JSON.
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

/* The length of the UTF-8 sequence at `s` (RFC 3629 section 4), 0 when it is none. */
static size_t sequence(const unsigned char *s) {
    size_t n = s[0] < 0x80   ? 1
               : s[0] < 0xc2 ? 0
               : s[0] < 0xe0 ? 2
               : s[0] < 0xf0 ? 3
               : s[0] < 0xf5 ? 4
                             : 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool wrong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
                 (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f);
    return wrong ? 0 : n;
}

size_t query_json_string(const char *text, char *out, size_t size) {
    enum { LONGEST = 8 }; /* an escape, the closing quote and the NUL */
    const unsigned char *s = (const unsigned char *)text;
    size_t n = 0;
    out[n++] = '"';
    while (*s != '\0' && n + LONGEST < size) {
        size_t octets = sequence(s);
        if (octets == 0)
            n += (size_t)snprintf(out + n, size - n, "\\ufffd");
        else if (*s < 0x20 || *s == 0x7f)
            n += (size_t)snprintf(out + n, size - n, "\\u%04x", *s);
        else if (*s == '"' || *s == '\\')
            n += (size_t)snprintf(out + n, size - n, "\\%c", *s);
        else {
            memcpy(out + n, s, octets);
            n += octets;
        }
        s += octets > 0 ? octets : 1;
    }
    out[n++] = '"';
    out[n] = '\0';
    return n;
}
