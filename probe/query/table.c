/*
 * Connections at one moment (table.h).
 *
 * Linear probing with removal by shifting back, so that no tombstones gather while millions of
 * connections come and go. Flows are hashes already.
 */
#include "table.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 256, NOWHERE = UINT32_MAX };

void query_table_fini(struct query_table *t) {
    free(t->conn);
    free(t->slot);
    *t = (struct query_table){0};
}

void query_table_clear(struct query_table *t) {
    if (t->slots > 0)
        memset(t->slot, 0, t->slots * sizeof *t->slot);
    t->used = t->live = 0;
    t->unused = NOWHERE;
    t->base_ns = t->torn = 0;
}

uint8_t query_stronger(uint8_t a, uint8_t b) {
    return a == TCP_PROVEN || (b != TCP_PROVEN && b < a) ? b : a;
}

static uint32_t home(const struct query_table *t, uint64_t flow) {
    return (uint32_t)(flow * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (t->slots - 1);
}

/* The slot of a flow, or the free one where it would stand. */
static uint32_t slot_of(const struct query_table *t, uint64_t flow) {
    uint32_t at = home(t, flow);
    while (t->slot[at] != 0 && t->conn[t->slot[at] - 1].flow != flow)
        at = (at + 1) & (t->slots - 1);
    return at;
}

struct query_conn *query_table_find(const struct query_table *t, uint64_t flow) {
    if (t->slots == 0)
        return NULL;
    uint32_t at = slot_of(t, flow);
    return t->slot[at] != 0 ? &t->conn[t->slot[at] - 1] : NULL;
}

static bool grow(struct query_table *t) {
    uint32_t room = t->room > 0 ? t->room * 2 : FIRST_ROOM;
    struct query_conn *bigger = reallocarray(t->conn, room, sizeof *bigger);
    if (bigger == NULL)
        return false;
    t->conn = bigger;
    uint32_t *slot = calloc((size_t)room * 2, sizeof *slot);
    if (slot == NULL)
        return false;
    free(t->slot);
    t->slot = slot;
    t->slots = room * 2;
    if (t->room == 0)
        t->unused = NOWHERE;
    t->room = room;
    for (uint32_t i = 0; i < t->used; i++)
        if (t->conn[i].flags & QUERY_LIVE)
            t->slot[slot_of(t, t->conn[i].flow)] = i + 1;
    return true;
}

struct query_conn *query_table_add(struct query_table *t, uint64_t flow) {
    if (t->used == t->room && (t->room == 0 || t->unused == NOWHERE) && !grow(t))
        return NULL;
    uint32_t number = t->unused;
    if (number != NOWHERE)
        t->unused = (uint32_t)t->conn[number].flow;
    else
        number = t->used++;
    t->slot[slot_of(t, flow)] = number + 1;
    t->conn[number] = (struct query_conn){.flow = flow, .flags = QUERY_LIVE};
    t->live++;
    return &t->conn[number];
}

void query_table_remove(struct query_table *t, uint64_t flow) {
    struct query_conn *c = query_table_find(t, flow);
    if (c == NULL)
        return;
    uint32_t hole = slot_of(t, flow), mask = t->slots - 1;
    for (uint32_t at = (hole + 1) & mask; t->slot[at] != 0; at = (at + 1) & mask) {
        uint32_t from = home(t, t->conn[t->slot[at] - 1].flow);
        if (((at - from) & mask) >= ((at - hole) & mask)) { /* it may stand in the hole */
            t->slot[hole] = t->slot[at];
            hole = at;
        }
    }
    t->slot[hole] = 0;
    c->flags = 0;
    c->flow = t->unused;
    t->unused = (uint32_t)(c - t->conn);
    t->live--;
}

static bool is_same(const struct query_place *a, const struct query_place *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

static bool is_closed(const uint8_t state[2]) {
    return state[0] == TCP_CLOSED && state[1] == TCP_CLOSED;
}

/* That TIME_WAIT ended by its timer is no doubt about the connection. */
static uint8_t doubt_of(const struct query_step *s) {
    return s->cause == TCP_CAUSE_TIMEOUT_TIME_WAIT ? TCP_PROVEN : (uint8_t)s->inferred;
}

/* Corrected roles: client and server change places, the states stay with their ends. */
static void turn(struct query_conn *c, const struct query_step *s) {
    if (!is_same(&c->client, &s->client)) {
        uint64_t since = c->since_ns[0];
        c->since_ns[0] = c->since_ns[1];
        c->since_ns[1] = since;
    }
}

/* A connection that the table does not have: it begins with this step, or comes from another
 * partition, or its beginning is missing. */
static struct query_conn *begin(struct query_table *t, const struct query_step *s) {
    struct query_conn *c = query_table_add(t, s->flow);
    if (c == NULL)
        return NULL;
    c->anchor_ns = s->ts_ns;
    if (is_closed(s->was)) {
        c->since_ns[0] = c->since_ns[1] = s->ts_ns;
        c->flags |= QUERY_OPENED;
    } else if (s->cause == TCP_CAUSE_ROLES) {
        c->flags |= QUERY_TURNED;
        c->turned_ns = s->ts_ns;
    } else if (s->ts_ns > t->base_ns) {
        t->torn++;
    }
    c->client = s->client;
    return c;
}

static void apply(struct query_table *t, struct query_conn *c, const struct query_step *s) {
    if (s->cause == TCP_CAUSE_ROLES) {
        turn(c, s);
    } else {
        bool follows = s->ts_ns <= t->base_ns || is_closed(c->state) ||
                       (s->was[0] == c->state[0] && s->was[1] == c->state[1]);
        t->torn += !follows;
        for (int side = 0; side < 2; side++)
            if (s->was[side] != s->state[side])
                c->since_ns[side] = s->ts_ns;
        c->pair_ns = s->ts_ns;
    }
    c->client = s->client;
    c->server = s->server;
    c->service = s->service;
    c->state[0] = s->state[0];
    c->state[1] = s->state[1];
    c->inferred = query_stronger(c->inferred, doubt_of(s));
}

bool query_table_step(struct query_table *t, const struct query_step *s, bool wanted) {
    struct query_conn *c = query_table_find(t, s->flow);
    if (s->ts_ns < t->base_ns)
        return true;                   /* of before the keyframe */
    if (s->cause == TCP_CAUSE_MOVED) { /* it goes on elsewhere, unless that is here */
        if (c != NULL && is_same(&c->client, &s->client))
            query_table_remove(t, s->flow);
        return true;
    }
    if (!wanted || is_closed(s->state)) {
        query_table_remove(t, s->flow);
        return true;
    }
    if (c == NULL)
        c = begin(t, s);
    if (c != NULL)
        apply(t, c, s);
    return c != NULL;
}

/* Several reads may bring steps in any order: the newest of them counts. */
static void fill(struct query_conn *c, int side, uint64_t ts_ns) {
    if (!(c->flags & QUERY_KNOWN << side) && c->since_ns[side] < ts_ns)
        c->since_ns[side] = ts_ns;
}

void query_table_older(struct query_table *t, const struct query_step *s) {
    struct query_conn *c = query_table_find(t, s->flow);
    uint64_t known_ns = c != NULL && c->anchor_ns > t->base_ns ? c->anchor_ns : t->base_ns;
    if (c == NULL || !(c->flags & QUERY_WANTED) || s->ts_ns > known_ns ||
        s->cause == TCP_CAUSE_MOVED)
        return;
    if (s->cause == TCP_CAUSE_ROLES) {
        c->flags |= QUERY_TURNED;
        c->turned_ns = s->ts_ns;
        return;
    }
    /* Of what was before its roles were corrected, the sides are the other way round. */
    int swap = !is_same(&c->client, &s->client);
    bool opens = is_closed(s->was);
    for (int side = 0; side < 2; side++)
        if (opens || s->was[side] != s->state[side])
            fill(c, side ^ swap, s->ts_ns);
    if (opens)
        c->flags |= QUERY_OPENED;
    if (c->pair_ns < s->ts_ns)
        c->pair_ns = s->ts_ns;
    c->inferred = query_stronger(c->inferred, doubt_of(s));
}
