/*
 * readable: numbers, spans, moments and characters for a person. Exact while that is short, three
 * figures or so beyond; nothing here is for a program to read.
 */
#ifndef SPANWATCH_READABLE_H
#define SPANWATCH_READABLE_H

#include "spanwatch/base.h"

enum { BASE_READABLE_TEXT = 40 };

struct base_readable { /* a text by value, to be used within one expression */
    char text[BASE_READABLE_TEXT];
};

struct base_readable base_readable_count(uint64_t n);      /* "99999", "1.2 M" */
struct base_readable base_readable_bytes(uint64_t octets); /* "999 B", "3.4 GB" (decimal) */
struct base_readable base_readable_span(uint64_t ns);      /* "12.3 ms", "4 min 05 s", "2 d 03 h" */
struct base_readable base_readable_percent(uint64_t part,
                                           uint64_t whole); /* "0.3 %"; of nothing "-" */

/* UTC to the millisecond; the day is left out when it is that of `same_day_ns`. */
struct base_readable base_readable_moment(uint64_t ns, uint64_t same_day_ns);

/* Octets of the UTF-8 sequence at `s` (RFC 3629 section 4: no surrogates, nothing overlong, nothing
 * past U+10FFFF), 0 when it is none; 1 for the NUL. Nothing behind a NUL is read. */
size_t base_utf8_length(const char *s);

/* The same, and 0 too for control characters (C0, DEL, C1), which steer terminals (ECMA-48). */
size_t base_printable_length(const char *s);

/* Columns of a terminal that the character of these octets takes (0 octets: one that is none); that
 * a text does. East Asian scripts and pictographs take two. */
unsigned base_character_columns(const char *s, size_t octets);
unsigned base_text_columns(const char *text);

#endif
