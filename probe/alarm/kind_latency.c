/*
 * handshake_latency: SYN to SYN-ACK (the way to the server and its kernel) and SYN-ACK to ACK (the
 * way to the client), of handshakes in which nothing was sent again. app_latency: the last octet
 * asked to the first octet replied, less the way to the server. Each as the 95th percentile of the
 * window; where it has fewer than `samples`, together with up to five windows before.
 *
 * Raised above median + `factor` x MAD of the baseline, if that is more than `ratio` times the
 * median, `raise` ms above it, and beyond what one of its windows in twenty had; quiet below
 * `clear` times the median, or three MAD above it where that is more. With too few samples neither.
 *
 * The 95th percentile of a few dozen samples is a guess: where three in a hundred clients live far
 * away, it is theirs in every fourth window. So the window's own samples have to lie above the
 * level in such a number as chance does not put there while 5 % do. A pause of a process that many
 * requests run into lies in one window, not in three.
 *
 * The way to the client is another one for each client: more of those who live far away is no
 * trouble. Handshakes of clients whose usual way is known (struct pair) have to be slower than
 * that, too.
 */
#include "engine.h"

#define QUANTILE 0.95

enum { FEW = 5 /* samples of a window: they say nothing */ };

struct latency_view {
    double value, raise, clear, median;
    uint32_t n;
    bool known;
    enum level level;
};

/* More of n than chance makes of 5 %: three standard deviations. */
static bool beyond_chance(uint32_t some, uint32_t n) {
    const double share = 1 - QUANTILE;
    return some > n * share + 3 * sqrt(n * share * (1 - share));
}

static bool is_slow(const struct service *s, enum latency which, double level_ms) {
    const struct histogram *h = s->latency[which];
    uint32_t n = histogram_count(h);
    return n >= FEW && beyond_chance(histogram_above(h, level_ms), n);
}

static enum level level_of(const struct service *s, enum latency which,
                           const struct latency_view *v) {
    bool theirs = which == LATENCY_CLIENT && !beyond_chance(s->slower, s->compared);
    if (v->value > v->raise && is_slow(s, which, v->raise) && !theirs)
        return LEVEL_WARNING;
    return v->value < v->clear || !is_slow(s, which, v->clear) ? LEVEL_QUIET : LEVEL_BETWEEN;
}

static struct latency_view look(struct alarm_engine *a, int64_t i, enum latency which,
                                enum series series, const struct judgement *j) {
    struct latency_view v = {.value = NAN, .level = LEVEL_QUIET};
    const struct histogram *h = a->service[i].latency[which];
    uint32_t least = (uint32_t)rule_of(j, ALARM_SAMPLES);
    struct usual usual;
    if (h == NULL)
        return v;
    if (histogram_lately(h) < least && !alarm_is_known(a, j->kind, i, NULL))
        return v;
    v.n = histogram_quantile(h, QUANTILE, least, &v.value);
    if (v.n < least || engine_doubts(a)) {
        v.n = 0;
        return v;
    }
    struct baseline *b = service_series(a, i, series, true);
    v.known = baseline_get(a, b, BASELINE_ABOVE, &usual);
    if (v.known) {
        double above = fmax(rule_of(j, ALARM_FACTOR) * usual.mad, rule_of(j, ALARM_RAISE));
        v.median = usual.median;
        v.raise = fmax(fmax(v.median + above, v.median * rule_of(j, ALARM_RATIO)), usual.high);
        v.clear = fmax(v.median * rule_of(j, ALARM_CLEAR), v.median + 3 * usual.mad);
        v.clear = fmin(v.clear, v.raise);
        v.level = level_of(&a->service[i], which, &v);
    }
    if (v.level == LEVEL_QUIET && v.n >= least)
        baseline_add(a, b, v.value);
    else if (v.level != LEVEL_QUIET && !alarm_is_known(a, j->kind, i, NULL))
        baseline_add(a, b, v.value);
    return v;
}

static void judge_latency(struct alarm_engine *a, struct judgement *j, int64_t i,
                          const struct latency_view *v, unsigned side) {
    if (!v->known && !alarm_is_known(a, j->kind, i, NULL))
        return;
    j->value = v->value;
    j->raise = v->raise;
    j->clear = v->clear;
    j->baseline = v->median;
    j->samples = v->n;
    j->thin = v->n == 0 || !v->known;
    j->level = v->level;
    j->detail.side = (uint8_t)side;
    j->detail.count = v->n;
    alarm_judge(a, j);
}

static bool more_telling(const struct latency_view *x, const struct latency_view *y) {
    if (x->known != y->known)
        return x->known;
    if (x->level != y->level)
        return x->level > y->level;
    return x->n > 0 && (y->n == 0 || x->value - x->median > y->value - y->median);
}

void detect_latency(struct alarm_engine *a, int64_t i) {
    const struct service *s = &a->service[i];
    struct judgement j;
    if ((s->latency[LATENCY_SERVER] != NULL || s->latency[LATENCY_CLIENT] != NULL) &&
        judgement_begin(a, &j, ALARM_HANDSHAKE_LATENCY, i, NULL)) {
        struct latency_view server = look(a, i, LATENCY_SERVER, SERIES_SERVER, &j);
        struct latency_view client = look(a, i, LATENCY_CLIENT, SERIES_CLIENT, &j);
        bool at_server = !more_telling(&client, &server);
        judge_latency(a, &j, i, at_server ? &server : &client,
                      at_server ? EVENT_SERVER : EVENT_CLIENT);
    }
    if (s->latency[LATENCY_REPLY] != NULL && judgement_begin(a, &j, ALARM_APP_LATENCY, i, NULL)) {
        struct latency_view reply = look(a, i, LATENCY_REPLY, SERIES_REPLY, &j);
        judge_latency(a, &j, i, &reply, EVENT_SERVER);
    }
}
