/*
 * A worker: one thread that owns its sockets, its decoder and its flow table, and waits for nobody.
 *
 * Input: packets of its share of the interfaces. Output: notes to the main loop through a bounded
 * ring, and counters through atomics. When the ring is full, events are counted and left out until
 * half of it is free, and a gap note then says what is missing. The last quarter is kept for
 * connections that are established: a flood of SYNs, whose events these are not, costs them
 * nothing. Time follows the packets; while none come it follows the wall clock, a second behind, so
 * that timers run out.
 */
#ifndef CLI_WORKER_H
#define CLI_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "spanwatch/capture_live.h"
#include "spanwatch/ring.h"

#include "hand_over.h"

/* What a worker tells the main loop. */
enum cli_note_kind { CLI_NOTE_EVENT, CLI_NOTE_GAP, CLI_NOTE_CHANGE };

struct cli_note {
    _Alignas(64) enum cli_note_kind kind;
    union {
        struct event event; /* filled as far as event_octets says */
        struct record_gap gap;
        struct capture_live_change change;
    };
};

enum { CLI_STATS_WORDS = sizeof(struct record_stats) / sizeof(uint64_t) };

/* Events that found no room, of one type. */
struct cli_shed {
    uint64_t lost, from_ns, to_ns;
};

struct cli_worker {
    /* set by the starter */
    struct capture_live *capture; /* borrowed */
    struct cli_pipe pipe;
    struct base_ring *ring; /* of struct cli_note */
    void (*wake)(void *);   /* tells the main loop that there are notes; never waits */
    void *wake_context;
    bool goes_on;   /* its flows go on in the next run: at the end nothing is told of open ones */
    bool snapshots; /* pictures for them are wanted; set before cli_worker_init */
    struct cli_hand_over *others; /* the way to other workers, borrowed; NULL when there are none */
    size_t number;                /* among them */
    uint32_t
        timeout_ms; /* of the kernel's ring: so long a packet may still be on its way at the end */
    pthread_t thread;
    bool started;

    /* between the threads */
    _Atomic bool stop;
    _Atomic bool done;         /* the thread touches nothing any more */
    _Atomic uint64_t clock_ns; /* notes to come are not earlier; UINT64_MAX when none will come */
    _Atomic uint64_t beats;    /* rounds of its loop: a sign of life */
    _Atomic(const struct service_table *) services; /* what is to be used, and what is in use */
    _Atomic(const struct service_table *) services_used;
    _Atomic uint64_t stats[CLI_STATS_WORDS]; /* a struct record_stats, word by word */

    /* the thread's own; the main loop's after `done` */
    struct cli_shed shed[2]; /* by enum event_type */
    bool torn;               /* something of the picture that is being given found no room */
    bool shedding;
    size_t told;        /* notes that were put since the last wake */
    uint64_t newest_ns; /* of the last event */
    bool holds;         /* segments, until the other workers have come as far */
    uint64_t unread;    /* packets that were still in the kernel's rings at the end */
    uint64_t hand_lost; /* segments that found no room on their way to another worker */
    uint64_t shed_total, kernel_drops, interface_drops;
    uint64_t looked_ns; /* wall clock: when packets were last asked for */
    uint64_t now_ns;    /* the time of the counters: the tracker's, or the idle clock's */
    uint64_t publish_ns, drops_ns, end_ns; /* monotonic clock: next time; end_ns: 0 while running */
};

/* A pipe and a ring for a capture. -1 with `error`; cli_worker_fini after either. */
int cli_worker_init(struct cli_worker *w, struct capture_live *capture,
                    const struct cli_config *config, const struct service_table *services,
                    struct base_error *error);
int cli_worker_start(struct cli_worker *w, struct base_error *error);

/* The main loop: let it end. It hands on what is still in the kernel's ring and every open
 * connection, then sets `done`; it waits for room in the ring, but no longer than a few seconds
 * altogether. */
void cli_worker_stop(struct cli_worker *w);

/* The counters as last published (about every 100 ms). */
void cli_worker_stats(const struct cli_worker *w, struct record_stats *s);

/* A gap record for what was shed of one type. */
struct record_gap cli_worker_shed_gap(const struct cli_shed *shed, enum event_type type);

void cli_worker_fini(struct cli_worker *w); /* joins the thread */

#endif
