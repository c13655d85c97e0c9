/*
 * A worker's thread (worker.h): poll, batch, decode, track; and twice a blink the counters.
 */
#include "worker.h"

#include <assert.h>
#include <string.h>
#include <time.h>

enum {
    RING_NOTES = 1 << 15,
    WAKE_NOTES = RING_NOTES / 16, /* so many wait for the main loop at most, while packets come */
    TICK_MS = 100,  /* the longest wait for packets: timers, stop and services are looked at then */
    PICTURE_MS = 1, /* the same while a picture is being given */
    OTHERS_MS = 10, /* where other workers wait for this one's word */
    HELD_MS = 3,    /* while this one waits for theirs */
    BEHIND_MS = 1000, /* of the wall clock while no packets come: they may still be on their way */
    FINISH_MS = 2000, /* for open connections at the end */
    REST_MS = 1000,   /* for packets that came before the end: many rings at full speed */
    COUNT_MS = 500,   /* to count those for which that is too short */
    SLACK_MS = 50,
    ROOM_WAIT_US = 500
};

static_assert(sizeof(struct record_stats) % sizeof(uint64_t) == 0, "published word by word");
static_assert((int)EVENT_TRANSITION == 0 && (int)EVENT_CONNECTION == 1, "indexes of shed[]");

static uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * BASE_NS_PER_S + (uint64_t)t.tv_nsec;
}

/* ---- notes ---- */

static bool put(struct cli_worker *w, const struct cli_note *note, size_t spare) {
    w->told++;
    return base_ring_put_sparing(w->ring, note, spare);
}

static void tell_torn(struct cli_worker *w, struct event *e) {
    if (e->type == EVENT_PICTURE_END)
        e->picture.torn = w->torn;
    else
        e->picture.missed += w->torn;
    w->torn = false;
}

/* The same of an event, of which only what is valid is written: the ring is larger than the cache.
 */
static bool put_event(struct cli_worker *w, const struct event *e, size_t spare) {
    struct cli_note *note = base_ring_place(w->ring, spare);
    if (note == NULL)
        return false;
    note->kind = CLI_NOTE_EVENT;
    memcpy(&note->event, e, event_octets(e));
    if (e->type == EVENT_PICTURE || e->type == EVENT_PICTURE_END)
        tell_torn(w, &note->event);
    base_ring_put_placed(w->ring);
    w->told++;
    return true;
}

struct record_gap cli_worker_shed_gap(const struct cli_shed *shed, enum event_type type) {
    return (struct record_gap){.ts_ns = shed->to_ns,
                               .from_ns = shed->from_ns,
                               .to_ns = shed->to_ns,
                               .lost = shed->lost,
                               .what = type == EVENT_TRANSITION ? RECORD_GAP_TRANSITIONS
                                                                : RECORD_GAP_CONNECTIONS,
                               .why = "more events than the output took"};
}

/* So much of the ring must be free before events are put again: gap notes stay few. */
static size_t enough_room(const struct cli_worker *w) {
    return base_ring_room(w->ring) / 2;
}

/* What is kept for connections that are established. */
static size_t reserve(const struct cli_worker *w) {
    return base_ring_room(w->ring) / 4;
}

static bool is_opening(uint8_t state) {
    return state == TCP_SYN_SENT || state == TCP_SYN_RECEIVED;
}

/* A step of a connection that is half open, or the end of one: whoever forges addresses makes as
 * many as he likes. */
static bool is_half_open(const struct event *e) {
    if (e->type == EVENT_CONNECTION) {
        const struct event_connection *c = &e->connection;
        return (c->end == EVENT_END_EVICTED || c->end == EVENT_END_TIMEOUT) &&
               c->side[EVENT_CLIENT].bytes + c->side[EVENT_SERVER].bytes == 0;
    }
    for (int side = EVENT_CLIENT; e->type == EVENT_TRANSITION && side <= EVENT_SERVER; side++)
        if (is_opening(e->transition.state[side]) ||
            (is_opening(e->transition.was[side]) && e->transition.state[side] == TCP_CLOSED))
            return true;
    return false;
}

/* What leaves the reserve alone: also samples, and members of a picture, which is made anew. */
static bool gives_way(const struct event *e) {
    return e->type == EVENT_SIGNAL || e->type == EVENT_MEMBER || is_half_open(e);
}

/* Enough room again? Then say what is missing. Later events of other connections may have been put
 * meanwhile, so that the gap bears the time of the last one. */
static bool resume(struct cli_worker *w) {
    if (base_ring_free_items(w->ring) < enough_room(w))
        return false;
    for (int type = EVENT_TRANSITION; type <= EVENT_CONNECTION; type++) {
        struct cli_note note = {.kind = CLI_NOTE_GAP,
                                .gap = cli_worker_shed_gap(&w->shed[type], (enum event_type)type)};
        note.gap.ts_ns = w->newest_ns;
        if (note.gap.lost > 0)
            put(w, &note, 0);
        w->shed[type] = (struct cli_shed){0};
    }
    w->shedding = false;
    return true;
}

static void shed(struct cli_worker *w, const struct event *e) {
    if (e->type == EVENT_SIGNAL)
        return; /* a sample is enough, and a window that misses some is none the wiser */
    if (e->type != EVENT_TRANSITION && e->type != EVENT_CONNECTION) {
        w->torn = true; /* the end of the picture, or the begin of the next, tells */
        return;
    }
    struct cli_shed *s = &w->shed[e->type];
    if (s->lost++ == 0)
        s->from_ns = e->ts_ns;
    s->to_ns = e->ts_ns;
    w->shed_total++;
    w->shedding = true;
}

/* At the end nothing is captured any more, so that there is time to wait for the main loop. */
static void wait_for_room(struct cli_worker *w, size_t items) {
    const struct timespec pause = {.tv_nsec = ROOM_WAIT_US * 1000};
    while (base_ring_free_items(w->ring) < items) {
        if (clock_ns(CLOCK_MONOTONIC) >= w->end_ns)
            return;
        w->wake(w->wake_context);
        nanosleep(&pause, NULL);
    }
}

/* The tracker's event_sink. */
static void take_event(void *worker, const struct event *e) {
    struct cli_worker *w = worker;
    size_t spare = gives_way(e) ? reserve(w) : 0;
    if (w->end_ns != 0)
        wait_for_room(w, w->shedding ? enough_room(w) : spare + 1);
    bool left_out = w->shedding && !resume(w) && spare > 0;
    if (e->type != EVENT_MEMBER && e->ts_ns > w->newest_ns)
        w->newest_ns = e->ts_ns;
    if (left_out || !put_event(w, e, spare))
        shed(w, e);
}

static void tell_changes(struct cli_worker *w) {
    struct cli_note note = {.kind = CLI_NOTE_CHANGE};
    while (base_ring_free_items(w->ring) > 0 && capture_live_change(w->capture, &note.change))
        put(w, &note, 0);
}

/* ---- counters ---- */

static void publish(struct cli_worker *w) {
    struct record_stats s;
    uint64_t word[CLI_STATS_WORDS];
    cli_pipe_stats(&w->pipe, &s);
    if (flow_now(w->pipe.tracker) > w->now_ns)
        w->now_ns = flow_now(w->pipe.tracker);
    s.ts_ns = w->now_ns;
    s.kernel_drops = w->kernel_drops + w->hand_lost + w->unread;
    s.interface_drops = w->interface_drops;
    s.store_lost = w->shed_total;
    memcpy(word, &s, sizeof word);
    for (size_t i = 0; i < CLI_STATS_WORDS; i++)
        atomic_store_explicit(&w->stats[i], word[i], memory_order_relaxed);
}

void cli_worker_stats(const struct cli_worker *w, struct record_stats *s) {
    uint64_t word[CLI_STATS_WORDS];
    for (size_t i = 0; i < CLI_STATS_WORDS; i++)
        word[i] = atomic_load_explicit(&w->stats[i], memory_order_relaxed);
    memcpy(s, word, sizeof word);
}

/* ---- the loop ---- */

/* No packets: the clock goes on without them, as far as was looked; this thread may have stood
 * still since, and packets have come. The tracker's begins with the first packet, unless other
 * workers wait for its pictures. */
static void advance(struct cli_worker *w) {
    uint64_t idle_ns = w->looked_ns - BEHIND_MS * BASE_NS_PER_MS;
    if (flow_now(w->pipe.tracker) != 0 || w->others != NULL)
        flow_advance(w->pipe.tracker, idle_ns);
    if (idle_ns > w->now_ns)
        w->now_ns = idle_ns;
}

/* What is due ten times a second, and once. */
static void look_around(struct cli_worker *w, bool idle) {
    uint64_t clock = clock_ns(CLOCK_MONOTONIC);
    if (idle)
        advance(w);
    if (clock >= w->drops_ns) {
        capture_live_drops(w->capture, &w->kernel_drops, &w->interface_drops);
        w->drops_ns = clock + BASE_NS_PER_S;
    }
    if (clock >= w->publish_ns) {
        if (w->shedding)
            resume(w);
        publish(w);
        w->publish_ns = clock + TICK_MS * BASE_NS_PER_MS;
    }
}

/* One of several workers: what it decodes may be another's, and what it tracks come from one. */
static void share(struct cli_worker *w, const struct packet *batch, size_t n) {
    cli_hand_over_make_room(w->others, w->number, &w->pipe);
    size_t taken = cli_pipe_decode(&w->pipe, batch, n);
    w->hand_lost +=
        cli_hand_over_give(w->others, w->number, &w->pipe, taken, capture_live_until(w->capture));
    w->holds = cli_hand_over_take(w->others, w->number, &w->pipe, clock_ns(CLOCK_REALTIME));
}

static size_t take_batch(struct cli_worker *w, int timeout_ms) {
    struct packet batch[CAPTURE_BATCH];
    w->looked_ns = clock_ns(CLOCK_REALTIME);
    size_t n = capture_live_read(w->capture, batch, timeout_ms);
    if (w->others != NULL)
        share(w, batch, n);
    else if (n > 0)
        cli_pipe_take(&w->pipe, batch, n);
    tell_changes(w);
    return n;
}

/* After the notes of a round: what the main loop sees of it first is the clock, then all of them.
 */
static void publish_clock(struct cli_worker *w) {
    atomic_store_explicit(&w->clock_ns, flow_now(w->pipe.tracker), memory_order_release);
}

/* The main loop may have to share this thread's core: while more packets are at hand, it is woken
 * for many notes at a time. */
static void wake(struct cli_worker *w, bool busy) {
    if (w->told == 0 || (busy && w->told < WAKE_NOTES))
        return;
    w->wake(w->wake_context);
    w->told = 0;
}

/* A picture leaves half of the ring to what happens meanwhile. True while there is more of it. */
static bool picture(struct cli_worker *w) {
    size_t half = base_ring_room(w->ring) / 2, free_items = base_ring_free_items(w->ring);
    return flow_picture_go_on(w->pipe.tracker, free_items > half ? free_items - half : 0);
}

static void adopt_services(struct cli_worker *w) {
    w->pipe.services = atomic_load_explicit(&w->services, memory_order_acquire);
    atomic_store_explicit(&w->services_used, w->pipe.services, memory_order_release);
}

/* What others still hand over, until they have seen all of theirs. */
static void take_last(struct cli_worker *w) {
    const struct timespec pause = {.tv_nsec = ROOM_WAIT_US * 1000};
    if (w->others == NULL)
        return;
    cli_hand_over_rest(w->others, w->number);
    while (!cli_hand_over_all_rest(w->others) && clock_ns(CLOCK_MONOTONIC) < w->end_ns) {
        cli_hand_over_take(w->others, w->number, &w->pipe, clock_ns(CLOCK_REALTIME));
        nanosleep(&pause, NULL);
    }
    cli_hand_over_take(w->others, w->number, &w->pipe, UINT64_MAX);
}

/* How long to wait for packets: not before the main loop knows of all notes. Others wait for the
 * word that there are none. */
static int patience_ms(const struct cli_worker *w, bool picturing) {
    if (w->told > 0)
        return 0;
    if (picturing)
        return PICTURE_MS;
    if (w->others == NULL)
        return TICK_MS;
    return w->holds ? HELD_MS : OTHERS_MS;
}

/* What there is no time for any more is counted at least: as what did not fit into a ring. */
static void count_rest(struct cli_worker *w, uint64_t stop_ns) {
    uint64_t until = clock_ns(CLOCK_MONOTONIC) + COUNT_MS * BASE_NS_PER_MS;
    struct packet batch[CAPTURE_BATCH];
    for (size_t n; (n = capture_live_read(w->capture, batch, 0)) > 0 && batch[0].ts_ns < stop_ns;) {
        w->unread += n;
        if (clock_ns(CLOCK_MONOTONIC) >= until)
            return;
    }
}

/* What had arrived before the end is in the kernel's rings. A block comes when its timer has run
 * out, and waits for those of silent interfaces: only a read after that finds nothing for good. */
static void take_rest(struct cli_worker *w) {
    uint64_t stop_ns = clock_ns(CLOCK_REALTIME), clock = clock_ns(CLOCK_MONOTONIC);
    uint64_t settled = clock + (w->timeout_ms + SLACK_MS) * BASE_NS_PER_MS;
    uint64_t until = settled + REST_MS * BASE_NS_PER_MS;
    bool more = true;
    for (; more && clock < until; clock = clock_ns(CLOCK_MONOTONIC)) {
        more = take_batch(w, SLACK_MS) > 0 ? flow_now(w->pipe.tracker) < stop_ns : clock < settled;
        wake(w, false);
    }
    if (more)
        count_rest(w, stop_ns);
    if (w->now_ns == 0)
        advance(w); /* neither a packet nor a quiet moment so far: the counters need a time */
    w->end_ns = clock + FINISH_MS * BASE_NS_PER_MS;
    take_last(w);
}

/* Flows of the run before: what has run out meanwhile is told before the first packet, and none of
 * it is shed. */
static void catch_up(struct cli_worker *w) {
    if (flow_now(w->pipe.tracker) == 0)
        return;
    w->end_ns = clock_ns(CLOCK_MONOTONIC) + FINISH_MS * BASE_NS_PER_MS;
    flow_resume(w->pipe.tracker, clock_ns(CLOCK_REALTIME) - BEHIND_MS * BASE_NS_PER_MS);
    w->end_ns = 0;
}

static void *work(void *worker) {
    struct cli_worker *w = worker;
    bool picturing = false;
    pthread_setname_np(pthread_self(), "worker");
    catch_up(w);
    while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
        adopt_services(w);
        size_t n = take_batch(w, patience_ms(w, picturing));
        look_around(w, n == 0);
        picturing = picture(w);
        publish_clock(w);
        wake(w, n == CAPTURE_BATCH);
        atomic_fetch_add_explicit(&w->beats, 1, memory_order_relaxed);
    }
    take_rest(w);
    if (flow_now(w->pipe.tracker) != 0 && !w->goes_on)
        flow_finish(w->pipe.tracker, 0);
    capture_live_drops(w->capture, &w->kernel_drops, &w->interface_drops);
    publish(w);
    atomic_store_explicit(&w->clock_ns, UINT64_MAX, memory_order_release);
    atomic_store_explicit(&w->done, true, memory_order_release);
    w->wake(w->wake_context);
    return NULL;
}

/* ---- for the main loop ---- */

int cli_worker_init(struct cli_worker *w, struct capture_live *capture,
                    const struct cli_config *config, const struct service_table *services,
                    struct base_error *error) {
    w->capture = capture;
    w->timeout_ms = config->timeout_ms;
    atomic_store(&w->services, services);
    atomic_store(&w->services_used, services);
    w->ring = base_ring_new(RING_NOTES, sizeof(struct cli_note));
    if (w->ring == NULL)
        return base_error_set(error, "worker", "out of memory");
    if (cli_pipe_init(&w->pipe, NULL, error) != 0) /* the kernel filters */
        return -1;
    w->pipe.pictures.for_snapshots = w->snapshots;
    w->pipe.pictures.for_windows = true;
    return cli_pipe_start(&w->pipe, config, services, take_event, w, error);
}

int cli_worker_start(struct cli_worker *w, struct base_error *error) {
    int fault = pthread_create(&w->thread, NULL, work, w);
    if (fault != 0)
        return base_error_set(error, "worker", "cannot start a thread: %s", strerror(fault));
    w->started = true;
    return 0;
}

void cli_worker_stop(struct cli_worker *w) {
    atomic_store_explicit(&w->stop, true, memory_order_relaxed);
}

void cli_worker_fini(struct cli_worker *w) {
    if (w->started)
        pthread_join(w->thread, NULL);
    w->started = false;
    cli_pipe_tell_bounds(&w->pipe);
    cli_pipe_fini(&w->pipe);
    base_ring_free(w->ring);
    w->ring = NULL;
}
