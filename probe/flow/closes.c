/*
 * closes: how many closes the tap misses altogether, and where that explains half-closed
 * connections.
 *
 * A tap that loses one packet in n misses a FIN and the ACK of it in about one close of n * n: the
 * other end then seems to stay in CLOSE_WAIT for ever. A process that does not close leaves the
 * same packets. What tells the two apart is how often it happens at one service: as often as the
 * losses explain, or more often, which is a leak, and has to be seen. So each service has two
 * counts, of closes that were seen and of half-closed ones that fell silent. The table forgets:
 * services share buckets, the rarer gives way; counts are halved when they are large.
 */
#include "tracker.h"

enum {
    SURE = 3,            /* as many silent ones as this times the expected are still losses */
    COUNT_MAX = 1 << 15, /* then both are halved: a service may begin to leak, or stop */
};

/* The same for all connections of one service whose same end (client, server) closes last; never
 * 0. */
static uint64_t service_hash(const struct flow_tracker *t, const struct flow *f, unsigned side) {
    unsigned server = !flow_client(f);
    struct {
        struct base_addr addr;
        uint8_t port[2], role;
    } e = {.port = {(uint8_t)(f->port[server] >> 8), (uint8_t)f->port[server]},
           .role = side == server};
    static const uint64_t fixed[2] = {3, 4}; /* the same in every run (design 1.3) */
    flow_addr(t, f, server, &e.addr);
    return base_siphash(fixed, &e, sizeof e) | 1;
}

static struct closes_count *count_for(struct closes *c, uint64_t service) {
    struct closes_count *n = &c->service[service % CLOSES_BUCKETS];
    if (n->service == service)
        return n;
    if (n->seen + n->silent > 1) { /* it has to defend its place */
        n->seen /= 2;
        n->silent /= 2;
        return NULL;
    }
    *n = (struct closes_count){.service = service};
    return n;
}

static void age(struct closes_count *n) {
    if (n->seen < COUNT_MAX && n->silent < COUNT_MAX)
        return;
    n->seen /= 2;
    n->silent /= 2;
}

void closes_note(struct flow_tracker *t, const struct flow *f, const struct tcp_step *step) {
    for (unsigned side = 0; side < 2; side++) {
        if (step->was[side] != TCP_CLOSE_WAIT || step->state[side] != TCP_LAST_ACK)
            continue;
        struct closes_count *n = count_for(&t->closes, service_hash(t, f, side));
        if (n == NULL)
            continue;
        n->seen++;
        age(n);
    }
}

void closes_note_silent(struct flow_tracker *t, struct flow *f, unsigned side) {
    if (f->flags & FLOW_SILENT)
        return;
    f->flags |= FLOW_SILENT;
    struct closes_count *n = count_for(&t->closes, service_hash(t, f, side));
    if (n == NULL)
        return;
    n->silent++;
    age(n);
}

bool closes_are_missed(const struct flow_tracker *t, const struct flow *f, unsigned side) {
    uint64_t service = service_hash(t, f, side);
    const struct closes_count *n = &t->closes.service[service % CLOSES_BUCKETS];
    uint64_t lost = t->gaps, all = t->gaps + flow_laden_lately(t);
    if (n->service != service || all == 0)
        return false;
    /* silent / seen is at most SURE * (lost / all) squared */
    return (double)n->silent * (double)all * (double)all <=
           (double)SURE * (double)n->seen * (double)lost * (double)lost;
}
