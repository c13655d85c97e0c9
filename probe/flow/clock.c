/*
 * clock: capture time. It only moves forward, by packets; timers run out in between, each at its
 * own time; a leap ahead needs witnesses (design 1.3).
 *
 * In two steps: clock_judge looks at stamps alone, clock_take brings the tracker to a packet's
 * time.
 */
#include "tracker.h"

#define LEAP_NS (3600 * BASE_NS_PER_S)

/* Nothing comes late any more. At the end of a capture the connection is still to be told of, as it
 * was before the linger. */
static void end_of(struct flow_tracker *t, uint32_t index) {
    if (!t->at_end)
        flow_forget(t, index);
}

static void time_out(struct flow_tracker *t, uint32_t index, struct body *b, uint64_t due_ns) {
    struct flow *f = b->flow;
    struct tcp_rules rules;
    struct tcp_verdict v;
    unsigned client = flow_client(f);
    unsigned side =
        b->tcp.detail[client].due_ns <= b->tcp.detail[!client].due_ns ? client : !client;
    rules_of(t, f, &rules);
    if (rules.tap_loses && tcp_half_closed(&b->tcp, side)) {
        closes_note_silent(t, f, side);
        rules.misses_closes = closes_are_missed(t, f, side);
    }
    picture_before_change(t, f);
    tcp_timeout(&b->tcp, side, &rules, &v);
    flow_settle(t, b, due_ns, side, &v);
    if ((f->flags & FLOW_FINISHED) && (t->at_end || flow_due_ns(b) <= t->now_ns)) {
        end_of(t, index);
        return;
    }
    b = form_keep(t, index, b);
    if (b == NULL)
        evict_flow(t, index);
    else
        flow_rest(t, index, b);
}

static void run_timer(struct flow_tracker *t, uint32_t index) {
    struct flow *f = pool_at(&t->pool, index);
    struct body scratch, *b = form_view(t, f, &scratch);
    uint64_t due_ns = flow_due_ns(b);
    if (due_ns > t->now_ns) { /* it has moved later since */
        flow_rest(t, index, b);
        form_rest(t, f);
    } else if (f->flags & (FLOW_FINISHED | FLOW_TENTATIVE)) {
        end_of(t, index);
    } else {
        time_out(t, index, b, due_ns);
    }
}

/* now_ns moves with the timers, so that each is seen at its own time. */
void clock_run_timers(struct flow_tracker *t, uint64_t until_ns) {
    uint64_t deadline_ns;
    uint32_t index;
    while ((index = wheel_next(&t->wheel, until_ns, &deadline_ns)) != FLOW_NONE) {
        if (deadline_ns > t->now_ns)
            t->now_ns = deadline_ns;
        run_timer(t, index);
    }
    if (until_ns > t->now_ns)
        t->now_ns = until_ns;
}

static void clock_start(struct flow_tracker *t, uint64_t ts_ns) {
    t->now_ns = ts_ns;
    t->wheel.tick = ts_ns >> WHEEL_TICK_BITS;
    picture_init(t);
}

void flow_advance(struct flow_tracker *t, uint64_t now_ns) {
    if (t->now_ns == 0)
        clock_start(t, now_ns);
    if (now_ns > t->picture.next_ns)
        picture_reach(t, now_ns);
    if (now_ns > t->now_ns)
        clock_run_timers(t, now_ns);
    t->front->clock.now_ns = t->now_ns;
}

/* What the witnesses of a leap began or repeated at the time before it happened, in truth, after
 * it: so are their timers to run. */
static void shift_witnesses(struct flow_tracker *t, uint64_t by_ns) {
    for (unsigned i = 0; i + 1 < LEAP_WITNESSES; i++) {
        struct flow *f = t->leap_flow[i] == FLOW_NONE ? NULL : pool_at(&t->pool, t->leap_flow[i]);
        if (f == NULL || !(f->flags & FLOW_USED) || (i > 0 && t->leap_flow[i] == t->leap_flow[0]))
            continue;
        struct body *b = form_open(t, t->leap_flow[i]);
        if (b == NULL)
            continue;
        f->last_ns += by_ns;
        for (unsigned side = 0; side < 2; side++) {
            struct tcp_detail *d = &b->tcp.detail[side];
            d->tried_ns += by_ns;
            d->due_ns += d->due_ns == BASE_NEVER_NS ? 0 : by_ns;
        }
    }
}

static bool leap_agrees(const struct clock *c, uint64_t ts_ns) {
    return c->leap_seen > 0 && ts_ns + LEAP_NS > c->leap_ns && ts_ns < c->leap_ns + LEAP_NS;
}

static bool leap_believed(struct clock *c, uint64_t ts_ns) {
    if (!leap_agrees(c, ts_ns))
        c->leap_seen = 0;
    c->leap_ns = ts_ns;
    return ++c->leap_seen == LEAP_WITNESSES;
}

enum clock_step clock_judge(struct clock *c, uint64_t ts_ns) {
    bool leaps = c->now_ns != 0 && ts_ns > c->now_ns && ts_ns - c->now_ns > LEAP_NS;
    if (leaps && !leap_believed(c, ts_ns))
        return CLOCK_DOUBTS;
    c->leap_seen = 0;
    if (ts_ns < c->now_ns)
        return CLOCK_STANDS;
    c->now_ns = ts_ns;
    return leaps ? CLOCK_LEAPS : CLOCK_GOES_ON;
}

bool flow_foresee(struct flow_tracker *t, uint64_t ts_ns) {
    const struct clock *c = &t->front->clock;
    if (t->now_ns == 0 || ts_ns < t->now_ns || ts_ns - t->now_ns <= LEAP_NS)
        return true;
    if (c->leap_seen + 1 < LEAP_WITNESSES || !leap_agrees(c, ts_ns))
        return false;
    shift_witnesses(t, ts_ns - t->now_ns);
    return true;
}

static void go_on(struct flow_tracker *t, uint64_t ts_ns) {
    if (ts_ns > t->picture.next_ns)
        picture_reach(t, ts_ns);
    if (wheel_is_quiet(&t->wheel, ts_ns))
        t->now_ns = ts_ns;
    else
        clock_run_timers(t, ts_ns);
}

void clock_take(struct flow_tracker *t, uint64_t ts_ns, enum clock_step step, unsigned witness) {
    t->leap_seen = witness;
    if (t->now_ns == 0) {
        clock_start(t, ts_ns);
    } else if (step == CLOCK_STANDS) {
        t->counters.reordered++;
    } else if (step == CLOCK_DOUBTS) {
        t->leap_flow[witness - 1] = FLOW_NONE;
        t->counters.time_jumps++;
    } else {
        if (step == CLOCK_LEAPS)
            shift_witnesses(t, ts_ns - t->now_ns);
        go_on(t, ts_ns);
    }
    t->counters.packets++; /* only now: a picture that it made due is of before it */
}
