/*
 * Chunks of a stream: filled, sealed, acknowledged, kept, given new IDs (redis_writer.h).
 *
 * No allocation an entry: a chunk's memory grows by doubling and is given back when it is sealed.
 * A server that does not answer makes chunks pile up to the bound; what happens then stands in
 * redis_spool.c and in store_shed.
 */
#include "redis_spool.h"
#include "redis_writer.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CHUNK_FIRST_OCTETS = 2048,
    KEPT_QUEUES = 4, /* acknowledged chunks of all streams take so many times queue_mib at most */
    KEPT_RARE_OCTETS = 1 << 20 /* gaps and alarms are kept longer, while little else is */
};

uint64_t store_wall_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / BASE_NS_PER_MS;
}

uint64_t store_limit_ms(const struct store_redis *s) {
    return s->options.live ? store_wall_ms() + STORE_AHEAD_MS : UINT64_MAX;
}

struct store_chunk *store_chunk_new(size_t room) {
    struct store_chunk *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->data = malloc(room);
    c->room = (uint32_t)room;
    if (c->data != NULL)
        return c;
    free(c);
    return NULL;
}

void store_chunk_free(struct store_chunk *c) {
    if (c == NULL)
        return;
    free(c->data);
    free(c);
}

size_t store_chunk_cost(const struct store_chunk *c) {
    return sizeof *c + c->room + 64; /* two allocations' overhead */
}

/* ---- filling ---- */

static bool reserve(struct store_chunk *c, size_t octets) {
    size_t room = c->room;
    while (room - c->used < octets)
        room *= 2;
    if (room == c->room)
        return true;
    char *grown = room <= UINT32_MAX ? realloc(c->data, room) : NULL;
    if (grown == NULL)
        return false;
    c->data = grown;
    c->room = (uint32_t)room;
    return true;
}

/* The open chunk with room for so much; NULL without memory. */
static struct store_chunk *open_chunk(struct store_stream *st, size_t octets) {
    struct store_redis *s = st->store;
    struct store_chunk *c = st->open;
    if (c != NULL && c->entries > 0 && c->used + octets > STORE_CHUNK_OCTETS) {
        store_seal(st);
        c = NULL;
    }
    if (c == NULL) {
        c = st->open = store_chunk_new(CHUNK_FIRST_OCTETS);
        if (c == NULL)
            return NULL;
    }
    if (!st->dirty) {
        st->dirty = true;
        st->next_dirty = s->dirty;
        s->dirty = st;
    }
    return reserve(c, octets) ? c : NULL;
}

/* What comes late (another worker's, a timer's that was noticed late) goes on at the stream's end;
 * readers are told of the greater skew by the hash of probes. */
static bool next_id(struct store_stream *st, uint64_t ts_ns, struct store_id *id) {
    struct store_redis *s = st->store;
    uint64_t limit_ms = store_limit_ms(s), ts_ms = ts_ns / BASE_NS_PER_MS;
    if (st->state == STORE_STREAM_WEDGED)
        return false;
    if (store_id_next(st->assigned, ts_ns, limit_ms, s->skew_ms, id))
        return true;
    if (id->ms > limit_ms || id->ms > ts_ms + STORE_LATE_MS)
        return false;
    s->skew_ms = (uint32_t)(id->ms - ts_ms);
    return true;
}

/* In the order of the contract: snapshots go first, then connections, then transitions; gaps and
 * alarms have the last sixteenth for themselves. */
static bool has_room(const struct store_stream *st) {
    static const uint32_t sixteenths[STORE_KINDS] = {[STORE_KIND_TRANSITIONS] = 15,
                                                     [STORE_KIND_SNAPSHOTS] = 12,
                                                     [STORE_KIND_CONNECTIONS] = 14,
                                                     [STORE_KIND_ALARMS] = 16,
                                                     [STORE_KIND_GAPS] = 16};
    const struct store_redis *s = st->store;
    if (!s->options.live)
        return true; /* the reader waits instead */
    size_t bound = (size_t)s->options.queue_mib << 20;
    if (s->spool != NULL && store_spool_has_room(s->spool, sixteenths[st->kind]))
        return true;
    return s->queued_octets < bound / 16 * sixteenths[st->kind];
}

void store_shed(struct store_stream *st, uint64_t ts_ns, uint64_t entries) {
    struct store_missing *m = &st->store->shed[st->kind];
    if (m->lost == 0 || ts_ns < m->from_ns)
        m->from_ns = ts_ns;
    if (ts_ns > m->to_ns)
        m->to_ns = ts_ns;
    m->lost += entries;
    st->store->lost += entries;
    if (st->kind == STORE_KIND_SNAPSHOTS && entries > 0)
        store_snapshot_torn(st->store);
}

char *store_put_begin(struct store_stream *st, uint64_t ts_ns, size_t room) {
    char text[STORE_ID_TEXT];
    struct store_id id;
    struct store_chunk *c = NULL;
    if (has_room(st) && next_id(st, ts_ns, &id))
        c = open_chunk(st, room + STORE_ID_TEXT + 16);
    if (c == NULL) {
        store_shed(st, ts_ns, 1);
        return NULL;
    }
    if (c->entries == 0)
        c->first = id;
    c->last = id;
    return record_put_bulk(c->data + c->used, text, store_id_format(id, text));
}

void store_put_end(struct store_stream *st, uint64_t ts_ns, char *end) {
    struct store_redis *s = st->store;
    struct store_chunk *c = st->open;
    st->assigned = c->last;
    if (st->resume.ms != 0) {
        const char *id, *entry = c->data + c->used;
        size_t length, n = (size_t)(end - entry), head = store_bulk_parse(entry, n, &id, &length);
        if (store_resume_skips(st, c->last, entry + head, n - head))
            return;
    }
    c->used = (uint32_t)(end - c->data);
    if (c->entries == 0 || ts_ns < c->from_ns)
        c->from_ns = ts_ns;
    if (ts_ns > c->to_ns)
        c->to_ns = ts_ns;
    if (ts_ns > st->newest_ns)
        st->newest_ns = ts_ns;
    if (ts_ns > s->newest_ns)
        s->newest_ns = ts_ns;
    if (s->first_ns == 0 || ts_ns < s->first_ns)
        s->first_ns = ts_ns;
    c->entries++;
    s->queued_entries++;
    if (c->entries == STORE_BATCH_ENTRIES)
        store_seal(st);
}

/* ---- the list ---- */

void store_chunk_link(struct store_stream *st, struct store_chunk *c) {
    c->next = NULL;
    if (st->newest != NULL)
        st->newest->next = c;
    else
        st->oldest = c;
    st->newest = c;
    if (st->unacked == NULL)
        st->unacked = c;
    if (st->unsent == NULL)
        st->unsent = c;
    if (st->unspooled == NULL && c->segment == 0)
        st->unspooled = c;
    st->store->queued_octets += store_chunk_cost(c);
    store_list(st);
}

void store_seal(struct store_stream *st) {
    struct store_chunk *c = st->open;
    if (c == NULL || c->entries == 0)
        return;
    st->open = NULL;
    char *fitted = realloc(c->data, c->used);
    if (fitted != NULL) {
        c->data = fitted;
        c->room = c->used;
    }
    c->done_ms = uv_now(st->store->loop); /* of being sealed, until it is acknowledged */
    if (st->store->spool != NULL && store_spool_takes(st->store->spool, st, c))
        return; /* the disk has it, and gives it back in its turn */
    store_chunk_link(st, c);
    store_pump(st->store);
}

void store_seal_all(struct store_redis *s) {
    while (s->dirty != NULL) {
        struct store_stream *st = s->dirty;
        s->dirty = st->next_dirty;
        st->dirty = false;
        store_seal(st);
    }
}

/* Make a chunk of the entries behind `id`, and leave those up to it in `c`. False when `id` is not
 * in it, or no memory. */
static bool split(struct store_stream *st, struct store_chunk *c, struct store_id id) {
    unsigned fields = store_kind_fields(st->kind), ts = store_kind_ts_field(st->kind);
    struct store_entry e;
    uint32_t at = 0, entries = 0;
    do {
        if (!store_entry_parse(c->data + at, c->used - at, fields, ts, &e))
            return false;
        at += (uint32_t)e.octets;
        entries++;
    } while (at < c->used && store_id_compare(e.id, id) < 0);
    if (store_id_compare(e.id, id) != 0 || at == c->used)
        return false;
    struct store_chunk *rest = store_chunk_new(c->used - at);
    if (rest == NULL)
        return false;
    size_t cost = store_chunk_cost(c);
    memcpy(rest->data, c->data + at, c->used - at);
    rest->used = c->used - at;
    rest->entries = c->entries - entries;
    store_entry_parse(rest->data, rest->used, fields, ts, &e);
    rest->first = e.id;
    rest->last = c->last;
    rest->from_ns = c->from_ns;
    rest->to_ns = c->to_ns;
    rest->again = c->again;
    rest->done_ms = c->done_ms;
    rest->segment = c->segment;
    if (rest->segment != 0)
        store_spool_hold(st->store->spool, rest->segment);
    rest->next = c->next;
    c->next = rest;
    c->used = at;
    c->entries = entries;
    c->last = id;
    if (st->newest == c)
        st->newest = rest;
    size_t added = store_chunk_cost(c) + store_chunk_cost(rest) - cost;
    st->store->queued_octets += added; /* the caller moves it when the chunk counts as kept */
    return true;
}

static void count_acknowledged(struct store_stream *st, struct store_chunk *c) {
    struct store_redis *s = st->store;
    size_t cost = store_chunk_cost(c);
    s->queued_octets -= cost;
    s->queued_entries -= c->entries;
    s->kept_octets += cost;
    st->length += c->entries;
    if (c->to_ns > s->stored_ns)
        s->stored_ns = c->to_ns;
    if (c->segment != 0)
        store_spool_release(s->spool, c->segment);
    c->segment = 0;
    c->done_ms = uv_now(s->loop);
    if (st->unspooled == c)
        st->unspooled = c->next;
}

void store_acknowledge(struct store_stream *st, struct store_id id) {
    while (st->unacked != NULL && store_id_compare(st->unacked->first, id) <= 0) {
        struct store_chunk *c = st->unacked;
        if (store_id_compare(c->last, id) > 0 && !split(st, c, id))
            break;
        count_acknowledged(st, c);
        st->acked = c->last;
        if (st->unsent == c)
            st->unsent = c->next;
        st->unacked = c->next;
    }
    if (store_id_compare(st->sent, st->acked) < 0)
        st->sent = st->acked;
    store_trim_kept(st);
}

size_t store_unacknowledge(struct store_stream *st, struct store_id id) {
    struct store_redis *s = st->store;
    size_t entries = 0;
    struct store_chunk *c = st->oldest;
    while (c != st->unacked && store_id_compare(c->last, id) <= 0)
        c = c->next;
    if (c != st->unacked && store_id_compare(c->first, id) <= 0) {
        size_t before = s->queued_octets;
        if (split(st, c, id)) { /* its cost is of kept ones */
            s->kept_octets += s->queued_octets - before;
            s->queued_octets = before;
        }
        c = c->next;
    }
    for (struct store_chunk *again = c; again != st->unacked; again = again->next) {
        size_t cost = store_chunk_cost(again);
        s->kept_octets -= cost;
        s->queued_octets += cost;
        s->queued_entries += again->entries;
        entries += again->entries;
        again->again = true;
    }
    if (entries > 0)
        st->unspooled = c;
    st->unacked = st->unsent = c;
    st->acked = st->sent = id;
    s->resent += entries;
    return entries;
}

/* Of gaps and alarms, which are few and tell of losses, more is kept than of the others. */
static bool is_kept(const struct store_stream *st, const struct store_chunk *c) {
    const struct store_redis *s = st->store;
    bool rare = st->kind >= STORE_KINDS_PARTITIONED;
    if (rare && s->kept_octets < KEPT_RARE_OCTETS)
        return true;
    return uv_now(s->loop) - c->done_ms < (uint64_t)s->options.keep_s * 1000 &&
           s->kept_octets >> 20 < (size_t)s->options.queue_mib * KEPT_QUEUES;
}

void store_trim_kept(struct store_stream *st) {
    while (st->oldest != st->unacked && !is_kept(st, st->oldest)) {
        struct store_chunk *c = st->oldest;
        st->store->kept_octets -= store_chunk_cost(c);
        st->base = c->last;
        st->oldest = c->next;
        if (st->newest == c)
            st->newest = NULL;
        store_chunk_free(c);
    }
}

/* ---- new IDs ---- */

/* A chunk with its entries' IDs raised above *floor, which becomes the last of them. */
static struct store_chunk *restamped(struct store_stream *st, const struct store_chunk *c,
                                     struct store_id *floor) {
    unsigned fields = store_kind_fields(st->kind), ts = store_kind_ts_field(st->kind);
    struct store_chunk *fresh = store_chunk_new(c->used + (size_t)c->entries * STORE_ID_TEXT);
    uint64_t limit_ms = store_limit_ms(st->store);
    uint32_t at = 0;
    if (fresh == NULL)
        return NULL;
    while (at < c->used) {
        struct store_entry e;
        struct store_id id;
        char text[STORE_ID_TEXT];
        if (!store_entry_parse(c->data + at, c->used - at, fields, ts, &e) ||
            !store_id_next(*floor, e.ts_ns, limit_ms, st->store->skew_ms, &id)) {
            store_chunk_free(fresh);
            return NULL;
        }
        char *p = record_put_bulk(fresh->data + fresh->used, text, store_id_format(id, text));
        p = mempcpy(p, e.values, e.octets - (size_t)(e.values - e.data));
        fresh->used = (uint32_t)(p - fresh->data);
        if (fresh->entries++ == 0)
            fresh->first = id;
        fresh->last = *floor = id;
        at += (uint32_t)e.octets;
    }
    return fresh;
}

static void adopt(struct store_redis *s, struct store_chunk *c, struct store_chunk *fresh) {
    s->queued_octets -= store_chunk_cost(c);
    free(c->data);
    c->data = fresh->data;
    c->used = fresh->used;
    c->room = fresh->room;
    c->first = fresh->first;
    c->last = fresh->last;
    free(fresh);
    s->queued_octets += store_chunk_cost(c);
}

bool store_restamp(struct store_stream *st, struct store_id floor) {
    struct store_chunk *open = st->open != NULL && st->open->entries > 0 ? st->open : NULL;
    for (struct store_chunk *c = st->unacked; c != NULL; c = c->next) {
        if (store_id_compare(c->first, floor) > 0)
            return true; /* the rest is above it as it is */
        struct store_chunk *fresh = restamped(st, c, &floor);
        if (fresh == NULL)
            return false;
        adopt(st->store, c, fresh);
    }
    if (open != NULL && store_id_compare(open->first, floor) <= 0) {
        struct store_chunk *fresh = restamped(st, open, &floor);
        if (fresh == NULL)
            return false;
        st->store->queued_octets += store_chunk_cost(open); /* adopt takes it away */
        adopt(st->store, open, fresh);
        st->store->queued_octets -= store_chunk_cost(open);
        floor = open->last;
    } else if (open != NULL) {
        floor = open->last;
    }
    if (store_id_compare(st->assigned, floor) < 0)
        st->assigned = floor;
    return true;
}
