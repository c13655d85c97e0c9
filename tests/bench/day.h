/*
 * day: an ordinary day of a site as packets at its mirror port, for the alarms to keep quiet about.
 *
 * day.c: options, the clock, who comes when. day_world.c: the site as tables, and how its life
 * goes by the hour. day_talk.c: one connection, segment by segment. The same seed gives the same
 * file. Everything is planned ahead and passes through one queue by time. One thread.
 */
#ifndef SPANWATCH_BENCH_DAY_H
#define SPANWATCH_BENCH_DAY_H

#include "frames.h"

#define DAY_NS       UINT64_C(1000000000)
#define DAY_BEGIN_NS (UINT64_C(1700006400) * DAY_NS) /* Wednesday, 0:00 UTC */

/* ---- the site (day_world.c) ---- */

enum day_curve { CURVE_FLAT, CURVE_OFFICE, CURVE_HOME };

struct day_service {
    const char *name; /* NULL: no entry in services.json */
    uint16_t port;
    uint8_t servers;
    float rtt_ms;           /* from the tap and back */
    float think_ms, spread; /* until it answers: median, and sigma of the logarithm */
    bool greets;            /* it speaks first */
    float night_work;       /* so much slower from 2:00 to 2:50 */
    float idle_s;           /* after so long it closes */
};

enum day_habit {
    HABIT_COMES, /* connections by chance, `rate` a second at the best of times */
    HABIT_HOLDS, /* each client keeps `held` of them open for `life_s`, then opens others */
    HABIT_CALLS  /* by the clock: every `every_s` from `at_s` on, `held` of each client within
                    spread_s */
};
enum day_end { END_CLOSES, END_RESETS_AT_ONCE, END_CLOSES_AT_ONCE };

struct day_crowd {
    const char *what;
    uint8_t service;
    enum day_habit habit;
    enum day_curve curve;
    enum day_end end;
    uint32_t net; /* of the first client's address */
    uint16_t clients, held;
    float night; /* share of `rate` that is left at the quietest hour */
    float rate;
    float every_s, at_s, spread_s, life_s;
    float rtt_ms, rtt_spread;            /* of the clients, from the tap and back: median, sigma */
    float loss;                          /* of segments with payload */
    float asks, gap_s;                   /* mean number of requests, mean time between them */
    float ask_segments, answer_segments; /* means */
    float aborts, vanishes; /* of connections: reset by the client, or never heard of again */
    float keepalive_s;
    bool every_server; /* HABIT_CALLS: at each server of the service */
};

extern const struct day_service day_services[];
extern const struct day_crowd day_crowds[];
extern const unsigned day_service_count, day_crowd_count;

/* The anomalies that can be put into a day. */
enum day_plant {
    PLANT_REFUSED,
    PLANT_FLOOD,
    PLANT_SCAN,
    PLANT_LOSS,
    PLANT_SLOW,
    PLANT_GONE,
    PLANT_RESTART,
    PLANT_LEAK,
    PLANT_ABORTS,
    PLANT_CHURN,
    PLANTS
};
struct day_plant_kind {
    const char *kind; /* of the alarm */
    uint8_t service;
    float lasts_s;
};
extern const struct day_plant_kind day_plants[PLANTS];

/* ---- state ---- */

struct day_client {
    uint32_t address, ports, clock; /* ports: how many it has used; clock: of its timestamps */
    float rtt_ns;
};

struct day_talk { /* a connection */
    struct frames_endpoint end[2];
    uint32_t seq[2], sent[2], clock[2]; /* sent: value of the last timestamp */
    float rtt_ns[2], loss;
    uint64_t at_ns;   /* when the last planned segment passes */
    uint64_t over_ns; /* of one that is held: when it is given up */
    uint32_t client;  /* index */
    uint16_t crowd;
    bool live;
    int32_t asks;
    uint32_t serial; /* which use of this place it is */
    uint32_t next_free;
};

enum day_what {
    WHAT_FRAME,
    WHAT_ASK,
    WHAT_CLOSE,
    WHAT_KEEPALIVE,
    WHAT_ARRIVAL,
    WHAT_OPEN,
    WHAT_CALL,
    WHAT_PLANT
};

struct day_due {
    uint64_t at_ns, order;
    uint8_t what;
    uint32_t who, which; /* a talk and its serial; or a crowd and its client; or a plant */
    struct frames_exact frame;
};

struct day_mood { /* what no table says: it wanders from minute to minute */
    double busy, slow;
    uint64_t minute;
    uint64_t burst_until_ns;
    uint64_t stall_until_ns;
};

struct day {
    struct frames_writer out;
    double scale, hours;
    uint64_t now_ns, end_ns;
    struct day_due *queue;
    uint32_t due, room;
    uint64_t order;
    struct day_talk *talk;
    uint32_t talks, talks_room, free_talk; /* free_talk: index + 1 */
    struct day_client *client;
    uint32_t *first_client; /* by crowd */
    struct day_mood *crowd_mood, *service_mood;
    uint64_t plant_from_ns[PLANTS];
    uint64_t connections;
    bool short_of_memory;
    struct day_due spare; /* for what finds no memory */
};

/* day.c */
struct day_due *day_later(struct day *d, uint64_t at_ns, enum day_what what, uint32_t who,
                          uint32_t which); /* valid until the next call; never NULL */
bool day_planted(const struct day *d, enum day_plant p, uint64_t at_ns);
double day_chance(struct day *d);                              /* 0 to 1, neither of them */
double day_wait(struct day *d, double mean);                   /* exponential */
double day_skewed(struct day *d, double median, double sigma); /* lognormal */

/* day_world.c */
double day_busy(struct day *d, unsigned crowd, uint64_t at_ns); /* 0 to about 2, times `rate` */
uint64_t day_think(struct day *d, unsigned service, uint64_t at_ns); /* ns until an answer */
void day_frame(struct day *d, const struct frames_exact *x);         /* later, at its time */

/* day_talk.c */
void talk_open(struct day *d, unsigned crowd, uint32_t client, unsigned server);
void talk_step(struct day *d, const struct day_due *due);
void talk_finish(struct day *d, uint32_t talk); /* now */

#endif
