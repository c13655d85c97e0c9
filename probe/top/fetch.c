/*
 * Asking the store (fetch.h).
 *
 * One look is three questions: the summary by service and state, the clients, the alarms in force;
 * or, while a timeline is shown, the summary and that client's transitions: a timeline should not
 * wait for what it does not show.
 */
#include "fetch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    DEADLINE_MS = 2000, /* of one wait for the store */
    SHARE = 3           /* of the time one part is spent asking, the others waiting */
};

uint64_t top_clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * BASE_NS_PER_S + (uint64_t)now.tv_nsec;
}

/* ---- one look ---- */

static int ask(struct top_fetch *f, struct query *q, struct top_data *d, const struct top_wish *w,
               enum query_what what, struct base_error *error) {
    struct top_intake intake;
    struct query_ask ask = {.what = what, .probe = f->options->probe, .limit = UINT64_MAX};
    struct query_sink sink = top_intake_init(&intake, d, what, w->order, w->filter);
    intake.stop = &f->interrupt;
    query_filter_init(&ask.filter);
    if (what == QUERY_SUMMARY) {
        ask.by[0].by = QUERY_BY_SERVICE;
        ask.by[1].by = QUERY_BY_STATE;
        ask.by_count = 2;
    }
    if (what == QUERY_TRANSITIONS && !query_endpoint_parse(w->client, false, &ask.filter.client))
        return base_error_set(error, w->client, "not an address");
    return query_run(q, &ask, &sink, error);
}

static int ask_all(struct top_fetch *f, struct query *q, struct top_data *d,
                   const struct top_wish *w, struct base_error *error) {
    bool timeline = w->client[0] != '\0';
    if (ask(f, q, d, w, QUERY_SUMMARY, error) != 0)
        return -1;
    if (timeline) {
        memcpy(d->timeline_of, w->client, sizeof d->timeline_of);
        return ask(f, q, d, w, QUERY_TRANSITIONS, error);
    }
    d->clients_asked = true;
    if (ask(f, q, d, w, QUERY_CLIENTS, error) != 0)
        return -1;
    top_data_end(d, w->order);
    return ask(f, q, d, w, QUERY_ACTIVE, error);
}

/* The connection is kept from look to look, and given up with the first fault. */
static struct top_data *look(struct top_fetch *f, struct query **q, const struct top_wish *w,
                             struct base_error *error) {
    struct top_data *d = top_data_new();
    if (d == NULL) {
        base_error_set(error, "top", "out of memory");
        return NULL;
    }
    if (*q == NULL)
        *q = query_open(f->options->url, f->options->prefix, DEADLINE_MS, error);
    if (*q != NULL && ask_all(f, *q, d, w, error) == 0)
        return d;
    top_data_free(d);
    query_close(*q);
    *q = NULL;
    return NULL;
}

/* ---- the thread ---- */

/* Under the lock: hand over what was found. */
static void publish(struct top_fetch *f, struct top_data *d, const struct base_error *error,
                    uint64_t begun_ns) {
    f->look.took_ms = (top_clock_ns() - begun_ns) / BASE_NS_PER_MS;
    if (d != NULL) {
        top_data_free(f->fresh);
        f->fresh = d;
        f->look.at_ns = top_clock_ns();
        f->look.fault[0] = '\0';
    } else {
        snprintf(f->look.fault, sizeof f->look.fault, "%.140s (%.100s)", error->why, error->what);
    }
    eventfd_write(f->ready, 1);
}

/* When to look again: a store that answers slowly is asked seldom, one that does not answer at the
 * usual pace, since it may be back any moment. */
static uint64_t due_after(const struct top_fetch *f, uint64_t begun_ns, bool answered) {
    uint64_t now_ns = top_clock_ns(), took_ns = now_ns - begun_ns,
             every_ns = f->options->every_ms * BASE_NS_PER_MS;
    if (!answered)
        return now_ns + every_ns;
    return begun_ns + (took_ns * SHARE > every_ns ? took_ns * SHARE : every_ns);
}

/* Under the lock: until then, or until something else is wanted. */
static void wait_until(struct top_fetch *f, uint64_t due_ns, bool paused) {
    struct timespec due = {.tv_sec = (time_t)(due_ns / BASE_NS_PER_S),
                           .tv_nsec = (long)(due_ns % BASE_NS_PER_S)};
    int result = 0;
    while (!f->stop && !f->wish_is_new && result != ETIMEDOUT)
        result = paused ? pthread_cond_wait(&f->changed, &f->lock)
                        : pthread_cond_timedwait(&f->changed, &f->lock, &due);
}

static void *run(void *context) {
    struct top_fetch *f = context;
    struct query *q = NULL;
    pthread_mutex_lock(&f->lock);
    while (!f->stop) {
        struct base_error error = {0};
        struct top_wish wish = f->wish;
        uint64_t begun_ns = top_clock_ns();
        f->wish_is_new = false;
        atomic_store(&f->interrupt, false);
        pthread_mutex_unlock(&f->lock);
        struct top_data *d = look(f, &q, &wish, &error);
        pthread_mutex_lock(&f->lock);
        if (atomic_load(&f->interrupt)) {
            top_data_free(d); /* only a part of it was asked for */
            continue;
        }
        publish(f, d, &error, begun_ns);
        wait_until(f, due_after(f, begun_ns, d != NULL), wish.paused);
    }
    pthread_mutex_unlock(&f->lock);
    query_close(q);
    return NULL;
}

/* Signals are the screen's. */
static int start_thread(struct top_fetch *f) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int result = pthread_create(&f->thread, NULL, run, f);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

int top_fetch_start(struct top_fetch *f, const struct top_options *o, struct base_error *error) {
    pthread_condattr_t monotonic;
    *f = (struct top_fetch){.options = o, .wish = {.order = TOP_BY_TROUBLE}};
    f->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (f->ready < 0)
        return base_error_set(error, "top", "eventfd: %s", strerror(errno));
    pthread_mutex_init(&f->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&f->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int result = start_thread(f);
    if (result == 0)
        return 0;
    close(f->ready);
    return base_error_set(error, "top", "no thread: %s", strerror(result));
}

void top_fetch_wish(struct top_fetch *f, const struct top_wish *wish) {
    pthread_mutex_lock(&f->lock);
    f->wish = *wish;
    f->wish_is_new = true;
    atomic_store(&f->interrupt, true);
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

void top_fetch_take(struct top_fetch *f, struct top_data **data, struct top_look *look_out) {
    eventfd_t count;
    eventfd_read(f->ready, &count);
    pthread_mutex_lock(&f->lock);
    if (f->fresh != NULL) {
        top_data_free(*data);
        *data = f->fresh;
        f->fresh = NULL;
    }
    *look_out = f->look;
    pthread_mutex_unlock(&f->lock);
}

void top_fetch_stop(struct top_fetch *f) {
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    atomic_store(&f->interrupt, true);
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    top_data_free(f->fresh);
    close(f->ready);
}
