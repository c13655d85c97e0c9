/*
 * tracker: the parts of the flow room, private to it.
 *
 *   segments -> [copies] -> [table] find or make a flow -> tcp_segment -> [emit] events
 *                              |                               |
 *                           [pool] entries                 [wheel] deadlines -> tcp_timeout ->
 * [emit]
 *
 * A flow is named by its index in the pool, 32 bits; an entry never moves.
 */
#ifndef SPANWATCH_FLOW_TRACKER_H
#define SPANWATCH_FLOW_TRACKER_H

#include <assert.h>
#include <stddef.h>

#include "spanwatch/flow.h"
#include "spanwatch/tcp.h"

#include "zeek.h"

#define FLOW_NONE UINT32_MAX

/* Which connection: the lower endpoint (address, then port) is side 0. */
struct flow_key {
    union {
        uint32_t v4[2]; /* network order */
        uint8_t v6[2][16];
    };
    uint16_t port[2];
    uint32_t scope;
    uint32_t hash; /* of all the above, seeded */
    uint8_t family;
    uint8_t from; /* the side that sent the segment that the key is made of */
};

enum flow_flag {
    FLOW_IPV6 = 0x01,
    FLOW_CLIENT_1 = 0x02,   /* side 1 is the client, else side 0 */
    FLOW_FINISHED = 0x04,   /* both ends CLOSED and told: kept a while for what comes late */
    FLOW_TENTATIVE = 0x08,  /* nothing is said of it yet */
    FLOW_USED = 0x10,       /* the entry holds a flow */
    FLOW_COUNTED = 0x20,    /* in flows_open */
    FLOW_REFUSED = 0x40,    /* the SYN was answered with a RST, or an ICMP error */
    FLOW_RESET = 0x80,      /* closed by a RST */
    FLOW_DATA_0 = 0x100,    /* Zeek's D stands for side 0; FLOW_DATA_0 << 1 for side 1 */
    FLOW_ACK_0 = 0x400,     /* Zeek's A likewise */
    FLOW_PICTURED = 0x1000, /* equal to picture.parity: not to be given any more */
    FLOW_RESTORED = 0x2000, /* begun in another run of the program, which gave it restored_id */
    FLOW_UNSURE = 0x4000, /* restored, and nothing was seen of it since: what happened meanwhile is
                             not known, nor its scope */
    FLOW_SILENT = 0x8000, /* counted as half closed and silent (closes.c) */
    FLOW_ASKED = 0x10000, /* the client has sent octets that the server has not replied to */
    FLOW_ODD = 0x20000    /* its odd RST was told */
};

/* One connection. The first two lines are what each packet touches; the rest is for handshakes,
 * faults and timers. */
struct flow {
    _Alignas(64) uint32_t
        addr[2]; /* IPv4, network order; of IPv6 addr[0] is the index of the pair of addresses */
    uint16_t port[2];
    uint32_t scope;
    uint64_t last_ns;
    uint64_t
        deadline_ns; /* when the wheel looks at it; BASE_NEVER_NS when it is not in the wheel */
    uint32_t flags;  /* enum flow_flag */
    uint32_t hash;
    struct tcp_connection tcp; /* end[2] completes the hot part; detail[2] follows */

    uint64_t first_ns;
    uint64_t serial; /* in order of first packets */
    union {
        uint64_t handshake_server_ns;
        uint64_t restored_id; /* with FLOW_RESTORED, which has no handshake that was seen */
    };
    uint64_t handshake_client_ns;
    uint64_t missed_bytes;
    uint32_t retransmits[2], out_of_order[2], dup_acks[2], zero_windows[2];
    uint32_t wheel_next, wheel_prev;
    uint16_t wheel_slot; /* WHEEL_OUT, WHEEL_DUE or the slot's number */
    uint8_t ordinal, role_score, inferred;
    uint8_t last_cause;
    uint8_t ttl[2];                          /* of its first segments; 0 is unknown */
    uint32_t zero_ms[2];                     /* since when its window is closed, modulo 2^32; 0 */
    uint32_t told_laden[2];                  /* by the last picture */
    uint16_t told_packets[2], told_again[2]; /* modulo 2^16 */
    uint8_t reset_by, reset_was[2];          /* whose RST ended it, and the states before */
    bool unseen[2];                          /* event_fresh */
    struct zeek_view zeek;
};

static_assert(offsetof(struct flow, tcp.detail) <= 128,
              "what each packet touches fits two cache lines");

/* One round of folded multiplication (as in wyhash and MUM): mixes 128 bits into 64. */
static inline uint64_t flow_fold(uint64_t a, uint64_t b) {
    unsigned __int128 p = (unsigned __int128)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* ---- pool.c: entries by index, in chunks that never move ---- */
enum { POOL_CHUNK = 1024 };
struct pool {
    struct flow **chunk;
    uint32_t chunks, chunk_room;
    uint32_t used, top,
        free_head; /* entries given out; first never used; list of freed ones through wheel_next */
};
uint32_t pool_take(struct pool *p); /* FLOW_NONE when memory is short; the entry is zeroed */
void pool_give(struct pool *p, uint32_t index);
void pool_free(struct pool *p);
static inline struct flow *pool_at(const struct pool *p, uint32_t index) {
    return &p->chunk[index / POOL_CHUNK][index % POOL_CHUNK];
}

/* Pairs of IPv6 addresses, beside the flows so that IPv4 flows need not carry their size. */
struct pair6 {
    uint8_t addr[2][16];
};
struct pool6 {
    struct pair6 **chunk;
    uint32_t chunks, chunk_room, top, free_head;
};
uint32_t pool6_take(struct pool6 *p);
void pool6_give(struct pool6 *p, uint32_t index);
void pool6_free(struct pool6 *p);
static inline struct pair6 *pool6_at(const struct pool6 *p, uint32_t index) {
    return &p->chunk[index / POOL_CHUNK][index % POOL_CHUNK];
}

/* ---- table.c: open addressing over 8-octet slots, growing a few slots at a time ---- */
struct table_slot {
    uint32_t tag;   /* the key's hash: place and first comparison in one */
    uint32_t index; /* + 1; 0 is empty, UINT32_MAX was moved away or erased (old array only) */
};
struct table {
    struct table_slot *slot, *old;
    uint32_t mask, old_mask, used, moved; /* moved: slots of old that are done */
    const struct pool *pool;
    const struct pool6 *pool6;
};
int table_init(struct table *t, const struct pool *pool, const struct pool6 *pool6);
void table_fini(struct table *t);
uint32_t table_find(const struct table *t, const struct flow_key *k); /* FLOW_NONE */
int table_insert(struct table *t, uint32_t hash, uint32_t index);     /* -1: memory is short */
void table_erase(struct table *t, uint32_t hash, uint32_t index);
static inline void table_prefetch(const struct table *t, uint32_t hash) {
    __builtin_prefetch(&t->slot[hash & t->mask]);
}
/* The first slot whose tag fits: to be fetched early, and to be checked before use. */
uint32_t table_guess(const struct table *t, uint32_t hash);

/* ---- wheel.c: deadlines ---- */
enum {
    WHEEL_BITS = 6,
    WHEEL_SLOTS = 1 << WHEEL_BITS,
    WHEEL_LEVELS = 7, /* 42 bits: more than the 40 of a tick, so that none turns over */
    WHEEL_TICK_BITS = 24,
    WHEEL_OUT = 0xffff,
    WHEEL_DUE = 0xfffe
};
struct wheel_due {
    uint64_t deadline_ns, serial;
    uint32_t index;
};
struct wheel {
    uint32_t head[WHEEL_LEVELS * WHEEL_SLOTS];
    uint64_t busy[WHEEL_LEVELS]; /* a bit a slot that is not empty */
    uint64_t tick;               /* all before and in this tick is in the heap */
    struct wheel_due *heap;
    size_t due, heap_room;
    struct pool *pool;
};
void wheel_init(struct wheel *w, struct pool *pool);
void wheel_fini(struct wheel *w);
/* Look at flow `index` at deadline_ns at the latest; replaces an earlier call. -1: memory is short.
 */
int wheel_set(struct wheel *w, uint32_t index, uint64_t deadline_ns);
void wheel_remove(struct wheel *w, uint32_t index);
/* Nothing can be due at now_ns: the usual answer, without a call. */
static inline bool wheel_is_quiet(const struct wheel *w, uint64_t now_ns) {
    return now_ns >> WHEEL_TICK_BITS <= w->tick && (w->due == 0 || w->heap[0].deadline_ns > now_ns);
}
/* The next flow whose deadline is at or before now_ns, taken out of the wheel, and that deadline;
 * FLOW_NONE. In order of deadline, then serial. */
uint32_t wheel_next(struct wheel *w, uint64_t now_ns, uint64_t *deadline_ns);

/* ---- copies.c: the second copy of a packet (both SPAN ports mirrored, a packet before and after a
 * router) ---- */
enum { COPIES_BUCKETS = 1 << 13, COPIES_WAYS = 4 };
struct copies {
    struct copies_seen {
        uint64_t signature, stamp;
    } bucket[COPIES_BUCKETS][COPIES_WAYS];
};
uint64_t copies_signature(const struct segment *s, const struct flow_key *k);
void copies_note(struct copies *c, const struct segment *s, uint64_t signature);
bool copies_is_copy(struct copies *c, const struct segment *s, uint64_t signature);

/* ---- roles.c: who is the client ---- */
struct roles { /* servers learned by their SYN-ACKs; forgets the oldest of a bucket */
    uint64_t listener[4096][2];
};
void roles_begin(struct flow_tracker *t, struct flow *f, const struct segment *s, unsigned from);
/* Better evidence in a SYN or SYN-ACK: true when client and server change places. */
bool roles_improve(struct flow_tracker *t, struct flow *f, const struct segment *s, unsigned from);

/* ---- closes.c: closes that the tap misses, told from those that do not happen ---- */
enum { CLOSES_BUCKETS = 4096 };
struct closes {
    struct closes_count {
        uint64_t service;
        uint16_t seen, silent;
    } service[CLOSES_BUCKETS];
};
/* Where the tap loses packets: a step of a close that was seen, a half-closed connection whose
 * `side` has been silent for long. */
void closes_note(struct flow_tracker *t, const struct flow *f, const struct tcp_step *step);
void closes_note_silent(struct flow_tracker *t, struct flow *f, unsigned side);
/* Do the losses of the tap explain the silent ones of this service? */
bool closes_are_missed(const struct flow_tracker *t, const struct flow *f, unsigned side);

/* ---- emit.c ---- */
enum { FLOW_NOBODY = 2 };
/* `by`: the side whose segment it was; FLOW_NOBODY of a timer. */
void emit_step(struct flow_tracker *t, struct flow *f, uint64_t ts_ns, unsigned by,
               const struct tcp_step *step);

/* The states of a moment, by side: of now, or remembered while time runs on. */
struct moment {
    uint64_t since_ns[2];
    uint8_t state[2];
};
void moment_take(const struct flow *f, struct moment *m);
void emit_roles(struct flow_tracker *t, struct flow *f, uint64_t ts_ns, const struct moment *m);
void emit_connection(struct flow_tracker *t, const struct flow *f, uint64_t ts_ns,
                     enum event_end end, const struct moment *m, event_sink *sink, void *context);
void emit_identity(const struct flow_tracker *t, const struct flow *f, struct event_flow *id);
enum event_end emit_end_of(const struct flow *f);

/* ---- picture.c: every connection as it was at one time ---- */
struct picture {
    uint64_t next_ns;              /* when the next one is due; BASE_NEVER_NS */
    uint64_t ts_ns;                /* of the one that is being made */
    uint64_t active_ns;            /* of the last packet or transition */
    uint64_t window_ns, before_ns; /* of the last one for a window, and of that before it */
    uint64_t transitions;          /* counted at the last one */
    uint32_t cursor, end;          /* pool entries: given so far, and all of them */
    uint32_t parity;               /* FLOW_PICTURED or 0 */
    uint32_t missed;
    uint8_t purpose;  /* of the one that is being made */
    uint64_t packets; /* counted at the last one */
    bool making;
};
void picture_init(struct flow_tracker *t);
/* Time goes beyond `next_ns`: timers up to there run out, then the picture is begun. */
void picture_reach(struct flow_tracker *t, uint64_t until_ns);
/* The last one, and the rest of it: a capture ends. */
void picture_finish(struct flow_tracker *t);
void picture_give(struct flow_tracker *t, struct flow *f);
/* Before anything of a flow changes that a picture shows. */

/* ---- restore.c: connections of an earlier run, by their states alone ---- */
/* A flow of unknown scope that the segment, for whose key none is known, belongs to: it takes that
 * scope. FLOW_NONE when there is none. */
uint32_t restore_adopt(struct flow_tracker *t, const struct segment *s, const struct flow_key *k);

/* ---- signals.c: what no change of state tells ---- */
/* A second and bucket: of what strangers can repeat, and of replies, where it takes a sample. */
enum { SIGNAL_BUCKETS = 256, SIGNAL_MOST = 64, SIGNAL_REPLIES = 12 };
struct signal_budget {
    uint64_t second;
    uint8_t given[SIGNAL_BUCKETS], replies[SIGNAL_BUCKETS];
};
/* Taken before a segment is stepped. */
struct signal_before {
    uint8_t state[2];
    uint8_t trying[2];
    uint32_t nxt;
};
void signal_take_before(const struct flow *f, unsigned from, struct signal_before *b);
void signal_after(struct flow_tracker *t, struct flow *f, unsigned from, const struct segment *s,
                  const struct tcp_verdict *v, const struct signal_before *b);
/* Something for a connection that a RST of this sender has ended. */
void signal_after_reset(struct flow_tracker *t, struct flow *f, unsigned from,
                        const struct segment *s);
void signal_stray(struct flow_tracker *t, const struct segment *s);
void signal_reply(struct flow_tracker *t, struct flow *f, const struct segment *s);
void signal_fresh(const struct flow *f, struct event_fresh *fresh);
void signal_fresh_told(struct flow *f);
uint64_t signal_zero_since(const struct flow *f, unsigned side, uint64_t now_ns); /* 0: open */

/* ---- tracker.c ---- */
enum { LEAP_WITNESSES = 3 }; /* design 1.3: a leap is believed at the third in a row that agrees */

struct flow_tracker {
    struct flow_config config;
    event_sink *sink;
    void *context;
    struct pool pool;
    struct pool6 pool6;
    struct table table;
    struct wheel wheel;
    struct copies *copies;
    struct roles *roles;
    struct closes closes;
    struct flow_counters counters;
    struct tcp_timers timers;       /* for all hosts */
    struct tcp_timers *host_timers; /* config.hosts, converted */
    uint64_t laden_from, gaps; /* lately: counters.laden beyond it, and what did not pass the tap
                                  (halved now and then) */
    struct signal_budget budget;
    uint64_t now_ns, leap_ns;
    uint64_t serial;
    unsigned leap_seen;                 /* witnesses in a row of a leap ahead */
    uint32_t leap_flow[LEAP_WITNESSES]; /* the flows of those that were given the time before it;
                                           FLOW_NONE */
    struct picture picture;
    uint32_t unsure; /* flows with FLOW_UNSURE */
    uint32_t evict_seed;
    bool at_end; /* flow_finish runs the linger */
};

static inline void restore_settle(struct flow_tracker *t, struct flow *f) {
    t->unsure -= (f->flags & FLOW_UNSURE) != 0;
    f->flags &= ~(uint32_t)FLOW_UNSURE;
}

static inline void picture_before_change(struct flow_tracker *t, struct flow *f) {
    if (t->picture.making && (f->flags & FLOW_PICTURED) != t->picture.parity)
        picture_give(t, f);
}

/* Segments with payload of late: what gaps are compared with. */
static inline uint64_t flow_laden_lately(const struct flow_tracker *t) {
    return t->counters.laden - t->laden_from;
}

static inline unsigned flow_client(const struct flow *f) {
    return (f->flags & FLOW_CLIENT_1) != 0;
}

/* clock.c: the time of a packet by the tracker's clock; timers before it run out. */
uint64_t clock_take(struct flow_tracker *t, uint64_t ts_ns);
void clock_start(struct flow_tracker *t, uint64_t ts_ns); /* time begins */
void clock_run_timers(struct flow_tracker *t, uint64_t until_ns);

/* keys.c */
void flow_key_make(const struct flow_tracker *t, const struct segment *s, struct flow_key *k);
bool flow_key_equal(const struct flow *f, const struct pool6 *pool6, const struct flow_key *k);
void flow_addr(const struct flow_tracker *t, const struct flow *f, unsigned side,
               struct base_addr *a);

/* timers.c */
void timers_convert(const struct flow_timers *in, struct tcp_timers *out);
void rules_of(const struct flow_tracker *t, const struct flow *f, struct tcp_rules *rules);

/* evict.c: make room when max_flows is reached */
void evict_one(struct flow_tracker *t);

/* life.c: begins, deadlines, ends */
enum { FLOW_TOMBSTONE_S = 5 }; /* a finished connection absorbs what comes late */
/* An entry for a key, with nothing in it yet; FLOW_NONE when memory is short. */
uint32_t flow_enter(struct flow_tracker *t, const struct flow_key *k);
/* A new flow for the key of its first segment; FLOW_NONE when memory is short. */
uint32_t flow_make(struct flow_tracker *t, const struct flow_key *k, const struct segment *s);
/* Another connection in an entry that held one of the same key. */
void flow_begin(struct flow_tracker *t, struct flow *f, const struct segment *s, unsigned from);
/* When the flow wants to be looked at next, and telling the wheel. */
uint64_t flow_due_ns(const struct flow *f);
void flow_arm(struct flow_tracker *t, uint32_t index);
/* Forget a flow altogether. */
void flow_forget(struct flow_tracker *t, uint32_t index);
/* After a verdict on what side `from` did: tell the steps, and the connection when it is over. */
void flow_settle(struct flow_tracker *t, uint32_t index, uint64_t ts_ns, unsigned from,
                 const struct tcp_verdict *v);

#endif
