/*
 * Datagrams in fragments, joined as far as is needed to tell what is in them (RFC 791 section 3.2,
 * RFC 8200 section 4.5).
 *
 * Input: fragments, in any order. Output: when all octets of a datagram were there exactly once,
 * its first ones and its length. No more is kept: headers lie at the front, and of payload only the
 * length counts. The table is one block: a ring of datagrams in the order of their first fragment,
 * the oldest of which makes room, found by a keyed hash, as strangers choose the keys. A datagram
 * that is complete stays in the ring, so that late copies of its fragments are known.
 */
#include <assert.h>
#include <stdlib.h>

#include "walk.h"

enum {
    DATAGRAMS = 4096,
    BUCKETS = 8192, /* a power of two */
    PIECES = 256,   /* fragments of one datagram: 64 KiB of the smallest MTU there is (RFC 791: 576
                       octets) make 119; more are an attack */
    HEAD = 256,     /* octets kept of a datagram: the deepest sensible nesting of headers */
    UNIT = 8,       /* offsets count these */
    DATAGRAM_MAX = 65535
};

static const uint64_t patience_ns = 30 * BASE_NS_PER_S; /* Linux: ipfrag_time */
static const uint64_t copy_ns = 50 * BASE_NS_PER_MS; /* as the flow room's for copies of segments */

struct key {
    uint8_t src[16], dst[16]; /* of IPv4 the other octets are zero */
    uint32_t id, scope;
    uint8_t family;
    uint8_t protocol; /* IPv4 only */
    uint8_t zero[6];
};
static_assert(sizeof(struct key) == 48, "no padding: keys are hashed and compared as octets");

struct piece {
    uint16_t offset, length;
};

enum state { STATE_FREE, STATE_OPEN, STATE_DONE, STATE_BAD };

struct datagram {
    struct key key;
    uint64_t since_ns; /* of the first fragment that came; when done, of the last */
    uint16_t next;     /* in the same bucket: number + 1, 0 for none */
    uint8_t state;     /* enum state */
    uint8_t protocol;  /* by the fragment at offset 0 */
    uint32_t length;   /* of the whole; 0 while the last fragment is missing */
    uint32_t end;      /* furthest octet covered */
    uint32_t covered;  /* octets in pieces */
    uint32_t pieces;
    struct piece piece[PIECES];
    uint16_t kept[HEAD / UNIT]; /* octets in `head` of the piece that begins at this unit */
    uint8_t head[HEAD];
};

struct fragments {
    uint64_t hash_key[2];
    uint64_t lost;
    uint32_t oldest; /* the next to make room */
    uint16_t bucket[BUCKETS];
    struct datagram datagram[DATAGRAMS];
};

struct fragments *decode_fragments_new(void) {
    struct fragments *t = calloc(1, sizeof *t);
    if (t != NULL)
        decode_new_key(t->hash_key, t);
    return t;
}

uint64_t decode_fragments_lost(const struct fragments *t) {
    return t->lost;
}

static bool fail(struct walk *w, enum decode_verdict verdict) {
    walk_end(w, verdict);
    return false;
}

static struct key key_of(const struct walk *w, const struct fragment *f, uint8_t protocol) {
    struct key key = {.id = f->id, .scope = walk_scope(w), .family = w->ip.family};
    size_t octets = w->ip.family == 4 ? 4 : 16;
    memcpy(key.src, w->ip.src, octets);
    memcpy(key.dst, w->ip.dst, octets);
    if (w->ip.family == 4)
        key.protocol = protocol;
    return key;
}

static uint16_t *bucket_of(struct fragments *t, const struct key *key) {
    return &t->bucket[base_siphash(t->hash_key, key, sizeof *key) % BUCKETS];
}

static struct datagram *find(struct fragments *t, const struct key *key) {
    for (uint16_t n = *bucket_of(t, key); n != 0; n = t->datagram[n - 1].next)
        if (memcmp(&t->datagram[n - 1].key, key, sizeof *key) == 0)
            return &t->datagram[n - 1];
    return NULL;
}

static void unlink_datagram(struct fragments *t, const struct datagram *g) {
    uint16_t *link = bucket_of(t, &g->key), number = (uint16_t)(g - t->datagram + 1);
    while (*link != number)
        link = &t->datagram[*link - 1].next;
    *link = g->next;
}

static void drop(struct fragments *t, struct datagram *g) {
    if (g->state == STATE_OPEN)
        t->lost++;
    if (g->state != STATE_FREE)
        unlink_datagram(t, g);
    g->state = STATE_FREE;
}

/* What was kept of an earlier datagram stays until it is overwritten: the walk may stand in it,
 * when this fragment was within a datagram that itself came in fragments. */
static struct datagram *add(struct fragments *t, const struct key *key, uint64_t ts_ns) {
    struct datagram *g = &t->datagram[t->oldest];
    t->oldest = (t->oldest + 1) % DATAGRAMS;
    drop(t, g);
    uint16_t *bucket = bucket_of(t, key);
    g->key = *key;
    g->next = *bucket;
    *bucket = (uint16_t)(g - t->datagram + 1);
    g->since_ns = ts_ns;
    g->state = STATE_OPEN;
    g->length = g->end = g->covered = g->pieces = 0;
    memset(g->kept, 0, sizeof g->kept);
    return g;
}

/* Whether the walk's fragment is one that was there before: the same octets, as far as they were
 * kept. */
static bool is_copy(const struct datagram *g, const struct walk *w, const struct fragment *f) {
    uint32_t i = 0;
    while (i < g->pieces && (g->piece[i].offset != f->offset || g->piece[i].length != w->wire))
        i++;
    if (i == g->pieces || f->more == (f->offset + w->wire == g->length))
        return false;
    if (f->offset >= HEAD)
        return true;
    uint32_t kept = g->kept[f->offset / UNIT];
    return memcmp(g->head + f->offset, w->at, kept < w->captured ? kept : w->captured) == 0;
}

static bool overlaps(const struct datagram *g, uint32_t from, uint32_t to) {
    for (uint32_t i = 0; i < g->pieces; i++)
        if (from < (uint32_t)g->piece[i].offset + g->piece[i].length && g->piece[i].offset < to)
            return true;
    return false;
}

/* Does it agree with the fragments before it? One that overlaps makes the whole datagram worthless:
 * receivers differ in which octets they believe (RFC 5722 section 4). */
static bool fits(const struct datagram *g, const struct walk *w, const struct fragment *f) {
    uint32_t end = f->offset + w->wire;
    if (g->pieces == PIECES || overlaps(g, f->offset, end))
        return false;
    if (g->length != 0)
        return f->more && end <= g->length;
    return f->more || end >= g->end;
}

static void take(struct datagram *g, const struct walk *w, const struct fragment *f,
                 uint8_t protocol) {
    uint32_t end = f->offset + w->wire;
    g->piece[g->pieces++] = (struct piece){(uint16_t)f->offset, (uint16_t)w->wire};
    g->covered += w->wire;
    if (end > g->end)
        g->end = end;
    if (!f->more)
        g->length = end;
    if (f->offset == 0)
        g->protocol = protocol;
    if (f->offset < HEAD) {
        uint32_t room = HEAD - f->offset, n = w->captured < room ? w->captured : room;
        memmove(g->head + f->offset, w->at, n);
        g->kept[f->offset / UNIT] = (uint16_t)n;
    }
}

/* Octets from the datagram's start that are there without a hole: a piece that the snaplen cut is
 * followed by one. */
static uint32_t octets_at_start(const struct datagram *g) {
    uint32_t n = 0;
    while (n < HEAD && n % UNIT == 0 && g->kept[n / UNIT] != 0)
        n += g->kept[n / UNIT];
    return n;
}

/* The datagram that a fragment belongs to, new or anew where the last one of this id is history.
 * Ids come round: after a complete one, whatever is no copy begins the next. */
static struct datagram *find_or_add(struct fragments *t, const struct key *key,
                                    const struct walk *w, const struct fragment *f) {
    struct datagram *g = find(t, key);
    if (g == NULL)
        return add(t, key, w->ts_ns);
    uint64_t age = w->ts_ns > g->since_ns ? w->ts_ns - g->since_ns : 0;
    bool over = g->state == STATE_DONE ? age > copy_ns || !is_copy(g, w, f) : age > patience_ns;
    if (!over)
        return g;
    drop(t, g);
    return add(t, key, w->ts_ns);
}

/* No empty ones, none but the last of another size than the units of offsets, none beyond the
 * longest datagram. */
static bool is_sane(const struct walk *w, const struct fragment *f) {
    if (w->wire == 0 || w->wire > DATAGRAM_MAX - f->offset)
        return false;
    return !f->more || w->wire % UNIT == 0;
}

bool decode_join(struct walk *w, const struct fragment *f, uint8_t protocol) {
    struct fragments *t = w->decoder->fragments;
    if (f->offset > DATAGRAM_MAX || !is_sane(w, f))
        return fail(w, DECODE_MALFORMED);
    struct key key = key_of(w, f, protocol);
    struct datagram *g = find_or_add(t, &key, w, f);
    if (g->state == STATE_BAD)
        return fail(w, DECODE_MALFORMED);
    if (is_copy(g, w, f))
        return fail(w, DECODE_FRAGMENT);
    if (!fits(g, w, f)) {
        g->state = STATE_BAD;
        return fail(w, DECODE_MALFORMED);
    }
    take(g, w, f, protocol);
    if (g->covered != g->length) /* length is 0, or there are holes: none overlap, none is beyond */
        return fail(w, DECODE_FRAGMENT);
    g->state = STATE_DONE;
    g->since_ns = w->ts_ns;
    w->at = g->head;
    w->captured = octets_at_start(g);
    w->wire = g->length;
    w->ip.protocol = g->protocol;
    return true;
}
