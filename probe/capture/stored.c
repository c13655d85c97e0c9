/*
 * Octets of a capture file: from the disk, from standard input or from memory, decompressed where
 * needed. Input: a path, or octets. Output: capture_stored_read. Owner: one struct capture_file.
 *
 * The first octets of every file are read into a small buffer to see whether it is compressed;
 * after those, a plain file is read straight into the caller's memory, and the buffer goes.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAGIC = 6 }; /* octets that tell the compression */

static size_t memory_read(struct capture_stored *s, uint8_t *to, size_t room) {
    size_t n = s->memory.left < room ? s->memory.left : room;
    if (n > 0)
        memcpy(to, s->memory.at, n);
    s->memory.at += n;
    s->memory.left -= n;
    return n;
}

static void fail(struct capture_stored *s, const char *why) {
    s->failed = true;
    base_error_set(&s->error, s->name,
                   "reading failed after octet %" PRIu64 ": %s; what came before it was read",
                   s->done, why);
}

/* Octets as they are stored: their number, 0 at the end or a fault. */
static size_t stored_octets(struct capture_stored *s, uint8_t *to, size_t room) {
    if (s->finished || s->failed)
        return 0;
    ssize_t n = 0;
    if (s->is_fed && s->wait != NULL)
        s->wait(s->wait_context, s->fd);
    while (s->fd >= 0 && (n = read(s->fd, to, room)) < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) { /* standard input can be non-blocking */
            struct pollfd ready = {.fd = s->fd, .events = POLLIN};
            poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            fail(s, strerror(errno));
            return 0;
        }
    }
    size_t got = s->fd >= 0 ? (size_t)n : memory_read(s, to, room);
    s->done += got;
    s->finished = got == 0;
    return got;
}

static void drop_held(struct capture_stored *s) {
    free(s->held);
    s->held = NULL;
    s->holds = (struct capture_in){NULL, 0};
}

static void hold_more(struct capture_stored *s) {
    size_t n = stored_octets(s, s->held, CAPTURE_HELD);
    s->holds = (struct capture_in){s->held, n};
}

static size_t plain_read(struct capture_stored *s, uint8_t *to, size_t room) {
    if (s->holds.left == 0)
        return stored_octets(s, to, room);
    size_t n = s->holds.left < room ? s->holds.left : room;
    memcpy(to, s->holds.at, n);
    s->holds.at += n;
    s->holds.left -= n;
    if (s->holds.left == 0)
        drop_held(s);
    return n;
}

static void fail_unpack(struct capture_stored *s, const char *why) {
    s->failed = true;
    base_error_set(&s->error, s->name,
                   "the %s data are damaged or cut short near octet %" PRIu64
                   " of the stored file (%s); what came before it was read; copy the file again",
                   capture_unpack_name(s->unpack), s->done - s->holds.left, why);
}

static size_t unpacked_read(struct capture_stored *s, uint8_t *to, size_t room) {
    struct capture_out out = {to, room};
    while (out.left == room && !s->failed) {
        if (s->holds.left == 0)
            hold_more(s);
        if (s->failed)
            break;
        const char *why = capture_unpack_step(s->unpack, &s->holds, &out);
        if (why != NULL) {
            fail_unpack(s, why);
        } else if (s->finished && s->holds.left == 0 && out.left == room) {
            if (!capture_unpack_at_end(s->unpack))
                fail_unpack(s, "it ends early");
            break;
        }
    }
    return room - out.left;
}

size_t capture_stored_read(struct capture_stored *s, uint8_t *to, size_t room) {
    return s->unpack != NULL ? unpacked_read(s, to, room) : plain_read(s, to, room);
}

/* Read until the magic can be judged, and choose the decompressor. */
static int look(struct capture_stored *s, struct base_error *error) {
    size_t n = 0, got;
    s->held = malloc(CAPTURE_HELD);
    if (s->held == NULL)
        return base_error_set(error, s->name, "out of memory");
    do {
        got = stored_octets(s, s->held + n, CAPTURE_HELD - n);
        n += got;
    } while (got > 0 && n < MAGIC);
    s->holds = (struct capture_in){s->held, n};
    if (s->failed) {
        capture_error_copy(error, &s->error);
        return -1;
    }
    if (n == 0)
        return base_error_set(error, s->name,
                              "is empty (0 octets): nothing was captured, or it was not copied");
    if (capture_unpack_new(&s->unpack, s->holds) < 0)
        return base_error_set(error, s->name, "out of memory");
    return 0;
}

static int cannot_open(const char *name, int why, struct base_error *error) {
    switch (why) {
    case ENOENT:
        return base_error_set(error, name, "no such file: check the name");
    case EACCES:
        return base_error_set(error, name,
                              "may not be read: check the permissions of it and its folder");
    case EMFILE:
        return base_error_set(
            error, name, "too many files are open: name fewer, or raise the limit (ulimit -n)");
    default:
        return base_error_set(error, name, "cannot be opened: %s", strerror(why));
    }
}

/* What the open file is: sets the total, tells the kernel, refuses what cannot be read. */
static int inspect(struct capture_stored *s, struct base_error *error) {
    struct stat st;
    if (fstat(s->fd, &st) < 0)
        return cannot_open(s->name, errno, error);
    if (S_ISDIR(st.st_mode))
        return base_error_set(error, s->name, "is a folder: name the capture files in it");
    if (isatty(s->fd))
        return base_error_set(error, s->name,
                              "is a terminal: a capture must come through a pipe or from a file");
    s->is_fed = !S_ISREG(st.st_mode);
    if (!s->is_fed) {
        off_t at = lseek(s->fd, 0, SEEK_CUR); /* standard input may have been read from before */
        if (at >= 0 && at < st.st_size)
            s->total = (uint64_t)(st.st_size - at);
        posix_fadvise(s->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    }
    return 0;
}

int capture_stored_open(struct capture_stored *s, const char *path, struct base_error *error) {
    s->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (s->fd < 0)
        return cannot_open(s->name, errno, error);
    if (inspect(s, error) < 0)
        return -1;
    return look(s, error);
}

int capture_stored_borrow(struct capture_stored *s, const void *octets, size_t n,
                          struct base_error *error) {
    s->fd = -1;
    s->memory = (struct capture_in){octets, n};
    s->total = n;
    return look(s, error);
}

void capture_stored_close(struct capture_stored *s) {
    if (s->fd > STDIN_FILENO)
        close(s->fd);
    s->fd = -1;
    s->finished = true;
    capture_unpack_free(s->unpack);
    s->unpack = NULL;
    drop_held(s);
}
