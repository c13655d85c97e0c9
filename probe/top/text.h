/*
 * text: cells of a line by columns of a terminal, and numbers and times for a person.
 *
 * Texts may come from the network or from files: what is no printable character becomes '?'.
 */
#ifndef TOP_TEXT_H
#define TOP_TEXT_H

#include "page.h"

#include "spanwatch/readable.h"

/* A line in the making; what does not fit the page's width is left out. */
struct top_pen {
    char *text;       /* of TOP_LINE octets */
    unsigned columns; /* the page's */
    unsigned column;  /* where the pen stands */
    size_t used;      /* octets */
};

struct top_pen top_pen_at(struct top_page *p, unsigned row, enum top_style style);

/* A text in `width` columns, cut ('~') or padded; 0: as wide as it is. */
void top_put(struct top_pen *pen, const char *text, unsigned width);
void top_put_right(struct top_pen *pen, const char *text, unsigned width);

/* "1234", "12.3k", "4.5M"; blank for 0 with `blank`. */
void top_put_count(struct top_pen *pen, uint64_t n, unsigned width, bool blank);

/* Blanks up to the page's width, so that a style reaches the edge. */
void top_fill(struct top_pen *pen);

/* How long ago, in whole seconds: "12 s", "4 min 05 s", "3 h 20 min", "2 d 03 h". */
struct base_readable top_age(uint64_t at_ns, uint64_t since_ns);

#endif
