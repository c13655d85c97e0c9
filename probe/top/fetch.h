/*
 * fetch: the thread that asks the store, again and again.
 *
 * Input: what is wanted (by the screen's thread), the store. Output: fresh data, handed over whole,
 * and a descriptor that becomes readable then. A store that goes away is tried again; the pace
 * follows the store's: never more than a third of the time is spent asking. Owner: the screen's
 * thread starts and stops it; data taken is the taker's.
 */
#ifndef TOP_FETCH_H
#define TOP_FETCH_H

#include <pthread.h>

#include "spanwatch/top.h"

#include "page.h"

/* What the screen wants to see. */
struct top_wish {
    enum top_order order; /* of clients */
    char filter[TOP_FILTER];
    char client[BASE_ADDR_TEXT]; /* whose timeline; "": none */
    bool paused;
};

/* How the last look went. */
struct top_look {
    char fault[TOP_TEXT]; /* "" when it succeeded */
    uint64_t took_ms;
    uint64_t at_ns; /* of the newest data, by the monotonic clock; 0: none yet */
};

struct top_fetch {
    const struct top_options *options; /* borrowed */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int ready;             /* eventfd */
    atomic_bool interrupt; /* the look that is going on is not wanted any more */
    /* under the lock */
    struct top_wish wish;
    bool wish_is_new, stop;
    struct top_data *fresh; /* not yet taken */
    struct top_look look;
};

int top_fetch_start(struct top_fetch *f, const struct top_options *o, struct base_error *error);

/* Want something else; it is asked for at once. */
void top_fetch_wish(struct top_fetch *f, const struct top_wish *wish);

/* The newest data in place of *data, which is freed; and how the last look went. */
void top_fetch_take(struct top_fetch *f, struct top_data **data, struct top_look *look);

/* Waits for its end: as long as a question to the store may take. */
void top_fetch_stop(struct top_fetch *f);

uint64_t top_clock_ns(void); /* monotonic */

#endif
