/*
 * What a datagram in fragments must come to, told a second time and in another way than
 * probe/decode/fragment.c does: every fragment is kept with all that is known of it, and the answer
 * is worked out from the list anew each time. Only for the fuzz target.
 *
 * The octets of a datagram follow from its number and a variant, so that copies, contradictions and
 * overlaps can be made at will, and a datagram put together wrongly shows in its ports.
 */
#ifndef SPANWATCH_TESTS_FUZZ_FRAGMENT_MODEL_H
#define SPANWATCH_TESTS_FUZZ_FRAGMENT_MODEL_H

#include <assert.h>
#include <string.h>

#include "spanwatch/decode.h"

enum {
    MODEL_PIECES = 256, /* of one datagram: more are an attack */
    MODEL_HEAD = 256,   /* octets that are kept, and so compared */
    MODEL_LONGEST = 65535,
    MODEL_TCP_HEADER = 20
};

static const uint64_t model_patience_ns = 30 * BASE_NS_PER_S;
static const uint64_t model_copy_ns = 50 * BASE_NS_PER_MS;

struct model_piece {
    uint32_t offset, length, captured;
    uint8_t number, variant;
    bool more;
};

enum model_state { MODEL_UNKNOWN, MODEL_OPEN, MODEL_DONE, MODEL_BAD };

struct model_datagram {
    enum model_state state;
    uint64_t since_ns;
    uint32_t pieces;
    struct model_piece piece[MODEL_PIECES];
};

enum model_answer { MODEL_WAITS, MODEL_MALFORMED, MODEL_WHOLE };

/* Does the datagram hold IP in IP? */
static inline bool model_is_nested(unsigned number) {
    return (number & 0x0c) == 0x0c;
}

/* The first 20 octets of a nested one: an IPv4 header of a first fragment. */
static inline uint8_t model_nested_octet(unsigned number, uint32_t at) {
    const uint8_t header[20] = {0x45, 0,  0, 60, 0, (uint8_t)number, 0x20, 0, 64, 6, 0, 0, 10, 0, 0,
                                2,    10, 0, 0,  3};
    return header[at];
}

/* An octet of datagram `number`: a TCP header whose ports are its own, then what the variant says.
 */
static inline uint8_t model_octet(unsigned number, unsigned variant, uint32_t at) {
    const uint8_t header[14] = {
        0x80, (uint8_t)number, 0x40, (uint8_t)number, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, SEGMENT_ACK};
    if (model_is_nested(number)) {
        if (at < 20)
            return model_nested_octet(number, at);
        at -= 20;
    }
    if (at < sizeof header)
        return header[at];
    return (uint8_t)(at * 7 + number + variant * 31);
}

static inline uint32_t model_kept(const struct model_piece *p) {
    if (p->offset >= MODEL_HEAD)
        return 0;
    uint32_t room = MODEL_HEAD - p->offset;
    return p->captured < room ? p->captured : room;
}

/* The length of the whole, once the last fragment is there; 0 before. */
static inline uint32_t model_length(const struct model_datagram *g) {
    for (uint32_t i = 0; i < g->pieces; i++)
        if (!g->piece[i].more)
            return g->piece[i].offset + g->piece[i].length;
    return 0;
}

static inline bool model_same_octets(const struct model_piece *a, const struct model_piece *b) {
    uint32_t n = model_kept(a) < model_kept(b) ? model_kept(a) : model_kept(b);
    for (uint32_t i = 0; i < n; i++)
        if (model_octet(a->number, a->variant, a->offset + i) !=
            model_octet(b->number, b->variant, b->offset + i))
            return false;
    return true;
}

static inline bool model_is_copy(const struct model_datagram *g, const struct model_piece *p) {
    for (uint32_t i = 0; i < g->pieces; i++) {
        const struct model_piece *q = &g->piece[i];
        if (q->offset == p->offset && q->length == p->length && q->more == p->more)
            return model_same_octets(q, p);
    }
    return false;
}

/* Does the fragment contradict one before it: an octet twice, two ends, an octet beyond the end? */
static inline bool model_contradicts(const struct model_datagram *g, const struct model_piece *p) {
    uint32_t end = p->offset + p->length;
    for (uint32_t i = 0; i < g->pieces; i++) {
        const struct model_piece *q = &g->piece[i];
        uint32_t q_end = q->offset + q->length;
        if (p->offset < q_end && q->offset < end)
            return true;
        if (!q->more && (!p->more || end > q_end))
            return true;
        if (!p->more && q_end > end)
            return true;
    }
    return g->pieces == MODEL_PIECES;
}

static inline bool model_is_history(const struct model_datagram *g, const struct model_piece *p,
                                    uint64_t now_ns) {
    uint64_t age_ns = now_ns - g->since_ns;
    if (g->state == MODEL_DONE)
        return age_ns > model_copy_ns || !model_is_copy(g, p);
    return age_ns > model_patience_ns;
}

static inline bool model_covers_all(const struct model_datagram *g) {
    uint32_t length = model_length(g), octets = 0;
    for (uint32_t i = 0; i < g->pieces; i++)
        octets += g->piece[i].length;
    return length != 0 && octets == length;
}

/* What the fragment makes of its datagram. */
static inline enum model_answer model_take(struct model_datagram *g, const struct model_piece *p,
                                           uint64_t now_ns) {
    if (p->length == 0 || p->offset + p->length > MODEL_LONGEST || (p->more && p->length % 8 != 0))
        return MODEL_MALFORMED;
    if (g->state == MODEL_UNKNOWN || model_is_history(g, p, now_ns)) {
        g->state = MODEL_OPEN;
        g->since_ns = now_ns;
        g->pieces = 0;
    }
    if (g->state == MODEL_BAD)
        return MODEL_MALFORMED;
    if (model_is_copy(g, p))
        return MODEL_WAITS;
    if (model_contradicts(g, p)) {
        g->state = MODEL_BAD;
        return MODEL_MALFORMED;
    }
    g->piece[g->pieces++] = *p;
    if (!model_covers_all(g))
        return MODEL_WAITS;
    g->state = MODEL_DONE;
    g->since_ns = now_ns;
    return MODEL_WHOLE;
}

/* Octets at the front of a whole datagram that were captured without a hole. */
static inline uint32_t model_front(const struct model_datagram *g) {
    uint32_t n = 0;
    for (bool found = true; found && n < MODEL_HEAD;) {
        found = false;
        for (uint32_t i = 0; i < g->pieces && !found; i++) {
            found = g->piece[i].offset == n && model_kept(&g->piece[i]) > 0;
            if (found)
                n += model_kept(&g->piece[i]);
        }
    }
    return n;
}

#endif
