/*
 * query: the reading side of the store (design 1.4, 1.6), for `query`, `serve` and programs of
 * others: who was in which state towards which service, now or at any moment that the store holds.
 *
 *   struct query *q = query_open(&url, "spanwatch", 5000, &error);
 *   query_run(q, &ask, &sink, &error);
 *   query_close(q);
 *
 * One call answers one question: the sink is told the moment, the spans and the gaps, then row
 * after row, then what was cut. Synchronous, over one connection, every wait with a deadline;
 * nothing but reading commands, each of which keeps Redis busy for a few milliseconds at most.
 * Owner: one thread; several `struct query` may run beside each other. SIGPIPE is the program's to
 * ignore.
 *
 * Memory is bounded whatever the store holds: at most QUERY_HELD connections are kept at a time
 * (some 200 octets each; a partition that holds more is read several times), QUERY_GROUPS groups of
 * a summary, QUERY_SORTED rows for sorting, a page of each partition; besides the tables of clients
 * and CMDB, which people write.
 */
#ifndef SPANWATCH_QUERY_H
#define SPANWATCH_QUERY_H

#include <stdio.h>

#include "spanwatch/redis.h"
#include "spanwatch/tcp_state.h"

enum {
    QUERY_STORE_FORMAT = 1,  /* version of the store (design 1.4) that is understood */
    QUERY_NAME_TEXT = 65,    /* a probe's name (design 1.1), and the NUL */
    QUERY_HELD = 1 << 20,    /* connections in memory at a time */
    QUERY_SORTED = 1 << 17,  /* rows that are sorted as a whole; more come partition by partition */
    QUERY_GROUPS = 1 << 18,  /* groups of a summary, and clients, in memory at a time */
    QUERY_BY_MOST = 8,       /* keys of a summary */
    QUERY_CMDB_MOST = 8,     /* --cmdb of one question */
    QUERY_COLUMNS_MOST = 24, /* columns of a row */
    QUERY_TIMEOUT_MS = 5000  /* a usual deadline of one wait */
};

struct query;

/* Connect. Reads nothing yet but what tells that the store is one. NULL with `error`. */
struct query *query_open(const struct redis_url *url, const char *prefix, unsigned timeout_ms,
                         struct base_error *error);
void query_close(struct query *q);

/* A probe as the store tells of it. `is_running`: its heartbeat is fresh. */
struct query_probe {
    char name[QUERY_NAME_TEXT];
    unsigned format; /* of what it writes; this reader knows QUERY_STORE_FORMAT */
    unsigned partitions;
    uint32_t skew_ms;
    uint64_t first_ns, last_ns; /* capture times; last_ns: the newest that the store knows */
    bool is_running;
};

/* All probes, ordered by name; the array is the query's, valid until the next call. -1 with
 * `error`. */
int query_probes(struct query *q, const struct query_probe **probes, size_t *count,
                 struct base_error *error);

enum query_what {
    QUERY_CONNECTIONS,
    QUERY_TRANSITIONS,
    QUERY_CLIENTS,
    QUERY_SUMMARY,
    QUERY_DIFF,
    QUERY_ALARMS,
    QUERY_ACTIVE
};

enum query_time_kind { QUERY_TIME_NONE, QUERY_TIME_MOMENT, QUERY_TIME_BEFORE_NOW };

struct query_time {
    enum query_time_kind kind;
    uint64_t ns; /* since the epoch, or before now (design 1.6) */
};

/* One side's address: IP[/LEN][:PORT], or (clients) a name that the store's clients have. */
struct query_endpoint {
    bool is_given;
    char name[64];         /* "" : by address */
    struct base_addr addr; /* family 0: any */
    unsigned prefix_length;
    uint16_t port; /* 0: any */
};

/*
 * Understand IP[/LEN][:PORT]: "10.0.0.1", "10.0.0.0/8:443", "2001:db8::1", "[2001:db8::]/32",
 * "[2001:db8::1]:443", ":443". With `names` whatever is none of these becomes a name. False when it
 * is neither; host bits below LEN are refused.
 */
bool query_endpoint_parse(const char *text, bool names, struct query_endpoint *e);

struct query_filter { /* what is not given matches all; all that is given must match */
    struct query_endpoint client, server;
    int state, client_state, server_state; /* enum tcp_state; -1: any. `state`: of either end */
    const char *service;
    struct {
        const char *key, *value;
    } cmdb[QUERY_CMDB_MOST];
    size_t cmdb_count;
    const char *kind, *severity, *status; /* of alarms */
};

/* All of it absent. */
void query_filter_init(struct query_filter *f);

enum query_by { QUERY_BY_SERVICE, QUERY_BY_STATE, QUERY_BY_CLIENT, QUERY_BY_SERVER, QUERY_BY_CMDB };

struct query_ask { /* texts are borrowed */
    enum query_what what;
    struct query_filter filter;
    const char *probe;          /* NULL: all, one row for a connection that several see */
    struct query_time at;       /* connections, clients, summary; NONE: now */
    struct query_time from, to; /* transitions, diff, alarms; NONE: all, now */
    struct {
        enum query_by by;
        const char *key; /* of QUERY_BY_CMDB */
    } by[QUERY_BY_MOST];
    size_t by_count;
    size_t held;        /* connections in memory at a time; 0: QUERY_HELD */
    uint64_t limit;     /* rows; UINT64_MAX: all */
    bool follow;        /* transitions: go on with those that come */
    unsigned follow_ms; /* between two looks; 0: 200 */
};

enum query_cell {               /* how a column's cells are meant */
                  QUERY_TEXT,   /* a text */
                  QUERY_NUMBER, /* a JSON number, as text */
                  QUERY_TIME,   /* seconds since the epoch with nine decimals, as text */
                  QUERY_JSON    /* a JSON value */
};

struct query_column {
    const char *name; /* the row's key (design 1.6) */
    enum query_cell cell;
};

/* Those of `connections`, for rows from elsewhere than the store. */
enum { QUERY_CONNECTION_COLUMNS = 12 };
extern const struct query_column query_connection_column[QUERY_CONNECTION_COLUMNS];

/* A row: one cell a column, "" where the contract has no key. `record`: the whole row as a JSON
 * object where the store has it as such (alarms, active), else NULL. All dies with the call. */
struct query_row {
    const char *const *cell;
    const char *record;
};

struct query_span {
    const char *probe;
    uint64_t from_ns, to_ns;
};

struct query_head {
    enum query_what what;
    uint64_t at_ns; /* the moment; of a time range its end */
    bool has_range;
    uint64_t from_ns, to_ns; /* with has_range */
    const struct query_span *span;
    size_t spans;
    const char *const *gap; /* gap records (design 1.3), JSON objects */
    size_t gaps;
    const struct query_column *column;
    size_t columns;
};

/* Where the answer goes. `begin` once, `row` for each, `end` once unless the work failed; `row`
 * returns false to have no more (then no `end` comes, and the work counts as done). `warn` may come
 * at any time: what a reader of the rows must know, a sentence. */
struct query_sink {
    void (*begin)(void *context, const struct query_head *h);
    bool (*row)(void *context, const struct query_row *r);
    void (*end)(void *context, uint64_t rows, uint64_t cut);
    void (*warn)(void *context, const char *sentence);
    bool (*pause)(void *context); /* NULL, or: --follow waits; false ends it */
    void *context;
};

/* Answer. 0, or -1 with `error`. Rows are ordered: connections and diff by client, server, flow;
 * transitions and alarms by time; clients by address; summary by count, the highest first. */
int query_run(struct query *q, const struct query_ask *ask, const struct query_sink *sink,
              struct base_error *error);

/* End a --follow from a signal handler or another thread. */
void query_stop(struct query *q);

/*
 * Sinks that write to a FILE. JSON: one object of the shape of design 1.6 (with `lines`: one object
 * a row and nothing else, for --follow). CSV: RFC 4180, a head line, lines end in CRLF. Table: for
 * a person; rows wait in a temporary file for the widths of their columns (with `lines` widths are
 * guessed instead). Warnings of the table and CSV go to `warnings` (may be NULL), of JSON too.
 */
struct query_writer;
enum query_format { QUERY_FORMAT_TABLE, QUERY_FORMAT_JSON, QUERY_FORMAT_CSV };
struct query_writer *query_writer_new(enum query_format format, FILE *out, FILE *warnings,
                                      bool colour, bool lines);
struct query_sink query_writer_sink(struct query_writer *w);
/* Flush; 0, or -1 with `error` when anything could not be written. A closed pipe is no failure. */
int query_writer_end(struct query_writer *w, struct base_error *error);
void query_writer_free(struct query_writer *w);

#endif
