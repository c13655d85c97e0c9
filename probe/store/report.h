/*
 * report (private): what the report has learnt, between learning (report.c) and printing
 * (report_print.c).
 */
#ifndef SPANWATCH_STORE_REPORT_H
#define SPANWATCH_STORE_REPORT_H

#include "spanwatch/store.h"

#include "tally.h"
#include "top.h"

enum {
    REPORT_SLOWEST = 5,
    REPORT_LINGERING = 10, /* half-open and half-closed connections that are listed */
    REPORT_ENDS = EVENT_END_OPEN + 1
};

/* A connection that is worth a line of its own. */
struct report_line {
    struct event_flow flow;
    uint8_t state[2];
    uint64_t ns; /* its RTT, or since when it stands so */
};

/* An alarm, by its last message. */
enum { REPORT_ALARMS = 20 };
struct report_alarm {
    uint64_t id, since_ns, ended_ns; /* ended_ns: 0 while it is in force */
    uint8_t kind, severity;
    bool doubtful;
    char summary[320];
};

struct store_report {
    struct report_alarm alarm[REPORT_ALARMS];
    uint64_t alarms;                      /* raised; those beyond the list's end are only counted */
    const struct record_context *context; /* borrowed */
    struct store_hosts hosts;
    struct store_pairs pairs;
    uint64_t connections;
    uint64_t ends[REPORT_ENDS];
    uint64_t inferred[TCP_INFERRED_REASONS];
    uint64_t resets_by[2]; /* of ends[EVENT_END_RST]; the others' sender is unknown */
    uint64_t payload_bytes;
    struct report_line
        slow_line[2][REPORT_SLOWEST]; /* EVENT_CLIENT: the client's side of the handshake */
    struct report_line half_open_line[REPORT_LINGERING], half_closed_line[REPORT_LINGERING];
    struct store_top slow[2], half_open, half_closed;
};

#endif
