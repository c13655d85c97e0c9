/*
 * tracker: the parts of the flow room, private to it.
 *
 *   segments -> [front] -> [table] find or make a flow -> [usual] or tcp_segment -> [emit] events
 *                              |                               |
 *                      [pool] [forms] entries          [wheel] deadlines -> tcp_timeout -> [emit]
 */
#ifndef SPANWATCH_FLOW_TRACKER_H
#define SPANWATCH_FLOW_TRACKER_H

#include "front.h"
#include "pool.h"
#include "table.h"
#include "wheel.h"

/* Each short way is held against the long one, each fold against its unfolding. */
#ifdef SPANWATCH_VERIFY
enum { FLOW_VERIFY = true };
#else
enum { FLOW_VERIFY = false };
#endif

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
    const struct event_fresh *over; /* it ends with this step: what passed, for alarms; or NULL */
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
/* The same where a step tells it (emit_handshake). False: nobody asks. */
bool signal_over_lean(struct flow_tracker *t, struct flow *f, struct lean *l,
                      struct event_fresh *fresh);
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
