/*
 * A store of millions for measuring questions: commands of the Redis protocol to standard output.
 *
 *   fill_store FLOWS TRANSITIONS PARTITIONS | redis-cli --pipe
 *
 * One probe, "bench", from 2023-11-14 22:13:20 UTC on for an hour: in the first twelfth FLOWS
 * connections of a tenth as many clients are opened to 40 servers; then, until all TRANSITIONS are
 * spent, a random one closes (one of twenty only half) and another is opened for it. A snapshot
 * each ten seconds, keyframes as design 1.3 has them, TIME_WAIT for 60 s. The same arguments give
 * the same octets. Memory: 40 octets a connection and a keyframe's order.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spanwatch/redis.h"

enum {
    SERVERS = 40,
    HOUR_S = 3600,
    OPENING_S = 300,
    PERIOD_S = 10,
    KEYFRAME_S = 600,
    TIME_WAIT_S = 60,
    PART = 1000,
    HALF_ONE_IN = 20
};
static const uint64_t start_ns = UINT64_C(1700000000) * 1000000000;

enum state { OPEN, HALF, WAITING, STATES };
static const char *const pair[STATES] = {"ESTABLISHED/ESTABLISHED", "FIN_WAIT_2/CLOSE_WAIT",
                                         "TIME_WAIT/CLOSED"};

struct flow {
    uint64_t id, since_ns;
    uint32_t client; /* number */
    uint16_t port;
    uint8_t server, state;
    uint16_t partition;
};

struct stream {
    uint64_t ms, seq;
};

static struct flow *flows; /* those open, then those in TIME_WAIT, oldest first, as a ring */
static size_t open_flows, wait_first, wait_count, wait_room;
static unsigned partitions;
static struct stream *transition_stream, *snapshot_stream;
static uint64_t (*counts)[SERVERS][STATES]; /* by partition */
static uint64_t now_ns, next_ns, keyframe_ns, written, since_keyframe, dice = 1;
static uint64_t step_ns;

static uint64_t roll(void) {
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice;
}

static void client_address(uint32_t client, char out[32]) {
    snprintf(out, 32, "10.%u.%u.%u", client >> 16 & 255, client >> 8 & 255, client & 255);
}

static void bulk(const char *text, size_t n) {
    printf("$%zu\r\n", n);
    fwrite(text, 1, n, stdout);
    fputs("\r\n", stdout);
}

static void word(const char *text) {
    bulk(text, strlen(text));
}

static void number(uint64_t n) {
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, n);
    word(text);
}

static void stamp(uint64_t ns) {
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64 ".%09" PRIu64, ns / 1000000000, ns % 1000000000);
    word(text);
}

static void add(const char *what, unsigned partition, struct stream *s, uint64_t ns,
                unsigned fields) {
    char text[64];
    uint64_t ms = ns / 1000000;
    s->seq = ms > s->ms ? 0 : s->seq + 1;
    s->ms = ms > s->ms ? ms : s->ms;
    printf("*%u\r\n$4\r\nXADD\r\n", 3 + 2 * fields);
    snprintf(text, sizeof text, "spanwatch:{bench/%u}:%s", partition, what);
    word(text);
    snprintf(text, sizeof text, "%" PRIu64 "-%" PRIu64, s->ms, s->seq);
    word(text);
}

static void field(const char *name, const char *value) {
    word(name);
    word(value);
}

static void server_text(unsigned server, char address[32], char service[32]) {
    snprintf(address, 32, "10.200.0.%u:%u", server + 1, 443 + server);
    snprintf(service, 32, "service-%u", server / 2);
}

static void transition(const struct flow *f, const char *was, const char *is, const char *cause) {
    char id[20], client[40], server[32], service[32];
    client_address(f->client, client);
    size_t n = strlen(client);
    snprintf(client + n, sizeof client - n, ":%u", f->port);
    server_text(f->server, server, service);
    snprintf(id, sizeof id, "%016" PRIx64, f->id);
    add("transitions", f->partition, &transition_stream[f->partition], now_ns, 8);
    word("ts");
    stamp(now_ns);
    field("flow", id);
    field("client", client);
    field("server", server);
    field("service", service);
    field("state", is);
    field("was", was);
    field("cause", cause);
    written++;
    since_keyframe++;
    now_ns += step_ns;
}

static void frame(unsigned p, bool begin, bool keyframe, uint64_t count, uint64_t groups) {
    static const char *const rest[] = {"server", "service", "state",  "count",
                                       "part",   "parts",   "members"};
    add("snapshots", p, &snapshot_stream[p], next_ns, 12);
    word("ts");
    stamp(next_ns);
    field("kind", begin ? "begin" : "end");
    field("keyframe", begin && keyframe ? "1" : "");
    word("flows");
    number(count);
    word("groups");
    if (begin)
        word("");
    else
        number(groups);
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        field(rest[i], "");
}

static void group(unsigned p, unsigned server, unsigned state, uint64_t count, uint64_t part,
                  uint64_t parts, const char *members, size_t n) {
    char address[32], service[32];
    server_text(server, address, service);
    add("snapshots", p, &snapshot_stream[p], next_ns, 12);
    word("ts");
    stamp(next_ns);
    field("kind", "group");
    field("keyframe", "");
    field("flows", "");
    field("groups", "");
    field("server", address);
    field("service", service);
    field("state", pair[state]);
    word("count");
    number(count);
    word("part");
    number(part);
    word("parts");
    number(parts);
    word("members");
    bulk(members, n);
}

static size_t bucket(const struct flow *f) {
    return ((size_t)f->partition * SERVERS + f->server) * STATES + f->state;
}

static const struct flow *flow_at(size_t i) {
    return i < open_flows ? &flows[i]
                          : &flows[open_flows + (wait_first + i - open_flows) % wait_room];
}

/* Numbers of all flows, ordered by bucket; begin[] has where each bucket begins. */
static uint32_t *order(uint64_t *begin, size_t buckets) {
    size_t n = open_flows + wait_count;
    uint32_t *in_order = malloc((n + 1) * sizeof *in_order);
    memset(begin, 0, (buckets + 1) * sizeof *begin);
    for (size_t i = 0; i < n; i++)
        begin[bucket(flow_at(i)) + 1]++;
    for (size_t i = 0; i < buckets; i++)
        begin[i + 1] += begin[i];
    uint64_t *at = malloc(buckets * sizeof *at);
    memcpy(at, begin, buckets * sizeof *at);
    for (size_t i = 0; i < n; i++)
        in_order[at[bucket(flow_at(i))]++] = (uint32_t)i;
    free(at);
    return in_order;
}

static void members(unsigned p, unsigned server, unsigned state, const uint32_t *in_order,
                    uint64_t from, uint64_t to) {
    static char text[PART * 96];
    uint64_t count = to - from, parts = (count + PART - 1) / PART;
    for (uint64_t part = 0; part < parts; part++) {
        size_t n = 0;
        uint64_t last = from + (part + 1) * PART < to ? from + (part + 1) * PART : to;
        for (uint64_t i = from + part * PART; i < last; i++) {
            const struct flow *f = flow_at(in_order[i]);
            char client[32];
            client_address(f->client, client);
            n += (size_t)sprintf(text + n, "%s%s:%u,%016" PRIx64 ",%" PRIu64 ".%09" PRIu64,
                                 n > 0 ? " " : "", client, f->port, f->id, f->since_ns / 1000000000,
                                 f->since_ns % 1000000000);
        }
        group(p, server, state, count, part + 1, parts, text, n);
    }
}

static void snapshot(void) {
    size_t buckets = (size_t)partitions * SERVERS * STATES;
    bool keyframe = keyframe_ns == 0 || since_keyframe > open_flows + wait_count ||
                    next_ns - keyframe_ns >= KEYFRAME_S * UINT64_C(1000000000);
    uint64_t *begin = keyframe ? malloc((buckets + 1) * sizeof *begin) : NULL;
    uint32_t *in_order = keyframe ? order(begin, buckets) : NULL;
    for (unsigned p = 0; p < partitions; p++) {
        uint64_t total = 0, groups = 0;
        for (unsigned i = 0; i < SERVERS * STATES; i++)
            total += counts[p][i / STATES][i % STATES];
        frame(p, true, keyframe, total, 0);
        for (unsigned i = 0; i < SERVERS * STATES; i++) {
            uint64_t n = counts[p][i / STATES][i % STATES];
            size_t b = (size_t)p * SERVERS * STATES + i;
            groups += n > 0;
            if (n > 0 && keyframe)
                members(p, i / STATES, i % STATES, in_order, begin[b], begin[b + 1]);
            else if (n > 0)
                group(p, i / STATES, i % STATES, n, 1, 1, "", 0);
        }
        frame(p, false, keyframe, total, groups);
    }
    free(begin);
    free(in_order);
    if (keyframe) {
        keyframe_ns = next_ns;
        since_keyframe = 0;
    }
}

/* Snapshots that are due before the next few transitions: a connection's steps are not torn apart.
 */
static void pass_time(void) {
    enum { STEPS = 8 };
    while (now_ns + STEPS * step_ns >= next_ns) {
        snapshot();
        if (now_ns <= next_ns)
            now_ns = next_ns + step_ns;
        next_ns += PERIOD_S * UINT64_C(1000000000);
    }
}

static void set_state(struct flow *f, unsigned state) {
    counts[f->partition][f->server][f->state]--;
    f->state = (uint8_t)state;
    f->since_ns = now_ns - step_ns;
    counts[f->partition][f->server][f->state]++;
}

static void open_flow(struct flow *f, uint32_t clients) {
    struct base_addr a = {.family = 4};
    char text[32];
    *f = (struct flow){.id = roll(), .client = (uint32_t)(roll() % clients), .state = OPEN};
    f->port = (uint16_t)(1024 + roll() % 60000);
    f->server = (uint8_t)(roll() % SERVERS);
    client_address(f->client, text);
    base_addr_parse(text, &a);
    f->partition = (uint16_t)redis_partition(&a, partitions);
    transition(f, "CLOSED/CLOSED", "SYN_SENT/CLOSED", "syn");
    transition(f, "SYN_SENT/CLOSED", "ESTABLISHED/SYN_RECEIVED", "syn_ack");
    transition(f, "ESTABLISHED/SYN_RECEIVED", "ESTABLISHED/ESTABLISHED", "ack");
    f->since_ns = now_ns - step_ns;
    counts[f->partition][f->server][OPEN]++;
}

static void close_flow(struct flow *f, uint32_t clients) {
    if (f->state == OPEN) {
        transition(f, "ESTABLISHED/ESTABLISHED", "FIN_WAIT_1/CLOSE_WAIT", "fin");
        transition(f, "FIN_WAIT_1/CLOSE_WAIT", "FIN_WAIT_2/CLOSE_WAIT", "ack");
        set_state(f, HALF);
        if (roll() % HALF_ONE_IN == 0)
            return;
    }
    transition(f, "FIN_WAIT_2/CLOSE_WAIT", "TIME_WAIT/LAST_ACK", "fin");
    transition(f, "TIME_WAIT/LAST_ACK", "TIME_WAIT/CLOSED", "ack");
    set_state(f, WAITING);
    if (wait_count < wait_room)
        flows[open_flows + (wait_first + wait_count++) % wait_room] = *f;
    open_flow(f, clients);
}

static void expire(void) {
    while (wait_count > 0) {
        struct flow *f = &flows[open_flows + wait_first % wait_room];
        if (now_ns < f->since_ns + TIME_WAIT_S * UINT64_C(1000000000))
            return;
        pass_time();
        counts[f->partition][f->server][WAITING]--;
        transition(f, "TIME_WAIT/CLOSED", "CLOSED/CLOSED", "timeout:time_wait inferred=timer");
        wait_first = (wait_first + 1) % wait_room;
        wait_count--;
    }
}

static void tell_probe(void) {
    char json[256];
    snprintf(
        json, sizeof json,
        "{\"format\":1,\"partitions\":%u,\"skew_ms\":2000,\"host\":\"bench\",\"version\":\"0\","
        "\"started\":1700000000.000000000,\"first\":1700000000.000000000,"
        "\"last\":%" PRIu64 ".%09" PRIu64 "}",
        partitions, now_ns / 1000000000, now_ns % 1000000000);
    fputs("*4\r\n$4\r\nHSET\r\n$16\r\nspanwatch:probes\r\n$5\r\nbench\r\n", stdout);
    word(json);
}

int main(int argc, char **argv) {
    uint64_t n, transitions, p;
    if (argc != 4 || !base_uint_parse(argv[1], 100000000, &n) ||
        !base_uint_parse(argv[2], 1000000000, &transitions) ||
        !base_uint_parse(argv[3], REDIS_PARTITIONS_MOST, &p) || n < 10 || p == 0 ||
        transitions < 6 * n)
        return 2;
    partitions = (unsigned)p;
    wait_room = n;
    flows = calloc(2 * n, sizeof *flows);
    counts = calloc(p, sizeof *counts);
    transition_stream = calloc(p, sizeof *transition_stream);
    snapshot_stream = calloc(p, sizeof *snapshot_stream);
    if (flows == NULL || counts == NULL || transition_stream == NULL || snapshot_stream == NULL)
        return 1;
    static char buffer[1 << 20];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    uint32_t clients = (uint32_t)(n / 10);
    now_ns = start_ns;
    next_ns = start_ns + PERIOD_S * UINT64_C(1000000000);
    step_ns = OPENING_S * UINT64_C(1000000000) / (3 * n);
    for (open_flows = 0; open_flows < n; open_flows++) {
        pass_time();
        open_flow(&flows[open_flows], clients);
    }
    step_ns = (HOUR_S - OPENING_S) * UINT64_C(1000000000) / (transitions - written);
    while (written < transitions) {
        pass_time();
        close_flow(&flows[roll() % n], clients);
        expire();
    }
    tell_probe();
    return fflush(stdout) == 0 ? 0 : 1;
}
