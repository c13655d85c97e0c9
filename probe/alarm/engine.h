/*
 * engine: the parts of the alarm room, private to it.
 *
 *   events -> counters of services, clients, pairs (a client by a service): tables.h
 *   end of a window -> detectors (kind_*.c) look at the counters -> alarm_judge: life.h -> messages
 *
 * Nothing is done for one event but to count; each detector runs once a window.
 */
#ifndef SPANWATCH_ALARM_ENGINE_H
#define SPANWATCH_ALARM_ENGINE_H

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "life.h"

#define ALARM_WINDOW_NS (ALARM_WINDOW_S * BASE_NS_PER_S)

/*
 * Events of ordinary connections wait, by what they count, until there are some of a sort: then
 * what they touch has come to the cache, and no branch is to be guessed. Others count at once,
 * after those that wait.
 */
enum wait_kind {
    WAIT_ATTEMPT,
    WAIT_ANSWER,
    WAIT_TURN, /* opens or closes: in their order */
    WAIT_REPLY,
    WAIT_OVER,
    WAITS,
    WAIT_NOT = WAITS, /* counts at once */
    WAIT_NOTHING      /* counts nothing */
};
enum { WAIT_MOST = 32 };
struct waiting {
    struct wait_note { /* the begin of an event: all of a transition or a signal, in two lines */
        _Alignas(64) unsigned char octet[128];
    } note[WAIT_MOST];
    int64_t service[WAIT_MOST];
    unsigned count;
};
static_assert(offsetof(struct event, transition) + sizeof(struct event_transition) <=
                      sizeof(struct wait_note) &&
                  offsetof(struct event, signal) + sizeof(struct event_signal) <=
                      sizeof(struct wait_note),
              "what of an event may wait");
struct members {
    struct member_note { /* the begin of an event: all of a member */
        _Alignas(64) unsigned char octet[192];
    } note[WAIT_MOST];
    unsigned count;
};
static_assert(offsetof(struct event, member) + sizeof(struct event_member) <=
                  sizeof(struct member_note),
              "a member is to fit");
static inline const struct event *waiting_event(const struct waiting *w, unsigned n) {
    return (const struct event *)(const void *)w->note[n].octet;
}

/* ---- engine.c ---- */
struct alarm_engine {
    /* what each event asks for: two lines of the cache */
    _Alignas(64) uint64_t now_ns; /* of the window's end, while detectors run */
    struct service *service;
    struct endpoint_near { /* IPv4 endpoints looked up lately, and their services */
        _Alignas(16) uint32_t addr;
        uint32_t scope;
        uint16_t port;
        int16_t service; /* + 1; 0: none */
    } * near;            /* NEAR of them, two in a place */
    struct pair_sketch *sketch;
    bool allows;             /* someone is on an allow list */
    bool poor;               /* too much is missing in this window */
    uint32_t times_given;    /* samples of latency that unnamed services had in this second */
    uint64_t times_until_ns; /* when it ends */
    uint64_t wait_until_ns;  /* for so long those that wait may; 0: there are none */
    uint64_t late_until_ns;  /* some connection had a long handshake less than 5 s before that */
    struct tap_near {        /* looked up last */
        uint32_t scope;
        uint16_t tap; /* + 1; 0: none */
        uint8_t iface;
    } tap_last, tap_near[TAPS_NEAR]; /* ... and lately */

    struct alarm_config config;
    const struct alarm_rules *rules;
    struct alarm_counters counters;
    uint64_t seq;

    uint32_t services, services_room, services_hand;
    struct alarm_index service_names;
    struct endpoint *endpoint;
    uint32_t endpoints, endpoints_room, endpoints_hand;
    struct alarm_index endpoint_index;
    struct pair *pair;
    struct pair_watch *watch;        /* of each pair */
    uint64_t stirs[MOST_PAIRS / 64]; /* a bit each: it has more to be asked than its watch says */
    uint32_t pairs, pairs_room, watch_room, pairs_hand, unproven;
    uint32_t pairs_refused; /* that shook hands and found no place, in this window */
    struct alarm_index pair_index;
    struct client *client;
    uint32_t clients, clients_room, clients_hand;
    struct alarm_index client_index;
    struct scan **scan;
    uint32_t scans, of_kind[ALARM_KINDS]; /* of_kind: entries of alarms of each kind */
    struct port_map *port_map[MOST_PORT_MAPS];
    uint32_t port_maps;
    struct late_open late[LATE_OPENS];
    struct entry *entry;
    uint32_t entries, entries_room;
    struct alarm_index entry_index;
    struct baselines baselines;
    struct troubles *trouble; /* TROUBLE_SORTS of them */
    struct waiting wait[WAITS];
    struct members members;
    /* enum wait_kind of a transition, by the states of client and server: before, and after it */
    uint8_t waits_for[TCP_STATES][TCP_STATES][TCP_STATES][TCP_STATES];

    uint64_t window_ns;  /* end of the window before: its picture */
    uint64_t picture_ns; /* of the picture that comes in */
    unsigned ended;      /* sources that have ended it */
    bool picturing, whole;
    bool idle_limits; /* some rule limits silence */
    /* the tap */
    struct event_picture sum, before; /* of all sources; the most that windows before ended with */
    struct alarm_stats stats, stats_before;
    uint32_t steady;        /* windows in a row that had packets */
    uint64_t silent_now_ns; /* without packets, until now */
    double least_silent_s;  /* of client_silent, in all rules */
    struct tap tap[MOST_TAPS];
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

/* What a total has grown by. A source that left its part of a picture out is missing in `now`. */
static inline uint64_t engine_grown(uint64_t now, uint64_t before) {
    return now > before ? now - before : 0;
}

/* Lately the tap missed too much: what lasts may be over, what ended may go on. */
static inline bool engine_doubts(const struct alarm_engine *a) {
    return a->poor || (a->poor_ns != 0 && a->now_ns - a->poor_ns < 60 * BASE_NS_PER_S);
}

/* taps.c */
/* The place of an interface and the VLAN of a scope; of names ("": none). */
uint32_t tap_look_up(struct alarm_engine *a, uint8_t iface, uint32_t scope);
static inline uint32_t tap_of(struct alarm_engine *a, uint8_t iface, uint32_t scope) {
    const struct tap_near *n = &a->tap_last;
    bool same = n->tap > 0 && n->iface == iface && n->scope == scope;
    return same ? n->tap - 1u : tap_look_up(a, iface, scope);
}
uint32_t tap_named(struct alarm_engine *a, const char *interface, const char *vlan);
/* It stands in an alarm's key in the place of a service. */
static inline int64_t tap_key(uint32_t tap) {
    return NONE - 1 - (int64_t)tap;
}
static inline uint32_t tap_of_key(int64_t key) {
    return (uint32_t)(NONE - 1 - key);
}

/* tables.c */
/* The service of a flow's server: an index, or NONE. Of one that was looked up lately, or any. */
static inline struct endpoint_near *near_of(const struct alarm_engine *a, const uint8_t *server,
                                            uint16_t port) { /* it, or the one behind it */
    uint32_t addr;
    memcpy(&addr, server, sizeof addr);
    uint32_t h = (addr ^ port * 0x9e3779b1u) * 2654435761u;
    return &a->near[h / (UINT32_MAX / (NEAR / 2) + 1) * 2];
}
static inline bool near_is(const struct endpoint_near *n, const struct event_flow *f) {
    uint32_t addr;
    memcpy(&addr, f->server, sizeof addr);
    return n->addr == addr && n->port == f->server_port && n->scope == f->scope && n->service > 0;
}
static inline int64_t service_lately(const struct alarm_engine *a, const struct event_flow *f) {
    const struct endpoint_near *n = near_of(a, f->server, f->server_port);
    n += !near_is(n, f);
    return near_is(n, f) && f->family == 4 ? n->service - 1 : NONE;
}
int64_t service_look_up(struct alarm_engine *a, const struct event_flow *f);
static inline int64_t service_of(struct alarm_engine *a, const struct event_flow *f) {
    int64_t i = service_lately(a, f);
    return i != NONE ? i : service_look_up(a, f);
}
const char *service_word(const struct alarm_engine *a, int64_t service); /* NULL: no name */
/* The hash by which a pair is found, and counted in the sketch. */
static inline uint32_t pair_tag(const struct event_flow *f, uint32_t service) {
    uint32_t addr;
    memcpy(&addr, f->client, sizeof addr);
    return f->family == 6 ? index_hash(f->client, 16, service + 1) : index_mix(addr, service + 1);
}
struct pair *pair_of(struct alarm_engine *a, const struct event_flow *f, uint32_t service,
                     bool make, bool proven);
static inline bool pair_stirs(const struct alarm_engine *a, uint32_t i) {
    return (a->stirs[i / 64] >> (i % 64) & 1) != 0;
}
struct client *client_of(struct alarm_engine *a, const uint8_t addr[16], uint8_t family, bool make);
void tables_turn(struct alarm_engine *a); /* a window is over */
void tables_fini(struct alarm_engine *a);
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

/* trouble.c */
void trouble_note(struct alarm_engine *a, enum trouble t, int64_t service,
                  const struct event_flow *f, uint64_t ts_ns);
/* In this window; of the last TROUBLE_RING. */
bool trouble_was_noted(const struct alarm_engine *a, enum trouble t, const struct event_flow *f);
bool trouble_is_same(const struct event_flow *x, const struct event_flow *y); /* one connection */

/* engine.c: an event counts at once, after those that wait */
void engine_take(struct alarm_engine *a, const struct event *e);

/* wait.c: alarm_event; count what waits */
void wait_init(struct alarm_engine *a);
void alarm_catch_up(struct alarm_engine *a);

/* feed.c: what an event counts */
void feed_waiting(struct alarm_engine *a, enum wait_kind kind, const struct waiting *w);
void feed_transition(struct alarm_engine *a, const struct event *e);
void feed_connection(struct alarm_engine *a, const struct event *e);
void feed_signal(struct alarm_engine *a, const struct event *e);
/* feed_member.c: those of a picture wait for each other, as ordinary events do */
void feed_member(struct alarm_engine *a, const struct event *e);
void feed_members(struct alarm_engine *a); /* those that wait: before the picture's end */
/* feed_time.c */
void feed_time(struct alarm_engine *a, struct service *s, enum latency which, const struct event *e,
               uint64_t ns);
/* feed.c: what it shares with feed_member.c */
static inline bool feed_both_open(const uint8_t state[2]) {
    return state[EVENT_CLIENT] == TCP_ESTABLISHED && state[EVENT_SERVER] == TCP_ESTABLISHED;
}
bool feed_ends(const struct event_connection *c); /* ... nor does the record of an ordinary end */
bool feed_is_listed(const struct alarm_engine *a, const struct event_flow *f);
static inline bool feed_is_allowed(const struct alarm_engine *a, const struct event_flow *f) {
    return a->allows && feed_is_listed(a, f);
}
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
void mass_close_late(struct alarm_engine *a, const struct event *e); /* it opens, LATE_S after */
uint64_t mass_close_late_open(const struct alarm_engine *a, const struct event_flow *f);
static inline uint64_t mass_close_opened(const struct alarm_engine *a, const struct event *e) {
    return e->ts_ns < a->late_until_ns ? mass_close_late_open(a, &e->flow) : e->flow.first_ns;
}
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
