/*
 * ahead: memory that is there before it is touched.
 *
 * What was asked for is done a huge page at a time, of each range in turn: so the next pages of the
 * flows do not wait for a hash table of a hundred megabytes, and who maps memory meanwhile waits
 * for one page's clearing at most (both take the address space's lock).
 */
#include "ahead.h"

#include "pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { RANGES = 8 }; /* the slabs, and a table; the others are for who is faster */

struct ahead {
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t asked;
    struct range {
        char *at;
        size_t octets; /* 0: free */
    } range[RANGES];
    unsigned turn; /* the range that was served last */
    pthread_t thread;
    bool started, stopping;
};

struct ahead *ahead_new(void) {
    struct ahead *a = calloc(1, sizeof *a);
    if (a == NULL)
        return NULL;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->asked, NULL);
    return a;
}

void ahead_free(struct ahead *a) {
    if (a == NULL)
        return;
    pthread_mutex_lock(&a->lock);
    a->stopping = true;
    pthread_cond_signal(&a->asked);
    pthread_mutex_unlock(&a->lock);
    if (a->started)
        pthread_join(a->thread, NULL);
    pthread_cond_destroy(&a->asked);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

/* The next piece of the range whose turn it is; 0 octets: nothing was asked for. */
static struct range next_piece(struct ahead *a) {
    for (unsigned n = 0; n < RANGES; n++) {
        a->turn = (a->turn + 1) % RANGES;
        struct range *r = &a->range[a->turn];
        if (r->octets > 0) {
            size_t octets = r->octets < PAGES_HUGE ? r->octets : PAGES_HUGE;
            struct range piece = {.at = r->at, .octets = octets};
            r->at += octets;
            r->octets -= octets;
            return piece;
        }
    }
    return (struct range){0};
}

static void *fetch(void *context) {
    struct ahead *a = context;
    pthread_mutex_lock(&a->lock);
    while (!a->stopping) {
        struct range piece = next_piece(a);
        if (piece.octets == 0) {
            pthread_cond_wait(&a->asked, &a->lock);
            continue;
        }
        pthread_mutex_unlock(&a->lock);
        madvise(piece.at, piece.octets, MADV_POPULATE_WRITE);
        pthread_mutex_lock(&a->lock);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* Signals are for the threads that were there before. */
static bool start(struct ahead *a) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int fault = pthread_create(&a->thread, NULL, fetch, a);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (fault == 0)
        pthread_setname_np(a->thread, "ahead");
    return fault == 0;
}

void ahead_fetch(struct ahead *a, void *at, size_t octets) {
    if (a == NULL)
        return;
    pthread_mutex_lock(&a->lock);
    a->started = a->started || start(a);
    for (unsigned i = 0; i < RANGES && a->started; i++)
        if (a->range[i].octets == 0) {
            a->range[i] = (struct range){.at = at, .octets = octets};
            pthread_cond_signal(&a->asked);
            break;
        }
    pthread_mutex_unlock(&a->lock);
}
