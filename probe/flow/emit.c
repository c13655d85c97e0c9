/*
 * emit: from a flow, by side, to events, by role.
 */
#include "tracker.h"

#include <string.h>

void emit_identity(const struct flow_tracker *t, const struct flow *f, struct event_flow *id) {
    unsigned client = flow_client(f);
    id->family = f->flags & FLOW_IPV6 ? 6 : 4;
    id->ordinal = f->ordinal;
    id->client_port = f->port[client];
    id->server_port = f->port[!client];
    id->scope = f->scope;
    id->first_ns = f->first_ns;
    id->id = f->flags & FLOW_RESTORED ? pool_body(&t->pool, f->body)->restored_id : 0;
    if (f->flags & FLOW_IPV6) {
        const struct pair6 *pair = pool_pair(&t->pool, f);
        memcpy(id->client, pair->addr[client], sizeof id->client);
        memcpy(id->server, pair->addr[!client], sizeof id->server);
    } else {
        const uint32_t from[4] = {f->addr[client]}, to[4] = {f->addr[!client]};
        memcpy(id->client, from, sizeof id->client);
        memcpy(id->server, to, sizeof id->server);
    }
}

/* The round trip that a step of a handshake has completed. */
static void note_handshake_step(const struct emit_handshake *h, struct event_transition *e) {
    bool answered = e->state[EVENT_SERVER] == TCP_SYN_RECEIVED;
    bool done = e->was[EVENT_SERVER] == TCP_SYN_RECEIVED;
    e->rtt_ns = answered ? h->server_ns : done ? h->client_ns : 0;
    e->retried = e->rtt_ns != 0 && h->retried;
}

void emit_transition(struct flow_tracker *t, struct flow *f, uint64_t ts_ns, unsigned by,
                     const struct tcp_step *step, const struct emit_handshake *handshake) {
    unsigned client = flow_client(f);
    struct event e; /* not zeroed as a whole: a connection's part is ten times as large */
    e.ts_ns = ts_ns;
    e.type = EVENT_TRANSITION;
    emit_identity(t, f, &e.flow);
    for (unsigned role = 0; role < 2; role++) {
        unsigned side = role == EVENT_CLIENT ? client : !client;
        e.transition.state[role] = step->state[side];
        e.transition.was[role] = step->was[side];
    }
    e.transition.cause = step->cause;
    /* After a restart what came before is missing; the next transition may be of something older.
     */
    bool unsure = (f->flags & FLOW_UNSURE) && step->inferred == TCP_PROVEN;
    e.transition.inferred = unsure ? TCP_INFERRED_GAP : step->inferred;
    restore_settle(t, f);
    e.transition.by = by == FLOW_NOBODY ? EVENT_NOBODY : by == client ? EVENT_CLIENT : EVENT_SERVER;
    note_handshake_step(handshake, &e.transition);
    e.transition.over = handshake->over != NULL;
    if (e.transition.over)
        e.transition.fresh = *handshake->over;
    t->counters.transitions++;
    t->sink(t->context, &e);
}

static void send_transition(struct flow_tracker *t, struct body *b, uint64_t ts_ns, unsigned by,
                            const struct tcp_step *step) {
    bool restored = (b->flow->flags & FLOW_RESTORED) != 0; /* that holds its identity there */
    const struct emit_handshake h = {.server_ns = restored ? 0 : b->handshake_server_ns,
                                     .client_ns = b->handshake_client_ns,
                                     .retried =
                                         b->tcp.detail[0].tries > 0 || b->tcp.detail[1].tries > 0};
    emit_transition(t, b->flow, ts_ns, by, step, &h);
}

void emit_step(struct flow_tracker *t, struct body *b, uint64_t ts_ns, unsigned by,
               const struct tcp_step *step) {
    /* That TIME_WAIT ended by its timer is no doubt about the connection. */
    bool doubt = step->inferred != TCP_PROVEN && step->cause != TCP_CAUSE_TIMEOUT_TIME_WAIT;
    if (doubt && (b->inferred == TCP_PROVEN || step->inferred < b->inferred) && !t->at_end)
        b->inferred = step->inferred;
    send_transition(t, b, ts_ns, by, step);
}

void emit_roles(struct flow_tracker *t, struct body *b, uint64_t ts_ns, const struct moment *m) {
    struct tcp_step step = {.state = {m->state[0], m->state[1]},
                            .was = {m->state[0], m->state[1]},
                            .cause = TCP_CAUSE_ROLES};
    send_transition(t, b, ts_ns, FLOW_NOBODY, &step);
}

enum event_end emit_end_of(const struct body *b) {
    const struct flow *f = b->flow;
    if (b->last_cause == TCP_CAUSE_EVICT)
        return EVENT_END_EVICTED;
    if (f->flags & FLOW_REFUSED)
        return EVENT_END_REFUSED;
    if (f->flags & FLOW_RESET)
        return EVENT_END_RST;
    if ((b->tcp.end[0].flags & b->tcp.end[1].flags & TCP_FIN_SENT) &&
        (b->last_cause == TCP_CAUSE_TIMEOUT_TIME_WAIT || b->last_cause < TCP_CAUSE_ICMP))
        return EVENT_END_FIN;
    return EVENT_END_TIMEOUT;
}

void moment_take(const struct body *b, struct moment *m) {
    for (unsigned side = 0; side < 2; side++) {
        m->state[side] = b->tcp.end[side].state;
        m->since_ns[side] = b->tcp.detail[side].since_ns;
    }
}

void emit_connection(struct flow_tracker *t, const struct body *b, uint64_t ts_ns,
                     enum event_end end, const struct moment *m, event_sink *sink, void *context) {
    const struct flow *f = b->flow;
    unsigned client = flow_client(f);
    struct event e = {.ts_ns = ts_ns, .type = EVENT_CONNECTION};
    struct event_connection *c = &e.connection;
    emit_identity(t, f, &e.flow);
    for (unsigned role = 0; role < 2; role++) {
        unsigned side = role == EVENT_CLIENT ? client : !client;
        c->side[role] = (struct event_side){.bytes = tcp_bytes(&b->tcp, side),
                                            .packets = tcp_packets(&b->tcp, side),
                                            .retransmits = b->faults.retransmits[side],
                                            .out_of_order = b->faults.out_of_order[side],
                                            .zero_windows = b->faults.zero_windows[side],
                                            .dup_acks = b->faults.dup_acks[side],
                                            .rtt_ns = (uint64_t)b->tcp.end[side].rtt_us * 1000};
        c->state[role] = m->state[side];
        c->since_ns[role] = m->since_ns[side];
    }
    c->end = (uint8_t)end;
    c->inferred = b->inferred;
    c->role_score = b->role_score;
    c->last_ns = flow_last_ns(f);
    c->handshake_server_rtt_ns = f->flags & FLOW_RESTORED ? 0 : b->handshake_server_ns;
    c->handshake_client_rtt_ns = b->handshake_client_ns;
    c->missed_bytes = b->faults.missed_bytes;
    signal_fresh(b, &c->fresh);
    c->reset_by = EVENT_NOBODY;
    if (end == EVENT_END_RST) {
        c->reset_by = b->faults.reset_by == client ? EVENT_CLIENT : EVENT_SERVER;
        c->reset_was[EVENT_CLIENT] = b->faults.reset_was[client];
        c->reset_was[EVENT_SERVER] = b->faults.reset_was[!client];
    }
    zeek_history(&b->zeek, (int)client, c->history);
    const char *conn_state = zeek_conn_state(&b->zeek, (int)client);
    memcpy(c->conn_state, conn_state, strnlen(conn_state, sizeof c->conn_state - 1));
    sink(context, &e);
}
