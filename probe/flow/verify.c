/*
 * verify: the short way of handshakes and closes (usual.c) held against the long one. Debug builds
 * ask at each step (FLOW_VERIFY).
 */
#include "tracker.h"

#include <string.h>

void verify_begin(struct flow_tracker *t, struct flow *f, const struct segment *s, unsigned from,
                  struct long_way *w) {
    memset(&w->body, 0, sizeof w->body);
    w->body.flow = f;
    tcp_init(&w->body.tcp, s->ts_ns);
    roles_begin(t, &w->body, s, from);
}

void verify_step(struct flow_tracker *t, const struct segment *s, unsigned from,
                 struct long_way *w) {
    struct body *b = &w->body;
    struct tcp_rules rules;
    bool syn = (s->flags & SEGMENT_SYN) != 0, ack = (s->flags & SEGMENT_ACK) != 0;
    uint64_t *rtt_ns = syn ? &b->handshake_server_ns : &b->handshake_client_ns;
    if (ack && b->tcp.end[!from].state == (syn ? TCP_SYN_SENT : TCP_SYN_RECEIVED))
        *rtt_ns = s->ts_ns - b->tcp.detail[!from].tried_ns;
    rules_of(t, b->flow, &rules);
    tcp_segment(&b->tcp, from, s, &rules, &w->v);
    const struct zeek_segment z = {
        .seq = s->seq, .payload = s->payload, .window = s->window, .flags = s->flags};
    zeek_take(&b->zeek, (int)from, &z);
    if (b->ttl[from] == 0)
        b->ttl[from] = s->ttl;
    if (w->v.steps > 0)
        b->last_cause = w->v.step[w->v.steps - 1].cause;
    tcp_settle(&b->tcp);
}

bool verify_same(const struct flow_tracker *t, struct flow *f, const struct tcp_verdict *v,
                 const struct long_way *w) {
    struct body scratch;
    const struct body *b = form_view(t, f, &scratch);
    uint32_t facts = w->v.facts & ~(uint32_t)TCP_FACT_RTT_SAMPLE; /* which nobody asks for */
    return facts == 0 && w->v.missed == 0 && v->steps == w->v.steps &&
           memcmp(v->step, w->v.step, v->steps * sizeof *v->step) == 0 &&
           memcmp(b, &w->body, sizeof *b) == 0;
}
