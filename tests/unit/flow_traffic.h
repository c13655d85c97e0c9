/*
 * Random traffic of many clients to one server: handshakes, closes, resets, tuples used again.
 */
#ifndef TESTS_UNIT_FLOW_TRAFFIC_H
#define TESTS_UNIT_FLOW_TRAFFIC_H

#include "tests/unit/flow_random.h"
#include "tests/unit/flow_segments.h"

enum { TRAFFIC_HOSTS = 12000, TRAFFIC_SERVER = 0x800000, TRAFFIC_PORT = 443 };

struct traffic {
    uint32_t seq[TRAFFIC_HOSTS]; /* the client's next; the server's is the same and 7 */
    uint8_t stage[TRAFFIC_HOSTS];
    uint64_t ms, random;
};

static uint32_t traffic_host(const struct event *e) {
    return (uint32_t)e->flow.client[1] << 16 | (uint32_t)e->flow.client[2] << 8 | e->flow.client[3];
}

/* The next segment of a host's connection, or one that breaks it off. */
static struct segment traffic_next(struct traffic *t, uint32_t host) {
    uint32_t c = t->seq[host], s = c + 7;
    uint8_t flags = SEGMENT_ACK;
    bool client = true;
    switch (t->stage[host]++) {
    case 0:
        t->seq[host] = c += 100000;
        c--;
        s = 0;
        flags = SEGMENT_SYN;
        break;
    case 1:
        flags |= SEGMENT_SYN;
        client = false;
        s--;
        break;
    case 2:
        break;
    case 3:
        flags |= SEGMENT_FIN;
        break;
    case 4:
        flags |= random_below(&t->random, 3) == 0 ? SEGMENT_RST : SEGMENT_FIN;
        client = false;
        c++;
        break;
    default:
        t->stage[host] = 0; /* the tuple is used again, in TIME_WAIT or when it is forgotten */
        c++;
        s++;
    }
    return client ? segments_make(host, 40000, TRAFFIC_SERVER, TRAFFIC_PORT, flags, c, s)
                  : segments_make(TRAFFIC_SERVER, TRAFFIC_PORT, host, 40000, flags, s, c);
}

#endif
