/*
 * spanwatch-bench-day: hours of ordinary traffic, and anomalies in it where they are asked for.
 *
 * Input: how long, how dense, a seed. Output: FILE (classic pcap, see frames.h), FILE.services.json
 * and FILE.truth.json: packets, connections, and when each anomaly began and ended.
 */
#include "day.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_TALKS = 200000,
    FLOOD_EVERY_NS = 8000000,
    SCAN_EVERY_NS = 200000000,
    CHURN_EVERY_NS = 40000000,
    GONE_PERCENT = 75
};

/* ---- chance ---- */

double day_chance(struct day *d) {
    return (frames_random(&d->out, UINT32_MAX) + 0.5) / 4294967296.0;
}

double day_wait(struct day *d, double mean) {
    return -log(day_chance(d)) * mean;
}

double day_skewed(struct day *d, double median, double sigma) {
    double normal = sqrt(-2 * log(day_chance(d))) * cos(2 * acos(-1) * day_chance(d));
    return median * exp(sigma * normal);
}

/* ---- the queue: a binary heap by time ---- */

static bool before(const struct day_due *x, const struct day_due *y) {
    return x->at_ns != y->at_ns ? x->at_ns < y->at_ns : x->order < y->order;
}

struct day_due *day_later(struct day *d, uint64_t at_ns, enum day_what what, uint32_t who,
                          uint32_t which) {
    struct day_due x = {
        .at_ns = at_ns, .order = d->order++, .what = (uint8_t)what, .who = who, .which = which};
    if (d->due == d->room) {
        uint32_t room = d->room ? d->room * 2 : 4096;
        struct day_due *grown = reallocarray(d->queue, room, sizeof *grown);
        if (grown == NULL) {
            d->short_of_memory = true;
            return &d->spare;
        }
        d->queue = grown;
        d->room = room;
    }
    uint32_t at = d->due++;
    for (; at > 0 && before(&x, &d->queue[(at - 1) / 2]); at = (at - 1) / 2)
        d->queue[at] = d->queue[(at - 1) / 2];
    d->queue[at] = x;
    return &d->queue[at];
}

void day_frame(struct day *d, const struct frames_exact *x) {
    day_later(d, x->at_ns, WHAT_FRAME, 0, 0)->frame = *x;
}

static struct day_due take_first(struct day *d) {
    struct day_due first = d->queue[0], x = d->queue[--d->due];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= d->due)
            break;
        child += child + 1 < d->due && before(&d->queue[child + 1], &d->queue[child]);
        if (!before(&d->queue[child], &x))
            break;
        d->queue[at] = d->queue[child];
        at = child;
    }
    d->queue[at] = x;
    return first;
}

/* ---- who comes when ---- */

/* The next one by chance. Where nearly nobody comes, it is asked again within minutes. */
static void plan_arrival(struct day *d, unsigned crowd) {
    double rate = day_crowds[crowd].rate * d->scale * day_busy(d, crowd, d->now_ns);
    double wait_s = day_wait(d, 1 / fmax(rate, 1e-6));
    bool comes = wait_s < 300;
    day_later(d, d->now_ns + (uint64_t)(fmin(wait_s, 300) * (double)DAY_NS), WHAT_ARRIVAL, crowd,
              comes);
}

static void arrive(struct day *d, const struct day_due *due) {
    const struct day_crowd *c = &day_crowds[due->who];
    double among = day_chance(d);
    if (due->which) /* some come much more often than others */
        talk_open(d, due->who, d->first_client[due->who] + (uint32_t)(among * among * c->clients),
                  frames_random(&d->out, 64));
    plan_arrival(d, due->who);
}

static void call(struct day *d, const struct day_due *due) {
    const struct day_crowd *c = &day_crowds[due->who];
    unsigned servers = c->every_server ? day_services[c->service].servers : 1;
    double held = c->held > 100 ? c->held * d->scale : c->held;
    for (uint32_t i = 0; i < c->clients; i++)
        for (unsigned n = 0; n < (unsigned)held * servers; n++)
            day_later(d, d->now_ns + (uint64_t)(day_chance(d) * c->spread_s * (double)DAY_NS),
                      WHAT_OPEN, due->who, d->first_client[due->who] + i)
                ->frame.side = (uint8_t)(n % servers);
    day_later(d, d->now_ns + (uint64_t)(c->every_s * (float)DAY_NS), WHAT_CALL, due->who, 0);
}

static void begin_crowd(struct day *d, unsigned crowd) {
    const struct day_crowd *c = &day_crowds[crowd];
    switch (c->habit) {
    case HABIT_COMES:
        plan_arrival(d, crowd);
        return;
    case HABIT_CALLS:
        day_later(d, DAY_BEGIN_NS + (uint64_t)(c->at_s * (float)DAY_NS), WHAT_CALL, crowd, 0);
        return;
    case HABIT_HOLDS:
        for (uint32_t i = 0; i < c->clients * (uint32_t)c->held; i++)
            day_later(d, d->now_ns + (uint64_t)(day_chance(d) * 30 * (double)DAY_NS), WHAT_OPEN,
                      crowd, d->first_client[crowd] + i % c->clients);
        return;
    }
}

/* ---- anomalies ---- */

bool day_planted(const struct day *d, enum day_plant p, uint64_t at_ns) {
    uint64_t from_ns = d->plant_from_ns[p];
    return from_ns != 0 && at_ns >= from_ns &&
           at_ns < from_ns + (uint64_t)(day_plants[p].lasts_s * (float)DAY_NS);
}

/* Some percent of a service's connections end now. */
static void end_many(struct day *d, unsigned service, uint32_t percent) {
    for (uint32_t i = 0; i < d->talks; i++)
        if (d->talk[i].live && day_crowds[d->talk[i].crowd].service == service &&
            frames_random(&d->out, 100) < percent)
            talk_finish(d, i);
}

static void knock(struct day *d, uint32_t from, uint16_t port, bool answered) {
    uint32_t server = UINT32_C(0x0a010100) + day_plants[PLANT_SCAN].service * 16u;
    struct frames_exact x = {.from = {from, (uint16_t)(1024 + frames_random(&d->out, 60000))},
                             .to = {server, port},
                             .at_ns = d->now_ns,
                             .seq = frames_random(&d->out, UINT32_MAX),
                             .flags = FRAMES_SYN,
                             .side = FRAMES_CLIENT};
    frames_send_exact(&d->out, &x);
    struct frames_exact reply = {.from = x.to,
                                 .to = x.from,
                                 .at_ns = d->now_ns + 400000,
                                 .ack = x.seq + 1,
                                 .flags =
                                     answered ? FRAMES_SYN | FRAMES_ACK : FRAMES_RST | FRAMES_ACK,
                                 .side = FRAMES_SERVER};
    day_frame(d, &reply);
    for (uint64_t s = 1; answered && s <= 15; s = 2 * s + 1) { /* tcp_synack_retries 4 */
        reply.at_ns = d->now_ns + s * DAY_NS;
        day_frame(d, &reply);
    }
}

static uint32_t crowd_of(unsigned service, bool short_lived) {
    uint32_t i = 0;
    while (day_crowds[i].service != service || (day_crowds[i].habit == HABIT_COMES) != short_lived)
        i++;
    return i;
}

static void plant(struct day *d, const struct day_due *due) {
    uint64_t every_ns = 0;
    switch (due->who) {
    case PLANT_FLOOD:
        knock(d, UINT32_C(0x0b000000) + frames_random(&d->out, 1 << 24), 443, true);
        every_ns = FLOOD_EVERY_NS;
        break;
    case PLANT_SCAN:
        knock(d, UINT32_C(0x0a1e0907), (uint16_t)(2000 + due->which), false);
        every_ns = SCAN_EVERY_NS;
        break;
    case PLANT_CHURN: {
        uint32_t crowd = crowd_of(day_plants[PLANT_CHURN].service, true);
        talk_open(d, crowd, d->first_client[crowd], 0);
        every_ns = CHURN_EVERY_NS;
        break;
    }
    case PLANT_GONE:
    case PLANT_RESTART:
        end_many(d, day_plants[due->who].service, due->who == PLANT_GONE ? GONE_PERCENT : 100);
        return;
    default:
        return; /* those who plan connections ask whether it is on */
    }
    if (day_planted(d, (enum day_plant)due->who, d->now_ns + every_ns))
        day_later(d, d->now_ns + every_ns, WHAT_PLANT, due->who, due->which + 1);
}

/* ---- the day ---- */

static bool prepare(struct day *d) {
    uint32_t clients = 0;
    d->first_client = calloc(day_crowd_count, sizeof *d->first_client);
    d->crowd_mood = calloc(day_crowd_count, sizeof *d->crowd_mood);
    d->service_mood = calloc(day_service_count, sizeof *d->service_mood);
    d->talk = calloc(MOST_TALKS, sizeof *d->talk);
    d->talks_room = MOST_TALKS;
    for (unsigned i = 0; i < day_crowd_count; i++)
        clients += day_crowds[i].clients;
    d->client = calloc(clients, sizeof *d->client);
    if (d->first_client == NULL || d->crowd_mood == NULL || d->service_mood == NULL ||
        d->talk == NULL || d->client == NULL)
        return false;
    clients = 0;
    for (unsigned i = 0; i < day_crowd_count; i++) {
        const struct day_crowd *c = &day_crowds[i];
        d->first_client[i] = clients;
        for (uint32_t k = 0; k < c->clients; k++)
            d->client[clients++] = (struct day_client){
                .address = c->net + k,
                .ports = frames_random(&d->out, 28232) + i * 4000,
                .clock = frames_random(&d->out, UINT32_MAX),
                .rtt_ns = (float)(day_skewed(d, c->rtt_ms, c->rtt_spread) * 1e6)};
    }
    return true;
}

static void run(struct day *d) {
    d->now_ns = DAY_BEGIN_NS;
    d->end_ns = DAY_BEGIN_NS + (uint64_t)(d->hours * 3600 * (double)DAY_NS);
    for (unsigned i = 0; i < day_crowd_count; i++)
        begin_crowd(d, i);
    for (uint32_t p = 0; p < PLANTS; p++)
        if (d->plant_from_ns[p] != 0)
            day_later(d, d->plant_from_ns[p], WHAT_PLANT, p, 0);
    while (d->due > 0 && !d->short_of_memory) {
        struct day_due due = take_first(d);
        if (due.at_ns >= d->end_ns)
            return;
        d->now_ns = due.at_ns;
        switch (due.what) {
        case WHAT_FRAME:
            frames_send_exact(&d->out, &due.frame);
            break;
        case WHAT_ARRIVAL:
            arrive(d, &due);
            break;
        case WHAT_OPEN:
            talk_open(d, due.who, due.which, due.frame.side);
            break;
        case WHAT_CALL:
            call(d, &due);
            break;
        case WHAT_PLANT:
            plant(d, &due);
            break;
        default:
            talk_step(d, &due);
        }
    }
}

/* ---- what is told of it ---- */

static FILE *beside(const char *path, const char *end) {
    char name[4096];
    int n = snprintf(name, sizeof name, "%s%s", path, end);
    return n > 0 && (size_t)n < sizeof name ? fopen(name, "we") : NULL;
}

static bool write_services(const char *path) {
    FILE *f = beside(path, ".services.json");
    const char *comma = "";
    if (f == NULL)
        return false;
    fputs("{\"services\":[", f);
    for (unsigned i = 0; i < day_service_count; i++) {
        const struct day_service *s = &day_services[i];
        for (unsigned n = 0; n < s->servers && s->name != NULL; n++, comma = ",")
            fprintf(f, "%s\n {\"server\":\"10.1.1.%u\",\"port\":%u,\"name\":\"%s\"}", comma,
                    i * 16 + n, s->port, s->name);
    }
    fputs("\n]}\n", f);
    return fclose(f) == 0;
}

static bool write_truth(const struct day *d, const char *path) {
    FILE *f = beside(path, ".truth.json");
    const char *comma = "";
    if (f == NULL)
        return false;
    fprintf(f, "{\"packets\":%" PRIu64 ",\"connections\":%" PRIu64 ",\"planted\":[", d->out.packets,
            d->connections);
    for (int p = 0; p < PLANTS; p++) {
        if (d->plant_from_ns[p] == 0)
            continue;
        double from = (double)(d->plant_from_ns[p] / DAY_NS);
        const char *service = day_services[day_plants[p].service].name;
        fprintf(f, "%s\n {\"kind\":\"%s\",\"service\":\"%s\",\"from\":%.0f,\"to\":%.0f}", comma,
                day_plants[p].kind, service, from, from + (double)day_plants[p].lasts_s);
        comma = ",";
    }
    fputs("]}\n", f);
    return fclose(f) == 0;
}

static int usage(void) {
    fputs("usage: spanwatch-bench-day [OPTION]... FILE\n"
          "  --seed N            the same seed, the same file (1)\n"
          "  --hours N           from midnight on (24)\n"
          "  --scale X           of all rates (1: some 20 million packets a day)\n"
          "  --plant KIND@HOURS  an anomaly, so many hours after the begin; KIND is one of\n"
          "                     ",
          stderr);
    for (int p = 0; p < PLANTS; p++)
        fprintf(stderr, " %s", day_plants[p].kind);
    fputs("\n", stderr);
    return 2;
}

static bool take_plant(struct day *d, const char *text) {
    const char *at = strchr(text, '@');
    for (int p = 0; at != NULL && p < PLANTS; p++) {
        size_t n = strlen(day_plants[p].kind);
        if ((size_t)(at - text) != n || strncmp(text, day_plants[p].kind, n) != 0)
            continue;
        double hours = strtod(at + 1, NULL);
        d->plant_from_ns[p] = DAY_BEGIN_NS + (uint64_t)(hours * 3600) * DAY_NS;
        return hours > 0;
    }
    return false;
}

int main(int argc, char **argv) {
    static const struct option names[] = {{"seed", 1, NULL, 's'},
                                          {"hours", 1, NULL, 'h'},
                                          {"scale", 1, NULL, 'x'},
                                          {"plant", 1, NULL, 'p'},
                                          {NULL, 0, NULL, 0}};
    static struct day d = {.scale = 1, .hours = 24};
    uint64_t seed = 1;
    bool ok = true;
    for (int o; ok && (o = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (o == 's')
            seed = strtoull(optarg, NULL, 10);
        else if (o == 'h')
            d.hours = strtod(optarg, NULL);
        else if (o == 'x')
            d.scale = strtod(optarg, NULL);
        else
            ok = o == 'p' && take_plant(&d, optarg);
    }
    if (!ok || argc - optind != 1 || d.hours <= 0 || d.scale <= 0)
        return usage();
    const char *path = argv[optind];
    if (!frames_open(&d.out, path, seed, 1000) || !prepare(&d)) {
        fprintf(stderr, "spanwatch-bench-day: %s: %s\n", path, strerror(errno));
        return 1;
    }
    run(&d);
    ok =
        frames_close(&d.out) && !d.short_of_memory && write_services(path) && write_truth(&d, path);
    if (!ok)
        fprintf(stderr, "spanwatch-bench-day: %s: %s\n", path, strerror(errno ? errno : ENOMEM));
    free(d.queue);
    free(d.talk);
    free(d.client);
    free(d.first_client);
    free(d.crowd_mood);
    free(d.service_mood);
    return ok ? 0 : 1;
}
