/*
 * What a reader must know of the probe itself, as JSON: stats and gaps (design 1.3).
 *
 * Input: struct record_stats, struct record_gap. Output: one object and a newline in the caller's
 * buffer, keys in the order of the contract; all counters are there, 0 included.
 */
#include "text.h"

#include "spanwatch/record.h"

#include <assert.h>

static char *put_flows(const struct record_stats *s, char *p) {
    p = RECORD_PUT_UINT(p, "flows_open", s->flows_open);
    p = RECORD_PUT_UINT(p, "flows_total", s->flows_total);
    p = RECORD_PUT_UINT(p, "flows_evicted", s->flows_evicted);
    p = RECORD_PUT_UINT(p, "transitions", s->transitions);
    p = RECORD_PUT_UINT(p, "connections", s->connections);
    p = RECORD_PUT_UINT(p, "snapshots", s->snapshots);
    p = RECORD_PUT_UINT(p, "alarms", s->alarms);
    p = RECORD_PUT_UINT(p, "gaps", s->gaps);
    p = RECORD_PUT_UINT(p, "store_queued", s->store_queued);
    p = RECORD_PUT_UINT(p, "store_spooled", s->store_spooled);
    return RECORD_PUT_UINT(p, "store_lost", s->store_lost);
}

size_t record_stats_json(const struct record_context *c, const struct record_stats *s, char *out) {
    char *p = record_put_time(RECORD_PUT(out, "{\"type\":\"stats\",\"ts\":"), s->ts_ns);
    p = RECORD_PUT_TEXT(p, "probe", c->probe, RECORD_NAME_TEXT);
    p = RECORD_PUT_UINT(p, "packets", s->packets);
    p = RECORD_PUT_UINT(p, "bytes", s->bytes);
    p = RECORD_PUT_UINT(p, "tcp", s->tcp);
    p = RECORD_PUT_UINT(p, "not_tcp", s->not_tcp);
    p = RECORD_PUT_UINT(p, "truncated", s->truncated);
    p = RECORD_PUT_UINT(p, "malformed", s->malformed);
    p = RECORD_PUT_UINT(p, "duplicates", s->duplicates);
    p = RECORD_PUT_UINT(p, "reordered", s->reordered);
    p = RECORD_PUT_UINT(p, "time_jumps", s->time_jumps);
    p = RECORD_PUT_UINT(p, "fragments", s->fragments);
    p = RECORD_PUT_UINT(p, "stray", s->stray);
    p = RECORD_PUT_UINT(p, "kernel_drops", s->kernel_drops);
    p = RECORD_PUT_UINT(p, "interface_drops", s->interface_drops);
    p = RECORD_PUT_UINT(p, "missed_bytes", s->missed_bytes);
    p = RECORD_PUT(put_flows(s, p), "}\n");
    return (size_t)(p - out);
}

const char *record_gap_what_name(enum record_gap_what what) {
    static const char *const name[] = {
        [RECORD_GAP_PACKETS] = "packets",         [RECORD_GAP_TRANSITIONS] = "transitions",
        [RECORD_GAP_CONNECTIONS] = "connections", [RECORD_GAP_SNAPSHOTS] = "snapshots",
        [RECORD_GAP_ALARMS] = "alarms",
    };
    assert(what < sizeof name / sizeof *name);
    return name[what];
}

size_t record_gap_json(const struct record_context *c, const struct record_gap *g, char *out) {
    char *p = record_put_time(RECORD_PUT(out, "{\"type\":\"gap\",\"ts\":"), g->ts_ns);
    p = RECORD_PUT_TEXT(p, "probe", c->probe, RECORD_NAME_TEXT);
    p = RECORD_PUT_TIME(p, "from", g->from_ns);
    p = RECORD_PUT_TIME(p, "to", g->to_ns);
    p = RECORD_PUT_WORD(p, "what", record_gap_what_name(g->what));
    p = RECORD_PUT_UINT(p, "lost", g->lost);
    if (g->why != NULL && g->why[0] != '\0')
        p = RECORD_PUT_TEXT(p, "why", g->why, RECORD_WHY_TEXT);
    p = RECORD_PUT(p, "}\n");
    return (size_t)(p - out);
}
