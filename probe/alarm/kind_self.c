/*
 * The probe itself. sink_lag: what is not stored yet: fill of the spool in percent, or the age of
 * its oldest record. Raised above `raise` % or `age` seconds, critical above `critical` %, quiet
 * below `clear` %. table_pressure: use of the flow table. Raised above `raise` %; a live connection
 * that had to make room is critical; quiet below `clear` %.
 */
#include "engine.h"

static void sink_lag(struct alarm_engine *a) {
    struct judgement j;
    double fill = a->stats.sink_fill * 100, lag_s = a->stats.sink_lag_s;
    if ((fill <= 0 && lag_s <= 0 && !alarm_is_known(a, ALARM_SINK_LAG, NONE, NULL)) ||
        !judgement_begin(a, &j, ALARM_SINK_LAG, NONE, NULL))
        return;
    bool late = lag_s > rule_of(&j, ALARM_AGE);
    j.value = fill;
    j.raise = rule_of(&j, ALARM_RAISE);
    j.clear = rule_of(&j, ALARM_CLEAR);
    j.level = fill > rule_of(&j, ALARM_CRITICAL) ? LEVEL_CRITICAL
              : fill > j.raise || late           ? LEVEL_WARNING
              : fill < j.clear && !late          ? LEVEL_QUIET
                                                 : LEVEL_BETWEEN;
    j.samples = 1;
    j.detail.age_s = lag_s;
    alarm_judge(a, &j);
}

static void table_pressure(struct alarm_engine *a) {
    struct judgement j;
    uint64_t evicted = engine_grown(a->sum.evicted, a->before.evicted);
    double use =
        a->config.max_flows > 0 ? 100.0 * (double)a->sum.flows / (double)a->config.max_flows : 0;
    if ((use < 1 && evicted == 0 && !alarm_is_known(a, ALARM_TABLE_PRESSURE, NONE, NULL)) ||
        !judgement_begin(a, &j, ALARM_TABLE_PRESSURE, NONE, NULL))
        return;
    j.value = use;
    j.raise = rule_of(&j, ALARM_RAISE);
    j.clear = rule_of(&j, ALARM_CLEAR);
    j.level = evicted > 0     ? LEVEL_CRITICAL
              : use > j.raise ? LEVEL_WARNING
              : use < j.clear ? LEVEL_QUIET
                              : LEVEL_BETWEEN;
    j.samples = a->sum.flows;
    j.detail.count = (double)evicted;
    j.detail.total = (double)a->sum.flows;
    alarm_judge(a, &j);
}

void detect_self(struct alarm_engine *a) {
    sink_lag(a);
    table_pressure(a);
}
