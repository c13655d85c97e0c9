/*
 * engine: the parts of the alarm room, private to it.
 *
 *   events -> counters of services, clients, pairs (a client by a service)
 *   end of a window -> detectors (kind_*.c) look at the counters -> alarm_judge (life.c) ->
 * messages
 *
 * Nothing is done for one event but to count; each detector runs once a window.
 */
#ifndef SPANWATCH_ALARM_ENGINE_H
#define SPANWATCH_ALARM_ENGINE_H

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "spanwatch/alarm.h"

#define ALARM_WINDOW_NS (ALARM_WINDOW_S * BASE_NS_PER_S)

enum {
    NONE = -1,
    MINUTE_WINDOWS = 60 / ALARM_WINDOW_S,
    MOST_SERVICES = 8192,
    MOST_ENDPOINTS = 32768,
    MOST_PAIRS = 65536,
    MOST_CLIENTS = 16384,
    MOST_ALARMS = 4096,
    MOST_SERIES = 4096,
    MOST_CELLS = 65536,
    MOST_SCANS = 1024,
    MOST_PORT_MAPS = 64,
    MOST_TAPS = 256,
    TAPS_NEAR = 64,
    NEAR = 2048, /* a power of two */
    WAITING = 32 /* events: what counting them touches fits the smallest cache */
};

/* ---- index.c: from a hash to entries of a dense array ---- */
struct alarm_index {
    struct index_slot {
        uint32_t tag, entry; /* entry + 1; 0 is empty */
    } * slot;
    uint32_t mask, used;
};
int index_init(struct alarm_index *x);
void index_fini(struct alarm_index *x);
int index_insert(struct alarm_index *x, uint32_t tag, uint32_t entry); /* -1: memory is short */
void index_remove(struct alarm_index *x, uint32_t tag, uint32_t entry);
/* The entries of a tag, one a call: `at` begins as the tag. NONE at the end. */
static inline int64_t index_next(const struct alarm_index *x, uint32_t tag, uint32_t *at) {
    for (;;) {
        const struct index_slot *s = &x->slot[*at & x->mask];
        if (s->entry == 0)
            return NONE;
        ++*at;
        if (s->tag == tag)
            return s->entry - 1;
    }
}
uint32_t index_hash(const void *data, size_t n, uint32_t more);

/* ---- histogram.c: latencies of a window ---- */
enum { HISTOGRAM_SUB = 8, HISTOGRAM_BUCKETS = 22 * HISTOGRAM_SUB, HISTOGRAM_WINDOWS = 3 };
struct histogram {
    uint32_t n[HISTOGRAM_WINDOWS]; /* of each window; a ring, as the buckets */
    uint8_t now;                   /* the current window's place in it */
    _Alignas(
        8) uint8_t bucket[HISTOGRAM_WINDOWS][HISTOGRAM_BUCKETS]; /* of a sample: 255 is plenty */
};
void histogram_add(struct histogram *h, uint64_t ns);
void histogram_turn(struct histogram *h); /* a new window begins */
/* The p-th quantile in ms over as many of the last windows as it takes to have `least` samples; how
 * many there were. */
uint32_t histogram_quantile(const struct histogram *h, double p, uint32_t least, double *ms);
/* How many samples the current window has, all that are kept have; how many of the current one lie
 * above `ms`. */
uint32_t histogram_count(const struct histogram *h);
uint32_t histogram_lately(const struct histogram *h);
uint32_t histogram_above(const struct histogram *h, double ms);

/* ---- baseline.c ---- */
enum { WEEK_HOURS = 168, CELL_VALUES = 16 };
struct baseline_cell {
    uint16_t kept, occasions; /* values; hours that they come from */
    uint32_t seen;
    float value[CELL_VALUES];
};
struct baseline {
    char key[128]; /* kind and scope */
    struct baseline_cell *week[WEEK_HOURS];
    struct baseline_cell now; /* of the hour that is not over yet: it is not its own measure */
    uint64_t hour;            /* which that is, since the epoch */
    uint64_t asked_hour;      /* for which the answer below was made */
    struct usual {
        double median, mad, high; /* high: what one value in twenty lies above */
    } usual, same_hour;           /* same_hour: of this hour of the day, seen less than thrice */
    bool known, hour_known, changed;
};
struct baselines {
    struct baseline **series;
    size_t count, room, cells;
    struct alarm_index index;
    uint64_t since_ns; /* begin of the history */
    uint64_t refused;
};
struct alarm_engine;
/* The series of a key, made when there is none and `make`; NULL when there is no room. */
struct baseline *baseline_find(struct alarm_engine *a, const char *key, bool make);
void baseline_add(struct alarm_engine *a, struct baseline *b, double value);
/*
 * What is usual in the hour of the window, for an alarm about values above it or below it; false
 * while there is not history enough. All hours have to do where this one was seen too seldom; but
 * what it was like then is not unusual either: of the two the one that raises less is given.
 */
enum baseline_side { BASELINE_ABOVE, BASELINE_BELOW };
bool baseline_get(struct alarm_engine *a, struct baseline *b, enum baseline_side side,
                  struct usual *u);
void baselines_fini(struct baselines *b);
/* That of a service; made when there is none and `make`. */
struct baseline *service_series(struct alarm_engine *a, int64_t i, int series, bool make);

/* ---- rules.c ---- */
struct alarm_rule {
    double number[ALARM_NUMBERS];
    const char *source;
};
/* The rule for a service (NULL: none) and a client (NULL: none). Service beats client group beats
 * all. */
const struct alarm_rule *rules_find(const struct alarm_rules *r, enum alarm_kind kind,
                                    const char *service, const struct base_addr *client);
bool rules_allows(const struct alarm_rules *r, const struct base_addr *client);
double rules_least(const struct alarm_rules *r, enum alarm_kind kind, enum alarm_number n);
bool rules_limit_idle(const struct alarm_rules *r); /* any of them, for anyone */

/* ---- tables.c ---- */

enum { SECOND_RING = 16, CLOSER_RING = 256, SILENT_WINDOWS = 3 };

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
    /* what each connection touches: two lines of the cache */
    _Alignas(64) bool used;
    bool configured;
    bool has_often; /* some pair of it is counted by itself in the window */
    uint32_t attempts, attempts_all, answered, completed, closes, completed_before;
    uint64_t answered_ns;         /* of the last attempt that was completed or refused */
    uint64_t heard_ns;            /* ... that had any answer, a SYN-ACK too */
    uint64_t second;              /* that second_open and second_closed have come to */
    int32_t half_open, open;      /* gauges, by transitions; set right by each picture */
    struct histogram *latency[3]; /* by enum latency */
    struct closers *closers;
    uint64_t last_ns;
    uint32_t laden[2], again[2]; /* in the window: segments with payload, of these sent again */
    uint16_t compared, slower;   /* handshakes of clients whose usual way is known; beyond it */

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
#define SERVICE_HOT_OCTETS offsetof(struct service, name)
static_assert(SERVICE_HOT_OCTETS == 128, "what each connection touches");
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
    uint64_t packets;         /* in the window */
    uint64_t last_packets_ns; /* end of the last window that had packets */
    uint32_t steady;          /* windows in a row that had packets */
};
/* The place of an interface and the VLAN of a scope; of names ("": none). */
uint32_t tap_of(struct alarm_engine *a, uint8_t iface, uint32_t scope);
uint32_t tap_named(struct alarm_engine *a, const char *interface, const char *vlan);
/* It stands in an alarm's key in the place of a service. */
static inline int64_t tap_key(uint32_t tap) {
    return NONE - 1 - (int64_t)tap;
}
static inline uint32_t tap_of_key(int64_t key) {
    return (uint32_t)(NONE - 1 - key);
}

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

/* ---- life.c ---- */
enum level { LEVEL_QUIET, LEVEL_BETWEEN, LEVEL_WARNING, LEVEL_CRITICAL };

struct judgement {
    enum alarm_kind kind;
    int64_t service;                /* index, NONE, or a tap_key */
    const struct base_addr *client; /* NULL: none in the key */
    const struct alarm_rule *rule;
    enum level level;
    bool thin; /* too few samples to judge by */
    bool over; /* the level is quiet, and nothing has to be waited for */
    double value, raise, clear, baseline;
    uint64_t since_ns, span_ns; /* begin of the condition (0: of the window); what was looked at */
    uint64_t samples;
    enum trouble trouble; /* evidence; TROUBLE_SORTS: none */
    size_t share;         /* offset in struct pair of the top contributors' number; 0: none */
    enum alarm_reason reason;
    struct alarm_detail detail;
    double limit; /* for a forecast; 0: none */
    uint64_t forecast_ns;
    const struct closers *closers;
};
void alarm_judge(struct alarm_engine *a, const struct judgement *j);
/* A judgement of a kind with its rule; false when the rule is switched off (which is judged). */
bool judgement_begin(struct alarm_engine *a, struct judgement *j, enum alarm_kind kind,
                     int64_t service, const struct base_addr *client);
static inline double rule_of(const struct judgement *j, enum alarm_number n) {
    return j->rule->number[n];
}
/* Is an alarm of this key in force, or on its way? */
bool alarm_is_known(const struct alarm_engine *a, enum alarm_kind kind, int64_t service,
                    const struct base_addr *client);
bool alarm_is_active(const struct alarm_engine *a, enum alarm_kind kind, int64_t service,
                     const struct base_addr *client);
/* Those that no detector looked at in this window are quiet. */
void alarm_settle(struct alarm_engine *a);

struct entry { /* an alarm's life: in force, on its way, or remembered after its end */
    bool used, active, judged, restored;
    uint8_t kind, severity;
    uint32_t tag;
    int64_t service;
    struct base_addr client;
    uint32_t raising, critical, quiet, thin, good; /* windows in a row */
    uint32_t hold;                                 /* clear windows, grown by flapping */
    uint64_t began_ns, cleared_ns, told_ns;
    double peak;
    uint64_t samples;
    struct alarm last; /* as last told; valid while active */
};

/* ---- engine.c ---- */
struct alarm_engine {
    struct alarm_config config;
    const struct alarm_rules *rules;
    struct alarm_counters counters;
    uint64_t seq;

    struct service *service;
    uint32_t services, services_room, services_hand;
    struct alarm_index service_names;
    struct endpoint *endpoint;
    uint32_t endpoints, endpoints_room, endpoints_hand;
    struct alarm_index endpoint_index;
    struct endpoint_near { /* IPv4 endpoints looked up lately, and their services */
        uint32_t addr, scope;
        uint16_t port;
        int16_t service; /* + 1; 0: none */
    } * near;            /* NEAR of them */
    struct pair *pair;
    struct pair_watch *watch;        /* of each pair */
    uint64_t stirs[MOST_PAIRS / 64]; /* a bit each: it has more to be asked than its watch says */
    uint32_t pairs, pairs_room, watch_room, pairs_hand, unproven;
    struct pair_sketch *sketch;
    struct alarm_index pair_index;
    struct client *client;
    uint32_t clients, clients_room, clients_hand;
    struct alarm_index client_index;
    struct scan **scan;
    uint32_t scans, of_kind[ALARM_KINDS]; /* of_kind: entries of alarms of each kind */
    struct port_map *port_map[MOST_PORT_MAPS];
    uint32_t port_maps;
    struct entry *entry;
    uint32_t entries, entries_room;
    struct alarm_index entry_index;
    struct baselines baselines;
    struct troubles *trouble;   /* TROUBLE_SORTS of them */
    struct event wait[WAITING]; /* to be counted; of each only what its type has */
    unsigned waiting;

    uint64_t times_second; /* samples of latency that unnamed services had in it */
    uint64_t now_ns;       /* of the window's end, while detectors run */
    uint64_t window_ns;    /* end of the window before: its picture */
    uint64_t picture_ns;   /* of the picture that comes in */
    unsigned ended;        /* sources that have ended it */
    bool picturing, whole;
    bool poor;        /* too much is missing in this window */
    bool idle_limits; /* some rule limits silence */
    /* the tap */
    struct event_picture sum, before; /* of all sources; when the last window ended */
    struct alarm_stats stats, stats_before;
    uint32_t steady;        /* windows in a row that had packets */
    uint32_t times_given;   /* of times_second */
    uint64_t silent_now_ns; /* without packets, until now */
    double least_silent_s;  /* of client_silent, in all rules */
    struct tap tap[MOST_TAPS];
    struct tap_near { /* looked up lately */
        uint32_t scope;
        uint16_t tap;
        uint8_t iface;
        bool known;
    } tap_near[TAPS_NEAR];
    uint32_t taps;
    uint64_t first_ns;
    double drop_ratio, gap_ratio, one_sided_ratio, copy_ratio;
    double age_s[ALARM_KINDS]; /* ALARM_AGE of the rules for all: asked for every member */
    uint64_t poor_ns;          /* end of the last poor window; 0: none */
    uint64_t silent_ns;        /* time without packets so far: clients were not absent then */
    uint64_t gap_from_ns;      /* what began before it may have ended unseen */
};

/* How long ago, by the engine's time; 0 for what is not yet (live, events run ahead of a picture).
 */
static inline uint64_t engine_ago(const struct alarm_engine *a, uint64_t ns) {
    return a->now_ns > ns ? a->now_ns - ns : 0;
}

/* Lately the tap missed too much: what lasts may be over, what ended may go on. */
static inline bool engine_doubts(const struct alarm_engine *a) {
    return a->poor || (a->poor_ns != 0 && a->now_ns - a->poor_ns < 60 * BASE_NS_PER_S);
}

/* tables.c */
/* The service of a flow's server: an index, or NONE. Of one that was looked up lately, or any. */
static inline struct endpoint_near *near_of(const struct alarm_engine *a, const uint8_t *server,
                                            uint16_t port) {
    uint32_t addr;
    memcpy(&addr, server, sizeof addr);
    uint32_t h = (addr ^ port * 0x9e3779b1u) * 2654435761u;
    return &a->near[h / (UINT32_MAX / NEAR + 1)];
}
static inline int64_t service_lately(const struct alarm_engine *a, const struct event_flow *f) {
    const struct endpoint_near *n = near_of(a, f->server, f->server_port);
    uint32_t addr;
    memcpy(&addr, f->server, sizeof addr);
    bool same = n->service > 0 && n->addr == addr && n->port == f->server_port &&
                n->scope == f->scope && f->family == 4;
    return same ? n->service - 1 : NONE;
}
int64_t service_look_up(struct alarm_engine *a, const struct event_flow *f);
static inline int64_t service_of(struct alarm_engine *a, const struct event_flow *f) {
    int64_t i = service_lately(a, f);
    return i != NONE ? i : service_look_up(a, f);
}
const char *service_word(const struct alarm_engine *a, int64_t service); /* NULL: no name */
/* The hash by which a pair is found, and counted in the sketch. */
static inline uint32_t pair_tag(const struct event_flow *f, uint32_t service) {
    return index_hash(f->client, f->family == 6 ? 16 : 8, service + 1);
}
struct pair *pair_of(struct alarm_engine *a, const struct event_flow *f, uint32_t service,
                     bool make, bool proven);
static inline bool pair_stirs(const struct alarm_engine *a, uint32_t i) {
    return (a->stirs[i / 64] >> (i % 64) & 1) != 0;
}
struct client *client_of(struct alarm_engine *a, const uint8_t addr[16], uint8_t family, bool make);
void tables_turn(struct alarm_engine *a); /* a window is over */
void tables_fini(struct alarm_engine *a);
void trouble_note(struct alarm_engine *a, enum trouble t, int64_t service,
                  const struct event_flow *f, uint64_t ts_ns);
/* In this window; of the last TROUBLE_RING. */
bool trouble_was_noted(const struct alarm_engine *a, enum trouble t, const struct event_flow *f);
bool trouble_is_same(const struct event_flow *x, const struct event_flow *y); /* one connection */
static inline void addr_of(uint8_t family, const uint8_t octet[16], struct base_addr *out) {
    out->family = family;
    memcpy(out->octet, octet, 16);
}
static inline bool addr_equal(const struct base_addr *a, const struct base_addr *b) {
    return memcmp(a, b, sizeof *a) == 0;
}
static inline uint32_t minute_sum(const uint32_t n[MINUTE_WINDOWS]) {
    uint32_t sum = 0;
    for (int i = 0; i < MINUTE_WINDOWS; i++)
        sum += n[i];
    return sum;
}
static inline void minute_turn(uint32_t n[MINUTE_WINDOWS]) {
    memmove(n + 1, n, (MINUTE_WINDOWS - 1) * sizeof *n);
    n[0] = 0;
}

/* engine.c: count what waits to be counted */
void alarm_catch_up(struct alarm_engine *a);

/* feed.c: what an event counts */
void feed_transition(struct alarm_engine *a, const struct event *e);
void feed_connection(struct alarm_engine *a, const struct event *e);
void feed_member(struct alarm_engine *a, const struct event *e);
void feed_signal(struct alarm_engine *a, const struct event *e);
/* ... and what it shares with feed_member.c */
static inline bool feed_both_open(const uint8_t state[2]) {
    return state[EVENT_CLIENT] == TCP_ESTABLISHED && state[EVENT_SERVER] == TCP_ESTABLISHED;
}
/* What no counter is about costs no look-up: the ends of what was closed before. */
static inline bool feed_concerns(const struct event_transition *t) {
    const uint8_t *was = t->was, *now = t->state;
    return feed_both_open(was) || feed_both_open(now) ||
           (was[EVENT_CLIENT] <= TCP_SYN_SENT && was[EVENT_CLIENT] != now[EVENT_CLIENT]) ||
           (was[EVENT_SERVER] <= TCP_SYN_RECEIVED && was[EVENT_SERVER] != now[EVENT_SERVER]);
}
bool feed_ends(const struct event_connection *c); /* ... nor does the record of an ordinary end */
bool feed_is_allowed(const struct alarm_engine *a, const struct event_flow *f);
bool feed_was_counted(const struct alarm_engine *a, const struct event_flow *f, double age_s);
void feed_silence(struct alarm_engine *a, int64_t i, const struct event_flow *f, uint64_t now_ns);
void feed_timeout(struct alarm_engine *a, int64_t i, const struct event_flow *f, uint64_t ts_ns);
void feed_fresh(struct alarm_engine *a, int64_t i, struct pair *p, const struct event *e,
                const struct event_fresh *f);
void feed_stall(struct alarm_engine *a, int64_t i, const struct event *e, unsigned role,
                uint64_t for_ns);

/* kind_*.c: detectors, once a window */
void detect_half_open(struct alarm_engine *a, int64_t s);   /* syn_flood, backlog_full */
void detect_refused(struct alarm_engine *a, int64_t s);     /* conn_refused */
void detect_unreachable(struct alarm_engine *a, int64_t s); /* service_unreachable */
void detect_leak(struct alarm_engine *a, int64_t s);        /* close_wait_leak, fin_wait2_stuck */
void detect_client_leak(struct alarm_engine *a, struct client *c);
void detect_retrans(struct alarm_engine *a, int64_t s); /* retrans_storm */
void detect_pair_retrans(struct alarm_engine *a, struct pair *p);
void detect_stall(struct alarm_engine *a, int64_t s); /* zero_window_stall */
void detect_client_stall(struct alarm_engine *a, struct client *c);
void detect_abort(struct alarm_engine *a, int64_t s);   /* abort_storm */
void detect_latency(struct alarm_engine *a, int64_t s); /* handshake_latency, app_latency */
void detect_drop(struct alarm_engine *a, int64_t s);    /* client_drop */
void detect_mass_close(struct alarm_engine *a, int64_t s);
void mass_close_note(struct alarm_engine *a, uint32_t s, const struct event *e);
void mass_close_back(struct alarm_engine *a, uint32_t s, const struct event *e);
void detect_forged(struct alarm_engine *a, int64_t s);               /* rst_injection */
void detect_client_forged(struct alarm_engine *a, struct client *c); /* syn_in_established */
void detect_idle(struct alarm_engine *a, int64_t s);                 /* idle_long, watched dead */
void detect_dead(struct alarm_engine *a, struct client *c);          /* idle_dead_peer */
void detect_timeout(struct alarm_engine *a, struct pair *p);         /* connect_timeout */
void detect_ports(struct alarm_engine *a, struct pair *p);           /* time_wait_ports */
void ports_note(struct alarm_engine *a, struct pair *p, uint16_t port, uint64_t ts_ns, bool opens);
void ports_forget(struct pair *p);
void detect_churn(struct alarm_engine *a, struct pair *p);
void detect_silent(struct alarm_engine *a, uint32_t i, bool connected); /* client_silent */
void scan_note(struct alarm_engine *a, const struct event_flow *f, uint64_t ts_ns, bool failed);
void scan_forget(struct client *c);
void detect_scan(struct alarm_engine *a, struct client *c); /* port_scan, host_scan */
void detect_tap(struct alarm_engine *a);  /* mirror_*, capture_*; before all others */
void detect_self(struct alarm_engine *a); /* sink_lag, table_pressure */

#endif
