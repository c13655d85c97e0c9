/*
 * client_drop: many clients of a service are gone. Different clients with an ESTABLISHED connection
 * in the picture, against the baseline of that number. Raised below `raise` % of the median less
 * `factor` MAD, where the median is at least `samples`; quiet above `clear` % of it. Who has opened
 * one in the window is not gone, though it is closed again: a service that turns its clients away
 * has another trouble, and another alarm.
 *
 * client_silent: a client that is there in nearly every hour is not, or one that the CMDB names.
 * Present: a connection open in the picture, or opened in the window. Habitual: seen for a day or
 * longer, and present in `ratio` % of those hours (of the last week). A named one is known by its
 * second hour. Raised when it is absent for longer than `raise` seconds and
 * `factor` times its longest absence of the last seven days on which it was seen; cleared when it
 * is seen. Time in which the tap was silent or missed too much does not count.
 *
 * A person who comes by chance is seen each hour of the day, and seldom at night: the longest gap
 * of one night says little about the next. So it has to be missed, too, going by the same hours of
 * earlier days: in these it came often (OFTEN_AN_HOUR), or so many times as chance does not leave
 * out (SURELY: what was 21 by chance is 12 or more, and none of 12 is one in e^12), or it comes by
 * the clock or stays: its longest gap is near its mean one.
 */
#include "engine.h"

#define HOUR_NS (3600 * BASE_NS_PER_S)

enum { LEARN_CLIENTS_FROM = 5, DAY_HOURS = 24, FORGET_DAYS = 7, OFTEN_AN_HOUR = 12, SURELY = 21 };

static const double by_the_clock = 1.5; /* longest gap over mean gap; by chance it is ln(n) */

/* Clients that are connected in the picture, or were in the window. */
static uint32_t not_gone(const struct alarm_engine *a, int64_t service) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < a->pairs; i++) {
        struct sketch_place at = sketch_at(a->sketch, a->watch[i].tag);
        bool here = a->pair[i].established > 0 || (*at.here & at.bit) != 0;
        n += a->watch[i].used && a->pair[i].service == service && here;
    }
    return n;
}

void detect_drop(struct alarm_engine *a, int64_t i) {
    const struct service *s = &a->service[i];
    struct judgement j;
    struct usual usual = {.median = NAN};
    struct baseline *b = service_series(a, i, SERIES_CLIENTS, s->clients >= LEARN_CLIENTS_FROM);
    bool active = alarm_is_active(a, ALARM_CLIENT_DROP, i, NULL);
    if (b == NULL || !judgement_begin(a, &j, ALARM_CLIENT_DROP, i, NULL))
        return;
    bool known =
        baseline_get(a, b, BASELINE_BELOW, &usual) && usual.median >= rule_of(&j, ALARM_SAMPLES);
    if (!engine_doubts(a) && !active)
        baseline_add(a, b, s->clients);
    if (!known && !active)
        return;
    j.value = s->clients;
    j.raise = usual.median * rule_of(&j, ALARM_RAISE) / 100 - rule_of(&j, ALARM_FACTOR) * usual.mad;
    j.clear = usual.median * rule_of(&j, ALARM_CLEAR) / 100;
    j.baseline = usual.median;
    j.samples = s->clients;
    j.thin = engine_doubts(a) || !known;
    bool gone = s->clients < j.raise && not_gone(a, i) < j.raise;
    j.level = gone ? LEVEL_WARNING : s->clients > j.clear ? LEVEL_QUIET : LEVEL_BETWEEN;
    j.detail.count = s->clients;
    alarm_judge(a, &j);
}

/* ---- client_silent ---- */

static bool bit(const uint8_t *bits, uint32_t n) {
    return (bits[n / 8] >> (n % 8) & 1) != 0;
}

static void set_bit(uint8_t *bits, uint32_t n, bool on) {
    bits[n / 8] = (uint8_t)(on ? bits[n / 8] | 1u << (n % 8) : bits[n / 8] & ~(1u << (n % 8)));
}

/* Time by a clock that stands still while the tap does not work: at the end of a window it shows
 * whole seconds. */
static uint32_t worked_s(const struct alarm_engine *a) {
    return (uint32_t)((a->now_ns - a->silent_ns) / BASE_NS_PER_S);
}

static void note_gap(const struct alarm_engine *a, struct pair *p, uint32_t gap_s) {
    uint32_t day = (uint32_t)(a->now_ns / HOUR_NS / DAY_HOURS), at = day % FORGET_DAYS;
    if (p->gap_day[at] != day) {
        p->gap_day[at] = day;
        p->gap_s[at] = 0;
    }
    if (gap_s > p->gap_s[at])
        p->gap_s[at] = gap_s;
}

static uint32_t hour_now(const struct alarm_engine *a) {
    return (uint32_t)(a->now_ns / HOUR_NS);
}

/* How often it came in an hour joins what was on other days, half and half. */
static void note_often(struct pair *p, uint32_t hour, unsigned n) {
    uint8_t *came = &p->came[hour % DAY_HOURS];
    *came = (uint8_t)(*came == 0 ? n : (*came + n + 1) / 2);
}

/* It is here, as it was in the window before, and in the same hour: that is marked. */
static bool is_marked(const struct alarm_engine *a, const struct pair_watch *w) {
    return w->present_s != 0 && !w->silent && worked_s(a) - w->present_s <= ALARM_WINDOW_S &&
           (a->now_ns - ALARM_WINDOW_NS) / HOUR_NS == hour_now(a);
}

/* It is here: its hour is marked, those since it was seen last are not. */
static void note_present(const struct alarm_engine *a, struct pair *p, struct pair_watch *w) {
    uint32_t hour = hour_now(a), now_s = worked_s(a);
    uint32_t absent = p->last_hour != 0 && hour > p->last_hour ? hour - p->last_hour - 1 : 0;
    for (uint32_t i = 1; i <= absent && i <= WEEK_HOURS; i++) {
        set_bit(p->hours, (hour - i) % WEEK_HOURS, false);
        note_often(p, hour - i, 0);
    }
    set_bit(p->hours, hour % WEEK_HOURS, true);
    if (p->last_hour != 0 && p->last_hour != hour) {
        note_often(p, p->last_hour, p->came_now);
        p->came_now = 0;
    }
    if (now_s - w->present_s > ALARM_WINDOW_S)
        p->came_now = (uint8_t)(p->came_now + (p->came_now < UINT8_MAX));
    p->last_hour = hour;
    if (w->present_s != 0 && !w->silent && now_s > w->present_s)
        note_gap(a, p, now_s - w->present_s);
}

static double presence(const struct pair *p) {
    uint32_t hours = p->last_hour - p->first_hour + 1, n = 0;
    if (hours > WEEK_HOURS)
        hours = WEEK_HOURS;
    for (uint32_t i = 0; i < hours; i++)
        n += bit(p->hours, (p->last_hour - i) % WEEK_HOURS);
    return 100.0 * n / hours;
}

static uint32_t usual_gap(const struct pair *p) {
    uint32_t most = 0;
    for (int i = 0; i < FORGET_DAYS; i++)
        most = p->gap_s[i] > most ? p->gap_s[i] : most;
    return most;
}

/* Would it have come meanwhile, by what the same hours of earlier days had? */
static bool is_missed(const struct alarm_engine *a, const struct pair *p, double absent_s,
                      double gap_s) {
    double now_h = (double)a->now_ns / (double)HOUR_NS, since_h = now_h - absent_s / 3600;
    double expected = 0;
    uint32_t all = 0;
    unsigned least = UINT8_MAX;
    for (uint32_t hour = p->last_hour; hour <= hour_now(a); hour++) {
        unsigned n = p->came[hour % DAY_HOURS];
        least = n < least ? n : least;
        expected += n * fmax(0, fmin(now_h, hour + 1.0) - fmax(since_h, hour));
    }
    for (unsigned i = 0; i < DAY_HOURS; i++)
        all += p->came[i];
    bool regular = gap_s * all <= by_the_clock * DAY_HOURS * 3600;
    return least >= OFTEN_AN_HOUR || expected >= SURELY || regular;
}

/* Until it is seen again nothing changes but the time. */
static uint32_t ask_again_s(const struct pair_watch *w, double absent_s, double raise_s) {
    double due_s = w->present_s + raise_s;
    return absent_s > raise_s ? 0 : due_s < NEVER_S ? (uint32_t)due_s : NEVER_S;
}

static bool is_followed(const struct alarm_engine *a, const struct pair *p, double ratio) {
    const struct alarm_config *c = &a->config;
    double hours = c->history_hours;
    if (c->named != NULL && p->last_hour > p->first_hour &&
        c->named(c->service_context, &p->client))
        return true;
    return p->last_hour - p->first_hour + 1 >= (uint32_t)hours && presence(p) >= ratio;
}

static void judge_silent(struct alarm_engine *a, uint32_t i, bool here, double absent_s) {
    struct judgement j;
    struct pair *p = &a->pair[i];
    struct pair_watch *w = &a->watch[i];
    w->due_s = NEVER_S;
    if (!p->proven || rules_allows(a->rules, &p->client) ||
        !judgement_begin(a, &j, ALARM_CLIENT_SILENT, p->service, &p->client))
        return;
    double gap_s = usual_gap(p);
    j.value = absent_s;
    j.raise = fmax(rule_of(&j, ALARM_RAISE), rule_of(&j, ALARM_FACTOR) * gap_s);
    j.clear = 0;
    j.baseline = gap_s;
    j.samples = 1;
    j.since_ns = p->last_ns;
    j.reason = ALARM_RETURNED;
    j.thin = engine_doubts(a) && !here;
    bool followed = is_followed(a, p, rule_of(&j, ALARM_RATIO));
    bool gone_for_good = absent_s > FORGET_DAYS * DAY_HOURS * 3600.0;
    bool absent = !here && followed && absent_s > j.raise && is_missed(a, p, absent_s, gap_s);
    j.level = absent ? LEVEL_WARNING : LEVEL_BETWEEN;
    j.over = here || gone_for_good;
    j.detail.age_s = absent_s;
    alarm_judge(a, &j);
    w->silent = alarm_is_active(a, ALARM_CLIENT_SILENT, p->service, &p->client);
    if (followed || w->silent)
        w->due_s = w->silent ? 0 : ask_again_s(w, absent_s, j.raise);
}

void detect_silent(struct alarm_engine *a, uint32_t i, bool connected) {
    struct pair_watch *w = &a->watch[i];
    struct sketch_place at = sketch_at(a->sketch, w->tag);
    bool here = connected || (*at.here & at.bit) != 0;
    if (here) {
        if (!is_marked(a, w))
            note_present(a, &a->pair[i], w);
        w->present_s = worked_s(a);
        w->due_s = 0;
    }
    double absent_s = worked_s(a) - w->present_s;
    bool late = !here && absent_s >= a->least_silent_s && worked_s(a) >= w->due_s;
    if (w->present_s != 0 && (w->silent || late))
        judge_silent(a, i, here, absent_s);
}
