/*
 * Cells, numbers and times (text.h).
 */
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Octets of the character at `s`, 1 for what is none; *ok says whether it can be shown. */
static size_t character(const unsigned char *s, bool *ok) {
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    *ok = n > 0 && s[0] >= 0x20 && s[0] != 0x7f && s[0] < 0xf5;
    for (size_t i = 1; i < n && *ok; i++)
        *ok = (s[i] & 0xc0) == 0x80;
    if (n == 2 && s[0] == 0xc2 && s[1] < 0xa0) /* control characters of ISO 8859 */
        *ok = false;
    return *ok ? n : 1;
}

/* East Asian scripts and pictographs take two columns. */
static unsigned width_of(const unsigned char *s) {
    return (s[0] >= 0xe3 && s[0] <= 0xed) || s[0] >= 0xf0 ? 2 : 1;
}

static unsigned columns_of(const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    unsigned columns = 0;
    bool ok;
    while (*s != '\0') {
        size_t n = character(s, &ok);
        columns += ok ? width_of(s) : 1;
        s += n;
    }
    return columns;
}

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
    const unsigned char *s = (const unsigned char *)text;
    unsigned left = width;
    bool cut = columns_of(text) > width, ok;
    while (*s != '\0') {
        size_t n = character(s, &ok);
        unsigned columns = ok ? width_of(s) : 1;
        if (columns + cut > left)
            break;
        put_octets(pen, ok ? (const void *)s : "?", ok ? n : 1, columns);
        left -= columns;
        s += n;
    }
    if (cut && left > 0)
        put_octets(pen, "~", 1, 1);
}

static unsigned room(const struct top_pen *pen, unsigned width) {
    unsigned left = pen->columns - pen->column;
    return width < left ? width : left;
}

void top_put(struct top_pen *pen, const char *text, unsigned width) {
    unsigned wanted = width > 0 ? width : columns_of(text), begin = pen->column;
    put_cut(pen, text, room(pen, wanted));
    put_blanks(pen, wanted - (pen->column - begin));
}

void top_put_right(struct top_pen *pen, const char *text, unsigned width) {
    unsigned columns = columns_of(text);
    put_blanks(pen, columns < width ? width - columns : 0);
    put_cut(pen, text, room(pen, width));
}

void top_put_count(struct top_pen *pen, uint64_t n, unsigned width, bool blank) {
    static const char *const unit[] = {"k", "M", "G", "T", "P", "E"};
    char text[24];
    double v = (double)n / 1000;
    int i = 0;
    for (; v >= 999.5 && i < 5; i++)
        v /= 1000;
    if (n < 100000)
        snprintf(text, sizeof text, "%" PRIu64, n);
    else
        snprintf(text, sizeof text, "%.*f%s", v < 99.95 ? 1 : 0, v, unit[i]);
    top_put_right(pen, blank && n == 0 ? "" : text, width);
}

void top_fill(struct top_pen *pen) {
    put_blanks(pen, pen->columns);
}

const char *top_moment(uint64_t ns, uint64_t day_ns, char out[TOP_MOMENT]) {
    const uint64_t day = 86400 * BASE_NS_PER_S;
    char utc[BASE_TIME_TEXT];
    base_time_format_utc(ns, utc);
    const char *clock = ns / day == day_ns / day ? strchr(utc, ' ') : NULL;
    snprintf(out, TOP_MOMENT, "%s.%03u", clock != NULL ? clock + 1 : utc,
             (unsigned)(ns / BASE_NS_PER_MS % 1000));
    return out;
}

const char *top_span(uint64_t ns, char out[TOP_MOMENT]) {
    uint64_t s = ns / BASE_NS_PER_S;
    if (s < 60)
        snprintf(out, TOP_MOMENT, "%" PRIu64 " s", s);
    else if (s < 3600)
        snprintf(out, TOP_MOMENT, "%" PRIu64 " min %02" PRIu64 " s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, TOP_MOMENT, "%" PRIu64 " h %02" PRIu64 " min", s / 3600, s / 60 % 60);
    else
        snprintf(out, TOP_MOMENT, "%" PRIu64 " d %02" PRIu64 " h", s / 86400, s / 3600 % 24);
    return out;
}
