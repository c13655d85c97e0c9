/*
 * day_talk: one connection as it passes the tap, which stands between client and server.
 *
 * A step (open, ask, close, keepalive) plans the segments up to the next pause: each passes the
 * tap a way and back after what it answers. Losses before the tap and beyond it, what is sent again
 * for them, clients that reset, or are never heard of again, and servers that give them up.
 */
#include "day.h"

#include <math.h>

enum {
    MSS = 1448,
    BURST = 10,           /* segments that leave at once */
    BURST_GAP_NS = 40000, /* between two of these */
    RTO_NS = 220000000,
    GIVE_UP = 8 /* so often a FIN or a probe is sent again */
};

static uint64_t ns_of(double s) {
    return (uint64_t)(s * (double)DAY_NS);
}

/* How long the way to a side and back takes this time. */
static uint64_t way(struct day *d, const struct day_talk *t, enum frames_side side) {
    double rtt = t->rtt_ns[side];
    return (uint64_t)(rtt + day_wait(d, rtt * 0.05 + 20000));
}

struct part {
    enum frames_side side;
    uint8_t flags;
    uint32_t payload, back; /* back: it begins so many octets before what was sent last */
    uint32_t unacked;
};

/* Plan a segment at the talk's time. One that is sent for the first time moves its sequence on. */
static void say(struct day *d, struct day_talk *t, struct part p, bool seen) {
    unsigned side = p.side, other = 1 - side;
    uint32_t seq = t->seq[side] - p.back;
    if (p.back == 0)
        t->seq[side] += p.payload + ((p.flags & (FRAMES_SYN | FRAMES_FIN)) != 0);
    if (!seen)
        return;
    uint32_t ms = (uint32_t)(t->at_ns / 1000000);
    struct frames_exact x = {.from = t->end[side],
                             .to = t->end[other],
                             .at_ns = t->at_ns,
                             .seq = seq,
                             .ack = t->seq[other] - p.unacked,
                             .value = ms + t->clock[side],
                             .echo = t->sent[other],
                             .payload = (uint16_t)p.payload,
                             .flags = p.flags,
                             .side = (uint8_t)side};
    t->sent[side] = x.value;
    day_frame(d, &x);
}

static void say_plain(struct day *d, struct day_talk *t, enum frames_side side, uint8_t flags) {
    say(d, t, (struct part){.side = side, .flags = flags}, true);
}

/* ---- data ---- */

static double loss_now(const struct day *d, const struct day_talk *t) {
    bool planted = day_crowds[t->crowd].service == day_plants[PLANT_LOSS].service &&
                   day_planted(d, PLANT_LOSS, t->at_ns);
    return planted ? 0.2 : t->loss;
}

/* The segments that leave at once, and their acknowledgements: one for every second. Of one that is
 * lost, before the tap or beyond it, a copy comes a round trip or a timeout later. */
static void burst(struct day *d, struct day_talk *t, enum frames_side side, uint32_t segments,
                  uint32_t last) {
    uint32_t lost = UINT32_MAX, sent = 0, lost_size = 0, after_lost = 0;
    bool before_tap = false;
    for (uint32_t i = 0; i < segments; i++) {
        uint32_t size = i + 1 < segments ? MSS : last;
        if (lost == UINT32_MAX && day_chance(d) < loss_now(d, t)) {
            lost = i;
            lost_size = size;
            before_tap = day_chance(d) < 0.5;
        } else if (lost != UINT32_MAX) {
            after_lost += size;
        }
        say(d, t, (struct part){.side = side, .flags = FRAMES_ACK | FRAMES_PSH, .payload = size},
            i != lost || !before_tap);
        t->at_ns += BURST_GAP_NS;
        sent += size;
    }
    t->at_ns += way(d, t, 1 - side);
    for (uint32_t i = 1; i < segments && i < lost; i += 2) {
        uint32_t left = sent > (i + 1) * MSS ? sent - (i + 1) * MSS : 0;
        if (left > 0)
            say(d, t, (struct part){.side = 1 - side, .flags = FRAMES_ACK, .unacked = left}, true);
        t->at_ns += BURST_GAP_NS;
    }
    if (lost == UINT32_MAX)
        return;
    for (uint32_t i = lost + 1; i < segments; i++) { /* duplicate acknowledgements */
        say(d, t,
            (struct part){.side = 1 - side, .flags = FRAMES_ACK, .unacked = lost_size + after_lost},
            true);
        t->at_ns += BURST_GAP_NS;
    }
    t->at_ns += segments - lost > 3 ? way(d, t, side) : RTO_NS + way(d, t, side);
    say(d, t,
        (struct part){.side = side,
                      .flags = FRAMES_ACK | FRAMES_PSH,
                      .payload = lost_size,
                      .back = lost_size + after_lost},
        true);
    t->at_ns += way(d, t, 1 - side);
}

/* So many segments from one side; at the end all of it is acknowledged, or `silent`: the answer
 * does that. */
static void send_data(struct day *d, struct day_talk *t, enum frames_side side, double mean,
                      bool silent) {
    uint32_t segments = (uint32_t)(mean <= 1 ? 1 : 1 + day_wait(d, mean - 1));
    while (segments > 0) {
        uint32_t now = segments < BURST ? segments : BURST;
        segments -= now;
        burst(d, t, side, now, segments > 0 ? MSS : 20 + frames_random(&d->out, 1200));
        if (segments > 0 || !silent)
            say_plain(d, t, 1 - side, FRAMES_ACK);
        if (segments > 0)
            t->at_ns += way(d, t, side);
    }
}

/* ---- the end ---- */

static void free_talk(struct day *d, uint32_t i) {
    d->talk[i].live = false;
    d->talk[i].serial++;
    d->talk[i].next_free = d->free_talk;
    d->free_talk = i + 1;
}

/* Its end is planned. Who holds connections opens another one. */
static void over(struct day *d, uint32_t i, double pause_s) {
    const struct day_talk *t = &d->talk[i];
    const struct day_crowd *c = &day_crowds[t->crowd];
    uint64_t at_ns = t->at_ns + ns_of(day_wait(d, pause_s) + 0.05);
    if (c->service == day_plants[PLANT_GONE].service && day_planted(d, PLANT_GONE, at_ns))
        at_ns =
            d->plant_from_ns[PLANT_GONE] + ns_of(day_plants[PLANT_GONE].lasts_s + day_wait(d, 20));
    if (c->habit == HABIT_HOLDS)
        day_later(d, at_ns, WHAT_OPEN, t->crowd, t->client);
    free_talk(d, i);
}

static void close_from(struct day *d, struct day_talk *t, enum frames_side first) {
    enum frames_side second = 1 - first;
    bool leak = day_crowds[t->crowd].service == day_plants[PLANT_LEAK].service &&
                first == FRAMES_CLIENT && day_planted(d, PLANT_LEAK, t->at_ns);
    say_plain(d, t, first, FRAMES_FIN | FRAMES_ACK);
    t->at_ns += way(d, t, second);
    if (leak) { /* its process forgets to */
        say_plain(d, t, second, FRAMES_ACK);
        t->at_ns =
            d->plant_from_ns[PLANT_LEAK] + ns_of(day_plants[PLANT_LEAK].lasts_s + day_wait(d, 2));
    } else if (day_chance(d) < 0.3) {
        say_plain(d, t, second, FRAMES_ACK);
        t->at_ns += ns_of(day_wait(d, 0.01));
    }
    say_plain(d, t, second, FRAMES_FIN | FRAMES_ACK);
    t->at_ns += way(d, t, first);
    say_plain(d, t, first, leak ? FRAMES_RST : FRAMES_ACK);
}

/* The client is never heard of again: the server closes after a while, in vain. */
static void vanish(struct day *d, struct day_talk *t) {
    uint64_t wait_ns = RTO_NS + way(d, t, FRAMES_CLIENT);
    float idle_s = day_services[day_crowds[t->crowd].service].idle_s;
    t->at_ns += ns_of(idle_s > 0 ? idle_s : 90);
    say_plain(d, t, FRAMES_SERVER, FRAMES_FIN | FRAMES_ACK);
    for (int i = 0; i < GIVE_UP; i++) {
        t->at_ns += wait_ns;
        wait_ns *= 2;
        say(d, t, (struct part){.side = FRAMES_SERVER, .flags = FRAMES_FIN | FRAMES_ACK, .back = 1},
            true);
    }
}

static void finish(struct day *d, uint32_t i) {
    struct day_talk *t = &d->talk[i];
    const struct day_crowd *c = &day_crowds[t->crowd];
    bool storm = c->service == day_plants[PLANT_ABORTS].service &&
                 day_planted(d, PLANT_ABORTS, t->at_ns) && day_chance(d) < 0.8;
    double dice = day_chance(d);
    if (c->end == END_RESETS_AT_ONCE || dice < c->aborts || storm) {
        say_plain(d, t, storm ? FRAMES_SERVER : FRAMES_CLIENT, FRAMES_RST | FRAMES_ACK);
    } else if (dice < c->aborts + c->vanishes) {
        vanish(d, t);
    } else {
        bool server = c->end == END_CLOSES && day_services[c->service].idle_s > 0 &&
                      c->habit == HABIT_COMES && day_chance(d) < 0.6;
        if (server) /* it waited for more */
            t->at_ns += ns_of(day_services[c->service].idle_s);
        close_from(d, t, server ? FRAMES_SERVER : FRAMES_CLIENT);
    }
    over(d, i, 3);
}

/* ---- from step to step ---- */

/* When and what comes next: another request, a keepalive before it, or the end. */
static void go_on(struct day *d, uint32_t i) {
    struct day_talk *t = &d->talk[i];
    const struct day_crowd *c = &day_crowds[t->crowd];
    double gap_s = day_wait(d, c->gap_s);
    if (c->habit == HABIT_HOLDS) /* what is held is used by as much as there is to do */
        gap_s = fmin(gap_s / (d->scale * day_busy(d, t->crowd, t->at_ns)), 600);
    uint64_t next_ns = t->at_ns + ns_of(gap_s);
    bool last = c->habit == HABIT_HOLDS ? next_ns >= t->over_ns : t->asks <= 0;
    if (c->keepalive_s > 0 && gap_s > c->keepalive_s)
        day_later(d, t->at_ns + ns_of(c->keepalive_s), WHAT_KEEPALIVE, i, t->serial);
    else
        day_later(d, next_ns, last ? WHAT_CLOSE : WHAT_ASK, i, t->serial);
}

static void ask(struct day *d, uint32_t i) {
    struct day_talk *t = &d->talk[i];
    const struct day_crowd *c = &day_crowds[t->crowd];
    t->asks--;
    send_data(d, t, FRAMES_CLIENT, c->ask_segments, true);
    uint64_t think_ns = day_think(d, c->service, t->at_ns);
    if (think_ns > 40000000) { /* a delayed acknowledgement comes first (RFC 1122, 4.2.3.2) */
        t->at_ns += 40000000;
        say_plain(d, t, FRAMES_SERVER, FRAMES_ACK);
        think_ns -= 40000000;
    }
    t->at_ns += think_ns + way(d, t, FRAMES_SERVER);
    send_data(d, t, FRAMES_SERVER, c->answer_segments, false);
    go_on(d, i);
}

/* A probe of one octet less (RFC 9293 section 3.8.4), and its answer. */
static void keepalive(struct day *d, uint32_t i) {
    struct day_talk *t = &d->talk[i];
    say(d, t, (struct part){.side = FRAMES_CLIENT, .flags = FRAMES_ACK, .back = 1}, true);
    t->at_ns += way(d, t, FRAMES_SERVER);
    say_plain(d, t, FRAMES_SERVER, FRAMES_ACK);
    go_on(d, i);
}

void talk_step(struct day *d, const struct day_due *due) {
    struct day_talk *t = &d->talk[due->who];
    if (!t->live || t->serial != due->which)
        return;
    if (t->at_ns < due->at_ns)
        t->at_ns = due->at_ns;
    if (due->what == WHAT_CLOSE)
        finish(d, due->who);
    else if (due->what == WHAT_KEEPALIVE)
        keepalive(d, due->who);
    else
        ask(d, due->who);
}

void talk_finish(struct day *d, uint32_t talk) {
    struct day_talk *t = &d->talk[talk];
    if (t->at_ns < d->now_ns)
        t->at_ns = d->now_ns;
    close_from(d, t, FRAMES_SERVER);
    over(d, talk, 3);
}

/* ---- the begin ---- */

static bool refused(struct day *d, const struct day_crowd *c, uint64_t at_ns) {
    return day_services[c->service].think_ms == 0 ||
           (c->service == day_plants[PLANT_REFUSED].service &&
            day_planted(d, PLANT_REFUSED, at_ns));
}

static uint32_t take_talk(struct day *d) {
    if (d->free_talk != 0) {
        uint32_t i = d->free_talk - 1;
        d->free_talk = d->talk[i].next_free;
        return i;
    }
    return d->talks < d->talks_room ? d->talks++ : UINT32_MAX;
}

static void begin(struct day *d, struct day_talk *t, unsigned crowd, uint32_t client,
                  unsigned server) {
    const struct day_crowd *c = &day_crowds[crowd];
    const struct day_service *s = &day_services[c->service];
    struct day_client *who = &d->client[client];
    *t = (struct day_talk){.client = client,
                           .crowd = (uint16_t)crowd,
                           .serial = t->serial,
                           .live = true,
                           .at_ns = d->now_ns};
    t->end[FRAMES_CLIENT] =
        (struct frames_endpoint){who->address, (uint16_t)(32768 + who->ports++ * 7u % 28232)};
    t->end[FRAMES_SERVER] = (struct frames_endpoint){
        UINT32_C(0x0a010100) + c->service * 16u + server % s->servers, s->port};
    for (int side = 0; side < 2; side++)
        t->seq[side] = frames_random(&d->out, UINT32_MAX);
    t->clock[FRAMES_CLIENT] = who->clock;
    t->clock[FRAMES_SERVER] = t->end[FRAMES_SERVER].address * 2654435761u;
    t->rtt_ns[FRAMES_CLIENT] = who->rtt_ns;
    t->rtt_ns[FRAMES_SERVER] = s->rtt_ms * 1e6f;
    t->loss = c->loss;
    t->asks = c->asks <= 1 ? (int32_t)c->asks : (int32_t)(1 + day_wait(d, c->asks - 1));
    if (c->habit == HABIT_HOLDS)
        t->over_ns = t->at_ns + ns_of(c->life_s * (0.3 + 1.4 * day_chance(d)));
}

void talk_open(struct day *d, unsigned crowd, uint32_t client, unsigned server) {
    const struct day_crowd *c = &day_crowds[crowd];
    uint32_t i = take_talk(d);
    if (i == UINT32_MAX) {
        d->short_of_memory = true;
        return;
    }
    struct day_talk *t = &d->talk[i];
    begin(d, t, crowd, client, server);
    d->connections++;
    say_plain(d, t, FRAMES_CLIENT, FRAMES_SYN);
    if (day_chance(d) < c->loss * 0.5) { /* it did not arrive */
        t->at_ns += DAY_NS;
        say(d, t, (struct part){.side = FRAMES_CLIENT, .flags = FRAMES_SYN, .back = 1}, true);
    }
    t->at_ns += way(d, t, FRAMES_SERVER);
    if (refused(d, c, t->at_ns)) {
        say_plain(d, t, FRAMES_SERVER, FRAMES_RST | FRAMES_ACK);
        over(d, i, 5);
        return;
    }
    say_plain(d, t, FRAMES_SERVER, FRAMES_SYN | FRAMES_ACK);
    t->at_ns += way(d, t, FRAMES_CLIENT);
    say_plain(d, t, FRAMES_CLIENT, FRAMES_ACK);
    t->at_ns += 300000 + ns_of(day_wait(d, 0.001));
    if (c->end != END_CLOSES) {
        finish(d, i);
        return;
    }
    if (day_services[c->service].greets) {
        t->at_ns += day_think(d, c->service, t->at_ns);
        send_data(d, t, FRAMES_SERVER, 1, false);
    }
    day_later(d, t->at_ns, c->habit == HABIT_HOLDS || t->asks > 0 ? WHAT_ASK : WHAT_CLOSE, i,
              t->serial);
}
