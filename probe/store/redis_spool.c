/*
 * The spool (redis_spool.h): which segments there are, what in them is needed, and where the
 * backlog goes on. How a segment looks is redis_segment.h's.
 */
#include "redis_spool.h"
#include "redis_segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SEGMENT_OCTETS = 8 << 20, /* a segment that has reached it is ended */
    FAULT_WAIT_MS = 2000,     /* after a write that failed */
    PATH_TEXT = 320
};

struct spool_segment {
    uint32_t number, holds; /* chunks in memory that count on it */
    uint64_t octets;
};

struct store_spool {
    char folder[256];
    unsigned partitions;
    uint64_t most, octets; /* of all segments */
    struct spool_segment *segment;
    size_t segments;
    uint32_t next_number;
    int write_fd, read_fd; /* of the last segment, of the cursor's; -1 */
    size_t cursor;         /* index of the segment where the backlog goes on */
    uint64_t cursor_at;    /* offset in it */
    uint64_t backlog;      /* entries behind the cursor */
    uint64_t backlog_from_ns;
    uint64_t fault_ms; /* when a write failed; 0: none has */
};

static void path_of(const struct store_spool *p, uint32_t number, char out[PATH_TEXT]) {
    snprintf(out, PATH_TEXT, "%s/%010u.seg", p->folder, number);
}

/* ---- segments ---- */

static struct spool_segment *find(struct store_spool *p, uint32_t number) {
    for (size_t i = 0; i < p->segments; i++)
        if (p->segment[i].number == number)
            return &p->segment[i];
    return NULL;
}

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void remove_segment(struct store_spool *p, size_t i) {
    char path[PATH_TEXT];
    path_of(p, p->segment[i].number, path);
    unlink(path);
    p->octets -= p->segment[i].octets;
    if (i + 1 == p->segments)
        close_fd(&p->write_fd);
    if (i == p->cursor)
        close_fd(&p->read_fd);
    memmove(&p->segment[i], &p->segment[i + 1], (p->segments - i - 1) * sizeof *p->segment);
    p->segments--;
    if (i < p->cursor)
        p->cursor--;
    else if (i == p->cursor)
        p->cursor_at = STORE_SEGMENT_HEAD;
}

/* Whatever nothing in memory and no backlog needs. */
static void sweep(struct store_spool *p) {
    for (size_t i = 0; i < p->segments;) {
        bool passed = i < p->cursor || (i == p->cursor && p->backlog == 0);
        if (p->segment[i].holds == 0 && passed)
            remove_segment(p, i);
        else
            i++;
    }
}

/* A new last segment; false when it cannot be written. */
static bool add_segment(struct store_spool *p) {
    char path[PATH_TEXT];
    struct spool_segment *grown =
        reallocarray(p->segment, p->segments + 1, sizeof *grown); /* tens of octets each 8 MiB */
    if (grown == NULL)
        return false;
    p->segment = grown;
    path_of(p, p->next_number, path);
    int fd = store_segment_create(path, p->partitions);
    if (fd < 0)
        return false;
    close_fd(&p->write_fd);
    p->write_fd = fd;
    p->segment[p->segments++] =
        (struct spool_segment){.number = p->next_number++, .octets = STORE_SEGMENT_HEAD};
    p->octets += STORE_SEGMENT_HEAD;
    if (p->backlog == 0) { /* the cursor stands at the end of all */
        close_fd(&p->read_fd);
        p->cursor = p->segments - 1;
        p->cursor_at = STORE_SEGMENT_HEAD;
    }
    return true;
}

/* ---- writing ---- */

static void fault(struct store_spool *p, struct store_redis *s, int why) {
    if (p->fault_ms == 0)
        base_warn("%s: the spool cannot be written: %s; what finds no room in memory is lost until "
                  "that is mended",
                  p->folder, strerror(why));
    p->fault_ms = uv_now(s->loop) + 1;
}

/* Write a chunk as the last record: its segment's number, 0 on a fault. */
static uint32_t append(struct store_spool *p, struct store_stream *st,
                       const struct store_chunk *c) {
    struct store_redis *s = st->store;
    uint64_t cost = store_segment_cost(c);
    if (p->fault_ms != 0 && uv_now(s->loop) - p->fault_ms < FAULT_WAIT_MS)
        return 0;
    if (p->octets + cost > p->most)
        return 0;
    bool ended =
        p->segments == 0 || p->write_fd < 0 || p->segment[p->segments - 1].octets >= SEGMENT_OCTETS;
    if ((ended && !add_segment(p)) ||
        !store_segment_append(p->write_fd, p->segment[p->segments - 1].octets, st, c)) {
        fault(p, s, errno);
        return 0;
    }
    if (p->fault_ms != 0)
        base_warn("%s: the spool can be written again", p->folder);
    p->fault_ms = 0;
    struct spool_segment *last = &p->segment[p->segments - 1];
    last->octets += cost;
    p->octets += cost;
    return last->number;
}

/* Copies are never part of the backlog: the cursor stays behind them all. */
static void skip_copy(struct store_spool *p) {
    if (p->cursor != p->segments - 1)
        close_fd(&p->read_fd);
    p->cursor = p->segments - 1;
    p->cursor_at = p->segment[p->cursor].octets;
}

void store_spool_copy(struct store_spool *p, struct store_redis *s, bool all) {
    if (p->backlog > 0)
        return; /* what is in memory came from the disk, or was copied when the backlog began */
    for (size_t i = 0; i < s->streams; i++) {
        struct store_stream *st = &s->stream[i];
        struct store_chunk *c = st->unspooled;
        for (; c != NULL; c = c->next) {
            uint64_t waits = uv_now(s->loop) - c->done_ms;
            if (c->segment != 0 || c->again)
                continue;
            if (!all && waits < s->options.flush_ms / 2)
                break;
            c->segment = append(p, st, c);
            if (c->segment == 0)
                break;
            store_spool_hold(p, c->segment);
            skip_copy(p);
        }
        st->unspooled = c;
    }
}

bool store_spool_takes(struct store_spool *p, struct store_stream *st, struct store_chunk *c) {
    struct store_redis *s = st->store;
    size_t bound = (size_t)s->options.queue_mib << 20;
    if (p->backlog == 0) {
        if (s->queued_octets + store_chunk_cost(c) < bound)
            return false;
        store_spool_copy(p, s, true);
    }
    if (append(p, st, c) != 0) {
        if (p->backlog == 0)
            p->backlog_from_ns = c->from_ns;
        p->backlog += c->entries;
    } else if (p->backlog == 0 && s->queued_octets < bound + bound / 8) {
        return false;
    } else {
        store_shed(st, c->from_ns, c->entries);
        store_shed(st, c->to_ns, 0);
    }
    s->queued_entries -= c->entries;
    store_chunk_free(c);
    return true;
}

/* ---- reading ---- */

static int open_segment(const struct store_spool *p, size_t i) {
    char path[PATH_TEXT];
    path_of(p, p->segment[i].number, path);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* A record that cannot be read ends its segment; what stood behind it is lost. */
static void tell_broken(const struct store_spool *p, size_t i, uint64_t at) {
    base_warn("%s/%010u.seg: the record at octet %llu is damaged; the rest of this segment is left "
              "out",
              p->folder, p->segment[i].number, (unsigned long long)at);
}

/* The next of the backlog; false when there is none. */
static bool next_record(struct store_spool *p, struct store_segment_record *r) {
    while (p->backlog > 0 && p->cursor < p->segments) {
        if (p->read_fd < 0)
            p->read_fd = open_segment(p, p->cursor);
        enum store_segment_read got = p->read_fd < 0
                                          ? STORE_SEGMENT_BROKEN
                                          : store_segment_read(p->read_fd, &p->cursor_at, r);
        if (got == STORE_SEGMENT_RECORD) {
            struct store_chunk *c = r->chunk;
            p->backlog -= c->entries < p->backlog ? c->entries : p->backlog;
            c->segment = p->segment[p->cursor].number;
            store_spool_hold(p, c->segment);
            return true;
        }
        if (got == STORE_SEGMENT_BROKEN)
            tell_broken(p, p->cursor, p->cursor_at);
        close_fd(&p->read_fd);
        if (p->cursor + 1 >= p->segments)
            break;
        p->cursor++;
        p->cursor_at = STORE_SEGMENT_HEAD;
    }
    p->backlog = 0;
    sweep(p);
    return false;
}

bool store_spool_replay(struct store_spool *p, struct store_redis *s) {
    struct store_segment_record r;
    if (!next_record(p, &r))
        return false;
    s->queued_entries += r.chunk->entries;
    p->backlog_from_ns = r.chunk->from_ns;
    store_chunk_link(store_stream_of(s, r.kind, r.partition), r.chunk);
    sweep(p);
    return true;
}

void store_spool_each(struct store_spool *p, store_spool_found *found, void *context) {
    for (size_t i = 0; i < p->segments; i++) {
        uint64_t at = STORE_SEGMENT_HEAD;
        struct store_segment_record r;
        int fd = open_segment(p, i);
        enum store_segment_read got = STORE_SEGMENT_END;
        while (fd >= 0 && (got = store_segment_read(fd, &at, &r)) == STORE_SEGMENT_RECORD) {
            if (p->backlog == 0)
                p->backlog_from_ns = r.chunk->from_ns;
            p->backlog += r.chunk->entries;
            found(context, &r);
            store_chunk_free(r.chunk);
        }
        if (got == STORE_SEGMENT_BROKEN)
            tell_broken(p, i, at);
        close_fd(&fd);
    }
    sweep(p);
}

/* ---- the whole ---- */

void store_spool_hold(struct store_spool *p, uint32_t segment) {
    struct spool_segment *g = find(p, segment);
    if (g != NULL)
        g->holds++;
}

void store_spool_release(struct store_spool *p, uint32_t segment) {
    struct spool_segment *g = find(p, segment);
    if (g != NULL && g->holds > 0 && --g->holds == 0)
        sweep(p);
}

bool store_spool_has_room(const struct store_spool *p, uint32_t sixteenths) {
    return p->fault_ms == 0 && p->octets < p->most / 16 * sixteenths;
}

uint64_t store_spool_octets(const struct store_spool *p) {
    return p->octets;
}

uint64_t store_spool_backlog(const struct store_spool *p) {
    return p->backlog;
}

uint64_t store_spool_backlog_from_ns(const struct store_spool *p) {
    return p->backlog > 0 ? p->backlog_from_ns : 0;
}

static int compare_segments(const void *x, const void *y) {
    const struct spool_segment *a = x, *b = y;
    return a->number < b->number ? -1 : a->number > b->number;
}

/* One file of the folder, when it is a segment. */
static int take_file(struct store_spool *p, const char *name, struct base_error *error) {
    char digits[16], path[PATH_TEXT + 16];
    uint32_t partitions;
    uint64_t number, octets;
    if (strlen(name) != 14 || strcmp(name + 10, ".seg") != 0)
        return 0;
    snprintf(digits, sizeof digits, "%.10s", name);
    if (!base_uint_parse(digits, UINT32_MAX - 1, &number) || number == 0)
        return 0;
    snprintf(path, sizeof path, "%s/%s", p->folder, name);
    if (!store_segment_check(path, &partitions, &octets))
        return base_error_set(error, path,
                              "not a segment of a spool that this version can read; move it away");
    if (partitions != p->partitions)
        return base_error_set(error, path,
                              "written with store.partitions=%u, not %u; start once with that "
                              "number, until the spool is empty",
                              partitions, p->partitions);
    struct spool_segment *grown = reallocarray(p->segment, p->segments + 1, sizeof *grown);
    if (grown == NULL)
        return base_error_set(error, path, "out of memory");
    p->segment = grown;
    p->segment[p->segments++] =
        (struct spool_segment){.number = (uint32_t)number, .octets = octets};
    p->octets += octets;
    if (number >= p->next_number)
        p->next_number = (uint32_t)number + 1;
    return 0;
}

static int scan(struct store_spool *p, struct base_error *error) {
    DIR *folder = opendir(p->folder);
    const struct dirent *file;
    int result = 0;
    if (folder == NULL)
        return base_error_set(error, p->folder, "the spool cannot be read: %s", strerror(errno));
    while (result == 0 && (file = readdir(folder)) != NULL)
        result = take_file(p, file->d_name, error);
    closedir(folder);
    if (p->segments > 0)
        qsort(p->segment, p->segments, sizeof *p->segment, compare_segments);
    return result;
}

/* Rights and room are tried at the start, when a person may still read the error. */
static int try_writing(struct store_spool *p, struct base_error *error) {
    if (add_segment(p) && ftruncate(p->write_fd, 64 << 10) == 0 &&
        ftruncate(p->write_fd, STORE_SEGMENT_HEAD) == 0)
        return 0;
    return base_error_set(error, p->folder, "the spool cannot be written: %s", strerror(errno));
}

struct store_spool *store_spool_new(const char *folder, unsigned partitions, uint64_t most_octets,
                                    struct base_error *error) {
    struct store_spool *p = calloc(1, sizeof *p);
    if (p == NULL) {
        base_error_set(error, folder, "out of memory");
        return NULL;
    }
    *p = (struct store_spool){.partitions = partitions,
                              .most = most_octets,
                              .next_number = 1,
                              .write_fd = -1,
                              .read_fd = -1,
                              .cursor_at = STORE_SEGMENT_HEAD};
    snprintf(p->folder, sizeof p->folder, "%s", folder);
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        base_error_set(error, folder, "the spool's folder cannot be made: %s", strerror(errno));
        store_spool_free(p);
        return NULL;
    }
    if (scan(p, error) != 0 || try_writing(p, error) != 0) {
        store_spool_free(p);
        return NULL;
    }
    p->cursor = 0;
    p->cursor_at = STORE_SEGMENT_HEAD;
    return p;
}

void store_spool_free(struct store_spool *p) {
    if (p == NULL)
        return;
    close_fd(&p->write_fd);
    close_fd(&p->read_fd);
    free(p->segment);
    free(p);
}
