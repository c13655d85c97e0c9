/*
 * A bench for the alarm engine: windows that end when a test says so, events that happen in them,
 * and what the engine told.
 */
#ifndef SPANWATCH_TESTS_ALARM_BENCH_H
#define SPANWATCH_TESTS_ALARM_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "spanwatch/alarm.h"

enum { MOST = 4096, START_S = 1700000000, WINDOW_S = ALARM_WINDOW_S };

struct bench {
    struct alarm_rules *rules;
    struct alarm_engine *engine;
    uint64_t now_s; /* end of the window that goes on */
    struct event_picture sum;
    uint64_t max_flows;
    alarm_client_named *named;
    double history_hours;
    unsigned sources; /* of pictures; 0: one */
    struct alarm told[MOST];
    size_t n;
};

static inline void keep(void *bench, const struct alarm *a) {
    struct bench *b = bench;
    assert_true(b->n < MOST);
    b->told[b->n++] = *a;
}

static const char *name_of(void *context, const struct event_flow *f) {
    (void)context;
    return f->server_port == 443 ? "https" : NULL;
}

static inline void begin(struct bench *b) {
    struct alarm_config config = {.rules = b->rules,
                                  .service = name_of,
                                  .named = b->named,
                                  .sink = keep,
                                  .context = b,
                                  .max_flows = b->max_flows,
                                  .history_hours = b->history_hours,
                                  .sources = b->sources};
    b->engine = alarm_new(&config);
    b->now_s = START_S + WINDOW_S;
    assert_non_null(b->engine);
}

static inline int set_up(void **state) {
    struct bench *b = calloc(1, sizeof *b);
    b->rules = alarm_rules_new();
    *state = b;
    return b->rules != NULL ? 0 : -1;
}

static inline int tear_down(void **state) {
    struct bench *b = *state;
    alarm_free(b->engine);
    alarm_rules_free(b->rules);
    free(b);
    return 0;
}

/* ---- what happens ---- */

static inline struct event_flow flow(const struct bench *b, uint32_t client, uint16_t port,
                                     uint16_t server_port) {
    struct event_flow f = {.family = 4,
                           .client_port = port,
                           .server_port = server_port,
                           .server = {10, 0, 0, 2},
                           .first_ns = (b->now_s - 5) * BASE_NS_PER_S};
    memcpy(f.client, &client, sizeof client);
    return f;
}

static inline void step(struct bench *b, const struct event_flow *f, const uint8_t was[2],
                        const uint8_t now[2], enum tcp_cause cause, unsigned by) {
    struct event e = {
        .ts_ns = (b->now_s - 5) * BASE_NS_PER_S, .flow = *f, .type = EVENT_TRANSITION};
    memcpy(e.transition.was, was, 2);
    memcpy(e.transition.state, now, 2);
    e.transition.cause = (uint8_t)cause;
    e.transition.by = (uint8_t)by;
    alarm_event(b->engine, &e);
}

static const uint8_t closed[2] = {TCP_CLOSED, TCP_CLOSED};
static const uint8_t asking[2] = {TCP_SYN_SENT, TCP_CLOSED};
static const uint8_t answered[2] = {TCP_ESTABLISHED, TCP_SYN_RECEIVED};
static const uint8_t open_now[2] = {TCP_ESTABLISHED, TCP_ESTABLISHED};

static inline void refuse(struct bench *b, uint32_t client, unsigned times) {
    for (unsigned i = 0; i < times; i++) {
        struct event_flow f = flow(b, client, (uint16_t)(40000 + i), 443);
        step(b, &f, closed, asking, TCP_CAUSE_SYN, EVENT_CLIENT);
        step(b, &f, asking, closed, TCP_CAUSE_RST, EVENT_SERVER);
    }
}

static inline void half_open(struct bench *b, const struct event_flow *f) {
    step(b, f, closed, asking, TCP_CAUSE_SYN, EVENT_CLIENT);
    step(b, f, asking, answered, TCP_CAUSE_SYN_ACK, EVENT_SERVER);
}

static inline void serve(struct bench *b, uint32_t client, unsigned times) {
    for (unsigned i = 0; i < times; i++) {
        struct event_flow f = flow(b, client, (uint16_t)(50000 + i), 443);
        half_open(b, &f);
        step(b, &f, answered, open_now, TCP_CAUSE_ACK, EVENT_CLIENT);
    }
}

static inline void picture_begins(struct bench *b) {
    struct event e = {.ts_ns = b->now_s * BASE_NS_PER_S, .type = EVENT_PICTURE};
    e.picture.purpose = EVENT_FOR_WINDOW;
    alarm_event(b->engine, &e);
}

static inline void member(struct bench *b, const struct event_flow *f, uint8_t client,
                          uint8_t server, uint64_t since_s) {
    struct event e = {.ts_ns = b->now_s * BASE_NS_PER_S, .flow = *f, .type = EVENT_MEMBER};
    e.member.state[EVENT_CLIENT] = client;
    e.member.state[EVENT_SERVER] = server;
    e.member.since_ns[0] = e.member.since_ns[1] = since_s * BASE_NS_PER_S;
    e.member.last_ns = since_s * BASE_NS_PER_S;
    alarm_event(b->engine, &e);
}

/* The window ends; each has some traffic, so that the tap is never silent. */
static inline void picture_ends(struct bench *b) {
    struct event e = {.ts_ns = b->now_s * BASE_NS_PER_S, .type = EVENT_PICTURE_END};
    b->sum.packets += 1000;
    b->sum.passed[0] += 1000;
    b->sum.tcp += 1000;
    b->sum.laden += 500;
    e.picture = b->sum;
    e.picture.purpose = EVENT_FOR_WINDOW;
    alarm_event(b->engine, &e);
    b->now_s += WINDOW_S;
}

static inline void window(struct bench *b) {
    picture_begins(b);
    picture_ends(b);
}

/* The last message of a kind; NULL when there is none. */
static const struct alarm *last_of(const struct bench *b, enum alarm_kind kind) {
    for (size_t i = b->n; i > 0; i--)
        if (b->told[i - 1].kind == kind)
            return &b->told[i - 1];
    return NULL;
}

#endif
