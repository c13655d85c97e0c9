/*
 * baseline: what is usual, by hour of the week. Owner: the engine.
 */
#ifndef SPANWATCH_ALARM_BASELINE_H
#define SPANWATCH_ALARM_BASELINE_H

#include "index.h"

enum { MOST_SERIES = 4096, MOST_CELLS = 65536 };

enum { WEEK_HOURS = 168, CELL_VALUES = 16 };
struct baseline_cell {
    uint16_t kept, occasions; /* values; hours that they come from */
    uint32_t seen;
    float value[CELL_VALUES];
};
struct baseline {
    char key[128]; /* kind and scope */
    struct baseline_cell *week[WEEK_HOURS];
    struct baseline_cell now; /* of the hour that is not over yet: it is not its own measure */
    uint64_t hour;            /* which that is, since the epoch */
    uint64_t asked_hour;      /* for which the answer below was made */
    struct usual {
        double median, mad, high; /* high: what one value in twenty lies above */
    } usual, same_hour;           /* same_hour: of this hour of the day, seen less than thrice */
    bool known, hour_known, changed;
};
struct baselines {
    struct baseline **series;
    size_t count, room, cells;
    struct alarm_index index;
    uint64_t since_ns; /* begin of the history */
};
struct alarm_engine;
/* The series of a key, made when there is none and `make`; NULL when there is no room. */
struct baseline *baseline_find(struct alarm_engine *a, const char *key, bool make);
void baseline_add(struct alarm_engine *a, struct baseline *b, double value);
/*
 * What is usual in the hour of the window, for an alarm about values above it or below it; false
 * while there is not history enough. All hours have to do where this one was seen too seldom; but
 * what it was like then is not unusual either: of the two the one that raises less is given.
 */
enum baseline_side { BASELINE_ABOVE, BASELINE_BELOW };
bool baseline_get(struct alarm_engine *a, struct baseline *b, enum baseline_side side,
                  struct usual *u);
void baselines_fini(struct baselines *b);
/* That of a service; made when there is none and `make`. */
struct baseline *service_series(struct alarm_engine *a, int64_t i, int series, bool make);

#endif
