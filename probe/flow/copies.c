/*
 * copies: a mirror port often delivers a packet twice: both ports mirrored, or before and after a router (TTL and MAC differ). The second one must not look like
 * a retransmission.
 *
 * A direct-mapped table remembers a signature of each recent segment: all that a copy keeps and a retransmission changes (IP
 * identification; the checksum, which covers the timestamps option, RFC 7323). A retransmission with all of this equal has to be told by
 * time: Linux waits 200 ms at least (TCP_RTO_MIN); where neither identification nor timestamps exist, only what follows at once
 * is taken for a copy. A signature that was overwritten is a copy not recognised: a bound on memory, not on correctness of states.
 */
#include "tracker.h"

enum { COPY_US = 50000, COPY_BARE_US = 3000 };

static uint32_t mix(uint32_t h, uint32_t v) {
    h = (h ^ v) * 0x9e3779b1u;
    return h ^ h >> 15;
}

uint32_t copies_signature(const struct segment *s, uint32_t hash) {
    uint32_t h = mix(hash, s->seq);
    h = mix(h, s->ack);
    h = mix(h, (uint32_t)s->ip_id << 16 | s->checksum);
    h = mix(h, (uint32_t)s->window << 16 | (uint32_t)s->flags << 8 | (s->src_port > s->dst_port));
    return mix(h, s->payload);
}

bool copies_is_copy(struct copies *c, const struct segment *s, uint32_t signature) {
    uint32_t now_us = (uint32_t)(s->ts_ns / 1000);
    uint32_t i = signature % COPIES_SLOTS;
    bool marked = s->ip_id != 0 || (s->options & SEGMENT_OPT_TIMESTAMP);
    bool copy = c->slot[i].signature == signature && now_us - c->slot[i].time_us <= (marked ? COPY_US : COPY_BARE_US);
    c->slot[i].signature = signature;
    if (!copy)
        c->slot[i].time_us = now_us;
    return copy;
}
