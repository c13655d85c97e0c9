/*
 * rst_injection: RSTs that their sender cannot have meant (EVENT_ODD_RST): outside of the window,
 * or followed by more from the same sender, or from another distance than its segments. By service:
 * raised at `raise` in a minute, quiet in windows without one.
 *
 * syn_in_established: SYNs on live connections that begin no other one (EVENT_ODD_SYN): a peer that
 * crashed and starts again, or a forger (RFC 5961 section 4). By client, likewise.
 */
#include "engine.h"

static void judge_odd(struct alarm_engine *a, enum alarm_kind kind, int64_t service,
                      const struct base_addr *client, const uint32_t minute[MINUTE_WINDOWS]) {
    struct judgement j;
    uint32_t n = minute_sum(minute);
    if ((n == 0 && !alarm_is_known(a, kind, service, client)) ||
        !judgement_begin(a, &j, kind, service, client))
        return;
    j.value = n;
    j.raise = rule_of(&j, ALARM_RAISE);
    j.clear = 1;
    j.span_ns = 60 * BASE_NS_PER_S;
    j.samples = minute[0];
    j.level = minute[0] == 0 ? LEVEL_QUIET : n >= j.raise ? LEVEL_WARNING : LEVEL_BETWEEN;
    j.detail.count = n;
    j.trouble = kind == ALARM_RST_INJECTION ? TROUBLE_ODD_RST : TROUBLE_ODD_SYN;
    alarm_judge(a, &j);
}

void detect_forged(struct alarm_engine *a, int64_t i) {
    judge_odd(a, ALARM_RST_INJECTION, i, NULL, a->service[i].minute_odd);
}

void detect_client_forged(struct alarm_engine *a, struct client *c) {
    judge_odd(a, ALARM_SYN_IN_ESTABLISHED, NONE, &c->addr, c->minute_odd);
}
