/*
 * wait: events of ordinary connections wait, by what they count (enum wait_kind), until there are
 * some of a sort or a hundredth of a second has passed; all others count at once.
 *
 * Connections take turns on the wire, so that what the next event is cannot be guessed, nor is what
 * it counts for in the cache. Of a row of one sort neither matters.
 */
#include "engine.h"

#define WAIT_NS (BASE_NS_PER_S / 100) /* so long at most */

/* What a change of states counts. Most count nothing: the ends of what was closed before. */
static enum wait_kind kind_of_change(const uint8_t was[2], const uint8_t now[2]) {
    bool server_moves = was[EVENT_SERVER] != now[EVENT_SERVER];
    bool begins = was[EVENT_CLIENT] <= TCP_SYN_SENT && was[EVENT_CLIENT] != now[EVENT_CLIENT];
    if (feed_both_open(was))
        return feed_both_open(now) || now[EVENT_SERVER] == TCP_SYN_RECEIVED ? WAIT_NOT : WAIT_TURN;
    if (feed_both_open(now))
        return was[EVENT_SERVER] == TCP_SYN_RECEIVED ? WAIT_TURN : WAIT_NOT;
    if (!server_moves)
        return !begins                                                                ? WAIT_NOTHING
               : was[EVENT_CLIENT] == TCP_CLOSED && now[EVENT_CLIENT] == TCP_SYN_SENT ? WAIT_ATTEMPT
                                                                                      : WAIT_NOT;
    if (now[EVENT_SERVER] == TCP_SYN_RECEIVED && was[EVENT_CLIENT] == TCP_SYN_SENT &&
        now[EVENT_CLIENT] != TCP_CLOSED)
        return WAIT_ANSWER;
    return begins || was[EVENT_SERVER] <= TCP_SYN_RECEIVED ? WAIT_NOT : WAIT_NOTHING;
}

void wait_init(struct alarm_engine *a) {
    uint8_t *kind = &a->waits_for[0][0][0][0], was[2], now[2];
    for (was[0] = 0; was[0] < TCP_STATES; was[0]++)
        for (was[1] = 0; was[1] < TCP_STATES; was[1]++)
            for (now[0] = 0; now[0] < TCP_STATES; now[0]++)
                for (now[1] = 0; now[1] < TCP_STATES; now[1]++)
                    *kind++ = (uint8_t)kind_of_change(was, now);
}

static inline enum wait_kind kind_of_transition(const struct alarm_engine *a,
                                                const struct event_transition *t) {
    const uint8_t *was = t->was, *now = t->state;
    enum wait_kind kind = a->waits_for[was[0]][was[1]][now[0]][now[1]];
    if (t->cause == TCP_CAUSE_ROLES || t->cause == TCP_CAUSE_MOVED)
        kind = WAIT_NOTHING; /* the next picture tells */
    return !t->over ? kind : kind == WAIT_NOTHING ? WAIT_OVER : WAIT_NOT;
}

static inline enum wait_kind kind_of(const struct alarm_engine *a, const struct event *e) {
    if (e->type == EVENT_TRANSITION)
        return kind_of_transition(a, &e->transition);
    if (e->type == EVENT_CONNECTION)
        return feed_ends(&e->connection) ? WAIT_NOT : WAIT_NOTHING;
    if (e->type != EVENT_SIGNAL)
        return WAIT_NOT;
    return e->signal.kind == EVENT_OVER    ? WAIT_OVER
           : e->signal.kind == EVENT_REPLY ? WAIT_REPLY
                                           : WAIT_NOT;
}

/* Whom they count for; what counting them will touch. */
static void look_up(struct alarm_engine *a, enum wait_kind kind, struct waiting *w) {
    for (unsigned n = 0; n < w->count; n++) {
        const struct event_flow *f = &waiting_event(w, n)->flow;
        int64_t i = service_of(a, f);
        w->service[n] = i;
        if (i == NONE)
            continue;
        __builtin_prefetch(&a->service[i], 1);
        if (kind == WAIT_TURN)
            __builtin_prefetch(sketch_at(a->sketch, pair_tag(f, (uint32_t)i)).opened, 1);
    }
}

void alarm_catch_up(struct alarm_engine *a) {
    if (a->wait_until_ns == 0)
        return;
    for (enum wait_kind kind = 0; kind < WAITS; kind++)
        look_up(a, kind, &a->wait[kind]);
    for (enum wait_kind kind = 0; kind < WAITS; kind++) {
        struct waiting *w = &a->wait[kind];
        if (w->count == 0)
            continue;
        uint64_t last_ns = waiting_event(w, w->count - 1)->ts_ns;
        if (last_ns > a->now_ns)
            a->now_ns = last_ns;
        feed_waiting(a, kind, w);
        w->count = 0;
    }
    a->wait_until_ns = 0;
}

/* None waits beyond its second: some things are counted by that. */
static __attribute__((noinline)) void wait_anew(struct alarm_engine *a, uint64_t ts_ns) {
    uint64_t second_ns = (ts_ns / BASE_NS_PER_S + 1) * BASE_NS_PER_S, until_ns = ts_ns + WAIT_NS;
    alarm_catch_up(a);
    a->wait_until_ns = until_ns < second_ns ? until_ns : second_ns;
}

void alarm_event(void *engine, const struct event *e) {
    struct alarm_engine *a = engine;
    enum wait_kind kind = kind_of(a, e);
    if (kind == WAIT_NOTHING)
        return;
    if (kind == WAIT_NOT) {
        engine_take(a, e);
        return;
    }
    struct waiting *w = &a->wait[kind];
    if (e->ts_ns >= a->wait_until_ns || w->count == WAIT_MOST)
        wait_anew(a, e->ts_ns);
    __builtin_prefetch(near_of(a, e->flow.server, e->flow.server_port));
    memcpy(w->note[w->count++].octet, e, sizeof w->note[0]);
}
