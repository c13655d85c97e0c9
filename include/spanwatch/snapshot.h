/*
 * snapshot: the consistent, grouped picture at each period (design 1.3).
 *
 * Input: the pictures of every worker, member by member, and the transitions between them
 * (event.h). Output: a struct snapshot when all workers have given theirs: members grouped by
 * server, service and state pair, and whether it is a keyframe. Pure: no clock, no text but the
 * service's name, which the caller gives. Owner: one thread. Memory: 72 octets a member and some
 * 200 a group, of the largest snapshot so far; the flow table's cap bounds both.
 */
#ifndef SPANWATCH_SNAPSHOT_H
#define SPANWATCH_SNAPSHOT_H

#include "spanwatch/event.h"

enum { SNAPSHOT_SERVICE_TEXT = 64 /* octets of a service's name, with the NUL */ };

struct snapshot_member {
    struct event_flow flow;
    uint64_t since_ns; /* since when the pair of states holds: the later of both sides' */
    uint32_t next;     /* the snapshot's own */
    uint16_t worker;   /* whose decoder knows flow.scope */
};

struct snapshot_group {
    struct event_flow flow; /* of its first member: the server's address and port */
    char service[SNAPSHOT_SERVICE_TEXT];
    uint8_t state[2];
    uint64_t count;       /* members */
    uint32_t first, last; /* the snapshot's own */
};

struct snapshot {
    uint64_t ts_ns;
    bool keyframe;
    bool lists_members; /* to be listed in the records: design 1.3 */
    uint64_t flows;
    size_t groups;
    const struct snapshot_group *group; /* ordered by server, service, client and server state */
    struct snapshot_pool *pool;         /* the snapshot's own */
};

/* The members of a group, in the order in which they were given; NULL after the last. */
const struct snapshot_member *snapshot_first(const struct snapshot *s,
                                             const struct snapshot_group *g);
const struct snapshot_member *snapshot_next(const struct snapshot *s,
                                            const struct snapshot_member *m);

/* The name of a connection's server, written to `out`; `worker` as in struct snapshot_member. */
typedef void snapshot_service(void *context, size_t worker, const struct event_flow *f,
                              char out[SNAPSHOT_SERVICE_TEXT]);

struct snapshot_config {
    size_t workers; /* that give pictures */
    bool members_always;
    snapshot_service *service;
    void *service_context;
    uint64_t seed[2]; /* secret, of the table of groups; shows in no output */
};

struct snapshot_maker;

/* NULL when memory is short. */
struct snapshot_maker *snapshot_new(const struct snapshot_config *config);
void snapshot_free(struct snapshot_maker *m);

/*
 * One event of a worker; others than transitions and pictures for snapshots are ignored. Returns a
 * snapshot when this event completed one, valid until the next call; else NULL. A snapshot in which
 * nothing has changed since the one before, while no packet came, is left out.
 */
const struct snapshot *snapshot_take(struct snapshot_maker *m, size_t worker,
                                     const struct event *e);

/* Transitions were lost behind the maker's back: the next snapshot is a keyframe, from which
 * readers can go on. */
void snapshot_want_keyframe(struct snapshot_maker *m);

/* Snapshots that could not be made since the last call: torn, overtaken, or memory was short. The
 * time of the last is in `ts_ns`. */
uint64_t snapshot_missed(struct snapshot_maker *m, uint64_t *ts_ns);

#endif
