/*
 * The report on the page: what an operations engineer reads first (store.h).
 *
 * Input: struct store_report, the capture's own figures and counters. Output: about one screen of
 * text; a section that has nothing to say is left out. Numbers are rounded for reading: the records
 * hold the exact ones.
 */
#include "output.h"
#include "report.h"

#include "spanwatch/readable.h"

#include <inttypes.h>

enum { PAIRS_SHOWN = 20, CLIENTS_SHOWN = 10, SENDERS_SHOWN = 10, FILES_SHOWN = 8, WIDTH_MIN = 60 };

struct page { /* what every section needs */
    const struct store_report *report;
    const struct store_report_input *input;
    const struct record_stats *stats;
    struct store_columns *table; /* for one section at a time */
    FILE *out;
    unsigned width;
    bool colour;
};

static void heading(const struct page *p, const char *text) {
    if (p->colour)
        fprintf(p->out, "\n\033[1m%s\033[0m\n", text);
    else
        fprintf(p->out, "\n%s\n", text);
}

/* Begin a table with its heading and the names of its columns (up to a NULL). */
static struct store_columns *table(const struct page *p, const char *title, unsigned right,
                                   int elastic, const char *const *names) {
    heading(p, title);
    store_columns_init(p->table, right, elastic);
    for (; *names != NULL; names++)
        store_columns_cell(p->table, *names);
    store_columns_end_row(p->table);
    return p->table;
}

static void print_table(const struct page *p, uint64_t shown, uint64_t all) {
    store_columns_print(p->table, p->out, p->width);
    if (all > shown)
        fprintf(p->out, "  and %s more\n", base_readable_count(all - shown).text);
}

static void cell_count(struct store_columns *t, uint64_t n) {
    store_columns_cell(t, base_readable_count(n).text);
}

static void cell_states(struct store_columns *t, const uint8_t state[2]) {
    char text[48];
    snprintf(text, sizeof text, "%s/%s", tcp_state_name(state[EVENT_CLIENT]),
             tcp_state_name(state[EVENT_SERVER]));
    store_columns_cell(t, text);
}

static void cell_service(const struct page *p, const struct event_flow *f) {
    char buffer[SERVICE_NAME_MAX];
    store_columns_cell(p->table, record_service(p->report->context, f, buffer));
}

/* "10.7.0.17 pos-terminal-17": the name where the CMDB has one. */
static void cell_host(const struct page *p, const struct base_addr *a) {
    char text[BASE_ADDR_TEXT + CMDB_NAME_MAX];
    size_t n = base_addr_format(a, text);
    const char *name = cmdb_client_name(p->report->context->cmdb, a);
    if (name != NULL)
        snprintf(text + n, sizeof text - n, " %s", name);
    store_columns_cell(p->table, text);
}

/* The same of a connection's client: "10.7.0.17:40000 pos-terminal-17". */
static void cell_client(const struct page *p, const struct event_flow *f) {
    char text[BASE_ENDPOINT_TEXT + CMDB_NAME_MAX];
    size_t n = record_endpoint(f, EVENT_CLIENT, text);
    const char *name = record_client_name(p->report->context, f);
    if (name != NULL)
        snprintf(text + n, sizeof text - n, " %s", name);
    store_columns_cell(p->table, text);
}

static void cell_server(struct store_columns *t, const struct event_flow *f) {
    char text[BASE_ENDPOINT_TEXT];
    record_endpoint(f, EVENT_SERVER, text);
    store_columns_cell(t, text);
}

/* ---- the head ---- */

static void print_files(const struct page *p) {
    struct store_line l;
    store_line_begin(&l, p->out, p->width, "files");
    for (size_t i = 0; i < p->input->file_count && i < FILES_SHOWN; i++)
        store_line_item(&l, "%s", p->input->files[i]);
    if (p->input->file_count > FILES_SHOWN)
        store_line_item(&l, "and %zu more", p->input->file_count - FILES_SHOWN);
    store_line_end(&l);
}

static void print_span(const struct page *p) {
    const struct store_report_input *in = p->input;
    struct store_line l;
    store_line_begin(&l, p->out, p->width, "span");
    if (p->stats->packets == 0)
        store_line_item(&l, "no packets");
    else
        store_line_item(&l, "%s to %s UTC (%s)", base_readable_moment(in->first_ns, 0).text,
                        base_readable_moment(in->last_ns, in->first_ns).text,
                        base_readable_span(in->last_ns - in->first_ns).text);
    store_line_end(&l);
    store_line_begin(&l, p->out, p->width, "packets");
    store_line_item(&l, "%s", base_readable_count(p->stats->packets).text);
    store_line_item(&l, "%s", base_readable_bytes(p->stats->bytes).text);
    store_line_item(&l, "%s TCP", base_readable_percent(p->stats->tcp, p->stats->packets).text);
    store_line_end(&l);
}

static void print_fault(const struct page *p) {
    if (p->input->fault == NULL)
        return;
    struct store_line l;
    fputs(p->colour ? "\033[31m" : "", p->out);
    store_line_begin(&l, p->out, p->width, "fault");
    store_line_item(&l, "%s: %s", p->input->fault->what, p->input->fault->why);
    fputs(p->colour ? "\033[0m" : "", p->out);
    store_line_end(&l);
}

static void print_quality(const struct page *p) {
    const struct record_stats *s = p->stats;
    const struct {
        uint64_t n;
        const char *what;
    } faults[] = {{s->kernel_drops, "dropped by the kernel"},
                  {s->interface_drops, "dropped by the interface"},
                  {s->truncated, "truncated"},
                  {s->malformed, "malformed"},
                  {s->fragments, "fragmented"},
                  {s->duplicates, "duplicated"},
                  {s->reordered, "reordered"},
                  {s->time_jumps, "stamped far ahead"}};
    struct store_line l;
    store_line_begin(&l, p->out, p->width, "quality");
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (faults[i].n != 0)
            store_line_item(&l, "%s %s", base_readable_count(faults[i].n).text, faults[i].what);
    if (s->missed_bytes != 0) /* payload is counted by sequence number, what was missed included */
        store_line_item(&l, "%s of payload missed (%s)", base_readable_bytes(s->missed_bytes).text,
                        base_readable_percent(s->missed_bytes, p->report->payload_bytes).text);
    if (l.items == 0)
        store_line_item(&l, "clean");
    store_line_end(&l);
}

static void print_tcp(const struct page *p) {
    const struct store_report *r = p->report;
    struct store_line l;
    store_line_begin(&l, p->out, p->width, "tcp");
    store_line_item(&l, "%s %s", base_readable_count(r->connections).text,
                    r->connections == 1 ? "connection" : "connections");
    store_line_item(&l, "%s of payload", base_readable_bytes(r->payload_bytes).text);
    store_line_end(&l);
}

/* How much of what follows was not seen but concluded. */
static void print_inferred(const struct page *p) {
    static const char *const what[TCP_INFERRED_REASONS] = {
        [TCP_INFERRED_MIDSTREAM] = "begun before the capture",
        [TCP_INFERRED_GAP] = "with packets missing",
        [TCP_INFERRED_ONE_SIDED] = "seen in one direction only",
        [TCP_INFERRED_TIMER] = "ended by a timer",
    };
    const struct store_report *r = p->report;
    if (r->inferred[TCP_PROVEN] == r->connections)
        return;
    struct store_line l;
    store_line_begin(&l, p->out, p->width, "inferred");
    for (int i = TCP_PROVEN + 1; i < TCP_INFERRED_REASONS; i++)
        if (r->inferred[i] != 0)
            store_line_item(&l, "%s %s", base_readable_count(r->inferred[i]).text, what[i]);
    store_line_end(&l);
}

static void print_ends(const struct page *p) {
    const struct store_report *r = p->report;
    uint64_t unknown =
        r->ends[EVENT_END_RST] - r->resets_by[EVENT_CLIENT] - r->resets_by[EVENT_SERVER];
    const struct {
        uint64_t n;
        const char *how;
    } ends[] = {{r->ends[EVENT_END_FIN], "fin"},
                {r->resets_by[EVENT_CLIENT], "rst by client"},
                {r->resets_by[EVENT_SERVER], "rst by server"},
                {unknown, "rst by unknown"},
                {r->ends[EVENT_END_REFUSED], "refused"},
                {r->ends[EVENT_END_TIMEOUT], "timeout"},
                {r->ends[EVENT_END_EVICTED], "evicted"},
                {r->ends[EVENT_END_OPEN], "open"}};
    if (r->connections == 0)
        return;
    struct store_line l;
    store_line_begin(&l, p->out, p->width, "ended");
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends[i].n != 0)
            store_line_item(&l, "%s %s", base_readable_count(ends[i].n).text, ends[i].how);
    store_line_end(&l);
}

/* ---- the sections ---- */

static bool more_connections(const void *a, const void *b) {
    const struct store_pair *x = *(struct store_pair *const *)a,
                            *y = *(struct store_pair *const *)b;
    if (x->connections != y->connections)
        return x->connections > y->connections;
    return memcmp(&x->key, &y->key, sizeof x->key) < 0;
}

static void print_pairs(const struct page *p) {
    static const char *const names[] = {"service",   "client/server", "connections",
                                        "to server", "to client",     NULL};
    struct store_pair *shown[PAIRS_SHOWN], *x;
    struct store_top top = {
        .items = shown, .size = sizeof *shown, .max = PAIRS_SHOWN, .before = more_connections};
    for (x = p->report->pairs.table; x != NULL; x = x->hh.next)
        store_top_offer(&top, &x);
    if (top.count == 0)
        return;
    struct store_columns *t = table(p, "Connections by service and final state", 0x1c, 0, names);
    for (size_t i = 0; i < top.count; i++) {
        store_columns_cell(t, shown[i]->key.service);
        cell_states(t, shown[i]->key.state);
        cell_count(t, shown[i]->connections);
        store_columns_cell(t, base_readable_bytes(shown[i]->client_bytes).text);
        store_columns_cell(t, base_readable_bytes(shown[i]->server_bytes).text);
        store_columns_end_row(t);
    }
    print_table(p, top.count, top.offered);
}

static bool more_trouble(const void *a, const void *b) {
    const struct store_host *x = *(struct store_host *const *)a,
                            *y = *(struct store_host *const *)b;
    uint64_t score_x = store_host_score(x), score_y = store_host_score(y);
    if (score_x != score_y)
        return score_x > score_y;
    return memcmp(&x->address, &y->address, sizeof x->address) < 0;
}

static void print_clients(const struct page *p) {
    static const char *const names[] = {"client", "connections",   "refused",      "timeouts",
                                        "resets", "retransmitted", "zero windows", NULL};
    struct store_host *shown[CLIENTS_SHOWN], *x;
    struct store_top top = {
        .items = shown, .size = sizeof *shown, .max = CLIENTS_SHOWN, .before = more_trouble};
    for (x = p->report->hosts.table; x != NULL; x = x->hh.next)
        if (store_host_score(x) != 0)
            store_top_offer(&top, &x);
    if (top.count == 0)
        return;
    struct store_columns *t = table(p, "Clients in trouble", 0x7e, -1, names);
    for (size_t i = 0; i < top.count; i++) {
        cell_host(p, &shown[i]->address);
        cell_count(t, shown[i]->connections);
        cell_count(t, shown[i]->refused);
        cell_count(t, shown[i]->timeouts);
        cell_count(t, shown[i]->resets);
        store_columns_cell(t, base_readable_percent(shown[i]->retransmits, shown[i]->packets).text);
        cell_count(t, shown[i]->zero_windows);
        store_columns_end_row(t);
    }
    print_table(p, top.count, top.offered);
}

static bool more_resets(const void *a, const void *b) {
    const struct store_host *x = *(struct store_host *const *)a,
                            *y = *(struct store_host *const *)b;
    if (x->resets_sent != y->resets_sent)
        return x->resets_sent > y->resets_sent;
    return memcmp(&x->address, &y->address, sizeof x->address) < 0;
}

static void print_senders(const struct page *p) {
    static const char *const names[] = {"sender", "connections", "of which refused", NULL};
    struct store_host *shown[SENDERS_SHOWN], *x;
    struct store_top top = {
        .items = shown, .size = sizeof *shown, .max = SENDERS_SHOWN, .before = more_resets};
    for (x = p->report->hosts.table; x != NULL; x = x->hh.next)
        if (x->resets_sent != 0)
            store_top_offer(&top, &x);
    if (top.count == 0)
        return;
    struct store_columns *t = table(p, "Resets and refusals by sender", 0x6, -1, names);
    for (size_t i = 0; i < top.count; i++) {
        cell_host(p, &shown[i]->address);
        cell_count(t, shown[i]->resets_sent);
        cell_count(t, shown[i]->refusals_sent);
        store_columns_end_row(t);
    }
    print_table(p, top.count, top.offered);
}

static void print_slowest(const struct page *p, int side, const char *title) {
    static const char *const names[] = {"rtt", "client", "server", "service", NULL};
    const struct store_top *top = &p->report->slow[side];
    const struct report_line *line = top->items;
    if (top->count == 0)
        return;
    struct store_columns *t = table(p, title, 0x1, 3, names);
    for (size_t i = 0; i < top->count; i++) {
        store_columns_cell(t, base_readable_span(line[i].ns).text);
        cell_client(p, &line[i].flow);
        cell_server(t, &line[i].flow);
        cell_service(p, &line[i].flow);
        store_columns_end_row(t);
    }
    print_table(p, top->count, top->count); /* the others are not slow */
}

static void print_lingering(const struct page *p, const struct store_top *top, const char *title) {
    static const char *const names[] = {"since",         "for",     "client", "server",
                                        "client/server", "service", NULL};
    const struct report_line *line = top->items;
    uint64_t end = p->input->last_ns;
    if (top->count == 0)
        return;
    struct store_columns *t = table(p, title, 0x2, 5, names);
    for (size_t i = 0; i < top->count; i++) {
        store_columns_cell(t, base_readable_moment(line[i].ns, end).text);
        store_columns_cell(t, base_readable_span(line[i].ns < end ? end - line[i].ns : 0).text);
        cell_client(p, &line[i].flow);
        cell_server(t, &line[i].flow);
        cell_states(t, line[i].state);
        cell_service(p, &line[i].flow);
        store_columns_end_row(t);
    }
    print_table(p, top->count, top->offered);
}

/* What an operator would have been told. */
static void print_alarms(const struct page *p) {
    const struct store_report *r = p->report;
    struct store_line line;
    if (r->alarms == 0)
        return;
    heading(p, "Alarms");
    for (uint64_t i = 0; i < r->alarms && i < REPORT_ALARMS; i++) {
        const struct report_alarm *a = &r->alarm[i];
        store_line_begin(&line, p->out, p->width, record_alarm_severity(a->severity));
        store_line_item(&line, "%s", alarm_kind_name(a->kind));
        if (a->ended_ns != 0)
            store_line_item(&line, "over after %s",
                            base_readable_span(a->ended_ns - a->since_ns).text);
        else
            store_line_item(&line, "in force at the end");
        store_line_item(&line, "%s", a->summary);
        store_line_end(&line);
    }
    if (r->alarms > REPORT_ALARMS)
        fprintf(p->out, "  and %s more\n", base_readable_count(r->alarms - REPORT_ALARMS).text);
}

/* Where this report's own bounds were met. */
static void print_limits(const struct page *p) {
    const struct store_report *r = p->report;
    if (r->hosts.made_room + r->hosts.unkept + r->pairs.unlisted == 0)
        return;
    heading(p, "Limits of this report");
    if (r->hosts.made_room != 0)
        fprintf(p->out, "  %s hosts, the least troubled, made room for others\n",
                base_readable_count(r->hosts.made_room).text);
    if (r->hosts.unkept != 0)
        fprintf(p->out, "  %s events of hosts found no memory\n",
                base_readable_count(r->hosts.unkept).text);
    if (r->pairs.unlisted != 0)
        fprintf(p->out,
                "  %s connections are in no line by service: too many services, or no memory\n",
                base_readable_count(r->pairs.unlisted).text);
}

int store_report_print(struct store_report *r, const struct store_report_input *in,
                       const struct record_stats *s, FILE *out, bool colour, unsigned width,
                       struct base_error *error) {
    struct store_columns columns;
    int fault = 0;
    const struct page page = {.report = r,
                              .input = in,
                              .stats = s,
                              .table = &columns,
                              .out = out,
                              .width = width < WIDTH_MIN ? WIDTH_MIN : width,
                              .colour = colour};
    const struct page *p = &page;
    print_files(p);
    print_span(p);
    print_fault(p);
    print_quality(p);
    print_tcp(p);
    print_ends(p);
    print_inferred(p);
    print_alarms(p);
    print_pairs(p);
    print_slowest(p, EVENT_SERVER, "Slowest handshakes, server side (SYN to SYN-ACK)");
    print_slowest(p, EVENT_CLIENT, "Slowest handshakes, client side (SYN-ACK to ACK)");
    print_senders(p);
    print_clients(p);
    print_lingering(p, &r->half_open, "Half-open at the end, oldest first");
    print_lingering(p, &r->half_closed, "Half-closed at the end, oldest first");
    print_limits(p);
    store_output_good(out, &fault);
    return store_output_end(out, &fault, error);
}
