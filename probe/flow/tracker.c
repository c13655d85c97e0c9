/*
 * tracker: batches of segments in, events out; the clock, and the life of a flow.
 *
 * A batch passes three times: keys and hashes are made and the table's lines fetched; the likely flows are fetched; then each
 * segment is stepped in order. By then its lines have arrived, so that a table far larger than the cache costs little more than a
 * small one.
 */
#include "tracker.h"

#include <stdlib.h>
#include <string.h>

enum {
    TOMBSTONE_S = 5,  /* a finished connection absorbs what comes late */
    CHECK_MS = 1100,  /* just below the first deadline of a handshake */
    TENTATIVE_S = 60, /* a bare ACK waits so long for a second witness */
    DEFAULT_MAX_FLOWS = 8 << 20,
    QUALITY_SEGMENTS = 1 << 17,
    HOT_OCTETS = 128
};

#define LEAP_NS (3600 * BASE_NS_PER_S) /* design 1.3 */

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
    timers_convert(&config->timers, &t->timers);
    t->copies = calloc(1, sizeof *t->copies);
    t->roles = calloc(1, sizeof *t->roles);
    t->host_timers = calloc(config->host_count + 1, sizeof *t->host_timers);
    wheel_init(&t->wheel, &t->pool);
    if (!t->copies || !t->roles || !t->host_timers || table_init(&t->table, &t->pool, &t->pool6) != 0) {
        flow_free(t);
        return NULL;
    }
    for (size_t i = 0; i < config->host_count; i++)
        timers_convert(&config->hosts[i].timers, &t->host_timers[i]);
    return t;
}

void flow_free(struct flow_tracker *t) {
    if (t == NULL)
        return;
    wheel_fini(&t->wheel);
    table_fini(&t->table);
    pool_free(&t->pool);
    pool6_free(&t->pool6);
    free(t->host_timers);
    free(t->copies);
    free(t->roles);
    free(t);
}

/* ---- the life of a flow ---- */

void flow_forget(struct flow_tracker *t, uint32_t index) {
    struct flow *f = pool_at(&t->pool, index);
    wheel_remove(&t->wheel, index);
    table_erase(&t->table, f->hash, index);
    if (f->flags & FLOW_IPV6)
        pool6_give(&t->pool6, f->addr[0]);
    if (f->flags & FLOW_COUNTED)
        t->counters.flows_open--;
    pool_give(&t->pool, index);
}

/* When the flow wants to be looked at next. */
static uint64_t due_ns(const struct flow *f) {
    uint64_t a = f->tcp.detail[0].due_ns, b = f->tcp.detail[1].due_ns;
    if (f->flags & FLOW_FINISHED) /* at once, where it has been silent for long (TIME_WAIT ran out) */
        return f->last_ns + TOMBSTONE_S * BASE_NS_PER_S;
    if (f->flags & FLOW_TENTATIVE)
        return f->last_ns + TENTATIVE_S * BASE_NS_PER_S;
    return a < b ? a : b;
}

/* Earlier than the wheel knows: set it anew. Later: the wheel will find out. The deadlines of a handshake and of a close overtake each other,
 * so the first look is taken after CHECK_MS: most short connections are in TIME_WAIT by then, and need only one more. */
static void arm(struct flow_tracker *t, uint32_t index) {
    struct flow *f = pool_at(&t->pool, index);
    uint64_t due = due_ns(f), check_ns = t->now_ns + CHECK_MS * BASE_NS_PER_MS;
    if (due >= f->deadline_ns)
        return;
    if (due > check_ns && f->deadline_ns == BASE_NEVER_NS && t->now_ns - f->first_ns < CHECK_MS * BASE_NS_PER_MS)
        due = check_ns;
    if (wheel_set(&t->wheel, index, due) != 0)
        f->deadline_ns = BASE_NEVER_NS;
}

static void begin(struct flow_tracker *t, struct flow *f, const struct segment *s, unsigned from) {
    uint64_t before_ns = f->first_ns;
    f->ordinal = before_ns == s->ts_ns && f->serial != 0 ? (uint8_t)(f->ordinal + 1) : 0;
    f->first_ns = f->last_ns = s->ts_ns;
    f->serial = ++t->serial;
    f->flags &= FLOW_USED | FLOW_IPV6;
    f->handshake_server_ns = f->handshake_client_ns = f->missed_bytes = 0;
    memset(f->retransmits, 0, sizeof f->retransmits);
    memset(f->out_of_order, 0, sizeof f->out_of_order);
    memset(f->dup_acks, 0, sizeof f->dup_acks);
    memset(f->zero_windows, 0, sizeof f->zero_windows);
    f->role_score = f->inferred = f->last_cause = 0;
    f->zeek = (struct zeek_view){0};
    tcp_init(&f->tcp, s->ts_ns);
    roles_begin(t, f, s, from);
}

static uint32_t make(struct flow_tracker *t, const struct flow_key *k, const struct segment *s) {
    if (t->pool.used >= t->config.max_flows)
        evict_one(t);
    uint32_t index = pool_take(&t->pool);
    if (index == FLOW_NONE)
        return FLOW_NONE;
    struct flow *f = pool_at(&t->pool, index);
    if (k->family == 4) {
        memcpy(f->addr, k->v4, sizeof f->addr);
    } else {
        f->addr[0] = pool6_take(&t->pool6);
        if (f->addr[0] == FLOW_NONE) {
            pool_give(&t->pool, index);
            return FLOW_NONE;
        }
        memcpy(pool6_at(&t->pool6, f->addr[0]), k->v6, sizeof k->v6);
        f->flags |= FLOW_IPV6;
    }
    memcpy(f->port, k->port, sizeof f->port);
    f->scope = k->scope;
    f->hash = k->hash;
    if (table_insert(&t->table, k->hash, index) != 0) {
        if (f->flags & FLOW_IPV6)
            pool6_give(&t->pool6, f->addr[0]);
        pool_give(&t->pool, index);
        return FLOW_NONE;
    }
    begin(t, f, s, k->from);
    return index;
}

/* The first step makes the connection known. */
static void announce(struct flow_tracker *t, struct flow *f) {
    if (f->flags & FLOW_COUNTED)
        return;
    f->flags |= FLOW_COUNTED;
    f->flags &= ~(uint32_t)FLOW_TENTATIVE;
    t->counters.flows_open++;
    t->counters.flows_total++;
}

/* How it ends. Refused is who was told so while opening; who takes back its own SYN was not. */
static void note_end(struct flow *f, const struct tcp_step *step, unsigned from) {
    f->last_cause = step->cause;
    if (step->cause == TCP_CAUSE_ICMP || (step->cause == TCP_CAUSE_RST && step->was[!from] == TCP_SYN_SENT))
        f->flags |= FLOW_REFUSED;
    else if (step->cause == TCP_CAUSE_RST)
        f->flags |= FLOW_RESET;
}

void flow_settle(struct flow_tracker *t, uint32_t index, uint64_t ts_ns, unsigned from, const struct tcp_verdict *v) {
    struct flow *f = pool_at(&t->pool, index);
    if (v->steps > 0)
        announce(t, f);
    for (unsigned i = 0; i < v->steps; i++) {
        note_end(f, &v->step[i], from);
        emit_step(t, f, ts_ns, &v->step[i]);
    }
    bool over = v->steps > 0 && f->tcp.end[0].state == TCP_CLOSED && f->tcp.end[1].state == TCP_CLOSED;
    if (over) {
        f->flags |= FLOW_FINISHED;
        f->flags &= ~(uint32_t)FLOW_COUNTED;
        t->counters.flows_open--;
        if (!t->at_end) {
            struct moment now;
            moment_take(f, &now);
            t->counters.connections++;
            emit_connection(t, f, ts_ns, emit_end_of(f), &now, t->sink, t->context);
        }
    }
}

/* ---- one segment ---- */

static bool zeek_gap(const struct flow *f, unsigned from, const struct segment *s) {
    const struct tcp_endpoint *peer = &f->tcp.end[!from];
    if (!(s->flags & SEGMENT_ACK) || !(peer->flags & TCP_SEEN))
        return false;
    uint32_t seen = peer->flags & TCP_HOLE ? peer->contiguous : peer->nxt;
    uint32_t ack = s->ack;
    if ((peer->flags & TCP_FIN_SENT) && tcp_before(f->tcp.detail[!from].fin - 1, ack))
        ack = f->tcp.detail[!from].fin - 1;
    return tcp_before(seen, ack);
}

/* What Zeek's view wants to know of a segment; asked before the state machine takes it. */
static struct zeek_segment view_of(const struct flow *f, unsigned from, const struct segment *s) {
    const struct tcp_endpoint *me = &f->tcp.end[from];
    uint32_t end = s->seq + s->payload + ((s->flags & SEGMENT_FIN) != 0) + ((s->flags & SEGMENT_SYN) != 0);
    return (struct zeek_segment){.seq = s->seq,
                                 .payload = s->payload,
                                 .window = s->window,
                                 .flags = s->flags,
                                 .late = s->payload > 0 && (me->flags & TCP_SEEN) && !tcp_before(me->nxt, end),
                                 .gap = zeek_gap(f, from, s)};
}

/* How much of what was sent the tap misses, over the last hundred thousand segments or so. */
static void note_quality(struct flow_tracker *t, const struct segment *s, const struct tcp_verdict *v) {
    t->gaps += (v->facts & TCP_FACT_GAP) != 0;
    t->data_segments += s->payload > 0;
    if (t->data_segments >= QUALITY_SEGMENTS) {
        t->data_segments /= 2;
        t->gaps /= 2;
    }
}

static void measure(struct flow_tracker *t, struct flow *f, unsigned from, const struct tcp_verdict *v) {
    f->retransmits[from] += (v->facts & TCP_FACT_RETRANSMISSION) != 0;
    f->out_of_order[from] += (v->facts & TCP_FACT_OUT_OF_ORDER) != 0;
    f->dup_acks[from] += (v->facts & TCP_FACT_DUP_ACK) != 0;
    f->zero_windows[from] += (v->facts & TCP_FACT_ZERO_WINDOW) != 0;
    t->counters.stray += (v->facts & TCP_FACT_STRAY) != 0;
    f->missed_bytes += v->missed;
    t->counters.missed_bytes += v->missed;
}

/* SYN to SYN-ACK, or SYN-ACK to the ACK that completes it, were this segment that answer; 0 if it cannot be. Asked before the state machine
 * takes it. */
static uint64_t handshake_rtt(const struct flow *f, unsigned from, const struct segment *s) {
    unsigned awaits = s->flags & SEGMENT_SYN ? TCP_SYN_SENT : TCP_SYN_RECEIVED;
    uint64_t tried_ns = f->tcp.detail[!from].tried_ns;
    bool answer = (s->flags & SEGMENT_ACK) && !(s->flags & SEGMENT_RST);
    return answer && f->tcp.end[!from].state == awaits && tried_ns != 0 ? s->ts_ns - tried_ns : 0;
}

static void note_handshake(struct flow *f, const struct segment *s, uint64_t rtt_ns) {
    uint64_t *rtt = s->flags & SEGMENT_SYN ? &f->handshake_server_ns : &f->handshake_client_ns;
    if (*rtt == 0)
        *rtt = rtt_ns;
}

/* A segment for a connection that is over: late, or the begin of another. */
static bool begins_anew(const struct flow_tracker *t, const struct flow *f, const struct segment *s, unsigned from) {
    if (s->flags & SEGMENT_RST)
        return false;
    if (s->flags & SEGMENT_SYN)
        return !(s->flags & SEGMENT_ACK);
    return !tcp_is_late(&f->tcp, from, s) && t->now_ns - f->last_ns < TOMBSTONE_S * BASE_NS_PER_S;
}

/* The first segments of a new connection in an entry that held another. */
static void replay(struct flow_tracker *t, struct flow *f, const struct segment *s, unsigned from, const struct tcp_rules *rules, struct tcp_verdict *v) {
    struct zeek_segment z = view_of(f, from, s);
    if (s->flags & SEGMENT_SYN)
        roles_improve(t, f, s, from);
    tcp_segment(&f->tcp, from, s, rules, v);
    zeek_take(&f->zeek, (int)from, &z);
}

/* The SYN of another connection on this tuple, or the SYN-ACK that confirms one: end the old, begin the new. The SYN that is confirmed has passed
 * before, when it could still have been forged; it counts from now. */
static void begin_another(struct flow_tracker *t, uint32_t index, const struct segment *s, unsigned from, const struct tcp_rules *rules,
                          struct tcp_verdict *v) {
    struct flow *f = pool_at(&t->pool, index);
    bool syn_ack = (s->flags & (SEGMENT_SYN | SEGMENT_ACK)) == (SEGMENT_SYN | SEGMENT_ACK);
    if (!(f->flags & FLOW_FINISHED)) {
        tcp_end(&f->tcp, s->ts_ns, syn_ack ? TCP_CAUSE_SYN_ACK : TCP_CAUSE_SYN, TCP_PROVEN, v);
        flow_settle(t, index, s->ts_ns, from, v);
    }
    begin(t, f, s, from);
    if (syn_ack) {
        struct segment syn = {.ts_ns = s->ts_ns, .seq = s->ack - 1, .flags = SEGMENT_SYN};
        replay(t, f, &syn, !from, rules, v);
        flow_settle(t, index, s->ts_ns, !from, v);
    }
    replay(t, f, s, from, rules, v);
}

/* The short way: in order, nothing changes but the numbers. */
static bool step_in_order(struct flow_tracker *t, struct flow *f, const struct segment *s, unsigned from) {
    uint32_t letter = (uint32_t)(s->payload > 0 ? FLOW_DATA_0 : FLOW_ACK_0) << from;
    if (!tcp_in_order(&f->tcp, from, s))
        return false;
    if (!(f->flags & letter)) {
        zeek_take(&f->zeek, (int)from,
                  &(struct zeek_segment){.seq = s->seq, .payload = s->payload, .window = s->window, .flags = s->flags});
        f->flags |= letter;
    }
    f->last_ns = s->ts_ns;
    t->data_segments += s->payload > 0;
    return true;
}

static void step(struct flow_tracker *t, uint32_t index, const struct segment *s, unsigned from) {
    struct flow *f = pool_at(&t->pool, index);
    struct tcp_rules rules;
    struct tcp_verdict v;
    rules_of(t, f, &rules);
    if (f->flags & FLOW_FINISHED) {
        if (!begins_anew(t, f, s, from)) {
            t->counters.stray++;
            return;
        }
        begin_another(t, index, s, from, &rules, &v);
    } else {
        struct moment before;
        moment_take(f, &before);
        uint64_t handshake_ns = handshake_rtt(f, from, s);
        struct zeek_segment z = view_of(f, from, s);
        tcp_segment(&f->tcp, from, s, &rules, &v);
        if (v.facts & TCP_FACT_NEW_SYN) {
            f->tcp.end[from].packets--;
            begin_another(t, index, s, from, &rules, &v);
        } else {
            zeek_take(&f->zeek, (int)from, &z);
            if (v.steps > 0 && handshake_ns > 0)
                note_handshake(f, s, handshake_ns);
            if ((s->flags & SEGMENT_SYN) && !(v.facts & TCP_FACT_STRAY) && roles_improve(t, f, s, from) && (f->flags & FLOW_COUNTED))
                emit_roles(t, f, s->ts_ns, &before);
        }
    }
    f->last_ns = s->ts_ns;
    if (v.facts & TCP_FACT_TENTATIVE)
        f->flags |= FLOW_TENTATIVE;
    measure(t, f, from, &v);
    note_quality(t, s, &v);
    flow_settle(t, index, s->ts_ns, from, &v);
    arm(t, index);
}

/* A segment of no known flow that cannot begin one: it makes no client (a lone RST, backscatter, scans without ACK). */
static bool is_stray(const struct segment *s) {
    return (s->flags & SEGMENT_RST) || !(s->flags & (SEGMENT_SYN | SEGMENT_ACK)) ||
           (s->flags & (SEGMENT_SYN | SEGMENT_FIN)) == (SEGMENT_SYN | SEGMENT_FIN);
}

/* The flow of a key; `guess` was its likely place when the batch began. */
static uint32_t find(const struct flow_tracker *t, const struct flow_key *k, uint32_t guess) {
    if (guess != FLOW_NONE) {
        const struct flow *f = pool_at(&t->pool, guess);
        if ((f->flags & FLOW_USED) && flow_key_equal(f, &t->pool6, k))
            return guess;
    }
    return table_find(&t->table, k);
}

static void take_segment(struct flow_tracker *t, const struct segment *s, const struct flow_key *k, uint64_t signature, uint32_t guess) {
    uint32_t index = find(t, k, guess);
    t->counters.tcp++;
    if (index != FLOW_NONE && step_in_order(t, pool_at(&t->pool, index), s, k->from)) {
        copies_note(t->copies, s, signature); /* new octets, or a new acknowledgement: no copy, but one may follow */
        return;
    }
    if (copies_is_copy(t->copies, s, signature)) {
        t->counters.duplicates++;
        return;
    }
    if (index == FLOW_NONE) {
        if (is_stray(s)) {
            t->counters.stray++;
            return;
        }
        index = make(t, k, s);
        if (index == FLOW_NONE) {
            t->counters.flows_evicted++; /* no memory for it: as if evicted at once */
            return;
        }
    }
    step(t, index, s, k->from);
    if (t->leap_seen > 0)
        t->leap_flow[t->leap_seen - 1] = index;
}

static void take_icmp(struct flow_tracker *t, const struct segment *s, const struct flow_key *k) {
    struct tcp_verdict v;
    uint32_t index = table_find(&t->table, k);
    if (index == FLOW_NONE)
        return;
    struct flow *f = pool_at(&t->pool, index);
    tcp_icmp(&f->tcp, k->from, s, &v);
    if (v.steps > 0)
        flow_settle(t, index, s->ts_ns, k->from, &v);
    arm(t, index);
}

/* ---- time ---- */

static void run_timer(struct flow_tracker *t, uint32_t index) {
    struct flow *f = pool_at(&t->pool, index);
    uint64_t due = due_ns(f);
    if (due > t->now_ns) { /* it has moved later since */
        arm(t, index);
        return;
    }
    if (f->flags & (FLOW_FINISHED | FLOW_TENTATIVE)) {
        if (!t->at_end)
            flow_forget(t, index);
        return;
    }
    struct tcp_rules rules;
    struct tcp_verdict v;
    unsigned client = flow_client(f);
    unsigned side = f->tcp.detail[client].due_ns <= f->tcp.detail[!client].due_ns ? client : !client;
    rules_of(t, f, &rules);
    tcp_timeout(&f->tcp, side, &rules, &v);
    flow_settle(t, index, due, side, &v);
    arm(t, index);
}

/* now_ns moves with the timers, so that each is seen at its own time. */
static void run_timers(struct flow_tracker *t, uint64_t until_ns) {
    uint64_t deadline_ns;
    uint32_t index;
    while ((index = wheel_next(&t->wheel, until_ns, &deadline_ns)) != FLOW_NONE) {
        if (deadline_ns > t->now_ns)
            t->now_ns = deadline_ns;
        run_timer(t, index);
    }
    if (until_ns > t->now_ns)
        t->now_ns = until_ns;
}

void flow_advance(struct flow_tracker *t, uint64_t now_ns) {
    if (now_ns > t->now_ns)
        run_timers(t, now_ns);
}

/* What the witnesses of a leap began or repeated at the time before it happened, in truth, after it: so are their timers to run. */
static void shift_witnesses(struct flow_tracker *t, uint64_t by_ns) {
    for (unsigned i = 0; i + 1 < LEAP_WITNESSES; i++) {
        struct flow *f = t->leap_flow[i] == FLOW_NONE ? NULL : pool_at(&t->pool, t->leap_flow[i]);
        if (f == NULL || !(f->flags & FLOW_USED) || (i > 0 && t->leap_flow[i] == t->leap_flow[0]))
            continue;
        f->last_ns += by_ns;
        for (unsigned side = 0; side < 2; side++) {
            struct tcp_detail *d = &f->tcp.detail[side];
            d->tried_ns += by_ns;
            d->due_ns += d->due_ns == BASE_NEVER_NS ? 0 : by_ns;
        }
    }
}

static bool leap_believed(struct flow_tracker *t, uint64_t ts_ns) {
    bool agrees = t->leap_seen > 0 && ts_ns + LEAP_NS > t->leap_ns && ts_ns < t->leap_ns + LEAP_NS;
    if (!agrees)
        t->leap_seen = 0;
    t->leap_ns = ts_ns;
    if (++t->leap_seen == LEAP_WITNESSES) {
        shift_witnesses(t, ts_ns - t->now_ns);
        return true;
    }
    t->leap_flow[t->leap_seen - 1] = FLOW_NONE;
    return false;
}

/* The time of a packet by the tracker's clock: only forward, and leaps need three witnesses (design 1.3). */
static uint64_t clock_take(struct flow_tracker *t, uint64_t ts_ns) {
    if (t->now_ns == 0) {
        t->now_ns = ts_ns;
        t->wheel.tick = ts_ns >> WHEEL_TICK_BITS;
        return ts_ns;
    }
    if (ts_ns < t->now_ns) {
        t->leap_seen = 0;
        t->counters.reordered++;
        return t->now_ns;
    }
    if (ts_ns - t->now_ns > LEAP_NS && !leap_believed(t, ts_ns)) {
        t->counters.time_jumps++;
        return t->now_ns;
    }
    t->leap_seen = 0;
    if (wheel_is_quiet(&t->wheel, ts_ns))
        t->now_ns = ts_ns;
    else
        run_timers(t, ts_ns);
    return ts_ns;
}

void flow_batch(struct flow_tracker *t, struct segment *segment, const uint8_t *verdict, size_t n) {
    struct flow_key key[CAPTURE_BATCH];
    uint64_t signature[CAPTURE_BATCH];
    uint32_t guess[CAPTURE_BATCH];
    for (size_t i = 0; i < n; i++) {
        if (verdict[i] != DECODE_TCP && verdict[i] != DECODE_ICMP)
            continue;
        flow_key_make(t, &segment[i], &key[i]);
        table_prefetch(&t->table, key[i].hash);
        if (verdict[i] == DECODE_TCP) {
            signature[i] = copies_signature(&segment[i], key[i].hash);
            __builtin_prefetch(&t->copies->slot[signature[i] % COPIES_SLOTS], 1);
        }
    }
    for (size_t i = 0; i < n; i++) {
        guess[i] = verdict[i] == DECODE_TCP ? table_guess(&t->table, key[i].hash) : FLOW_NONE;
        if (guess[i] == FLOW_NONE)
            continue;
        /* A plain segment touches two lines; one that opens or closes, all. */
        const char *line = (const char *)pool_at(&t->pool, guess[i]);
        bool control = (segment[i].flags & (SEGMENT_SYN | SEGMENT_FIN | SEGMENT_RST)) != 0;
        for (size_t at = 0; at < (control ? sizeof(struct flow) : HOT_OCTETS); at += 64)
            __builtin_prefetch(line + at, 1);
    }
    for (size_t i = 0; i < n; i++) {
        segment[i].ts_ns = clock_take(t, segment[i].ts_ns);
        if (verdict[i] == DECODE_TCP)
            take_segment(t, &segment[i], &key[i], signature[i], guess[i]);
        else if (verdict[i] == DECODE_ICMP)
            take_icmp(t, &segment[i], &key[i]);
    }
}

uint64_t flow_now(const struct flow_tracker *t) {
    return t->now_ns;
}

const struct flow_counters *flow_counters(const struct flow_tracker *t) {
    return &t->counters;
}

uint64_t flow_memory(const struct flow_tracker *t) {
    return (uint64_t)t->pool.chunks * POOL_CHUNK * sizeof(struct flow) + (uint64_t)t->pool6.chunks * POOL_CHUNK * sizeof(struct pair6) +
           (t->table.mask + 1ull) * sizeof(struct table_slot) +
           (t->table.old ? (t->table.old_mask + 1ull) * sizeof(struct table_slot) : 0) +
           t->wheel.heap_room * sizeof *t->wheel.heap + sizeof *t + sizeof *t->copies + sizeof *t->roles;
}
