/*
 * capture: where packets come from.
 *
 * A struct capture hands out batches of packets in the order of capture time. Today it reads
 * capture files: pcap (microseconds or nanoseconds, either byte order, the Kuznetzov "modified"
 * form too) and pcapng (either byte order, several sections and interfaces of different link types,
 * snaplens and time resolutions), plain or compressed (gzip, Zstandard, xz; by magic, not by name),
 * "-" for standard input. Several files are merged by time (a packet's time never runs back within
 * one file as far as the merge is concerned; ties go to the file named first).
 *
 * Memory is constant: one read buffer a file of 256 KiB (it grows, up to 64 MiB, only for a single
 * record longer than that), whatever the size of the file.
 */
#ifndef SPANWATCH_CAPTURE_H
#define SPANWATCH_CAPTURE_H

#include "spanwatch/base.h"

/* One packet as captured. `data` belongs to the capture and is valid until the next call. */
struct packet {
    uint64_t ts_ns;
    const uint8_t *data;
    uint32_t captured; /* octets at data */
    uint32_t length;   /* octets that were on the wire; never less than captured */
    uint16_t link;     /* LINKTYPE_ value of https://www.tcpdump.org/linktypes.html */
    uint16_t
        iface; /* number of the interface, counted over all files; 0 for classic pcap's first */
};

enum {
    CAPTURE_BATCH = 64,
    CAPTURE_NAMED = 31, /* interfaces whose names are kept: event.h tells so many apart */
    CAPTURE_NAME_TEXT = 64,
    CAPTURE_MAX_RECORD = 64 << 20 /* a longer record is a fault of the file */
};

struct capture;

/*
 * Open files for reading. `paths` may hold "-" once. Returns 0 and *out, or -1 with `error` (a file
 * that cannot be opened, a directory, empty, not a capture): nothing is read from any file then. A
 * file is opened and its header read here, so that a wrong name is told before work starts.
 */
int capture_open_files(struct capture **out, const char *const *paths, size_t n,
                       struct base_error *error);

/* A capture over octets in memory (tests, fuzzing); the octets are borrowed until capture_free. */
int capture_open_memory(struct capture **out, const void *octets, size_t n,
                        struct base_error *error);

/*
 * For a caller with other work to do while a pipe or standard input has nothing for now: called
 * before each read of such a one, with its descriptor; returns when something can be read, or its
 * end. Without it, reading waits.
 */
typedef void capture_wait(void *context, int fd);
void capture_on_wait(struct capture *c, capture_wait *wait, void *context);

/*
 * The next packets: their number (1 to CAPTURE_BATCH), 0 at the end. A fault (a file cut short, a
 * record with an absurd length, a read error, broken compression) ends that file; the packets
 * before the fault are all delivered, the other files go on, and capture_faults tells.
 */
size_t capture_read(struct capture *c, struct packet batch[CAPTURE_BATCH]);

/* Faults met so far: their number; the first is copied to `first` when it is not NULL. */
size_t capture_faults(const struct capture *c, struct base_error *first);

/* How far reading has come, in octets of the files as stored; total is 0 when it cannot be known.
 */
void capture_progress(const struct capture *c, uint64_t *done, uint64_t *total);

/* What pcapng interface statistics blocks said was dropped (isb_ifdrop, isb_osdrop), summed. */
void capture_drops(const struct capture *c, uint64_t *kernel, uint64_t *interface);

/* The name that a pcapng file gives an interface (if_name), by its number; NULL where it gives
 * none. It stands before the interface's first packet is handed out, and does not change: another
 * thread may ask, of what it has been handed. */
const char *capture_interface_name(const struct capture *c, unsigned iface);

void capture_free(struct capture *c);

#endif
