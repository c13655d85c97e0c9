/*
 * JSON Lines to a file descriptor.
 *
 * Input: events, gaps, stats in the order of the contract. Output: their records, encoded straight
 * into one buffer that is written when no further record is sure to fit. A reader who closes the
 * pipe has seen enough (head): no failure, but the rest is spared. Any other fault stops the
 * writing too, and is told by store_jsonl_end. Owner: one thread; SIGPIPE must be ignored by the
 * program.
 */
#include "spanwatch/store.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BUFFER_OCTETS = 256 << 10,
    BURST = 4 /* records that may follow one question whether there is room */
};

struct store_jsonl {
    const struct record_context *context; /* borrowed */
    const char *name;                     /* borrowed; for messages */
    int fd;                               /* borrowed */
    unsigned records;                     /* of enum store_records */
    int fault;                            /* errno of the first write that failed, 0 for none */
    size_t done, used;                    /* octets written, and to be written, of the buffer */
    char buffer[BUFFER_OCTETS];
};

struct store_jsonl *store_jsonl_new(const struct record_context *c, int fd, const char *name,
                                    unsigned records) {
    struct store_jsonl *j = malloc(sizeof *j);
    if (j == NULL)
        return NULL;
    j->context = c;
    j->name = name;
    j->fd = fd;
    j->records = records;
    j->fault = 0;
    j->done = j->used = 0;
    return j;
}

/* The descriptor may be one that another program made non-blocking (a shared terminal): wait until
 * it takes more. */
static bool wait_writable(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, -1) >= 0 || errno == EINTR;
}

/* Write what is buffered; without `wait` only as much as a non-blocking descriptor takes now. */
static void flush(struct store_jsonl *j, bool wait) {
    while (j->done < j->used && j->fault == 0) {
        ssize_t n = write(j->fd, j->buffer + j->done, j->used - j->done);
        if (n > 0)
            j->done += (size_t)n;
        else if (n == 0)
            j->fault = EIO;
        else if (errno == EAGAIN && !wait)
            break;
        else if (errno == EAGAIN ? !wait_writable(j->fd) : errno != EINTR)
            j->fault = errno;
    }
    if (j->fault != 0)
        j->done = j->used;
    j->used -= j->done;
    memmove(j->buffer, j->buffer + j->done, j->used);
    j->done = 0;
}

void store_jsonl_use(struct store_jsonl *j, const struct record_context *c) {
    j->context = c;
}

bool store_jsonl_flush(struct store_jsonl *j) {
    flush(j, false);
    return j->used == 0;
}

void store_jsonl_write(struct store_jsonl *j) {
    flush(j, true);
}

bool store_jsonl_is_full(const struct store_jsonl *j) {
    return j->used > BUFFER_OCTETS - BURST * RECORD_MAX;
}

int store_jsonl_fault(const struct store_jsonl *j) {
    return j->fault;
}

/* Where the next record may be written; NULL when nothing can be written any more. */
static char *room(struct store_jsonl *j) {
    if (j->used > BUFFER_OCTETS - RECORD_MAX)
        flush(j, true);
    return j->fault == 0 ? j->buffer + j->used : NULL;
}

/* The same for a record that --records may have left out. */
static char *room_for(struct store_jsonl *j, enum store_records record) {
    return j->records & record ? room(j) : NULL;
}

void store_jsonl_event(void *jsonl, const struct event *e) {
    struct store_jsonl *j = jsonl;
    if (e->type != EVENT_TRANSITION && e->type != EVENT_CONNECTION)
        return;
    char *out = room_for(j, e->type == EVENT_TRANSITION ? STORE_TRANSITIONS : STORE_CONNECTIONS);
    if (out != NULL)
        j->used += record_event_json(j->context, e, out);
}

void store_jsonl_row(void *jsonl, const struct event *e) {
    struct store_jsonl *j = jsonl;
    char *out = room(j);
    if (out != NULL)
        j->used += record_row_json(j->context, e, out);
}

bool store_jsonl_snapshot(struct store_jsonl *j, const struct record_context *context,
                          const struct snapshot *s, struct record_snapshot_cursor *at) {
    if (!(j->records & STORE_SNAPSHOTS) || j->fault != 0)
        return true;
    while (!store_jsonl_is_full(j)) {
        size_t n = record_snapshot_json(context, s, at, j->buffer + j->used);
        j->used += n;
        if (n == 0)
            return true;
    }
    return false;
}

void store_jsonl_gap(struct store_jsonl *j, const struct record_gap *g) {
    char *out = room_for(j, STORE_GAPS);
    if (out != NULL)
        j->used += record_gap_json(j->context, g, out);
}

void store_jsonl_text(struct store_jsonl *j, enum store_records record, const char *json,
                      size_t n) {
    static_assert(RECORD_ALARM_MAX <= BURST * RECORD_MAX, "one that is not full has room for it");
    if (!(j->records & record) || j->fault != 0)
        return;
    memcpy(j->buffer + j->used, json, n);
    j->used += n;
}

void store_jsonl_alarm(struct store_jsonl *j, const struct record_context *context,
                       const struct alarm *a) {
    if (!(j->records & STORE_ALARMS))
        return;
    if (j->used > BUFFER_OCTETS - RECORD_ALARM_MAX)
        flush(j, true);
    if (j->fault == 0)
        j->used += record_alarm_json(context, a, j->buffer + j->used);
}

void store_jsonl_stats(struct store_jsonl *j, const struct record_stats *s) {
    char *out = room_for(j, STORE_STATS);
    if (out != NULL)
        j->used += record_stats_json(j->context, s, out);
}

int store_jsonl_end(struct store_jsonl *j, struct base_error *error) {
    flush(j, true);
    if (j->fault == 0 || j->fault == EPIPE)
        return 0;
    return base_error_set(error, j->name, "cannot write: %s", strerror(j->fault));
}

void store_jsonl_free(struct store_jsonl *j) {
    free(j);
}
