/*
 * spanwatch-bench-generate: large captures whose truth is known, quickly and the same for the same
 * seed.
 *
 * Input: a mode, sizes and a seed. Output: FILE (classic pcap, see frames.h) and FILE.truth.json:
 * how many packets, connections, and ends of each kind a probe must find. Every connection is whole
 * and in order, so that a strict tracker has nothing to object to.
 */
#include "frames.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ELEPHANTS = 64,
    MSS = 1448,
    WINDOW_SEGMENTS = 16,
    LEGITIMATE = 8,
    LEGITIMATE_EVERY = 200,
    SETUP_LAG = 512
};

/* A tuple rests this long after its close: longer than TIME_WAIT, so that its next use is a new
 * connection without doubt. */
static const uint64_t REST_NS = UINT64_C(65000000000);

struct options {
    const char *mode, *path;
    uint64_t seed, rate, connections, packets, concurrency;
    uint32_t rst_permille, refused_permille;
};

struct truth {
    uint64_t connections, fin, rst, refused, open, half_open;
};

enum phase {
    PHASE_SYN,
    PHASE_SYN_ACK,
    PHASE_ACK,
    PHASE_REQUEST,
    PHASE_REQUEST_ACK,
    PHASE_RESPONSE,
    PHASE_RESPONSE_ACK,
    PHASE_FIN,
    PHASE_FIN_ACK,
    PHASE_OTHER_FIN,
    PHASE_LAST_ACK,
    PHASE_RST,
    PHASE_REFUSE,
    PHASE_DONE
};

enum fate { FATE_FIN, FATE_RST, FATE_REFUSED };

struct dialogue { /* a short connection and where it stands in its script */
    struct frames_flow flow;
    enum phase phase;
    enum fate fate;
    enum frames_side closer;
    uint8_t rounds, segments; /* requests still to come; response segments still to come */
    bool ack_alone;           /* the first FIN's ACK is a segment of its own */
};

static void send_segment(struct frames_writer *w, struct frames_flow *f, enum frames_side side,
                         uint8_t flags, uint32_t payload) {
    frames_send(
        w, f, (struct frames_segment){.side = side, .flags = flags, .payload = (uint16_t)payload});
}

static void dialogue_start(struct frames_writer *w, struct dialogue *d, uint32_t tuple,
                           const struct options *o) {
    uint32_t dice = frames_random(w, 1000);
    *d = (struct dialogue){.flow = frames_flow(w, tuple), .phase = PHASE_SYN, .fate = FATE_FIN};
    if (dice < o->rst_permille) {
        d->fate = FATE_RST;
    } else if (dice < o->rst_permille + o->refused_permille) {
        d->fate = FATE_REFUSED;
    }
    d->closer = frames_random(w, 3) == 0 ? FRAMES_SERVER : FRAMES_CLIENT;
    d->rounds = (uint8_t)(1 + frames_random(w, 3));
    d->ack_alone = frames_random(w, 5) != 0;
}

enum actor { ACTOR_CLIENT, ACTOR_SERVER, ACTOR_CLOSER, ACTOR_OTHER };

/* Who sends what in each phase. */
static const struct step {
    enum actor actor;
    uint8_t flags;
} script[] = {
    [PHASE_SYN] = {ACTOR_CLIENT, FRAMES_SYN},
    [PHASE_SYN_ACK] = {ACTOR_SERVER, FRAMES_SYN | FRAMES_ACK},
    [PHASE_ACK] = {ACTOR_CLIENT, FRAMES_ACK},
    [PHASE_REQUEST] = {ACTOR_CLIENT, FRAMES_ACK | FRAMES_PSH},
    [PHASE_REQUEST_ACK] = {ACTOR_SERVER, FRAMES_ACK},
    [PHASE_RESPONSE] = {ACTOR_SERVER, FRAMES_ACK | FRAMES_PSH},
    [PHASE_RESPONSE_ACK] = {ACTOR_CLIENT, FRAMES_ACK},
    [PHASE_FIN] = {ACTOR_CLOSER, FRAMES_FIN | FRAMES_ACK},
    [PHASE_FIN_ACK] = {ACTOR_OTHER, FRAMES_ACK},
    [PHASE_OTHER_FIN] = {ACTOR_OTHER, FRAMES_FIN | FRAMES_ACK},
    [PHASE_LAST_ACK] = {ACTOR_CLOSER, FRAMES_ACK},
    [PHASE_RST] = {ACTOR_CLOSER, FRAMES_RST | FRAMES_ACK},
    [PHASE_REFUSE] = {ACTOR_SERVER, FRAMES_RST | FRAMES_ACK},
};

static enum phase next_phase(const struct dialogue *d) {
    switch (d->phase) {
    case PHASE_SYN:
        return d->fate == FATE_REFUSED ? PHASE_REFUSE : PHASE_SYN_ACK;
    case PHASE_RESPONSE:
        return d->segments > 0 ? PHASE_RESPONSE : PHASE_RESPONSE_ACK;
    case PHASE_RESPONSE_ACK:
        if (d->rounds > 0) {
            return PHASE_REQUEST;
        }
        return d->fate == FATE_RST ? PHASE_RST : PHASE_FIN;
    case PHASE_FIN:
        return d->ack_alone ? PHASE_FIN_ACK : PHASE_OTHER_FIN;
    case PHASE_LAST_ACK:
    case PHASE_RST:
    case PHASE_REFUSE:
        return PHASE_DONE;
    default:
        return d->phase + 1;
    }
}

/* Send the next segment of the script. */
static void dialogue_step(struct frames_writer *w, struct dialogue *d) {
    struct step step = script[d->phase];
    enum frames_side side = (enum frames_side)step.actor; /* of ACTOR_CLIENT and ACTOR_SERVER */
    uint32_t payload = 0;
    if (step.actor == ACTOR_CLOSER || step.actor == ACTOR_OTHER) {
        side = step.actor == ACTOR_CLOSER ? d->closer : 1 - d->closer;
    }
    if (d->phase == PHASE_REQUEST) {
        payload = 40 + frames_random(w, 600);
        d->rounds--;
        d->segments = (uint8_t)(1 + frames_random(w, 3));
    } else if (d->phase == PHASE_RESPONSE) {
        d->segments--;
        payload = d->segments > 0 ? MSS : 1 + frames_random(w, MSS);
    }
    send_segment(w, &d->flow, side, step.flags, payload);
    d->phase = next_phase(d);
}

static void count_end(struct truth *t, const struct dialogue *d) {
    t->connections++;
    t->fin += d->fate == FATE_FIN;
    t->rst += d->fate == FATE_RST;
    t->refused += d->fate == FATE_REFUSED;
}

/* Tuples in the order of their release; the longest rested is used again, else a new one is taken.
 */
struct tuples {
    struct rested {
        uint64_t since_ns;
        uint32_t tuple;
    } * queue;
    size_t head, tail; /* as many places as there are connections: it never wraps */
    uint32_t fresh;
};

static uint32_t tuples_take(struct tuples *t, uint64_t now_ns) {
    if (t->head < t->tail && t->queue[t->head].since_ns + REST_NS <= now_ns) {
        return t->queue[t->head++].tuple;
    }
    return t->fresh++;
}

/* Many short connections, `concurrency` at a time; each frame belongs to one taken at random. */
static bool churn(struct frames_writer *w, const struct options *o, struct truth *t) {
    uint64_t started = 0,
             active = o->concurrency < o->connections ? o->concurrency : o->connections;
    struct tuples tuples = {.queue = calloc(o->connections, sizeof *tuples.queue)};
    struct dialogue *d = calloc(active, sizeof *d);
    if (tuples.queue != NULL && d != NULL) {
        for (; started < active; started++) {
            dialogue_start(w, &d[started], tuples_take(&tuples, w->now_ns), o);
        }
    }
    bool ok = started == active;
    while (ok && active > 0) {
        struct dialogue *one = &d[frames_random(w, (uint32_t)active)];
        dialogue_step(w, one);
        if (one->phase != PHASE_DONE) {
            continue;
        }
        count_end(t, one);
        tuples.queue[tuples.tail++] = (struct rested){w->now_ns, one->flow.tuple};
        if (started < o->connections) {
            started++;
            dialogue_start(w, one, tuples_take(&tuples, w->now_ns), o);
        } else {
            *one = d[--active];
        }
    }
    free(tuples.queue);
    free(d);
    return ok;
}

/* A handshake whole, at once. */
static void handshake(struct frames_writer *w, struct frames_flow *f) {
    send_segment(w, f, FRAMES_CLIENT, FRAMES_SYN, 0);
    send_segment(w, f, FRAMES_SERVER, FRAMES_SYN | FRAMES_ACK, 0);
    send_segment(w, f, FRAMES_CLIENT, FRAMES_ACK, 0);
}

/* Few long transfers, downloads and uploads: full segments, an ACK for about every second or more,
 * now and then a few octets the other way. */
static bool elephants(struct frames_writer *w, const struct options *o, struct truth *t) {
    struct frames_flow f[ELEPHANTS];
    uint32_t in_flight[ELEPHANTS] = {0};
    for (uint32_t i = 0; i < ELEPHANTS; i++) {
        f[i] = frames_flow(w, i);
        handshake(w, &f[i]);
    }
    while (w->packets + ELEPHANTS < o->packets) {
        uint32_t i = frames_random(w, ELEPHANTS);
        enum frames_side sender = i % 4 == 0 ? FRAMES_CLIENT : FRAMES_SERVER;
        bool full = in_flight[i] >= WINDOW_SEGMENTS;
        if (full || (in_flight[i] >= 2 && frames_random(w, 5) < 2)) {
            uint32_t kept = frames_random(w, in_flight[i] - 1);
            uint32_t small = frames_random(w, 64) == 0 ? 100 : 0;
            frames_send(w, &f[i],
                        (struct frames_segment){.side = 1 - sender,
                                                .flags = FRAMES_ACK,
                                                .payload = (uint16_t)small,
                                                .unacked = kept * MSS});
            in_flight[i] = kept;
        } else {
            send_segment(w, &f[i], sender, FRAMES_ACK, MSS);
            in_flight[i]++;
        }
    }
    for (uint32_t i = 0; i < ELEPHANTS; i++) {
        send_segment(w, &f[i], i % 4 == 0 ? FRAMES_SERVER : FRAMES_CLIENT, FRAMES_ACK, 0);
    }
    t->connections = t->open = ELEPHANTS;
    return true;
}

/* Connections that are set up and stay: handshakes of SETUP_LAG at a time, then segments of
 * connections taken at random. */
static bool million(struct frames_writer *w, const struct options *o, struct truth *t) {
    struct frames_flow *f = calloc(o->connections, sizeof *f);
    if (f == NULL) {
        return false;
    }
    for (uint64_t i = 0; i < o->connections + 2 * SETUP_LAG; i++) {
        if (i < o->connections) {
            f[i] = frames_flow(w, (uint32_t)i);
            send_segment(w, &f[i], FRAMES_CLIENT, FRAMES_SYN, 0);
        }
        if (i >= SETUP_LAG && i - SETUP_LAG < o->connections) {
            send_segment(w, &f[i - SETUP_LAG], FRAMES_SERVER, FRAMES_SYN | FRAMES_ACK, 0);
        }
        if (i >= 2 * SETUP_LAG) {
            send_segment(w, &f[i - 2 * SETUP_LAG], FRAMES_CLIENT, FRAMES_ACK, 0);
        }
    }
    while (w->packets < o->packets) {
        struct frames_flow *one = &f[frames_random(w, (uint32_t)o->connections)];
        enum frames_side side = frames_random(w, 2) == 0 ? FRAMES_CLIENT : FRAMES_SERVER;
        send_segment(w, one, side, FRAMES_ACK | FRAMES_PSH, 1 + frames_random(w, MSS));
    }
    free(f);
    t->connections = t->open = o->connections;
    return true;
}

/* The next address that a flood may bear: all differ, none is 0/8, 10/8 (the honest ones), 127/8,
 * multicast or above. */
static uint32_t spoofed_address(uint32_t *counter) {
    for (;;) {
        uint32_t address = ++*counter * UINT32_C(2654435761); /* odd: a permutation of 32 bits */
        uint32_t net = address >> 24;
        if (net != 0 && net != 10 && net != 127 && net < 224) {
            return address;
        }
    }
}

/* SYNs from addresses that never answer, at one server, and a few honest connections that go on all
 * the while. */
static bool synflood(struct frames_writer *w, const struct options *o, struct truth *t) {
    const struct frames_endpoint victim = {UINT32_C(0x0ac80001), 443};
    uint32_t counter = w->salt, tuple = 0;
    struct dialogue d[LEGITIMATE];
    for (size_t i = 0; i < LEGITIMATE; i++) {
        dialogue_start(w, &d[i], tuple++, o);
    }
    while (t->half_open < o->connections) {
        if (frames_random(w, LEGITIMATE_EVERY) != 0) {
            struct frames_endpoint from = {spoofed_address(&counter),
                                           (uint16_t)(1024 + frames_random(w, 64512))};
            frames_send_spoofed(w, &from, &victim);
            t->half_open++;
            continue;
        }
        struct dialogue *one = &d[frames_random(w, LEGITIMATE)];
        dialogue_step(w, one);
        if (one->phase == PHASE_DONE) {
            count_end(t, one);
            dialogue_start(w, one, tuple++, o);
        }
    }
    for (size_t i = 0; i < LEGITIMATE; i++) {
        while (d[i].phase != PHASE_DONE) {
            dialogue_step(w, &d[i]);
        }
        count_end(t, &d[i]);
    }
    t->connections += t->half_open;
    return true;
}

static const struct mode {
    const char *name;
    bool (*run)(struct frames_writer *w, const struct options *o, struct truth *t);
    uint64_t connections, packets, rate;
} modes[] = {
    {"churn", churn, 915000, 0, 100000},
    {"elephants", elephants, 0, 10000000, 500000},
    {"million", million, 1000000, 10000000, 500000},
    {"synflood", synflood, 1000000, 0, 500000},
};

/* Transitions of design 1.3 with TIME_WAIT run out: an orderly connection takes eight (SYN,
 * SYN-ACK, ACK, FIN, its ACK, FIN, its ACK, the timer), a reset one four, a refused one two, an
 * open one three. A flood's depend on the SYN timers: not said. */
static bool write_truth(const struct options *o, const struct frames_writer *w,
                        const struct truth *t) {
    char path[4096];
    int n = snprintf(path, sizeof path, "%s.truth.json", o->path);
    FILE *f = n > 0 && (size_t)n < sizeof path ? fopen(path, "we") : NULL;
    if (f == NULL) {
        return false;
    }
    fprintf(f,
            "{\"mode\":\"%s\",\"seed\":%" PRIu64 ",\"packets\":%" PRIu64 ",\"bytes\":%" PRIu64
            ",\"payload\":%" PRIu64,
            o->mode, o->seed, w->packets, w->octets, w->payload);
    fprintf(f, ",\"last\":%" PRIu64 ".%06" PRIu64, w->last_ns / 1000000000,
            w->last_ns % 1000000000 / 1000);
    fprintf(f, ",\"connections\":%" PRIu64, t->connections);
    if (t->half_open == 0) {
        fprintf(f, ",\"transitions\":%" PRIu64,
                8 * t->fin + 4 * t->rst + 2 * t->refused + 3 * t->open);
    }
    fprintf(f,
            ",\"ends\":{\"fin\":%" PRIu64 ",\"rst\":%" PRIu64 ",\"refused\":%" PRIu64
            ",\"open\":%" PRIu64 ",\"half_open\":%" PRIu64 "}}\n",
            t->fin, t->rst, t->refused, t->open, t->half_open);
    return fclose(f) == 0;
}

static int usage(void) {
    fputs("usage: spanwatch-bench-generate [OPTION]... churn|elephants|million|synflood FILE\n"
          "  --seed N              the same seed, the same file (1)\n"
          "  --connections N       of churn (915000) and million (1000000); SYNs of synflood "
          "(1000000)\n"
          "  --packets N           of elephants and million (10000000); churn and synflood end "
          "with their connections\n"
          "  --rate N              packets a second of capture time (churn 100000, others 500000)\n"
          "  --concurrency N       connections of churn at a time (rate / 25: their packets lie 40 "
          "ms apart)\n"
          "  --rst-permille N      connections of churn that end by RST (0)\n"
          "  --refused-permille N  connections of churn that are refused (0)\n",
          stderr);
    return 2;
}

static bool parse_number(const char *text, uint64_t low, uint64_t high, uint64_t *out) {
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    *out = value;
    return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && value >= low &&
           value <= high;
}

static bool parse(int argc, char **argv, struct options *o) {
    static const struct option names[] = {{"seed", 1, NULL, 's'},
                                          {"connections", 1, NULL, 'c'},
                                          {"packets", 1, NULL, 'p'},
                                          {"rate", 1, NULL, 'r'},
                                          {"concurrency", 1, NULL, 'n'},
                                          {"rst-permille", 1, NULL, 'x'},
                                          {"refused-permille", 1, NULL, 'd'},
                                          {NULL, 0, NULL, 0}};
    int option;
    bool ok = true;
    uint64_t number;
    while (ok && (option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 's':
            ok = parse_number(optarg, 0, UINT64_MAX, &o->seed);
            break;
        case 'c':
            ok = parse_number(optarg, 1, 100000000, &o->connections);
            break;
        case 'p':
            ok = parse_number(optarg, 1, UINT64_C(1) << 40, &o->packets);
            break;
        case 'r':
            ok = parse_number(optarg, 1, 100000000, &o->rate);
            break;
        case 'n':
            ok = parse_number(optarg, 1, 1000000, &o->concurrency);
            break;
        case 'x':
            ok = parse_number(optarg, 0, 500, &number);
            o->rst_permille = (uint32_t)number;
            break;
        case 'd':
            ok = parse_number(optarg, 0, 500, &number);
            o->refused_permille = (uint32_t)number;
            break;
        default:
            ok = false;
        }
    }
    ok = ok && argc - optind == 2;
    if (ok) {
        o->mode = argv[optind];
        o->path = argv[optind + 1];
    }
    return ok;
}

int main(int argc, char **argv) {
    struct options o = {.seed = 1};
    const struct mode *mode = NULL;
    if (!parse(argc, argv, &o)) {
        return usage();
    }
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        mode = strcmp(o.mode, modes[i].name) == 0 ? &modes[i] : mode;
    }
    if (mode == NULL) {
        return usage();
    }
    o.connections = o.connections == 0 ? mode->connections : o.connections;
    o.packets = o.packets == 0 ? mode->packets : o.packets;
    o.rate = o.rate == 0 ? mode->rate : o.rate;
    if (o.concurrency == 0) { /* so many that a connection's packets lie some 40 ms apart */
        o.concurrency = o.rate / 25 + 1;
    }

    struct frames_writer w;
    struct truth t = {0};
    if (!frames_open(&w, o.path, o.seed, o.rate)) {
        fprintf(stderr, "spanwatch-bench-generate: %s: %s\n", o.path, strerror(errno));
        return 1;
    }
    bool ok = mode->run(&w, &o, &t);
    ok = frames_close(&w) && ok && write_truth(&o, &w, &t);
    if (!ok) {
        fprintf(stderr, "spanwatch-bench-generate: %s: %s\n", o.path,
                strerror(errno == 0 ? ENOMEM : errno));
    }
    return ok ? 0 : 1;
}
