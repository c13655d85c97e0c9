/*
 * abort_storm: connections of a service end by RST of one who has not closed (no FIN of its own),
 * after they have carried something. Over the last minute, by who aborts: aborts over all closes.
 * A RST after its sender's FIN or after both is an ordinary end; a connection that was opened and
 * reset without an octet is a health check, and no close at all. Raised above `raise` % and at
 * `samples` or more, or when the window's rate is `factor` times the mean of the minute before (of
 * `limit` a second, where that is less); quiet below `clear` %.
 */
#include "engine.h"

static uint32_t minute_of(const struct service *s, unsigned side, int from) {
    uint32_t n = 0;
    for (int w = from; w < MINUTE_WINDOWS; w++)
        n += s->minute_aborts[w][side];
    return n;
}

void detect_abort(struct alarm_engine *a, int64_t i) {
    const struct service *s = &a->service[i];
    struct judgement j;
    uint32_t by[2] = {minute_of(s, 0, 0), minute_of(s, 1, 0)};
    unsigned side = by[EVENT_SERVER] >= by[EVENT_CLIENT];
    if ((by[side] == 0 && !alarm_is_known(a, ALARM_ABORT_STORM, i, NULL)) ||
        !judgement_begin(a, &j, ALARM_ABORT_STORM, i, NULL))
        return;
    double n = by[side], closes = fmax(n, minute_sum(s->minute_closes));
    double rate = (double)s->aborts[side] / ALARM_WINDOW_S;
    double mean = (double)minute_of(s, side, 1) / (60 - ALARM_WINDOW_S);
    double share = closes > 0 ? 100 * n / closes : 0;
    double usual = fmax(rule_of(&j, ALARM_LIMIT), mean);
    bool burst = rate > rule_of(&j, ALARM_FACTOR) * usual;
    j.value = share;
    j.raise = rule_of(&j, ALARM_RAISE);
    j.clear = rule_of(&j, ALARM_CLEAR);
    j.span_ns = 60 * BASE_NS_PER_S;
    j.samples = s->closes;
    bool storm = share > j.raise && n >= rule_of(&j, ALARM_SAMPLES);
    j.level = storm || burst                                          ? LEVEL_WARNING
              : share < j.clear || n * 4 < rule_of(&j, ALARM_SAMPLES) ? LEVEL_QUIET
                                                                      : LEVEL_BETWEEN;
    j.detail.count = n;
    j.detail.total = closes;
    j.detail.rate = rate;
    j.detail.side = (uint8_t)side;
    j.trouble = TROUBLE_ABORT;
    j.share = offsetof(struct pair, aborts);
    alarm_judge(a, &j);
}
