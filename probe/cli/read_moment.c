/*
 * `read --at TIME`: the connections that were open at one moment.
 *
 * Input: the pipeline, and TIME. Output: a row for each connection, by start. Packets are fed up to
 * TIME, then the timers run up to it; what the tracker holds then is the answer. Times at which the
 * capture says nothing (before its first packet, after its last one and --linger) have no rows, and
 * a word on standard error.
 */
#include <string.h>

#include "read.h"

struct cut {
    uint64_t at_ns;
    bool fed; /* a packet belonged to the moment */
};

/* Packets beyond TIME end it where they move the clock; those of a leap that is not believed yet
 * take the current time, so that they belong to the moment. */
static bool is_beyond(struct flow_tracker *t, const struct cut *cut, uint64_t ts_ns) {
    return ts_ns > cut->at_ns && (!cut->fed || flow_foresee(t, ts_ns));
}

static void feed(struct read_pipe *p, struct cut *cut, size_t from, size_t to) {
    if (from == to)
        return;
    flow_batch(p->path.tracker, p->path.segment + from, p->path.verdict + from, to - from);
    cut->fed = true;
}

/* Feed what belongs to the moment; true when packets beyond it exist. */
static bool feed_until(struct read_pipe *p, struct cut *cut) {
    size_t n;
    while ((n = read_pipe_next(p)) > 0) {
        size_t from = 0;
        for (size_t i = 0; i < n; i++) {
            if (p->path.segment[i].ts_ns <= cut->at_ns)
                continue;
            feed(p, cut, from, i); /* what comes before it, since the clock decides */
            from = i;
            if (is_beyond(p->path.tracker, cut, p->path.segment[i].ts_ns))
                return true;
        }
        feed(p, cut, from, n);
    }
    return false;
}

/* The time of the last packet, by a tracker that has seen all: it alone knows which stamps to
 * believe. */
static int find_end(const struct read_job *job, uint64_t *end_ns, struct base_error *error) {
    struct read_pipe pipe;
    int result = read_pipe_open(&pipe, job->options, error);
    if (result == 0)
        result =
            read_pipe_start(&pipe, &job->config, job->services, read_ignore_event, NULL, error);
    if (result == 0) {
        read_pipe_run(&pipe);
        *end_ns = flow_now(pipe.path.tracker);
    }
    read_pipe_close(&pipe);
    return result;
}

/* TIME as a moment. `now` is UINT64_MAX until the end is reached, so that it works on a pipe. */
static int resolve(const struct read_job *job, uint64_t *at_ns, struct base_error *error) {
    const struct cli_at *at = &job->options->at;
    uint64_t end_ns = 0;
    *at_ns = at->kind == CLI_AT_MOMENT ? at->ns : UINT64_MAX;
    if (at->kind == CLI_AT_MOMENT || at->ns == 0)
        return 0;
    if (find_end(job, &end_ns, error) != 0)
        return -1;
    *at_ns = end_ns > at->ns ? end_ns - at->ns : 0;
    return 0;
}

/* Say that nothing is known of the moment, and where the capture begins or ends. */
static bool tell_outside(const char *where, uint64_t ns) {
    char text[BASE_TIME_TEXT];
    base_time_format(ns, text);
    base_warn("--at: %s (%s): there is nothing to show", where, text);
    return false;
}

/* Bring the tracker to the moment. False, and a word, when the capture does not reach it. */
static bool reach(struct read_job *job, uint64_t *at_ns) {
    struct read_pipe *p = &job->pipe;
    struct cut cut = {.at_ns = *at_ns};
    bool goes_on = feed_until(p, &cut);
    uint64_t last_ns = flow_now(p->path.tracker);
    cli_progress_stop(&p->progress);
    if (!cut.fed && goes_on)
        return tell_outside("before the first packet", p->path.first_ns);
    if (!cut.fed) {
        base_warn("--at: the capture has no packets: there is nothing to show");
        return false;
    }
    if (*at_ns == UINT64_MAX)
        *at_ns = last_ns;
    if (!goes_on && *at_ns > last_ns && *at_ns - last_ns > job->options->linger_ns)
        return tell_outside("later than the last packet and --linger", last_ns);
    if (*at_ns > last_ns)
        flow_advance(p->path.tracker, *at_ns);
    return true;
}

static int write_lines(struct read_job *job, struct base_error *error) {
    struct cli_output *out = &job->output;
    struct store_jsonl *lines =
        store_jsonl_new(&job->context, fileno(out->file), out->name, STORE_ALL);
    if (lines == NULL)
        return base_error_set(error, out->name, "out of memory");
    flow_each_open(job->pipe.path.tracker, store_jsonl_row, lines);
    int result = store_jsonl_end(lines, error);
    store_jsonl_free(lines);
    return result;
}

int read_moment(struct read_job *job, struct base_error *error) {
    uint64_t at_ns;
    if (resolve(job, &at_ns, error) != 0 || read_pipe_start(&job->pipe, &job->config, job->services,
                                                            read_ignore_event, NULL, error) != 0)
        return -1;
    if (!reach(job, &at_ns))
        return 0;
    switch (job->options->format) {
    case CLI_JSONL:
        return write_lines(job, error);
    case CLI_REPORT:
        return read_table(job, at_ns, error);
    default:
        return 0;
    }
}
