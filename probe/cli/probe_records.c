/*
 * The main loop's records: notes of the workers, stats, gaps.
 *
 * Input: the workers' rings and counters. Output: JSON Lines, as far as the descriptor takes them
 * without waiting. Notes of several workers are written in the order of their times: one waits
 * until every other worker's clock has come as far, which for an idle one is a second behind the
 * wall's.
 */
#include "probe.h"

#include <time.h>

/* Before the loop looks at timers, signals and the store's answers. */
enum { ROUND = 8192 /* notes */, LOOK = 256 /* notes from one look at the clock to the next */ };
#define TURN_NS (4 * BASE_NS_PER_MS)

/* May a record be written now? When not, nothing is taken out of the rings, until the output is
 * writable. */
static bool has_room(struct probe_job *job) {
    if (job->lines == NULL)
        return true;
    if (store_jsonl_is_full(job->lines))
        store_jsonl_flush(job->lines);
    job->blocked = store_jsonl_is_full(job->lines);
    return !job->blocked;
}

void probe_tell_gap(struct probe_job *job, const struct record_gap *gap) {
    job->gaps++;
    if (gap->ts_ns > job->ts_ns)
        job->ts_ns = gap->ts_ns;
    if (job->lines != NULL)
        store_jsonl_gap(job->lines, gap);
    if (job->store != NULL)
        store_redis_gap(job->store, gap);
}

/* ---- notes ---- */

static void write_outage(struct probe_job *job, uint64_t from_ns, uint64_t to_ns) {
    probe_tell_gap(job, &(struct record_gap){.ts_ns = to_ns,
                                             .from_ns = from_ns,
                                             .to_ns = to_ns,
                                             .what = RECORD_GAP_PACKETS,
                                             .why = "the interface was down or gone"});
}

/* An interface went, or came back. Every worker sees it; one tells. */
static void tell_change(struct probe_job *job, const struct capture_live_change *c) {
    job->lost_ns[c->number] = c->state == CAPTURE_LIVE_UP ? 0 : c->from_ns;
    switch (c->state) {
    case CAPTURE_LIVE_DOWN:
        base_warn("%s: the interface is down; waiting for it", c->interface);
        return;
    case CAPTURE_LIVE_GONE:
        if (job->options->no_reopen)
            base_warn("%s: the interface is gone; ending, since --no-reopen was given",
                      c->interface);
        else
            base_warn("%s: the interface is gone; waiting for it to come back", c->interface);
        if (job->options->no_reopen)
            probe_stop(job, true);
        return;
    case CAPTURE_LIVE_UP:
        base_warn("%s: capturing again after %.3f s", c->interface,
                  (double)(c->to_ns - c->from_ns) / (double)BASE_NS_PER_S);
        write_outage(job, c->from_ns, c->to_ns);
    }
}

static uint64_t time_of(const struct cli_note *n) {
    switch (n->kind) {
    case CLI_NOTE_EVENT:
        return n->event.type == EVENT_MEMBER || n->event.type == EVENT_PICTURE_END
                   ? 0 /* part of a picture that began in order */
                   : n->event.ts_ns;
    case CLI_NOTE_GAP:
        return n->gap.ts_ns;
    default:
        return 0; /* not a record: at once */
    }
}

static void tell_note(struct probe_job *job, size_t worker, const struct cli_note *n) {
    switch (n->kind) {
    case CLI_NOTE_EVENT:
        if (n->event.ts_ns > job->ts_ns)
            job->ts_ns = n->event.ts_ns;
        cli_alarms_take(&job->alarms, worker, &n->event);
        if (job->lines != NULL) {
            store_jsonl_use(job->lines, &job->context[worker]);
            store_jsonl_event(job->lines, &n->event);
        }
        if (job->store != NULL)
            store_redis_event(job->store, &job->context[worker], &n->event);
        if (cli_snapshots_take(&job->snapshots, worker, &n->event) && job->store != NULL)
            probe_store_snapshot(job);
        return;
    case CLI_NOTE_GAP:
        probe_tell_gap(job, &n->gap);
        return;
    case CLI_NOTE_CHANGE:
        if (worker == 0)
            tell_change(job, &n->change);
    }
}

/* The worker whose oldest note is the earliest of all that have come or may still come; `workers`
 * when there is none yet. A worker's clock is read before its ring: notes that are put between are
 * not earlier. */
static size_t earliest(struct probe_job *job, const struct cli_note **note) {
    size_t first = job->workers;
    uint64_t sure_ns = UINT64_MAX; /* the earliest time that a worker without notes may bring */
    *note = NULL;
    for (size_t i = 0; i < job->workers; i++) {
        struct cli_worker *w = &job->worker[i];
        uint64_t clock_ns = atomic_load_explicit(&w->clock_ns, memory_order_acquire);
        const struct cli_note *n = base_ring_first(w->ring);
        if (n == NULL && clock_ns < sure_ns)
            sure_ns = clock_ns;
        if (n == NULL || (*note != NULL && time_of(n) >= time_of(*note)))
            continue;
        first = i;
        *note = n;
    }
    if (*note != NULL && job->workers > 1 && time_of(*note) > sure_ns)
        *note = NULL;
    return first;
}

/* A snapshot takes its turn in pieces, before any later note. */
static bool write_snapshot(struct probe_job *job) {
    uint64_t until_ns = job->snapshots.pending != NULL ? uv_hrtime() + TURN_NS : 0;
    while (!cli_snapshots_write(&job->snapshots, job->lines))
        if (!has_room(job) || uv_hrtime() > until_ns)
            return false;
    return true;
}

/* The next picture takes the place of the snapshot before it: that one must be in the store's
 * hands. */
static bool is_overtaken(struct probe_job *job, const struct cli_note *n) {
    bool begins = n->kind == CLI_NOTE_EVENT && n->event.type == EVENT_PICTURE &&
                  n->event.picture.purpose & EVENT_FOR_SNAPSHOT;
    return begins && !probe_store_snapshot_go_on(job, true);
}

/* Those of a window that has ended, before any later note. */
static bool write_alarms(struct probe_job *job) {
    const struct cli_alarm_text *t;
    while ((t = cli_alarms_first(&job->alarms)) != NULL) {
        if (!has_room(job))
            return false;
        if (job->lines != NULL)
            store_jsonl_text(job->lines, STORE_ALARMS, t->json, t->octets);
        cli_alarms_drop(&job->alarms);
    }
    return true;
}

bool probe_drain(struct probe_job *job) {
    const struct cli_note *note;
    uint64_t until_ns = uv_hrtime() + TURN_NS;
    for (unsigned n = 0; n < ROUND && (n % LOOK != 0 || uv_hrtime() < until_ns); n++) {
        size_t worker = earliest(job, &note);
        if (!has_room(job) || !write_alarms(job) || !write_snapshot(job))
            return false;
        if (note == NULL)
            return true;
        if (is_overtaken(job, note))
            return false;
        tell_note(job, worker, note);
        base_ring_drop(job->worker[worker].ring);
    }
    return false;
}

static void tell_shed(struct probe_job *job, const struct cli_worker *w) {
    for (int type = EVENT_TRANSITION; type <= EVENT_CONNECTION; type++) {
        struct record_gap gap = cli_worker_shed_gap(&w->shed[type], (enum event_type)type);
        if (gap.lost > 0 && has_room(job))
            probe_tell_gap(job, &gap);
    }
}

void probe_tell_missing(struct probe_job *job) {
    struct record_stats end;
    for (size_t i = 0; i < job->workers; i++)
        tell_shed(job, &job->worker[i]);
    cli_worker_stats(&job->worker[0], &end);
    for (size_t i = 0; i < job->options->interface_count; i++)
        if (job->lost_ns[i] != 0 && has_room(job))
            write_outage(job, job->lost_ns[i],
                         end.ts_ns > job->lost_ns[i] ? end.ts_ns : job->lost_ns[i]);
}

/* ---- stats ---- */

/* All counters are numbers of 64 bits behind the time, so that they add up word by word. */
static void add_stats(struct record_stats *sum, const struct record_stats *s) {
    uint64_t *to = &sum->packets;
    const uint64_t *from = &s->packets;
    for (size_t i = 0; i < CLI_STATS_WORDS - 1; i++)
        to[i] += from[i];
    if (s->ts_ns > sum->ts_ns)
        sum->ts_ns = s->ts_ns;
}

static uint64_t wall_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * BASE_NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Drops happen at the far end of the kernel's ring, while records tell of its near end: a gap waits
 * until the records have come as far, or end. */
static void tell_drops(struct probe_job *job, struct probe_drops *d, const struct record_stats *s,
                       uint64_t lost, const char *why) {
    enum { LOOK_MS = 1100 /* so late may the workers' counts be: they look once a second */ };
    uint64_t now_ns = wall_ns();
    if (d->looked_ns == 0)
        d->looked_ns = now_ns;
    if (lost > 0 && d->lost == 0)
        d->from_ns = d->looked_ns - LOOK_MS * BASE_NS_PER_MS;
    if (lost > 0)
        d->to_ns = now_ns;
    d->looked_ns = now_ns;
    d->lost += lost;
    if (d->lost == 0 || (s->ts_ns < d->to_ns && !probe_is_done(job)))
        return;
    probe_tell_gap(job, &(struct record_gap){.ts_ns = s->ts_ns > d->to_ns ? s->ts_ns : d->to_ns,
                                             .from_ns = d->from_ns,
                                             .to_ns = d->to_ns,
                                             .lost = d->lost,
                                             .what = RECORD_GAP_PACKETS,
                                             .why = why});
    d->lost = 0;
}

static void tell_missed_snapshots(struct probe_job *job) {
    struct record_gap gap;
    if (cli_snapshots_gap(&job->snapshots, &gap))
        probe_tell_gap(job, &gap);
}

static void tell_missed_alarms(struct probe_job *job, const struct record_stats *s) {
    if (job->alarms.left_out == 0)
        return;
    probe_tell_gap(job, &(struct record_gap){.ts_ns = s->ts_ns,
                                             .from_ns = job->told.ts_ns,
                                             .to_ns = s->ts_ns,
                                             .lost = job->alarms.left_out,
                                             .what = RECORD_GAP_ALARMS,
                                             .why = "the output stood still, and too many waited"});
    job->alarms.left_out = 0;
}

void probe_tell_stats(struct probe_job *job) {
    struct record_stats sum = {.ts_ns = job->ts_ns};
    if (!has_room(job))
        return; /* counters go on: the next record has it all, and so has its gap */
    for (size_t i = 0; i < job->workers; i++) {
        struct record_stats s;
        cli_worker_stats(&job->worker[i], &s);
        add_stats(&sum, &s);
    }
    if (sum.ts_ns == 0)
        return; /* no worker has looked around yet: there is no time */
    if (job->told.ts_ns == 0)
        job->told.ts_ns = sum.ts_ns;
    tell_drops(job, &job->kernel_drops, &sum, sum.kernel_drops - job->told.kernel_drops,
               "a ring of packets was full");
    tell_drops(job, &job->interface_drops, &sum, sum.interface_drops - job->told.interface_drops,
               "dropped by the interface");
    if (sum.ts_ns < job->ts_ns) /* of a gap at the end */
        sum.ts_ns = job->ts_ns;
    tell_missed_snapshots(job);
    tell_missed_alarms(job, &sum);
    sum.gaps = job->gaps;
    sum.snapshots = job->snapshots.count;
    sum.alarms = alarm_counters(job->alarms.engine)->messages;
    alarm_stats(job->alarms.engine, &(struct alarm_stats){.kernel_drops = sum.kernel_drops,
                                                          .interface_drops = sum.interface_drops,
                                                          .sink_fill = job->sink_fill,
                                                          .sink_lag_s = job->sink_lag_s});
    cli_alarms_tell_bounds(&job->alarms, false);
    probe_store_stats(job, &sum);
    if (job->lines != NULL)
        store_jsonl_stats(job->lines, &sum);
    job->ts_ns = sum.ts_ns;
    job->told = sum;
}
