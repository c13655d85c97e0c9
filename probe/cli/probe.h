/*
 * A run of `probe`: what its main loop works with.
 *
 * Threads: the main thread owns all of it but the inside of workers and opener. The main loop
 * (libuv) never waits for anything but events: notes come through the workers' rings, output goes
 * to a descriptor that is not waited for, and when that takes no more the rings fill and the
 * workers shed.
 */
#ifndef CLI_PROBE_H
#define CLI_PROBE_H

/* libuv's header brings netinet/tcp.h along, whose TCP states are spelled as ours are; neither
 * libuv nor we use anything of it, so it is left out by the guard that both glibc and musl give it.
 */
#define _NETINET_TCP_H 1
#include <uv.h>

#include "spanwatch/daemon.h"
#include "spanwatch/store_redis.h"

#include "alarms.h"
#include "opener.h"
#include "output.h"
#include "snapshots.h"
#include "worker.h"

/* The loop's handles. */
struct probe_loop {
    uv_loop_t loop;
    uv_async_t notes; /* workers have put some */
    uv_timer_t second, flush, limit, watchdog, ending;
    uv_signal_t terminate, interrupt, reload;
    uv_poll_t writable; /* only while output is blocked */
};

/* Packets that were dropped, and are not told yet: when, by the wall clock, which is that of their
 * stamps. */
struct probe_drops {
    uint64_t from_ns, to_ns, lost, looked_ns;
};

/* The CMDB on its way into the store or out of it (probe_cmdb.c). */
struct probe_cmdb {
    uv_work_t request;
    bool busy;         /* the other thread works */
    bool told;         /* that it failed */
    bool reload;       /* SIGHUP came meanwhile */
    uint64_t due_ns;   /* by uv_hrtime(): when to try again; 0: no need */
    struct cmdb *cmdb; /* what goes in or came out */
    int result;
    struct base_error error;
};

/* Baselines on their way into the store (probe_baselines.c). */
struct probe_baselines {
    uv_work_t request;
    struct cli_alarm_saving *saving; /* collected, and not known to be stored; NULL: none */
    uint64_t tried_ns;               /* by uv_hrtime() */
    bool busy, sent;                 /* the other thread works; has done so */
};

struct probe_job {
    const struct cli_options *options;
    struct cli_config config;
    struct service_table *services, *retired; /* retired: workers may still look into it */
    struct cmdb *cmdb; /* of the main thread, which changes it only while cmdb_share is not busy */
    struct probe_cmdb cmdb_share;
    char name[CLI_NAME_MAX + 1];
    struct cli_output output;
    int fd;                     /* of the output, non-blocking where it could block; -1 for none */
    struct capture_share share; /* which worker gets what */
    struct store_jsonl *lines;  /* NULL with --format none */
    struct store_redis *store;  /* NULL with --redis none */
    struct redis_url url;       /* of the store */
    const struct snapshot *storing; /* not all in the store's hands yet; NULL: none */
    struct store_redis_cursor storing_at;
    int guard;     /* of the store's server, which is our own; -1: it is not */
    bool embedded; /* that server was found or started */

    size_t workers;
    struct capture_live *capture[CLI_WORKERS_MOST];
    struct cli_hand_over *hand_over; /* among workers; NULL with a single one */
    struct cli_worker *worker;       /* `workers` of them */
    struct record_context *context;  /* as many: each worker has its own decoder */
    struct cli_snapshots snapshots;
    struct cli_alarms alarms;
    double sink_fill, sink_lag_s; /* of alarm_stats */
    bool recalled;                /* the alarms in force were read after the spool was empty */
    struct probe_baselines baselines;
    struct cli_opener opener;
    struct daemon_notify notify;

    struct probe_loop uv;
    bool blocked;                             /* the output takes no more for now */
    bool pollable;                            /* uv.writable watches the output */
    bool stopping, failed;                    /* failed: exit status 1 */
    uint64_t ts_ns;                           /* of the newest record written */
    uint64_t lost_ns[CAPTURE_MAX_INTERFACES]; /* since when each gives nothing; 0: it does */
    uint64_t gaps;                            /* gap records */
    char checkpoint[REDIS_FOLDER_TEXT + CLI_NAME_MAX + 8]; /* the file's path */
    uint64_t missed_from_ns;  /* the end of the run before; 0: none is known */
    struct record_stats told; /* the last stats record: drops since then make a gap */
    struct probe_drops kernel_drops, interface_drops;
    uint64_t beats[CLI_WORKERS_MOST]; /* when the watchdog last looked */
    uint64_t deadline_ns;             /* of the end, by uv_hrtime() */
};

/* Run until a signal, the duration, or a fault; everything is written then. -1 with `error` when it
 * could not begin. */
int probe_run(struct probe_job *job, struct base_error *error);

/* What probe_run calls, in this order with its loop, the store's start and the warm start between
 * them (probe.c). */
int probe_drop_rights(struct probe_job *job, struct base_error *error);
int probe_start_workers(struct probe_job *job, struct base_error *error);

/* The CMDB (probe_cmdb.c): use another one from now on; share it with the store, in the background;
 * try again if that is due. Nothing is done without a store. */
void probe_cmdb_use(struct probe_job *job, struct cmdb *fresh);
void probe_cmdb_share(struct probe_job *job);
void probe_cmdb_again(struct probe_job *job);

/* The alarms' baselines (probe_baselines.c): into the store in the background, when that is due;
 * the last of them, waiting for a second at most. */
void probe_baselines_save(struct probe_job *job);
void probe_baselines_end(struct probe_job *job);

/* The store (probe_store.c): guarded, when it is our own, before anything else is open; opened
 * while there are rights, started on the loop; nothing is done
 * when there is none. _end runs the loop until all is stored or spooled, for a few seconds at most;
 * _close needs one more run of the loop, _free none. */
int probe_store_guard(struct probe_job *job, struct base_error *error);
int probe_store_open(struct probe_job *job, struct base_error *error);
int probe_store_start(struct probe_job *job, struct base_error *error);
void probe_store_stats(struct probe_job *job, struct record_stats *s);
void probe_store_snapshot(struct probe_job *job); /* begins with the pending one */
/* A piece of it, of a few milliseconds, as long as the store takes it; `hurry`: also when it does
 * not. True when none is left. */
bool probe_store_snapshot_go_on(struct probe_job *job, bool hurry);
void probe_take_alarm(void *job, const struct alarm *m); /* an alarm_sink: store and output */
void probe_store_end(struct probe_job *job);
void probe_store_close(struct probe_job *job);
void probe_store_free(struct probe_job *job);

/*
 * Connections of the run before (probe_warm.c), where there is a store: prepared
 * while there are rights, loaded when the store is started and before the workers are, saved when
 * they have ended. The gap is the time between; false when there was no run before. -1 with `error`
 * when memory is short.
 */
int probe_warm_prepare(struct probe_job *job, struct base_error *error);
int probe_warm_start(struct probe_job *job, struct base_error *error);
bool probe_warm_gap(struct probe_job *job, struct record_gap *gap);
void probe_warm_save(struct probe_job *job);

/* SIGHUP: services, CMDB and rules anew, or, when one of them is faulty, none of them. */
void probe_reload(struct probe_job *job);

/* Begin the end; `failed` makes the exit status 1. */
void probe_stop(struct probe_job *job, bool failed);

/* A gap record to all who take records. */
void probe_tell_gap(struct probe_job *job, const struct record_gap *gap);

/* Hand on what the workers have told, as far as the output takes it. True when all of it was. */
bool probe_drain(struct probe_job *job);

/* A stats record, and a gap record for packets that were dropped, once what came before them has
 * been told. */
void probe_tell_stats(struct probe_job *job);

/* Have all workers ended, with everything told to their rings? */
bool probe_is_done(const struct probe_job *job);

/* What is missing at the end: what the workers could not even say in a gap note (they have ended),
 * and what interfaces would have given that are not back. */
void probe_tell_missing(struct probe_job *job);

#endif
