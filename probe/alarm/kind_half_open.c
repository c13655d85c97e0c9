/*
 * syn_flood: handshakes that the clients do not complete pile up at a service. Gauge: connections
 * whose server end is in SYN_RECEIVED at the window's end (RFC 9293; RFC 4987 section 2). Raised
 * above max(raise, factor x baseline) while less than `ratio` % of the window's attempts were
 * completed; quiet below `clear` % of that level. Says whether nearly every source has sent one
 * packet only.
 *
 * backlog_full: the accept queue or the SYN queue of a service is full: its kernel drops SYNs while
 * others are served. Counted: SYNs that had to be sent again before any SYN-ACK. Raised above
 * `raise` % of the window's attempts and at `samples` or more, if some attempt was completed;
 * quiet below `clear` %.
 */
#include "engine.h"

enum { LEARN_FROM = 32 /* half-open connections: fewer need no baseline */ };

/* The share of different clients among the last half-open connections. */
static double one_packet_share(const struct alarm_engine *a, int64_t service) {
    const struct troubles *r = &a->trouble[TROUBLE_HALF_OPEN];
    unsigned n = 0, repeated = 0;
    uint64_t seen[4] = {0}; /* a small Bloom filter: two clients in 256 places */
    for (uint32_t i = 0; i < TROUBLE_RING && n < 64; i++) {
        uint32_t at = (r->next - 1 - i) % TROUBLE_RING;
        if (r->ts_ns[at] == 0 || r->service[at] != service)
            continue;
        uint32_t h = index_hash(r->flow[at].client, 16, 0);
        repeated += (seen[h >> 6 & 3] >> (h & 63) & 1) != 0;
        seen[h >> 6 & 3] |= UINT64_C(1) << (h & 63);
        n++;
    }
    return n > 0 ? 1 - (double)repeated / n : NAN;
}

static struct baseline *series(struct alarm_engine *a, int64_t i) {
    return service_series(a, i, SERIES_HALF_OPEN, a->service[i].half_open >= LEARN_FROM);
}

static void syn_flood(struct alarm_engine *a, int64_t i) {
    const struct service *s = &a->service[i];
    struct judgement j;
    struct usual usual;
    double n = (double)s->half_open, attempts = s->attempts_all;
    struct baseline *b = series(a, i);
    if (n < 1 && !alarm_is_known(a, ALARM_SYN_FLOOD, i, NULL))
        return;
    if (!judgement_begin(a, &j, ALARM_SYN_FLOOD, i, NULL))
        return;
    j.raise = rule_of(&j, ALARM_RAISE);
    if (baseline_get(a, b, BASELINE_ABOVE, &usual)) {
        j.baseline = usual.median;
        j.raise = fmax(j.raise, usual.median * rule_of(&j, ALARM_FACTOR));
    }
    j.clear = j.raise * rule_of(&j, ALARM_CLEAR) / 100;
    j.value = n;
    j.samples = s->attempts_all;
    bool fails = s->completed * 100.0 < rule_of(&j, ALARM_RATIO) * attempts;
    j.level = n > j.raise && fails ? LEVEL_WARNING : n < j.clear ? LEVEL_QUIET : LEVEL_BETWEEN;
    j.detail.count = attempts > 0 ? 100.0 * s->completed / attempts : NAN;
    j.detail.rate = attempts / ALARM_WINDOW_S;
    if (j.level >= LEVEL_BETWEEN)
        j.detail.total = one_packet_share(a, i);
    j.trouble = TROUBLE_HALF_OPEN;
    j.share = offsetof(struct pair, half_open);
    if (j.level == LEVEL_QUIET)
        baseline_add(a, b, n);
    alarm_judge(a, &j);
}

static void backlog_full(struct alarm_engine *a, int64_t i) {
    const struct service *s = &a->service[i];
    struct judgement j;
    if ((s->syn_again == 0 && !alarm_is_known(a, ALARM_BACKLOG_FULL, i, NULL)) ||
        !judgement_begin(a, &j, ALARM_BACKLOG_FULL, i, NULL))
        return;
    double share = service_attempts(s) > 0 ? 100.0 * s->syn_again / service_attempts(s)
                   : s->syn_again > 0      ? 100
                                           : 0;
    double least = rule_of(&j, ALARM_SAMPLES);
    j.value = share;
    j.raise = rule_of(&j, ALARM_RAISE);
    j.clear = rule_of(&j, ALARM_CLEAR);
    j.samples = service_attempts(s);
    bool raise = share > j.raise && s->syn_again >= least && s->completed > 0;
    j.level = raise                                          ? LEVEL_WARNING
              : share < j.clear || s->syn_again < least / 10 ? LEVEL_QUIET
                                                             : LEVEL_BETWEEN;
    j.detail.count = s->syn_again;
    j.detail.total = service_attempts(s);
    j.detail.rate = s->completed;
    j.trouble = TROUBLE_SILENT;
    alarm_judge(a, &j);
}

void detect_half_open(struct alarm_engine *a, int64_t i) {
    syn_flood(a, i);
    backlog_full(a, i);
}
