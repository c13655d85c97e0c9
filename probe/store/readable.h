/*
 * readable: numbers, moments and endpoints for a person. Exact while that is short, three figures
 * or so beyond.
 */
#ifndef SPANWATCH_STORE_READABLE_H
#define SPANWATCH_STORE_READABLE_H

#include "spanwatch/event.h"

enum { STORE_READABLE = BASE_ENDPOINT_TEXT /* the longest text, and the NUL */ };

struct store_readable { /* a text by value, to be used within one expression */
    char text[STORE_READABLE];
};

struct store_readable store_count(uint64_t n);      /* "99999", "1.2 M" */
struct store_readable store_bytes(uint64_t octets); /* "999 B", "3.4 GB" (decimal) */
struct store_readable store_span(uint64_t ns);      /* "12.3 ms", "4 min 05 s", "2 d 03 h" */
struct store_readable store_percent(uint64_t part, uint64_t whole); /* "0.3 %"; of nothing "-" */

/* UTC to the millisecond; the day is left out when it is that of `same_day_ns`. */
struct store_readable store_moment(uint64_t ns, uint64_t same_day_ns);

/* "10.0.0.1:80" of one side. */
struct store_readable store_endpoint(const struct event_flow *f, bool client);

#endif
