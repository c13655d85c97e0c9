/*
 * The pipeline of `read`: packets of files, decoded, into the flow tracker.
 *
 * Input: files and options. Output: the tracker's events, and counters. Owner: one thread; the
 * struct is the caller's.
 */
#ifndef CLI_READ_H
#define CLI_READ_H

#include "alarms.h"
#include "output.h"
#include "pipe.h"
#include "progress.h"
#include "read_store.h"
#include "snapshots.h"

struct read_pipe {
    struct capture *capture;
    struct cli_pipe path;
    struct cli_progress progress;
};

/* Open the files; -1 with `error` where one cannot be used. read_pipe_close after either. */
int read_pipe_open(struct read_pipe *p, const struct cli_options *o, struct base_error *error);

/* Begin to track, handing events to `sink`. -1 with `error` when memory is short. */
int read_pipe_start(struct read_pipe *p, const struct cli_config *config,
                    const struct service_table *services, event_sink *sink, void *context,
                    struct base_error *error);

/* Decode the next packets into path.segment[] and path.verdict[]: their number, 0 at the end of all
 * files. */
size_t read_pipe_next(struct read_pipe *p);

/* All packets into the tracker. */
void read_pipe_run(struct read_pipe *p);

/* The counters: the pipe's own, the tracker's, and what the files say was dropped. */
void read_pipe_stats(const struct read_pipe *p, struct record_stats *s);

void read_pipe_close(struct read_pipe *p);

/* An event_sink that wants nothing. */
void read_ignore_event(void *context, const struct event *e);

/* All that a run of `read` works with; made by cli_read, borrowed by the rest. */
struct read_job {
    const struct cli_options *options;
    struct cli_config config;
    struct service_table *services;
    struct cmdb *cmdb;
    char name[CLI_NAME_MAX + 1];
    struct record_context context;
    struct cli_output output;
    struct read_pipe pipe;
    struct read_stages *stages;  /* NULL: one thread does it all */
    struct store_jsonl *lines;   /* NULL: none */
    struct store_report *report; /* NULL: none */
    struct read_store *store;    /* NULL: none */
    struct cli_snapshots snapshots;
    struct cli_alarms alarms;
    uint64_t gaps; /* gap records */
    struct record_stats stats;
};

/* `read --at`: rows of one moment instead of records. 0, or -1 with `error`. */
int read_moment(struct read_job *job, struct base_error *error);

/* read_table.c: its rows as a table. 0, or -1 with `error`. */
int read_table(const struct read_job *job, uint64_t at_ns, struct base_error *error);

#endif
