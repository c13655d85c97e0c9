/*
 * The stages of `read --workers N` (read_stages.h).
 *
 * Input: an open pipeline. Output: the tracker's events, in order, to the main thread's sink. A
 * block of segments is filled before it goes on, but when the capture is a pipe that has nothing
 * for now; a block of events is not kept back for longer than IDLE_MS.
 */
#include "read_stages.h"

#include "belt.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCKS = 8,
    BLOCK_SEGMENTS = 1024,
    BLOCK_EVENT_OCTETS = 128 << 10,
    IDLE_MS = 20 /* then a stage looks around */
};

struct segment_block {
    size_t n;
    struct segment segment[BLOCK_SEGMENTS];
    struct flow_ready ready[BLOCK_SEGMENTS];
    uint8_t verdict[BLOCK_SEGMENTS];
};

/* Events one behind the other, each as long as its type needs; room for a whole one is left. */
struct event_block {
    size_t used;
    _Alignas(struct event) unsigned char octets[BLOCK_EVENT_OCTETS];
};

struct read_stages {
    struct read_pipe *pipe;
    struct cli_belt *segments, *events;
    struct segment_block *segment_block; /* the decoder's, being filled */
    struct event_block *event_block;     /* the tracker's; NULL while it has no thread */
    event_sink *sink;
    void *context;
};

struct read_stages *read_stages_new(struct read_pipe *p, event_sink *sink, void *context) {
    struct read_stages *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    *s = (struct read_stages){.pipe = p, .sink = sink, .context = context};
    s->segments = cli_belt_new(BLOCKS, sizeof(struct segment_block));
    s->events = cli_belt_new(BLOCKS, sizeof(struct event_block));
    if (s->segments != NULL && s->events != NULL)
        return s;
    read_stages_free(s);
    return NULL;
}

void read_stages_free(struct read_stages *s) {
    if (s == NULL)
        return;
    cli_belt_free(s->segments);
    cli_belt_free(s->events);
    free(s);
}

/* ---- the decoder ---- */

static void open_segments(struct read_stages *s) {
    s->segment_block = cli_belt_open(s->segments);
    s->segment_block->n = 0;
}

/* A capture_wait: what was decoded so far does not wait for a pipe that has nothing for now. */
static void pass_on(void *stages, int fd) {
    struct read_stages *s = stages;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (s->segment_block->n == 0 || poll(&p, 1, 0) != 0)
        return;
    cli_belt_give(s->segments);
    open_segments(s);
}

static void *decode(void *stages) {
    struct read_stages *s = stages;
    const struct cli_pipe *path = &s->pipe->path;
    size_t n;
    pthread_setname_np(pthread_self(), "decoder");
    open_segments(s);
    while ((n = read_pipe_next(s->pipe)) > 0) {
        if (s->segment_block->n + n > BLOCK_SEGMENTS) {
            cli_belt_give(s->segments);
            open_segments(s);
        }
        struct segment_block *b = s->segment_block;
        memcpy(b->segment + b->n, path->segment, n * sizeof *b->segment);
        memcpy(b->verdict + b->n, path->verdict, n);
        flow_prepare(path->tracker, b->segment + b->n, path->verdict, n, b->ready + b->n);
        b->n += n;
    }
    cli_belt_give(s->segments);
    cli_belt_end(s->segments);
    return NULL;
}

/* ---- the tracker ---- */

static void open_events(struct read_stages *s) {
    s->event_block = cli_belt_open(s->events);
    s->event_block->used = 0;
}

static void give_events(struct read_stages *s) {
    if (s->event_block->used == 0)
        return;
    cli_belt_give(s->events);
    open_events(s);
}

void read_stages_take(void *stages, const struct event *e) {
    struct read_stages *s = stages;
    if (s->event_block == NULL) {
        s->sink(s->context, e);
        return;
    }
    if (s->event_block->used + sizeof *e > BLOCK_EVENT_OCTETS)
        give_events(s);
    size_t n = event_octets(e);
    memcpy(s->event_block->octets + s->event_block->used, e, n);
    s->event_block->used += n;
}

static void track_block(struct flow_tracker *t, const struct segment_block *b) {
    for (size_t at = 0; at < b->n; at += CAPTURE_BATCH) {
        size_t n = b->n - at < CAPTURE_BATCH ? b->n - at : CAPTURE_BATCH;
        flow_batch_ready(t, b->segment + at, b->verdict + at, b->ready + at, n);
    }
}

static void *track(void *stages) {
    struct read_stages *s = stages;
    pthread_setname_np(pthread_self(), "tracker");
    open_events(s);
    while (!cli_belt_is_over(s->segments)) {
        const struct segment_block *b = cli_belt_first(s->segments, IDLE_MS);
        if (b == NULL) {
            give_events(s);
            continue;
        }
        track_block(s->pipe->path.tracker, b);
        cli_belt_drop(s->segments);
    }
    give_events(s);
    cli_belt_end(s->events);
    return NULL;
}

/* ---- the main thread ---- */

static void hand_on(const struct read_stages *s, const struct event_block *b) {
    for (size_t at = 0; at < b->used;) {
        const struct event *e = (const struct event *)(const void *)(b->octets + at);
        at += event_octets(e);
        s->sink(s->context, e);
    }
}

static int start(pthread_t *thread, void *(*stage)(void *), struct read_stages *s,
                 struct base_error *error) {
    int fault = pthread_create(thread, NULL, stage, s);
    if (fault != 0)
        return base_error_set(error, "--workers", "cannot start a thread: %s", strerror(fault));
    return 0;
}

int read_stages_run(struct read_stages *s, void (*idle)(void *), void *idle_context,
                    struct base_error *error) {
    pthread_t decoder, tracker;
    if (start(&tracker, track, s, error) != 0)
        return -1;
    capture_on_wait(s->pipe->capture, pass_on, s);
    int result = start(&decoder, decode, s, error);
    if (result != 0)
        cli_belt_end(s->segments);
    while (!cli_belt_is_over(s->events)) {
        const struct event_block *b = cli_belt_first(s->events, IDLE_MS);
        if (b == NULL) {
            idle(idle_context);
            continue;
        }
        hand_on(s, b);
        cli_belt_drop(s->events);
    }
    if (result == 0)
        pthread_join(decoder, NULL);
    pthread_join(tracker, NULL);
    s->event_block = NULL;
    return result;
}
