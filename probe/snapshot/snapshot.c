/*
 * snapshot: see spanwatch/snapshot.h.
 *
 *   picture of worker 0 --+
 *   picture of worker 1 --+--> members, by group --> all ended: keyframe or not --> struct snapshot
 *
 * A picture that is torn, that another overtakes or that finds no memory makes no snapshot: half a
 * picture would be taken for the whole.
 */
#include "spanwatch/snapshot.h"

#include <stdlib.h>

#include "groups.h"
#include "members.h"

#define KEYFRAME_NS (600 * BASE_NS_PER_S) /* at least so often (design 1.3) */
enum { MEMBERS_AUTO = 10000 }; /* with fewer connections every snapshot lists them (design 1.3) */

struct snapshot_maker {
    struct snapshot_config config;
    struct snapshot_pool pool;
    struct snapshot_groups groups;
    struct snapshot result;
    uint64_t ts_ns; /* of the one that is being made */
    size_t begun, ended;
    bool making, quiet, torn;
    bool known;                              /* how things stand is what the last snapshot says */
    uint64_t transitions, transitions_begun; /* so far; when this one was begun */
    uint64_t keyframe_ns, keyframe_transitions;
    bool keyframed; /* there was one */
    uint64_t missed, missed_ns;
};

struct snapshot_maker *snapshot_new(const struct snapshot_config *config) {
    struct snapshot_maker *m = calloc(1, sizeof *m);
    if (m == NULL)
        return NULL;
    m->config = *config;
    m->groups.seed[0] = config->seed[0];
    m->groups.seed[1] = config->seed[1];
    return m;
}

void snapshot_free(struct snapshot_maker *m) {
    if (m == NULL)
        return;
    snapshot_pool_free(&m->pool);
    snapshot_groups_free(&m->groups);
    free(m);
}

static void miss(struct snapshot_maker *m, uint64_t n) {
    m->missed += n;
    m->missed_ns = m->ts_ns;
    m->known = false;
}

static void start(struct snapshot_maker *m, uint64_t ts_ns) {
    if (m->making)
        miss(m, 1);
    m->ts_ns = ts_ns;
    m->begun = m->ended = 0;
    m->making = m->quiet = true;
    m->torn = false;
    m->transitions_begun = m->transitions;
    m->pool.used = 0;
    snapshot_groups_clear(&m->groups);
}

static void take_begin(struct snapshot_maker *m, const struct event *e) {
    if (m->ts_ns < e->ts_ns)
        start(m, e->ts_ns);
    if (m->ts_ns != e->ts_ns || !m->making)
        return; /* of a worker that is late: the others went on without it */
    m->begun++;
    m->quiet = m->quiet && e->picture.quiet;
    if (e->picture.missed > 0)
        miss(m, e->picture.missed);
}

/* Nothing has changed for any worker, and the last snapshot still holds. */
static bool is_equal(const struct snapshot_maker *m) {
    return m->quiet && m->known && m->begun == m->config.workers;
}

static void append(struct snapshot_maker *m, struct snapshot_group *g, uint32_t number) {
    if (g->count++ == 0)
        g->first = number;
    else
        snapshot_pool_at(&m->pool, g->last)->next = number;
    g->last = number;
}

static void take_member(struct snapshot_maker *m, size_t worker, const struct event *e) {
    struct snapshot_namer namer = {m->config.service, m->config.service_context, worker};
    if (!m->making || m->torn || e->ts_ns != m->ts_ns || is_equal(m))
        return;
    struct snapshot_group *g = snapshot_groups_find(&m->groups, e, &namer);
    uint32_t number = g == NULL ? SNAPSHOT_NONE : snapshot_pool_take(&m->pool);
    if (number == SNAPSHOT_NONE) {
        m->torn = true;
        return;
    }
    const uint64_t *since = e->member.since_ns;
    *snapshot_pool_at(&m->pool, number) =
        (struct snapshot_member){.flow = e->flow,
                                 .since_ns = since[0] > since[1] ? since[0] : since[1],
                                 .next = SNAPSHOT_NONE,
                                 .worker = (uint16_t)worker};
    append(m, g, number);
}

/* A reader replays from a keyframe: never more transitions than it has members. */
static bool is_keyframe(const struct snapshot_maker *m) {
    return !m->keyframed || m->transitions_begun - m->keyframe_transitions > m->pool.used ||
           m->ts_ns - m->keyframe_ns >= KEYFRAME_NS;
}

static const struct snapshot *finish(struct snapshot_maker *m) {
    m->making = false;
    if (m->torn) {
        miss(m, 1);
        return NULL;
    }
    if (is_equal(m))
        return NULL;
    m->known = true;
    bool keyframe = is_keyframe(m);
    if (keyframe) {
        m->keyframed = true;
        m->keyframe_ns = m->ts_ns;
        m->keyframe_transitions = m->transitions_begun;
    }
    snapshot_groups_sort(&m->groups);
    m->result = (struct snapshot){.ts_ns = m->ts_ns,
                                  .keyframe = keyframe,
                                  .lists_members = keyframe || m->config.members_always ||
                                                   m->pool.used < MEMBERS_AUTO,
                                  .flows = m->pool.used,
                                  .groups = m->groups.count,
                                  .group = m->groups.group,
                                  .pool = &m->pool};
    return &m->result;
}

static const struct snapshot *take_end(struct snapshot_maker *m, const struct event *e) {
    if (!(e->picture.purpose & EVENT_FOR_SNAPSHOT))
        return NULL;
    if (e->ts_ns > m->ts_ns) { /* its begin found no room */
        m->ts_ns = e->ts_ns;
        m->making = false;
        miss(m, 1);
    }
    if (!m->making || m->ts_ns != e->ts_ns)
        return NULL;
    m->torn = m->torn || e->picture.torn;
    return ++m->ended == m->config.workers ? finish(m) : NULL;
}

const struct snapshot *snapshot_take(struct snapshot_maker *m, size_t worker,
                                     const struct event *e) {
    switch (e->type) {
    case EVENT_TRANSITION:
        m->transitions++;
        return NULL;
    case EVENT_PICTURE:
        if (e->picture.purpose & EVENT_FOR_SNAPSHOT)
            take_begin(m, e);
        return NULL;
    case EVENT_MEMBER:
        take_member(m, worker, e);
        return NULL;
    case EVENT_PICTURE_END:
        return take_end(m, e);
    default:
        return NULL;
    }
}

void snapshot_want_keyframe(struct snapshot_maker *m) {
    m->keyframed = false;
}

uint64_t snapshot_missed(struct snapshot_maker *m, uint64_t *ts_ns) {
    uint64_t missed = m->missed;
    *ts_ns = m->missed_ns;
    m->missed = 0;
    return missed;
}
