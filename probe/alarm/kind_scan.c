/*
 * port_scan: one client tries many ports of one server and fails; host_scan: one port of many
 * servers. A try has failed when it was refused, unanswered (3 s), closed without any octet of
 * data, or was a segment that no connection begins with (FIN, NULL, Xmas scans: nmap's manual).
 * Different (server, port) pairs of the last `age` seconds are counted; raised at `raise` of them
 * and `ratio` % of those tried; quiet in windows without a new one. Clients of the allow lists are
 * not looked at.
 *
 * Two failed tries of a client are remembered with it; at the third different one it gets a list of
 * its last 128 tries. There are so many lists; the one with the oldest tries makes room.
 */
#include "engine.h"

static bool is_same(const struct base_addr *server, uint16_t port, const struct event_flow *f) {
    return port == f->server_port && server->family == f->family &&
           memcmp(server->octet, f->server, 16) == 0;
}

void scan_forget(struct client *c) {
    if (c->scan != NULL)
        c->scan->client = UINT32_MAX;
    c->scan = NULL;
}

static struct scan *take_scan(struct alarm_engine *a, struct client *c) {
    struct scan *oldest = NULL;
    for (uint32_t i = 0; i < a->scans; i++) {
        if (a->scan[i]->client == UINT32_MAX)
            return a->scan[i];
        if (oldest == NULL ||
            a->client[a->scan[i]->client].last_ns < a->client[oldest->client].last_ns)
            oldest = a->scan[i];
    }
    if (a->scans < MOST_SCANS) {
        struct scan **grown = reallocarray(a->scan, a->scans + 1, sizeof *grown);
        if (grown == NULL)
            return NULL;
        a->scan = grown;
        a->scan[a->scans] = calloc(1, sizeof **a->scan);
        return a->scan[a->scans] != NULL ? a->scan[a->scans++] : NULL;
    }
    (void)c;
    a->client[oldest->client].scan = NULL;
    return oldest;
}

static void add_try(struct scan *s, const struct event_flow *f, uint64_t ts_ns, bool failed) {
    uint32_t at = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (is_same(&s->try[i].server, s->try[i].port, f)) {
            s->try[i].ts_ns = ts_ns;
            s->try[i].failed = failed;
            return;
        }
        if (s->try[i].ts_ns < s->try[at].ts_ns)
            at = i;
    }
    if (s->count < SCAN_TRIES)
        at = s->count++;
    s->try[at] =
        (struct scan_try){.port = f->server_port, .failed = failed, .fresh = true, .ts_ns = ts_ns};
    addr_of(f->family, f->server, &s->try[at].server);
}

/* Few clients ever fail at three different places within a minute. */
static void add_hint(struct alarm_engine *a, struct client *c, const struct event_flow *f,
                     uint64_t ts_ns) {
    if (ts_ns - c->hint_ns > (uint64_t)a->age_s[ALARM_PORT_SCAN] * BASE_NS_PER_S)
        c->hints = 0;
    for (unsigned i = 0; i < c->hints; i++)
        if (is_same(&c->hint[i].server, c->hint[i].port, f))
            return;
    c->hint_ns = ts_ns;
    if (c->hints < 2) {
        addr_of(f->family, f->server, &c->hint[c->hints].server);
        c->hint[c->hints++].port = f->server_port;
        return;
    }
    c->scan = take_scan(a, c);
    if (c->scan == NULL)
        return;
    *c->scan = (struct scan){.client = (uint32_t)(c - a->client)};
    for (unsigned i = 0; i < 2; i++) {
        struct event_flow hint = {.family = c->hint[i].server.family,
                                  .server_port = c->hint[i].port};
        memcpy(hint.server, c->hint[i].server.octet, 16);
        add_try(c->scan, &hint, c->hint_ns, true);
    }
    c->hints = 0;
    add_try(c->scan, f, ts_ns, true);
}

void scan_note(struct alarm_engine *a, const struct event_flow *f, uint64_t ts_ns, bool failed) {
    struct client *c = client_of(a, f->client, f->family, failed);
    if (c == NULL || (!failed && c->scan == NULL))
        return;
    c->last_ns = ts_ns;
    if (c->scan != NULL)
        add_try(c->scan, f, ts_ns, failed);
    else
        add_hint(a, c, f, ts_ns);
}

struct tally {
    unsigned failed, tried, fresh;
    struct base_addr server;
    uint16_t port;
};

/* How many tries go with the i-th: other ports of its server, or its port of other servers. */
static void count_with(const struct alarm_engine *a, const struct scan *s, uint32_t i, bool ports,
                       double age_s, struct tally *t) {
    *t = (struct tally){.server = s->try[i].server, .port = s->try[i].port};
    for (uint32_t k = 0; k < s->count; k++) {
        const struct scan_try *y = &s->try[k];
        bool with = ports ? addr_equal(&y->server, &t->server) : y->port == t->port;
        if (!with || (double)engine_ago(a, y->ts_ns) > age_s * (double)BASE_NS_PER_S)
            continue;
        t->tried++;
        t->failed += y->failed;
        t->fresh += y->fresh && y->failed;
    }
}

static void worst(const struct alarm_engine *a, const struct scan *s, bool ports, double age_s,
                  struct tally *most) {
    struct tally t;
    *most = (struct tally){0};
    for (uint32_t i = 0; i < s->count; i++) {
        count_with(a, s, i, ports, age_s, &t);
        if (t.failed > most->failed)
            *most = t;
        if (t.failed * 2 > s->count)
            return; /* no other server or port can have more */
    }
}

static void judge_scan(struct alarm_engine *a, struct client *c, enum alarm_kind kind) {
    struct judgement j;
    struct tally t = {0};
    if ((c->scan == NULL && !alarm_is_known(a, kind, NONE, &c->addr)) ||
        rules_allows(a->rules, &c->addr) || !judgement_begin(a, &j, kind, NONE, &c->addr))
        return;
    if (c->scan != NULL)
        worst(a, c->scan, kind == ALARM_PORT_SCAN, rule_of(&j, ALARM_AGE), &t);
    j.value = t.failed;
    j.raise = rule_of(&j, ALARM_RAISE);
    j.clear = 1;
    j.span_ns = (uint64_t)rule_of(&j, ALARM_AGE) * BASE_NS_PER_S;
    j.samples = t.fresh;
    bool fails = t.failed * 100.0 >= rule_of(&j, ALARM_RATIO) * t.tried;
    j.level = t.failed >= j.raise && fails && t.fresh > 0 ? LEVEL_WARNING
              : t.fresh == 0                              ? LEVEL_QUIET
                                                          : LEVEL_BETWEEN;
    j.detail.count = t.failed;
    j.detail.total = t.tried;
    j.detail.peer = t.server;
    j.detail.port = t.port;
    j.trouble = TROUBLE_REFUSED;
    alarm_judge(a, &j);
}

void detect_scan(struct alarm_engine *a, struct client *c) {
    judge_scan(a, c, ALARM_PORT_SCAN);
    judge_scan(a, c, ALARM_HOST_SCAN);
    for (uint32_t i = 0; c->scan != NULL && i < c->scan->count; i++)
        c->scan->try[i].fresh = false;
}
