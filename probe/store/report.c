/*
 * What the report learns, connection by connection (store.h).
 *
 * Input: EVENT_CONNECTION events; transitions say nothing that these do not say at the end. Output:
 * struct store_report, which report_print.c prints. Owner: one thread. Memory: the two capped
 * tables of tally.h and short lists.
 */
#include "report.h"

#include <stdlib.h>
#include <sys/random.h>

static bool slower(const void *a, const void *b) {
    return ((const struct report_line *)a)->ns > ((const struct report_line *)b)->ns;
}

static bool older(const void *a, const void *b) {
    return ((const struct report_line *)a)->ns < ((const struct report_line *)b)->ns;
}

static struct store_top top_of(struct report_line *lines, size_t max, store_before *before) {
    return (struct store_top){.items = lines, .size = sizeof *lines, .max = max, .before = before};
}

struct store_report *store_report_new(const struct record_context *c) {
    struct store_report *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->context = c;
    /* Without random octets the seed stays zero: the tables work, only a stranger could slow them.
     */
    if (getrandom(r->hosts.seed, sizeof r->hosts.seed, GRND_NONBLOCK) > 0)
        memcpy(r->pairs.seed, r->hosts.seed, sizeof r->pairs.seed);
    for (int side = 0; side < 2; side++)
        r->slow[side] = top_of(r->slow_line[side], REPORT_SLOWEST, slower);
    r->half_open = top_of(r->half_open_line, REPORT_LINGERING, older);
    r->half_closed = top_of(r->half_closed_line, REPORT_LINGERING, older);
    return r;
}

enum { SENDER_UNKNOWN = 2 };

/* Who sent the reset, by Zeek's words: the connection's state where it says so, else the history's
 * first reset (upper case is the client's). An ICMP error may have ended the connection without any
 * reset. */
static unsigned reset_sender(const struct event_connection *n) {
    static const struct {
        const char *conn_state;
        unsigned sender;
    } known[] = {{"RSTO", EVENT_CLIENT},
                 {"RSTOS0", EVENT_CLIENT},
                 {"RSTR", EVENT_SERVER},
                 {"RSTRH", EVENT_SERVER}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(n->conn_state, known[i].conn_state) == 0)
            return known[i].sender;
    const char *reset = strpbrk(n->history, "Rr");
    if (reset == NULL)
        return SENDER_UNKNOWN;
    return *reset == 'R' ? EVENT_CLIENT : EVENT_SERVER;
}

static void learn_client(struct store_report *r, const struct event *e) {
    const struct event_connection *n = &e->connection;
    struct store_host *x = store_hosts_entry(&r->hosts, e->flow.family, e->flow.client);
    if (x == NULL)
        return;
    x->connections++;
    x->refused += n->end == EVENT_END_REFUSED;
    x->timeouts += n->end == EVENT_END_TIMEOUT;
    x->resets += n->end == EVENT_END_RST;
    for (int side = 0; side < 2; side++) {
        x->packets += n->side[side].packets;
        x->retransmits += n->side[side].retransmits;
        x->zero_windows += n->side[side].zero_windows;
    }
}

static void learn_reset(struct store_report *r, const struct event *e) {
    const struct event_connection *n = &e->connection;
    unsigned sender = reset_sender(n);
    if (sender == SENDER_UNKNOWN)
        return;
    if (n->end == EVENT_END_RST)
        r->resets_by[sender]++;
    struct store_host *x = store_hosts_entry(
        &r->hosts, e->flow.family, sender == EVENT_CLIENT ? e->flow.client : e->flow.server);
    if (x == NULL)
        return;
    x->resets_sent++;
    x->refusals_sent += n->end == EVENT_END_REFUSED;
}

static struct report_line line_of(const struct event *e, uint64_t ns) {
    const struct event_connection *n = &e->connection;
    return (struct report_line){
        .flow = e->flow, .state = {n->state[EVENT_CLIENT], n->state[EVENT_SERVER]}, .ns = ns};
}

static void learn_handshake(struct store_report *r, const struct event *e) {
    const struct event_connection *n = &e->connection;
    const uint64_t rtt[2] = {
        [EVENT_CLIENT] = n->handshake_client_rtt_ns, [EVENT_SERVER] = n->handshake_server_rtt_ns};
    for (int side = 0; side < 2; side++) {
        struct report_line line = line_of(e, rtt[side]);
        if (rtt[side] != 0)
            store_top_offer(&r->slow[side], &line);
    }
}

static bool is_half_closed(uint8_t state) {
    return state == TCP_CLOSE_WAIT || state == TCP_FIN_WAIT_2;
}

/* Connections that hang at the end of the capture: half-open (an unanswered SYN or SYN-ACK), or
 * closed by one side only, since the first of its sides came to that. */
static void learn_lingering(struct store_report *r, const struct event *e) {
    const struct event_connection *n = &e->connection;
    if (n->state[EVENT_SERVER] == TCP_SYN_RECEIVED || n->state[EVENT_CLIENT] == TCP_SYN_SENT) {
        int side = n->state[EVENT_SERVER] == TCP_SYN_RECEIVED ? EVENT_SERVER : EVENT_CLIENT;
        struct report_line line = line_of(e, n->since_ns[side]);
        store_top_offer(&r->half_open, &line);
        return;
    }
    uint64_t since = BASE_NEVER_NS;
    for (int side = 0; side < 2; side++)
        if (is_half_closed(n->state[side]) && n->since_ns[side] < since)
            since = n->since_ns[side];
    struct report_line line = line_of(e, since);
    if (since != BASE_NEVER_NS)
        store_top_offer(&r->half_closed, &line);
}

void store_report_event(void *report, const struct event *e) {
    struct store_report *r = report;
    const struct event_connection *n = &e->connection;
    char buffer[SERVICE_NAME_MAX];
    if (e->type != EVENT_CONNECTION)
        return;
    r->connections++;
    r->ends[n->end]++;
    r->inferred[n->inferred]++;
    r->payload_bytes += n->side[EVENT_CLIENT].bytes + n->side[EVENT_SERVER].bytes;
    store_pairs_add(&r->pairs, record_service(r->context, &e->flow, buffer), n);
    learn_client(r, e);
    learn_handshake(r, e);
    if (n->end == EVENT_END_RST || n->end == EVENT_END_REFUSED)
        learn_reset(r, e);
    if (n->end == EVENT_END_OPEN)
        learn_lingering(r, e);
}

static struct report_alarm *find_alarm(struct store_report *r, uint64_t id) {
    for (uint64_t i = 0; i < r->alarms && i < REPORT_ALARMS; i++)
        if (r->alarm[i].id == id)
            return &r->alarm[i];
    return NULL;
}

/* Its sentence is that of its worst: what the end says is only that it is over. */
void store_report_alarm(struct store_report *r, const struct alarm *a) {
    char summary[RECORD_SUMMARY_MAX];
    struct report_alarm *line = find_alarm(r, a->id);
    if (a->status == ALARM_RAISED && line == NULL && r->alarms++ < REPORT_ALARMS)
        line = &r->alarm[r->alarms - 1];
    if (line == NULL)
        return;
    if (a->status == ALARM_CLEARED) {
        line->ended_ns = a->ts_ns;
        return;
    }
    record_alarm_summary(r->context, a, summary);
    line->id = a->id;
    line->kind = a->kind;
    line->since_ns = a->since_ns;
    line->doubtful = a->doubtful;
    if (a->severity > line->severity)
        line->severity = a->severity;
    record_text_printable(summary, line->summary, sizeof line->summary);
}

void store_report_free(struct store_report *r) {
    if (r == NULL)
        return;
    store_hosts_fini(&r->hosts);
    store_pairs_fini(&r->pairs);
    free(r);
}
