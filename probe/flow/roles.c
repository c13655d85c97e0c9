/*
 * roles: who is the client, by ranked evidence (design 1.2): a SYN, a SYN-ACK, a configured
 * service, a listener that answered others before, port numbers last. The rank is kept as
 * role_score; a later SYN or SYN-ACK corrects a weaker guess.
 */
#include "tracker.h"

#include <string.h>

enum { EPHEMERAL_PORT = 32768 };

static uint64_t endpoint_hash(const struct flow_tracker *t, const struct flow *f, unsigned side) {
    struct {
        struct base_addr addr;
        uint8_t port[2];
    } e = {.port = {(uint8_t)(f->port[side] >> 8), (uint8_t)f->port[side]}};
    static const uint64_t fixed[2] = {
        1, 2}; /* which servers share a bucket must be the same in every run (design 1.3) */
    flow_addr(t, f, side, &e.addr);
    return base_siphash(fixed, &e, sizeof e);
}

static void learn_listener(struct flow_tracker *t, const struct flow *f, unsigned side) {
    uint64_t h = endpoint_hash(t, f, side), *bucket = t->roles->listener[h % 4096];
    if (bucket[0] == h)
        return;
    bucket[1] = bucket[0];
    bucket[0] = h;
}

static bool is_listener(const struct flow_tracker *t, const struct flow *f, unsigned side) {
    uint64_t h = endpoint_hash(t, f, side);
    const uint64_t *bucket = t->roles->listener[h % 4096];
    return bucket[0] == h || bucket[1] == h;
}

static void set_server(struct body *b, unsigned side, enum role_score score) {
    struct flow *f = b->flow;
    f->flags = side == 0 ? f->flags | FLOW_CLIENT_1 : f->flags & ~(uint32_t)FLOW_CLIENT_1;
    b->role_score = (uint8_t)score;
}

/* Evidence that speaks for exactly one side as the server. False when for none or both. */
static bool only_one(bool of0, bool of1, unsigned *side) {
    *side = of1;
    return of0 != of1;
}

static void guess(struct flow_tracker *t, struct body *b, unsigned from) {
    const struct flow *f = b->flow;
    enum flow_service_evidence e[2] = {FLOW_SERVICE_NONE, FLOW_SERVICE_NONE};
    unsigned server;
    for (unsigned i = 0; i < 2 && t->config.service; i++) {
        struct base_addr a;
        flow_addr(t, f, i, &a);
        e[i] = t->config.service(t->config.service_context, &a, f->port[i], f->scope);
    }
    if (only_one(e[0] == FLOW_SERVICE_CONFIGURED, e[1] == FLOW_SERVICE_CONFIGURED, &server))
        set_server(b, server, ROLE_CONFIGURED);
    else if (only_one(is_listener(t, f, 0), is_listener(t, f, 1), &server))
        set_server(b, server, ROLE_LISTENER);
    else if (only_one(e[0] == FLOW_SERVICE_PORT_KNOWN, e[1] == FLOW_SERVICE_PORT_KNOWN, &server))
        set_server(b, server, ROLE_KNOWN_PORT);
    else if (only_one(f->port[0] < EPHEMERAL_PORT, f->port[1] < EPHEMERAL_PORT, &server))
        set_server(b, server, ROLE_LOWER_PORT);
    else
        set_server(b, !from, ROLE_FIRST);
}

bool roles_improve(struct flow_tracker *t, struct body *b, const struct segment *s, unsigned from) {
    bool syn_ack = (s->flags & SEGMENT_ACK) != 0;
    enum role_score score = syn_ack ? ROLE_SYN_ACK : ROLE_SYN;
    unsigned server = syn_ack ? from : !from;
    if (syn_ack && b->role_score < ROLE_SYN_ACK)
        learn_listener(t, b->flow, from);
    if (b->role_score >= score)
        return false;
    bool swapped = flow_client(b->flow) == server;
    set_server(b, server, score);
    return swapped;
}

void roles_begin(struct flow_tracker *t, struct body *b, const struct segment *s, unsigned from) {
    if (s->flags & SEGMENT_SYN)
        roles_improve(t, b, s, from);
    else
        guess(t, b, from);
}
