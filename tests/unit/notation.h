/*
 * A small notation for packets and for what the tracker says of them.
 *
 * A line is TIME FROM>TO FLAGS SEQ [ACK] [WORD...]: time in seconds, ends c (10.0.0.1:40000), d
 * (10.0.0.3:40001), s (10.0.0.2:443), p (10.0.0.4:50000, a port that tells nothing), flags of S F R
 * A P or '-' for none. Words: +N payload, wN window, scN window scale option, ts timestamps option,
 * bad and good for the checksum, copy for the octets of the line before once more. `TIME c>s ICMP
 * SEQ TYPE CODE` is an ICMP error that quotes a segment of c; `TIME tick` lets time pass; `end`
 * ends the capture with 120 s of linger.
 *
 * What is expected of a line is the list of events that it gave, as text: CLIENT/SERVER states and
 * the cause, then `inferred=` and the reason, and `end:` for a connection record; before each
 * `@TIME` where its time is not the line's, and `d:` where the connection is not c's. A line that
 * gives no event is expected to leave the pair of states that is written. That `was` continues the
 * chain of states is asserted for all of them.
 */
#ifndef TESTS_UNIT_NOTATION_H
#define TESTS_UNIT_NOTATION_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "spanwatch/flow.h"

#define NOTATION_EPOCH_NS (UINT64_C(1700000000) * BASE_NS_PER_S)

struct notation_line {
    const char *packet, *expected;
};

struct notation {
    struct flow_tracker *tracker;
    uint64_t line_ns; /* the tracker's time of the line being played */
    uint16_t ip_id;
    struct segment last;
    uint8_t last_verdict;
    uint8_t state[2][2]; /* of c's and d's connection: client, server */
    uint16_t client[2];  /* the port of its client */
    char said[1024];
    struct event_connection record; /* the last one */
};

static const struct {
    char name;
    uint8_t octet;
    uint16_t port;
} notation_ends[] = {{'c', 1, 40000}, {'d', 3, 40001}, {'s', 2, 443}, {'p', 4, 50000}};

static void notation_end(char name, uint8_t *addr, uint16_t *port) {
    for (size_t i = 0; i < sizeof notation_ends / sizeof *notation_ends; i++)
        if (notation_ends[i].name == name) {
            const uint8_t a[4] = {10, 0, 0, notation_ends[i].octet};
            memcpy(addr, a, sizeof a);
            *port = notation_ends[i].port;
            return;
        }
    fail_msg("no end is called %c", name);
}

static uint8_t notation_flags(const char *text) {
    uint8_t flags = 0;
    for (; *text && *text != ' '; text++)
        flags |= *text == 'S'   ? SEGMENT_SYN
                 : *text == 'F' ? SEGMENT_FIN
                 : *text == 'R' ? SEGMENT_RST
                 : *text == 'A' ? SEGMENT_ACK
                 : *text == 'P' ? SEGMENT_PSH
                                : 0;
    return flags;
}

/* "12.5" to nanoseconds, by way of micros, so that all are exact. */
static uint64_t notation_time(const char *text, char **rest) {
    return (uint64_t)(strtod(text, rest) * 1e6 + 0.5) * 1000;
}

static const char *notation_name_of(char *out, size_t n, uint64_t ns) {
    snprintf(out, n, "%.9f", (double)(int64_t)(ns - NOTATION_EPOCH_NS) / 1e9);
    for (size_t i = strlen(out); i > 0 && out[i - 1] == '0'; i--)
        out[i - 1] = 0;
    if (out[strlen(out) - 1] == '.')
        out[strlen(out) - 1] = 0;
    return out;
}

static void notation_say(struct notation *n, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void notation_say(struct notation *n, const char *format, ...) {
    size_t at = strlen(n->said);
    va_list args;
    va_start(args, format);
    vsnprintf(n->said + at, sizeof n->said - at, format, args);
    va_end(args);
}

static void notation_chain(struct notation *n, unsigned who, const struct event *e) {
    const struct event_transition *t = &e->transition;
    if (t->cause == TCP_CAUSE_ROLES) {
        uint8_t client = n->state[who][0];
        n->state[who][0] = n->state[who][1];
        n->state[who][1] = client;
        assert_int_not_equal(e->flow.client_port, n->client[who]);
        n->client[who] = e->flow.client_port;
    }
    if (n->client[who] == 0)
        n->client[who] = e->flow.client_port;
    assert_int_equal(e->flow.client_port, n->client[who]);
    assert_memory_equal(t->was, n->state[who], 2);
    memcpy(n->state[who], t->state, 2);
}

static void notation_take(void *context, const struct event *e) {
    static const char *const ends[] = {"fin", "rst", "refused", "timeout", "evicted", "open"};
    struct notation *n = context;
    unsigned who = e->flow.client_port == 40001 || e->flow.server_port == 40001;
    char at[32];
    if (n->said[0])
        notation_say(n, ", ");
    if (e->ts_ns != n->line_ns)
        notation_say(n, "@%s ", notation_name_of(at, sizeof at, e->ts_ns));
    if (who)
        notation_say(n, "d:");
    if (e->type == EVENT_CONNECTION) {
        notation_say(n, "end:%s", ends[e->connection.end]);
        n->record = e->connection;
        memset(n->state[who], TCP_CLOSED, 2);
        n->client[who] = 0;
        return;
    }
    const struct event_transition *t = &e->transition;
    notation_chain(n, who, e);
    notation_say(n, "%s/%s %s", tcp_state_name(t->state[0]), tcp_state_name(t->state[1]),
                 tcp_cause_name(t->cause));
    if (t->inferred != TCP_PROVEN)
        notation_say(n, " inferred=%s", tcp_inferred_name(t->inferred));
}

static void notation_words(struct segment *s, const char *p) {
    for (; *p; p += strcspn(p, " ")) {
        p += strspn(p, " ");
        if (*p == '+')
            s->payload = (uint32_t)strtoul(p + 1, NULL, 10);
        else if (*p == 'w')
            s->window = (uint16_t)strtoul(p + 1, NULL, 10);
        else if (strncmp(p, "sc", 2) == 0) {
            s->options |= SEGMENT_OPT_WSCALE;
            s->wscale = (uint8_t)strtoul(p + 2, NULL, 10);
        } else if (strncmp(p, "ts", 2) == 0)
            s->options |= SEGMENT_OPT_TIMESTAMP;
        else if (strncmp(p, "bad", 3) == 0)
            s->checksum_state = SEGMENT_CHECKSUM_BAD;
        else if (strncmp(p, "good", 4) == 0)
            s->checksum_state = SEGMENT_CHECKSUM_GOOD;
        else if (*p)
            fail_msg("not understood: %s", p);
    }
}

/* FROM>TO FLAGS SEQ ... to a segment; its decode verdict. */
static uint8_t notation_segment(struct notation *n, const char *p, struct segment *s) {
    char *rest;
    *s = (struct segment){.family = 4, .window = 65535, .ip_id = ++n->ip_id};
    notation_end(p[0], s->src, &s->src_port);
    notation_end(p[2], s->dst, &s->dst_port);
    p += 4;
    bool icmp = strncmp(p, "ICMP", 4) == 0;
    s->flags = icmp ? 0 : notation_flags(p);
    s->seq = (uint32_t)strtoul(p + strcspn(p, " "), &rest, 10);
    if (icmp) {
        s->icmp_type = (uint8_t)strtoul(rest, &rest, 10);
        s->icmp_code = (uint8_t)strtoul(rest, &rest, 10);
        return DECODE_ICMP;
    }
    if (rest[0] == ' ' && rest[1] >= '0' && rest[1] <= '9')
        s->ack = (uint32_t)strtoul(rest, &rest, 10);
    notation_words(s, rest);
    return DECODE_TCP;
}

static void notation_feed(struct notation *n, const char *line) {
    char *p;
    if (strcmp(line, "end") == 0) {
        n->line_ns = flow_now(n->tracker);
        flow_finish(n->tracker, 120 * BASE_NS_PER_S);
        return;
    }
    uint64_t ts_ns = NOTATION_EPOCH_NS + notation_time(line, &p);
    p += strspn(p, " ");
    n->line_ns = ts_ns > flow_now(n->tracker) ? ts_ns : flow_now(n->tracker);
    if (strcmp(p, "tick") == 0) {
        flow_advance(n->tracker, ts_ns);
        return;
    }
    if (strcmp(p, "copy") != 0)
        n->last_verdict = notation_segment(n, p, &n->last);
    n->last.ts_ns = ts_ns;
    struct segment s = n->last;
    flow_batch(n->tracker, &s, &n->last_verdict, 1);
}

static void notation_start(struct notation *n, const struct flow_config *config) {
    struct flow_config defaults = {.timers = flow_timers_default(), .hash_seed = {1, 2}};
    defaults.timers.time_wait = 60; /* round, for reading */
    memset(n, 0, sizeof *n);
    n->tracker = flow_new(config ? config : &defaults, notation_take, n);
    assert_non_null(n->tracker);
}

static void notation_stop(struct notation *n) {
    flow_free(n->tracker);
}

static void notation_lines(struct notation *n, const struct notation_line *line, size_t lines) {
    char found[1024];
    for (size_t i = 0; i < lines; i++) {
        n->said[0] = 0;
        notation_feed(n, line[i].packet);
        snprintf(found, sizeof found, "%s", n->said);
        if (!found[0])
            snprintf(found, sizeof found, "%s/%s", tcp_state_name(n->state[0][0]),
                     tcp_state_name(n->state[0][1]));
        if (strcmp(found, line[i].expected) == 0)
            continue;
        notation_stop(n);
        fail_msg("line %zu: %s\n  expected %s\n  found    %s", i + 1, line[i].packet,
                 line[i].expected, found);
    }
}

/* A whole case: a tracker of its own, with the default configuration. */
#define NOTATION_CASE(...)                                                                         \
    do {                                                                                           \
        static const struct notation_line lines_[] = {__VA_ARGS__};                                \
        struct notation n_;                                                                        \
        notation_start(&n_, NULL);                                                                 \
        notation_lines(&n_, lines_, sizeof lines_ / sizeof *lines_);                               \
        notation_stop(&n_);                                                                        \
    } while (0)

#endif
