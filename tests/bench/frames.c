/*
 * frames: see frames.h. A frame is built in place in a large buffer: constant octets from a
 * template, the rest stored in network order, checksums summed over the 32-bit words of the
 * headers.
 */
#include "frames.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SNAPLEN = 96,
    BUFFER_BYTES = 4 << 20,
    ETHERNET = 14,
    IPV4 = 20,
    TCP = 20,
    RECORD_HEAD = 16,
    RECORD_MAX = RECORD_HEAD + SNAPLEN,
    CLIENTS = 4096,   /* addresses that clients share; each gives 28,232 ports */
    PORT_LOW = 32768, /* Linux's ip_local_port_range */
    PORTS = 28232,
    SERVERS = 64,
    WINDOW_SCALE = 7
};

static const uint64_t START_NS = UINT64_C(1700000000000000000);
static const uint16_t service_ports[8] = {443, 80, 5432, 6379, 8080, 3306, 25, 22};
static const uint8_t payload_octets[SNAPLEN] = "GET /status HTTP/1.1\r\nHost: example.net\r\n";

static uint64_t
mix(uint64_t x) { /* splitmix64's finalizer: every input bit reaches every output bit */
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint32_t frames_random(struct frames_writer *w, uint32_t bound) {
    w->random += UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(((mix(w->random) >> 32) * bound) >> 32);
}

static void put16(uint8_t *p, uint16_t v) {
    v = __builtin_bswap16(v);
    memcpy(p, &v, sizeof v);
}

static void put32(uint8_t *p, uint32_t v) {
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof v);
}

/* The Internet checksum's running sum (RFC 1071 section 2) over `n` octets in memory order; any n.
 */
static uint64_t sum(const uint8_t *p, size_t n, uint64_t total) {
    uint32_t word;
    for (; n >= sizeof word; n -= sizeof word, p += sizeof word) {
        memcpy(&word, p, sizeof word);
        total += word;
    }
    word = 0;
    memcpy(&word, p, n);
    return total + word;
}

static void put_checksum(uint8_t *p, uint64_t total) {
    while (total >> 16 != 0) {
        total = (total & 0xffff) + (total >> 16);
    }
    uint16_t folded = (uint16_t)~total;
    memcpy(p, &folded, sizeof folded); /* sums in memory order need no swap */
}

static void flush(struct frames_writer *w) {
    size_t done = 0;
    while (done < w->used && w->error == 0) {
        ssize_t n = write(w->fd, w->buffer + done, w->used - done);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno != EINTR) {
            w->error = errno;
        }
    }
    w->used = 0;
}

bool frames_open(struct frames_writer *w, const char *path, uint64_t seed, uint64_t rate) {
    *w = (struct frames_writer){
        .random = mix(seed + 1), .now_ns = START_NS, .step_ns = UINT64_C(1000000000) / rate};
    w->salt = (uint32_t)mix(seed + 2);
    w->buffer = malloc(BUFFER_BYTES);
    if (w->buffer == NULL) {
        return false;
    }
    w->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (w->fd < 0) {
        free(w->buffer);
        return false;
    }
    const struct {
        uint32_t magic;
        uint16_t major, minor;
        uint32_t zone, accuracy, snaplen, link;
    } head = {0xa1b2c3d4, 2, 4, 0, 0, SNAPLEN, 1};
    memcpy(w->buffer, &head, sizeof head);
    w->used = sizeof head;
    return true;
}

bool frames_close(struct frames_writer *w) {
    flush(w);
    free(w->buffer);
    if (close(w->fd) != 0 && w->error == 0) {
        w->error = errno;
    }
    errno = w->error;
    return w->error == 0;
}

void frames_endpoints(uint32_t tuple, struct frames_endpoint out[2]) {
    uint32_t where = (uint32_t)mix(tuple);
    out[FRAMES_CLIENT].address = UINT32_C(0x0a000100) + tuple % CLIENTS;
    out[FRAMES_CLIENT].port = (uint16_t)(PORT_LOW + tuple / CLIENTS % PORTS);
    out[FRAMES_SERVER].address = UINT32_C(0x0ac80001) + where % SERVERS;
    out[FRAMES_SERVER].port = service_ports[(where >> 16) % 8];
}

struct frames_flow frames_flow(const struct frames_writer *w, uint32_t tuple) {
    uint64_t secret = mix(((uint64_t)w->salt << 32) + tuple);
    uint32_t clock = (uint32_t)(w->now_ns >> 6); /* Linux's 64 ns ticks */
    return (struct frames_flow){
        .tuple = tuple, .seq = {(uint32_t)secret + clock, (uint32_t)(secret >> 32) + clock}};
}

/* Let the clock move on to the next frame, by half to one and a half steps. */
static void advance(struct frames_writer *w) {
    w->last_ns = w->now_ns;
    w->now_ns += w->step_ns / 2 + frames_random(w, (uint32_t)w->step_ns + 1);
}

/* The record's head, Ethernet and IPv4; returns where TCP begins. `length` is the whole frame on
 * the wire. */
static uint8_t *put_heads(struct frames_writer *w, enum frames_side side,
                          const struct frames_endpoint *from, const struct frames_endpoint *to,
                          size_t length) {
    static const uint8_t ethernet[2][ETHERNET] = {{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0},
                                                  {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}};
    if (w->used + RECORD_MAX > BUFFER_BYTES) {
        flush(w);
    }
    uint8_t *p = w->buffer + w->used;
    uint64_t us = w->now_ns / 1000;
    uint32_t kept = length < SNAPLEN ? (uint32_t)length : SNAPLEN;
    const uint32_t head[4] = {(uint32_t)(us / 1000000), (uint32_t)(us % 1000000), kept,
                              (uint32_t)length};
    memcpy(p, head, sizeof head);
    memcpy(p + RECORD_HEAD, ethernet[side], ETHERNET);
    w->used += RECORD_HEAD + kept;
    w->packets++;
    w->octets += length;

    uint8_t *ip = p + RECORD_HEAD + ETHERNET;
    put16(ip, 0x4500);
    put16(ip + 2, (uint16_t)(length - ETHERNET));
    put16(ip + 4, ++w->ip_id[side]);
    put16(ip + 6, 0x4000); /* do not fragment */
    ip[8] = side == FRAMES_CLIENT ? 64 : 61;
    ip[9] = 6;
    put16(ip + 10, 0);
    put32(ip + 12, from->address);
    put32(ip + 16, to->address);
    put_checksum(ip + 10, sum(ip, IPV4, 0));
    return ip + IPV4;
}

/* Sum TCP's pseudo-header (RFC 9293 section 3.1), header and payload; `tcp` follows its IPv4
 * header. */
static void finish_tcp(uint8_t *tcp, size_t header, size_t payload) {
    size_t kept = SNAPLEN - ETHERNET - IPV4 - header;
    kept = payload < kept ? payload : kept;
    memcpy(tcp + header, payload_octets, kept);
    uint64_t total = sum(tcp - 8, 8, 0); /* the addresses end the IPv4 header */
    uint8_t pseudo[4] = {0, 6};
    put16(pseudo + 2, (uint16_t)(header + payload));
    total = sum(pseudo, sizeof pseudo, total);
    put_checksum(tcp + 16, sum(tcp, header + kept, total));
}

static void put_tcp(uint8_t *tcp, const struct frames_endpoint *from,
                    const struct frames_endpoint *to, uint32_t seq, uint32_t ack) {
    put16(tcp, from->port);
    put16(tcp + 2, to->port);
    put32(tcp + 4, seq);
    put32(tcp + 8, ack);
    put32(tcp + 16, 0);
}

static size_t header_length(uint8_t flags) {
    if ((flags & FRAMES_RST) != 0) {
        return TCP;
    }
    return (flags & FRAMES_SYN) != 0 ? TCP + 20 : TCP + 12;
}

/* SYNs carry the options of Linux in its order, other segments the timestamp. */
static void put_options(uint8_t *tcp, uint8_t flags, uint32_t value, uint32_t echo) {
    static const uint8_t syn[20] = {2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0,
                                    0, 0, 0, 0,    0, 0, 1, 3,  3, WINDOW_SCALE};
    static const uint8_t other[12] = {1, 1, 8, 10};
    uint8_t *option = tcp + TCP;
    if ((flags & FRAMES_SYN) != 0) {
        memcpy(option, syn, sizeof syn);
        option += 8;
    } else {
        memcpy(option, other, sizeof other);
        option += 4;
    }
    put32(option, value);
    put32(option + 4, echo);
}

static void put_flags(struct frames_writer *w, uint8_t *tcp, uint8_t flags, size_t header) {
    uint16_t window = 0; /* of a RST */
    if ((flags & FRAMES_SYN) != 0) {
        window = (flags & FRAMES_ACK) != 0 ? 65160 : 64240;
    } else if ((flags & FRAMES_RST) == 0) {
        window = (uint16_t)(2000 + frames_random(w, 1024)); /* 256 to 387 KiB once scaled */
    }
    tcp[12] = (uint8_t)(header / 4 << 4);
    tcp[13] = flags;
    put16(tcp + 14, window);
}

void frames_send(struct frames_writer *w, struct frames_flow *f, struct frames_segment s) {
    enum frames_side side = s.side, other = 1 - side;
    struct frames_endpoint end[2];
    frames_endpoints(f->tuple, end);
    size_t header = header_length(s.flags);
    uint8_t *tcp =
        put_heads(w, side, &end[side], &end[other], ETHERNET + IPV4 + header + s.payload);
    uint32_t ack = (s.flags & FRAMES_ACK) != 0 ? f->seq[other] - s.unacked : 0;
    put_tcp(tcp, &end[side], &end[other], f->seq[side], ack);
    put_flags(w, tcp, s.flags, header);
    if (header > TCP) {
        uint32_t now_ms = (uint32_t)(w->now_ns / 1000000) | 1; /* never 0, which means none yet */
        uint32_t echo =
            f->sent_ms[other] == 0 ? 0 : f->sent_ms[other] + (end[other].address ^ w->salt);
        put_options(tcp, s.flags, now_ms + (end[side].address ^ w->salt), echo);
        f->sent_ms[side] = now_ms;
    }
    finish_tcp(tcp, header, s.payload);
    f->seq[side] += s.payload + ((s.flags & (FRAMES_SYN | FRAMES_FIN)) != 0);
    w->payload += s.payload;
    advance(w);
}

void frames_send_exact(struct frames_writer *w, const struct frames_exact *x) {
    size_t header = header_length(x->flags);
    w->now_ns = w->last_ns = x->at_ns;
    uint8_t *tcp = put_heads(w, (enum frames_side)x->side, &x->from, &x->to,
                             ETHERNET + IPV4 + header + x->payload);
    put_tcp(tcp, &x->from, &x->to, x->seq, (x->flags & FRAMES_ACK) != 0 ? x->ack : 0);
    put_flags(w, tcp, x->flags, header);
    if (header > TCP) {
        put_options(tcp, x->flags, x->value, x->echo);
    }
    finish_tcp(tcp, header, x->payload);
    w->payload += x->payload;
}

void frames_send_spoofed(struct frames_writer *w, const struct frames_endpoint *from,
                         const struct frames_endpoint *to) {
    size_t header = header_length(FRAMES_SYN);
    uint8_t *tcp = put_heads(w, FRAMES_CLIENT, from, to, ETHERNET + IPV4 + header);
    put_tcp(tcp, from, to, frames_random(w, UINT32_MAX), 0);
    put_flags(w, tcp, FRAMES_SYN, header);
    put_options(tcp, FRAMES_SYN, frames_random(w, UINT32_MAX), 0);
    finish_tcp(tcp, header, 0);
    advance(w);
}
