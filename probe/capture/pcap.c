/*
 * Classic pcap (draft-ietf-opsawg-pcap): a header of 24 octets, then records.
 * Input: the window of a file. Output: packets that point into it. Owner: struct capture_file.
 *
 * Three magics, in either byte order: microseconds, nanoseconds, and the "modified" form of old
 * Linux kernels' tools, whose records have 8 octets more in front of the data (interface index,
 * protocol, kind).
 */
#include "internal.h"

#include <inttypes.h>

enum {
    MAGIC_US = 0xa1b2c3d4,
    MAGIC_NS = 0xa1b23c4d,
    MAGIC_MODIFIED = 0xa1b2cd34,
    FILE_HEADER = 24,
    RECORD_HEADER = 16,
    RECORD_HEADER_MODIFIED = 24,
    DGUX_MAJOR = 543 /* the version that DG/UX wrote, with the lengths in the old order */
};

static bool is_magic(uint32_t v) {
    return v == MAGIC_US || v == MAGIC_NS || v == MAGIC_MODIFIED;
}

bool capture_pcap_is(const uint8_t magic[4]) {
    return is_magic(capture_u32(magic, false)) || is_magic(capture_u32(magic, true));
}

struct lengths {
    uint32_t captured, length;
};

/* Before version 2.3 the two stood the other way round, and in 2.3 with some writers. */
static inline struct lengths lengths_at(const uint8_t *record, bool swapped, bool old_lengths) {
    struct lengths l = {capture_u32(record + 8, swapped), capture_u32(record + 12, swapped)};
    if (l.captured > l.length)
        return (struct lengths){old_lengths ? l.length : l.captured, l.captured};
    return l;
}

/* The record at the window's front could not be handed out: it is not all there, or absurd. */
static void first_record(struct capture_file *f) {
    const struct capture_pcap *p = &f->pcap;
    f->need = p->header;
    if (capture_window_left(&f->window) < p->header)
        return;
    uint32_t captured =
        lengths_at(capture_window_at(&f->window), p->swapped, p->old_lengths).captured;
    if (captured > p->limit)
        capture_file_fault(f, "claims %" PRIu32 " captured octets where %" PRIu32 " are the most",
                           captured, p->limit);
    else
        f->need += captured;
}

/*
 * The loop that every packet of a plain file passes: a few loads, no call. `swapped` is a constant
 * in each of its two copies. Time: seconds are unsigned (until 2106), and a fraction of a second or
 * more carries over; neither can overflow 64 bits.
 */
static inline __attribute__((always_inline)) size_t
records(struct capture_file *f, struct packet *batch, size_t max, bool swapped) {
    const struct capture_pcap p = f->pcap;
    const uint8_t *at = capture_window_at(&f->window);
    const uint8_t *end = f->window.data + f->window.end;
    size_t n = 0;
    while (n < max && (size_t)(end - at) >= p.header) {
        struct lengths l = lengths_at(at, swapped, p.old_lengths);
        if (l.captured > p.limit || (size_t)(end - at) - p.header < l.captured)
            break;
        uint64_t seconds = capture_u32(at, swapped), ticks = capture_u32(at + 4, swapped);
        batch[n++] = (struct packet){.ts_ns = seconds * BASE_NS_PER_S + ticks * p.tick_ns,
                                     .data = at + p.header,
                                     .captured = l.captured,
                                     .length = l.length,
                                     .link = p.link,
                                     .iface = p.iface};
        at += p.header + l.captured;
    }
    f->window.begin = (size_t)(at - f->window.data);
    return n;
}

static size_t read_records(struct capture_file *f, struct packet *batch, size_t max) {
    if (!f->pcap.numbered) {
        f->pcap.iface = capture_file_interface(f);
        f->pcap.numbered = true;
    }
    size_t n = f->pcap.swapped ? records(f, batch, max, true) : records(f, batch, max, false);
    f->packets += n;
    if (n == 0)
        first_record(f);
    return n;
}

int capture_pcap_begin(struct capture_file *f, struct base_error *error) {
    struct capture_pcap *p = &f->pcap;
    if (!capture_window_fill(&f->window, &f->stored, FILE_HEADER))
        return base_error_set(
            error, f->name,
            "is cut short in its file header (%zu octets of %d): copy the file again",
            capture_window_left(&f->window), FILE_HEADER);
    const uint8_t *at = capture_window_at(&f->window);
    p->swapped = !is_magic(capture_u32(at, false));
    uint32_t magic = capture_u32(at, p->swapped);
    uint16_t major = capture_u16(at + 4, p->swapped), minor = capture_u16(at + 6, p->swapped);
    if (major != 2 && major != DGUX_MAJOR)
        return base_error_set(error, f->name, "is pcap of version %u.%u: only version 2 is known",
                              major, minor);
    p->old_lengths = major == DGUX_MAJOR || minor <= 3;
    p->tick_ns = magic == MAGIC_NS ? 1 : 1000;
    p->header = magic == MAGIC_MODIFIED ? RECORD_HEADER_MODIFIED : RECORD_HEADER;
    /* Headers that promise less than they hold are common; those that promise more are believed. */
    uint32_t snaplen = capture_u32(at + 16, p->swapped);
    p->limit = snaplen == 0 || snaplen > CAPTURE_MAX_RECORD ? CAPTURE_MAX_RECORD
               : snaplen < CAPTURE_SENSIBLE_RECORD          ? CAPTURE_SENSIBLE_RECORD
                                                            : snaplen;
    /* The upper half holds the length of the frame check sequence and reserved bits. */
    p->link = (uint16_t)capture_u32(at + 20, p->swapped);
    f->window.begin += FILE_HEADER;
    f->read = read_records;
    return 0;
}
