/*
 * feed_member: what a connection in the picture of a window counts, and for whom.
 *
 * Pictures set the gauges right, and tell what no event does: how long an end has been waiting,
 * what is sent in vain, whose window is closed, who is there at all.
 */
#include "engine.h"

static double age_s(const struct event *e, uint64_t since_ns) {
    return e->ts_ns > since_ns ? (double)(e->ts_ns - since_ns) / (double)BASE_NS_PER_S : 0;
}

/* Its attempt has been silent: for whom that counts, once at each age. */
static void member_silent(struct alarm_engine *a, int64_t i, const struct event *e) {
    if (feed_is_allowed(a, &e->flow))
        return;
    feed_silence(a, i, &e->flow, e->ts_ns);
    if (age_s(e, e->flow.first_ns) >= a->age_s[ALARM_CONNECT_TIMEOUT] &&
        !feed_was_counted(a, &e->flow, a->age_s[ALARM_CONNECT_TIMEOUT]))
        feed_timeout(a, i, &e->flow, e->ts_ns);
}

/* Its end may have passed while the tap missed packets. */
static bool may_have_ended(const struct alarm_engine *a, const struct event *e) {
    return a->gap_from_ns != 0 && e->member.last_ns < a->gap_from_ns;
}

/* One end waits for its process to close, and waits long. */
static void member_half_closed(struct alarm_engine *a, int64_t i, struct pair *p,
                               const struct event *e) {
    const struct event_member *m = &e->member;
    struct service *s = &a->service[i];
    for (int role = 0; role < 2; role++) {
        uint8_t other = m->state[!role];
        if (m->state[role] != TCP_CLOSE_WAIT ||
            age_s(e, m->since_ns[role]) < a->age_s[ALARM_CLOSE_WAIT_LEAK] || may_have_ended(a, e))
            continue;
        bool stuck = other == TCP_FIN_WAIT_2 || other == TCP_CLOSED;
        uint64_t *oldest_ns = &s->oldest_ns;
        struct client *c = client_of(a, e->flow.client, e->flow.family, true);
        if (role == EVENT_SERVER) {
            s->close_wait++;
            trouble_note(a, TROUBLE_CLOSE_WAIT, i, &e->flow, e->ts_ns);
            if (p != NULL)
                p->close_wait++;
            if (c != NULL)
                c->fin_wait2 += stuck;
        } else {
            if (c != NULL) {
                c->close_wait++;
                oldest_ns = &c->oldest_ns;
                trouble_note(a, TROUBLE_CLOSE_WAIT, i, &e->flow, e->ts_ns);
            }
            if (stuck) {
                s->fin_wait2++;
                trouble_note(a, TROUBLE_FIN_WAIT2, i, &e->flow, e->ts_ns);
                if (p != NULL)
                    p->fin_wait2++;
            }
        }
        if (*oldest_ns == 0 || m->since_ns[role] < *oldest_ns)
            *oldest_ns = m->since_ns[role];
        if (c != NULL)
            c->last_ns = e->ts_ns;
    }
}

void feed_stall(struct alarm_engine *a, int64_t i, const struct event *e, unsigned role,
                uint64_t for_ns) {
    struct service *s = &a->service[i];
    if ((double)for_ns <
        rules_find(a->rules, ALARM_ZERO_WINDOW_STALL, s->name, NULL)->number[ALARM_RAISE] *
            (double)BASE_NS_PER_S)
        return;
    /* One that reads too slowly closes its window again and again: it is one connection. */
    bool fresh = !trouble_was_noted(a, TROUBLE_STALLED, &e->flow);
    if (fresh)
        trouble_note(a, TROUBLE_STALLED, i, &e->flow, e->ts_ns);
    if (role == EVENT_SERVER) {
        s->stalled[role] += fresh;
        s->stalled_ns[role] = for_ns > s->stalled_ns[role] ? for_ns : s->stalled_ns[role];
        return;
    }
    struct client *c = client_of(a, e->flow.client, e->flow.family, true);
    if (c == NULL)
        return;
    c->stalled += fresh;
    c->stalled_ns = for_ns > c->stalled_ns ? for_ns : c->stalled_ns;
    c->last_ns = e->ts_ns;
}

static bool can_read(uint8_t state) {
    return state == TCP_ESTABLISHED || state == TCP_FIN_WAIT_1 || state == TCP_FIN_WAIT_2;
}

/* What an end sends is not answered, or its window is closed. */
static void member_stuck(struct alarm_engine *a, int64_t i, const struct event *e) {
    const struct event_member *m = &e->member;
    const struct alarm_rule *dead = NULL;
    for (unsigned role = 0; role < 2; role++) {
        if (m->zero_since_ns[role] != 0 && can_read(m->state[role]) && can_read(m->state[!role]))
            feed_stall(a, i, e, role, e->ts_ns - m->zero_since_ns[role]);
        if (m->vain[role] == 0 || m->state[role] != TCP_ESTABLISHED)
            continue;
        if (dead == NULL)
            dead = rules_find(a->rules, ALARM_IDLE_DEAD_PEER, a->service[i].name, NULL);
        if (m->vain[role] < dead->number[ALARM_SAMPLES] ||
            age_s(e, m->vain_since_ns[role]) < dead->number[ALARM_AGE])
            continue;
        struct client *c = client_of(a, e->flow.client, e->flow.family, true);
        a->service[i].dead++;
        trouble_note(a, TROUBLE_DEAD, i, &e->flow, e->ts_ns);
        if (c == NULL)
            continue;
        c->dead++;
        c->last_ns = e->ts_ns;
        if (c->oldest_ns == 0 || m->vain_since_ns[role] < c->oldest_ns)
            c->oldest_ns = m->vain_since_ns[role];
    }
}

static void member_open(struct alarm_engine *a, int64_t i, struct pair *p, const struct event *e) {
    struct service *s = &a->service[i];
    s->seen_open++;
    if (p != NULL) {
        s->clients += p->established++ == 0;
        p->last_ns = e->ts_ns;
        if (p->ports != NULL)
            ports_note(a, p, e->flow.client_port, e->ts_ns, false);
    }
    if (!a->idle_limits)
        return;
    double limit = rules_find(a->rules, ALARM_IDLE_LONG, s->name, NULL)->number[ALARM_AGE];
    if (limit > 0 && age_s(e, e->member.last_ns) > limit) {
        s->idle++;
        trouble_note(a, TROUBLE_IDLE, i, &e->flow, e->ts_ns);
        if (s->oldest_ns == 0 || e->member.last_ns < s->oldest_ns)
            s->oldest_ns = e->member.last_ns;
    }
}

static bool is_over(uint8_t state) {
    return state == TCP_CLOSED || state == TCP_TIME_WAIT;
}

static void take_member(struct alarm_engine *a, int64_t i, const struct event *e) {
    const struct event_member *m = &e->member;
    const struct event_fresh *f = &m->fresh;
    struct service *s = &a->service[i];
    bool open = feed_both_open(m->state), half_open = m->state[EVENT_SERVER] == TCP_SYN_RECEIVED;
    bool silent = m->state[EVENT_CLIENT] == TCP_SYN_SENT && m->state[EVENT_SERVER] == TCP_CLOSED;
    bool over = is_over(m->state[0]) && is_over(m->state[1]);
    struct pair *p = half_open || silent || over
                         ? NULL
                         : pair_of(a, &e->flow, (uint32_t)i, true, m->inferred == TCP_PROVEN);
    s->members++;
    if (f->packets[0] > 0 || f->packets[1] > 0)
        feed_fresh(a, i, p, e, f);
    if (half_open) {
        s->seen_half_open++;
        return;
    }
    if (silent) {
        member_silent(a, i, e);
        return;
    }
    if (open)
        member_open(a, i, p, e);
    else
        member_half_closed(a, i, p, e);
    member_stuck(a, i, e);
}

static const struct event *member_at(const struct members *w, unsigned n) {
    return (const struct event *)(const void *)w->note[n].octet;
}

void feed_members(struct alarm_engine *a) {
    struct members *w = &a->members;
    for (unsigned n = 0; n < w->count; n++) {
        const struct event_flow *f = &member_at(w, n)->flow;
        int64_t i = service_of(a, f);
        if (i != NONE)
            __builtin_prefetch(index_home(&a->pair_index, pair_tag(f, (uint32_t)i)));
    }
    for (unsigned n = 0; n < w->count; n++) {
        const struct event *e = member_at(w, n);
        int64_t i = service_of(a, &e->flow); /* again: of a full table it may have gone since */
        if (i != NONE)
            take_member(a, i, e);
    }
    w->count = 0;
}

void feed_member(struct alarm_engine *a, const struct event *e) {
    const struct event_member *m = &e->member;
    struct members *w = &a->members;
    bool fresh = m->fresh.packets[0] > 0 || m->fresh.packets[1] > 0;
    if (!fresh && is_over(m->state[0]) && is_over(m->state[1]))
        return;
    if (w->count == WAIT_MOST)
        feed_members(a);
    __builtin_prefetch(near_of(a, e->flow.server, e->flow.server_port));
    memcpy(w->note[w->count++].octet, e, event_octets(e));
}
