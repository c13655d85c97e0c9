/*
 * What the files of live capture share: one source is one interface of one worker.
 */
#ifndef CAPTURE_LIVE_INTERNAL_H
#define CAPTURE_LIVE_INTERNAL_H

#include "spanwatch/capture_live.h"

#include <pcap/pcap.h>
#include <poll.h>
#include <stdatomic.h>

enum { LIVE_QUEUE = 512 /* packets copied out of a ring at once, at the usual snaplen */ };

/* Who may touch source.pcap: the worker, but for WANTED, when it is the opener. */
enum live_owner { LIVE_WORKER, LIVE_WANTED, LIVE_BACK };

/* A copied packet; its octets follow. */
struct live_slot {
    uint64_t ts_ns;
    uint32_t captured, length;
    uint8_t octets[];
};

/* Sockets of one interface that share its packets, in the order of workers; but for `broken` the
 * opener's (before: the starter's) alone. */
struct live_group {
    bool made; /* one has joined, and knows the number */
    uint16_t id;
    _Atomic bool broken; /* one of them is lost: the others are given up too, and all opened anew */
};

struct live_source {
    const char *name;
    pcap_t *pcap;
    _Atomic int owner;        /* enum live_owner */
    struct live_group *group; /* NULL with a single worker */
    struct bpf_program code;  /* valid when `filtered` */
    bool filtered, promiscuous;
    int dlt;
    uint16_t link;    /* LINKTYPE_ value of dlt */
    uint64_t from_ns; /* earlier packets are left out: they came before the group was complete */

    uint8_t *queue; /* slots of c->stride octets, filled only when all are handed out */
    size_t next, queued;
    uint64_t quiet_ns; /* no packet stamped earlier than this can still come */

    enum capture_live_state state, told;
    uint64_t lost_ns, back_ns; /* wall clock: since when nothing is captured, and until when */
    uint64_t told_back_ns;
    uint32_t kernel_seen, interface_seen; /* libpcap's counters when last read; they wrap */
    uint64_t kernel_drops, interface_drops;
};

struct capture_live {
    struct capture_live_options options;
    bool first; /* of the workers: it alone counts what the interfaces dropped */
    size_t stride, slots;
    struct live_source *source; /* options.count of them */
    struct live_group *groups;  /* owned by the first worker; NULL with a single one */
    struct sock_fprog program;  /* by which they share; the code is owned by the first worker */
    struct pollfd *poll;
};

uint64_t live_wall_ns(void);

/* Activate one source as its options say; 0, or -1 with `error`. */
int live_activate(const struct capture_live *c, struct live_source *s, struct base_error *error);

/* Add what libpcap counted since the last time. */
void live_count_drops(const struct capture_live *c, struct live_source *s);

#endif
