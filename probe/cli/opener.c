/*
 * The opener's thread (opener.h): sleeps until an interface is gone, then tries until it is back,
 * at growing intervals.
 */
#include "opener.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "spanwatch/daemon.h"

enum { FIRST_WAIT_MS = 100, LAST_WAIT_MS = 2000 };

/* Until a wake, or so long. */
static void pause_for(struct cli_opener *o, unsigned ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + ms * BASE_NS_PER_MS;
    until.tv_sec += (time_t)(ns / BASE_NS_PER_S);
    until.tv_nsec = (long)(ns % BASE_NS_PER_S);
    sem_clockwait(&o->wanted, CLOCK_MONOTONIC, &until);
}

static void *open_again(void *opener) {
    struct cli_opener *o = opener;
    pthread_setname_np(pthread_self(), "opener");
    daemon_confine(DAEMON_OPENER);
    sem_post(&o->confined);
    while (!atomic_load(&o->stop)) {
        while (sem_wait(&o->wanted) != 0)
            ; /* a signal */
        for (unsigned ms = FIRST_WAIT_MS;
             !atomic_load(&o->stop) && capture_live_reopen(o->captures, o->workers) > 0;) {
            pause_for(o, ms);
            ms = ms * 2 < LAST_WAIT_MS ? ms * 2 : LAST_WAIT_MS;
        }
    }
    return NULL;
}

int cli_opener_start(struct cli_opener *o, struct capture_live *const *captures, size_t workers,
                     struct base_error *error) {
    o->captures = captures;
    o->workers = workers;
    int fault = pthread_create(&o->thread, NULL, open_again, o);
    if (fault != 0)
        return base_error_set(error, "opener", "cannot start a thread: %s", strerror(fault));
    o->running = true;
    while (sem_wait(&o->confined) != 0)
        ; /* a signal */
    return 0;
}

void cli_opener_wake(void *opener) {
    sem_post(&((struct cli_opener *)opener)->wanted);
}

void cli_opener_stop(struct cli_opener *o) {
    if (!o->running)
        return;
    atomic_store(&o->stop, true);
    cli_opener_wake(o);
    pthread_join(o->thread, NULL);
    o->running = false;
}
