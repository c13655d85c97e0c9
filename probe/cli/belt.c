/*
 * Blocks that go round between two threads (belt.h).
 *
 * Who waits is woken when there is enough to do for a while: the giving thread when half of the
 * blocks are empty again, the taking thread when half are full, or after its wait. To wake a core
 * that sleeps costs more than a block's work (in a virtual machine, many times that), and the
 * slower of two threads would pay it at every block.
 */
#include "belt.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct cli_belt {
    pthread_mutex_t lock; /* of all below, but for what is in the blocks */
    pthread_cond_t given, dropped;
    size_t blocks, octets;
    uint64_t gave, took;        /* blocks, since the begin */
    bool ended, starved, stuck; /* starved: the taking thread waits; stuck: the giving one */
    unsigned char *block;
};

enum { CACHE_LINE = 64 };

struct cli_belt *cli_belt_new(size_t blocks, size_t octets) {
    struct cli_belt *b = malloc(sizeof *b);
    pthread_condattr_t monotonic;
    if (b == NULL)
        return NULL;
    octets = (octets + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    *b = (struct cli_belt){.blocks = blocks, .octets = octets};
    b->block = aligned_alloc(CACHE_LINE, blocks * octets);
    if (b->block == NULL) {
        free(b);
        return NULL;
    }
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->given, &monotonic);
    pthread_cond_init(&b->dropped, NULL);
    pthread_condattr_destroy(&monotonic);
    return b;
}

void cli_belt_free(struct cli_belt *b) {
    if (b == NULL)
        return;
    pthread_cond_destroy(&b->given);
    pthread_cond_destroy(&b->dropped);
    pthread_mutex_destroy(&b->lock);
    free(b->block);
    free(b);
}

static void *block_at(const struct cli_belt *b, uint64_t number) {
    return b->block + (size_t)(number % b->blocks) * b->octets;
}

void *cli_belt_open(struct cli_belt *b) {
    pthread_mutex_lock(&b->lock);
    b->stuck = b->gave - b->took == b->blocks;
    while (b->stuck)
        pthread_cond_wait(&b->dropped, &b->lock);
    void *block = block_at(b, b->gave);
    pthread_mutex_unlock(&b->lock);
    return block;
}

void cli_belt_give(struct cli_belt *b) {
    pthread_mutex_lock(&b->lock);
    b->gave++;
    if (b->starved && b->gave - b->took >= b->blocks / 2)
        pthread_cond_signal(&b->given);
    pthread_mutex_unlock(&b->lock);
}

void cli_belt_end(struct cli_belt *b) {
    pthread_mutex_lock(&b->lock);
    b->ended = true;
    pthread_cond_signal(&b->given);
    pthread_mutex_unlock(&b->lock);
}

static struct timespec from_now(unsigned ms) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t ns = (uint64_t)t.tv_nsec + ms * BASE_NS_PER_MS;
    t.tv_sec += (time_t)(ns / BASE_NS_PER_S);
    t.tv_nsec = (long)(ns % BASE_NS_PER_S);
    return t;
}

/* Wait for a few blocks, or the end; who has waited long enough takes what there is. */
static void await(struct cli_belt *b, unsigned wait_ms) {
    struct timespec until = from_now(wait_ms);
    int fault = 0;
    b->starved = true;
    while (b->gave - b->took < b->blocks / 2 && !b->ended && fault != ETIMEDOUT)
        fault = pthread_cond_timedwait(&b->given, &b->lock, &until);
    b->starved = false;
}

void *cli_belt_first(struct cli_belt *b, unsigned wait_ms) {
    pthread_mutex_lock(&b->lock);
    if (b->gave == b->took && !b->ended)
        await(b, wait_ms);
    void *block = b->gave == b->took ? NULL : block_at(b, b->took);
    pthread_mutex_unlock(&b->lock);
    return block;
}

void cli_belt_drop(struct cli_belt *b) {
    pthread_mutex_lock(&b->lock);
    b->took++;
    if (b->stuck && b->gave - b->took <= b->blocks / 2) {
        b->stuck = false;
        pthread_cond_signal(&b->dropped);
    }
    pthread_mutex_unlock(&b->lock);
}

bool cli_belt_is_over(struct cli_belt *b) {
    pthread_mutex_lock(&b->lock);
    bool over = b->ended && b->gave == b->took;
    pthread_mutex_unlock(&b->lock);
    return over;
}
