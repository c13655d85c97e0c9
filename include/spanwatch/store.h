/*
 * store: where records go: JSON Lines to a file descriptor, the report for a person (store_redis.h
 * has Redis).
 *
 * A sink takes events in the order of the contract. Errors (disk full, closed pipe) are kept, told
 * once by the call that ends the sink, and make later calls do nothing.
 */
#ifndef SPANWATCH_STORE_H
#define SPANWATCH_STORE_H

#include <stdio.h>

#include "spanwatch/record.h"

enum store_records { /* --records LIST */
                     STORE_TRANSITIONS = 1,
                     STORE_CONNECTIONS = 2,
                     STORE_SNAPSHOTS = 4,
                     STORE_ALARMS = 8,
                     STORE_GAPS = 16,
                     STORE_STATS = 32,
                     STORE_ALL = 63
};

/* JSON Lines: buffered (256 KiB), flushed when full and at the end. `name` is for error messages.
 */
struct store_jsonl;
struct store_jsonl *store_jsonl_new(const struct record_context *c, int fd, const char *name,
                                    unsigned records);
void store_jsonl_event(void *jsonl, const struct event *e); /* an event_sink; ignores pictures */
void store_jsonl_row(void *jsonl, const struct event *e);   /* an event_sink: rows of `read --at` */
void store_jsonl_gap(struct store_jsonl *j, const struct record_gap *g);
/* A whole record, its newline included, of at most RECORD_ALARM_MAX octets: for one that must not
 * wait. */
void store_jsonl_text(struct store_jsonl *j, enum store_records record, const char *json, size_t n);
/* `context` as in record_alarm_json. */
void store_jsonl_alarm(struct store_jsonl *j, const struct record_context *context,
                       const struct alarm *a);
void store_jsonl_stats(struct store_jsonl *j, const struct record_stats *s);
/* Records from now on are of this context (live: each worker has a decoder of its own). */
void store_jsonl_use(struct store_jsonl *j, const struct record_context *c);
/* As much of a snapshot as the buffer has room for; true when it is done. `context` as in
 * record_snapshot_json. */
bool store_jsonl_snapshot(struct store_jsonl *j, const struct record_context *context,
                          const struct snapshot *s, struct record_snapshot_cursor *at);
/* For one that must not wait, over a non-blocking descriptor: would one of the next four records
 * have to; and write what the descriptor takes now, true when nothing is left. The errno of the
 * first write that failed, 0 for none. */
bool store_jsonl_is_full(const struct store_jsonl *j);
bool store_jsonl_flush(struct store_jsonl *j);
void store_jsonl_write(struct store_jsonl *j); /* all of it, however long that takes */
int store_jsonl_fault(const struct store_jsonl *j);
/* Flush; 0, or -1 with `error` when anything could not be written. EPIPE counts as written (head
 * closed the pipe). */
int store_jsonl_end(struct store_jsonl *j, struct base_error *error);
void store_jsonl_free(struct store_jsonl *j);

/*
 * The report: what an operations engineer reads first. Memory is bounded: per (service, state pair)
 * and per client tables with a cap (policy: the least troubled client makes room; said in the
 * report).
 */
struct store_report;
struct store_report_input {
    const char *const *files; /* names, for the head */
    size_t file_count;
    uint64_t first_ns, last_ns;     /* of the packets */
    const struct base_error *fault; /* NULL when the capture was whole */
};
struct store_report *store_report_new(const struct record_context *c);
void store_report_event(void *report, const struct event *e); /* an event_sink */
void store_report_alarm(struct store_report *r, const struct alarm *a);
/* `colour` uses ANSI escapes; `width` is the terminal's columns (80 when unknown). */
int store_report_print(struct store_report *r, const struct store_report_input *in,
                       const struct record_stats *s, FILE *out, bool colour, unsigned width,
                       struct base_error *error);
void store_report_free(struct store_report *r);

#endif
