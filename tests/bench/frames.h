/*
 * frames: TCP conversations as a classic pcap file, written as fast as the page cache takes them.
 *
 * Input: flows, whose sequence numbers advance with each segment sent. Output: Ethernet frames cut
 * at 96 octets with the right lengths and checksums (what the cut leaves out counts as zeros),
 * microsecond times. Owner: one thread; the writer keeps its first error and later calls do
 * nothing.
 */
#ifndef SPANWATCH_BENCH_FRAMES_H
#define SPANWATCH_BENCH_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FRAMES_FIN = 1, FRAMES_SYN = 2, FRAMES_RST = 4, FRAMES_PSH = 8, FRAMES_ACK = 16 };
enum frames_side { FRAMES_CLIENT, FRAMES_SERVER };

struct frames_endpoint {
    uint32_t address; /* host byte order */
    uint16_t port;
};

/* One connection. seq is the next octet to be sent; sent_ms the clock of the side's last segment,
 * which the other's timestamp option echoes (RFC 7323 section 3.2); 0 is none yet. */
struct frames_flow {
    uint32_t tuple; /* number of the pair of endpoints, see frames_endpoints() */
    uint32_t seq[2];
    uint32_t sent_ms[2];
};

struct frames_segment {
    enum frames_side side;
    uint8_t flags;
    uint16_t payload;
    uint32_t unacked; /* octets of the other side that this segment does not acknowledge yet */
};

/* A segment in all its parts, for those who keep their connections themselves. */
struct frames_exact {
    struct frames_endpoint from, to;
    uint64_t at_ns; /* not before the last one's */
    uint32_t seq, ack;
    uint32_t value, echo; /* of the timestamp option */
    uint16_t payload;
    uint8_t flags, side; /* side: whose, for the addresses of Ethernet and the TTL */
};

struct frames_writer {
    int fd;
    int error; /* errno of the first failure, or 0 */
    uint8_t *buffer;
    size_t used;
    uint64_t random;  /* state of the generator */
    uint64_t now_ns;  /* time of the next frame */
    uint64_t last_ns; /* of the last frame written */
    uint64_t step_ns; /* mean distance of frames */
    uint64_t packets, octets, payload;
    uint32_t salt; /* of the seed: sequence numbers and timestamps differ from seed to seed */
    uint16_t ip_id[2];
};

/* Open `path` and write the file's head; `rate` is frames a second of capture time. False with
 * errno. */
bool frames_open(struct frames_writer *w, const char *path, uint64_t seed, uint64_t rate);

/* Flush and close; false with errno when anything could not be written. */
bool frames_close(struct frames_writer *w);

/* A random number below `bound` (1 to 2^32). */
uint32_t frames_random(struct frames_writer *w, uint32_t bound);

/* The endpoints of tuple number `tuple`: all pairs differ below 100 million. */
void frames_endpoints(uint32_t tuple, struct frames_endpoint out[2]);

/* A new connection over `tuple` from now on: initial sequence numbers by RFC 6528's clock, so that
 * a reused tuple starts higher. */
struct frames_flow frames_flow(const struct frames_writer *w, uint32_t tuple);

/* Write one segment at the current time and let the clock move on. */
void frames_send(struct frames_writer *w, struct frames_flow *f, struct frames_segment s);

/* Write it. The clock stands at its time afterwards. */
void frames_send_exact(struct frames_writer *w, const struct frames_exact *x);

/* A bare SYN from an endpoint of the caller's choice to one of the servers: no connection is kept.
 */
void frames_send_spoofed(struct frames_writer *w, const struct frames_endpoint *from,
                         const struct frames_endpoint *to);

#endif
