/*
 * retrans_storm: too many segments have to be sent again. Of the window, by direction: segments
 * with payload that were sent again, over all with payload; copies that the mirror made are none of
 * either. Raised above `raise` % of at least `samples` segments, critical above `critical` %, quiet
 * below `clear` %. By service; where one client alone has it on connections that are open, by
 * client and service.
 */
#include "engine.h"

enum { FEW = 2 /* segments sent again: no share of anything */ };

static enum level level_of(const struct judgement *j, double again, double laden) {
    double share = laden > 0 ? 100 * again / laden : 0;
    bool enough = laden >= rule_of(j, ALARM_SAMPLES);
    if (enough && share > rule_of(j, ALARM_CRITICAL))
        return LEVEL_CRITICAL;
    if (enough && share > rule_of(j, ALARM_RAISE))
        return LEVEL_WARNING;
    return share < rule_of(j, ALARM_CLEAR) || again <= FEW ? LEVEL_QUIET : LEVEL_BETWEEN;
}

static void judge(struct alarm_engine *a, struct judgement *j, double again, double laden) {
    j->level = level_of(j, again, laden);
    j->value = laden > 0 ? 100 * again / laden : 0;
    j->raise = rule_of(j, ALARM_RAISE);
    j->clear = rule_of(j, ALARM_CLEAR);
    j->samples = (uint64_t)laden;
    j->detail.count = again;
    j->detail.total = laden;
    j->trouble = TROUBLE_AGAIN;
    alarm_judge(a, j);
}

void detect_retrans(struct alarm_engine *a, int64_t i) {
    const struct service *s = &a->service[i];
    struct judgement j;
    if ((s->again[0] == 0 && s->again[1] == 0 &&
         !alarm_is_known(a, ALARM_RETRANS_STORM, i, NULL)) ||
        !judgement_begin(a, &j, ALARM_RETRANS_STORM, i, NULL))
        return;
    enum level client =
        level_of(&j, (double)s->again[EVENT_CLIENT], (double)s->laden[EVENT_CLIENT]);
    enum level server =
        level_of(&j, (double)s->again[EVENT_SERVER], (double)s->laden[EVENT_SERVER]);
    bool same = client == server;
    unsigned side = same ? (uint64_t)s->again[EVENT_SERVER] * s->laden[EVENT_CLIENT] >=
                               (uint64_t)s->again[EVENT_CLIENT] * s->laden[EVENT_SERVER]
                         : server > client;
    j.detail.side = (uint8_t)side;
    j.share = offsetof(struct pair, again);
    judge(a, &j, (double)s->again[side], (double)s->laden[side]);
}

void detect_pair_retrans(struct alarm_engine *a, struct pair *p) {
    struct judgement j;
    bool known = alarm_is_known(a, ALARM_RETRANS_STORM, p->service, &p->client);
    if ((p->again <= FEW && !known) ||
        !judgement_begin(a, &j, ALARM_RETRANS_STORM, p->service, &p->client))
        return;
    const struct service *s = &a->service[p->service];
    if (!known && (alarm_is_known(a, ALARM_RETRANS_STORM, p->service, NULL) ||
                   p->again * 5ull < ((uint64_t)s->again[0] + s->again[1]) * 4))
        return; /* it is the service's trouble */
    judge(a, &j, p->again, p->laden);
}
