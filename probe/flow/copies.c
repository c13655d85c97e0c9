/*
 * copies: a mirror port often delivers a packet twice: both ports mirrored, or before and after a
 * router (TTL and MAC differ). The second one must not look like a retransmission.
 *
 * A table of buckets, a cache line each, remembers signatures of recent segments: all that a copy
 * keeps and a retransmission changes (IP identification; the checksum, which covers the timestamps
 * option, RFC 7323). A retransmission with all of this equal has to be told by time: Linux waits
 * 200 ms at least (TCP_RTO_MIN). Where neither identification nor timestamps exist, it is told by
 * the TTL, which a router between two taps has lowered and a retransmission keeps; with the same
 * TTL only what follows at once is taken for a copy. A full bucket forgets its oldest: a copy not
 * recognised, which is a bound on memory, not on correctness of states.
 */
#include "tracker.h"

#include <string.h>

enum { COPY_NS = 50000000, COPY_BARE_NS = 3000000 };

/* Not of the table's hash, whose seed is another in each run: which signatures share a slot must
 * not be (design 1.3). */
uint64_t copies_signature(const struct segment *s, const struct flow_key *k) {
    static const uint64_t odd[3] = {UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xd1b54a32d192ed03),
                                    UINT64_C(0x8cb92ba72f3d8dd7)};
    uint64_t ends = (uint64_t)k->v4[0] << 32 | k->v4[1];
    if (k->family != 4) {
        uint64_t word[4];
        memcpy(word, k->v6, sizeof word);
        ends = flow_fold(word[0] ^ odd[0], word[1] ^ odd[1]) ^
               flow_fold(word[2] ^ odd[1], word[3] ^ odd[2]);
    }
    uint64_t where = (uint64_t)s->src_port << 48 | (uint64_t)s->dst_port << 32 | s->scope;
    uint64_t what = (uint64_t)s->ip_id << 48 | (uint64_t)s->checksum << 32 |
                    (uint32_t)s->window << 16 | (uint32_t)s->flags << 8;
    uint64_t h = flow_fold(ends ^ odd[0], ((uint64_t)s->seq << 32 | s->ack) ^ odd[1]);
    h ^= flow_fold(where ^ odd[1], what ^ odd[2]) + s->payload;
    return h ^ h >> 32;
}

/* The time, but for its highest octet (834 days), and the TTL below it. */
static uint64_t stamp(const struct segment *s) {
    return s->ts_ns << 8 | s->ttl;
}

static uint64_t age_ns(const struct copies_seen *seen, const struct segment *s) {
    return ((stamp(s) | 0xff) - (seen->stamp | 0xff)) >> 8;
}

void copies_note(struct copies *c, const struct segment *s, uint64_t signature) {
    struct copies_seen *way = c->bucket[signature % COPIES_BUCKETS], *oldest = way;
    for (unsigned i = 1; i < COPIES_WAYS; i++)
        if (age_ns(&way[i], s) > age_ns(oldest, s))
            oldest = &way[i];
    *oldest = (struct copies_seen){signature, stamp(s)};
}

static bool repeats(const struct copies_seen *seen, const struct segment *s) {
    bool told_apart =
        s->ip_id != 0 || (s->options & SEGMENT_OPT_TIMESTAMP) || (uint8_t)seen->stamp != s->ttl;
    return age_ns(seen, s) <= (told_apart ? COPY_NS : COPY_BARE_NS);
}

bool copies_is_copy(struct copies *c, const struct segment *s, uint64_t signature) {
    const struct copies_seen *way = c->bucket[signature % COPIES_BUCKETS];
    for (unsigned i = 0; i < COPIES_WAYS; i++)
        if (way[i].signature == signature && repeats(&way[i], s))
            return true;
    copies_note(c, s, signature);
    return false;
}
