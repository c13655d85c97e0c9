/*
 * top: a live full-screen view over the store: services with their states, clients in trouble,
 * alarms in force.
 *
 * Input: a store that may come and go, the keyboard. Output: the terminal. One thread draws and
 * listens, another asks the store, so that neither waits for the other.
 */
#ifndef SPANWATCH_TOP_H
#define SPANWATCH_TOP_H

#include "spanwatch/redis.h"

struct top_options { /* borrowed for the call */
    const struct redis_url *url;
    const char *prefix;
    const char *probe; /* NULL: all */
    unsigned every_ms; /* from one look at the store to the next, at least */
};

/* Until the user ends it. -1 with `error` when there is no terminal to draw on, or no memory. */
int top_run(const struct top_options *o, struct base_error *error);

#endif
