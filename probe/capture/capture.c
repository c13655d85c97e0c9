/*
 * The public calls, and the merge of several files by time.
 * Input: paths. Output: batches of packets. Owner: the caller of capture_open_files; one thread.
 *
 * One file is read straight into the caller's batch. Of several, each has up to a batch of packets
 * read ahead, and a heap holds the files by the time of their next packet. A file whose window must
 * be refilled ends the batch, and is refilled when the next one begins: so no pointer dies within a
 * batch.
 */
#include "internal.h"

#include <stdlib.h>

struct capture {
    struct capture_tally tally;
    size_t faults;
    struct base_error first_fault;
    size_t n;
    struct capture_file *files;
    size_t *heap; /* numbers of the files that still have packets; NULL for a single file */
    size_t heaped;
    bool primed; /* the heap is built */
};

/* ---- a file comes to its end ---- */

/* May be called again. */
static void retire(struct capture *c, struct capture_file *f) {
    if (f->faulty && c->faults++ == 0)
        c->first_fault = f->error;
    f->faulty = false;
    capture_file_close(f);
}

static size_t read_single(struct capture *c, struct packet *batch) {
    struct capture_file *f = c->files;
    size_t n = capture_file_read(f, batch, CAPTURE_BATCH, true);
    if (n == 0)
        retire(c, f);
    return n;
}

/* ---- merge ---- */

static uint64_t next_ns(const struct capture *c, size_t heap_position) {
    const struct capture_file *f = &c->files[c->heap[heap_position]];
    return f->queue[f->next].ts_ns;
}

/*
 * The file at heap position a goes before that at b: earlier, or named first.
 *
 * A packet whose time goes back within its file needs no care: the one before it was the first of
 * all the files, so it is so itself, and follows at once, as if it had the latest time before it.
 */
static bool before(const struct capture *c, size_t a, size_t b) {
    uint64_t ta = next_ns(c, a), tb = next_ns(c, b);
    return ta != tb ? ta < tb : c->heap[a] < c->heap[b];
}

static void sift_down(struct capture *c, size_t at) {
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < c->heaped; child++) {
            if (before(c, child, least))
                least = child;
        }
        if (least == at)
            return;
        size_t was = c->heap[at];
        c->heap[at] = c->heap[least];
        c->heap[least] = was;
        at = least;
    }
}

/* Read ahead; false when nothing came: the file has ended or, without `refill`, wants one. */
static bool queue_up(struct capture_file *f, bool refill) {
    f->next = 0;
    f->queued = capture_file_read(f, f->queue, CAPTURE_BATCH, refill);
    return f->queued > 0;
}

/* Fill the queues of all files for the first time, in the order named. */
static void prime(struct capture *c) {
    for (size_t i = 0; i < c->n; i++) {
        if (queue_up(&c->files[i], true))
            c->heap[c->heaped++] = i;
        else
            retire(c, &c->files[i]);
    }
    for (size_t i = c->heaped; i-- > 0;)
        sift_down(c, i);
    c->primed = true;
}

/* Refill the first file of the heap, if the batch before ended on its empty queue. */
static void feed_first(struct capture *c) {
    while (c->heaped > 0) {
        struct capture_file *f = &c->files[c->heap[0]];
        if (f->next < f->queued)
            return;
        if (!queue_up(f, true)) {
            retire(c, f);
            c->heap[0] = c->heap[--c->heaped];
        }
        sift_down(c, 0);
    }
}

static size_t read_merged(struct capture *c, struct packet *batch) {
    if (!c->primed)
        prime(c);
    feed_first(c);
    size_t n = 0;
    while (n < CAPTURE_BATCH && c->heaped > 0) {
        struct capture_file *f = &c->files[c->heap[0]];
        batch[n++] = f->queue[f->next++];
        if (f->next == f->queued && !queue_up(f, false))
            break;
        sift_down(c, 0);
    }
    return n;
}

void capture_on_wait(struct capture *c, capture_wait *wait, void *context) {
    for (size_t i = 0; i < c->n; i++) {
        c->files[i].stored.wait = wait;
        c->files[i].stored.wait_context = context;
    }
}

size_t capture_read(struct capture *c, struct packet batch[CAPTURE_BATCH]) {
    return c->heap != NULL ? read_merged(c, batch) : read_single(c, batch);
}

/* ---- opening and closing ---- */

static struct capture *new_capture(size_t n) {
    struct capture *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->files = calloc(n, sizeof *c->files);
    if (n > 1)
        c->heap = calloc(n, sizeof *c->heap);
    if (c->files == NULL || (n > 1 && c->heap == NULL)) {
        capture_free(c);
        return NULL;
    }
    return c;
}

static int check_paths(const char *const *paths, size_t n, struct base_error *error) {
    bool standard_input = false;
    if (n == 0)
        return base_error_set(error, "FILE", "no capture file is named");
    for (size_t i = 0; i < n; i++) {
        if (strcmp(paths[i], "-") != 0)
            continue;
        if (standard_input)
            return base_error_set(error, "-", "standard input can be read only once: name it once");
        standard_input = true;
    }
    return 0;
}

int capture_open_files(struct capture **out, const char *const *paths, size_t n,
                       struct base_error *error) {
    *out = NULL;
    if (check_paths(paths, n, error) < 0)
        return -1;
    struct capture *c = new_capture(n);
    if (c == NULL)
        return base_error_set(error, paths[0], "out of memory");
    for (c->n = 0; c->n < n;) {
        struct capture_file *f = &c->files[c->n];
        if (capture_file_open(f, paths[c->n++], &c->tally, error) < 0) {
            capture_free(c);
            return -1;
        }
    }
    *out = c;
    return 0;
}

int capture_open_memory(struct capture **out, const void *octets, size_t n,
                        struct base_error *error) {
    *out = NULL;
    struct capture *c = new_capture(1);
    if (c == NULL)
        return base_error_set(error, "memory", "out of memory");
    c->n = 1;
    if (capture_file_borrow(c->files, octets, n, &c->tally, error) < 0) {
        capture_free(c);
        return -1;
    }
    *out = c;
    return 0;
}

size_t capture_faults(const struct capture *c, struct base_error *first) {
    if (first != NULL && c->faults > 0)
        *first = c->first_fault;
    return c->faults;
}

void capture_progress(const struct capture *c, uint64_t *done, uint64_t *total) {
    bool known = true;
    *done = *total = 0;
    for (size_t i = 0; i < c->n; i++) {
        const struct capture_stored *s = &c->files[i].stored;
        *done += s->done;
        *total += s->total;
        known = known && s->total > 0;
    }
    if (!known)
        *total = 0;
}

const char *capture_interface_name(const struct capture *c, unsigned iface) {
    return iface < CAPTURE_NAMED && c->tally.name[iface][0] != '\0' ? c->tally.name[iface] : NULL;
}

void capture_drops(const struct capture *c, uint64_t *kernel, uint64_t *interface) {
    *kernel = c->tally.kernel_drops;
    *interface = c->tally.interface_drops;
}

void capture_free(struct capture *c) {
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->n; i++)
        capture_file_close(&c->files[i]);
    free(c->files);
    free(c->heap);
    free(c);
}
