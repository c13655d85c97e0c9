/*
 * copies: a mirror port often delivers a packet twice: both ports mirrored, or before and after a
 * router (TTL and MAC differ). The second one must not look like a retransmission.
 *
 * A direct-mapped table remembers a signature of each recent segment: all that a copy keeps and a
 * retransmission changes (IP identification; the checksum, which covers the timestamps option, RFC
 * 7323). A retransmission with all of this equal has to be told by time: Linux waits 200 ms at
 * least (TCP_RTO_MIN); where neither identification nor timestamps exist, only what follows at once
 * is taken for a copy. A signature that was overwritten is a copy not recognised: a bound on
 * memory, not on correctness of states.
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

void copies_note(struct copies *c, const struct segment *s, uint64_t signature) {
    c->slot[signature % COPIES_SLOTS] = (struct copies_slot){signature, s->ts_ns};
}

bool copies_is_copy(struct copies *c, const struct segment *s, uint64_t signature) {
    struct copies_slot *slot = &c->slot[signature % COPIES_SLOTS];
    bool marked = s->ip_id != 0 || (s->options & SEGMENT_OPT_TIMESTAMP);
    if (slot->signature == signature && s->ts_ns - slot->ts_ns <= (marked ? COPY_NS : COPY_BARE_NS))
        return true;
    copies_note(c, s, signature);
    return false;
}
