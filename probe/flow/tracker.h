/*
 * tracker: the parts of the flow room, private to it.
 *
 *   segments -> [copies] -> [table] find or make a flow -> [usual] or tcp_segment -> [emit] events
 *                              |                               |
 *                      [slab] [forms] entries             [wheel] deadlines -> tcp_timeout ->
 * [emit]
 */
#ifndef SPANWATCH_FLOW_TRACKER_H
#define SPANWATCH_FLOW_TRACKER_H

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "spanwatch/flow.h"
#include "spanwatch/tcp.h"

#include "keys.h"
#include "zeek.h"

#define FLOW_NONE UINT32_MAX

/* Each short way is held against the long one, each fold against its unfolding. */
#ifdef SPANWATCH_VERIFY
enum { FLOW_VERIFY = true };
#else
enum { FLOW_VERIFY = false };
#endif

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
    FLOW_ODD = 0x20000,   /* its odd RST was told */
    FLOW_TAP_LOST = 0x40000, /* rules.tap_loses when it was folded */
    FLOW_OVER = 0x80000,     /* each end is CLOSED or in TIME_WAIT, and that was told */
    FLOW_IFACE_AT = 27       /* from this bit on: the number of its first packet's interface */
};

/*
 * One connection is a head, which never moves and by whose index all others know it, and a body,
 * kept in the smallest form that holds all that is known of it (forms.c):
 *
 *   FORM_SYN    no body:    one SYN, and nothing else yet (a flood of them costs a line each)
 *   FORM_LEAN   two lines:  open or in TIME_WAIT, and nothing unusual ever happened
 *   FORM_FULL   struct body: handshakes, closes, faults
 *
 * A plain segment touches the head and the first line of the body, which FORM_LEAN and FORM_FULL
 * share.
 */
enum flow_form { FORM_SYN, FORM_LEAN, FORM_FULL };

/* All that is left of a first SYN: last_ns is first_ns. */
struct flow_syn {
    uint32_t isn;
    uint8_t ttl, scale; /* scale: the option's value, capped; valid with FLOW_SYN_SCALED */
    uint8_t bits;       /* enum flow_syn_bit */
};
enum flow_syn_bit {
    FLOW_SYN_SCALED = 0x01,
    FLOW_SYN_CHECKED = 0x02,
    FLOW_SYN_TOLD = 0x04 /* by a picture for a window */
};

struct flow {
    _Alignas(64) union {
        struct {              /* as in struct flow_key */
            uint32_t addr[2]; /* IPv4, network order; of IPv6 addr[0] is the index of the pair */
            uint16_t port[2];
            uint32_t scope;
        };
        uint64_t word[2];
    };
    uint32_t flags; /* enum flow_flag */
    uint32_t body;  /* index in the slab of its form */
    uint64_t first_ns;
    union {
        uint64_t last_ns; /* see flow_last_ns */
        struct flow_syn syn;
    };
    uint64_t deadline_ns; /* when the wheel looks at it; BASE_NEVER_NS: it is not in the wheel */
    uint32_t wheel_next, wheel_prev;
    uint32_t serial;     /* in order of first packets, modulo 2^32 */
    uint16_t wheel_slot; /* WHEEL_OUT, WHEEL_DUE or the slot's number */
    uint8_t form;        /* enum flow_form */
    uint8_t ordinal;
};
static_assert(sizeof(struct flow) == 64, "a flow's head is one cache line");
static_assert(EVENT_IFACES == 1 << (32 - FLOW_IFACE_AT) && (int)DECODE_IFACES == (int)EVENT_IFACES,
              "the number of an interface fits the flags");

struct body {
    _Alignas(64) struct tcp_connection tcp;
    struct flow *flow; /* whose it is */
    union {
        uint64_t handshake_server_ns;
        uint64_t restored_id; /* with FLOW_RESTORED, which has no handshake that was seen */
    };
    uint64_t handshake_client_ns;
    uint32_t told_laden[2];   /* by the last picture */
    uint16_t told_packets[2]; /* modulo 2^16 */
    uint8_t ttl[2];           /* of its first segments; 0 is unknown */
    uint8_t role_score, inferred;
    uint8_t last_cause;
    struct zeek_view zeek;
    struct faults {
        uint64_t missed_bytes;
        uint32_t retransmits[2], out_of_order[2], dup_acks[2], zero_windows[2];
        uint32_t zero_ms[2];            /* since when its window is closed, modulo 2^32; 0 */
        uint16_t told_again[2];         /* by the last picture, modulo 2^16 */
        bool unseen[2];                 /* event_fresh */
        uint8_t reset_by, reset_was[2]; /* whose RST ended it, and the states before */
    } faults;                           /* all zero of nearly all connections */
};
static_assert(sizeof(struct tcp_endpoint[2]) == 64 && offsetof(struct body, tcp.end) == 0,
              "what each packet touches of a body is one cache line");

struct lean {
    _Alignas(64) struct tcp_endpoint end[2];
    uint32_t first[2];        /* tcp_detail */
    uint32_t since_ns[2];     /* of an end that is open: after first_ns; else before last_ns */
    uint32_t handshake_ns[2]; /* server, client */
    uint16_t told_laden[2], told_packets[2];
    struct zeek_core zeek;
    uint8_t role_score, inferred, last_cause, ttl[2], trying[2];
};
static_assert(sizeof(struct lean) == 128, "the body of an open connection is two cache lines");

/* ---- pages.c: large blocks ---- */
enum { PAGES_HUGE = 2 << 20 };
void *pages_take(size_t octets, bool huge); /* a multiple of 4096; zero. NULL: memory is short */
void pages_give(void *at, size_t octets);

/* ---- slab.c: entries of one size by index, in chunks that never move ---- */
enum { SLAB_CHUNK = 4096 };
struct slab {
    char **chunk;
    size_t octets; /* of an entry: at least 4, aligned as its power of two up to 64 */
    uint32_t chunks, chunk_room;
    char *spare; /* chunks that came with another one in a huge page */
    uint32_t spares;
    bool huge;          /* pages */
    uint32_t used, top; /* entries given out; first never used */
    uint32_t free_head; /* list of freed ones, through their first four octets */
};
uint32_t slab_take(struct slab *s); /* FLOW_NONE when memory is short; what it holds is undefined */
void slab_give(struct slab *s, uint32_t index); /* all but the first four octets stay as they are */
void slab_free(struct slab *s);
static inline void *slab_at(const struct slab *s, uint32_t index) {
    return s->chunk[index / SLAB_CHUNK] + (size_t)(index % SLAB_CHUNK) * s->octets;
}
static inline uint64_t slab_memory(const struct slab *s) {
    return (uint64_t)(s->chunks + s->spares) * SLAB_CHUNK * s->octets;
}

/* Pairs of IPv6 addresses, beside the flows so that IPv4 flows need not carry their size. */
struct pair6 {
    uint8_t addr[2][16];
};

/* All flows, and what belongs to them. */
struct pool {
    struct slab flow, lean, body, pair;
};
void pool_init(struct pool *p, bool huge);
void pool_fini(struct pool *p);
uint64_t pool_memory(const struct pool *p);
static inline struct flow *pool_at(const struct pool *p, uint32_t index) {
    return (struct flow *)p->flow.chunk[index / SLAB_CHUNK] + index % SLAB_CHUNK;
}
static inline struct pair6 *pool_pair(const struct pool *p, const struct flow *f) {
    return (struct pair6 *)slab_at(&p->pair, f->addr[0]);
}
static inline struct body *pool_body(const struct pool *p, uint32_t index) {
    return (struct body *)p->body.chunk[index / SLAB_CHUNK] + index % SLAB_CHUNK;
}
static inline struct lean *pool_lean(const struct pool *p, uint32_t index) {
    return (struct lean *)p->lean.chunk[index / SLAB_CHUNK] + index % SLAB_CHUNK;
}

/* Does the entry hold the flow of this key? */
static inline bool flow_key_equal(const struct flow *f, const struct pool *p,
                                  const struct flow_key *k) {
    enum { KIND = FLOW_USED | FLOW_IPV6 };
    if (k->family != 4)
        return f->word[1] == k->word[1] && (f->flags & KIND) == KIND &&
               memcmp(pool_pair(p, f), k->v6, sizeof k->v6) == 0;
    return ((f->word[0] ^ k->word[0]) | (f->word[1] ^ k->word[1]) |
            ((f->flags & KIND) ^ FLOW_USED)) == 0;
}

/* ---- forms.c: bodies, each in the smallest form that holds what is known ---- */
/* Room for the body of a flow that has none; NULL when memory is short. What it holds is undefined,
 * but for `flow`. */
struct body *form_new(struct flow_tracker *t, uint32_t index);
/* The body, to be worked on: made FORM_FULL where it is not. NULL when memory is short. */
struct body *form_open(struct flow_tracker *t, uint32_t index);
/* The body as it stands, without changing its form: in place, or in *scratch. */
struct body *form_view(const struct flow_tracker *t, struct flow *f, struct body *scratch);
/* What was changed in a view is the flow's body from now on; NULL when memory is short. */
struct body *form_keep(struct flow_tracker *t, uint32_t index, struct body *view);
/* The same of told_* alone, which every form holds. */
void form_told(struct flow_tracker *t, struct flow *f, const struct body *view);
/* A lone SYN as the body of an open connection, which may follow. */
void form_syn_to_lean(const struct flow *f, struct lean *l);
/* Nothing is going on: keep it in a smaller form, if one holds all. */
void form_rest(struct flow_tracker *t, struct flow *f);
void form_drop(struct flow_tracker *t, struct flow *f);
/* Both ends, and the letters of both, in place; NULL for FORM_SYN, whose other end is silent. */
static inline struct tcp_endpoint *form_ends(const struct pool *p, const struct flow *f) {
    switch ((enum flow_form)f->form) {
    case FORM_LEAN:
        return pool_lean(p, f->body)->end;
    case FORM_FULL:
        return pool_body(p, f->body)->tcp.end;
    case FORM_SYN:
        break;
    }
    return NULL;
}

static inline struct zeek_core *form_letters(const struct pool *p, const struct flow *f) {
    return f->form == FORM_LEAN ? &pool_lean(p, f->body)->zeek : &pool_body(p, f->body)->zeek.core;
}

/* Fetch what a walk over flows comes to: a head further ahead, and the body of one that was fetched
 * before. (GCC takes a function that only prefetches to do nothing, unless it is inlined at once.)
 */
enum { FORM_HEADS_AHEAD = 16, FORM_BODIES_AHEAD = 8 };
__attribute__((always_inline)) static inline void form_fetch(const struct pool *p, uint32_t head,
                                                             uint32_t body) {
    const char *line = (const char *)form_ends(p, pool_at(p, body));
    __builtin_prefetch(pool_at(p, head), 1);
    for (size_t at = 0; line && at < sizeof(struct lean); at += 64)
        __builtin_prefetch(line + at, 1);
}

/* ---- table.c: open addressing over buckets of slots, growing a few buckets at a time ---- */
enum { TABLE_SLOTS = 8 };
struct table_bucket {
    _Alignas(64) uint32_t tag[TABLE_SLOTS]; /* the key's hash: place and first comparison in one */
    uint32_t index[TABLE_SLOTS]; /* + 1; 0 is empty, UINT32_MAX was moved away or erased (old array
                                    only); empty slots come last */
};
static_assert(sizeof(struct table_bucket) == 64, "a search touches one line");
struct table {
    struct table_bucket *bucket, *old,
        *next;                            /* next: of twice the size, for when this one is full */
    uint32_t mask, old_mask, used, moved; /* moved: buckets of old that are done */
    size_t touched;                       /* octets of next that are there */
    const struct pool *pool;
};
int table_init(struct table *t, const struct pool *pool);
void table_fini(struct table *t);
uint64_t table_memory(const struct table *t);
uint32_t table_find(const struct table *t, const struct flow_key *k); /* FLOW_NONE */
int table_insert(struct table *t, uint32_t hash, uint32_t index);     /* -1: memory is short */
void table_erase(struct table *t, uint32_t hash, uint32_t index);
static inline void table_prefetch(const struct table *t, uint32_t hash) {
    __builtin_prefetch(&t->bucket[hash & t->mask]);
}
/* The index + 1 in the slot whose tag fits; 0 where none does; of several, their bits together. No
 * branch, and all slots at once. */
static inline uint32_t table_match(const struct table_bucket *b, uint32_t hash) {
    typedef uint32_t four __attribute__((vector_size(16)));
    typedef uint64_t two __attribute__((vector_size(16)));
    static_assert(TABLE_SLOTS == 8, "two vectors of each");
    four tag[2], index[2], all = {hash, hash, hash, hash};
    memcpy(tag, b->tag, sizeof tag);
    memcpy(index, b->index, sizeof index);
    two match = (two)(((four)(tag[0] == all) & index[0]) | ((four)(tag[1] == all) & index[1]));
    uint64_t both = match[0] | match[1];
    return (uint32_t)(both | both >> 32);
}
/* The flow whose tag fits in the first bucket: to be fetched early, and to be checked before use.
 * FLOW_NONE: it is elsewhere, or not there. */
static inline uint32_t table_guess(const struct table *t, uint32_t hash) {
    uint32_t index = table_match(&t->bucket[hash & t->mask], hash) - 1;
    return index < t->pool->flow.top ? index : FLOW_NONE;
}

/* ---- wheel.c: deadlines ---- */
enum {
    WHEEL_TICK_BITS = 24, /* 17 ms */
    WHEEL_RING_BITS = 13, /* 137 s in slots of a tick */
    WHEEL_RING = 1 << WHEEL_RING_BITS,
    WHEEL_BITS = 6,
    WHEEL_SLOTS = 1 << WHEEL_BITS,
    WHEEL_LEVELS = 6, /* of slots twice as long as half of what lies below: all 40 bits of a tick */
    WHEEL_ALL = WHEEL_RING + WHEEL_LEVELS * WHEEL_SLOTS,
    WHEEL_OUT = 0xffff,
    WHEEL_DUE = 0xfffe
};
struct wheel_due {
    uint64_t deadline_ns;
    uint32_t serial, index;
};
struct wheel {
    uint32_t head[WHEEL_ALL];                   /* the ring's slots, then each level's */
    uint64_t busy[WHEEL_ALL / 64];              /* a bit a slot that is not empty */
    uint32_t count[WHEEL_LEVELS * WHEEL_SLOTS]; /* flows in a level's slot */
    uint64_t tick;                              /* all before and in this tick is in the heap */
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
enum { COPIES_BUCKETS = 1 << 14, COPIES_WAYS = 7 };
struct copies {
    struct copies_bucket {
        /* Of a signature, beside the bucket's number. */
        _Alignas(64) uint32_t tag[COPIES_WAYS];
        uint32_t tick[COPIES_WAYS]; /* when it was seen */
        uint8_t hops[COPIES_WAYS];
        uint8_t next; /* the oldest: to be overwritten */
    } bucket[COPIES_BUCKETS];
    void *memory; /* as it was allocated */
};
static_assert(sizeof(struct copies_bucket) == 64, "a segment touches one line");
struct copies *copies_new(void); /* NULL when memory is short */
void copies_free(struct copies *c);
uint64_t copies_signature(const struct segment *s, const struct flow_key *k);
void copies_note(struct copies *c, const struct segment *s, uint64_t signature);
bool copies_is_copy(struct copies *c, const struct segment *s, uint64_t signature);

/* ---- clock.c: capture time, by the packets' stamps alone ---- */
struct clock {
    uint64_t now_ns; /* 0: before the first packet */
    uint64_t leap_ns;
    unsigned leap_seen; /* witnesses in a row of a leap ahead */
};
/* What a stamp does to it: now_ns is the packet's time then. */
enum clock_step {
    CLOCK_GOES_ON,
    CLOCK_STANDS, /* it lies back */
    CLOCK_DOUBTS, /* it leaps ahead, and there are not enough witnesses */
    CLOCK_LEAPS   /* now there are */
};
enum clock_step clock_judge(struct clock *c, uint64_t ts_ns);

/* What segments are told by that no connection has a say in. Another thread's, while it calls
 * flow_prepare: in lines of its own. */
struct front {
    _Alignas(64) struct clock clock;
    struct copies *copies;
};

/* ---- roles.c: who is the client ---- */
enum role_score {
    ROLE_SYN = 255,
    ROLE_SYN_ACK = 224,
    ROLE_CONFIGURED = 192,
    ROLE_LISTENER = 160,
    ROLE_KNOWN_PORT = 96, /* one port stands in the services database */
    ROLE_LOWER_PORT =
        64, /* below 32768, where no system takes its clients' ports, and the other is not */
    ROLE_FIRST = 32 /* the sender of the first segment */
};

struct roles { /* servers learned by their SYN-ACKs; forgets the oldest of a bucket */
    uint64_t listener[4096][2];
};
void roles_begin(struct flow_tracker *t, struct body *b, const struct segment *s, unsigned from);
/* Better evidence in a SYN or SYN-ACK: true when client and server change places. */
bool roles_improve(struct flow_tracker *t, struct body *b, const struct segment *s, unsigned from);

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
/* Round trips of the handshake, as far as they are known; `retried`: of repeated segments. */
struct emit_handshake {
    uint64_t server_ns, client_ns;
    bool retried;
};
void emit_transition(struct flow_tracker *t, struct flow *f, uint64_t ts_ns, unsigned by,
                     const struct tcp_step *step, const struct emit_handshake *handshake);
/* `by`: the side whose segment it was; FLOW_NOBODY of a timer. */
void emit_step(struct flow_tracker *t, struct body *b, uint64_t ts_ns, unsigned by,
               const struct tcp_step *step);

/* The states of a moment, by side: of now, or remembered while time runs on. */
struct moment {
    uint64_t since_ns[2];
    uint8_t state[2];
};
void moment_take(const struct body *b, struct moment *m);
void emit_roles(struct flow_tracker *t, struct body *b, uint64_t ts_ns, const struct moment *m);
void emit_connection(struct flow_tracker *t, const struct body *b, uint64_t ts_ns,
                     enum event_end end, const struct moment *m, event_sink *sink, void *context);
void emit_identity(const struct flow_tracker *t, const struct flow *f, struct event_flow *id);
enum event_end emit_end_of(const struct body *b);

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
void signal_take_before(const struct body *b, unsigned from, struct signal_before *before);
void signal_after(struct flow_tracker *t, struct body *b, unsigned from, const struct segment *s,
                  const struct tcp_verdict *v, const struct signal_before *before);
/* Something for a connection that a RST of this sender has ended. */
void signal_after_reset(struct flow_tracker *t, struct body *b, unsigned from,
                        const struct segment *s);
void signal_stray(struct flow_tracker *t, const struct segment *s);
void signal_reply(struct flow_tracker *t, struct flow *f, const struct tcp_endpoint end[2],
                  const struct segment *s);
/* Both ends are over, or one is not any more. */
void signal_over(struct flow_tracker *t, struct body *b, uint64_t ts_ns);
void signal_over_lean(struct flow_tracker *t, struct flow *f, struct lean *l, uint64_t ts_ns);
void signal_fresh(const struct body *b, struct event_fresh *fresh);
void signal_fresh_told(struct body *b);
bool signal_is_told(const struct pool *p, const struct flow *f); /* no packet since that */
uint64_t signal_zero_since(const struct body *b, unsigned side, uint64_t now_ns); /* 0: open */

/* ---- tracker.c ---- */
enum { LEAP_WITNESSES = 3 }; /* design 1.3: a leap is believed at the third in a row that agrees */

struct flow_tracker {
    struct flow_config config;
    event_sink *sink;
    void *context;
    struct pool pool;
    struct table table;
    struct wheel wheel;
    struct front *front;
    struct roles *roles;
    struct closes closes;
    struct flow_counters counters;
    uint64_t passed[EVENT_IFACES];  /* packets, by interface */
    struct tcp_timers timers;       /* for all hosts */
    struct tcp_timers *host_timers; /* config.hosts, converted */
    uint64_t laden_from, gaps; /* lately: counters.laden beyond it, and what did not pass the tap
                                  (halved now and then) */
    struct signal_budget budget;
    uint64_t now_ns;
    uint64_t check_ns; /* no timer that a segment sets runs out earlier than this after it */
    uint32_t serial;
    unsigned leap_seen;                 /* the packet is such a witness of a leap in doubt; or 0 */
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

static inline uint64_t flow_last_ns(const struct flow *f) {
    return f->form == FORM_SYN ? f->first_ns : f->last_ns;
}

static inline unsigned flow_client(const struct flow *f) {
    return (f->flags & FLOW_CLIENT_1) != 0;
}

/* Octets of the client ask, octets of the server reply: the first of them gives a sample. */
static inline void signal_asking(struct flow_tracker *t, struct flow *f,
                                 const struct tcp_endpoint end[2], const struct segment *s,
                                 unsigned from) {
    uint32_t laden = s->payload > 0, client = from == flow_client(f);
    uint32_t asked = f->flags / FLOW_ASKED & 1;
    if ((laden & ~client & asked) != 0)
        signal_reply(t, f, end, s);
    f->flags |= (laden & client) * FLOW_ASKED;
}

/* The tap is taken to lose packets when at least GAPS_TELL holes and more than one segment in
 * GAPS_RATIO are missing. */
enum { GAPS_TELL = 3, GAPS_RATIO = 500 };
static inline bool flow_tap_loses(const struct flow_tracker *t) {
    return t->gaps >= GAPS_TELL && t->gaps * GAPS_RATIO > flow_laden_lately(t);
}

/* tracker.c: one segment that is not a copy, for how much of what was sent the tap misses */
void flow_note_quality(struct flow_tracker *t, bool payload, bool gap);

/* clock.c: the packet that clock_judge has judged comes to the tracker, at clock.now_ns of then;
 * timers before it run out. `witness`: of a leap in doubt, its leap_seen; else 0. */
void clock_take(struct flow_tracker *t, uint64_t ts_ns, enum clock_step step, unsigned witness);
void clock_run_timers(struct flow_tracker *t, uint64_t until_ns);

/* keys.c */
uint32_t flow_hash(const struct flow_tracker *t, const struct flow *f); /* of its key */
void flow_addr(const struct flow_tracker *t, const struct flow *f, unsigned side,
               struct base_addr *a);

/* timers.c */
void timers_convert(const struct flow_timers *in, struct tcp_timers *out);
uint64_t timers_least_ns(const struct flow_tracker *t); /* for check_ns */
void rules_of_hosts(const struct flow_tracker *t, const struct flow *f, struct tcp_rules *rules);
static inline void rules_of(const struct flow_tracker *t, const struct flow *f,
                            struct tcp_rules *rules) {
    *rules = (struct tcp_rules){{&t->timers, &t->timers}, .tap_loses = flow_tap_loses(t)};
    if (t->config.host_count > 0)
        rules_of_hosts(t, f, rules);
}

/* usual.c: the short way of handshakes and closes */
/* A first SYN as nearly all are. */
bool usual_is_syn(const struct flow_tracker *t, const struct segment *s);
/* The flow that it begins: known, told, FORM_SYN. FLOW_NONE: memory is short. */
uint32_t usual_begin(struct flow_tracker *t, const struct flow_key *k, const struct segment *s);
/* The segment that is to come next: taken. False: not such a one, nothing was changed. */
bool usual_step(struct flow_tracker *t, uint32_t index, const struct segment *s, unsigned from);

/* verify.c: what the long way makes of a segment */
struct long_way {
    struct body body; /* settled */
    struct tcp_verdict v;
};
/* Of a first segment; its body before it otherwise is form_view's. */
void verify_begin(struct flow_tracker *t, struct flow *f, const struct segment *s, unsigned from,
                  struct long_way *w);
void verify_step(struct flow_tracker *t, const struct segment *s, unsigned from,
                 struct long_way *w);
/* Is it the same that the flow now holds, and v? */
bool verify_same(const struct flow_tracker *t, struct flow *f, const struct tcp_verdict *v,
                 const struct long_way *w);

/* evict.c: make room when max_flows is reached */
void evict_one(struct flow_tracker *t);
void evict_flow(struct flow_tracker *t, uint32_t index); /* this one, as one that had to go */

/* life.c: begins, deadlines, ends */
enum { FLOW_TOMBSTONE_S = 5 }; /* a finished connection absorbs what comes late */
/* A first look at a connection's timers: just below the first deadline of a handshake or close. */
enum { FLOW_CHECK_MS = 1100 };
/* An entry for a key, in the pool and in the table, evicting another where there are max_flows:
 * without a body, or FORM_FULL with nothing in it yet. FLOW_NONE when memory is short. */
uint32_t flow_enter(struct flow_tracker *t, const struct flow_key *k);
uint32_t flow_enter_full(struct flow_tracker *t, const struct flow_key *k);
/* A new flow for the key of its first segment; FLOW_NONE when memory is short. */
uint32_t flow_make(struct flow_tracker *t, const struct flow_key *k, const struct segment *s);
/* Another connection in an entry that held one of the same key. */
void flow_begin(struct flow_tracker *t, struct body *b, const struct segment *s, unsigned from);
/* The same of the head alone. */
void flow_begin_head(struct flow_tracker *t, struct flow *f, const struct segment *s);
/* The first step makes the connection known. */
void flow_announce(struct flow_tracker *t, struct flow *f);
/* Earlier than the wheel knows: set it anew. Later: the wheel will find out. */
void flow_look_at(struct flow_tracker *t, uint32_t index, uint64_t due_ns);
/* When the flow wants to be looked at next. */
uint64_t flow_due_ns(const struct body *b);
/* Work on its body is done: the wheel is told, and the body, if in place, takes its smallest form.
 */
void flow_rest(struct flow_tracker *t, uint32_t index, const struct body *b);
/* Forget a flow altogether. */
void flow_forget(struct flow_tracker *t, uint32_t index);
/* After a verdict on what side `from` did: tell the steps, and the connection when it is over. */
void flow_settle(struct flow_tracker *t, struct body *b, uint64_t ts_ns, unsigned from,
                 const struct tcp_verdict *v);

#endif
