/*
 * The spool's files (redis_spool.h).
 *
 * A segment is a head and records: a record's head, then the entries as they go over the wire.
 * Numbers are in the machine's own order: a spool is read by the machine that wrote it. A record
 * that does not fit its checksum ends its segment: behind a process that was killed in the middle
 * of a write nothing follows.
 */
#include "redis_spool.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    SEGMENT_OCTETS = 8 << 20, /* a segment that has reached it is ended */
    RECORD_OCTETS_MOST = 16 << 20,
    FAULT_WAIT_MS = 2000, /* after a write that failed */
    FORMAT = 1,
    PATH_TEXT = 320
};

static const char magic[8] = "spwspool";
#define RECORD_MAGIC UINT32_C(0x73707772)

struct spool_head {
    char magic[8];
    uint32_t format, partitions;
};

struct spool_record_head {
    uint32_t magic, crc; /* of all that follows, data included */
    uint16_t kind, partition;
    uint32_t entries, octets, unused;
    struct store_id first, last;
    uint64_t from_ns, to_ns;
};
static_assert(sizeof(struct spool_record_head) == 72, "as it lies in the file");

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

uint32_t store_crc32(uint32_t crc, const void *data, size_t n) {
    static uint32_t table[256];
    if (table[1] == 0)
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int bit = 0; bit < 8; bit++)
                c = c & 1 ? UINT32_C(0xedb88320) ^ c >> 1 : c >> 1; /* IEEE 802.3's */
            table[i] = c;
        }
    const uint8_t *p = data;
    crc = ~crc;
    while (n-- > 0)
        crc = table[(crc ^ *p++) & 255] ^ crc >> 8;
    return ~crc;
}

static uint32_t record_crc(const struct spool_record_head *h, const void *data) {
    size_t skipped = offsetof(struct spool_record_head, crc) + sizeof h->crc;
    uint32_t crc = store_crc32(0, (const char *)h + skipped, sizeof *h - skipped);
    return store_crc32(crc, data, h->octets);
}

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
        p->cursor_at = sizeof(struct spool_head);
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

static bool write_all(int fd, const struct iovec *iov, int n, uint64_t at) {
    size_t octets = 0;
    for (int i = 0; i < n; i++)
        octets += iov[i].iov_len;
    ssize_t written = pwritev(fd, iov, n, (off_t)at);
    if (written >= 0 && (size_t)written == octets)
        return true;
    int fault = written < 0 ? errno : ENOSPC;
    if (ftruncate(fd, (off_t)at) != 0)
        fault = errno;
    errno = fault;
    return false;
}

/* A new last segment; false when it cannot be written. */
static bool add_segment(struct store_spool *p) {
    char path[PATH_TEXT];
    struct spool_head head = {.format = FORMAT, .partitions = p->partitions};
    const struct iovec iov = {.iov_base = &head, .iov_len = sizeof head};
    memcpy(head.magic, magic, sizeof magic);
    struct spool_segment *grown =
        reallocarray(p->segment, p->segments + 1, sizeof *grown); /* tens of octets each 8 MiB */
    if (grown == NULL)
        return false;
    p->segment = grown;
    path_of(p, p->next_number, path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    if (!write_all(fd, &iov, 1, 0)) {
        int fault = errno;
        close(fd);
        unlink(path);
        errno = fault;
        return false;
    }
    close_fd(&p->write_fd);
    p->write_fd = fd;
    p->segment[p->segments++] =
        (struct spool_segment){.number = p->next_number++, .octets = sizeof head};
    p->octets += sizeof head;
    if (p->backlog == 0) { /* the cursor stands at the end of all */
        close_fd(&p->read_fd);
        p->cursor = p->segments - 1;
        p->cursor_at = sizeof head;
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
    struct spool_record_head head = {.magic = RECORD_MAGIC,
                                     .kind = (uint16_t)st->kind,
                                     .partition = (uint16_t)st->partition,
                                     .entries = c->entries,
                                     .octets = c->used,
                                     .first = c->first,
                                     .last = c->last,
                                     .from_ns = c->from_ns,
                                     .to_ns = c->to_ns};
    struct store_redis *s = st->store;
    head.crc = record_crc(&head, c->data);
    const struct iovec iov[] = {{.iov_base = &head, .iov_len = sizeof head},
                                {.iov_base = c->data, .iov_len = c->used}};
    if (p->fault_ms != 0 && uv_now(s->loop) - p->fault_ms < FAULT_WAIT_MS)
        return 0;
    if (p->octets + sizeof head + c->used > p->most)
        return 0;
    bool ended =
        p->segments == 0 || p->write_fd < 0 || p->segment[p->segments - 1].octets >= SEGMENT_OCTETS;
    if ((ended && !add_segment(p)) ||
        !write_all(p->write_fd, iov, 2, p->segment[p->segments - 1].octets)) {
        fault(p, s, errno);
        return 0;
    }
    if (p->fault_ms != 0)
        base_warn("%s: the spool can be written again", p->folder);
    p->fault_ms = 0;
    struct spool_segment *last = &p->segment[p->segments - 1];
    last->octets += sizeof head + c->used;
    p->octets += sizeof head + c->used;
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

enum reading { READ_RECORD, READ_END, READ_BROKEN };

/* The record at `at` of an open segment; the chunk is owned by the caller. */
static enum reading read_record(int fd, uint64_t at, struct spool_record_head *head,
                                struct store_chunk **chunk) {
    ssize_t n = pread(fd, head, sizeof *head, (off_t)at);
    if (n == 0)
        return READ_END;
    if (n != sizeof *head || head->magic != RECORD_MAGIC || head->octets > RECORD_OCTETS_MOST ||
        head->octets == 0 || head->kind >= STORE_KINDS)
        return READ_BROKEN;
    struct store_chunk *c = store_chunk_new(head->octets);
    if (c == NULL)
        return READ_BROKEN;
    n = pread(fd, c->data, head->octets, (off_t)(at + sizeof *head));
    if (n != (ssize_t)head->octets || record_crc(head, c->data) != head->crc) {
        store_chunk_free(c);
        return READ_BROKEN;
    }
    c->used = head->octets;
    c->entries = head->entries;
    c->first = head->first;
    c->last = head->last;
    c->from_ns = head->from_ns;
    c->to_ns = head->to_ns;
    *chunk = c;
    return READ_RECORD;
}

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

/* The next of the backlog; NULL when there is none. */
static struct store_chunk *next_record(struct store_spool *p, struct spool_record_head *head) {
    while (p->backlog > 0 && p->cursor < p->segments) {
        struct store_chunk *c;
        if (p->read_fd < 0)
            p->read_fd = open_segment(p, p->cursor);
        enum reading got =
            p->read_fd < 0 ? READ_BROKEN : read_record(p->read_fd, p->cursor_at, head, &c);
        if (got == READ_RECORD) {
            p->cursor_at += sizeof *head + head->octets;
            p->backlog -= head->entries < p->backlog ? head->entries : p->backlog;
            c->segment = p->segment[p->cursor].number;
            store_spool_hold(p, c->segment);
            return c;
        }
        if (got == READ_BROKEN)
            tell_broken(p, p->cursor, p->cursor_at);
        close_fd(&p->read_fd);
        if (p->cursor + 1 >= p->segments)
            break;
        p->cursor++;
        p->cursor_at = sizeof(struct spool_head);
    }
    p->backlog = 0;
    sweep(p);
    return NULL;
}

bool store_spool_replay(struct store_spool *p, struct store_redis *s) {
    struct spool_record_head head;
    struct store_chunk *c = next_record(p, &head);
    if (c == NULL)
        return false;
    size_t i = head.kind < STORE_KINDS_PARTITIONED
                   ? head.partition * (size_t)STORE_KINDS_PARTITIONED + head.kind
                   : s->streams - STORE_KINDS + head.kind;
    s->queued_entries += c->entries;
    p->backlog_from_ns = c->from_ns;
    store_chunk_link(&s->stream[i], c);
    sweep(p);
    return true;
}

void store_spool_each(struct store_spool *p, store_spool_found *found, void *context) {
    for (size_t i = 0; i < p->segments; i++) {
        uint64_t at = sizeof(struct spool_head);
        struct spool_record_head head;
        struct store_chunk *c;
        int fd = open_segment(p, i);
        enum reading got;
        while (fd >= 0 && (got = read_record(fd, at, &head, &c)) == READ_RECORD) {
            struct store_spool_record r = {
                .kind = head.kind, .partition = head.partition, .chunk = c};
            if (p->backlog == 0)
                p->backlog_from_ns = c->from_ns;
            p->backlog += c->entries;
            found(context, &r);
            store_chunk_free(c);
            at += sizeof head + head.octets;
        }
        if (fd >= 0 && got == READ_BROKEN)
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
    struct spool_head head;
    struct stat st;
    uint64_t number;
    if (strlen(name) != 14 || strcmp(name + 10, ".seg") != 0)
        return 0;
    snprintf(digits, sizeof digits, "%.10s", name);
    if (!base_uint_parse(digits, UINT32_MAX - 1, &number) || number == 0)
        return 0;
    snprintf(path, sizeof path, "%s/%s", p->folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && fstat(fd, &st) == 0 && read(fd, &head, sizeof head) == sizeof head &&
                memcmp(head.magic, magic, sizeof magic) == 0 && head.format == FORMAT;
    if (fd >= 0)
        close(fd);
    if (!good)
        return base_error_set(error, path,
                              "not a segment of a spool that this version can read; move it away");
    if (head.partitions != p->partitions)
        return base_error_set(error, path,
                              "written with store.partitions=%u, not %u; start once with that "
                              "number, until the spool is empty",
                              head.partitions, p->partitions);
    struct spool_segment *grown = reallocarray(p->segment, p->segments + 1, sizeof *grown);
    if (grown == NULL)
        return base_error_set(error, path, "out of memory");
    p->segment = grown;
    p->segment[p->segments++] =
        (struct spool_segment){.number = (uint32_t)number, .octets = (uint64_t)st.st_size};
    p->octets += (uint64_t)st.st_size;
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
        ftruncate(p->write_fd, sizeof(struct spool_head)) == 0)
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
                              .cursor_at = sizeof(struct spool_head)};
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
    p->cursor_at = sizeof(struct spool_head);
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
