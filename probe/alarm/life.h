/*
 * life: what a detector says of a key, and the life of an alarm that follows from it.
 */
#ifndef SPANWATCH_ALARM_LIFE_H
#define SPANWATCH_ALARM_LIFE_H

#include "tables.h"

enum { MOST_ALARMS = 4096 };

/* ---- rules.c ---- */
struct alarm_rule {
    double number[ALARM_NUMBERS];
    const char *source;
};
/* The rule for a service (NULL: none) and a client (NULL: none). Service beats client group beats
 * all. */
const struct alarm_rule *rules_find(const struct alarm_rules *r, enum alarm_kind kind,
                                    const char *service, const struct base_addr *client);
bool rules_allows(const struct alarm_rules *r, const struct base_addr *client);
bool rules_allow_some(const struct alarm_rules *r); /* anyone at all */
double rules_least(const struct alarm_rules *r, enum alarm_kind kind, enum alarm_number n);
bool rules_limit_idle(const struct alarm_rules *r); /* any of them, for anyone */

/* ---- life.c ---- */
enum level { LEVEL_QUIET, LEVEL_BETWEEN, LEVEL_WARNING, LEVEL_CRITICAL };

struct judgement {
    enum alarm_kind kind;
    int64_t service;                /* index, NONE, or a tap_key */
    const struct base_addr *client; /* NULL: none in the key */
    const struct alarm_rule *rule;
    enum level level;
    bool thin; /* too few samples to judge by */
    bool over; /* the level is quiet, and nothing has to be waited for */
    double value, raise, clear, baseline;
    uint64_t since_ns, span_ns; /* begin of the condition (0: of the window); what was looked at */
    uint64_t samples;
    enum trouble trouble; /* evidence; TROUBLE_SORTS: none */
    size_t share;         /* offset in struct pair of the top contributors' number; 0: none */
    enum alarm_reason reason;
    struct alarm_detail detail;
    double limit; /* for a forecast; 0: none */
    uint64_t forecast_ns;
    const struct closers *closers;
};
void alarm_judge(struct alarm_engine *a, const struct judgement *j);
/* A judgement of a kind with its rule; false when the rule is switched off (which is judged). */
bool judgement_begin(struct alarm_engine *a, struct judgement *j, enum alarm_kind kind,
                     int64_t service, const struct base_addr *client);
static inline double rule_of(const struct judgement *j, enum alarm_number n) {
    return j->rule->number[n];
}
/* Is an alarm of this key in force, or on its way? */
bool alarm_is_known(const struct alarm_engine *a, enum alarm_kind kind, int64_t service,
                    const struct base_addr *client);
bool alarm_is_active(const struct alarm_engine *a, enum alarm_kind kind, int64_t service,
                     const struct base_addr *client);
/* Those that no detector looked at in this window are quiet. */
void alarm_settle(struct alarm_engine *a);

struct entry { /* an alarm's life: in force, on its way, or remembered after its end */
    bool used, active, judged, restored;
    uint8_t kind, severity;
    uint32_t tag;
    int64_t service;
    struct base_addr client;
    uint32_t raising, critical, quiet, thin, good; /* windows in a row */
    uint32_t hold;                                 /* clear windows, grown by flapping */
    uint64_t began_ns, cleared_ns, told_ns;
    double peak;
    uint64_t samples;
    struct alarm last; /* as last told; valid while active */
};

#endif
