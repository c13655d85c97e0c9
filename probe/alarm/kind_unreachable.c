/*
 * service_unreachable: no attempt to a service is answered any more. Counted: attempts of the last
 * half minute, after the last one that was answered, that were silent for `age` seconds or got an
 * ICMP error that quotes their sequence number. Raised at `raise` of `samples` clients or more,
 * when the first of them is `limit` seconds old; quiet since the first answer.
 *
 * connect_timeout: a client cannot reach a service. Counted for the pair: attempts without SYN-ACK
 * or RST in `age` seconds, or through all retries. Raised at `raise` in a minute, unless the
 * service as a whole is in trouble; quiet in windows without one.
 */
#include "engine.h"

enum { NOBODY_TRIES_S = 600 };

/* Attempts of the last half minute that nobody answered; the first of them. */
static uint32_t unanswered(const struct service *s, uint64_t *first_ns) {
    uint32_t n = 0;
    *first_ns = 0;
    for (int w = 0; w < SILENT_WINDOWS && s->heard_ns <= s->silent_last_ns; w++) {
        n += s->silent[w];
        if (s->silent[w] > 0 && (*first_ns == 0 || s->silent_first_ns[w] < *first_ns))
            *first_ns = s->silent_first_ns[w];
    }
    return n;
}

void detect_unreachable(struct alarm_engine *a, int64_t i) {
    const struct service *s = &a->service[i];
    struct judgement j;
    bool icmp = s->icmp_first_ns > s->answered_ns;
    uint64_t first_ns;
    uint32_t silent = unanswered(s, &first_ns);
    if ((silent == 0 && s->icmp == 0 && !alarm_is_known(a, ALARM_SERVICE_UNREACHABLE, i, NULL)) ||
        !judgement_begin(a, &j, ALARM_SERVICE_UNREACHABLE, i, NULL))
        return;
    if (icmp && (first_ns == 0 || s->icmp_first_ns < first_ns))
        first_ns = s->icmp_first_ns;
    const struct base_addr *one = &s->silent_client[0], *other = &s->icmp_client[0];
    bool several = s->silent_client[1].family != 0 || s->icmp_client[1].family != 0 ||
                   (one->family != 0 && other->family != 0 && !addr_equal(one, other));
    unsigned clients = several ? 2 : 1;
    double n = silent + (icmp ? s->icmp : 0);
    bool long_enough = first_ns != 0 && (double)engine_ago(a, first_ns) >=
                                            rule_of(&j, ALARM_LIMIT) * (double)BASE_NS_PER_S;
    bool answered = s->answered_ns > s->silent_last_ns;
    bool forgotten =
        engine_ago(a, s->silent_last_ns) > (uint64_t)NOBODY_TRIES_S * BASE_NS_PER_S && n == 0;
    j.value = n;
    j.raise = rule_of(&j, ALARM_RAISE);
    j.clear = 1;
    j.since_ns = first_ns;
    j.samples = service_attempts(s);
    j.level = n >= j.raise && clients >= rule_of(&j, ALARM_SAMPLES) && long_enough ? LEVEL_WARNING
              : answered || forgotten                                              ? LEVEL_QUIET
                                                                                   : LEVEL_BETWEEN;
    if (j.level == LEVEL_WARNING && clients < 2 && rule_of(&j, ALARM_SAMPLES) >= 2)
        j.level = LEVEL_BETWEEN;
    j.detail.count = n;
    j.detail.rate = icmp ? 1 : 0;
    j.detail.age_s = first_ns != 0 ? (double)engine_ago(a, first_ns) / (double)BASE_NS_PER_S : NAN;
    j.trouble = TROUBLE_SILENT;
    j.share = offsetof(struct pair, timeouts);
    alarm_judge(a, &j);
}

/* Everybody's trouble: one alarm of the service says it. */
static bool is_service_trouble(const struct alarm_engine *a, int64_t service) {
    return alarm_is_known(a, ALARM_SERVICE_UNREACHABLE, service, NULL) ||
           alarm_is_known(a, ALARM_BACKLOG_FULL, service, NULL) ||
           alarm_is_known(a, ALARM_SYN_FLOOD, service, NULL);
}

void detect_timeout(struct alarm_engine *a, struct pair *p) {
    struct judgement j;
    uint32_t n = 0;
    for (int w = 0; w < MINUTE_WINDOWS; w++)
        n += p->minute_timeouts[w];
    bool known = alarm_is_known(a, ALARM_CONNECT_TIMEOUT, p->service, &p->client);
    if (!known && is_service_trouble(a, p->service))
        return;
    if ((n == 0 && !known) ||
        !judgement_begin(a, &j, ALARM_CONNECT_TIMEOUT, p->service, &p->client))
        return;
    j.value = n;
    j.raise = rule_of(&j, ALARM_RAISE);
    j.clear = 1;
    j.span_ns = 60 * BASE_NS_PER_S;
    j.samples = p->timeouts;
    j.level = p->timeouts == 0 ? LEVEL_QUIET : n >= j.raise ? LEVEL_WARNING : LEVEL_BETWEEN;
    if (j.level == LEVEL_QUIET && n >= j.raise &&
        !alarm_is_active(a, ALARM_CONNECT_TIMEOUT, p->service, &p->client))
        j.level = LEVEL_WARNING; /* it came together before the window */
    j.detail.count = n;
    j.trouble = TROUBLE_SILENT;
    alarm_judge(a, &j);
    if (alarm_is_known(a, ALARM_CONNECT_TIMEOUT, p->service, &p->client) && p->stirred < 2)
        p->stirred = 2; /* to be told whole until it is over, which takes longer than a minute */
}
