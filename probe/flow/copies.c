/*
 * copies: a mirror port often delivers a packet twice: both ports mirrored, or before and after a
 * router (TTL and MAC differ). The second one must not look like a retransmission.
 *
 * A table of buckets, a cache line each, remembers signatures of recent segments: all that a copy
 * keeps and a retransmission changes (IP identification; the timestamps option, RFC 7323; the
 * checksum). A retransmission with all of this equal has to be told by time: Linux waits 200 ms at
 * least (TCP_RTO_MIN). Where neither identification nor timestamps exist, it is told by the TTL
 * (in tunnels, by any of the TTLs), which a router between two taps has lowered and a
 * retransmission keeps; with the same TTL only what follows at once is taken for a copy.
 *
 * A full bucket forgets its oldest: a copy not recognised, which is a bound on memory, not on
 * correctness of states. It takes seven other segments for one bucket meanwhile: of 3 million
 * copies that come 20 ms late none is missed at 300,000 segments a second, one in 70,000 at half a
 * million, and one in 540 at a million, where each that is missed takes the place of another.
 */
#include "front.h"

#include <stdlib.h>
#include <string.h>

/* A tick is 16 us: 32 bits of them turn over in 19 hours, and no bucket is left alone so long but
 * where next to nothing passes. */
enum { TICK_BITS = 14 };
enum { COPY_TICKS = 50000000 >> TICK_BITS, COPY_BARE_TICKS = 3000000 >> TICK_BITS };

struct copies *copies_new(void) {
    enum { LINE = _Alignof(struct copies) };
    char *memory = calloc(1, sizeof(struct copies) + LINE - 1);
    if (memory == NULL)
        return NULL;
    struct copies *c = (void *)(memory + (-(uintptr_t)memory & (LINE - 1)));
    c->memory = memory;
    return c;
}

void copies_free(struct copies *c) {
    if (c != NULL)
        free(c->memory);
}

static_assert(offsetof(struct segment, family) - offsetof(struct segment, window) == 7,
              "window, checksum, ip_id, flags and family are one word");

/* Not of the table's hash, whose seed is another in each run: which signatures share a slot must
 * not be (design 1.3). The checksum covers the timestamps, but not where the sender's kernel leaves
 * it to a card that the tap does not have. */
uint64_t copies_signature(const struct segment *s, const struct flow_key *k) {
    static const uint64_t odd[3] = {UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xd1b54a32d192ed03),
                                    UINT64_C(0x8cb92ba72f3d8dd7)};
    uint64_t ends = k->word[0];
    if (k->family != 4) {
        uint64_t word[4];
        memcpy(word, k->v6, sizeof word);
        ends = flow_fold(word[0] ^ odd[0], word[1] ^ odd[1]) ^
               flow_fold(word[2] ^ odd[1], word[3] ^ odd[2]);
    }
    if (s->options & SEGMENT_OPT_TIMESTAMP)
        ends += ((uint64_t)s->tsecr << 32 | s->tsval) * odd[2];
    uint64_t numbers = (uint64_t)s->ack << 32 | s->seq, what;
    memcpy(&what, (const char *)s + offsetof(struct segment, window), sizeof what);
    uint64_t h = flow_fold(ends ^ odd[0], numbers ^ odd[1]);
    h ^= flow_fold(k->word[1] ^ odd[1], what ^ odd[2]) + ((uint64_t)s->payload << 1 | k->from);
    return h ^ h >> 32;
}

static uint32_t tick(const struct segment *s) {
    return (uint32_t)(s->ts_ns >> TICK_BITS);
}

void copies_note(struct copies *c, const struct segment *s, uint64_t signature) {
    struct copies_bucket *b = &c->bucket[signature % COPIES_BUCKETS];
    unsigned i = b->next;
    b->tag[i] = (uint32_t)(signature >> 32);
    b->tick[i] = tick(s);
    b->hops[i] = s->hops;
    b->next = (uint8_t)(i + 1 < COPIES_WAYS ? i + 1 : 0);
}

static bool repeats(const struct copies_bucket *b, unsigned i, const struct segment *s) {
    bool told_apart =
        s->ip_id != 0 || (s->options & SEGMENT_OPT_TIMESTAMP) || b->hops[i] != s->hops;
    return tick(s) - b->tick[i] <= (told_apart ? COPY_TICKS : COPY_BARE_TICKS);
}

/* Nearly always no: four tags at a time, the middle one twice, without a branch. */
static bool may_hold(const struct copies_bucket *b, uint32_t tag) {
    typedef uint32_t four __attribute__((vector_size(16)));
    typedef uint64_t two __attribute__((vector_size(16)));
    four low, high, all = {tag, tag, tag, tag};
    static_assert(COPIES_WAYS == 7, "of two loads one way is the same");
    memcpy(&low, b->tag, sizeof low);
    memcpy(&high, b->tag + 3, sizeof high);
    two equal = (two)((low == all) | (high == all));
    return (equal[0] | equal[1]) != 0;
}

bool copies_is_copy(struct copies *c, const struct segment *s, uint64_t signature) {
    const struct copies_bucket *b = &c->bucket[signature % COPIES_BUCKETS];
    uint32_t tag = (uint32_t)(signature >> 32);
    for (unsigned i = 0; i < COPIES_WAYS && may_hold(b, tag); i++)
        if (b->tag[i] == tag && repeats(b, i, s))
            return true;
    copies_note(c, s, signature);
    return false;
}
