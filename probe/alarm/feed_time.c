/*
 * feed_time: what was measured of a handshake or of a reply, for its service's latencies.
 */
#include "engine.h"

enum {
    TIMES_FROM = 10,    /* handshakes */
    TIMES_ENOUGH = 128, /* of these in a window */
    UNNAMED_TIMES = 300,
    SLOWER_TIMES = 2, /* than usual for that client: of handshake_latency */
    SLOWER_MS = 20
};

/* Services that nobody has named share so many samples a second: of thousands of them each would
 * cost a miss of the cache. */
static bool has_time_for(struct alarm_engine *a, const struct service *s, uint64_t ts_ns) {
    if (s->configured)
        return true;
    if (ts_ns >= a->times_until_ns) {
        a->times_until_ns = (ts_ns / BASE_NS_PER_S + 1) * BASE_NS_PER_S;
        a->times_given = 0;
    }
    return a->times_given++ < UNNAMED_TIMES;
}

/* The way to a client, beside what is usual for it. That is moved up by little in a window, so
 * that it does not learn what is to be found. */
static void compare_way(struct alarm_engine *a, int64_t i, const struct event *e, uint64_t ns) {
    struct service *s = &a->service[i];
    struct pair *p = pair_of(a, &e->flow, (uint32_t)i, false, false);
    float ms = (float)ns / 1e6f;
    if (p == NULL)
        return;
    if (p->way_ms == 0) {
        p->way_ms = ms;
        return;
    }
    s->compared++;
    s->slower += ms > p->way_ms * SLOWER_TIMES && ms > p->way_ms + SLOWER_MS;
    if (ms < p->way_ms) {
        p->way_ms = (p->way_ms + ms) / 2;
    } else if (!p->way_learned) {
        p->way_ms = fminf(ms, p->way_ms * 1.1f + 0.1f);
        p->way_learned = true;
    }
}

/* Of a service that has too few handshakes in two windows for a percentile nothing is kept; of one
 * that has very many, a sample. */
void feed_time(struct alarm_engine *a, struct service *s, enum latency which, const struct event *e,
               uint64_t ns) {
    uint32_t every = s->completed_before / TIMES_ENOUGH;
    if (s->completed + s->completed_before < TIMES_FROM && s->latency[which] == NULL)
        return;
    if (every > 1 && which != LATENCY_REPLY && s->completed % every != 0)
        return;
    if (!has_time_for(a, s, e->ts_ns))
        return;
    if (s->latency[which] == NULL)
        s->latency[which] = calloc(1, sizeof *s->latency[which]);
    if (s->latency[which] != NULL)
        histogram_add(s->latency[which], ns);
    if (which == LATENCY_CLIENT)
        compare_way(a, s - a->service, e, ns);
}
