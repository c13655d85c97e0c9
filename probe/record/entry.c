/*
 * Transitions, connections and gaps as the entries of the store's streams (design 1.4).
 *
 * Input: struct event, struct record_gap. Output: the values of the entry's fields in the order of
 * record_*_fields, each as a bulk string of the Redis protocol ("$LENGTH\r\nVALUE\r\n"), so that
 * the writer can send them as they are. Every field is always there; what is unknown is the empty
 * string. Pure but for the tables that the context lends.
 */
#include "text.h"

#include "spanwatch/record.h"

#include <assert.h>

const char *const record_transition_fields[] = {"ts",      "flow",  "client", "server",
                                                "service", "state", "was",    "cause"};

const char *const record_connection_fields[] = {"ts",
                                                "flow",
                                                "community_id",
                                                "client",
                                                "server",
                                                "service",
                                                "role_score",
                                                "start",
                                                "duration",
                                                "client_state",
                                                "server_state",
                                                "conn_state",
                                                "history",
                                                "end",
                                                "client_bytes",
                                                "server_bytes",
                                                "client_packets",
                                                "server_packets",
                                                "handshake_server_rtt",
                                                "handshake_client_rtt",
                                                "server_rtt",
                                                "client_rtt",
                                                "client_retransmits",
                                                "server_retransmits",
                                                "client_out_of_order",
                                                "server_out_of_order",
                                                "client_zero_windows",
                                                "server_zero_windows",
                                                "client_dup_acks",
                                                "server_dup_acks",
                                                "missed_bytes",
                                                "vlan",
                                                "tunnel",
                                                "inferred"};

const char *const record_gap_fields[] = {"type", "ts",   "probe", "from",
                                         "to",   "what", "lost",  "why"};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
static_assert(COUNT(record_transition_fields) == RECORD_TRANSITION_FIELDS, "header");
static_assert(COUNT(record_connection_fields) == RECORD_CONNECTION_FIELDS, "header");
static_assert(COUNT(record_gap_fields) == RECORD_GAP_FIELDS, "header");

/* A value is written where it stands when its length has two digits, as nearly all have; the others
 * are moved. */
enum { HEAD = 5 /* "$10\r\n" */ };

static char *bulk_begin(char *p) {
    return p + HEAD;
}

/* `p` is behind the value that began at bulk_begin(start). */
static char *bulk_end(char *start, char *p) {
    char head[24], *h = head;
    size_t n = (size_t)(p - start) - HEAD;
    if (n >= 10 && n < 100) {
        start[0] = '$';
        start[1] = (char)('0' + n / 10);
        start[2] = (char)('0' + n % 10);
        start[3] = '\r';
        start[4] = '\n';
        return RECORD_PUT(p, "\r\n");
    }
    *h++ = '$';
    h = record_put_uint(h, n);
    h = RECORD_PUT(h, "\r\n");
    memmove(start + (h - head), start + HEAD, n);
    memcpy(start, head, (size_t)(h - head));
    return RECORD_PUT(start + (h - head) + n, "\r\n");
}

char *record_put_bulk(char *p, const char *value, size_t n) {
    *p++ = '$';
    p = record_put_uint(p, n);
    p = RECORD_PUT(p, "\r\n");
    p = mempcpy(p, value, n);
    return RECORD_PUT(p, "\r\n");
}

static char *put_word(char *p, const char *word) {
    return record_put_bulk(p, word, strlen(word));
}

static char *put_uint(char *p, uint64_t v) {
    return bulk_end(p, record_put_uint(bulk_begin(p), v));
}

static char *put_time(char *p, uint64_t ns) {
    return bulk_end(p, record_put_time(bulk_begin(p), ns));
}

/* 0 is unknown. */
static char *put_measured(char *p, uint64_t ns) {
    return ns == 0 ? put_word(p, "") : put_time(p, ns);
}

static char *put_flow(const struct record_context *c, const struct event_flow *f, char *p) {
    return bulk_end(p, record_put_hex(bulk_begin(p), record_flow_id(c, f)));
}

/* record_put_endpoint ends with JSON's quote, which is dropped. */
static char *put_endpoint(char *p, const struct event_flow *f, int side) {
    const uint8_t *octet = side == EVENT_CLIENT ? f->client : f->server;
    uint16_t port = side == EVENT_CLIENT ? f->client_port : f->server_port;
    return bulk_end(p, record_put_endpoint(bulk_begin(p), f->family, octet, port) - 1);
}

static char *put_service(const struct record_context *c, const struct event_flow *f, char *p) {
    char buffer[SERVICE_NAME_MAX];
    return put_word(p, record_service(c, f, buffer));
}

static char *append(char *p, const char *text) {
    return mempcpy(p, text, strlen(text));
}

static char *put_pair(char *p, const uint8_t state[2]) {
    char *start = p;
    p = append(bulk_begin(p), tcp_state_name(state[EVENT_CLIENT]));
    *p++ = '/';
    return bulk_end(start, append(p, tcp_state_name(state[EVENT_SERVER])));
}

/* The cause, and what applies of ` inferred=gap vlan=20 tunnel=vxlan:7`. */
static char *put_cause(const struct record_context *c, const struct event *e, char *p) {
    char *start = p, text[RECORD_SCOPE_TEXT];
    p = append(bulk_begin(p), tcp_cause_name(e->transition.cause));
    if (e->transition.inferred != TCP_PROVEN)
        p = append(RECORD_PUT(p, " inferred="), tcp_inferred_name(e->transition.inferred));
    if (e->flow.scope != 0) {
        const struct decode_scope *s = decode_scope(c->decoder, e->flow.scope);
        if (record_vlan_text(s, text) > 0)
            p = append(RECORD_PUT(p, " vlan="), text);
        if (record_tunnel_text(s, text) > 0)
            p = append(RECORD_PUT(p, " tunnel="), text);
    }
    return bulk_end(start, p);
}

size_t record_transition_entry(const struct record_context *c, const struct event *e, char *out) {
    char *p = put_time(out, e->ts_ns);
    p = put_flow(c, &e->flow, p);
    p = put_endpoint(p, &e->flow, EVENT_CLIENT);
    p = put_endpoint(p, &e->flow, EVENT_SERVER);
    p = put_service(c, &e->flow, p);
    p = put_pair(p, e->transition.state);
    p = put_pair(p, e->transition.was);
    p = put_cause(c, e, p);
    return (size_t)(p - out);
}

static char *put_scope(const struct record_context *c, const struct event_flow *f, char *p) {
    char vlan[RECORD_SCOPE_TEXT] = "", tunnel[RECORD_SCOPE_TEXT] = "";
    if (f->scope != 0) {
        const struct decode_scope *s = decode_scope(c->decoder, f->scope);
        record_vlan_text(s, vlan);
        record_tunnel_text(s, tunnel);
    }
    return put_word(put_word(p, vlan), tunnel);
}

static char *put_counters(const struct event_connection *n, char *p) {
    const struct event_side *client = &n->side[EVENT_CLIENT], *server = &n->side[EVENT_SERVER];
    const uint64_t before[] = {client->bytes, server->bytes, client->packets, server->packets};
    const uint64_t behind[] = {client->retransmits,  server->retransmits,  client->out_of_order,
                               server->out_of_order, client->zero_windows, server->zero_windows,
                               client->dup_acks,     server->dup_acks,     n->missed_bytes};
    for (size_t i = 0; i < COUNT(before); i++)
        p = put_uint(p, before[i]);
    p = put_measured(p, n->handshake_server_rtt_ns);
    p = put_measured(p, n->handshake_client_rtt_ns);
    p = put_measured(p, server->rtt_ns);
    p = put_measured(p, client->rtt_ns);
    for (size_t i = 0; i < COUNT(behind); i++)
        p = put_uint(p, behind[i]);
    return p;
}

size_t record_connection_entry(const struct record_context *c, const struct event *e, char *out) {
    const struct event_connection *n = &e->connection;
    char id[RECORD_COMMUNITY_ID_TEXT], *p = put_time(out, e->ts_ns);
    size_t id_length = record_community_id(&e->flow, id);
    p = put_flow(c, &e->flow, p);
    p = record_put_bulk(p, id, id_length);
    p = put_endpoint(p, &e->flow, EVENT_CLIENT);
    p = put_endpoint(p, &e->flow, EVENT_SERVER);
    p = put_service(c, &e->flow, p);
    p = put_uint(p, n->role_score);
    p = put_time(p, e->flow.first_ns);
    p = put_time(p, n->last_ns - e->flow.first_ns);
    p = put_word(p, tcp_state_name(n->state[EVENT_CLIENT]));
    p = put_word(p, tcp_state_name(n->state[EVENT_SERVER]));
    p = put_word(p, n->conn_state);
    p = put_word(p, n->history);
    p = put_word(p, record_end_name(n->end));
    p = put_counters(n, p);
    p = put_scope(c, &e->flow, p);
    p = put_word(p, tcp_inferred_name(n->inferred));
    return (size_t)(p - out);
}

size_t record_gap_entry(const struct record_context *c, const struct record_gap *g, char *out) {
    const char *why = g->why != NULL ? g->why : "";
    char *p = put_time(put_word(out, "gap"), g->ts_ns);
    p = put_word(p, c->probe);
    p = put_time(p, g->from_ns);
    p = put_time(p, g->to_ns);
    p = put_word(p, record_gap_what_name(g->what));
    p = put_uint(p, g->lost);
    p = record_put_bulk(p, why, strnlen(why, RECORD_WHY_TEXT));
    return (size_t)(p - out);
}
