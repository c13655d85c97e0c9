/*
 * The kinds of streams and what their entries hold (design 1.4). Constant tables.
 */
#include "redis_writer.h"

static const char *const snapshot_fields[] = {"ts",     "kind",   "keyframe", "flows",
                                              "groups", "server", "service",  "state",
                                              "count",  "part",   "parts",    "members"};

static const char *const alarm_fields[] = {"ts", "kind", "severity", "status", "seq", "json"};

#define FIELDS(array) array, sizeof(array) / sizeof(array)[0]

static const struct {
    const char *name;
    const char *const *fields;
    unsigned count, ts_field;
    enum record_gap_what what;
} kinds[STORE_KINDS] = {
    [STORE_KIND_TRANSITIONS] = {"transitions", FIELDS(record_transition_fields), 0,
                                RECORD_GAP_TRANSITIONS},
    [STORE_KIND_SNAPSHOTS] = {"snapshots", FIELDS(snapshot_fields), 0, RECORD_GAP_SNAPSHOTS},
    [STORE_KIND_CONNECTIONS] = {"connections", FIELDS(record_connection_fields), 0,
                                RECORD_GAP_CONNECTIONS},
    [STORE_KIND_ALARMS] = {"alarms", FIELDS(alarm_fields), 0, RECORD_GAP_ALARMS},
    /* what a lost gap record told of is not known any more: packets, the most general word */
    [STORE_KIND_GAPS] = {"gaps", FIELDS(record_gap_fields), 1, RECORD_GAP_PACKETS},
};

unsigned store_kind_fields(enum store_kind kind) {
    return kinds[kind].count;
}

unsigned store_kind_ts_field(enum store_kind kind) {
    return kinds[kind].ts_field;
}

const char *const *store_kind_field_names(enum store_kind kind) {
    return kinds[kind].fields;
}

const char *store_kind_name(enum store_kind kind) {
    return kinds[kind].name;
}

enum record_gap_what store_kind_what(enum store_kind kind) {
    return kinds[kind].what;
}
