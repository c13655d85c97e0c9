/*
 * Cells, numbers and times (text.h).
 */
#include "text.h"

#include <stdio.h>
#include <string.h>

struct top_pen top_pen_at(struct top_page *p, unsigned row, enum top_style style) {
    struct top_line *line = &p->line[row];
    line->text[0] = '\0';
    line->style = style;
    return (struct top_pen){.text = line->text, .columns = p->columns};
}

static void put_octets(struct top_pen *pen, const void *octets, size_t n, unsigned columns) {
    memcpy(pen->text + pen->used, octets, n);
    pen->used += n;
    pen->column += columns;
    pen->text[pen->used] = '\0';
}

static void put_blanks(struct top_pen *pen, unsigned n) {
    for (; n > 0 && pen->column < pen->columns; n--)
        put_octets(pen, " ", 1, 1);
}

/* Up to `width` columns of a text, which are there; the last one shows that some are missing. */
static void put_cut(struct top_pen *pen, const char *text, unsigned width) {
    unsigned left = width;
    bool cut = base_text_columns(text) > width;
    while (*text != '\0') {
        size_t n = base_printable_length(text);
        unsigned columns = base_character_columns(text, n);
        if (columns + cut > left)
            break;
        put_octets(pen, n > 0 ? text : "?", n > 0 ? n : 1, columns);
        left -= columns;
        text += n > 0 ? n : 1;
    }
    if (cut && left > 0)
        put_octets(pen, "~", 1, 1);
}

static unsigned room(const struct top_pen *pen, unsigned width) {
    unsigned left = pen->columns - pen->column;
    return width < left ? width : left;
}

void top_put(struct top_pen *pen, const char *text, unsigned width) {
    unsigned wanted = width > 0 ? width : base_text_columns(text), begin = pen->column;
    put_cut(pen, text, room(pen, wanted));
    put_blanks(pen, wanted - (pen->column - begin));
}

void top_put_right(struct top_pen *pen, const char *text, unsigned width) {
    unsigned columns = base_text_columns(text);
    put_blanks(pen, columns < width ? width - columns : 0);
    put_cut(pen, text, room(pen, width));
}

void top_put_count(struct top_pen *pen, uint64_t n, unsigned width, bool blank) {
    struct base_readable count = base_readable_count(n);
    char *space = strchr(count.text, ' ');
    if (space != NULL) /* "1.2M": columns are narrow */
        memmove(space, space + 1, strlen(space));
    top_put_right(pen, blank && n == 0 ? "" : count.text, width);
}

void top_fill(struct top_pen *pen) {
    put_blanks(pen, pen->columns);
}

struct base_readable top_age(uint64_t at_ns, uint64_t since_ns) {
    uint64_t ns = at_ns > since_ns ? at_ns - since_ns : 0;
    struct base_readable r;
    if (ns >= 60 * BASE_NS_PER_S)
        return base_readable_span(ns);
    snprintf(r.text, sizeof r.text, "%u s", (unsigned)(ns / BASE_NS_PER_S));
    return r;
}
