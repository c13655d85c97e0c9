/*
 * The verb `read`: capture files in, records or a report out.
 *
 * Input: options, already understood. Output: data to --output, errors to standard error, an exit
 * status. What is wrong with the options' files is told before any capture is read, what is wrong
 * with a capture after all that it gave.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "read.h"
#include "read_stages.h"

static void take_alarm(void *read_job, const struct alarm *a) {
    struct read_job *job = read_job;
    struct alarm own = *a;
    if (job->store != NULL)
        read_store_alarm(job->store, &job->context, &own);
    if (job->lines != NULL)
        store_jsonl_alarm(job->lines, &job->context, &own);
    if (job->report != NULL)
        store_report_alarm(job->report, a);
}

/* The tracker's events, to whoever wants them. */
static void take_event(void *read_job, const struct event *e) {
    struct read_job *job = read_job;
    if (job->lines != NULL)
        store_jsonl_event(job->lines, e);
    if (job->report != NULL)
        store_report_event(job->report, e);
    cli_alarms_take(&job->alarms, 0, e);
    if (job->store != NULL)
        read_store_event(job->store, &job->context, e);
    if (!cli_snapshots_take(&job->snapshots, 0, e))
        return;
    if (job->store != NULL)
        read_store_snapshot(job->store, &job->context, job->snapshots.pending);
    while (!cli_snapshots_write(&job->snapshots, job->lines))
        store_jsonl_write(job->lines);
}

static void tell_gap(struct read_job *job, const struct record_gap *gap) {
    job->gaps++;
    if (job->lines != NULL)
        store_jsonl_gap(job->lines, gap);
    if (job->store != NULL)
        read_store_gap(job->store, gap);
}

/* What the files say was lost while they were made: a reader of the records must know. */
static void tell_gaps(struct read_job *job, const struct record_stats *s) {
    struct record_gap gap = {.ts_ns = s->ts_ns,
                             .from_ns = job->pipe.path.first_ns,
                             .to_ns = s->ts_ns,
                             .lost = s->kernel_drops + s->interface_drops,
                             .what = RECORD_GAP_PACKETS,
                             .why = "dropped when the file was made, by its own statistics"};
    if (gap.lost > 0)
        tell_gap(job, &gap);
    if (cli_snapshots_gap(&job->snapshots, &gap))
        tell_gap(job, &gap);
}

/* Does anything come of the records? The end of a capture gives nothing else. */
static bool is_heard(const struct read_job *job) {
    return job->lines != NULL || job->report != NULL || job->store != NULL;
}

/* The store's answers are looked at while there are no records for it. */
static void look_around(void *read_job) {
    struct read_job *job = read_job;
    if (job->store != NULL)
        read_store_look(job->store);
}

/* All packets through the tracker, by this thread or by several. */
static int track(struct read_job *job, struct base_error *error) {
    struct read_pipe *p = &job->pipe;
    if (job->options->workers == 1) {
        if (read_pipe_start(p, &job->config, job->services, take_event, job, error) != 0)
            return -1;
        read_pipe_run(p);
        return 0;
    }
    job->stages = read_stages_new(p, take_event, job);
    if (job->stages == NULL)
        return base_error_set(error, "--workers", "out of memory");
    if (read_pipe_start(p, &job->config, job->services, read_stages_take, job->stages, error) != 0)
        return -1;
    return read_stages_run(job->stages, look_around, job, error);
}

/* All packets, the linger, and the counters of it all. */
static int run(struct read_job *job, struct record_stats *s, struct base_error *error) {
    struct read_pipe *p = &job->pipe;
    struct record_stats at_end;
    bool counted = job->lines != NULL && job->options->records & (STORE_SNAPSHOTS | STORE_STATS);
    if ((counted || job->store != NULL) &&
        cli_snapshots_init(&job->snapshots, &job->context, 1, &job->config, error) != 0)
        return -1;
    p->path.pictures.for_snapshots = job->snapshots.maker != NULL;
    job->alarms.capture = p->capture;
    if (cli_alarms_start(&job->alarms, &job->context, 1, &job->config, take_alarm, job, error) != 0)
        return -1;
    p->path.pictures.for_windows = true;
    p->path.pictures.at_once = true;
    if (track(job, error) != 0)
        return -1;
    cli_progress_stop(&p->progress);
    read_pipe_stats(p, s);
    s->ts_ns = flow_now(p->path.tracker);
    /* Only now: when a file tells of its drops depends on how it is read. */
    alarm_stats(job->alarms.engine, &(struct alarm_stats){.kernel_drops = s->kernel_drops,
                                                          .interface_drops = s->interface_drops});
    tell_gaps(job, s);
    s->gaps = job->gaps;
    if (s->packets == 0 || !is_heard(job))
        return 0;
    flow_finish(p->path.tracker, job->options->linger_ns);
    read_pipe_stats(
        p, &at_end); /* what is open is judged at the last packet; the linger's records count */
    s->transitions = at_end.transitions;
    s->connections = at_end.connections;
    s->snapshots = job->snapshots.count;
    s->alarms = alarm_counters(job->alarms.engine)->messages;
    return 0;
}

static int read_lines(struct read_job *job, struct base_error *error) {
    struct cli_output *out = &job->output;
    job->lines =
        store_jsonl_new(&job->context, fileno(out->file), out->name, job->options->records);
    if (job->lines == NULL)
        return base_error_set(error, out->name, "out of memory");
    int result = run(job, &job->stats, error);
    if (result == 0) {
        store_jsonl_stats(job->lines, &job->stats);
        result = store_jsonl_end(job->lines, error);
    }
    store_jsonl_free(job->lines);
    return result;
}

static bool wants_colour(int fd) {
    const char *none = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fd) == 1 && (none == NULL || *none == '\0') && term != NULL &&
           strcmp(term, "dumb") != 0;
}

static unsigned columns_of(int fd) {
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static int print_report(struct read_job *job, struct store_report *report,
                        const struct record_stats *stats, struct base_error *error) {
    struct base_error fault;
    int fd = fileno(job->output.file);
    struct store_report_input in = {.files = job->options->files,
                                    .file_count = job->options->file_count,
                                    .first_ns = job->pipe.path.first_ns,
                                    .last_ns = stats->ts_ns};
    if (capture_faults(job->pipe.capture, &fault) > 0)
        in.fault = &fault;
    return store_report_print(report, &in, stats, job->output.file, wants_colour(fd),
                              columns_of(fd), error);
}

static int read_report(struct read_job *job, struct base_error *error) {
    job->report = store_report_new(&job->context);
    if (job->report == NULL)
        return base_error_set(error, "report", "out of memory");
    int result = run(job, &job->stats, error);
    if (result == 0)
        result = print_report(job, job->report, &job->stats, error);
    store_report_free(job->report);
    return result;
}

static int read_silently(struct read_job *job, struct base_error *error) {
    return run(job, &job->stats, error);
}

static int run_job(struct read_job *job, struct base_error *error) {
    if (job->options->at.kind != CLI_AT_NONE)
        return read_moment(job, error);
    switch (job->options->format) {
    case CLI_JSONL:
        return read_lines(job, error);
    case CLI_REPORT:
        return read_report(job, error);
    default:
        return read_silently(job, error);
    }
}

/* After the output: what was wrong with the captures. True when something was. */
static bool tell_faults(struct read_job *job) {
    const struct read_pipe *p = &job->pipe;
    struct base_error first;
    cli_pipe_tell_bounds(&p->path);
    cli_alarms_tell_bounds(&job->alarms, true);
    size_t faults = capture_faults(p->capture, &first);
    if (faults > 0)
        base_error_print(&first);
    if (faults > 1)
        base_warn("%zu more faults in the captures", faults - 1);
    size_t unfiltered = p->path.filter != NULL ? cli_filter_faults(p->path.filter, &first) : 0;
    if (unfiltered > 0)
        base_error_print(&first);
    if (unfiltered == 0 && p->path.left_out > 0 && p->path.stats.packets == 0)
        base_warn("--filter: none of %llu packets matches; those with a VLAN tag need \"vlan and "
                  "...\"",
                  (unsigned long long)p->path.left_out);
    if (p->path.verdicts[DECODE_UNKNOWN_LINK] > 0)
        base_warn(
            "%llu packets were not looked into: the first is of link type %u, which is not decoded",
            (unsigned long long)p->path.verdicts[DECODE_UNKNOWN_LINK], p->path.unknown_link);
    return faults > 0 || unfiltered > 0;
}

/* All that options and their files can have wrong; the captures are not touched yet. */
static int prepare(struct read_job *job, struct base_error *error) {
    const struct cli_options *o = job->options;
    bool relative = o->at.kind == CLI_AT_BEFORE_END && o->at.ns > 0;
    struct cli_filter *filter = NULL;
    if ((o->replace || o->resume) && o->redis == NULL)
        return base_error_set(error, o->replace ? "--replace" : "--resume",
                              "is about a store, which --redis URL names");
    if (o->replace && o->resume)
        return base_error_set(error, "--resume", "cannot go with --replace");
    if (o->redis != NULL && o->at.kind != CLI_AT_NONE)
        return base_error_set(error, "--at",
                              "prints one moment and stores nothing: cannot go "
                              "with --redis");
    if (o->file_count == 0)
        return base_error_set(error, "read", "no FILE given; see 'spanwatch help read'");
    for (size_t i = 0; i < o->file_count && relative; i++)
        if (strcmp(o->files[i], "-") == 0)
            return base_error_set(error, "--at",
                                  "a time before the end needs files that can be read twice, "
                                  "not standard input; give the time itself");
    if (o->name != NULL)
        snprintf(job->name, sizeof job->name, "%s", o->name);
    else
        cli_name_from_path(o->files[0], job->name);
    if (cli_load_config(o, &job->config, error) != 0 ||
        cli_alarms_load(&job->alarms, o, error) != 0)
        return -1;
    if (o->filter != NULL && cli_filter_new(&filter, o->filter, error) != 0)
        return -1;
    cli_filter_free(filter);
    job->services = cli_load_services(o, error);
    if (job->services != NULL)
        job->cmdb = cli_load_cmdb(o, error);
    return job->cmdb != NULL ? 0 : -1;
}

/* The writer first: where it refuses, nothing is changed in the store. */
static int open_store(struct read_job *job, struct base_error *error) {
    struct redis_url url;
    job->store = read_store_new(job->options, &job->config, job->name, error);
    if (job->store != NULL)
        capture_on_wait(job->pipe.capture, read_store_wait, job->store);
    if (job->store == NULL || redis_url_parse(&url, job->options->redis, error) != 0)
        return -1;
    return cli_cmdb_share(job->options, &job->config, &url, &job->cmdb, error);
}

/* What the capture has taught, and everything else that is not stored yet. */
static int end_store(struct read_job *job, struct base_error *error) {
    cli_alarms_save(&job->alarms, read_store_url(job->store), job->config.store_prefix, job->name);
    return read_store_end(job->store, &job->stats, error);
}

static enum cli_status work(struct read_job *job) {
    struct base_error error;
    if (read_pipe_open(&job->pipe, job->options, &error) != 0 ||
        cli_output_open(&job->output, job->options, &error) != 0) {
        base_error_print(&error);
        return CLI_FAILED;
    }
    int result = job->options->redis != NULL ? open_store(job, &error) : 0;
    job->context = (struct record_context){.probe = job->name,
                                           .services = job->services,
                                           .cmdb = job->cmdb,
                                           .decoder = job->pipe.path.decoder,
                                           .texts = record_texts_new()};
    if (result == 0)
        result = run_job(job, &error);
    cli_progress_stop(&job->pipe.progress);
    if (result == 0 && job->store != NULL)
        result = end_store(job, &error);
    if (result == 0)
        result = cli_output_close(&job->output, &error);
    if (result != 0)
        base_error_print(&error);
    bool faulty = tell_faults(job);
    return result != 0 || faulty ? CLI_FAILED : CLI_DONE;
}

int cli_read(const struct cli_options *o) {
    struct read_job job = {.options = o};
    struct base_error error;
    enum cli_status status = CLI_USAGE;
    cli_config_init(&job.config);
    if (prepare(&job, &error) == 0)
        status = work(&job);
    else
        base_error_print(&error);
    read_store_free(job.store);
    cli_snapshots_fini(&job.snapshots);
    read_pipe_close(&job.pipe);
    read_stages_free(job.stages);
    cli_alarms_fini(&job.alarms);
    cli_output_close(&job.output, NULL);
    record_texts_free(job.context.texts);
    service_free(job.services);
    cmdb_free(job.cmdb);
    cli_config_free(&job.config);
    return status;
}
