/*
 * spanwatch-bench-growth: how long packets wait while the flow table grows.
 *
 *   spanwatch-bench-growth [FLOWS [FROM]]      10,000,000 and 1,000 unless given
 *
 * Connections are opened, one handshake of three segments each, in batches as a worker takes them,
 * until FLOWS are open; a million packets a second pass by the capture's clock. Pictures for the
 * windows of the alarms are made as a live worker makes them, between batches. Each batch, with the
 * step of a picture behind it, is timed: a packet waits for all of its batch. Times are those of
 * the thread's processor clock, which leaves out what else runs on the machine, and of the wall's.
 * What is measured begins when FROM connections are open.
 *
 * Output: connections, octets a connection, and how long 50, 99.9 and 99.99 of 100 packets wait at
 * most, and the longest. Exit status 1 when not all connections are open at the end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "spanwatch/flow.h"

enum { STEPS = 3, WINDOW_S = 10, PORTS = 1 << 14, PACKET_NS = 1000, PICTURE_ROOM = 1 << 14 };

struct bench {
    uint64_t flows, from, next; /* next: number of the next segment */
    uint64_t members;
    uint32_t *cpu_ns, *wall_ns; /* of each batch that counts */
    size_t batches;
};

static uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * BASE_NS_PER_S + (uint64_t)t.tv_nsec;
}

static void count_member(void *bench, const struct event *e) {
    struct bench *b = bench;
    b->members += e->type == EVENT_MEMBER;
}

static void put32(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* The next segment of all: the handshakes of a batch's worth of connections run side by side. */
static struct segment next_segment(struct bench *b) {
    uint64_t round = b->next / (STEPS * CAPTURE_BATCH), at = b->next % (STEPS * CAPTURE_BATCH);
    uint64_t flow = round * CAPTURE_BATCH + at % CAPTURE_BATCH, step = at / CAPTURE_BATCH;
    bool answer = step == 1;
    uint32_t client = 0x0a000000 + (uint32_t)(flow / PORTS), server = 0xc0a80001;
    uint16_t port = (uint16_t)(1024 + flow % PORTS);
    struct segment s = {.family = 4,
                        .ts_ns = UINT64_C(1700000000) * BASE_NS_PER_S + b->next * PACKET_NS,
                        .src_port = answer ? 443 : port,
                        .dst_port = answer ? port : 443,
                        .seq = answer ? 500 : 100 + (step == 2),
                        .ack = step == 0 ? 0
                               : answer  ? 101
                                         : 501,
                        .window = 64000,
                        .ttl = 60,
                        .ip_id = (uint16_t)b->next,
                        .flags = (uint8_t)(step == 0 ? SEGMENT_SYN
                                           : answer  ? SEGMENT_SYN | SEGMENT_ACK
                                                     : SEGMENT_ACK)};
    put32(answer ? s.dst : s.src, client);
    put32(answer ? s.src : s.dst, server);
    b->next++;
    return s;
}

static void run(struct bench *b, struct flow_tracker *t) {
    struct segment segment[CAPTURE_BATCH];
    uint8_t verdict[CAPTURE_BATCH];
    memset(verdict, DECODE_TCP, sizeof verdict);
    while (b->next < b->flows * STEPS) {
        for (size_t i = 0; i < CAPTURE_BATCH; i++)
            segment[i] = next_segment(b);
        uint64_t wall_ns = clock_ns(CLOCK_MONOTONIC), cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        flow_batch(t, segment, verdict, CAPTURE_BATCH);
        flow_picture_go_on(t, PICTURE_ROOM);
        cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
        wall_ns = clock_ns(CLOCK_MONOTONIC) - wall_ns;
        if (flow_counters(t)->flows_open < b->from)
            continue;
        b->cpu_ns[b->batches] = (uint32_t)cpu_ns;
        b->wall_ns[b->batches++] = (uint32_t)wall_ns;
    }
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print(const char *clock, uint32_t *ns, size_t n) {
    qsort(ns, n, sizeof *ns, by_size);
    printf("%-9s  50%% %.1f us, 99.9%% %.1f us, 99.99%% %.1f us, longest %.1f us\n", clock,
           ns[n / 2] / 1e3, ns[n - 1 - n / 1000] / 1e3, ns[n - 1 - n / 10000] / 1e3,
           ns[n - 1] / 1e3);
}

int main(int argc, char **argv) {
    struct bench b = {.flows = 10000000, .from = 1000};
    if (argc > 3 || (argc > 1 && !base_uint_parse(argv[1], 1 << 30, &b.flows)) ||
        (argc > 2 && !base_uint_parse(argv[2], 1 << 30, &b.from)) || b.from >= b.flows) {
        fprintf(stderr, "usage: spanwatch-bench-growth [FLOWS [FROM]]\n");
        return 2;
    }
    b.flows = (b.flows + CAPTURE_BATCH - 1) / CAPTURE_BATCH * CAPTURE_BATCH;
    struct flow_config config = {.timers = flow_timers_default(),
                                 .max_flows = (uint32_t)b.flows + 1,
                                 .hash_seed = {1, 2},
                                 .window_ns = WINDOW_S * BASE_NS_PER_S};
    struct flow_tracker *t = flow_new(&config, count_member, &b);
    size_t batches = b.flows * STEPS / CAPTURE_BATCH;
    b.cpu_ns = calloc(batches, sizeof *b.cpu_ns);
    b.wall_ns = calloc(batches, sizeof *b.wall_ns);
    if (t == NULL || b.cpu_ns == NULL || b.wall_ns == NULL)
        return 1;
    memset(b.cpu_ns, 1, batches * sizeof *b.cpu_ns); /* its pages are not to be made on the way */
    memset(b.wall_ns, 1, batches * sizeof *b.wall_ns);
    run(&b, t);
    const struct flow_counters *c = flow_counters(t);
    printf("%llu connections open, %.0f octets each, %llu in pictures; delays of %zu batches of "
           "%d packets:\n",
           (unsigned long long)c->flows_open, (double)flow_memory(t) / (double)c->flows_open,
           (unsigned long long)b.members, b.batches, CAPTURE_BATCH);
    print("processor", b.cpu_ns, b.batches);
    print("wall", b.wall_ns, b.batches);
    int status = c->flows_open == b.flows ? 0 : 1;
    flow_free(t);
    free(b.cpu_ns);
    free(b.wall_ns);
    return status;
}
