/*
 * feed: what an event counts, and for whom. No detector runs here, and nothing is judged.
 *
 * Gauges (half-open, open) follow the transitions; each picture sets them right (feed_member.c).
 * All else is counted in the window that goes on, and forgotten at its end (tables_turn).
 */
#include "engine.h"

enum {
    MINUTE_S = 60,
    BURST_FROM = 16,    /* open connections: fewer cannot close in masses */
    MANY_CLOSED = 4,    /* one in so many of those that were open */
    HALF_OPEN_FROM = 32 /* half-open connections: fewer are no evidence */
};

bool feed_is_listed(const struct alarm_engine *a, const struct event_flow *f) {
    struct base_addr client;
    addr_of(f->family, f->client, &client);
    return rules_allows(a->rules, &client);
}

/* ---- transitions ---- */

static uint32_t second_of(uint64_t ns) {
    return (uint32_t)(ns / BASE_NS_PER_S);
}

/* What was open when each of the last seconds began. A second's own 5 s are over when the fifth
 * after it begins: then they join what is usual. */
static void seconds_to(struct service *s, uint32_t second) {
    if (second > s->second + SECOND_RING)
        s->second = second - SECOND_RING;
    while (s->second < second) {
        s->second++;
        s->seconds += s->seconds < MINUTE_S;
        s->usual_closed +=
            ((float)s->second_closed[(s->second - BURST_S) % SECOND_RING] - s->usual_closed) /
            (float)s->seconds;
        s->second_open[s->second % SECOND_RING] = s->open > 0 ? (uint32_t)s->open : 0;
        s->second_closed[s->second % SECOND_RING] = 0;
    }
}

/* Enough to close in masses: open now, or a moment ago. */
static bool had_many(const struct service *s, uint32_t second) {
    return s->open >= BURST_FROM || s->second + BURST_S >= second;
}

/* A close counts for each span of 5 s that it lies in, and that the connection was open before. */
static void close_in_seconds(struct service *s, const struct event *e, uint64_t opened_ns) {
    uint64_t second = e->ts_ns / BASE_NS_PER_S, begun = opened_ns / BASE_NS_PER_S;
    uint64_t from = second - (BURST_S - 1);
    if (from <= begun)
        from = begun + 1;
    for (uint64_t at = from; at <= second; at++) {
        uint32_t n = ++s->second_closed[at % SECOND_RING];
        if (n <= s->burst_most)
            continue;
        s->burst_most = n;
        s->burst_open = s->second_open[at % SECOND_RING];
        s->burst_usual = s->usual_closed;
        s->burst_ns = at * BASE_NS_PER_S;
    }
}

static void on_close(struct alarm_engine *a, int64_t i, const struct event *e) {
    struct service *s = &a->service[i];
    uint32_t second = second_of(e->ts_ns);
    bool many = had_many(s, second);
    if (many)
        seconds_to(s, second);
    s->open -= s->open > 0;
    if (e->transition.cause != TCP_CAUSE_FIN && e->transition.cause != TCP_CAUSE_RST)
        return;
    s->closes++;
    if (many) {
        close_in_seconds(s, e, mass_close_opened(a, e));
        mass_close_note(a, (uint32_t)i, e);
    }
    if (!s->has_often || *sketch_at(a->sketch, pair_tag(&e->flow, (uint32_t)i)).opened < OFTEN)
        return;
    struct pair *p = pair_of(a, &e->flow, (uint32_t)i, false, false);
    if (p == NULL)
        return;
    p->closed++;
    p->short_lived +=
        e->ts_ns - e->flow.first_ns < (uint64_t)(a->age_s[ALARM_CHURN] * (double)BASE_NS_PER_S);
    ports_note(a, p, e->flow.client_port, e->ts_ns, false);
}

/* Many have closed in this window, or did a while ago: who opens one may be one who returns. */
static bool may_return(const struct service *s) {
    return s->has_closers &&
           (s->closers->count > 0 ||
            (s->burst_most >= BURST_FROM / 2 && s->burst_most * MANY_CLOSED >= s->burst_open));
}

static void on_open(struct alarm_engine *a, int64_t i, const struct event *e) {
    struct service *s = &a->service[i];
    bool seen = e->transition.was[EVENT_SERVER] == TCP_SYN_RECEIVED;
    uint32_t second = second_of(e->ts_ns);
    if (had_many(s, second))
        seconds_to(s, second);
    s->open++;
    if (e->ts_ns - e->flow.first_ns >= LATE_S * BASE_NS_PER_S)
        mass_close_late(a, e);
    if (s->has_closers)
        mass_close_back(a, (uint32_t)i, e);
    struct sketch_place at = sketch_at(a->sketch, pair_tag(&e->flow, (uint32_t)i));
    *at.opened = (uint8_t)(*at.opened + (*at.opened < UINT8_MAX));
    *at.here |= at.bit;
    bool often = *at.opened >= OFTEN, known = (*at.known & at.bit) != 0;
    s->has_often = s->has_often || often;
    uint32_t room = NEW_PAIRS + ++a->sketch->opened / NEW_SHARE;
    if (!often && !may_return(s) && (known || a->sketch->fresh >= room))
        return;
    a->sketch->fresh += !known; /* even if the table is full: to look for a place is dear */
    struct pair *p = pair_of(a, &e->flow, (uint32_t)i, true, seen);
    if (p == NULL)
        return;
    *at.known |= at.bit;
    p->last_ns = e->ts_ns;
    if (!seen && e->transition.inferred == TCP_INFERRED_MIDSTREAM)
        return;
    p->opened_ns = e->ts_ns;
    uint32_t more = often && p->opened < OFTEN ? OFTEN - p->opened : 1; /* those before, too */
    p->opened += more;
    p->minute_opened[0] += more;
    ports_note(a, p, e->flow.client_port, e->ts_ns, true);
}

static void on_attempt(struct alarm_engine *a, struct service *s, const struct event *e) {
    s->attempts_all++;
    if (feed_is_allowed(a, &e->flow))
        s->spared++;
}

static void on_refused(struct alarm_engine *a, int64_t i, const struct event *e) {
    struct service *s = &a->service[i];
    s->answered_ns = s->heard_ns = e->ts_ns;
    if (feed_is_allowed(a, &e->flow))
        return;
    s->refused++;
    trouble_note(a, TROUBLE_REFUSED, i, &e->flow, e->ts_ns);
    struct pair *p = pair_of(a, &e->flow, (uint32_t)i, false, false);
    if (p != NULL)
        p->refused++;
    scan_note(a, &e->flow, e->ts_ns, true);
}

void feed_timeout(struct alarm_engine *a, int64_t i, const struct event_flow *f, uint64_t ts_ns) {
    struct pair *p = pair_of(a, f, (uint32_t)i, true, false);
    if (p == NULL)
        return;
    p->timeouts++;
    p->last_ns = ts_ns;
    p->minute_timeouts[0] =
        (uint16_t)(p->minute_timeouts[0] + (p->minute_timeouts[0] < UINT16_MAX));
    trouble_note(a, TROUBLE_SILENT, i, f, ts_ns);
}

/* How old an attempt was in the last picture. Those of the catalogue's age were counted there. */
bool feed_was_counted(const struct alarm_engine *a, const struct event_flow *f, double age_s) {
    return a->window_ns > f->first_ns &&
           (double)(a->window_ns - f->first_ns) >= age_s * (double)BASE_NS_PER_S;
}

/* An attempt after the last one that was answered. Those begun before an answer say nothing. */
static void note_unanswered(struct service *s, const struct event_flow *f) {
    struct base_addr client;
    addr_of(f->family, f->client, &client);
    if (s->heard_ns > s->silent_last_ns) {
        memset(s->silent, 0, sizeof s->silent);
        memset(s->silent_client, 0, sizeof s->silent_client);
    }
    if (s->silent[0]++ == 0 || f->first_ns < s->silent_first_ns[0])
        s->silent_first_ns[0] = f->first_ns;
    if (f->first_ns > s->silent_last_ns)
        s->silent_last_ns = f->first_ns;
    if (s->silent_client[0].family == 0)
        s->silent_client[0] = client;
    else if (!addr_equal(&s->silent_client[0], &client))
        s->silent_client[1] = client;
}

/* An attempt that nobody has answered until now: it counts once, at the first picture that finds it
 * old enough, or when its client gave it up before. */
void feed_silence(struct alarm_engine *a, int64_t i, const struct event_flow *f, uint64_t now_ns) {
    double silent_s = a->age_s[ALARM_SERVICE_UNREACHABLE];
    if ((double)(now_ns - f->first_ns) < silent_s * (double)BASE_NS_PER_S ||
        feed_was_counted(a, f, silent_s))
        return;
    if (f->first_ns > a->service[i].heard_ns)
        note_unanswered(&a->service[i], f);
    trouble_note(a, TROUBLE_SILENT, i, f, now_ns);
    scan_note(a, f, now_ns, true);
}

static void note_unreachable(struct service *s, const struct event_flow *f) {
    struct base_addr client;
    addr_of(f->family, f->client, &client);
    if (s->icmp_first_ns == 0 || s->icmp_first_ns < s->answered_ns)
        s->icmp_first_ns = f->first_ns;
    if (f->first_ns > s->silent_last_ns)
        s->silent_last_ns = f->first_ns;
    if (s->icmp_client[0].family == 0)
        s->icmp_client[0] = client;
    else if (!addr_equal(&s->icmp_client[0], &client))
        s->icmp_client[1] = client;
}

static void on_given_up(struct alarm_engine *a, int64_t i, const struct event *e) {
    struct service *s = &a->service[i];
    switch (e->transition.cause) {
    case TCP_CAUSE_RST:
        if (e->transition.by == EVENT_SERVER)
            on_refused(a, i, e);
        return;
    case TCP_CAUSE_ICMP:
        if (feed_is_allowed(a, &e->flow))
            return;
        s->icmp++;
        note_unreachable(s, &e->flow);
        trouble_note(a, TROUBLE_SILENT, i, &e->flow, e->ts_ns);
        scan_note(a, &e->flow, e->ts_ns, true);
        return;
    case TCP_CAUSE_TIMEOUT_SYN_SENT:
    case TCP_CAUSE_SYN:
        if (feed_is_allowed(a, &e->flow))
            return;
        feed_silence(a, i, &e->flow, e->ts_ns);
        if (!feed_was_counted(a, &e->flow, a->age_s[ALARM_CONNECT_TIMEOUT]) &&
            e->transition.cause == TCP_CAUSE_TIMEOUT_SYN_SENT)
            feed_timeout(a, i, &e->flow, e->ts_ns);
        return;
    default:
        return;
    }
}

/* No longer half-open. */
static void on_settled(struct alarm_engine *a, struct service *s, const struct event *e) {
    const struct event_transition *t = &e->transition;
    s->half_open -= s->half_open > 0;
    if (t->state[EVENT_SERVER] == TCP_ESTABLISHED && t->rtt_ns != 0 && !t->retried)
        feed_time(a, s, LATENCY_CLIENT, e, t->rtt_ns);
}

static void on_answer(struct alarm_engine *a, int64_t i, const struct event *e) {
    struct service *s = &a->service[i];
    s->half_open++;
    s->answered++;
    s->heard_ns = e->ts_ns;
    if (e->transition.rtt_ns != 0 && !e->transition.retried)
        feed_time(a, s, LATENCY_SERVER, e, e->transition.rtt_ns);
    if (s->half_open >= HALF_OPEN_FROM)
        trouble_note(a, TROUBLE_HALF_OPEN, i, &e->flow, e->ts_ns);
}

static void on_completed(struct service *s, const struct event *e) {
    s->completed++;
    s->answered_ns = s->heard_ns = e->ts_ns;
}

void feed_transition(struct alarm_engine *a, const struct event *e) {
    const struct event_transition *t = &e->transition;
    const uint8_t *was = t->was, *now = t->state;
    if (t->cause == TCP_CAUSE_ROLES || t->cause == TCP_CAUSE_MOVED)
        return; /* the next picture tells */
    bool server_moves = was[EVENT_SERVER] != now[EVENT_SERVER];
    bool was_open = feed_both_open(was);
    int64_t i = service_of(a, &e->flow);
    if (i == NONE)
        return;
    struct service *s = &a->service[i];
    if (server_moves && was[EVENT_SERVER] == TCP_SYN_RECEIVED) {
        on_settled(a, s, e);
        if (now[EVENT_SERVER] == TCP_CLOSED && t->cause == TCP_CAUSE_RST && t->by == EVENT_CLIENT &&
            !feed_is_allowed(a, &e->flow))
            scan_note(a, &e->flow, e->ts_ns, true);
    }
    if (server_moves && now[EVENT_SERVER] == TCP_SYN_RECEIVED)
        on_answer(a, i, e);
    if (server_moves && now[EVENT_SERVER] == TCP_ESTABLISHED && was[EVENT_SERVER] < TCP_ESTABLISHED)
        on_completed(s, e);
    if (was[EVENT_CLIENT] == TCP_CLOSED && now[EVENT_CLIENT] == TCP_SYN_SENT)
        on_attempt(a, s, e);
    else if (was[EVENT_CLIENT] == TCP_SYN_SENT && now[EVENT_CLIENT] == TCP_CLOSED)
        on_given_up(a, i, e);
    if (was_open && !feed_both_open(now))
        on_close(a, i, e);
    else if (!was_open && feed_both_open(now))
        on_open(a, i, e);
    if (t->over)
        feed_fresh(a, i, NULL, e, &t->fresh);
}

/* What waited, sort by sort: see feed_transition and feed_signal. */
void feed_waiting(struct alarm_engine *a, enum wait_kind kind, const struct waiting *w) {
    for (unsigned n = 0; n < w->count; n++) {
        const struct event *e = waiting_event(w, n);
        /* Of a full table it may have gone since. */
        int64_t i = a->services < MOST_SERVICES ? w->service[n] : service_of(a, &e->flow);
        if (i == NONE)
            continue;
        struct service *s = &a->service[i];
        switch (kind) {
        case WAIT_ATTEMPT:
            on_attempt(a, s, e);
            break;
        case WAIT_ANSWER:
            on_answer(a, i, e);
            break;
        case WAIT_TURN:
            if (feed_both_open(e->transition.was)) {
                on_close(a, i, e);
                break;
            }
            on_settled(a, s, e);
            on_completed(s, e);
            on_open(a, i, e);
            break;
        case WAIT_REPLY:
            feed_time(a, s, LATENCY_REPLY, e, e->signal.value_ns);
            break;
        default:
            feed_fresh(a, i, NULL, e,
                       e->type == EVENT_SIGNAL ? &e->signal.fresh : &e->transition.fresh);
        }
    }
}

/* ---- connections ---- */

void feed_fresh(struct alarm_engine *a, int64_t i, struct pair *p, const struct event *e,
                const struct event_fresh *f) {
    struct service *s = &a->service[i];
    bool again = f->again[0] > 0 || f->again[1] > 0;
    for (int role = 0; role < 2; role++) {
        s->laden[role] += f->laden[role];
        if (again)
            s->again[role] += f->again[role];
    }
    if (p != NULL) {
        p->laden += f->laden[0] + f->laden[1];
        p->again += f->again[0] + f->again[1];
    }
    struct tap *tap = &a->tap[tap_of(a, f->iface, e->flow.scope)];
    if (f->packets[0] > 0 && f->packets[1] > 0)
        tap->two_sided[0]++;
    else if ((f->packets[0] > 0 && f->unseen[0]) || (f->packets[1] > 0 && f->unseen[1]))
        tap->one_sided[0]++;
    if (again)
        trouble_note(a, TROUBLE_AGAIN, i, &e->flow, e->ts_ns);
}

static bool carried(const struct event_connection *c) {
    return c->side[0].bytes > 0 || c->side[1].bytes > 0;
}

/* A RST of one who had not closed, on a connection that had carried something: a health check that
 * opens and resets has not. */
static void count_abort(struct alarm_engine *a, int64_t i, const struct event *e) {
    const struct event_connection *c = &e->connection;
    struct service *s = &a->service[i];
    if (c->reset_was[EVENT_CLIENT] != TCP_ESTABLISHED &&
        c->reset_was[EVENT_SERVER] != TCP_ESTABLISHED)
        return;
    bool laden = carried(c);
    if (!laden && feed_both_open(c->reset_was)) /* it was counted among the closes */
        s->closes -= s->closes > 0;
    if (!laden || c->reset_was[c->reset_by] != TCP_ESTABLISHED || feed_is_allowed(a, &e->flow))
        return;
    s->aborts[c->reset_by]++;
    if (!feed_both_open(
            c->reset_was)) /* the peer's FIN had been counted, as the begin of a close */
        s->closes++;
    struct pair *p = pair_of(a, &e->flow, (uint32_t)i, false, false);
    if (p != NULL)
        p->aborts++;
    trouble_note(a, TROUBLE_ABORT, i, &e->flow, e->ts_ns);
}

static bool was_handshake_only(const struct event_connection *c) {
    return !carried(c) && c->end != EVENT_END_REFUSED && c->end != EVENT_END_TIMEOUT &&
           c->end != EVENT_END_EVICTED && c->role_score > 0;
}

bool feed_ends(const struct event_connection *c) {
    const struct event_fresh *f = &c->fresh;
    return c->end != EVENT_END_OPEN && /* of the end of a capture */
           (c->end == EVENT_END_RST || was_handshake_only(c) || f->packets[0] > 0 ||
            f->packets[1] > 0);
}

void feed_connection(struct alarm_engine *a, const struct event *e) {
    const struct event_connection *c = &e->connection;
    const struct event_fresh *f = &c->fresh;
    int64_t i = service_of(a, &e->flow);
    if (i == NONE)
        return;
    if (f->packets[0] > 0 || f->packets[1] > 0)
        feed_fresh(a, i, NULL, e, f);
    if (c->end == EVENT_END_RST && c->reset_by < EVENT_NOBODY)
        count_abort(a, i, e);
    if (was_handshake_only(c) || carried(c))
        scan_note(a, &e->flow, e->ts_ns, !carried(c));
}

/* ---- signals ---- */

void feed_signal(struct alarm_engine *a, const struct event *e) {
    const struct event_signal *g = &e->signal;
    if (g->kind == EVENT_PROBE) {
        scan_note(a, &e->flow, e->ts_ns, true);
        return;
    }
    int64_t i = service_of(a, &e->flow);
    if (i == NONE)
        return;
    struct service *s = &a->service[i];
    struct client *c;
    switch (g->kind) {
    case EVENT_SYN_AGAIN:
        if (feed_is_allowed(a, &e->flow))
            return;
        s->syn_again++;
        trouble_note(a, TROUBLE_SILENT, i, &e->flow, e->ts_ns);
        return;
    case EVENT_REPLY:
        feed_time(a, s, LATENCY_REPLY, e, g->value_ns);
        return;
    case EVENT_OVER:
        feed_fresh(a, i, NULL, e, &g->fresh);
        return;
    case EVENT_ZERO_ENDED:
        feed_stall(a, i, e, g->by, g->value_ns);
        return;
    case EVENT_ODD_RST:
        s->odd_rst++;
        trouble_note(a, TROUBLE_ODD_RST, i, &e->flow, e->ts_ns);
        return;
    case EVENT_ODD_SYN:
        c = client_of(a, e->flow.client, e->flow.family, true);
        trouble_note(a, TROUBLE_ODD_SYN, i, &e->flow, e->ts_ns);
        if (c == NULL)
            return;
        c->odd_syn++;
        c->minute_odd[0]++;
        c->last_ns = e->ts_ns;
        return;
    default:
        return;
    }
}
