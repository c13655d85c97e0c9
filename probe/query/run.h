/*
 * run: what the files of one question share: the query, the probes in view and their moments, the
 * services met, warnings.
 */
#ifndef QUERY_RUN_H
#define QUERY_RUN_H

#include <signal.h>

#include "filter.h"
#include "table.h"

struct query {
    struct query_link link;
    struct redis_url url;
    char prefix[REDIS_PREFIX_MOST + 1];
    unsigned timeout_ms;
    struct query_probe *probe; /* of the last look */
    size_t probes;
    volatile sig_atomic_t stop;
};

enum query_moment { QUERY_MOMENT_AT, QUERY_MOMENT_FROM, QUERY_MOMENT_TO };

/* What the head of a partition's transitions has lost. */
struct query_trim {
    bool known;        /* the partition was looked at */
    bool trimmed;      /* entries are gone from its beginning */
    uint64_t first_ms; /* ID of the oldest entry left, or of the newest gone */
};

/* A probe within one question. */
struct query_view {
    const struct query_probe *probe;
    unsigned number;
    uint64_t now_ns, at_ns, from_ns, to_ns; /* as asked, for this probe */
    struct query_span span;
    struct query_trim *trim; /* by partition */
    uint64_t keyframe_ns[3]; /* by moment: the keyframe found last, where to look first; 0: none */
};

struct query_service {
    char *name;
    bool matches; /* --service and --cmdb */
};

struct query_run {
    struct query *q;
    const struct query_ask *ask;
    const struct query_sink *sink;
    struct query_names *names;
    struct query_match match;
    bool exact; /* one client only: one partition of each probe */
    struct base_addr client;
    struct query_view *view;
    size_t views;
    struct query_service *service;
    uint32_t *service_slot;
    uint32_t services, service_room;
    uint64_t rows, cut; /* given, left out by the limit */
    uint64_t faulty;    /* entries that nobody could read */
    bool ended;         /* the sink wants no more */
    char **told;        /* warnings given */
    size_t tolds;
};

/* Tell once. */
void query_warn(struct query_run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The number of a service's name; UINT32_MAX when memory is short. */
uint32_t query_service_number(struct query_run *r, struct query_text name);

/* The key of a partition's stream. */
void query_stream_key(const struct query_run *r, const struct query_view *v, unsigned partition,
                      const char *what, char key[REDIS_KEY_TEXT]);

/* Probes and their moments, spans, gaps, as asked. 0, or -1 with `error`. */
int query_views_init(struct query_run *r, struct base_error *error);
/* Which partitions have lost their beginning: fills trim of the partitions that are read. */
int query_views_spans(struct query_run *r, struct base_error *error);

/* Has the store nothing to say of a probe at a moment? With a warning. */
bool query_view_is_silent(struct query_run *r, const struct query_view *v, uint64_t at_ns);
void query_warn_unended(struct query_run *r, const struct query_view *v, uint64_t ts_ns);
uint64_t query_wall_ns(void);

/* A transition's entry. `parsed` is false for one that nobody can read. */
bool query_step_parse(struct query_run *r, const struct query_entry *e, struct query_step *s);

/* A row of cells to the sink, counted and cut; false when the sink has enough. */
bool query_give(struct query_run *r, const char *const *cell, const char *record);

/* The partition that holds an address, as a place of the store has it. */
unsigned query_partition_of(const struct query_place *p, unsigned partitions);

/* A connection as all views together show it: the row of `query connections`. */
struct query_merged {
    struct query_conn *conn; /* as the view that is shown has it */
    struct query_view *view; /* that one */
    uint64_t views;          /* bit i: view i sees it (of the first 64) */
};

/* A part of all connections at one moment: a slice is the same partitions of all views, a pass a
 * share of their connections. */
struct query_slice {
    struct query_run *run;
    enum query_moment moment;
    unsigned number, slices;
    unsigned pass, passes;
    bool details;   /* since and inferred are wanted of every connection */
    bool any_state; /* the state filters are the caller's */
    struct query_part {
        struct query_view *view;
        unsigned partition;
        struct query_table table;
    } * part;
    size_t parts;
    size_t held_most;
    bool is_full; /* more than that: to be split into more passes */
    struct query_merged *row;
    size_t rows;
};

/* How many connections may be held at a time. */
size_t query_held(const struct query_run *r);

/* Read it: rows ordered by client, server, flow; those that the state filters leave out are not
 * among them. 0, also when is_full; or -1 with `error`. query_slice_fini after either. */
int query_slice_load(struct query_slice *s, struct base_error *error);
void query_slice_fini(struct query_slice *s);

/* The keyframe before the moment into the part's table: base_ns tells which, 0 for none. */
int query_keyframe_load(struct query_slice *s, struct query_part *p, uint64_t at_ns,
                        struct base_error *error);

/* Does the slice hold a connection between these places? And is there room for more? */
bool query_slice_holds(const struct query_slice *s, const struct query_place *a,
                       const struct query_place *b);
bool query_slice_is_full(struct query_slice *s);
/* A pass that is too full becomes two of half as many. -1 with `error` when it is one pair alone.
 */
int query_slice_split(struct query_slice *s, struct query_slice *second, struct base_error *error);

/* since and inferred of connections marked QUERY_WANTED, from older transitions. */
int query_older_load(struct query_slice *s, struct base_error *error);

/* A snapshot in a partition's stream, by its last and its first entry. */
struct query_shot {
    bool found;
    uint64_t ts_ns, flows;
    bool keyframe, ended;
    struct query_id begin;
};

/* The newest snapshot whose entries all lie at or before *cursor, which moves before it. */
int query_shot_before(struct query_run *r, const char *key, struct query_id *cursor,
                      struct query_shot *shot, struct base_error *error);

/* Client, then server. */
int query_conn_compare(const struct query_conn *a, const struct query_conn *b);

/* Client, server, then view and flow: the order of rows, as qsort wants it. */
int query_merged_compare(const void *x, const void *y);

/* How many slices there are. */
unsigned query_slices(const struct query_run *r);

#endif
