/*
 * zero_window_stall: a process does not read what it is sent: its window is closed (RFC 9293
 * section 3.8.6) and stays so. Counted: connections closed for `raise` seconds or longer, in the
 * picture or ended in the window, by the side that does not read: its service, or the client.
 * Raised at `samples` of them, critical when one of these lasts `critical` seconds; quiet when
 * there is none.
 */
#include "engine.h"

static void judge_stall(struct alarm_engine *a, int64_t service, const struct base_addr *client,
                        uint32_t n, uint64_t longest_ns) {
    struct judgement j;
    if ((n == 0 && !alarm_is_known(a, ALARM_ZERO_WINDOW_STALL, service, client)) ||
        !judgement_begin(a, &j, ALARM_ZERO_WINDOW_STALL, service, client))
        return;
    double longest_s = (double)longest_ns / (double)BASE_NS_PER_S;
    j.value = n;
    j.raise = rule_of(&j, ALARM_SAMPLES);
    j.clear = 1;
    j.samples = n;
    j.level = n == 0                                     ? LEVEL_QUIET
              : n < j.raise                              ? LEVEL_BETWEEN
              : longest_s >= rule_of(&j, ALARM_CRITICAL) ? LEVEL_CRITICAL
                                                         : LEVEL_WARNING;
    j.since_ns = longest_ns != 0 ? a->now_ns - longest_ns : 0;
    j.detail.count = n;
    j.detail.age_s = longest_s;
    j.detail.side = service != NONE ? EVENT_SERVER : EVENT_CLIENT;
    j.trouble = TROUBLE_STALLED;
    alarm_judge(a, &j);
}

void detect_stall(struct alarm_engine *a, int64_t i) {
    const struct service *s = &a->service[i];
    judge_stall(a, i, NULL, s->stalled[EVENT_SERVER], s->stalled_ns[EVENT_SERVER]);
}

void detect_client_stall(struct alarm_engine *a, struct client *c) {
    judge_stall(a, NONE, &c->addr, c->stalled, c->stalled_ns);
}
