/*
 * handshake_latency: SYN to SYN-ACK (the way to the server and its kernel) and SYN-ACK to ACK (the
 * way to the client), of handshakes in which nothing was sent again. app_latency: the last octet
 * asked to the first octet replied, less the way to the server. Each as the 95th percentile of the
 * window; where it has fewer than `samples`, together with the one or two windows before.
 *
 * Raised above median + `factor` x MAD of the baseline, if that is more than `ratio` times the
 * median and `raise` ms above it; quiet below `clear` times the median, or three MAD above it where
 * that is more. With too few samples neither.
 */
#include "engine.h"

#define QUANTILE 0.95

struct latency_view {
    double value, raise, clear, median;
    uint32_t n;
    bool known;
    enum level level;
};

static struct latency_view look(struct alarm_engine *a, int64_t i, enum latency which,
                                enum series series, const struct judgement *j) {
    struct latency_view v = {.value = NAN, .level = LEVEL_QUIET};
    const struct histogram *h = a->service[i].latency[which];
    uint32_t least = (uint32_t)rule_of(j, ALARM_SAMPLES);
    double mad;
    if (h == NULL)
        return v;
    v.n = histogram_quantile(h, QUANTILE, least, &v.value);
    if (v.n < least || engine_doubts(a)) {
        v.n = 0;
        return v;
    }
    struct baseline *b = service_series(a, i, series, true);
    v.known = baseline_get(a, b, &v.median, &mad);
    if (v.known) {
        double above = fmax(rule_of(j, ALARM_FACTOR) * mad, rule_of(j, ALARM_RAISE));
        v.raise = fmax(v.median + above, v.median * rule_of(j, ALARM_RATIO));
        v.clear = fmax(v.median * rule_of(j, ALARM_CLEAR), v.median + 3 * mad);
        v.clear = fmin(v.clear, v.raise);
        v.level = v.value > v.raise   ? LEVEL_WARNING
                  : v.value < v.clear ? LEVEL_QUIET
                                      : LEVEL_BETWEEN;
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
