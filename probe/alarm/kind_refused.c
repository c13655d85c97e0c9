/*
 * conn_refused: a service answers SYNs with RST (RFC 9293 section 3.10.7.1: nobody listens).
 * Counted in the window, without clients of the allow lists. Raised at `raise`, or above `ratio` %
 * of the attempts with at least `samples`; quiet where none was refused.
 */
#include "engine.h"

void detect_refused(struct alarm_engine *a, int64_t i) {
    const struct service *s = &a->service[i];
    struct judgement j;
    if ((s->refused == 0 && !alarm_is_known(a, ALARM_CONN_REFUSED, i, NULL)) ||
        !judgement_begin(a, &j, ALARM_CONN_REFUSED, i, NULL))
        return;
    double share = service_attempts(s) > 0 ? 100.0 * s->refused / service_attempts(s) : 100;
    bool most = share > rule_of(&j, ALARM_RATIO) && s->refused >= rule_of(&j, ALARM_SAMPLES);
    j.value = s->refused;
    j.raise = most ? rule_of(&j, ALARM_SAMPLES) : rule_of(&j, ALARM_RAISE);
    j.clear = 1;
    j.samples = service_attempts(s);
    j.level = s->refused >= rule_of(&j, ALARM_RAISE) || most ? LEVEL_WARNING
              : s->refused == 0                              ? LEVEL_QUIET
                                                             : LEVEL_BETWEEN;
    j.detail.count = s->refused;
    j.detail.total = service_attempts(s);
    j.trouble = TROUBLE_REFUSED;
    j.share = offsetof(struct pair, refused);
    alarm_judge(a, &j);
}
