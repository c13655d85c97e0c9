/*
 * tables: what is counted, for whom: services, clients, pairs (a client by a service), where
 * packets come from, and the last connections of each sort of trouble. Bounded, each by its own
 * cap.
 */
#ifndef SPANWATCH_ALARM_TABLES_H
#define SPANWATCH_ALARM_TABLES_H

#include <assert.h>
#include <stddef.h>

#include "spanwatch/alarm.h"

#include "baseline.h"
#include "histogram.h"

enum {
    MINUTE_WINDOWS = 60 / ALARM_WINDOW_S,
    MOST_SERVICES = 8192,
    MOST_ENDPOINTS = 32768,
    MOST_PAIRS = 65536,
    MOST_CLIENTS = 16384,
    MOST_SCANS = 1024,
    MOST_PORT_MAPS = 64,
    MOST_TAPS = 256,
    TAPS_NEAR = 64,
    NEAR = 8192 /* a power of two */
};

enum { SECOND_RING = 16, CLOSER_RING = 256, SILENT_WINDOWS = 3 };

/* Connections whose handshake took LATE_S or longer, by a hash: for mass_close. One may put another
 * out: then its SYN counts again. */
enum { BURST_S = 5, LATE_S = 1, LATE_OPENS = 2048 };
struct late_open {
    uint32_t tag;
    uint64_t opened_ns;
};

/* Who closed what was open, lately: for mass_close. */
struct closers {
    struct closer {
        struct base_addr client;
        uint64_t ts_ns;
    } ring[CLOSER_RING];
    uint32_t next;
    /* since it was raised: the clients, and when each came back */
    struct base_addr gone[CLOSER_RING];
    uint32_t back_s10[CLOSER_RING]; /* tenths of a second after it; 0: not yet */
    uint32_t count;
    uint64_t at_ns;
};

struct service {
    /* what each connection touches: a line of the cache */
    _Alignas(64) uint64_t answered_ns; /* of the last attempt that was completed or refused */
    uint64_t heard_ns;                 /* ... that had any answer, a SYN-ACK too */
    int32_t half_open, open;           /* gauges, by transitions; set right by each picture */
    uint32_t attempts_all, answered, completed, closes; /* in the window */
    uint32_t completed_before;                          /* in the one before */
    uint32_t laden[2];                                  /* segments with payload, in the window */
    uint32_t second; /* that second_open and second_closed have come to */
    bool used, configured, has_closers;
    bool has_often; /* some pair of it is counted by itself in the window */

    struct histogram *latency[3]; /* by enum latency */
    struct closers *closers;
    uint64_t last_ns;
    uint32_t spared, again[2]; /* attempts of those on allow lists; segments sent again */
    uint16_t compared, slower; /* handshakes of clients whose usual way is known; beyond it */

    char *name;              /* of a configured one; else NULL */
    struct base_addr server; /* of the only one; family 0 when there are several */
    uint16_t port;
    uint32_t scope;
    uint32_t tag;             /* in the index of configured ones */
    uint32_t pairs, endpoint; /* how many pairs it has; the only endpoint of an unconfigured one */

    /* counted in the window */
    uint32_t refused, icmp, syn_again, aborts[2], odd_rst;
    /* of the picture */
    uint32_t members, seen_half_open, seen_open, clients, stalled[2], dead, idle;
    uint32_t close_wait, fin_wait2;
    uint32_t silent[SILENT_WINDOWS]; /* attempts that nobody answered, by when they were that old */
    uint64_t silent_first_ns[SILENT_WINDOWS], silent_last_ns;
    struct base_addr silent_client[2], icmp_client[2];
    uint64_t icmp_first_ns; /* since the last answer */
    uint64_t stalled_ns[2], oldest_ns;
    uint32_t burst_most, burst_open; /* the worst 5 s that end in the window */
    /* of the last minute, by window */
    uint32_t minute_closes[MINUTE_WINDOWS], minute_aborts[MINUTE_WINDOWS][2],
        minute_odd[MINUTE_WINDOWS];
    uint32_t leak[MINUTE_WINDOWS]; /* close_wait of the last windows, newest first */
    uint64_t burst_ns;
    /* by second: what was open when it began, closes within 5 s from it of what was open then */
    uint32_t second_open[SECOND_RING], second_closed[SECOND_RING];
    uint32_t seconds;                /* that made the mean */
    float usual_closed, burst_usual; /* mean of second_closed over a minute; before the worst */
    struct baseline *series[5];      /* by enum series */
    bool series_asked[5];
};
static_assert(offsetof(struct service, latency) == 64, "what each connection touches");
/* Those that count: not of allow lists. */
static inline uint32_t service_attempts(const struct service *s) {
    return s->attempts_all - s->spared;
}
enum latency { LATENCY_SERVER, LATENCY_CLIENT, LATENCY_REPLY };
enum series { SERIES_SERVER, SERIES_CLIENT, SERIES_REPLY, SERIES_CLIENTS, SERIES_HALF_OPEN };

/* Seconds at which each port was used last, for those who use many. */
struct port_map {
    uint32_t pair; /* whose; UINT32_MAX: free */
    uint32_t second[65536];
    uint32_t reused[MINUTE_WINDOWS], opened[MINUTE_WINDOWS];
};

/* What each window asks of every pair, side by side: of most of them, nothing else. */
struct pair_watch {
    uint32_t tag;       /* in the index, and in the sketch */
    uint32_t present_s; /* when it was there last, in time that the tap worked; 0: never yet */
    uint32_t due_s;     /* when it may be missed, by that time; NEVER_S: not before it comes */
    bool used;          /* the entry holds a pair */
    bool silent;        /* its alarm of that kind is raised */
};
#define NEVER_S UINT32_MAX

struct pair {
    struct base_addr client;
    bool proven;      /* a handshake was completed */
    bool rate_asked;  /* rate was looked for */
    bool way_learned; /* way_ms was moved up in this window */
    uint8_t stirred;  /* windows that something may be counted in, yet: 0 when it has been quiet */
    uint32_t service;
    uint64_t last_ns; /* of its connections */
    struct port_map *ports;
    struct baseline *rate; /* of those that open many */

    uint64_t opened_ns; /* the last one's begin */
    /* counted in the window */
    uint32_t opened, closed, short_lived, refused, timeouts, aborts;
    /* of the picture */
    uint32_t established, open, half_open, close_wait, fin_wait2, laden, again, stalled;
    uint32_t minute_opened[MINUTE_WINDOWS];
    uint16_t minute_timeouts[MINUTE_WINDOWS];
    float way_ms; /* usual time from SYN-ACK to ACK; 0: unknown */
    /* habits: client_silent */
    uint8_t hours[WEEK_HOURS / 8];  /* bit: present in that hour of the week, when it was last */
    uint32_t first_hour, last_hour; /* present in, since the epoch */
    uint32_t gap_s[7];              /* the longest absence that ended, by day */
    uint32_t gap_day[7];
    uint8_t came[24], came_now; /* how often it came, by hour of the day; in last_hour */
};

/*
 * What is known of all pairs at the cost of a few octets: how many connections each opened in the
 * window, and which were there at all. Only a pair that opens OFTEN or more in a window is counted
 * by itself; others are made known once: NEW_PAIRS in a window, and one connection in NEW_SHARE.
 * Different pairs may share a place: then one is counted too early, or learned an hour later (when
 * the salt changes).
 */
enum {
    SKETCH_BLOCKS = 1 << 12,
    BLOCK_PLACES = 32,
    BLOCK_WORDS = 2,
    OFTEN = 16,
    NEW_PAIRS = 512,
    NEW_SHARE = 64
};
struct pair_sketch {
    struct sketch_block { /* a line of the cache: one miss a connection */
        _Alignas(64) uint8_t opened[BLOCK_PLACES];
        uint64_t here[BLOCK_WORDS], known[BLOCK_WORDS];
    } block[SKETCH_BLOCKS];
    uint32_t salt, opened, fresh; /* connections opened, and pairs made, in this window */
    uint64_t hour;
};
struct sketch_place {
    uint8_t *opened;
    uint64_t *here, *known, bit;
};
static inline struct sketch_place sketch_at(struct pair_sketch *k, uint32_t tag) {
    uint32_t h = (tag ^ k->salt) * 0x9e3779b1u;
    struct sketch_block *b = &k->block[h / (UINT32_MAX / SKETCH_BLOCKS + 1)];
    uint32_t word = h >> 6 & (BLOCK_WORDS - 1);
    return (struct sketch_place){&b->opened[h >> 7 & (BLOCK_PLACES - 1)], &b->here[word],
                                 &b->known[word], UINT64_C(1) << (h & 63)};
}

/* Tries of one client that may be a scan. */
enum { SCAN_TRIES = 128 };
struct scan {
    uint32_t client; /* whose; UINT32_MAX: free */
    struct scan_try {
        struct base_addr server;
        uint16_t port;
        bool failed, fresh; /* fresh: new in this window */
        uint64_t ts_ns;
    } try[SCAN_TRIES];
    uint32_t count;
};

struct client {
    struct base_addr addr;
    bool used;
    uint32_t tag;
    uint64_t last_ns;
    uint32_t close_wait, fin_wait2, dead, stalled, odd_syn; /* in the window or picture */
    uint64_t stalled_ns, oldest_ns;
    uint32_t leak[MINUTE_WINDOWS], minute_odd[MINUTE_WINDOWS];
    struct scan_hint {
        struct base_addr server;
        uint16_t port;
    } hint[2]; /* failed tries before there is a scan */
    uint8_t hints;
    uint64_t hint_ns;
    struct scan *scan;
};

struct endpoint {
    struct base_addr addr;
    bool used;
    uint16_t port;
    uint32_t scope, service, tag;
};

/* ---- taps.c: where packets come from ---- */
struct tap {                                   /* an interface, or a VLAN on it */
    char interface[64], vlan[ALARM_VLAN_TEXT]; /* "": none */
    uint32_t two_sided[3], one_sided[3];       /* connections of the last windows */
    /* of an interface as a whole */
    uint64_t packets;          /* in the window */
    uint64_t first_packets_ns; /* end of the first window that had packets; 0: none had */
    uint64_t last_packets_ns;  /* end of the last window that had packets */
    uint32_t steady;           /* windows in a row that had packets */
};

/* ---- evidence: the last connections of each sort of trouble ---- */
enum trouble {
    TROUBLE_HALF_OPEN,
    TROUBLE_REFUSED,
    TROUBLE_SILENT,
    TROUBLE_CLOSE_WAIT,
    TROUBLE_FIN_WAIT2,
    TROUBLE_DEAD,
    TROUBLE_IDLE,
    TROUBLE_AGAIN,
    TROUBLE_STALLED,
    TROUBLE_ABORT,
    TROUBLE_OPENED,
    TROUBLE_CLOSED,
    TROUBLE_SLOW,
    TROUBLE_ODD_RST,
    TROUBLE_ODD_SYN,
    TROUBLE_SORTS
};
enum { TROUBLE_RING = 256 };
struct troubles {
    struct event_flow flow[TROUBLE_RING];
    uint64_t ts_ns[TROUBLE_RING];
    uint32_t service[TROUBLE_RING];
    uint32_t next;
};

#endif
