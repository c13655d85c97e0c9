/*
 * A snapshot's way into the streams: its members shared out over the partitions of their clients.
 *
 * The whole probe's groups become groups of each partition: first every member's partition is
 * found, so that the begin of each can say how many flows it has; then group by group is written. A
 * part has at most a thousand members, as in JSON. Each partition has a keyframe's begin and end,
 * also when it has no flow: a reader of one partition must know that the keyframe is whole there.
 */
#include "redis_spool.h"
#include "redis_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MEMBER_OCTETS = BASE_ENDPOINT_TEXT + 16 + BASE_TIME_TEXT + 3,
    PAIR_TEXT = 32,    /* "ESTABLISHED/SYN_RECEIVED" and the NUL, with room */
    HEAD_OCTETS = 512, /* of an entry without its members */
    ENTRY_GUESS = 90   /* octets that a member takes in memory */
};

struct store_grouping {
    uint16_t *partition; /* of each member, in the snapshot's order */
    size_t room;
    const struct snapshot_member **member; /* of one group, by partition */
    size_t member_room;
    uint64_t *flows, *groups; /* of each partition */
    uint32_t *begin;          /* where a partition's members begin in member[]; one more */
    char *text;               /* the members of a part */
    bool left_out;
};

void store_grouping_free(struct store_redis *s) {
    struct store_grouping *g = s->grouping;
    if (g == NULL)
        return;
    free(g->partition);
    free((void *)g->member);
    free(g->flows);
    free(g->groups);
    free(g->begin);
    free(g->text);
    free(g);
    s->grouping = NULL;
}

static bool prepare(struct store_redis *s, const struct snapshot *n) {
    size_t partitions = s->options.partitions;
    struct store_grouping *g = s->grouping;
    if (g == NULL) {
        g = s->grouping = calloc(1, sizeof *g);
        if (g == NULL)
            return false;
        g->flows = calloc(partitions, sizeof *g->flows);
        g->groups = calloc(partitions, sizeof *g->groups);
        g->begin = calloc(partitions + 1, sizeof *g->begin);
        g->text = malloc((size_t)RECORD_PART_MEMBERS * MEMBER_OCTETS);
    }
    if (n->flows > g->room) {
        uint16_t *grown = realloc(g->partition, n->flows * sizeof *grown);
        if (grown == NULL)
            return false;
        g->partition = grown;
        g->room = n->flows;
    }
    return g->flows != NULL && g->groups != NULL && g->begin != NULL && g->text != NULL;
}

unsigned store_redis_partition(const struct store_redis *s, const struct event_flow *f) {
    struct base_addr client = {.family = f->family};
    memcpy(client.octet, f->client, sizeof client.octet);
    return redis_partition(&client, s->options.partitions);
}

/* Which partition has how many. */
static void share_out(struct store_redis *s, const struct snapshot *n) {
    struct store_grouping *g = s->grouping;
    size_t at = 0;
    memset(g->flows, 0, s->options.partitions * sizeof *g->flows);
    memset(g->groups, 0, s->options.partitions * sizeof *g->groups);
    for (size_t i = 0; i < n->groups; i++)
        for (const struct snapshot_member *m = snapshot_first(n, &n->group[i]);
             m != NULL && at < g->room; m = snapshot_next(n, m)) {
            unsigned p = store_redis_partition(s, &m->flow);
            g->partition[at++] = (uint16_t)p;
            g->flows[p]++;
        }
}

/* Is there room for the whole of it? */
static bool fits(const struct store_redis *s, const struct snapshot *n) {
    size_t octets = (size_t)s->options.partitions * 2 * HEAD_OCTETS + n->groups * HEAD_OCTETS;
    if (!s->options.live)
        return true;
    if (n->lists_members)
        octets += n->flows * ENTRY_GUESS;
    if (s->spool != NULL)
        return store_spool_has_room(s->spool, 12);
    return s->queued_octets + octets < ((size_t)s->options.queue_mib << 20) / 16 * 12;
}

/* ---- entries ---- */

static char *put_text(char *p, const char *text) {
    return record_put_bulk(p, text, strlen(text));
}

static char *put_number(char *p, uint64_t v) {
    char text[24];
    return record_put_bulk(p, text,
                           (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)v));
}

static char *put_empty(char *p, unsigned n) {
    while (n-- > 0)
        p = put_text(p, "");
    return p;
}

static char *put_time(char *p, uint64_t ns) {
    char text[BASE_TIME_TEXT];
    return record_put_bulk(p, text, base_time_format(ns, text));
}

static void put_frame(struct store_redis *s, const struct snapshot *n, unsigned partition,
                      bool begin) {
    struct store_stream *st = store_stream_of(s, STORE_KIND_SNAPSHOTS, partition);
    char *p = store_put_begin(st, n->ts_ns, HEAD_OCTETS);
    if (p == NULL)
        return;
    p = put_text(put_time(p, n->ts_ns), begin ? "begin" : "end");
    p = put_text(p, n->keyframe && begin ? "1" : "");
    p = put_number(p, s->grouping->flows[partition]);
    p = begin ? put_empty(p, 1) : put_number(p, s->grouping->groups[partition]);
    store_put_end(st, n->ts_ns, put_empty(p, 7));
}

static size_t members_text(const struct store_redis *s, const struct record_context *context,
                           const struct snapshot_member *const *member, size_t n) {
    static const char digit[] = "0123456789abcdef";
    char *p = s->grouping->text;
    for (size_t i = 0; i < n; i++) {
        const struct event_flow *f = &member[i]->flow;
        struct base_addr client = {.family = f->family};
        uint64_t id = record_flow_id(&context[member[i]->worker], f);
        memcpy(client.octet, f->client, sizeof client.octet);
        if (i > 0)
            *p++ = ' ';
        p += base_endpoint_format(&client, f->client_port, p);
        *p++ = ',';
        for (int shift = 60; shift >= 0; shift -= 4)
            *p++ = digit[id >> shift & 15];
        *p++ = ',';
        p += base_time_format(member[i]->since_ns, p);
    }
    return (size_t)(p - s->grouping->text);
}

static void put_part(struct store_redis *s, const struct snapshot *n,
                     const struct snapshot_group *g, unsigned partition, uint64_t count,
                     const uint64_t part[2], size_t text_octets) {
    struct store_stream *st = store_stream_of(s, STORE_KIND_SNAPSHOTS, partition);
    struct base_addr server = {.family = g->flow.family};
    char endpoint[BASE_ENDPOINT_TEXT], pair[PAIR_TEXT];
    char *p = store_put_begin(st, n->ts_ns, HEAD_OCTETS + text_octets);
    if (p == NULL)
        return;
    memcpy(server.octet, g->flow.server, sizeof server.octet);
    base_endpoint_format(&server, g->flow.server_port, endpoint);
    p = put_empty(put_text(put_time(p, n->ts_ns), "group"), 3);
    p = put_text(put_text(p, endpoint), g->service);
    snprintf(pair, sizeof pair, "%s/%s", tcp_state_name(g->state[EVENT_CLIENT]),
             tcp_state_name(g->state[EVENT_SERVER]));
    p = put_text(p, pair);
    p = put_number(put_number(put_number(p, count), part[0]), part[1]);
    store_put_end(st, n->ts_ns, record_put_bulk(p, s->grouping->text, text_octets));
}

/* The members of one group in one partition, in parts. */
static void put_group(struct store_redis *s, const struct record_context *context,
                      const struct snapshot *n, const struct snapshot_group *g,
                      unsigned partition) {
    const struct store_grouping *x = s->grouping;
    uint64_t count = x->begin[partition + 1] - x->begin[partition];
    const struct snapshot_member *const *member =
        (const struct snapshot_member *const *)x->member + x->begin[partition];
    uint64_t parts = n->lists_members ? (count + RECORD_PART_MEMBERS - 1) / RECORD_PART_MEMBERS : 1;
    s->grouping->groups[partition]++;
    for (uint64_t i = 0; i < parts; i++) {
        uint64_t from = i * RECORD_PART_MEMBERS, rest = count - from;
        size_t octets = 0;
        if (n->lists_members)
            octets = members_text(s, context, member + from,
                                  rest < RECORD_PART_MEMBERS ? rest : RECORD_PART_MEMBERS);
        put_part(s, n, g, partition, count, (const uint64_t[]){i + 1, parts}, octets);
    }
}

/* Order one group's members by partition, keeping their order within each: member[], begin[]. */
static bool order(struct store_redis *s, const struct snapshot *n, const struct snapshot_group *g,
                  size_t at) {
    struct store_grouping *x = s->grouping;
    unsigned partitions = s->options.partitions;
    if (g->count > x->member_room) {
        void *grown = realloc((void *)x->member, g->count * sizeof *x->member);
        if (grown == NULL)
            return false;
        x->member = grown;
        x->member_room = g->count;
    }
    memset(x->begin, 0, (partitions + 1) * sizeof *x->begin);
    for (size_t i = 0; i < g->count; i++)
        x->begin[x->partition[at + i] + 1]++;
    for (unsigned p = 0; p < partitions; p++)
        x->begin[p + 1] += x->begin[p];
    for (const struct snapshot_member *m = snapshot_first(n, g); m != NULL; m = snapshot_next(n, m))
        x->member[x->begin[x->partition[at++]]++] = m;
    memmove(x->begin + 1, x->begin, partitions * sizeof *x->begin); /* each stands at its end */
    x->begin[0] = 0;
    return true;
}

/* ---- the whole ---- */

/* Only keyframes begin and end in partitions without flows: else a quiet site's store would fill
 * with empty frames, two for each partition and period. */
static bool is_told(const struct store_redis *s, const struct snapshot *n, unsigned partition) {
    return n->keyframe || s->grouping->flows[partition] > 0;
}

static void begin(struct store_redis *s, const struct snapshot *n) {
    struct store_stream *first = store_stream_of(s, STORE_KIND_SNAPSHOTS, 0);
    bool possible = prepare(s, n) && fits(s, n);
    if (s->grouping == NULL) {
        store_shed(first, n->ts_ns, 1);
        return;
    }
    s->grouping->left_out = !possible;
    if (!possible) {
        store_shed(first, n->ts_ns, 1);
        return;
    }
    share_out(s, n);
    for (unsigned p = 0; p < s->options.partitions; p++)
        if (is_told(s, n, p))
            put_frame(s, n, p, true);
}

static void end(struct store_redis *s, const struct snapshot *n) {
    for (unsigned p = 0; p < s->options.partitions; p++)
        if (is_told(s, n, p))
            put_frame(s, n, p, false);
    if (n->keyframe)
        s->keyframe[s->keyframes++ % (sizeof s->keyframe / sizeof s->keyframe[0])] = n->ts_ns;
}

bool store_redis_snapshot(struct store_redis *s, const struct record_context *context,
                          const struct snapshot *n, struct store_redis_cursor *at) {
    if (!at->begun) {
        at->begun = true;
        begin(s, n);
    }
    if (s->grouping == NULL || s->grouping->left_out)
        return true;
    if (at->group == n->groups) {
        end(s, n);
        return true;
    }
    const struct snapshot_group *g = &n->group[at->group++];
    if (order(s, n, g, at->member))
        for (unsigned p = 0; p < s->options.partitions; p++)
            if (s->grouping->begin[p + 1] > s->grouping->begin[p])
                put_group(s, context, n, g, p);
    at->member += g->count;
    return false;
}
