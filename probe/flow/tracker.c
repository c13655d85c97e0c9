/*
 * tracker: batches of segments in, events out.
 *
 * A batch passes four times: keys and hashes are made and the table's buckets fetched; copies are
 * told; the likely flows' heads are fetched; then each segment is stepped in order, while the body
 * of one that comes later is fetched. By then its lines have arrived, so that a table far larger
 * than the cache costs little more than a small one.
 */
#include "tracker.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEFAULT_MAX_FLOWS = 8 << 20,
    QUALITY_SEGMENTS = 1 << 17,
    CACHED_FLOWS = 2048 /* so few stay in a core's cache anyway */
};

static void front_free(struct front *f) {
    if (f == NULL)
        return;
    copies_free(f->copies);
    free(f);
}

static struct front *front_new(void) {
    struct front *f = aligned_alloc(_Alignof(struct front), sizeof *f);
    if (f == NULL)
        return NULL;
    *f = (struct front){.copies = copies_new()};
    if (f->copies != NULL)
        return f;
    free(f);
    return NULL;
}

struct flow_tracker *flow_new(const struct flow_config *config, event_sink *sink, void *context) {
    struct flow_tracker *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->config = *config;
    if (t->config.max_flows == 0)
        t->config.max_flows = DEFAULT_MAX_FLOWS;
    t->sink = sink;
    t->context = context;
    t->evict_seed = 1;
    t->picture.next_ns = BASE_NEVER_NS; /* until the first packet */
    timers_convert(&config->timers, &t->timers);
    t->front = front_new();
    t->roles = calloc(1, sizeof *t->roles);
    t->host_timers = calloc(config->host_count + 1, sizeof *t->host_timers);
    int room = pool_init(&t->pool, t->config.max_flows, config->huge_pages);
    wheel_init(&t->wheel, &t->pool);
    if (room != 0 || !t->front || !t->roles || !t->host_timers ||
        table_init(&t->table, &t->pool) != 0) {
        flow_free(t);
        return NULL;
    }
    for (size_t i = 0; i < config->host_count; i++)
        timers_convert(&config->hosts[i].timers, &t->host_timers[i]);
    t->check_ns = timers_least_ns(t);
    return t;
}

void flow_free(struct flow_tracker *t) {
    if (t == NULL)
        return;
    wheel_fini(&t->wheel);
    table_fini(&t->table);
    pool_fini(&t->pool);
    free(t->host_timers);
    front_free(t->front);
    free(t->roles);
    free(t);
}

static bool zeek_gap(const struct body *b, unsigned from, const struct segment *s) {
    const struct tcp_endpoint *peer = &b->tcp.end[!from];
    if (!(s->flags & SEGMENT_ACK) || !(peer->flags & TCP_SEEN))
        return false;
    uint32_t seen = tcp_contiguous(&b->tcp, !from);
    uint32_t ack = s->ack;
    if ((peer->flags & TCP_FIN_SENT) && tcp_before(b->tcp.detail[!from].fin - 1, ack))
        ack = b->tcp.detail[!from].fin - 1;
    return tcp_before(seen, ack);
}

/* What Zeek's view wants to know of a segment; asked before the state machine takes it. */
static struct zeek_segment view_of(const struct body *b, unsigned from, const struct segment *s) {
    const struct tcp_endpoint *me = &b->tcp.end[from];
    uint32_t end =
        s->seq + s->payload + ((s->flags & SEGMENT_FIN) != 0) + ((s->flags & SEGMENT_SYN) != 0);
    return (struct zeek_segment){.seq = s->seq,
                                 .payload = s->payload,
                                 .window = s->window,
                                 .flags = s->flags,
                                 .late = s->payload > 0 && (me->flags & TCP_SEEN) &&
                                         !tcp_before(me->nxt, end),
                                 .gap = zeek_gap(b, from, s)};
}

/* How much of what was sent the tap misses, over the last hundred thousand segments or so. */
void flow_note_quality(struct flow_tracker *t, bool payload, bool gap) {
    t->gaps += gap;
    t->counters.gaps += gap;
    t->counters.laden += payload;
    if (flow_laden_lately(t) >= QUALITY_SEGMENTS) {
        t->laden_from = t->counters.laden - QUALITY_SEGMENTS / 2;
        t->gaps /= 2;
    }
}

static void measure(struct flow_tracker *t, struct body *b, unsigned from,
                    const struct tcp_verdict *v) {
    b->faults.retransmits[from] += (v->facts & TCP_FACT_RETRANSMISSION) != 0;
    b->faults.out_of_order[from] += (v->facts & TCP_FACT_OUT_OF_ORDER) != 0;
    b->faults.dup_acks[from] += (v->facts & TCP_FACT_DUP_ACK) != 0;
    b->faults.zero_windows[from] += (v->facts & TCP_FACT_ZERO_WINDOW) != 0;
    t->counters.stray += (v->facts & TCP_FACT_STRAY) != 0;
    b->faults.missed_bytes += v->missed;
    t->counters.missed_bytes += v->missed;
}

/* SYN to SYN-ACK, or SYN-ACK to the ACK that completes it, were this segment that answer; 0 if it
 * cannot be. Asked before the state machine takes it. */
static uint64_t handshake_rtt(const struct body *b, unsigned from, const struct segment *s) {
    unsigned awaits = s->flags & SEGMENT_SYN ? TCP_SYN_SENT : TCP_SYN_RECEIVED;
    uint64_t tried_ns = b->tcp.detail[!from].tried_ns;
    bool answer = (s->flags & SEGMENT_ACK) && !(s->flags & SEGMENT_RST);
    return answer && b->tcp.end[!from].state == awaits && tried_ns != 0 ? s->ts_ns - tried_ns : 0;
}

static void note_handshake(struct body *b, const struct segment *s, uint64_t rtt_ns) {
    uint64_t *rtt = s->flags & SEGMENT_SYN ? &b->handshake_server_ns : &b->handshake_client_ns;
    if (*rtt == 0 && !(b->flow->flags & FLOW_RESTORED))
        *rtt = rtt_ns;
}

/* A segment for a connection that is over: late, or the begin of another. */
static bool begins_anew(const struct flow_tracker *t, const struct body *b, const struct segment *s,
                        unsigned from) {
    if (s->flags & SEGMENT_RST)
        return false;
    if (s->flags & SEGMENT_SYN)
        return !(s->flags & SEGMENT_ACK);
    return !tcp_is_late(&b->tcp, from, s) &&
           t->now_ns - b->flow->last_ns < FLOW_TOMBSTONE_S * BASE_NS_PER_S;
}

/* The first segments of a new connection in an entry that held another. */
static void replay(struct flow_tracker *t, struct body *b, const struct segment *s, unsigned from,
                   const struct tcp_rules *rules, struct tcp_verdict *v) {
    struct zeek_segment z = view_of(b, from, s);
    if (s->flags & SEGMENT_SYN)
        roles_improve(t, b, s, from);
    tcp_segment(&b->tcp, from, s, rules, v);
    zeek_take(&b->zeek, (int)from, &z);
}

/* The SYN of another connection on this tuple, or the SYN-ACK that confirms one: end the old, begin
 * the new. The SYN that is confirmed has passed before, when it could still have been forged; it
 * counts from now. */
static void begin_another(struct flow_tracker *t, struct body *b, const struct segment *s,
                          unsigned from, const struct tcp_rules *rules, struct tcp_verdict *v) {
    bool syn_ack = (s->flags & (SEGMENT_SYN | SEGMENT_ACK)) == (SEGMENT_SYN | SEGMENT_ACK);
    if (!(b->flow->flags & FLOW_FINISHED)) {
        tcp_end(&b->tcp, s->ts_ns, syn_ack ? TCP_CAUSE_SYN_ACK : TCP_CAUSE_SYN, TCP_PROVEN, v);
        flow_settle(t, b, s->ts_ns, from, v);
    }
    flow_begin(t, b, s, from);
    if (syn_ack) {
        struct segment syn = {.ts_ns = s->ts_ns, .seq = s->ack - 1, .flags = SEGMENT_SYN};
        replay(t, b, &syn, !from, rules, v);
        flow_settle(t, b, s->ts_ns, !from, v);
    }
    replay(t, b, s, from, rules, v);
}

/* FLOW_DATA_0 or FLOW_ACK_0, of the side that sent it. */
static uint32_t letter_of(const struct segment *s, unsigned from) {
    return (uint32_t)(s->payload > 0 ? FLOW_DATA_0 : FLOW_ACK_0) << from;
}

/* The short way: in order, nothing changes but the numbers. */
static bool step_in_order(struct flow_tracker *t, struct flow *f, const struct segment *s,
                          unsigned from) {
    struct tcp_endpoint *end = form_ends(&t->pool, f);
    uint32_t letter = letter_of(s, from);
    if (end == NULL || !tcp_in_order(end, from, s))
        return false;
    f->last_ns = s->ts_ns;
    t->counters.laden += s->payload > 0;
    signal_asking(t, f, end, s, from);
    if (!(f->flags & letter)) {
        zeek_take_usual(form_letters(&t->pool, f), (int)from, SEGMENT_ACK, s->payload > 0);
        f->flags |= letter;
    }
    return true;
}

/* The same off the short way: what was sent again is no measure (Karn). */
static void note_late_asking(struct flow_tracker *t, struct body *b, const struct segment *s,
                             unsigned from, const struct tcp_verdict *v) {
    if (v->facts & TCP_FACT_RETRANSMISSION)
        b->flow->flags &= ~(uint32_t)FLOW_ASKED;
    else if (!(v->facts & (TCP_FACT_STRAY | TCP_FACT_OUT_OF_ORDER | TCP_FACT_KEEPALIVE)))
        signal_asking(t, b->flow, b->tcp.end, s, from);
}

/* A segment of the connection that the flow holds; when it turns out to begin another, of that. */
static void take_live(struct flow_tracker *t, struct body *b, const struct segment *s,
                      unsigned from, const struct tcp_rules *rules, struct tcp_verdict *v) {
    struct moment before;
    struct signal_before odd;
    moment_take(b, &before);
    signal_take_before(b, from, &odd);
    uint64_t handshake_ns = handshake_rtt(b, from, s);
    struct zeek_segment z = view_of(b, from, s);
    tcp_segment(&b->tcp, from, s, rules, v);
    if (v->facts & TCP_FACT_NEW_SYN) {
        tcp_uncount(&b->tcp, from, s->payload > 0);
        begin_another(t, b, s, from, rules, v);
        return;
    }
    zeek_take(&b->zeek, (int)from, &z);
    if (v->steps > 0 && handshake_ns > 0)
        note_handshake(b, s, handshake_ns);
    if ((s->flags & SEGMENT_SYN) && !(v->facts & TCP_FACT_STRAY) && roles_improve(t, b, s, from) &&
        (b->flow->flags & FLOW_COUNTED))
        emit_roles(t, b, s->ts_ns, &before);
    signal_after(t, b, from, s, v, &odd);
    if (s->payload > 0)
        note_late_asking(t, b, s, from, v);
}

static void step(struct flow_tracker *t, uint32_t index, const struct segment *s, unsigned from) {
    struct flow *f = pool_at(&t->pool, index);
    struct tcp_rules rules;
    struct tcp_verdict v;
    rules_of(t, f, &rules);
    picture_before_change(t, f);
    struct body *b = form_open(t, index);
    if (b == NULL) {
        evict_flow(t, index);
        return;
    }
    if (!(f->flags & FLOW_FINISHED)) {
        take_live(t, b, s, from, &rules, &v);
    } else {
        if (f->flags & FLOW_RESET)
            signal_after_reset(t, b, from, s);
        if (!begins_anew(t, b, s, from)) {
            t->counters.stray++;
            return;
        }
        begin_another(t, b, s, from, &rules, &v);
    }
    f->last_ns = s->ts_ns;
    f->flags &= ~(uint32_t)FLOW_TOLD;
    if (!(f->flags & FLOW_COUNTED) && v.steps == 0)
        f->flags |= FLOW_TENTATIVE; /* nothing to tell yet, and perhaps never */
    measure(t, b, from, &v);
    flow_note_quality(t, s->payload > 0, (v.facts & TCP_FACT_GAP) != 0);
    for (unsigned i = 0; i < v.steps && rules.tap_loses; i++)
        closes_note(t, f, &v.step[i]);
    flow_settle(t, b, s->ts_ns, from, &v);
    flow_rest(t, index, b);
}

/* A segment of no known flow that cannot begin one: it makes no client (a lone RST, backscatter,
 * scans without ACK). */
static bool is_stray(const struct segment *s) {
    return (s->flags & SEGMENT_RST) || !(s->flags & (SEGMENT_SYN | SEGMENT_ACK)) ||
           (s->flags & (SEGMENT_SYN | SEGMENT_FIN)) == (SEGMENT_SYN | SEGMENT_FIN);
}

/* Where a segment's flow is likely to be: it was there when the batch began. */
struct likely {
    struct flow *flow; /* NULL: none */
    uint32_t index;
};

/* Whose segment it was that is a witness of a leap (clock.c). */
static void note_witness(struct flow_tracker *t, uint32_t index) {
    if (t->leap_seen > 0)
        t->leap_flow[t->leap_seen - 1] = index;
}

static bool step_short(struct flow_tracker *t, struct flow *f, uint32_t index,
                       const struct segment *s, unsigned from) {
    if (step_in_order(t, f, s, from))
        return true;
    if (!usual_step(t, index, s, from))
        return false;
    note_witness(t, index);
    return true;
}

/* struct flow_ready, inside: what is known of a segment before its connection is looked at. */
struct ready {
    _Alignas(struct flow_ready) struct flow_key key;
    uint8_t step;    /* enum clock_step */
    uint8_t witness; /* clock_take */
    bool copy;       /* one like it was seen just before */
};
static_assert(sizeof(struct ready) == sizeof(struct flow_ready), "arrays of both are the same");

static void take_segment(struct flow_tracker *t, const struct segment *s, const struct ready *r,
                         struct likely likely) {
    const struct flow_key *k = &r->key;
    struct flow *f = likely.flow;
    uint32_t index = likely.index;
    if (f == NULL || !flow_key_equal(f, &t->pool, k)) {
        index = table_find(&t->table, k);
        f = index != FLOW_NONE ? pool_at(&t->pool, index) : NULL;
    }
    t->counters.tcp++;
    if (f != NULL && step_short(t, f, index, s, k->from))
        return; /* it says something new: whatever it resembles, it is no copy */
    if (r->copy) {
        t->counters.duplicates++;
        return;
    }
    if (index == FLOW_NONE && t->unsure > 0)
        index = restore_adopt(t, s, k);
    if (index == FLOW_NONE) {
        if (is_stray(s)) {
            t->counters.stray++;
            if (!(s->flags & (SEGMENT_SYN | SEGMENT_ACK | SEGMENT_RST)))
                signal_stray(t, s);
            return;
        }
        bool usual = usual_is_syn(t, s);
        index = usual ? usual_begin(t, k, s) : flow_make(t, k, s);
        if (index == FLOW_NONE)
            t->counters.flows_evicted++; /* no memory for it: as if evicted at once */
        else if (!usual)
            step(t, index, s, k->from);
    } else {
        step(t, index, s, k->from);
    }
    note_witness(t, index);
}

static void take_icmp(struct flow_tracker *t, const struct segment *s, const struct flow_key *k) {
    struct tcp_verdict v;
    uint32_t index = table_find(&t->table, k);
    if (index == FLOW_NONE)
        return;
    struct flow *f = pool_at(&t->pool, index);
    picture_before_change(t, f);
    struct body *b = form_open(t, index);
    if (b == NULL)
        return;
    tcp_icmp(&b->tcp, k->from, s, &v);
    if (v.steps > 0)
        flow_settle(t, b, s->ts_ns, k->from, &v);
    flow_rest(t, index, b);
}

static inline void prepare(struct front *f, const struct table *table, const uint64_t seed[2],
                           struct segment *segment, const uint8_t *verdict, size_t n,
                           struct ready *r) {
    uint64_t signature[CAPTURE_BATCH];
    struct clock clock = f->clock;
    assert(n <= CAPTURE_BATCH);
    for (size_t i = 0; i < n; i++) {
        if (verdict[i] != DECODE_TCP && verdict[i] != DECODE_ICMP)
            continue;
        flow_key_make(seed, &segment[i], &r[i].key);
        if (table != NULL)
            table_prefetch(table, r[i].key.hash);
        if (verdict[i] != DECODE_TCP)
            continue;
        signature[i] = copies_signature(&segment[i], &r[i].key);
        __builtin_prefetch(&f->copies->bucket[signature[i] % COPIES_BUCKETS], 1);
    }
    for (size_t i = 0; i < n; i++) {
        r[i].step = (uint8_t)clock_judge(&clock, segment[i].ts_ns);
        r[i].witness = (uint8_t)clock.leap_seen;
        segment[i].ts_ns = clock.now_ns;
        r[i].copy =
            verdict[i] == DECODE_TCP && copies_is_copy(f->copies, &segment[i], signature[i]);
    }
    f->clock = clock;
}

/* Where each segment's flow is likely to be; its head is fetched. */
static inline void find_likely(const struct flow_tracker *t, const uint8_t *verdict,
                               const struct ready *r, struct likely *likely, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t index =
            verdict[i] == DECODE_TCP ? table_guess(&t->table, r[i].key.hash) : FLOW_NONE;
        struct flow *f = index != FLOW_NONE ? pool_at(&t->pool, index) : NULL;
        likely[i] = (struct likely){.flow = f, .index = index};
        __builtin_prefetch(f, 1);
    }
}

__attribute__((always_inline)) static inline void fetch_body(const struct flow_tracker *t,
                                                             const struct likely *l) {
    if (l->flow != NULL)
        form_fetch_body(&t->pool, l->flow);
}

static inline void take_batch(struct flow_tracker *t, const struct segment *segment,
                              const uint8_t *verdict, const struct ready *r, size_t n) {
    size_t ahead = t->pool.flow.used > CACHED_FLOWS ? 16 : n;
    struct likely likely[CAPTURE_BATCH];
    assert(n <= CAPTURE_BATCH);
    find_likely(t, verdict, r, likely, n);
    for (size_t i = 0; i < ahead && ahead < n; i++)
        fetch_body(t, &likely[i]);
    for (size_t i = 0; i < n; i++) {
        if (i + ahead < n)
            fetch_body(t, &likely[i + ahead]);
        clock_take(t, segment[i].ts_ns, r[i].step, r[i].witness);
        t->passed[segment[i].iface % EVENT_IFACES]++; /* only now: a picture is of before it */
        if (verdict[i] == DECODE_TCP)
            take_segment(t, &segment[i], &r[i], likely[i]);
        else if (verdict[i] == DECODE_ICMP)
            take_icmp(t, &segment[i], &r[i].key);
    }
}

void flow_prepare(struct flow_tracker *t, struct segment *segment, const uint8_t *verdict, size_t n,
                  struct flow_ready *ready) {
    prepare(t->front, NULL, t->config.hash_seed, segment, verdict, n,
            (struct ready *)(void *)ready);
}

void flow_batch_ready(struct flow_tracker *t, const struct segment *segment, const uint8_t *verdict,
                      const struct flow_ready *ready, size_t n) {
    const struct ready *r = (const struct ready *)(const void *)ready;
    for (size_t i = 0; i < n; i++) /* another thread has made the keys, for another core's cache */
        if (verdict[i] == DECODE_TCP)
            table_prefetch(&t->table, r[i].key.hash);
    take_batch(t, segment, verdict, r, n);
}

void flow_batch(struct flow_tracker *t, struct segment *segment, const uint8_t *verdict, size_t n) {
    struct ready r[CAPTURE_BATCH];
    prepare(t->front, &t->table, t->config.hash_seed, segment, verdict, n, r);
    take_batch(t, segment, verdict, r, n);
}

uint64_t flow_now(const struct flow_tracker *t) {
    return t->now_ns;
}

const struct flow_counters *flow_counters(const struct flow_tracker *t) {
    return &t->counters;
}

uint64_t flow_memory(const struct flow_tracker *t) {
    return pool_memory(&t->pool) + table_memory(&t->table) +
           t->wheel.heap_room * sizeof *t->wheel.heap + sizeof *t + sizeof *t->front +
           sizeof *t->front->copies + sizeof *t->roles;
}
