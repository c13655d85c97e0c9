/*
 * Builds captures in memory for the tests of the capture room, and reads them back.
 * Input: calls that append headers, records and blocks, in either byte order. Output: octets,
 * temporary files, and what capture_read gave. Owner: each test owns its struct build and struct
 * seen.
 *
 * The octets of packet number s are a pattern made of s, so that a packet handed out with a pointer
 * to the wrong place is found out.
 */
#ifndef SPANWATCH_TESTS_CAPTURE_BUILD_H
#define SPANWATCH_TESTS_CAPTURE_BUILD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "spanwatch/capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PCAP_US = 0xa1b2c3d4,
    PCAP_NS = 0xa1b23c4d,
    PCAP_MODIFIED = 0xa1b2cd34,
    NG_SECTION = 0x0a0d0d0a,
    NG_INTERFACE = 1,
    NG_OLD_PACKET = 2,
    NG_SIMPLE = 3,
    NG_STATISTICS = 5,
    NG_PACKET = 6,
    NG_MAGIC = 0x1a2b3c4d
};

/* ---- octets ---- */

struct build {
    uint8_t *data;
    size_t n, room;
    bool big; /* byte order of the numbers that follow */
};

static inline void build_free(struct build *b) {
    free(b->data);
    *b = (struct build){0};
}

static inline void put(struct build *b, const void *octets, size_t n) {
    if (b->n + n > b->room) {
        b->room = (b->n + n) * 2;
        b->data = realloc(b->data, b->room);
        assert_non_null(b->data);
    }
    if (n > 0)
        memcpy(b->data + b->n, octets, n);
    b->n += n;
}

static inline void put_number(struct build *b, uint64_t v, size_t octets) {
    uint8_t o[8];
    for (size_t i = 0; i < octets; i++)
        o[b->big ? octets - 1 - i : i] = (uint8_t)(v >> (8 * i));
    put(b, o, octets);
}

static inline void put_u16(struct build *b, uint16_t v) {
    put_number(b, v, 2);
}

static inline void put_u32(struct build *b, uint32_t v) {
    put_number(b, v, 4);
}

static inline void put_u64(struct build *b, uint64_t v) {
    put_number(b, v, 8);
}

static inline uint8_t pattern(uint32_t seed, size_t at) {
    return (uint8_t)(seed * 31 + at * 7 + (at >> 8));
}

static inline void put_pattern(struct build *b, uint32_t seed, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint8_t o = pattern(seed, i);
        put(b, &o, 1);
    }
}

/* ---- classic pcap ---- */

static inline void put_pcap_header(struct build *b, uint32_t magic, uint32_t snaplen,
                                   uint32_t link) {
    put_u32(b, magic);
    put_u16(b, 2);
    put_u16(b, 4);
    put_u64(b, 0);
    put_u32(b, snaplen);
    put_u32(b, link);
}

static inline void put_record(struct build *b, uint32_t seconds, uint32_t ticks, uint32_t captured,
                              uint32_t seed) {
    put_u32(b, seconds);
    put_u32(b, ticks);
    put_u32(b, captured);
    put_u32(b, captured);
    put_pattern(b, seed, captured);
}

/* A plain little-endian microsecond capture whose packet i comes at `start` + i seconds. */
static inline void put_simple_pcap(struct build *b, uint32_t start, size_t packets,
                                   uint32_t octets) {
    put_pcap_header(b, PCAP_US, 65535, 1);
    for (size_t i = 0; i < packets; i++)
        put_record(b, start + (uint32_t)i, 0, octets, (uint32_t)i);
}

/* ---- pcapng ---- */

/* Returns where the block begins, for block_end. */
static inline size_t block_begin(struct build *b, uint32_t type) {
    size_t at = b->n;
    put_u32(b, type);
    put_u32(b, 0);
    return at;
}

static inline void block_end(struct build *b, size_t at) {
    while (b->n % 4 != 0)
        put(b, "", 1);
    size_t end = b->n + 4;
    b->n = at + 4;
    put_u32(b, (uint32_t)(end - at));
    b->n = end - 4;
    put_u32(b, (uint32_t)(end - at));
}

static inline void put_option(struct build *b, uint16_t code, const void *value, uint16_t n) {
    put_u16(b, code);
    put_u16(b, n);
    put(b, value, n);
    while (b->n % 4 != 0)
        put(b, "", 1);
}

static inline void put_section(struct build *b) {
    size_t at = block_begin(b, NG_SECTION);
    put_u32(b, NG_MAGIC);
    put_u16(b, 1);
    put_u16(b, 0);
    put_u64(b, UINT64_MAX); /* length of the section is not given */
    block_end(b, at);
}

/* An interface; `resolution` below 0 leaves that option out, and `offset_s` of 0 the other. */
static inline void put_interface(struct build *b, uint16_t link, uint32_t snaplen, int resolution,
                                 int64_t offset_s) {
    size_t at = block_begin(b, NG_INTERFACE);
    put_u16(b, link);
    put_u16(b, 0);
    put_u32(b, snaplen);
    put_option(b, 2, "eth9", 4); /* if_name: an option to be stepped over */
    if (resolution >= 0)
        put_option(b, 9, &(uint8_t){(uint8_t)resolution}, 1);
    if (offset_s != 0) {
        put_u16(b, 14);
        put_u16(b, 8);
        put_u64(b, (uint64_t)offset_s);
    }
    put_option(b, 0, NULL, 0);
    block_end(b, at);
}

static inline void put_packet(struct build *b, uint32_t interface, uint64_t ticks,
                              uint32_t captured, uint32_t length, uint32_t seed) {
    size_t at = block_begin(b, NG_PACKET);
    put_u32(b, interface);
    put_u32(b, (uint32_t)(ticks >> 32));
    put_u32(b, (uint32_t)ticks);
    put_u32(b, captured);
    put_u32(b, length);
    put_pattern(b, seed, captured);
    block_end(b, at);
}

/* ---- reading back ---- */

struct seen {
    struct packet *packet; /* `data` is dead */
    uint32_t *seed;        /* the seed of the octets; UINT32_MAX when they are no pattern */
    size_t n, room;
    size_t faults;
    struct base_error fault;
};

static inline void seen_free(struct seen *s) {
    free(s->packet);
    free(s->seed);
    *s = (struct seen){0};
}

/* The seed whose pattern the octets are, if it is one of the 256 there are; UINT32_MAX otherwise.
 */
static inline uint32_t seed_of(const struct packet *p) {
    if (p->captured == 0)
        return 0;
    for (uint32_t seed = 0; seed < 256; seed++) {
        size_t i = 0;
        if (p->data[0] != pattern(seed, 0))
            continue;
        while (i < p->captured && p->data[i] == pattern(seed, i))
            i++;
        if (i == p->captured)
            return seed;
    }
    return UINT32_MAX;
}

/* Reads to the end. The octets are looked at after the whole batch is there, as users do. */
static inline struct seen see_all(struct capture *c) {
    struct seen s = {0};
    struct packet batch[CAPTURE_BATCH];
    size_t n;
    while ((n = capture_read(c, batch)) > 0) {
        assert_true(n <= CAPTURE_BATCH);
        if (s.n + n > s.room) {
            s.room = (s.n + n) * 2;
            s.packet = realloc(s.packet, s.room * sizeof *s.packet);
            s.seed = realloc(s.seed, s.room * sizeof *s.seed);
            assert_non_null(s.packet);
            assert_non_null(s.seed);
        }
        for (size_t i = 0; i < n; i++) {
            s.packet[s.n] = batch[i];
            s.seed[s.n++] = seed_of(&batch[i]);
        }
    }
    assert_int_equal(capture_read(c, batch), 0); /* the end stays the end */
    s.faults = capture_faults(c, &s.fault);
    return s;
}

static inline struct seen see_memory(const struct build *b) {
    struct capture *c;
    struct base_error error = {"", ""};
    if (capture_open_memory(&c, b->data, b->n, &error) < 0)
        fail_msg("%s: %s", error.what, error.why);
    struct seen s = see_all(c);
    capture_free(c);
    return s;
}

static inline struct seen see_files(const char *const *paths, size_t n) {
    struct capture *c;
    struct base_error error = {"", ""};
    if (capture_open_files(&c, paths, n, &error) < 0)
        fail_msg("%s: %s", error.what, error.why);
    struct seen s = see_all(c);
    capture_free(c);
    return s;
}

static inline void assert_packet(const struct seen *s, size_t i, uint64_t ts_ns, uint32_t seed) {
    assert_true(i < s->n);
    assert_int_equal(s->packet[i].ts_ns, ts_ns);
    assert_int_equal(s->seed[i], seed % 256);
}

/* No fault, and so many packets. */
static inline void assert_whole(const struct seen *s, size_t packets) {
    if (s->faults > 0)
        fail_msg("%s: %s", s->fault.what, s->fault.why);
    assert_int_equal(s->n, packets);
}

static inline void assert_says(const struct base_error *e, const char *part) {
    if (strstr(e->why, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", e->why, part);
}

/* The capture cannot be opened, and the reason has `part` in it. */
static inline void assert_refused(const struct build *b, const char *part) {
    struct capture *c = NULL;
    struct base_error error = {"", ""};
    assert_int_equal(capture_open_memory(&c, b->data, b->n, &error), -1);
    assert_null(c);
    assert_string_equal(error.what, "memory");
    assert_says(&error, part);
}

/* ---- temporary files ---- */

struct temporary {
    char path[256];
};

static inline struct temporary write_file(const struct build *b) {
    struct temporary t;
    const char *folder = getenv("TMPDIR");
    snprintf(t.path, sizeof t.path, "%s/spanwatch-capture-XXXXXX",
             folder != NULL ? folder : P_tmpdir);
    int fd = mkstemp(t.path);
    assert_true(fd >= 0);
    for (size_t done = 0; done < b->n;) {
        ssize_t n = write(fd, b->data + done, b->n - done);
        assert_true(n > 0);
        done += (size_t)n;
    }
    close(fd);
    return t;
}

static inline void remove_file(const struct temporary *t) {
    unlink(t->path);
}

/* ---- standard input ---- */

/* Writes the octets into a pipe that is this program's standard input, `piece` at a time, in a
 * process of its own; returns that process. */
static inline pid_t pipe_to_standard_input(const struct build *b, size_t piece) {
    int end[2];
    assert_int_equal(pipe(end), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(end[0]);
        for (size_t at = 0; at < b->n; at += piece) {
            size_t n = b->n - at < piece ? b->n - at : piece;
            if (write(end[1], b->data + at, n) != (ssize_t)n)
                _exit(1);
        }
        _exit(0);
    }
    close(end[1]);
    assert_int_equal(dup2(end[0], STDIN_FILENO), STDIN_FILENO);
    close(end[0]);
    return child;
}

static inline struct seen see_standard_input(const struct build *b, size_t piece) {
    struct capture *c;
    struct base_error error = {"", ""};
    uint64_t done, total;
    int status = -1;
    pid_t child = pipe_to_standard_input(b, piece);
    if (capture_open_files(&c, (const char *const[]){"-"}, 1, &error) < 0)
        fail_msg("%s: %s", error.what, error.why);
    struct seen s = see_all(c);
    capture_progress(c, &done, &total);
    assert_int_equal(done, b->n);
    assert_int_equal(total, 0); /* of a pipe nobody knows it */
    capture_free(c);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return s;
}

#endif
