/*
 * idle_dead_peer: an end sends data or keepalive probes and gets no answer: its peer, or the way to
 * it, is gone. Counted in the picture: ESTABLISHED connections on which one end has repeated itself
 * `samples` times or more over `age` seconds, by client. Raised at `raise` for a client; quiet
 * below `clear` % of that. A service that has a rule of its own is watched as a whole, too.
 *
 * idle_long: ESTABLISHED connections silent for longer than the service's limit (`age` seconds;
 * 0, the default: no limit). Raised at `raise`, quiet when there is none.
 */
#include "engine.h"

static void dead(struct alarm_engine *a, int64_t service, const struct base_addr *client,
                 uint32_t n, uint64_t oldest_ns) {
    struct judgement j;
    if ((n == 0 && !alarm_is_known(a, ALARM_IDLE_DEAD_PEER, service, client)) ||
        !judgement_begin(a, &j, ALARM_IDLE_DEAD_PEER, service, client))
        return;
    j.value = n;
    j.raise = rule_of(&j, ALARM_RAISE);
    j.clear = fmax(1, j.raise * rule_of(&j, ALARM_CLEAR) / 100);
    j.samples = n;
    j.level = n >= j.raise ? LEVEL_WARNING : n < j.clear ? LEVEL_QUIET : LEVEL_BETWEEN;
    j.since_ns = oldest_ns;
    j.detail.count = n;
    j.detail.age_s =
        oldest_ns != 0 ? (double)engine_ago(a, oldest_ns) / (double)BASE_NS_PER_S : NAN;
    j.trouble = TROUBLE_DEAD;
    alarm_judge(a, &j);
}

void detect_dead(struct alarm_engine *a, struct client *c) {
    dead(a, NONE, &c->addr, c->dead, c->oldest_ns);
}

void detect_idle(struct alarm_engine *a, int64_t i) {
    const struct service *s = &a->service[i];
    const char *name = s->name;
    struct judgement j;
    if (name != NULL && rules_find(a->rules, ALARM_IDLE_DEAD_PEER, name, NULL) !=
                            rules_find(a->rules, ALARM_IDLE_DEAD_PEER, NULL, NULL))
        dead(a, i, NULL, s->dead, 0);
    if ((s->idle == 0 && !alarm_is_known(a, ALARM_IDLE_LONG, i, NULL)) ||
        !judgement_begin(a, &j, ALARM_IDLE_LONG, i, NULL))
        return;
    j.value = s->idle;
    j.raise = rule_of(&j, ALARM_RAISE);
    j.clear = 1;
    j.samples = s->idle;
    j.level = s->idle >= j.raise ? LEVEL_WARNING : s->idle == 0 ? LEVEL_QUIET : LEVEL_BETWEEN;
    j.detail.count = s->idle;
    j.detail.total = rule_of(&j, ALARM_AGE);
    j.detail.age_s =
        s->oldest_ns != 0 ? (double)engine_ago(a, s->oldest_ns) / (double)BASE_NS_PER_S : NAN;
    j.trouble = TROUBLE_IDLE;
    alarm_judge(a, &j);
}
