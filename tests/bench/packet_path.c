/*
 * spanwatch-bench-path: what the store and the snapshots cost the packets of a live probe.
 *
 *   spanwatch-bench-path OPEN RATE CHURN SECONDS CLOCK [OPTION OF probe]...
 *
 * This is `spanwatch probe -i lo` itself, worker, ring, main loop, store, but for one function: the
 * packets come from here and not from the kernel. First OPEN connections are opened, 100,000
 * packets a second; then, for SECONDS, RATE packets a second come (0: as many as are taken):
 * segments of open connections, chosen at random, and, CHURN in a thousand, those of short new
 * connections. Each packet has a time at which it is due; its delay ends when the worker asks for
 * more and it is done with. CLOCK says by which clock: `wall`, or `cpu`, which goes on by the
 * processor time that the worker spends and, while it has nothing to do, up to the next packet: the
 * delays are those of a worker with a core of its own, whatever else runs on the machine.
 *
 * Output: one JSON object: packets, the worker's processor time a packet (without what is done
 * here), the distribution of delays while a picture is being made and else, and how long the main
 * loop was held at most by one turn.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "probe/cli/probe.h"
#include "spanwatch/capture_live.h"

enum {
    FRAME = 14 + 20 + 20,
    PAYLOAD = 100,
    OPEN_RATE = 100000,
    OPEN_STEPS = 3,
    CHURN_STEPS = 10,
    SETTLE_S = 3,   /* behind the opening, before anything counts */
    PICTURE_MS = 1, /* the worker's timeout tells that a picture is being made */
    PAUSE_US = 50,
    BUCKET_NS = 10000,
    BUCKETS = 100000, /* up to a second */
    CLIENT = 0,
    SERVER = 1,
    FIN = 1,
    SYN = 2,
    ACK = 16
};

/* Called by the worker and by the main loop in the place of others: see tests.cmake. */
size_t bench_capture_live_read(struct capture_live *c, struct packet batch[CAPTURE_BATCH],
                               int timeout_ms);
bool bench_drain(struct probe_job *job);
bool bench_snapshot_go_on(struct probe_job *job, bool hurry);

enum phase { OPENING, SETTLING, MEASURING, OVER };

struct delays {
    uint64_t packets, most_ns;
    uint32_t bucket[BUCKETS];
};

static struct {
    uint64_t open, rate, churn, seconds;
    bool by_cpu;

    enum phase phase;
    atomic_bool over;  /* for the main thread */
    uint64_t clock_ns; /* the worker's own */
    uint64_t began_ns; /* of the phase, by the clock of due times */
    uint64_t began_wall_ns;
    uint64_t given; /* in the phase */
    uint32_t (*seq)[2];
    uint64_t dialogue; /* number of the short connection, and of its next packet */
    unsigned step;
    uint64_t random;

    uint8_t frame[CAPTURE_BATCH][FRAME];
    uint64_t due_ns[CAPTURE_BATCH];
    size_t n; /* given in the last batch */
    bool picturing;
    uint64_t left_cpu_ns; /* when this thread left the last call */

    uint64_t measured, cpu_ns, wall_ns, pictures;
    struct delays quiet, picture;
    uint64_t turn_ns; /* the longest of the main loop, processor time; its own thread's */
    uint64_t snapshot_ns;
} bench;

static uint64_t clock_now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * BASE_NS_PER_S + (uint64_t)t.tv_nsec;
}

static uint64_t due_clock(void) {
    return bench.by_cpu ? bench.clock_ns : clock_now(CLOCK_MONOTONIC);
}

/* The worker's own clock goes on to the next packet, but never before the wall's: the main loop and
 * the store would get less time than they have. */
static bool is_idle(uint64_t due_ns) {
    uint64_t wall_ns = clock_now(CLOCK_MONOTONIC) - bench.began_wall_ns;
    if (!bench.by_cpu || due_ns - bench.began_ns > wall_ns)
        return true;
    bench.clock_ns = due_ns;
    return false;
}

static uint64_t random_below(uint64_t n) {
    bench.random ^= bench.random << 13; /* xorshift64 */
    bench.random ^= bench.random >> 7;
    bench.random ^= bench.random << 17;
    return bench.random % n;
}

/* ---- packets ---- */

static uint8_t *put(uint8_t *p, uint64_t v, int octets) {
    for (int i = octets - 1; i >= 0; i--)
        *p++ = (uint8_t)(v >> (8 * i));
    return p;
}

/* Addresses and ports of connection `i`; short ones have clients of their own. */
static void endpoints(uint64_t i, bool is_short, uint32_t address[2], uint16_t port[2]) {
    uint64_t host = is_short ? (i & 0x3fffff) | 0x800000 : i / 16 & 0x3fffff;
    address[CLIENT] = 0x0a000000 | (uint32_t)host;
    address[SERVER] = 0xc0a80000 | (uint32_t)(i % 8);
    port[CLIENT] = (uint16_t)(20000 + (is_short ? i >> 22 : i % 16));
    port[SERVER] = is_short ? 8080 : 443;
}

static void build(struct packet *packet, uint8_t frame[FRAME], unsigned side, unsigned flags,
                  const uint32_t number[2], unsigned payload, uint64_t i, bool is_short) {
    uint32_t address[2];
    uint16_t port[2];
    uint8_t *p = frame;
    endpoints(i, is_short, address, port);
    p = put(put(put(p, 0x020000000001, 6), 0x020000000002, 6), 0x0800, 2);
    p = put(put(put(p, 0x4500, 2), 40 + payload, 2), i & 0xffff, 2);
    p = put(put(put(p, 0x4000, 2), 0x4006, 2), 0, 2); /* don't fragment; TTL 64, TCP */
    p = put(put(p, address[side], 4), address[!side], 4);
    p = put(put(p, port[side], 2), port[!side], 2);
    p = put(put(p, number[side], 4), flags & ACK ? number[!side] : 0, 4);
    put(put(p, 0x5000 | flags, 2), UINT64_C(0xffff00000000), 6);
    *packet =
        (struct packet){.data = frame, .captured = FRAME, .length = FRAME + payload, .link = 1};
}

/* The next packet of opening: SYN, SYN-ACK, ACK of one connection after another. */
static void build_opening(struct packet *packet, uint8_t *frame, uint64_t at) {
    static const unsigned flags[OPEN_STEPS] = {SYN, SYN | ACK, ACK};
    uint64_t i = at / OPEN_STEPS;
    unsigned step = (unsigned)(at % OPEN_STEPS), side = step == 1 ? SERVER : CLIENT;
    if (step == 0)
        bench.seq[i][CLIENT] = (uint32_t)(i * 7919), bench.seq[i][SERVER] = (uint32_t)(i * 104729);
    build(packet, frame, side, flags[step], bench.seq[i], 0, i, false);
    bench.seq[i][side] += step < 2;
}

static void build_data(struct packet *packet, uint8_t *frame) {
    uint64_t i = random_below(bench.open);
    unsigned side = (unsigned)random_below(2);
    build(packet, frame, side, ACK, bench.seq[i], PAYLOAD, i, false);
    bench.seq[i][side] += PAYLOAD;
}

/* The next packet of a short connection: it opens, asks, is answered, closes. */
static void build_churn(struct packet *packet, uint8_t *frame) {
    static const struct {
        uint8_t side, flags, payload, takes;
    } script[CHURN_STEPS] = {{CLIENT, SYN, 0, 1},       {SERVER, SYN | ACK, 0, 1},
                             {CLIENT, ACK, 0, 0},       {CLIENT, ACK, PAYLOAD, PAYLOAD},
                             {SERVER, ACK, 0, 0},       {SERVER, ACK, PAYLOAD, PAYLOAD},
                             {CLIENT, ACK, 0, 0},       {CLIENT, FIN | ACK, 0, 1},
                             {SERVER, FIN | ACK, 0, 1}, {CLIENT, ACK, 0, 0}};
    static uint32_t seq[2];
    unsigned side = script[bench.step].side;
    if (bench.step == 0)
        seq[CLIENT] = 1000, seq[SERVER] = 5000;
    build(packet, frame, side, script[bench.step].flags, seq, script[bench.step].payload,
          bench.dialogue, true);
    seq[side] += script[bench.step].takes;
    if (++bench.step < CHURN_STEPS)
        return;
    bench.step = 0;
    bench.dialogue++;
}

static void build_next(struct packet *packet, uint8_t *frame) {
    if (bench.phase == OPENING)
        build_opening(packet, frame, bench.given);
    else if (bench.open == 0 || random_below(1000) < bench.churn)
        build_churn(packet, frame);
    else
        build_data(packet, frame);
    bench.given++;
}

/* ---- time ---- */

static void enter(enum phase phase, uint64_t now_ns) {
    if (phase == MEASURING)
        bench.wall_ns = clock_now(CLOCK_MONOTONIC);
    if (phase == OVER)
        bench.wall_ns = clock_now(CLOCK_MONOTONIC) - bench.wall_ns;
    atomic_store(&bench.over, phase == OVER);
    bench.phase = phase;
    bench.began_ns = now_ns;
    bench.began_wall_ns = clock_now(CLOCK_MONOTONIC);
    bench.given = 0;
}

static void look_at_phase(uint64_t now_ns) {
    uint64_t elapsed = now_ns - bench.began_ns;
    if (bench.began_wall_ns == 0)
        enter(bench.open > 0 ? OPENING : SETTLING, now_ns);
    else if (bench.phase == OPENING && bench.given == bench.open * OPEN_STEPS)
        enter(SETTLING, now_ns);
    else if (bench.phase == SETTLING && elapsed > SETTLE_S * BASE_NS_PER_S)
        enter(MEASURING, now_ns);
    else if (bench.phase == MEASURING && elapsed > bench.seconds * BASE_NS_PER_S)
        enter(OVER, now_ns);
}

/* When the next packet is due; `now_ns` when as many as are taken. */
static uint64_t next_due(uint64_t now_ns) {
    uint64_t rate = bench.phase == OPENING ? OPEN_RATE : bench.rate;
    if (rate == 0)
        return now_ns;
    return bench.began_ns + bench.given / rate * BASE_NS_PER_S +
           bench.given % rate * BASE_NS_PER_S / rate;
}

static size_t fill(struct packet batch[CAPTURE_BATCH]) {
    uint64_t now_ns = due_clock(), wall_ns = clock_now(CLOCK_REALTIME);
    size_t n = 0;
    look_at_phase(now_ns);
    if (bench.phase == OVER)
        return 0;
    for (; n < CAPTURE_BATCH; n++) {
        uint64_t due_ns = next_due(now_ns);
        if (due_ns > now_ns && n == 0 && !is_idle(due_ns))
            now_ns = due_clock();
        if (due_ns > now_ns || (bench.phase == OPENING && bench.given == bench.open * OPEN_STEPS))
            break;
        build_next(&batch[n], bench.frame[n]);
        batch[n].ts_ns = wall_ns;
        bench.due_ns[n] = due_ns;
    }
    return n;
}

/* The batch before is done with. */
static void note_batch(uint64_t cpu_ns) {
    uint64_t now_ns = due_clock();
    struct delays *d = bench.picturing ? &bench.picture : &bench.quiet;
    bench.cpu_ns += cpu_ns;
    bench.measured += bench.n;
    for (size_t i = 0; i < bench.n; i++) {
        uint64_t delay = now_ns - bench.due_ns[i], bucket = delay / BUCKET_NS;
        d->packets++;
        d->bucket[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
        if (delay > d->most_ns)
            d->most_ns = delay;
    }
}

size_t bench_capture_live_read(struct capture_live *c, struct packet batch[CAPTURE_BATCH],
                               int timeout_ms) {
    const struct timespec pause = {.tv_nsec = PAUSE_US * 1000};
    uint64_t until = clock_now(CLOCK_MONOTONIC) + (uint64_t)timeout_ms * BASE_NS_PER_MS;
    uint64_t cpu_ns = clock_now(CLOCK_THREAD_CPUTIME_ID) - bench.left_cpu_ns;
    (void)c;
    bench.clock_ns += cpu_ns;
    if (bench.phase == MEASURING)
        note_batch(cpu_ns);
    bench.pictures += bench.phase == MEASURING && timeout_ms == PICTURE_MS && !bench.picturing;
    bench.picturing = timeout_ms == PICTURE_MS;
    while ((bench.n = fill(batch)) == 0 && clock_now(CLOCK_MONOTONIC) < until)
        nanosleep(&pause, NULL);
    bench.left_cpu_ns = clock_now(CLOCK_THREAD_CPUTIME_ID);
    return bench.n;
}

/* ---- the main loop ---- */

static void note_turn(uint64_t began_ns, uint64_t *most_ns) {
    uint64_t took = clock_now(CLOCK_THREAD_CPUTIME_ID) - began_ns;
    if (took > *most_ns)
        *most_ns = took;
}

bool bench_drain(struct probe_job *job) {
    uint64_t began_ns = clock_now(CLOCK_THREAD_CPUTIME_ID);
    bool result = probe_drain(job);
    note_turn(began_ns, &bench.turn_ns);
    if (atomic_load(&bench.over) && !job->stopping)
        probe_stop(job, false);
    return result;
}

bool bench_snapshot_go_on(struct probe_job *job, bool hurry) {
    uint64_t began_ns = clock_now(CLOCK_THREAD_CPUTIME_ID);
    bool result = probe_store_snapshot_go_on(job, hurry);
    note_turn(began_ns, &bench.snapshot_ns);
    return result;
}

/* ---- what came of it ---- */

static double quantile_ms(const struct delays *d, double share) {
    uint64_t wanted = (uint64_t)((double)d->packets * share), sum = 0;
    size_t i = 0;
    while (i < BUCKETS - 1 && (sum += d->bucket[i]) < wanted)
        i++;
    return (double)(i + 1) * BUCKET_NS / BASE_NS_PER_MS;
}

static void print_delays(const char *name, const struct delays *d) {
    printf(",\"%s\":{\"packets\":%llu,\"ms_50\":%.2f,\"ms_99\":%.2f,\"ms_99_9\":%.2f,"
           "\"ms_most\":%.2f}",
           name, (unsigned long long)d->packets, quantile_ms(d, 0.5), quantile_ms(d, 0.99),
           quantile_ms(d, 0.999), (double)d->most_ns / BASE_NS_PER_MS);
}

static void print(void) {
    double packets = (double)(bench.measured > 0 ? bench.measured : 1);
    printf("{\"packets\":%llu,\"packets_per_s\":%.0f,\"worker_ns_per_packet\":%.1f,"
           "\"connections\":%llu,\"pictures\":%llu",
           (unsigned long long)bench.measured, packets / ((double)bench.wall_ns / BASE_NS_PER_S),
           (double)bench.cpu_ns / packets, (unsigned long long)bench.dialogue,
           (unsigned long long)bench.pictures);
    print_delays("quiet", &bench.quiet);
    print_delays("picture", &bench.picture);
    printf(",\"turn_ms_most\":%.2f,\"snapshot_turn_ms_most\":%.2f}\n",
           (double)bench.turn_ns / BASE_NS_PER_MS, (double)bench.snapshot_ns / BASE_NS_PER_MS);
}

int main(int argc, char **argv) {
    enum { OWN = 6, FIXED = 4 };
    uint64_t *const number[] = {&bench.open, &bench.rate, &bench.churn, &bench.seconds};
    char **words = calloc((size_t)argc + FIXED + 1, sizeof *words);
    bool good = argc >= OWN && words != NULL;
    for (int i = 0; i < 4 && good; i++)
        good = base_uint_parse(argv[1 + i], 100000000, number[i]);
    if (!good || (strcmp(argv[5], "wall") != 0 && strcmp(argv[5], "cpu") != 0)) {
        fprintf(stderr,
                "usage: spanwatch-bench-path OPEN RATE CHURN SECONDS wall|cpu [OPTION]...\n");
        return 2;
    }
    bench.by_cpu = strcmp(argv[5], "cpu") == 0;
    bench.random = 88172645463325252;
    bench.seq = calloc(bench.open + 1, sizeof *bench.seq);
    if (bench.seq == NULL)
        return 1;
    char *const fixed[FIXED] = {argv[0], "probe", "-i", "lo"};
    memcpy(words, fixed, sizeof fixed);
    memcpy(words + FIXED, argv + OWN, (size_t)(argc - OWN) * sizeof *words);
    int status = cli_main(FIXED + argc - OWN, words);
    if (status == 0)
        print();
    free(words);
    free(bench.seq);
    return status;
}
