/*
 * Transitions, connections and rows as JSON (design 1.3, 1.6).
 *
 * Input: struct event. Output: one object and a newline in the caller's buffer, keys in the order
 * of the contract: counters always, unknown numbers and empty texts never. Transitions are the bulk
 * of all output, so that nothing here reads or writes twice. Pure but for the tables that the
 * context lends.
 */
#include "texts.h"

#include "spanwatch/record.h"

#include <assert.h>

static char *put_flow(const struct record_context *c, const struct event_flow *f, char *p) {
    p = RECORD_PUT(p, ",\"flow\":\"");
    p = record_put_hex(p, record_flow_id(c, f));
    *p++ = '"';
    return p;
}

static char *put_server(const struct record_context *c, const struct event_flow *f, char *p) {
    char buffer[SERVICE_NAME_MAX];
    struct record_server *known = c->texts != NULL ? record_server_at(c->texts, f) : NULL;
    if (known != NULL && record_server_is(known, f))
        return mempcpy(p, known->text, known->octets);
    char *begin = p;
    p = RECORD_PUT_ENDPOINT(p, "server", f->family, f->server, f->server_port);
    p = RECORD_PUT_TEXT(p, "service", record_service(c, f, buffer), RECORD_NAME_TEXT);
    if (known != NULL)
        record_server_keep(known, f, begin, (size_t)(p - begin));
    return p;
}

static char *put_endpoints(const struct record_context *c, const struct event_flow *f, char *p) {
    p = RECORD_PUT_ENDPOINT(p, "client", f->family, f->client, f->client_port);
    return put_server(c, f, p);
}

static char *put_states(const uint8_t state[2], char *p) {
    p = RECORD_PUT_WORD(p, "client_state", tcp_state_name(state[EVENT_CLIENT]));
    return RECORD_PUT_WORD(p, "server_state", tcp_state_name(state[EVENT_SERVER]));
}

static char *put_inferred(enum tcp_inferred inferred, char *p) {
    if (inferred == TCP_PROVEN)
        return p;
    return RECORD_PUT_WORD(p, "inferred", tcp_inferred_name(inferred));
}

static char *put_scope(const struct record_context *c, const struct event_flow *f, char *p) {
    char text[RECORD_SCOPE_TEXT];
    if (f->scope == 0)
        return p;
    const struct decode_scope *s = decode_scope(c->decoder, f->scope);
    if (record_vlan_text(s, text) > 0)
        p = RECORD_PUT_WORD(p, "vlan", text);
    if (record_tunnel_text(s, text) > 0)
        p = RECORD_PUT_WORD(p, "tunnel", text);
    return p;
}

static char *put_end(char *p) {
    return RECORD_PUT(p, "}\n");
}

static char *put_transition(const struct record_context *c, const struct event *e, char *p) {
    const struct event_transition *t = &e->transition;
    /* Corrected roles swap the sides; no side's state changes (design 1.2). */
    bool changes = t->cause != TCP_CAUSE_ROLES;
    p = record_put_ts(c, e->ts_ns, RECORD_PUT(p, "{\"type\":\"transition\",\"ts\":"));
    p = record_put_probe(c, p);
    p = put_flow(c, &e->flow, p);
    p = put_endpoints(c, &e->flow, p);
    p = put_states(t->state, p);
    if (changes && t->was[EVENT_CLIENT] != t->state[EVENT_CLIENT])
        p = RECORD_PUT_WORD(p, "client_was", tcp_state_name(t->was[EVENT_CLIENT]));
    if (changes && t->was[EVENT_SERVER] != t->state[EVENT_SERVER])
        p = RECORD_PUT_WORD(p, "server_was", tcp_state_name(t->was[EVENT_SERVER]));
    p = RECORD_PUT_WORD(p, "cause", tcp_cause_name(t->cause));
    p = put_inferred(t->inferred, p);
    return put_end(put_scope(c, &e->flow, p));
}

const char *record_end_name(enum event_end end) {
    static const char *const name[] = {
        [EVENT_END_FIN] = "fin",         [EVENT_END_RST] = "rst",
        [EVENT_END_REFUSED] = "refused", [EVENT_END_TIMEOUT] = "timeout",
        [EVENT_END_EVICTED] = "evicted", [EVENT_END_OPEN] = "open",
    };
    assert(end < sizeof name / sizeof *name);
    return name[end];
}

/* When it was, and how it went as a whole. */
static char *put_course(const struct event *e, char *p) {
    const struct event_connection *n = &e->connection;
    p = RECORD_PUT_TIME(p, "start", e->flow.first_ns);
    p = RECORD_PUT_TIME(p, "duration", n->last_ns - e->flow.first_ns);
    p = put_states(n->state, p);
    if (n->conn_state[0] != '\0')
        p = RECORD_PUT_WORD(p, "conn_state", n->conn_state);
    if (n->history[0] != '\0')
        p = RECORD_PUT_WORD(p, "history", n->history);
    return RECORD_PUT_WORD(p, "end", record_end_name(n->end));
}

/* RTTs; 0 is unknown. */
static char *put_rtts(const struct event_connection *n, char *p) {
    if (n->handshake_server_rtt_ns != 0)
        p = RECORD_PUT_TIME(p, "handshake_server_rtt", n->handshake_server_rtt_ns);
    if (n->handshake_client_rtt_ns != 0)
        p = RECORD_PUT_TIME(p, "handshake_client_rtt", n->handshake_client_rtt_ns);
    if (n->side[EVENT_SERVER].rtt_ns != 0)
        p = RECORD_PUT_TIME(p, "server_rtt", n->side[EVENT_SERVER].rtt_ns);
    if (n->side[EVENT_CLIENT].rtt_ns != 0)
        p = RECORD_PUT_TIME(p, "client_rtt", n->side[EVENT_CLIENT].rtt_ns);
    return p;
}

static char *put_measures(const struct event_connection *n, char *p) {
    const struct event_side *client = &n->side[EVENT_CLIENT], *server = &n->side[EVENT_SERVER];
    p = RECORD_PUT_UINT(p, "client_bytes", client->bytes);
    p = RECORD_PUT_UINT(p, "server_bytes", server->bytes);
    p = RECORD_PUT_UINT(p, "client_packets", client->packets);
    p = RECORD_PUT_UINT(p, "server_packets", server->packets);
    p = put_rtts(n, p);
    p = RECORD_PUT_UINT(p, "client_retransmits", client->retransmits);
    p = RECORD_PUT_UINT(p, "server_retransmits", server->retransmits);
    p = RECORD_PUT_UINT(p, "client_out_of_order", client->out_of_order);
    p = RECORD_PUT_UINT(p, "server_out_of_order", server->out_of_order);
    p = RECORD_PUT_UINT(p, "client_zero_windows", client->zero_windows);
    p = RECORD_PUT_UINT(p, "server_zero_windows", server->zero_windows);
    p = RECORD_PUT_UINT(p, "client_dup_acks", client->dup_acks);
    p = RECORD_PUT_UINT(p, "server_dup_acks", server->dup_acks);
    return RECORD_PUT_UINT(p, "missed_bytes", n->missed_bytes);
}

static char *put_connection(const struct record_context *c, const struct event *e, char *p) {
    const struct event_connection *n = &e->connection;
    p = record_put_ts(c, e->ts_ns, RECORD_PUT(p, "{\"type\":\"connection\",\"ts\":"));
    p = record_put_probe(c, p);
    p = put_flow(c, &e->flow, p);
    p = RECORD_PUT(p, ",\"community_id\":\"");
    p += record_community_id(&e->flow, p);
    *p++ = '"';
    p = put_endpoints(c, &e->flow, p);
    p = RECORD_PUT_UINT(p, "role_score", n->role_score);
    p = put_course(e, p);
    p = put_measures(n, p);
    p = put_scope(c, &e->flow, p);
    return put_end(put_inferred(n->inferred, p));
}

size_t record_event_json(const struct record_context *c, const struct event *e, char *out) {
    char *end = e->type == EVENT_TRANSITION ? put_transition(c, e, out) : put_connection(c, e, out);
    return (size_t)(end - out);
}

static struct base_addr address_of(const struct event_flow *f, unsigned role) {
    struct base_addr a = {.family = f->family};
    memcpy(a.octet, role == EVENT_CLIENT ? f->client : f->server, sizeof a.octet);
    return a;
}

const char *record_client_name(const struct record_context *c, const struct event_flow *f) {
    struct base_addr client = address_of(f, EVENT_CLIENT);
    return cmdb_client_name(c->cmdb, &client);
}

size_t record_endpoint(const struct event_flow *f, unsigned role, char out[BASE_ENDPOINT_TEXT]) {
    struct base_addr a = address_of(f, role);
    return base_endpoint_format(&a, role == EVENT_CLIENT ? f->client_port : f->server_port, out);
}

const char *record_service_attributes(const struct record_context *c, const struct event_flow *f) {
    char buffer[SERVICE_NAME_MAX];
    const char *json = c->cmdb != NULL ? cmdb_service(c->cmdb, record_service(c, f, buffer)) : NULL;
    return json != NULL && strcmp(json, "{}") != 0 ? json : NULL;
}

/* What the CMDB says of both ends. Attributes are JSON already, and shorter than CMDB_JSON_MAX. */
static char *put_cmdb(const struct record_context *c, const struct event_flow *f, char *p) {
    const char *name = record_client_name(c, f), *attributes = record_service_attributes(c, f);
    if (name != NULL)
        p = RECORD_PUT_TEXT(p, "client_name", name, RECORD_NAME_TEXT);
    if (attributes != NULL) {
        p = RECORD_PUT(p, ",\"cmdb\":");
        p = mempcpy(p, attributes, strlen(attributes));
    }
    return p;
}

size_t record_row_json(const struct record_context *c, const struct event *e, char *out) {
    const struct event_connection *n = &e->connection;
    char *p = record_put_text(RECORD_PUT(out, "{\"probe\":\""), c->probe, RECORD_NAME_TEXT);
    p = put_flow(c, &e->flow, p);
    p = put_endpoints(c, &e->flow, p);
    p = put_states(n->state, p);
    p = RECORD_PUT_TIME(p, "client_since", n->since_ns[EVENT_CLIENT]);
    p = RECORD_PUT_TIME(p, "server_since", n->since_ns[EVENT_SERVER]);
    p = put_inferred(n->inferred, p);
    p = put_end(put_cmdb(c, &e->flow, p));
    return (size_t)(p - out);
}
