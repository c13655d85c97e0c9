/*
 * capture_live: packets of interfaces, as they arrive (libpcap, TPACKET_V3).
 *
 * A struct capture_live is what one worker reads: one socket and kernel ring for each interface.
 * With several workers the kernel shares out each interface's packets by the rule of
 * capture_share.h (PACKET_FANOUT), all of a connection to the same worker, on every interface and
 * after it has come back.
 *
 * libpcap hands out a packet only for the time of a callback (after the last one of a ring's block
 * the kernel may overwrite them all), so the first `snaplen` octets are copied into a queue. That
 * costs 5 % of a worker's time (8 ns a packet, measured over 3 million packets of 1514 octets), no
 * less with a snaplen of 96; for it the tracker gets batches, and several interfaces are merged by
 * time. Of several interfaces a packet is handed out when no other one can still have an earlier
 * packet (its ring's block timer has run out), a few tens of milliseconds late.
 *
 * Threads: open, obtained and free belong to the thread that starts and ends; read, changes and
 * drops to the worker; reopen to the opener. An interface that is gone passes from worker to opener
 * and back through one atomic state; nobody waits.
 */
#ifndef SPANWATCH_CAPTURE_LIVE_H
#define SPANWATCH_CAPTURE_LIVE_H

#include "spanwatch/capture.h"
#include "spanwatch/capture_share.h"

enum { CAPTURE_MAX_INTERFACES = 32, CAPTURE_MAX_WORKERS = 64 };

struct capture_live_options {
    const char *const *interfaces; /* names, or "any" alone; must outlive the capture */
    size_t count;
    uint32_t snaplen, ring_mib, timeout_ms; /* ring_mib: of each socket; timeout_ms: a block's */
    bool promiscuous;
    const char *filter; /* pcap-filter(7), in the kernel; NULL: every packet; must outlive it too */
    const struct capture_share *share; /* of several workers, as many as are opened */
    void (*gone)(void *); /* called by a worker when capture_live_reopen has something to do */
    void *gone_context;
};

struct capture_live;

/*
 * Open every interface for each of `workers`, into out[0..workers). Needs CAP_NET_RAW. Returns 0,
 * or -1 with `error` (no such interface, it is down, no permission, a filter that does not fit) and
 * nothing open.
 */
int capture_live_open(struct capture_live **out, size_t workers,
                      const struct capture_live_options *o, struct base_error *error);
void capture_live_free(struct capture_live **captures, size_t workers);

/* What was obtained of one interface, which may be less than was asked for. */
struct capture_live_obtained {
    const char *interface;
    const char *link; /* libpcap's name of the link type */
    uint64_t ring_octets;
    uint32_t snaplen;
    uint16_t link_type;
    unsigned tpacket; /* the version of the kernel's ring: 3, or 2 where libpcap fell back */
    bool promiscuous, nanoseconds;
};
void capture_live_obtained(const struct capture_live *c, size_t interface,
                           struct capture_live_obtained *out);

/*
 * The next packets, in order of time: their number, or 0 when none came within `timeout_ms`. They
 * are valid until the next call.
 */
size_t capture_live_read(struct capture_live *c, struct packet batch[CAPTURE_BATCH],
                         int timeout_ms);

/* Packets that will be read are not older than this, unless the kernel was very late. */
uint64_t capture_live_until(const struct capture_live *c);

enum capture_live_state { CAPTURE_LIVE_UP, CAPTURE_LIVE_DOWN, CAPTURE_LIVE_GONE };

/* An interface went down or away, or is up again. Times are the wall clock's, since no packet
 * tells. */
struct capture_live_change {
    size_t number; /* of the interface, in the order of the options */
    const char *interface;
    enum capture_live_state state;
    uint64_t from_ns, to_ns; /* when UP: how long nothing could be captured */
};

/* The next change not yet told; false when there is none. To be asked after capture_live_read. */
bool capture_live_change(struct capture_live *c, struct capture_live_change *change);

/* Packets lost since the start: by full rings, and (told to the first worker only) by the
 * interfaces. */
void capture_live_drops(struct capture_live *c, uint64_t *kernel, uint64_t *interface);

/*
 * The opener: try each interface that is gone once, for all workers together: the kernel numbers
 * the sockets that share an interface in the order in which they join. Returns how many are still
 * gone.
 */
size_t capture_live_reopen(struct capture_live *const *captures, size_t workers);

#endif
