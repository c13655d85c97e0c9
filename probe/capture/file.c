/*
 * One capture file: tells its format, keeps its window filled, and words the fault that ends it.
 * Input: a path or octets in memory. Output: packets that point into the window. Owner: struct
 * capture.
 *
 * A fault is told at the packet after the last good one, and only when that is the first of a
 * batch: all packets before it have been handed out by then.
 */
#include "internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

uint16_t capture_file_interface(struct capture_file *f) {
    return f->tally->interfaces < UINT16_MAX ? (uint16_t)f->tally->interfaces++ : UINT16_MAX;
}

void capture_file_fault(struct capture_file *f, const char *format, ...) {
    char reason[256];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    base_error_set(&f->error, f->name,
                   "the file is damaged after packet %" PRIu64 ": what begins at octet %" PRIu64
                   " %s; the packets before it were read; copy the file again",
                   f->packets, f->window.offset + f->window.begin, reason);
    f->faulty = true;
    f->ended = true;
}

/* No more octets, and the record at hand is not whole: the end, the storage's fault, or a cut. */
static void end_of_octets(struct capture_file *f) {
    size_t left = capture_window_left(&f->window);
    f->ended = true;
    if (f->stored.failed) {
        f->error = f->stored.error;
        f->faulty = true;
    } else if (left > 0) {
        base_error_set(
            &f->error, f->name,
            "the file is cut short after packet %" PRIu64 ": at octet %" PRIu64
            " begins a record of at least %zu octets, of which %zu are there; the packets before "
            "it were read; copy the file again",
            f->packets, f->window.offset + f->window.begin, f->need, left);
        f->faulty = true;
    }
}

size_t capture_file_read(struct capture_file *f, struct packet *batch, size_t max, bool refill) {
    while (!f->ended) {
        size_t n = f->read(f, batch, max);
        if (n > 0 || f->ended || !refill)
            return n;
        if (!capture_window_fill(&f->window, &f->stored, f->need))
            end_of_octets(f);
    }
    return 0;
}

static const char *foreign(struct capture_in head) {
    static const struct {
        const char *magic;
        uint8_t n;
        const char *name;
    } known[] = {
        {"BZh", 3, "compressed with bzip2: decompress it first"},
        {"\x04\x22\x4d\x18", 4, "compressed with LZ4: decompress it first"},
        {"PK\x03\x04", 4, "a ZIP archive: unpack it first"},
        {"\x1f\x8b", 2, "compressed twice: decompress it once first"},
        {"snoop", 5, "a snoop capture: convert it to pcap first"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (head.left >= known[i].n && memcmp(head.at, known[i].magic, known[i].n) == 0)
            return known[i].name;
    }
    return NULL;
}

static int not_a_capture(const struct capture_file *f, struct base_error *error) {
    struct capture_in head = {capture_window_at(&f->window), capture_window_left(&f->window)};
    uint8_t octet[4] = {0};
    if (head.left == 0)
        return base_error_set(error, f->name, "is empty once decompressed: nothing was captured");
    const char *name = foreign(head);
    if (name != NULL)
        return base_error_set(error, f->name, "is %s", name);
    memcpy(octet, head.at, head.left < sizeof octet ? head.left : sizeof octet);
    return base_error_set(
        error, f->name,
        "is not a capture (it begins with %02x %02x %02x %02x): pcap and pcapng are read, "
        "plain or compressed with gzip, Zstandard or xz",
        octet[0], octet[1], octet[2], octet[3]);
}

/* Tell the format and read the file header, from octets that are open already. */
static int begin(struct capture_file *f, struct base_error *error) {
    int rc;
    if (capture_window_init(&f->window) < 0)
        return base_error_set(error, f->name, "out of memory");
    bool four = capture_window_fill(&f->window, &f->stored, 4);
    const uint8_t *at = capture_window_at(&f->window);
    if (four && capture_pcap_is(at))
        rc = capture_pcap_begin(f, error);
    else if (four && capture_pcapng_is(at))
        rc = capture_pcapng_begin(f, error);
    else
        rc = not_a_capture(f, error);
    if (rc < 0 && f->stored.failed) /* the reason why the header is not there */
        capture_error_copy(error, &f->stored.error);
    return rc;
}

static int name_file(struct capture_file *f, const char *name, struct base_error *error) {
    f->name = strdup(name);
    f->stored.name = f->name;
    return f->name != NULL ? 0 : base_error_set(error, name, "out of memory");
}

int capture_file_open(struct capture_file *f, const char *path, struct capture_tally *tally,
                      struct base_error *error) {
    f->tally = tally;
    f->stored.fd = -1;
    if (name_file(f, strcmp(path, "-") == 0 ? "standard input" : path, error) < 0 ||
        capture_stored_open(&f->stored, path, error) < 0)
        return -1;
    return begin(f, error);
}

int capture_file_borrow(struct capture_file *f, const void *octets, size_t n,
                        struct capture_tally *tally, struct base_error *error) {
    f->tally = tally;
    if (name_file(f, "memory", error) < 0 ||
        capture_stored_borrow(&f->stored, octets, n, error) < 0)
        return -1;
    return begin(f, error);
}

void capture_file_close(struct capture_file *f) {
    capture_stored_close(&f->stored);
    capture_window_fini(&f->window);
    capture_pcapng_fini(&f->pcapng);
    free(f->name);
    f->name = NULL;
    f->stored.name = NULL;
}
