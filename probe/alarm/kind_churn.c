/*
 * churn: a client opens connections to a service much faster than usual, and keeps them for moments
 * only. Of the window: connections opened a second. Raised above `raise` a second and `factor`
 * times the baseline of this client and service, if at least half of those that ended lasted less
 * than `age` seconds; quiet below `clear` times the baseline. A rate of raise / factor counts as
 * usual for everybody: only who opens more has a baseline of its own.
 */
#include "engine.h"

#include <stdio.h>

#define HOUR_NS (3600 * BASE_NS_PER_S)

static struct baseline *rate_series(struct alarm_engine *a, struct pair *p, double rate,
                                    double usual) {
    char key[128], client[BASE_ADDR_TEXT], service[BASE_ENDPOINT_TEXT];
    const struct service *s = &a->service[p->service];
    if (p->rate != NULL)
        return p->rate;
    if (p->rate_asked && rate < usual) /* what was kept of before a restart is looked for once */
        return NULL;
    base_addr_format(&p->client, client);
    if (s->name == NULL)
        base_endpoint_format(&s->server, s->port, service);
    snprintf(key, sizeof key, "churn %s %s", s->name != NULL ? s->name : service, client);
    p->rate = baseline_find(a, key, rate >= usual);
    p->rate_asked = true;
    return p->rate;
}

void detect_churn(struct alarm_engine *a, struct pair *p) {
    struct judgement j;
    struct usual own = {0};
    double rate = (double)p->opened / ALARM_WINDOW_S;
    bool known = alarm_is_known(a, ALARM_CHURN, p->service, &p->client);
    double hours = a->config.history_hours;
    /* Below OFTEN a pair is not counted by itself, and what rules ask for is far above. */
    if ((p->opened < OFTEN && p->rate == NULL && !known) || rules_allows(a->rules, &p->client) ||
        !judgement_begin(a, &j, ALARM_CHURN, p->service, &p->client))
        return;
    double factor = rule_of(&j, ALARM_FACTOR);
    double usual = factor > 0 ? rule_of(&j, ALARM_RAISE) / factor : 0;
    struct baseline *b = rate_series(a, p, rate, usual);
    bool enough = (double)engine_ago(a, a->baselines.since_ns) >= hours * (double)HOUR_NS;
    double base = baseline_get(a, b, BASELINE_ABOVE, &own) ? own.median : 0;
    j.value = rate;
    j.raise = fmax(rule_of(&j, ALARM_RAISE), factor * base);
    j.clear = rule_of(&j, ALARM_CLEAR) * fmax(base, usual);
    j.baseline = base;
    j.samples = p->opened;
    j.thin = !enough || engine_doubts(a);
    bool brief = p->short_lived * 2 >= p->closed && p->closed > 0;
    j.level = rate > j.raise && brief ? LEVEL_WARNING
              : rate < j.clear        ? LEVEL_QUIET
                                      : LEVEL_BETWEEN;
    j.detail.count = p->opened;
    if (!known && j.level != LEVEL_WARNING)
        baseline_add(a, b, rate);
    if (j.level == LEVEL_QUIET && !known)
        return;
    alarm_judge(a, &j);
}
