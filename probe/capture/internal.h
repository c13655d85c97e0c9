/*
 * The shape of the capture room, and what its files share.
 *
 *   stored.c   octets as they lie in a file, in memory or on standard input; unpack.c decompresses
 * them window.c   the one read buffer of a file: octets [begin, end) are there and not yet consumed
 *   pcap.c, pcapng.c   records out of the window, in place: a packet's `data` points into it
 *   file.c     one capture file: opens it, tells the format, refills the window, words its fault
 *   capture.c  the public calls, and the merge of several files
 *
 * Who owns what: a capture owns its files, a file its window and its stored octets. Nothing is
 * copied per packet. When a pointer dies: a window moves its octets only in capture_window_fill,
 * and that is called only at the start of capture_read, before the first packet of a batch is
 * handed out. A batch that comes to the end of a window therefore ends early. All of it belongs to
 * one thread.
 */
#ifndef SPANWATCH_CAPTURE_INTERNAL_H
#define SPANWATCH_CAPTURE_INTERNAL_H

#include "spanwatch/capture.h"

#include <string.h>
#include <sys/types.h>

enum {
    CAPTURE_WINDOW =
        1 << 18, /* octets: large enough that read() costs nothing, small enough for L2 */
    CAPTURE_HELD = 64 << 10, /* octets of compressed input held at a time */
    /* The longest record that is believed where the file's header does not promise longer ones:
     * four times the longest IP packet. Beyond it the length itself is the garbage. */
    CAPTURE_SENSIBLE_RECORD = 256 << 10,
    CAPTURE_MAX_INTERFACES = 65536 /* of one pcapng section; one more is a fault of the file */
};

/* A stretch of octets that is consumed, or filled, from the front. */
struct capture_in {
    const uint8_t *at;
    size_t left;
};
struct capture_out {
    uint8_t *at;
    size_t left;
};

/* ---- unpack.c: a decompressor ---- */

struct capture_unpack;

/* The decompressor for a file that begins with these octets; *out stays NULL when they are not
 * compressed. -1 when memory is short. `left` of 6 is enough to tell. */
int capture_unpack_new(struct capture_unpack **out, struct capture_in head);
void capture_unpack_free(struct capture_unpack *u);

/* Decompress from `in` to `out` as far as either lasts; both advance. NULL, or why it cannot go on.
 */
const char *capture_unpack_step(struct capture_unpack *u, struct capture_in *in,
                                struct capture_out *out);

/* True where the compressed data may end: between two members, frames or streams. */
bool capture_unpack_at_end(const struct capture_unpack *u);

/* "gzip", "Zstandard" or "xz". */
const char *capture_unpack_name(const struct capture_unpack *u);

/* ---- stored.c: where octets come from ---- */

struct capture_stored {
    const char *name; /* for messages; owned by struct capture_file */
    int fd;           /* -1 when closed, or in memory */
    struct capture_in memory;
    uint64_t done, total; /* octets as stored; total 0 when it cannot be known */
    uint8_t *held; /* read from fd, not yet handed on; NULL once a plain file has used it up */
    struct capture_in holds;
    struct capture_unpack *unpack; /* NULL: not compressed */
    bool finished;                 /* the stored octets have come to their end */
    bool failed;                   /* `error` is set: nothing more will come */
    bool is_fed;                   /* not a file: octets may be still to come */
    capture_wait *wait;            /* NULL: reading waits */
    void *wait_context;
    struct base_error error;
};

/* Open `path` ("-": standard input) and look at its first octets. -1 with `error`. */
int capture_stored_open(struct capture_stored *s, const char *path, struct base_error *error);
/* The same over borrowed octets. */
int capture_stored_borrow(struct capture_stored *s, const void *octets, size_t n,
                          struct base_error *error);
/* The next octets, decompressed: their number, 0 at the end or (s->failed) at a fault. */
size_t capture_stored_read(struct capture_stored *s, uint8_t *to, size_t room);
/* Give back all but the counts of octets and the error. */
void capture_stored_close(struct capture_stored *s);

/* ---- window.c: the read buffer ---- */

struct capture_window {
    uint8_t *data;
    size_t begin, end, capacity;
    uint64_t offset; /* of data[0] in the decompressed file */
};

int capture_window_init(struct capture_window *w);
void capture_window_fini(struct capture_window *w);
/* Have `need` octets from begin on; false at the end of the file or its fault (s->failed), with
 * what is left in the window. All pointers into the window die. */
bool capture_window_fill(struct capture_window *w, struct capture_stored *s, size_t need);

static inline const uint8_t *capture_window_at(const struct capture_window *w) {
    return w->data + w->begin;
}

static inline size_t capture_window_left(const struct capture_window *w) {
    return w->end - w->begin;
}

/* ---- clock.c: a pcapng interface's ticks ---- */

struct capture_clock {
    uint64_t multiply, divide; /* ns = ticks * multiply / divide >> shift, + offset_s */
    unsigned shift;
    int64_t offset_s;
};

/* From the octet of if_tsresol: 10^-n, or with the highest bit 2^-n seconds a tick. */
void capture_clock_init(struct capture_clock *k, uint8_t resolution, int64_t offset_s);
/* Never wraps: before 1970 is 0, after 2554 the last nanosecond below BASE_NEVER_NS. */
uint64_t capture_clock_ns(const struct capture_clock *k, uint64_t ticks);

/* ---- pcap.c, pcapng.c: records ---- */

/* What all files of a capture count together. */
struct capture_tally {
    uint32_t interfaces;
    char name[CAPTURE_NAMED][CAPTURE_NAME_TEXT]; /* "": none */
    uint64_t kernel_drops, interface_drops;
};

struct capture_pcap {
    uint64_t tick_ns; /* nanoseconds in a unit of the second time field */
    uint32_t limit;   /* captured octets that are still believed */
    uint16_t link, iface;
    uint8_t header;   /* octets of a record's header */
    bool swapped;     /* not in this machine's byte order */
    bool old_lengths; /* before version 2.3 the two lengths stood the other way round */
    bool numbered;    /* iface was taken from the tally */
};

struct capture_interface {
    struct capture_clock clock;
    uint64_t kernel_drops, interface_drops; /* of its newest statistics block */
    uint32_t snaplen;                       /* 0: no limit */
    uint16_t link, iface;
};

struct capture_pcapng {
    struct capture_interface *interfaces; /* of this section */
    size_t n, room;
    uint64_t last_ns; /* time of the packet before; a Simple Packet Block has none of its own */
    bool swapped;
};

struct capture_file {
    struct capture_window window;
    struct capture_stored stored;
    struct capture_tally *tally;
    /* Up to `max` packets out of the window as it is. 0: `need` octets must be there first, or
     * `ended`. */
    size_t (*read)(struct capture_file *f, struct packet *batch, size_t max);
    size_t need;
    uint64_t packets; /* handed out so far */
    struct capture_pcap pcap;
    struct capture_pcapng pcapng;
    bool ended;
    bool faulty; /* `error` says why it ended */
    struct base_error error;
    char *name;

    /* Of several files only: packets read ahead, all of them in the window. */
    size_t next, queued;
    struct packet queue[CAPTURE_BATCH];
};

/* Read the file's header, whose first four octets are in the window, and set f->read. -1 with
 * `error`. */
int capture_pcap_begin(struct capture_file *f, struct base_error *error);
int capture_pcapng_begin(struct capture_file *f, struct base_error *error);
bool capture_pcap_is(const uint8_t magic[4]);
bool capture_pcapng_is(const uint8_t magic[4]);
void capture_pcapng_fini(struct capture_pcapng *g);

/* ---- file.c: one capture file ---- */

int capture_file_open(struct capture_file *f, const char *path, struct capture_tally *tally,
                      struct base_error *error);
int capture_file_borrow(struct capture_file *f, const void *octets, size_t n,
                        struct capture_tally *tally, struct base_error *error);
/* Up to `max` packets. 0: it has ended, or (when it may not `refill`) the window must be refilled
 * first. */
size_t capture_file_read(struct capture_file *f, struct packet *batch, size_t max, bool refill);
void capture_file_close(struct capture_file *f);
/* End the file with a fault at the record that begins where the window does. `format` gives the
 * reason. */
void capture_file_fault(struct capture_file *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A number for one more interface; when 16 bits are used up, all further ones share the last. */
uint16_t capture_file_interface(struct capture_file *f);

/* `to` may be NULL. */
static inline void capture_error_copy(struct base_error *to, const struct base_error *from) {
    if (to != NULL)
        *to = *from;
}

/* ---- numbers in files ---- */

static inline uint16_t capture_u16(const uint8_t *p, bool swapped) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return swapped ? __builtin_bswap16(v) : v;
}

static inline uint32_t capture_u32(const uint8_t *p, bool swapped) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return swapped ? __builtin_bswap32(v) : v;
}

static inline uint64_t capture_u64(const uint8_t *p, bool swapped) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return swapped ? __builtin_bswap64(v) : v;
}

#endif
