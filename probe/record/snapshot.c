/*
 * Snapshots as JSON (design 1.3): a begin, a record a group or part of one, an end.
 *
 * Input: a struct snapshot and a cursor. Output: a piece in the caller's buffer with each call,
 * since a record of a thousand members is longer than any buffer should be asked for. Pure but for
 * the tables that the contexts lend.
 */
#include "text.h"

#include "spanwatch/record.h"

static char *put_head(const struct record_context *c, const struct snapshot *s, char *p) {
    p = record_put_time(RECORD_PUT(p, "{\"type\":\"snapshot\",\"ts\":"), s->ts_ns);
    return RECORD_PUT_TEXT(p, "probe", c->probe, RECORD_NAME_TEXT);
}

static char *put_begin(const struct record_context *c, const struct snapshot *s, char *p) {
    p = RECORD_PUT_WORD(put_head(c, s, p), "kind", "begin");
    if (s->keyframe)
        p = RECORD_PUT(p, ",\"keyframe\":true");
    return RECORD_PUT(RECORD_PUT_UINT(p, "flows", s->flows), "}\n");
}

static char *put_end(const struct record_context *c, const struct snapshot *s, char *p) {
    p = RECORD_PUT_WORD(put_head(c, s, p), "kind", "end");
    p = RECORD_PUT_UINT(p, "groups", s->groups);
    return RECORD_PUT(RECORD_PUT_UINT(p, "flows", s->flows), "}\n");
}

static uint64_t parts_of(const struct snapshot *s, const struct snapshot_group *g) {
    return s->lists_members ? (g->count + RECORD_PART_MEMBERS - 1) / RECORD_PART_MEMBERS : 1;
}

static char *put_group(const struct record_context *c, const struct snapshot *s,
                       const struct snapshot_group *g, uint64_t part, char *p) {
    p = RECORD_PUT_WORD(put_head(c, s, p), "kind", "group");
    p = RECORD_PUT_ENDPOINT(p, "server", g->flow.family, g->flow.server, g->flow.server_port);
    p = RECORD_PUT_TEXT(p, "service", g->service, RECORD_NAME_TEXT);
    p = RECORD_PUT_WORD(p, "client_state", tcp_state_name(g->state[EVENT_CLIENT]));
    p = RECORD_PUT_WORD(p, "server_state", tcp_state_name(g->state[EVENT_SERVER]));
    p = RECORD_PUT_UINT(p, "count", g->count);
    p = RECORD_PUT_UINT(p, "part", part);
    p = RECORD_PUT_UINT(p, "parts", parts_of(s, g));
    return s->lists_members ? RECORD_PUT(p, ",\"members\":[") : RECORD_PUT(p, "}\n");
}

static char *put_member(const struct record_context *c, const struct snapshot_member *m, char *p) {
    const struct event_flow *f = &m->flow;
    p = record_put_endpoint(RECORD_PUT(p, "{\"client\":\""), f->family, f->client, f->client_port);
    p = record_put_hex(RECORD_PUT(p, ",\"flow\":\""), record_flow_id(c, f));
    p = record_put_time(RECORD_PUT(p, "\",\"since\":"), m->since_ns);
    return RECORD_PUT(p, "}");
}

/* The next member of the group at hand, and whatever stands before and behind it. */
static char *put_next_member(const struct record_context *context, const struct snapshot *s,
                             struct record_snapshot_cursor *at, char *p) {
    const struct snapshot_group *g = &s->group[at->group];
    if (at->member == NULL)
        at->member = snapshot_first(s, g);
    if (at->given % RECORD_PART_MEMBERS == 0)
        p = put_group(&context[0], s, g, at->given / RECORD_PART_MEMBERS + 1, p);
    else
        p = RECORD_PUT(p, ",");
    p = put_member(&context[at->member->worker], at->member, p);
    at->member = snapshot_next(s, at->member);
    at->given++;
    if (at->given % RECORD_PART_MEMBERS == 0 || at->member == NULL)
        p = RECORD_PUT(p, "]}\n");
    if (at->member == NULL) {
        at->group++;
        at->given = 0;
    }
    return p;
}

size_t record_snapshot_json(const struct record_context *context, const struct snapshot *s,
                            struct record_snapshot_cursor *at, char *out) {
    char *p = out;
    if (at->ended)
        return 0;
    if (!at->begun) {
        p = put_begin(&context[0], s, p);
        at->begun = true;
    } else if (at->group == s->groups) {
        p = put_end(&context[0], s, p);
        at->ended = true;
    } else if (s->lists_members) {
        p = put_next_member(context, s, at, p);
    } else {
        p = put_group(&context[0], s, &s->group[at->group++], 1, p);
    }
    return (size_t)(p - out);
}
