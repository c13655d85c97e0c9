/*
 * picture: every open connection as it was at exactly one time (event.h).
 *
 * A picture is begun when time goes beyond a multiple of its period, after the timers that run out
 * up to there. Then a cursor goes over the pool, some entries at a time, between batches of
 * packets. A connection that is about to change before the cursor has come to it is given at once,
 * as it still is (copy on write); FLOW_PICTURED tells which were given. Its meaning turns with
 * every picture, so that no pass over the pool is needed to clear it, and connections that begin
 * later bear it from the start. Nothing is copied, and no packet waits for more than one step of
 * the cursor.
 */
#include "tracker.h"

#include <string.h>

enum {
    AT_ONCE = 4096,  /* entries: so small a pool is given whole (some 0.2 ms) */
    STEP_LEAST = 64, /* entries of one step: a picture ends even where time stands still */
    STEP_MOST = 2048
};
#define SILENCE_NS (1800 * BASE_NS_PER_S)
#define WHOLE_NS   (2 * BASE_NS_PER_S) /* a picture is to be done after so long */

/* The first multiple of a period at or after `ns`. */
static uint64_t multiple_from(uint64_t period_ns, uint64_t ns) {
    if (period_ns == 0 || ns > BASE_NEVER_NS - period_ns)
        return BASE_NEVER_NS;
    return (ns + period_ns - 1) / period_ns * period_ns;
}

static void plan(struct flow_tracker *t, uint64_t from_ns) {
    uint64_t snapshot = multiple_from(t->config.snapshot_ns, from_ns);
    uint64_t window = multiple_from(t->config.window_ns, from_ns);
    t->picture.next_ns = snapshot < window ? snapshot : window;
}

void picture_init(struct flow_tracker *t) {
    t->picture.active_ns = t->now_ns;
    plan(t, t->now_ns);
}

static uint8_t purpose_of(const struct flow_tracker *t, uint64_t ns) {
    const struct flow_config *c = &t->config;
    return (uint8_t)((c->snapshot_ns > 0 && ns % c->snapshot_ns == 0 ? EVENT_FOR_SNAPSHOT : 0) |
                     (c->window_ns > 0 && ns % c->window_ns == 0 ? EVENT_FOR_WINDOW : 0));
}

static void send_frame(struct flow_tracker *t, enum event_type type, bool quiet) {
    struct event e = {.ts_ns = t->picture.ts_ns, .type = (uint8_t)type};
    e.picture = (struct event_picture){.purpose = t->picture.purpose,
                                       .quiet = quiet,
                                       .missed = t->picture.missed,
                                       .flows = t->counters.flows_open,
                                       .packets = t->counters.packets,
                                       .tcp = t->counters.tcp,
                                       .duplicates = t->counters.duplicates,
                                       .laden = t->counters.laden,
                                       .gaps = t->counters.gaps,
                                       .evicted = t->counters.flows_evicted};
    memcpy(e.picture.passed, t->passed, sizeof e.picture.passed);
    t->sink(t->context, &e);
}

static void note_vain(struct event_member *m, unsigned role, const struct tcp_detail *d) {
    bool vain = d->trying == TCP_TRY_DATA || d->trying == TCP_TRY_KEEPALIVE;
    m->vain[role] = vain ? d->tries : 0;
    m->vain_since_ns[role] = vain ? d->began_s * BASE_NS_PER_S : 0;
}

static bool is_over(uint8_t state) {
    return state == TCP_CLOSED || state == TCP_TIME_WAIT;
}

/* Alarms ask nothing of a connection that is over and had no packet since that was told, or since
 * the window before. Of most its head alone tells. */
static bool is_past(const struct flow_tracker *t, const struct flow *f) {
    return t->picture.purpose == EVENT_FOR_WINDOW && (f->flags & FLOW_OVER) &&
           ((f->flags & FLOW_TOLD) || f->last_ns <= t->picture.before_ns);
}

/* ... or none but those that were told of. */
static bool is_old(const struct flow_tracker *t, const struct flow *f) {
    const struct tcp_endpoint *end = form_ends(&t->pool, f);
    return t->picture.purpose == EVENT_FOR_WINDOW && end && is_over(end[0].state) &&
           is_over(end[1].state) &&
           (f->last_ns <= t->picture.before_ns || signal_is_told(&t->pool, f));
}

void picture_give(struct flow_tracker *t, struct flow *f) {
    unsigned client = flow_client(f);
    struct event e; /* not zeroed as a whole: see send_transition */
    struct body scratch;
    f->flags ^= FLOW_PICTURED;
    if (!(f->flags & FLOW_COUNTED) || is_past(t, f) || is_old(t, f))
        return;
    struct body *b = form_view(t, f, &scratch);
    e.ts_ns = t->picture.ts_ns;
    e.type = EVENT_MEMBER;
    emit_identity(t, f, &e.flow);
    e.member.last_ns = flow_last_ns(f);
    e.member.inferred = b->inferred;
    e.member.role_score = b->role_score;
    for (unsigned role = 0; role < 2; role++) {
        unsigned side = role == EVENT_CLIENT ? client : !client;
        e.member.state[role] = b->tcp.end[side].state;
        e.member.since_ns[role] = b->tcp.detail[side].since_ns;
        e.member.zero_since_ns[role] = signal_zero_since(b, side, t->picture.ts_ns);
        note_vain(&e.member, role, &b->tcp.detail[side]);
    }
    if (t->picture.purpose & EVENT_FOR_WINDOW) {
        signal_fresh(b, &e.member.fresh);
        signal_fresh_told(b);
        form_told(t, f, b);
    }
    t->sink(t->context, &e);
}

/* What the cursor comes to soon: heads, and bodies of those that are to be looked at. */
static void fetch(const struct flow_tracker *t, uint32_t at) {
    uint32_t body = at + FORM_BODIES_AHEAD;
    if (is_past(t, pool_at(&t->pool, body)))
        __builtin_prefetch(pool_at(&t->pool, at + FORM_HEADS_AHEAD), 1);
    else
        form_fetch(&t->pool, at + FORM_HEADS_AHEAD, body);
}

/* Up to `n` entries further. */
static void go_on(struct flow_tracker *t, uint32_t n) {
    struct picture *p = &t->picture;
    for (; p->cursor < p->end && n > 0; p->cursor++, n--) {
        struct flow *f = pool_at(&t->pool, p->cursor);
        if (p->cursor + FORM_HEADS_AHEAD < p->end)
            fetch(t, p->cursor);
        if ((f->flags & FLOW_PICTURED) == p->parity)
            continue;
        if (f->flags & FLOW_USED)
            picture_give(t, f);
    }
    if (p->cursor < p->end)
        return;
    p->making = false;
    send_frame(t, EVENT_PICTURE_END, false);
}

static void begin(struct flow_tracker *t, uint64_t ts_ns, uint8_t purpose) {
    struct picture *p = &t->picture;
    bool quiet = t->counters.packets == p->packets && t->counters.transitions == p->transitions;
    if (!quiet)
        p->active_ns = ts_ns;
    p->packets = t->counters.packets;
    p->transitions = t->counters.transitions;
    if (p->making) { /* it takes longer than the period: it is not to take for ever */
        p->missed++;
        return;
    }
    p->ts_ns = ts_ns;
    p->purpose = purpose;
    if (purpose & EVENT_FOR_WINDOW) {
        p->before_ns = p->window_ns;
        p->window_ns = ts_ns;
    }
    p->parity ^= FLOW_PICTURED;
    p->cursor = 0;
    p->end = t->pool.flow.top;
    p->making = true;
    send_frame(t, EVENT_PICTURE, quiet);
    p->missed = 0;
    if (t->config.picture_at_once || p->end <= AT_ONCE)
        go_on(t, UINT32_MAX);
}

/* Nothing has happened for long, nor will for long: pictures would tell nothing new. Only the last
 * one before time moves on is made then. */
static bool is_silent(const struct flow_tracker *t, uint64_t ns, uint64_t until_ns) {
    const struct picture *p = &t->picture;
    return t->counters.packets == p->packets && t->counters.transitions == p->transitions &&
           ns - p->active_ns > SILENCE_NS && until_ns - ns > SILENCE_NS;
}

/* The last multiple before `until_ns`, by the shorter period; at least `ns`. */
static uint64_t skip(const struct flow_tracker *t, uint64_t ns, uint64_t until_ns) {
    uint64_t a = t->config.snapshot_ns, b = t->config.window_ns;
    uint64_t period = a == 0 || (b > 0 && b < a) ? b : a, last = (until_ns - 1) / period * period;
    return last > ns ? last : ns;
}

void picture_reach(struct flow_tracker *t, uint64_t until_ns) {
    while (t->picture.next_ns < until_ns) {
        uint64_t at = t->picture.next_ns;
        if (is_silent(t, at, until_ns))
            at = skip(t, at, until_ns);
        clock_run_timers(t, at);
        begin(t, at, purpose_of(t, at));
        plan(t, at + 1);
    }
}

void picture_finish(struct flow_tracker *t) {
    if (t->now_ns != 0 && t->picture.next_ns <= t->now_ns)
        picture_reach(t, t->now_ns + 1);
    t->picture.next_ns = BASE_NEVER_NS;
    if (t->picture.making)
        go_on(t, UINT32_MAX);
}

bool flow_picture_go_on(struct flow_tracker *t, size_t room) {
    struct picture *p = &t->picture;
    if (!p->making)
        return false;
    uint64_t elapsed = t->now_ns - p->ts_ns;
    uint64_t due = elapsed >= WHOLE_NS ? p->end : p->end * elapsed / WHOLE_NS;
    uint64_t n = due > p->cursor ? due - p->cursor : 0;
    n = n < STEP_LEAST ? STEP_LEAST : n > STEP_MOST ? STEP_MOST : n;
    go_on(t, (uint32_t)(n < room ? n : room));
    return p->making;
}
