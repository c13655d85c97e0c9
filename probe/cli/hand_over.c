/*
 * Segments from worker to worker (hand_over.h). A conservative merge: what a worker has told it
 * will not fall behind any more bounds what the others may track. A scope's number is its
 * decoder's, so that to another worker the layers go along.
 */
#include "hand_over.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "spanwatch/ring.h"

enum {
    OWN_ROOM = 1 << 15,    /* segments that stay: 60 ms of half a million a second */
    OTHERS_ROOM = 1 << 13, /* from one worker to another, where there are few */
    LEAST_ROOM = 1 << 10,
    ALL_ROOM = 1 << 16,
    HOLD_MS = 500
};

struct held {
    struct segment segment;
    uint8_t verdict; /* of enum decode_verdict: what is no segment moves the clock all the same */
};

struct handed {
    struct held held;
    struct decode_scope scope;
};

struct cli_hand_over {
    const struct capture_share *share;
    size_t workers;
    struct given {
        _Alignas(64) _Atomic uint64_t until_ns; /* UINT64_MAX: nothing comes any more */
    } given[CLI_WORKERS_MOST];
    struct base_ring *lane[]; /* from each worker to each: of struct held to itself, else of struct
                                 handed */
};

static struct base_ring *lane(const struct cli_hand_over *h, size_t from, size_t to) {
    return h->lane[from * h->workers + to];
}

static struct base_ring *new_lane(size_t workers, bool own) {
    size_t room = ALL_ROOM / workers;
    if (room > OTHERS_ROOM)
        room = OTHERS_ROOM;
    if (room < LEAST_ROOM)
        room = LEAST_ROOM;
    return own ? base_ring_new(OWN_ROOM, sizeof(struct held))
               : base_ring_new(room, sizeof(struct handed));
}

struct cli_hand_over *cli_hand_over_new(const struct capture_share *share) {
    size_t n = share->workers, lanes = n * n;
    struct cli_hand_over *h;
    size_t octets = (sizeof *h + lanes * sizeof h->lane[0] + 63) / 64 * 64;
    h = aligned_alloc(64, octets);
    if (h == NULL)
        return NULL;
    *h = (struct cli_hand_over){.share = share, .workers = n};
    for (size_t i = 0; i < lanes; i++)
        h->lane[i] = NULL;
    for (size_t i = 0; i < lanes; i++) {
        h->lane[i] = new_lane(n, i / n == i % n);
        if (h->lane[i] == NULL) {
            cli_hand_over_free(h);
            return NULL;
        }
    }
    return h;
}

void cli_hand_over_free(struct cli_hand_over *h) {
    if (h == NULL)
        return;
    for (size_t i = 0; i < h->workers * h->workers; i++)
        base_ring_free(h->lane[i]);
    free(h);
}

/* ---- giving ---- */

static size_t owner(const struct cli_hand_over *h, size_t from, const struct cli_pipe *p,
                    size_t i) {
    const struct segment *s = &p->segment[i];
    if (p->verdict[i] != DECODE_TCP && p->verdict[i] != DECODE_ICMP)
        return from;
    return capture_share_worker(h->share, s->family, s->src, s->dst);
}

static bool give(struct cli_hand_over *h, size_t from, const struct cli_pipe *p, size_t i) {
    size_t to = owner(h, from, p, i);
    struct handed one;
    one.held.segment = p->segment[i];
    one.held.verdict = p->verdict[i];
    if (to != from)
        one.scope = *decode_scope(p->decoder, p->segment[i].scope);
    return base_ring_put(lane(h, from, to), &one); /* of the own lane's items the first part */
}

uint64_t cli_hand_over_give(struct cli_hand_over *h, size_t from, struct cli_pipe *p, size_t n,
                            uint64_t until_ns) {
    uint64_t lost = 0;
    for (size_t i = 0; i < n; i++)
        lost += !give(h, from, p, i);
    atomic_store_explicit(&h->given[from].until_ns, until_ns, memory_order_release);
    return lost;
}

void cli_hand_over_rest(struct cli_hand_over *h, size_t from) {
    atomic_store_explicit(&h->given[from].until_ns, UINT64_MAX, memory_order_release);
}

bool cli_hand_over_all_rest(const struct cli_hand_over *h) {
    for (size_t i = 0; i < h->workers; i++)
        if (atomic_load_explicit(&h->given[i].until_ns, memory_order_acquire) != UINT64_MAX)
            return false;
    return true;
}

/* ---- taking ---- */

/* The heads of the lanes to one worker. */
struct heads {
    const struct held *first[CLI_WORKERS_MOST]; /* NULL: none */
};

/* The lane with the oldest head; h->workers when there is none up to until_ns. */
static size_t oldest(const struct cli_hand_over *h, const struct heads *heads, uint64_t until_ns) {
    size_t found = h->workers;
    for (size_t from = 0; from < h->workers; from++) {
        const struct held *first = heads->first[from];
        if (first == NULL || first->segment.ts_ns > until_ns)
            continue;
        until_ns = first->segment.ts_ns;
        if (found == h->workers || first->segment.ts_ns < heads->first[found]->segment.ts_ns)
            found = from;
    }
    return found;
}

static void copy(struct cli_pipe *p, size_t n, const struct held *held, bool own) {
    p->segment[n] = held->segment;
    p->verdict[n] = held->verdict;
    if (own)
        return;
    const struct decode_scope *scope = &((const struct handed *)(const void *)held)->scope;
    p->segment[n].scope = scope->layers > 0 ? decode_scope_id(p->decoder, scope) : 0;
}

/* A batch up to until_ns; false when nothing was that old. */
static bool take(struct cli_hand_over *h, size_t to, struct cli_pipe *p, struct heads *heads,
                 uint64_t until_ns) {
    size_t n = 0, from;
    for (; n < CAPTURE_BATCH && (from = oldest(h, heads, until_ns)) < h->workers; n++) {
        copy(p, n, heads->first[from], from == to);
        base_ring_drop(lane(h, from, to));
        heads->first[from] = base_ring_first(lane(h, from, to));
    }
    if (n > 0)
        flow_batch(p->tracker, p->segment, p->verdict, n);
    return n > 0;
}

static void look(const struct cli_hand_over *h, size_t to, struct heads *heads) {
    for (size_t from = 0; from < h->workers; from++)
        heads->first[from] = base_ring_first(lane(h, from, to));
}

bool cli_hand_over_take(struct cli_hand_over *h, size_t to, struct cli_pipe *p, uint64_t wall_ns) {
    struct heads heads;
    uint64_t until_ns = UINT64_MAX, late_ns = wall_ns - HOLD_MS * BASE_NS_PER_MS;
    for (size_t i = 0; i < h->workers; i++) {
        uint64_t given = atomic_load_explicit(&h->given[i].until_ns, memory_order_acquire);
        until_ns = given < until_ns ? given : until_ns;
    }
    until_ns = until_ns < late_ns ? late_ns : until_ns;
    look(h, to, &heads); /* after the bounds: what they promise is there */
    while (take(h, to, p, &heads, until_ns))
        ;
    return oldest(h, &heads, UINT64_MAX) < h->workers;
}

void cli_hand_over_make_room(struct cli_hand_over *h, size_t to, struct cli_pipe *p) {
    struct heads heads;
    if (base_ring_free_items(lane(h, to, to)) >= CAPTURE_BATCH)
        return;
    look(h, to, &heads);
    while (base_ring_free_items(lane(h, to, to)) < CAPTURE_BATCH)
        take(h, to, p, &heads, UINT64_MAX);
}
