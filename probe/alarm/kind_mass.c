/*
 * mass_close: a service loses its connections at a stroke. For each span of 5 s: closes of
 * connections that were open when it began, over those that were open then: where connections are
 * short, those that came and went within the span do not count. Raised above `raise` % and at
 * `samples` or more, where that is beyond chance: a service whose connections last half a minute
 * loses a fifth of them in any 5 s, and twice as many now and then. It is one event: what follows
 * is who comes back. Cleared when `clear` % of the clients are back, or after `limit` seconds.
 *
 * A connection is open from its handshake's end. That is where it began, but for those that took
 * LATE_S or longer (behind a full backlog they come by hundreds): these are remembered for 5 s.
 */
#include "engine.h"

/* More than six standard deviations above the mean of the minute before, as what comes one by one
 * has it (Poisson's). */
static bool beyond_chance(uint32_t closed, double usual) {
    return closed > usual + 6 * sqrt(usual);
}

/* ---- when a connection was open ---- */

static uint32_t late_tag(const struct event_flow *f) {
    uint32_t ports = (uint32_t)f->client_port << 16 | f->server_port;
    return index_hash(f->client, sizeof f->client, ports ^ (uint32_t)f->first_ns);
}

void mass_close_late(struct alarm_engine *a, const struct event *e) {
    uint32_t tag = late_tag(&e->flow);
    a->late[tag % LATE_OPENS] = (struct late_open){.tag = tag, .opened_ns = e->ts_ns};
    a->late_until_ns = e->ts_ns + BURST_S * BASE_NS_PER_S;
}

uint64_t mass_close_late_open(const struct alarm_engine *a, const struct event_flow *f) {
    uint32_t tag = late_tag(f);
    const struct late_open *l = &a->late[tag % LATE_OPENS];
    return l->tag == tag && l->opened_ns > f->first_ns ? l->opened_ns : f->first_ns;
}

/* ---- who closed ---- */

void mass_close_note(struct alarm_engine *a, uint32_t i, const struct event *e) {
    struct service *s = &a->service[i];
    if (mass_close_opened(a, e) / BASE_NS_PER_S == e->ts_ns / BASE_NS_PER_S)
        return; /* it was not open when the second began */
    if (s->closers == NULL) {
        double least = rules_find(a->rules, ALARM_MASS_CLOSE, s->name, NULL)->number[ALARM_SAMPLES];
        if ((double)s->open + 1 < least)
            return;
        s->closers = calloc(1, sizeof *s->closers);
        if (s->closers == NULL)
            return;
        s->has_closers = true;
    }
    struct closer *c = &s->closers->ring[s->closers->next++ % CLOSER_RING];
    addr_of(e->flow.family, e->flow.client, &c->client);
    c->ts_ns = e->ts_ns;
}

static void note_back(struct closers *c, uint32_t i, uint64_t ts_ns) {
    uint64_t tenths = ts_ns > c->at_ns ? (ts_ns - c->at_ns) / (BASE_NS_PER_S / 10) : 0;
    if (c->back_s10[i] == 0)
        c->back_s10[i] = tenths > 0 ? (uint32_t)tenths : 1;
}

void mass_close_back(struct alarm_engine *a, uint32_t i, const struct event *e) {
    struct closers *c = a->service[i].closers;
    for (uint32_t k = 0; k < c->count; k++)
        if (c->gone[k].family == e->flow.family &&
            memcmp(c->gone[k].octet, e->flow.client, 16) == 0)
            note_back(c, k, e->ts_ns);
}

/* Who opened one since, before it was known that anything happened; or still has another open. */
static void look_for_them(struct alarm_engine *a, uint32_t i, struct closers *c) {
    for (uint32_t k = 0; k < c->count; k++) {
        struct event_flow f = {.family = c->gone[k].family};
        memcpy(f.client, c->gone[k].octet, 16);
        const struct pair *p = pair_of(a, &f, i, false, false);
        if (p != NULL && (p->opened_ns > c->at_ns || p->established > 0))
            note_back(c, k, p->opened_ns > c->at_ns ? p->opened_ns : a->now_ns);
    }
}

static void remember(struct alarm_engine *a, uint32_t i, struct closers *c) {
    uint64_t from_ns = a->service[i].burst_ns;
    c->count = 0;
    c->at_ns = from_ns;
    memset(c->back_s10, 0, sizeof c->back_s10);
    for (uint32_t n = 0; n < CLOSER_RING; n++) {
        const struct closer *x = &c->ring[n];
        bool known = x->ts_ns < from_ns || x->ts_ns >= from_ns + 5 * BASE_NS_PER_S;
        for (uint32_t k = 0; k < c->count && !known; k++)
            known = addr_equal(&c->gone[k], &x->client);
        if (!known)
            c->gone[c->count++] = x->client;
        if (x->ts_ns >= from_ns && x->ts_ns > c->at_ns && x->ts_ns < from_ns + 5 * BASE_NS_PER_S)
            c->at_ns = x->ts_ns; /* who came back came after the last of them went */
    }
}

static uint32_t how_many_back(const struct closers *c) {
    uint32_t n = 0;
    for (uint32_t k = 0; k < c->count; k++)
        n += c->back_s10[k] != 0;
    return n;
}

void detect_mass_close(struct alarm_engine *a, int64_t i) {
    struct service *s = &a->service[i];
    struct closers *c = s->closers;
    struct judgement j;
    bool active = alarm_is_active(a, ALARM_MASS_CLOSE, i, NULL);
    if (c == NULL || (s->burst_most == 0 && !active) ||
        !judgement_begin(a, &j, ALARM_MASS_CLOSE, i, NULL))
        return;
    double share = s->burst_open > 0 ? 100.0 * s->burst_most / s->burst_open : 0;
    bool burst = s->burst_most >= rule_of(&j, ALARM_SAMPLES) && share > rule_of(&j, ALARM_RAISE) &&
                 beyond_chance(s->burst_most, (double)s->burst_usual) && !engine_doubts(a);
    j.value = share;
    j.raise = rule_of(&j, ALARM_RAISE);
    j.clear = rule_of(&j, ALARM_CLEAR);
    j.span_ns = 5 * BASE_NS_PER_S;
    j.samples = s->burst_most;
    j.since_ns = s->burst_ns;
    if (burst && !active)
        remember(a, (uint32_t)i, c);
    if (burst || active)
        look_for_them(a, (uint32_t)i, c);
    uint32_t back = how_many_back(c);
    bool returned = c->count > 0 && back * 100.0 >= rule_of(&j, ALARM_CLEAR) * c->count;
    bool waited =
        (double)engine_ago(a, c->at_ns) > rule_of(&j, ALARM_LIMIT) * (double)BASE_NS_PER_S;
    j.level = burst && !active ? LEVEL_WARNING : active && returned ? LEVEL_QUIET : LEVEL_BETWEEN;
    j.over = active && waited;
    j.reason = j.over ? ALARM_WAITED_ENOUGH : ALARM_RETURNED;
    j.detail.count = s->burst_most;
    j.detail.total = s->burst_open;
    j.closers = c;
    j.trouble = TROUBLE_CLOSED;
    alarm_judge(a, &j);
    if (active && !alarm_is_active(a, ALARM_MASS_CLOSE, i, NULL))
        c->count = 0;
}
