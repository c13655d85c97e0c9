/*
 * The opener: the one thread that keeps a right, to open again an interface that was deleted and
 * came back.
 *
 * Input: wakes, without any content, and the table of interfaces that its captures hold. Output:
 * sockets, handed over by capture_live_reopen. It has CAP_NET_RAW alone and a filter of system
 * calls of its own, under which it can neither write, send nor start anything.
 */
#ifndef CLI_OPENER_H
#define CLI_OPENER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "spanwatch/capture_live.h"

struct cli_opener {
    struct capture_live *const *captures; /* borrowed */
    size_t workers;
    pthread_t thread;
    sem_t wanted, confined;
    _Atomic bool stop;
    bool running;
};

/* Start the thread; it inherits the caller's capabilities, so this comes before they are dropped.
 * Returns when it has put on its filter; -1 with `error`. */
int cli_opener_start(struct cli_opener *o, struct capture_live *const *captures, size_t workers,
                     struct base_error *error);

/* A worker: an interface is gone. Never waits. `opener` is a struct cli_opener. */
void cli_opener_wake(void *opener);

void cli_opener_stop(struct cli_opener *o); /* waits for its end; may be called without a start */

#endif
