/*
 * Snapshots for `read` and `probe`: a maker with services for names, and the one that is being
 * written.
 */
#ifndef CLI_SNAPSHOTS_H
#define CLI_SNAPSHOTS_H

#include "cli.h"

struct cli_snapshots {
    struct snapshot_maker *maker;         /* NULL: none are wanted */
    const struct record_context *context; /* borrowed: one for each worker */
    const struct snapshot *pending;       /* not written to its end yet; NULL: none */
    struct record_snapshot_cursor at;     /* so far it is written */
    uint64_t count;                       /* snapshots made */
};

/* -1 with `error` when memory is short; cli_snapshots_fini after either. */
int cli_snapshots_init(struct cli_snapshots *s, const struct record_context *context,
                       size_t workers, const struct cli_config *config, struct base_error *error);

/* An event of a worker. True when it completed a snapshot: `pending` is to be written before the
 * next event is taken. */
bool cli_snapshots_take(struct cli_snapshots *s, size_t worker, const struct event *e);

/* Write what is pending to `lines` (may be NULL) as far as it has room; true when nothing is. */
bool cli_snapshots_write(struct cli_snapshots *s, struct store_jsonl *lines);

/* A gap for snapshots that could not be made since the last call; false when there are none. */
bool cli_snapshots_gap(struct cli_snapshots *s, struct record_gap *gap);

void cli_snapshots_fini(struct cli_snapshots *s);

#endif
