/*
 * life: from judgements to messages: raised, updated, cleared.
 *
 *            level >= warning, N windows in a row          quiet, M windows in a row
 *   (none) -----------------------------------> in force -----------------------------> remembered
 *                 told: raised                   told: updated         told: cleared
 *
 * One entry a key (kind, service, client). It is remembered for ten minutes after its end: when it
 * comes back meanwhile, M doubles, up to an hour. A window in between the levels does neither; one
 * with too few samples neither, and six of these end a latency alarm.
 */
#include "engine.h"

#include <stdio.h>

enum {
    REMEMBER_S = 600, /* a raise so soon after the end is flapping */
    HOLD_MOST = 360,  /* windows: an hour */
    UPDATE_S = 60,    /* from one message to the next, unless the severity changes */
    THIN_WINDOWS = 6,
    GOOD_WINDOWS = 3 /* of a trusted tap, in which the level holds: the doubt is gone */
};

/* Loss at the tap can fake these (marked L in the catalogue). */
static const bool loss_sensitive[ALARM_KINDS] = {
    [ALARM_SYN_FLOOD] = true,           [ALARM_BACKLOG_FULL] = true,
    [ALARM_SERVICE_UNREACHABLE] = true, [ALARM_CONNECT_TIMEOUT] = true,
    [ALARM_CLOSE_WAIT_LEAK] = true,     [ALARM_FIN_WAIT2_STUCK] = true,
    [ALARM_IDLE_DEAD_PEER] = true,      [ALARM_RETRANS_STORM] = true,
};

/* Published: the id of an alarm is a hash under it. "spanwatc", "h-alarm1". */
static const uint64_t id_key[2] = {0x7370616e77617463u, 0x682d616c61726d31u};

/* ---- entries ---- */

static uint32_t tag_of(enum alarm_kind kind, int64_t service, const struct base_addr *client) {
    uint32_t more = (uint32_t)kind * 0x9e3779b1u ^ (uint32_t)(service + 1);
    return client != NULL ? index_hash(client, sizeof *client, more) : index_hash("", 0, more);
}

static bool is_key(const struct entry *e, enum alarm_kind kind, int64_t service,
                   const struct base_addr *client) {
    return e->kind == kind && e->service == service &&
           (client != NULL ? addr_equal(&e->client, client) : e->client.family == 0);
}

static struct entry *find(const struct alarm_engine *a, enum alarm_kind kind, int64_t service,
                          const struct base_addr *client) {
    if (a->of_kind[kind] == 0) /* asked for every pair in every window: mostly there is none */
        return NULL;
    uint32_t tag = tag_of(kind, service, client), at = tag;
    for (int64_t i; (i = index_next(&a->entry_index, tag, &at)) != NONE;)
        if (is_key(&a->entry[i], kind, service, client))
            return &a->entry[i];
    return NULL;
}

static void forget(struct alarm_engine *a, struct entry *e) {
    index_remove(&a->entry_index, e->tag, (uint32_t)(e - a->entry));
    a->of_kind[e->kind]--;
    *e = (struct entry){0};
}

static int64_t free_entry(struct alarm_engine *a) {
    for (uint32_t i = 0; i < a->entries; i++)
        if (!a->entry[i].used)
            return i;
    if (a->entries < a->entries_room)
        return a->entries++;
    uint32_t room = a->entries_room ? a->entries_room * 2 : 16;
    if (a->entries_room >= MOST_ALARMS) {
        a->counters.alarms_full++;
        return NONE;
    }
    struct entry *grown = reallocarray(a->entry, room, sizeof *grown);
    if (grown == NULL)
        return NONE;
    a->entry = grown;
    a->entries_room = room;
    return a->entries++;
}

static struct entry *make(struct alarm_engine *a, enum alarm_kind kind, int64_t service,
                          const struct base_addr *client) {
    uint32_t tag = tag_of(kind, service, client);
    int64_t i = free_entry(a);
    if (i == NONE)
        return NULL;
    a->entry[i] =
        (struct entry){.used = true, .kind = (uint8_t)kind, .service = service, .tag = tag};
    if (client != NULL)
        a->entry[i].client = *client;
    if (index_insert(&a->entry_index, tag, (uint32_t)i) != 0) {
        a->entry[i].used = false;
        return NULL;
    }
    a->of_kind[kind]++;
    return &a->entry[i];
}

bool alarm_is_known(const struct alarm_engine *a, enum alarm_kind kind, int64_t service,
                    const struct base_addr *client) {
    return find(a, kind, service, client) != NULL;
}

bool alarm_is_active(const struct alarm_engine *a, enum alarm_kind kind, int64_t service,
                     const struct base_addr *client) {
    const struct entry *e = find(a, kind, service, client);
    return e != NULL && e->active;
}

bool judgement_begin(struct alarm_engine *a, struct judgement *j, enum alarm_kind kind,
                     int64_t service, const struct base_addr *client) {
    *j = (struct judgement){.kind = kind,
                            .service = service,
                            .client = client,
                            .rule = rules_find(a->rules, kind, service_word(a, service), client),
                            .raise = NAN,
                            .clear = NAN,
                            .baseline = NAN,
                            .trouble = TROUBLE_SORTS,
                            .detail = {.count = NAN,
                                       .total = NAN,
                                       .rate = NAN,
                                       .median = NAN,
                                       .age_s = NAN,
                                       .side = EVENT_NOBODY}};
    if (rule_of(j, ALARM_ENABLED) != 0)
        return true;
    j->over = true;
    j->reason = ALARM_RULE_OFF;
    alarm_judge(a, j);
    return false;
}

/* ---- what a message says beside its level ---- */

static void put_scope(const struct alarm_engine *a, const struct entry *e, struct alarm *m) {
    m->client = e->client;
    m->service = NULL;
    m->server = (struct base_addr){0};
    m->interface = m->vlan = NULL;
    if (e->service < NONE) {
        const struct tap *t = &a->tap[tap_of_key(e->service)];
        m->interface = *t->interface != '\0' ? t->interface : NULL;
        m->vlan = *t->vlan != '\0' ? t->vlan : NULL;
    }
    if (e->service < 0)
        return;
    const struct service *s = &a->service[e->service];
    m->service = s->name;
    m->server = s->server;
    m->server_port = s->port;
    m->server_scope = s->scope;
}

static uint64_t make_id(const struct entry *e, const struct alarm *m) {
    struct {
        uint64_t since_ns;
        char service[64];
        struct base_addr server, client;
        uint16_t port;
        uint8_t kind, zero[4];
    } text;
    memset(&text, 0, sizeof text); /* no octet of padding may differ */
    text.kind = e->kind;
    text.since_ns = e->began_ns;
    text.client = m->client;
    if (m->service != NULL) {
        strncpy(text.service, m->service, sizeof text.service - 1);
    } else if (m->interface != NULL || m->vlan != NULL) {
        snprintf(text.service, sizeof text.service, "%s %s", m->interface ? m->interface : "",
                 m->vlan ? m->vlan : "");
    } else {
        text.server = m->server;
        text.port = m->server_port;
    }
    return base_siphash(id_key, &text, sizeof text);
}

/* The ten pairs of the service that have most of it. */
static void put_top(const struct alarm_engine *a, const struct judgement *j, struct alarm *m) {
    m->tops = 0;
    if (j->share == 0 || j->service < 0)
        return;
    for (uint32_t i = 0; i < a->pairs; i++) {
        const struct pair *p = &a->pair[i];
        if (!a->watch[i].used || p->service != j->service)
            continue;
        uint32_t value;
        memcpy(&value, (const char *)p + j->share, sizeof value);
        unsigned at = m->tops < ALARM_TOP ? m->tops++ : ALARM_TOP;
        for (; at > 0 && m->top[at - 1].value < value; at--)
            if (at < ALARM_TOP)
                m->top[at] = m->top[at - 1];
        if (value > 0 && at < ALARM_TOP)
            m->top[at] = (struct alarm_contributor){p->client, value};
        else if (value == 0 && at < ALARM_TOP)
            m->tops = at;
    }
}

static bool is_told(const struct alarm *m, const struct event_flow *f) {
    for (unsigned i = 0; i < m->flows; i++)
        if (trouble_is_same(&m->flow[i], f))
            return true;
    return false;
}

/* The last connections in trouble, each once, and when that was. */
static void put_evidence(const struct alarm_engine *a, const struct judgement *j, struct alarm *m) {
    m->flows = 0;
    m->from_ns = m->to_ns = 0;
    if (j->trouble == TROUBLE_SORTS)
        return;
    const struct troubles *r = &a->trouble[j->trouble];
    for (uint32_t n = 0; n < TROUBLE_RING && m->flows < ALARM_FLOWS; n++) {
        uint32_t at = (r->next - 1 - n) % TROUBLE_RING;
        const struct event_flow *f = &r->flow[at];
        if (r->ts_ns[at] == 0 || (j->service != NONE && r->service[at] != j->service))
            continue;
        if (j->client != NULL &&
            (f->family != j->client->family || memcmp(f->client, j->client->octet, 16) != 0))
            continue;
        if (engine_ago(a, r->ts_ns[at]) > 10 * 60 * BASE_NS_PER_S)
            break;
        if (!is_told(m, f))
            m->flow[m->flows++] = *f;
        m->from_ns = r->ts_ns[at];
        if (m->to_ns == 0)
            m->to_ns = r->ts_ns[at];
    }
}

static int by_time(const void *x, const void *y) {
    uint32_t p = *(const uint32_t *)x, q = *(const uint32_t *)y;
    return p < q ? -1 : p > q;
}

static void put_returned(const struct closers *c, struct alarm *m) {
    uint32_t took[CLOSER_RING], n = 0;
    m->returned.clients = c->count;
    m->returned.missing = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->back_s10[i] != 0)
            took[n++] = c->back_s10[i];
        else if (m->returned.missing++ < ALARM_TOP)
            m->returned.who[m->returned.missing - 1] = c->gone[i];
    }
    uint32_t middle = n / 2;
    m->returned.back = n;
    qsort(took, n, sizeof *took, by_time);
    m->returned.median_s = n > 0 ? took[middle] / 10.0 : NAN;
}

static void send(struct alarm_engine *a, struct entry *e, enum alarm_status status) {
    struct alarm *m = &e->last;
    m->ts_ns = a->now_ns;
    m->status = (uint8_t)status;
    m->seq = a->seq++;
    e->told_ns = a->now_ns;
    a->counters.messages++;
    a->config.sink(a->config.context, m);
}

static void describe(struct alarm_engine *a, struct entry *e, const struct judgement *j) {
    struct alarm *m = &e->last;
    m->kind = e->kind;
    m->severity = e->severity;
    m->since_ns = e->began_ns;
    put_scope(a, e, m);
    m->id = m->id != 0 ? m->id : make_id(e, m); /* once for all: also over a restart */
    m->value = j->value;
    m->threshold = j->raise;
    m->clear_level = j->clear;
    m->baseline = j->baseline;
    m->rule = j->rule->source;
    m->window_ns = j->span_ns != 0 ? j->span_ns : ALARM_WINDOW_NS;
    m->drop_ratio = a->drop_ratio;
    m->gap_ratio = a->gap_ratio;
    m->one_sided_ratio = a->one_sided_ratio;
    m->detail = j->detail;
    m->forecast_ns = j->forecast_ns;
    m->forecast_limit = j->limit;
    put_top(a, j, m);
    put_evidence(a, j, m);
    if (j->closers != NULL)
        put_returned(j->closers, m);
}

/* ---- the life ---- */

static void raise_it(struct alarm_engine *a, struct entry *e, const struct judgement *j) {
    bool again = e->cleared_ns != 0 && a->now_ns - e->cleared_ns < REMEMBER_S * BASE_NS_PER_S;
    uint32_t hold = (uint32_t)rule_of(j, ALARM_CLEAR_WINDOWS);
    e->hold = !again ? hold : e->hold * 2 > HOLD_MOST ? HOLD_MOST : e->hold * 2;
    if (e->hold < hold)
        e->hold = hold;
    e->active = true;
    e->restored = false;
    e->severity = j->level == LEVEL_CRITICAL ? ALARM_IS_CRITICAL : ALARM_WARNING;
    e->peak = j->value;
    e->samples = j->samples;
    e->last = (struct alarm){0};
    e->last.doubtful = loss_sensitive[j->kind] && engine_doubts(a);
    a->counters.active++;
    describe(a, e, j);
    send(a, e, ALARM_RAISED);
}

static void clear_it(struct alarm_engine *a, struct entry *e, const struct judgement *j,
                     enum alarm_reason reason) {
    uint64_t began_ns = e->began_ns;
    describe(a, e, j);
    e->last.reason = (uint8_t)reason;
    e->last.duration_ns = a->now_ns > began_ns ? a->now_ns - began_ns : 0;
    e->last.peak = e->peak;
    e->last.samples = e->samples;
    send(a, e, ALARM_CLEARED);
    e->active = e->restored = false;
    e->cleared_ns = a->now_ns;
    e->raising = e->critical = e->quiet = e->thin = e->good = 0;
    a->counters.active--;
}

static bool worse(const struct entry *e, double value) {
    return e->kind == ALARM_CLIENT_DROP ? value < e->peak : value > e->peak;
}

static void go_on(struct alarm_engine *a, struct entry *e, const struct judgement *j) {
    bool told = false;
    if (!isnan(j->value) && (isnan(e->peak) || worse(e, j->value)))
        e->peak = j->value;
    e->samples += j->samples;
    e->quiet = j->level == LEVEL_QUIET && !j->thin ? e->quiet + 1 : j->thin ? e->quiet : 0;
    e->thin = j->thin ? e->thin + 1 : 0;
    e->good = j->level >= LEVEL_WARNING && !engine_doubts(a) ? e->good + 1 : 0;
    if (j->over || (e->quiet >= e->hold && e->quiet > 0)) {
        clear_it(a, e, j, e->restored ? ALARM_RESTART : j->reason);
        return;
    }
    if (e->thin >= THIN_WINDOWS) {
        clear_it(a, e, j, ALARM_TOO_FEW);
        return;
    }
    if (j->level >= LEVEL_WARNING)
        e->restored = false; /* it is true after the restart, too */
    /* It rises at once, and falls when it was lower for as long as it takes to clear. */
    e->critical = j->level == LEVEL_CRITICAL ? 0 : e->critical + 1;
    uint8_t severity = j->level == LEVEL_CRITICAL ? ALARM_IS_CRITICAL
                       : e->critical >= e->hold   ? ALARM_WARNING
                                                  : e->severity;
    bool doubtful = e->last.doubtful && e->good < GOOD_WINDOWS;
    told = severity != e->severity || doubtful != e->last.doubtful ||
           a->now_ns - e->told_ns >= UPDATE_S * BASE_NS_PER_S;
    e->severity = severity;
    e->last.doubtful = doubtful;
    if (!told || e->restored) /* what is not known to be true is not repeated */
        return;
    describe(a, e, j);
    send(a, e, ALARM_UPDATED);
}

void alarm_judge(struct alarm_engine *a, const struct judgement *j) {
    struct entry *e = find(a, j->kind, j->service, j->client);
    if (e == NULL) {
        if (j->level < LEVEL_WARNING || j->thin || j->over)
            return;
        e = make(a, j->kind, j->service, j->client);
        if (e == NULL)
            return;
    }
    e->judged = true;
    if (e->active) {
        go_on(a, e, j);
        return;
    }
    if (j->thin) /* neither raises nor takes back what was on its way */
        return;
    if (j->level < LEVEL_WARNING || j->over) {
        e->raising = 0;
        return;
    }
    if (e->raising++ == 0)
        e->began_ns = j->since_ns != 0 ? j->since_ns : a->now_ns - ALARM_WINDOW_NS;
    if (e->raising >= rule_of(j, ALARM_WINDOWS) || j->level == LEVEL_CRITICAL)
        raise_it(a, e, j);
}

void alarm_settle(struct alarm_engine *a) {
    for (uint32_t i = 0; i < a->entries; i++) {
        struct entry *e = &a->entry[i];
        if (!e->used)
            continue;
        if (!e->judged && e->active && a->whole) {
            struct base_addr client = e->client;
            struct judgement j;
            if (judgement_begin(a, &j, (enum alarm_kind)e->kind, e->service,
                                client.family != 0 ? &client : NULL))
                alarm_judge(a, &j);
        }
        e->judged = false;
        if (!e->active && e->raising == 0 &&
            (e->cleared_ns == 0 || a->now_ns - e->cleared_ns > REMEMBER_S * BASE_NS_PER_S))
            forget(a, e);
    }
}

/* ---- across a restart ---- */

static int64_t service_by_name(const struct alarm_engine *a, const char *name) {
    for (uint32_t i = 0; i < a->services; i++)
        if (a->service[i].used && a->service[i].name != NULL &&
            strcmp(a->service[i].name, name) == 0)
            return i;
    return NONE;
}

/* Another one has taken its place meanwhile: it is over. */
static void bury(struct alarm_engine *a, const struct alarm *was) {
    struct alarm m = *was;
    m.ts_ns = a->now_ns;
    m.status = ALARM_CLEARED;
    m.reason = ALARM_RESTART;
    m.duration_ns = engine_ago(a, was->since_ns);
    m.seq = a->seq++;
    a->counters.messages++;
    a->config.sink(a->config.context, &m);
}

void alarm_restore(struct alarm_engine *a, const struct alarm *was) {
    const struct base_addr *client = was->client.family != 0 ? &was->client : NULL;
    int64_t service = NONE;
    if (was->kind == ALARM_MIRROR_ONE_SIDED || was->kind == ALARM_CAPTURE_SILENT) {
        uint32_t tap = tap_named(a, was->interface != NULL ? was->interface : "",
                                 was->vlan != NULL ? was->vlan : "");
        service = tap_key(tap);
        if (a->tap[tap].last_packets_ns == 0)
            a->tap[tap].last_packets_ns = was->since_ns; /* of a silence, which may go on */
    } else if (was->server.family != 0) {
        struct event_flow f = {.family = was->server.family, .server_port = was->server_port};
        memcpy(f.server, was->server.octet, 16);
        service = service_of(a, &f);
    } else if (was->service != NULL) {
        service = service_by_name(a, was->service);
    }
    if (service == NONE && (was->service != NULL || was->server.family != 0))
        return; /* of several servers, and none was seen yet: it comes again when it is true */
    struct entry *e = find(a, (enum alarm_kind)was->kind, service, client);
    if (e == NULL)
        e = make(a, (enum alarm_kind)was->kind, service, client);
    if (e != NULL && e->active && e->last.id != was->id)
        bury(a, was);
    if (e == NULL || e->active)
        return;
    e->active = e->restored = true;
    e->severity = was->severity;
    e->began_ns = was->since_ns;
    e->peak = was->peak;
    e->hold = (uint32_t)rules_find(a->rules, (enum alarm_kind)was->kind, was->service, client)
                  ->number[ALARM_CLEAR_WINDOWS];
    e->last = *was;
    put_scope(a, e, &e->last);
    a->counters.active++;
}
