/*
 * flow: which connection a segment belongs to, and all that is known of it.
 *
 * Input: segments in capture order and the capture's clock. Output: events (event.h) in the order
 * of the contract. Owner: one thread (a worker) owns a tracker; nothing here locks, waits, formats,
 * or allocates a packet.
 */
#ifndef SPANWATCH_FLOW_H
#define SPANWATCH_FLOW_H

#include "spanwatch/decode.h"
#include "spanwatch/event.h"

/* The hosts' timers, by the names of the Linux settings (ip-sysctl); seconds where the unit is not
 * in the name. */
struct flow_timers {
    uint32_t tcp_fin_timeout;         /* 60 */
    uint32_t tcp_syn_retries;         /* 6 */
    uint32_t tcp_syn_linear_timeouts; /* 4 */
    uint32_t tcp_synack_retries;      /* 5 */
    uint32_t tcp_retries2;            /* 15 */
    uint32_t tcp_orphan_retries;      /* 0, which Linux takes as 8 */
    uint32_t tcp_rto_max_ms;          /* 120000 */
    uint32_t tcp_keepalive_time;      /* 7200 */
    uint32_t tcp_keepalive_intvl;     /* 75 */
    uint32_t tcp_keepalive_probes;    /* 9 */
    uint32_t time_wait;               /* 61: Linux's 60, and its timer wheel */
};

/* Timers of some hosts only; the longest matching prefix wins, whole set at once. */
struct flow_host_timers {
    struct base_addr address;
    unsigned prefix_length;
    struct flow_timers timers;
};

/* Asked once a new connection: is this endpoint a configured service (or at least a known port)? */
enum flow_service_evidence { FLOW_SERVICE_NONE, FLOW_SERVICE_PORT_KNOWN, FLOW_SERVICE_CONFIGURED };
typedef enum flow_service_evidence flow_service_lookup(void *context, const struct base_addr *a,
                                                       uint16_t port, uint32_t scope);

struct flow_config {
    struct flow_timers timers;
    const struct flow_host_timers *hosts; /* borrowed; sorted by longest prefix first */
    size_t host_count;
    uint32_t max_flows;    /* cap on flows held; 0 means the default of 8 million */
    uint64_t hash_seed[2]; /* secret; shows in no output */
    /* Pictures (event.h) at each multiple of these; 0: none. A silence of more than an hour, as
     * between the files of two days, has them for its first half hour, and one at its end. */
    uint64_t snapshot_ns, window_ns;
    bool picture_at_once; /* a picture is given whole at its time (`read`); else by and by, at the
                             pace of flow_picture_go_on */
    bool huge_pages;      /* for the flows: faster where they are many, but now and then a packet
                             waits for one to be cleared: for `read` */
    flow_service_lookup *service;
    void *service_context;
};

/* The defaults of Linux. */
struct flow_timers flow_timers_default(void);

struct flow_counters {
    uint64_t packets; /* that moved the clock: of every verdict */
    uint64_t tcp, duplicates, reordered, time_jumps, stray, missed_bytes;
    uint64_t flows_open, flows_total, flows_evicted, transitions, connections;
    uint64_t laden, gaps; /* segments with payload; acknowledgements of what was not seen */
};

struct flow_tracker;

/* NULL when memory is short. `sink` gets every event. */
struct flow_tracker *flow_new(const struct flow_config *config, event_sink *sink, void *context);
void flow_free(struct flow_tracker *t);

/*
 * A batch of decoded packets, in capture order. verdict[i] says whether segment[i] is DECODE_TCP,
 * DECODE_ICMP or not to be looked at; ts_ns of every one moves the clock (design 1.3: only forward;
 * leaps need a third witness). Timers that run out before a packet fire before it. What belongs to
 * a batch is prefetched together. ts_ns of each segment is set to the tracker's time of it.
 */
void flow_batch(struct flow_tracker *t, struct segment *segment, const uint8_t *verdict, size_t n);

/*
 * flow_batch in two steps, the first of which may be another thread's, which may be ahead: what
 * can be told of segments by themselves, and by those before them, whatever connections they are
 * of. flow_prepare sets ts_ns, at most CAPTURE_BATCH at a time; flow_batch_ready takes segments in
 * the order of their preparing. All other functions only when there are none between the two.
 */
struct flow_ready {
    uint64_t word[8]; /* the tracker's own */
};
void flow_prepare(struct flow_tracker *t, struct segment *segment, const uint8_t *verdict, size_t n,
                  struct flow_ready *ready);
void flow_batch_ready(struct flow_tracker *t, const struct segment *segment, const uint8_t *verdict,
                      const struct flow_ready *ready, size_t n);

/* Let capture time reach `now_ns` (an idle tick; or T of `--at`), or begin with it: timers up to
 * and including it fire. */
void flow_advance(struct flow_tracker *t, uint64_t now_ns);

/*
 * Would a packet stamped ts_ns, were it next, be taken at that time? False: it would be given the
 * current time, as its leap is not believed yet (design 1.3). When it makes a leap believed, what
 * the leap's first packets began counts from behind the leap at once: so time can then be ended by
 * flow_advance at a moment inside it, with the timers as flow_batch would find them.
 */
bool flow_foresee(struct flow_tracker *t, uint64_t ts_ns);

/* The tracker's clock: 0 before the first packet. */
uint64_t flow_now(const struct flow_tracker *t);

/*
 * Go on with the picture that is being made: at most `room` members now, and no more than the pace
 * asks for (a second or two for a whole picture). To be called between batches; costs nothing when
 * none is made. A connection that changes first is given before it does, as it was. True while
 * there is more to give.
 */
bool flow_picture_go_on(struct flow_tracker *t, size_t room);

/* Every connection that is not CLOSED/CLOSED, as EVENT_CONNECTION, ordered by start, then
 * in the order of first packets. */
void flow_each_open(struct flow_tracker *t, event_sink *sink, void *context);

/*
 * The end of a capture: remember what is open (as flow_each_open tells) at the clock's time, let
 * time run on for linger_ns in which timers give transitions only, then give the remembered
 * connections to the sink.
 */
void flow_finish(struct flow_tracker *t, uint64_t linger_ns);

/*
 * A checkpoint: all flows, to go on from after a restart. Saved through `write`, loaded through
 * `read` by the same build of the program (flow_checkpoint_layout tells builds apart; the caller
 * keeps it, and a checksum, beside the data). Scopes are the decoder's, and flows may be spread
 * over other trackers now: `place` is told the ends of a flow, gives its tracker (one of the `n`),
 * and turns the saved id of its scope into what it is there. Each returns 0, or -1 when write or
 * read failed, or memory was short: a tracker that was half loaded is of no use. Load into new
 * trackers; their clock then is the saved one's, unless it has begun, and deadlines that have
 * passed since run out with the next flow_advance, at their own time. A flow that is there already,
 * of another tracker's checkpoint, stays as it is.
 */
typedef bool flow_write(void *context, const void *data, size_t n);
typedef bool flow_read(void *context, void *data, size_t n);
typedef struct flow_tracker *flow_place(void *context, uint8_t family, const uint8_t *a,
                                        const uint8_t *b, uint32_t *scope);
int flow_save(const struct flow_tracker *t, flow_write *write, void *context);
int flow_load(struct flow_tracker *const *t, size_t n, flow_read *read, flow_place *place,
              void *context);
uint64_t flow_checkpoint_layout(void);

/* Of a tracker with flows of an earlier run: let capture time reach now_ns, without pictures of the
 * time in which nobody watched. */
void flow_resume(struct flow_tracker *t, uint64_t now_ns);

/*
 * A connection that the store knows from an earlier run (after a crash): its states, since when,
 * and the `flow` it bears. Its scope is not known: the first segment of its endpoints, in whatever
 * VLAN or tunnel, gives it. To be called after flow_advance has begun the clock with the last time
 * that the store knows, and before the first packet. -1 when memory is short or the table is full,
 * or when its endpoints have a flow already.
 */
struct flow_restored {
    struct event_flow flow; /* scope, ordinal: 0; id: not 0; first_ns: of its first known moment */
    uint64_t since_ns[2];
    uint8_t state[2]; /* not both CLOSED */
    uint8_t role_score, inferred;
};
int flow_restore(struct flow_tracker *t, const struct flow_restored *r);

const struct flow_counters *flow_counters(const struct flow_tracker *t);

/* Octets held by the table, the flows and the timers. */
uint64_t flow_memory(const struct flow_tracker *t);

#endif
