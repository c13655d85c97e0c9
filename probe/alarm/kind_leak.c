/*
 * close_wait_leak: a process does not close what its peer has closed. Counted in the picture:
 * connections with one end in CLOSE_WAIT for `age` seconds, by the service or the client that owns
 * that end. Raised at `raise`, or at `samples` when the number rises over six windows; critical at
 * `critical`; quiet below `clear` % of the level. The forecast says when `limit` descriptors (the
 * usual limit of a process) would be used up at this rate.
 *
 * fin_wait2_stuck: the same seen from the end that has closed: it waits in FIN_WAIT_2 (or its
 * kernel has given up and forgotten the connection, after tcp_fin_timeout) for a peer that sits in
 * CLOSE_WAIT. Raised at `raise`, quiet below `clear` %.
 */
#include "engine.h"

/* Over the minute: it never fell, and grew more than once. */
static bool is_rising(const uint32_t n[MINUTE_WINDOWS]) {
    unsigned steps = 0;
    for (int w = 0; w + 1 < MINUTE_WINDOWS; w++) {
        if (n[w] < n[w + 1])
            return false;
        steps += n[w] > n[w + 1];
    }
    return steps >= 2 && n[MINUTE_WINDOWS - 1] > 0;
}

static double slope(const uint32_t n[MINUTE_WINDOWS]) {
    return ((double)n[0] - n[MINUTE_WINDOWS - 1]) / ((MINUTE_WINDOWS - 1) * ALARM_WINDOW_S);
}

static void close_wait(struct alarm_engine *a, int64_t service, const struct base_addr *client,
                       uint32_t n, const uint32_t leak[MINUTE_WINDOWS], uint64_t oldest_ns) {
    struct judgement j;
    if ((n == 0 && !alarm_is_known(a, ALARM_CLOSE_WAIT_LEAK, service, client)) ||
        !judgement_begin(a, &j, ALARM_CLOSE_WAIT_LEAK, service, client))
        return;
    bool rises = is_rising(leak) && n >= rule_of(&j, ALARM_SAMPLES);
    j.value = n;
    j.raise = rule_of(&j, ALARM_RAISE);
    j.clear = j.raise * rule_of(&j, ALARM_CLEAR) / 100;
    j.samples = n;
    j.level = n >= rule_of(&j, ALARM_CRITICAL) ? LEVEL_CRITICAL
              : n >= j.raise || rises          ? LEVEL_WARNING
              : n < j.clear                    ? LEVEL_QUIET
                                               : LEVEL_BETWEEN;
    j.detail.count = n;
    j.detail.rate = slope(leak);
    j.detail.side = service != NONE ? EVENT_SERVER : EVENT_CLIENT;
    j.detail.age_s =
        oldest_ns != 0 ? (double)engine_ago(a, oldest_ns) / (double)BASE_NS_PER_S : NAN;
    if (j.detail.rate > 0 && n < rule_of(&j, ALARM_LIMIT)) {
        double left_s = (rule_of(&j, ALARM_LIMIT) - n) / j.detail.rate;
        j.limit = rule_of(&j, ALARM_LIMIT);
        j.forecast_ns = a->now_ns + (uint64_t)(left_s * (double)BASE_NS_PER_S);
    }
    j.trouble = TROUBLE_CLOSE_WAIT;
    j.share = service != NONE ? offsetof(struct pair, close_wait) : 0;
    alarm_judge(a, &j);
}

/* The client of a service that leaves most of them waiting. */
static void name_peer(const struct alarm_engine *a, int64_t service, struct base_addr *peer) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < a->pairs; i++)
        if (a->watch[i].used && a->pair[i].service == service && a->pair[i].fin_wait2 > most) {
            most = a->pair[i].fin_wait2;
            *peer = a->pair[i].client;
        }
}

static void fin_wait2(struct alarm_engine *a, int64_t service, const struct base_addr *client,
                      uint32_t n) {
    struct judgement j;
    if ((n == 0 && !alarm_is_known(a, ALARM_FIN_WAIT2_STUCK, service, client)) ||
        !judgement_begin(a, &j, ALARM_FIN_WAIT2_STUCK, service, client))
        return;
    j.value = n;
    j.raise = rule_of(&j, ALARM_RAISE);
    j.clear = j.raise * rule_of(&j, ALARM_CLEAR) / 100;
    j.samples = n;
    j.level = n >= j.raise ? LEVEL_WARNING : n < j.clear ? LEVEL_QUIET : LEVEL_BETWEEN;
    j.detail.count = n;
    j.detail.side = service != NONE ? EVENT_SERVER : EVENT_CLIENT;
    if (service != NONE && j.level >= LEVEL_BETWEEN)
        name_peer(a, service, &j.detail.peer);
    j.trouble = TROUBLE_FIN_WAIT2;
    j.share = service != NONE ? offsetof(struct pair, fin_wait2) : 0;
    alarm_judge(a, &j);
}

void detect_leak(struct alarm_engine *a, int64_t i) {
    struct service *s = &a->service[i];
    s->leak[0] = s->close_wait;
    close_wait(a, i, NULL, s->close_wait, s->leak, s->oldest_ns);
    fin_wait2(a, i, NULL, s->fin_wait2);
}

void detect_client_leak(struct alarm_engine *a, struct client *c) {
    c->leak[0] = c->close_wait;
    close_wait(a, NONE, &c->addr, c->close_wait, c->leak, c->oldest_ns);
    fin_wait2(a, NONE, &c->addr, c->fin_wait2);
}
