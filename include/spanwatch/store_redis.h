/*
 * store_redis: the writer of the store (design 1.4).
 *
 * Input: events, gaps, snapshots, alarms, stats, in the order of the contract. Output: streams and
 * hashes of one Redis server, each entry exactly once and in order, whatever happens to the server
 * or to the connection. Nothing here waits (but for what says so): entries stand in memory up to a
 * bound, then (live) in a spool on disk, then some are left out, in a stated order, with gap
 * records. Owner: the thread of the loop that it was started on.
 *
 * Order of calls: _new (may wait: it asks the server), _start (on a loop), the sinks, _finish,
 * running the loop until _is_finished, _close, running the loop until it has no handles, _free.
 */
#ifndef SPANWATCH_STORE_REDIS_H
#define SPANWATCH_STORE_REDIS_H

#include "spanwatch/record.h"
#include "spanwatch/redis.h"
#include "spanwatch/snapshot.h"

struct uv_loop_s;
struct store_redis;

enum store_redis_history { /* a NAME that has streams already */
                           STORE_REDIS_REFUSE,
                           STORE_REDIS_REPLACE, /* delete them first */
                           STORE_REDIS_RESUME,  /* the same entries come again: skip those there */
                           STORE_REDIS_CONTINUE /* a probe goes on after what it wrote before */
};

struct store_redis_options {
    struct redis_url url;
    const char *prefix, *name; /* copied */
    const char *version;       /* of the program; borrowed for ever */
    uint32_t partitions, flush_ms, keep_s, queue_mib, spool_mib;
    uint32_t retention_s, retention_mib; /* 0: not by this */
    const char *state_folder;            /* live: where the token lies; NULL: nothing is kept */
    const char *spool_folder;            /* live: where the spool lies; NULL: no spool. Copied */
    enum store_redis_history history;
    bool live;     /* capture time follows the wall clock */
    bool may_wait; /* _new: an unreachable server is no error, work begins without it */
};

/*
 * Ask the server about the NAME: password, lock, what is there already, and what of its settings
 * is a risk (told on standard error). NULL with `error`: nobody answers (unless may_wait), the
 * password is wrong, a key is of another type, the NAME is in use by a running probe, it has
 * streams and `history` refuses that, the spool cannot be written. Waits for a few seconds at most.
 */
struct store_redis *store_redis_new(const struct store_redis_options *o, struct base_error *error);

/* From here on the loop does the work. -1 with `error` when memory is short. */
int store_redis_start(struct store_redis *s, struct uv_loop_s *loop, struct base_error *error);

/* Sinks. Events of several decoders: the context says whose. */
void store_redis_event(struct store_redis *s, const struct record_context *c,
                       const struct event *e);
void store_redis_gap(struct store_redis *s, const struct record_gap *g);
/* Since when the run before this one has told of nothing; 0: there was none, or it is not known
 * yet. Unless the caller tells of the time since then, the first record makes a gap of it. */
uint64_t store_redis_down_ns(const struct store_redis *s);
/* The newest counters: once a second live. */
void store_redis_stats(struct store_redis *s, const struct record_stats *stats);

/*
 * A snapshot, piece by piece: each call takes the next some thousand members; true when all is
 * taken. A cursor begins zeroed; what is in it is the writer's. `context` has one element for each
 * worker. One for which there is no room is left out, with a gap; one whose room ends on the way is
 * never ended. One at a time.
 */
struct store_redis_cursor {
    uint8_t step;
    bool begun;           /* of the partition */
    uint64_t number;      /* members so far: of the pass, or of the partition */
    size_t group;         /* the next one */
    uint64_t groups;      /* of the partition, so far */
    size_t partition;     /* being written */
    uint64_t part, count; /* of the group at hand: parts so far, members */
    const struct snapshot_member *member;
};
bool store_redis_snapshot(struct store_redis *s, const struct record_context *context,
                          const struct snapshot *snapshot, struct store_redis_cursor *at);
/* The server takes what there is, and more than it needs to be busy stands in memory: a snapshot,
 * which can wait, should. */
bool store_redis_is_crowded(const struct store_redis *s);
unsigned store_redis_partition(const struct store_redis *s, const struct event_flow *f);
/* Entries were left out since it was last asked: only a keyframe lets readers go on. */
bool store_redis_wants_keyframe(struct store_redis *s);

/* The number that the next alarm record bears; to be asked once for each record. */
uint64_t store_redis_alarm_seq(struct store_redis *s);
struct store_redis_alarm {
    uint64_t ts_ns, seq;
    const char *kind, *severity, *status;
    const char *json; /* the whole record, without a newline; has "id" */
    size_t json_octets;
};
void store_redis_alarm(struct store_redis *s, const struct store_redis_alarm *a);

/* How it stands: entries in memory and in the spool that are not acknowledged, entries lost. */
struct store_redis_counters {
    uint64_t queued, spooled, lost, resent, refused;
    uint64_t spool_octets, spool_most; /* how full it is */
    uint64_t oldest_ns;                /* capture time of the oldest that is not stored; 0: none */
    bool reached;                      /* the server is there, and this probe holds the lock */
    bool lost_lock;                    /* another probe writes this NAME: writing has ended */
    bool conflict;                     /* read --resume: the store holds other entries */
};
void store_redis_counters(const struct store_redis *s, struct store_redis_counters *c);

/* For one that may wait (read): is there more in memory than it should hold; run the loop then. */
bool store_redis_is_full(const struct store_redis *s);

/* read --resume: is it known where every stream ends? Until then the sinks must wait. */
bool store_redis_is_ready(const struct store_redis *s);

/* The end: store everything, say the last capture time (`last_ns`), give the lock back. Finished
 * when that is done, or everything that is not stored lies in the spool, or `deadline_ms` (0: none)
 * has passed. */
void store_redis_finish(struct store_redis *s, uint64_t last_ns, uint32_t deadline_ms);
bool store_redis_is_finished(const struct store_redis *s);
/* Entries that were neither stored nor spooled, once it is finished. */
uint64_t store_redis_left(const struct store_redis *s);
void store_redis_close(struct store_redis *s);
void store_redis_free(struct store_redis *s); /* of a closed one, or one never started */

/* Delete all that the store holds of NAME, and its lock; `deleted` says how many keys. For
 * `forget`: refuses a NAME in use by a running probe. May wait. */
int store_redis_forget(const struct redis_url *u, const char *prefix, const char *name,
                       uint64_t *deleted, struct base_error *error);

#endif
