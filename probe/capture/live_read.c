/*
 * Live capture: reading. Input: the kernel's rings. Output: batches of packets in order of time,
 * what happened to the interfaces, what was dropped. Owner: a worker's thread. No allocation, no
 * waiting but in poll().
 */
#include "live.h"

#include <string.h>

enum {
    SLACK_MS = 15,      /* a block's timer runs in ticks of the kernel, and fires late by some */
    AHEAD_OCTETS = 1024 /* in a block packet follows packet, each written by another core */
};

static struct live_slot *slot_at(const struct capture_live *c, const struct live_source *s,
                                 size_t i) {
    return (struct live_slot *)(void *)(s->queue + i * c->stride);
}

/* ---- interfaces come and go ---- */

static void enter(struct live_source *s, enum capture_live_state state) {
    if (s->state == CAPTURE_LIVE_UP && state != CAPTURE_LIVE_UP)
        s->lost_ns = live_wall_ns();
    if (state == CAPTURE_LIVE_UP && s->state != CAPTURE_LIVE_UP)
        s->back_ns = live_wall_ns();
    s->state = state;
}

/* The handle is of no more use: the opener gets the source. */
static void lose(struct capture_live *c, struct live_source *s) {
    live_count_drops(c, s);
    pcap_close(s->pcap);
    s->pcap = NULL;
    enter(s, CAPTURE_LIVE_GONE);
    if (s->group != NULL)
        atomic_store_explicit(&s->group->broken, true, memory_order_relaxed);
    atomic_store_explicit(&s->owner, LIVE_WANTED, memory_order_release);
    if (c->options.gone != NULL)
        c->options.gone(c->options.gone_context);
}

/* Is the source to be read? One that is back is taken over. */
static bool is_readable(struct live_source *s) {
    int owner = atomic_load_explicit(&s->owner, memory_order_acquire);
    if (owner == LIVE_WANTED)
        return false;
    if (owner == LIVE_BACK) {
        atomic_store_explicit(&s->owner, LIVE_WORKER, memory_order_relaxed);
        enter(s, CAPTURE_LIVE_UP);
    }
    return true;
}

/* Has another worker lost its socket? The kernel then numbers the rest anew. */
static bool is_broken(const struct live_source *s) {
    return s->group != NULL && atomic_load_explicit(&s->group->broken, memory_order_relaxed);
}

bool capture_live_change(struct capture_live *c, struct capture_live_change *change) {
    for (size_t i = 0; i < c->options.count; i++) {
        struct live_source *s = &c->source[i];
        if (s->told == s->state && s->told_back_ns == s->back_ns)
            continue; /* the time tells of an outage that was over before anyone asked */
        s->told = s->state;
        s->told_back_ns = s->back_ns;
        *change = (struct capture_live_change){.number = i,
                                               .interface = s->name,
                                               .state = s->state,
                                               .from_ns = s->lost_ns,
                                               .to_ns = s->back_ns};
        return true;
    }
    return false;
}

/* ---- from the ring into the queue ---- */

struct copy {
    const struct capture_live *capture;
    struct live_source *source;
};

static void copy_packet(u_char *user, const struct pcap_pkthdr *h, const u_char *octets) {
    const struct copy *to = (const struct copy *)(const void *)user;
    struct live_source *s = to->source;
    /* With nanoseconds asked for, tv_usec holds them (pcap_set_tstamp_precision(3)). */
    uint64_t ts_ns = (uint64_t)h->ts.tv_sec * BASE_NS_PER_S + (uint64_t)h->ts.tv_usec;
    uint32_t captured =
        h->caplen < to->capture->options.snaplen ? h->caplen : to->capture->options.snaplen;
    if (ts_ns < s->from_ns)
        return;
    struct live_slot *slot = slot_at(to->capture, s, s->queued++);
    slot->ts_ns = ts_ns;
    slot->captured = captured;
    slot->length = h->len > captured ? h->len : captured;
    __builtin_prefetch(octets + AHEAD_OCTETS);
    __builtin_prefetch(octets + AHEAD_OCTETS + 64);
    memcpy(slot->octets, octets, captured);
}

/* So far behind a source's packets may be. */
static uint64_t lag_ns(const struct capture_live *c) {
    return (c->options.timeout_ms + SLACK_MS) * BASE_NS_PER_MS;
}

/* Fill an empty queue. A source that gives nothing has nothing older than its ring's block timer.
 */
static void refill(struct capture_live *c, struct live_source *s) {
    struct copy to = {.capture = c, .source = s};
    uint64_t asked_ns = live_wall_ns();
    s->next = s->queued = 0;
    int n = pcap_dispatch(s->pcap, (int)c->slots, copy_packet, (u_char *)&to);
    if (n < 0 || is_broken(s)) {
        s->queued = 0;
        lose(c, s);
        return;
    }
    /* libpcap asks for more frequent reads only while the interface is down. */
    enter(s,
          pcap_get_required_select_timeout(s->pcap) != NULL ? CAPTURE_LIVE_DOWN : CAPTURE_LIVE_UP);
    uint64_t quiet_ns = asked_ns - lag_ns(c);
    if (n == 0 && quiet_ns > s->quiet_ns)
        s->quiet_ns = quiet_ns;
}

static void refill_all(struct capture_live *c) {
    for (size_t i = 0; i < c->options.count; i++) {
        struct live_source *s = &c->source[i];
        if (s->next == s->queued && is_readable(s))
            refill(c, s);
    }
}

/* ---- out of the queues ---- */

/* The source whose next packet is the earliest; NULL when there is none, or when another source may
 * still have an earlier one. */
static struct live_source *earliest(struct capture_live *c) {
    struct live_source *first = NULL;
    uint64_t first_ns = BASE_NEVER_NS, quiet_ns = BASE_NEVER_NS;
    for (size_t i = 0; i < c->options.count; i++) {
        struct live_source *s = &c->source[i];
        if (s->next < s->queued) {
            uint64_t ts_ns = slot_at(c, s, s->next)->ts_ns;
            if (first == NULL || ts_ns < first_ns) {
                first = s;
                first_ns = ts_ns;
            }
        } else if (s->state == CAPTURE_LIVE_UP && s->quiet_ns < quiet_ns) {
            quiet_ns = s->quiet_ns;
        }
    }
    return first != NULL && first_ns <= quiet_ns ? first : NULL;
}

static size_t merge(struct capture_live *c, struct packet *batch) {
    size_t n = 0;
    struct live_source *s;
    while (n < CAPTURE_BATCH && (s = earliest(c)) != NULL) {
        const struct live_slot *slot = slot_at(c, s, s->next++);
        batch[n++] = (struct packet){.ts_ns = slot->ts_ns,
                                     .data = slot->octets,
                                     .captured = slot->captured,
                                     .length = slot->length,
                                     .link = s->link,
                                     .iface = (uint16_t)(s - c->source)};
        if (slot->ts_ns > s->quiet_ns)
            s->quiet_ns = slot->ts_ns;
    }
    return n;
}

/* Until a source with an empty queue has packets. Held packets shorten the wait: time frees them.
 */
static void wait_for_packets(struct capture_live *c, int timeout_ms) {
    for (size_t i = 0; i < c->options.count; i++) {
        struct live_source *s = &c->source[i];
        bool held = s->next < s->queued, asleep = s->state == CAPTURE_LIVE_GONE;
        c->poll[i] = (struct pollfd){.fd = held || asleep ? -1 : pcap_get_selectable_fd(s->pcap),
                                     .events = POLLIN};
        if (held && timeout_ms > SLACK_MS)
            timeout_ms = SLACK_MS;
    }
    poll(c->poll, (nfds_t)c->options.count, timeout_ms);
}

size_t capture_live_read(struct capture_live *c, struct packet batch[CAPTURE_BATCH],
                         int timeout_ms) {
    refill_all(c);
    size_t n = merge(c, batch);
    if (n > 0)
        return n;
    wait_for_packets(c, timeout_ms);
    refill_all(c);
    return merge(c, batch);
}

uint64_t capture_live_until(const struct capture_live *c) {
    uint64_t until_ns = BASE_NEVER_NS;
    for (size_t i = 0; i < c->options.count; i++) {
        const struct live_source *s = &c->source[i];
        uint64_t next_ns = s->next < s->queued           ? slot_at(c, s, s->next)->ts_ns
                           : s->state == CAPTURE_LIVE_UP ? s->quiet_ns
                                                         : BASE_NEVER_NS;
        until_ns = next_ns < until_ns ? next_ns : until_ns;
    }
    /* With no interface up there is only what comes after one has come back. */
    return until_ns != BASE_NEVER_NS ? until_ns : live_wall_ns() - lag_ns(c);
}

/* ---- drops ---- */

void live_count_drops(const struct capture_live *c, struct live_source *s) {
    struct pcap_stat now;
    if (s->pcap == NULL || pcap_stats(s->pcap, &now) != 0)
        return;
    s->kernel_drops += (uint32_t)(now.ps_drop - s->kernel_seen);
    int32_t dropped = (int32_t)(now.ps_ifdrop - s->interface_seen);
    if (c->first && dropped > 0) /* a driver that starts anew counts from 0 again */
        s->interface_drops += (uint32_t)dropped;
    s->kernel_seen = now.ps_drop;
    s->interface_seen = now.ps_ifdrop;
}

void capture_live_drops(struct capture_live *c, uint64_t *kernel, uint64_t *interface) {
    *kernel = *interface = 0;
    for (size_t i = 0; i < c->options.count; i++) {
        struct live_source *s = &c->source[i];
        if (s->state != CAPTURE_LIVE_GONE)
            live_count_drops(c, s);
        *kernel += s->kernel_drops;
        *interface += s->interface_drops;
    }
}
