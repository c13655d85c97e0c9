/*
 * A snapshot's way into the streams: its members shared out over the partitions of their clients.
 *
 * The whole probe's groups become groups of each partition. Two passes over the members find each
 * one's partition and put them in the order of partitions, then of groups; then partition by
 * partition is written, in parts of at most a thousand members, as in JSON. All of it in pieces of
 * less than a millisecond: the thread has other work. Each partition has a keyframe's begin and
 * end, also when it has no flow: a reader of one partition must know that the keyframe is whole
 * there. Where an entry finds no room nothing more is written, so that no end says what is not so.
 */
#include "redis_spool.h"
#include "redis_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MEMBER_OCTETS = BASE_ENDPOINT_TEXT + 16 + BASE_TIME_TEXT + 3,
    PAIR_TEXT = 32,      /* "ESTABLISHED/SYN_RECEIVED" and the NUL, with room */
    HEAD_OCTETS = 512,   /* of an entry without its members */
    ENTRY_GUESS = 90,    /* octets that a member takes in memory */
    PASS_MEMBERS = 4096, /* of a piece */
    CROWDED = 8          /* a snapshot waits while more than 1/8 of the memory's bound is used */
};

/* Where store_redis_snapshot goes on: store_redis_cursor's step. */
enum step { BEGIN, SHARE, ORDER, WRITE, DONE };

struct store_grouping {
    uint16_t *partition;                   /* of each member, in the snapshot's order */
    const struct snapshot_member **member; /* by partition, then in the snapshot's order */
    uint32_t *group;                       /* of each of these */
    size_t room;                           /* members */
    uint32_t *begin; /* where a partition's members begin in member[]; one more */
    uint32_t *fill;  /* where its next one goes */
    char *text;      /* the members of a part */
    bool left_out;
};

void store_grouping_free(struct store_redis *s) {
    struct store_grouping *g = s->grouping;
    if (g == NULL)
        return;
    free(g->partition);
    free((void *)g->member);
    free(g->group);
    free(g->begin);
    free(g->fill);
    free(g->text);
    free(g);
    s->grouping = NULL;
}

void store_snapshot_torn(struct store_redis *s) {
    if (s->grouping != NULL)
        s->grouping->left_out = true;
}

static bool make_room(struct store_grouping *g, size_t members) {
    if (members <= g->room)
        return true;
    void *partition = realloc(g->partition, members * sizeof *g->partition);
    if (partition != NULL)
        g->partition = partition;
    void *member = realloc((void *)g->member, members * sizeof *g->member);
    if (member != NULL)
        g->member = member;
    void *group = realloc(g->group, members * sizeof *g->group);
    if (group != NULL)
        g->group = group;
    bool grown = partition != NULL && member != NULL && group != NULL;
    if (grown)
        g->room = members;
    return grown;
}

static bool prepare(struct store_redis *s, const struct snapshot *n) {
    size_t partitions = s->options.partitions;
    struct store_grouping *g = s->grouping;
    if (g == NULL) {
        g = s->grouping = calloc(1, sizeof *g);
        if (g == NULL)
            return false;
        g->begin = calloc(partitions + 1, sizeof *g->begin);
        g->fill = calloc(partitions, sizeof *g->fill);
        g->text = malloc((size_t)RECORD_PART_MEMBERS * MEMBER_OCTETS);
    }
    return g->begin != NULL && g->fill != NULL && g->text != NULL && make_room(g, n->flows);
}

unsigned store_redis_partition(const struct store_redis *s, const struct event_flow *f) {
    struct base_addr client = {.family = f->family};
    memcpy(client.octet, f->client, sizeof client.octet);
    return redis_partition(&client, s->options.partitions);
}

static bool is_taken(const struct store_redis *s) {
    return s->link.state == STORE_LINK_UP && s->locked;
}

bool store_redis_is_crowded(const struct store_redis *s) {
    bool spooling = s->spool != NULL && store_spool_backlog(s->spool) > 0;
    return is_taken(s) && !spooling &&
           s->queued_octets > ((size_t)s->options.queue_mib << 20) / CROWDED;
}

/* Is there room for it? For the whole, where the server makes none meanwhile. */
static bool fits(const struct store_redis *s, const struct snapshot *n) {
    size_t octets = (size_t)s->options.partitions * 2 * HEAD_OCTETS + n->groups * HEAD_OCTETS;
    if (!s->options.live)
        return true;
    if (n->lists_members)
        octets += n->flows * ENTRY_GUESS;
    if (s->spool != NULL)
        return store_spool_has_room(s->spool, 12);
    if (is_taken(s))
        octets = 0;
    return s->queued_octets + octets < ((size_t)s->options.queue_mib << 20) / 16 * 12;
}

/* ---- which partition ---- */

/* One member further; false at the snapshot's end, or where more come than it says. */
static bool next_member(const struct store_redis *s, const struct snapshot *n,
                        struct store_redis_cursor *at) {
    if (at->member != NULL)
        at->member = snapshot_next(n, at->member);
    while (at->member == NULL && at->group < n->groups)
        at->member = snapshot_first(n, &n->group[at->group++]);
    return at->member != NULL && at->number < s->grouping->room;
}

static void pass_ended(struct store_redis_cursor *at, enum step next) {
    *at = (struct store_redis_cursor){.step = (uint8_t)next};
}

/* Each member's partition, and where the members of each begin. */
static void share_out(struct store_redis *s, const struct snapshot *n,
                      struct store_redis_cursor *at) {
    struct store_grouping *g = s->grouping;
    unsigned partitions = s->options.partitions;
    for (unsigned i = 0; i < PASS_MEMBERS; i++) {
        if (!next_member(s, n, at)) {
            for (unsigned p = 0; p < partitions; p++)
                g->begin[p + 1] += g->begin[p];
            memcpy(g->fill, g->begin, partitions * sizeof *g->fill);
            pass_ended(at, ORDER);
            return;
        }
        unsigned p = store_redis_partition(s, &at->member->flow);
        g->partition[at->number++] = (uint16_t)p;
        g->begin[p + 1]++;
    }
}

/* Members by partition, keeping their order within each. */
static void order(struct store_redis *s, const struct snapshot *n, struct store_redis_cursor *at) {
    struct store_grouping *g = s->grouping;
    for (unsigned i = 0; i < PASS_MEMBERS; i++) {
        if (!next_member(s, n, at)) {
            pass_ended(at, WRITE);
            return;
        }
        uint32_t to = g->fill[g->partition[at->number++]]++;
        g->member[to] = at->member;
        g->group[to] = (uint32_t)at->group - 1; /* the cursor stands behind it */
    }
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

static bool put_frame(struct store_redis *s, const struct snapshot *n, unsigned partition,
                      uint64_t groups, bool begin) {
    struct store_stream *st = store_stream_of(s, STORE_KIND_SNAPSHOTS, partition);
    const uint32_t *at = &s->grouping->begin[partition];
    char *p = store_put_begin(st, n->ts_ns, HEAD_OCTETS);
    if (p == NULL)
        return false;
    p = put_text(put_time(p, n->ts_ns), begin ? "begin" : "end");
    p = put_text(p, n->keyframe && begin ? "1" : "");
    p = put_number(p, at[1] - at[0]);
    p = begin ? put_empty(p, 1) : put_number(p, groups);
    store_put_end(st, n->ts_ns, put_empty(p, 7));
    return true;
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

/* ---- the whole ---- */

static void begin(struct store_redis *s, const struct snapshot *n, struct store_redis_cursor *at) {
    struct store_stream *first = store_stream_of(s, STORE_KIND_SNAPSHOTS, 0);
    bool possible = prepare(s, n) && fits(s, n);
    if (!possible) {
        store_shed(first, n->ts_ns, 1);
        pass_ended(at, DONE);
        return;
    }
    s->grouping->left_out = false;
    memset(s->grouping->begin, 0, (s->options.partitions + 1) * sizeof *s->grouping->begin);
    pass_ended(at, SHARE);
}

/* The next part of the group at hand: of a partition's members, number `from` to `to`. */
static void put_next_part(struct store_redis *s, const struct record_context *context,
                          const struct snapshot *n, struct store_redis_cursor *at, uint32_t from,
                          uint32_t to) {
    const struct store_grouping *x = s->grouping;
    uint32_t group = x->group[from], count = (uint32_t)at->count;
    if (at->part == 0)
        for (count = 1; from + count < to && x->group[from + count] == group; count++)
            ;
    at->count = count;
    uint64_t parts = n->lists_members ? (count + RECORD_PART_MEMBERS - 1) / RECORD_PART_MEMBERS : 1;
    uint32_t given = (uint32_t)at->part * RECORD_PART_MEMBERS, rest = count - given;
    size_t octets = 0;
    if (n->lists_members)
        octets = members_text(s, context,
                              (const struct snapshot_member *const *)x->member + from + given,
                              rest < RECORD_PART_MEMBERS ? rest : RECORD_PART_MEMBERS);
    put_part(s, n, &n->group[group], (unsigned)at->partition, count,
             (const uint64_t[]){++at->part, parts}, octets);
    if (at->part < parts)
        return;
    at->part = 0;
    at->number += count;
    at->groups++;
}

/* Only keyframes begin and end in partitions without flows: else a quiet site's store would fill
 * with empty frames, two for each partition and period. */
static void write_piece(struct store_redis *s, const struct record_context *context,
                        const struct snapshot *n, struct store_redis_cursor *at) {
    unsigned partition = (unsigned)at->partition;
    const uint32_t *begin = &s->grouping->begin[partition];
    bool told = n->keyframe || begin[1] > begin[0];
    if (told && !at->begun)
        at->begun = put_frame(s, n, partition, 0, true);
    if (at->begun && begin[0] + at->number < begin[1]) {
        put_next_part(s, context, n, at, begin[0] + (uint32_t)at->number, begin[1]);
        return;
    }
    if (at->begun && !s->grouping->left_out)
        put_frame(s, n, partition, at->groups, false);
    *at = (struct store_redis_cursor){.step = WRITE, .partition = partition + 1};
    if (at->partition < s->options.partitions)
        return;
    pass_ended(at, DONE);
    if (n->keyframe && !s->grouping->left_out)
        s->keyframe[s->keyframes++ % (sizeof s->keyframe / sizeof s->keyframe[0])] = n->ts_ns;
}

bool store_redis_snapshot(struct store_redis *s, const struct record_context *context,
                          const struct snapshot *n, struct store_redis_cursor *at) {
    if (at->step != BEGIN && at->step != DONE && s->grouping->left_out)
        pass_ended(at, DONE); /* something of it found no room */
    switch ((enum step)at->step) {
    case BEGIN:
        begin(s, n, at);
        break;
    case SHARE:
        share_out(s, n, at);
        break;
    case ORDER:
        order(s, n, at);
        break;
    case WRITE:
        write_piece(s, context, n, at);
        break;
    case DONE:
        break;
    }
    return at->step == DONE;
}
