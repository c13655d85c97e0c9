/*
 * Packets for the tests of the decode room, put together header by header.
 *
 * A struct build is filled from the link header on; the put_ functions append, lengths within
 * headers are the caller's, so that a test can lie. decode_build hands the octets to decode_packet
 * in a heap block of exactly their size (a sanitizer then sees any read beyond) and a segment full
 * of rubbish (what is not written stays visible).
 */
#ifndef TESTS_UNIT_DECODE_PACKETS_H
#define TESTS_UNIT_DECODE_PACKETS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "spanwatch/decode.h"

enum {
    LINK_NULL = 0,
    LINK_ETHERNET = 1,
    LINK_RAW = 101,
    TYPE_IPV4 = 0x0800,
    TYPE_IPV6 = 0x86dd,
    TYPE_VLAN = 0x8100,
    TYPE_QINQ = 0x88a8,
    PROTOCOL_ICMP = 1,
    PROTOCOL_TCP = 6,
    PROTOCOL_ICMPV6 = 58,
    RUBBISH = 0xa5
};

/* The addresses of put_ipv4 and put_ipv6. */
static const uint8_t SRC_4[4] = {192, 0, 2, 1}, DST_4[4] = {198, 51, 100, 2};
static const uint8_t SRC_6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
static const uint8_t DST_6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 2};

struct build {
    uint8_t octet[1024];
    uint32_t n;
    uint32_t ip, tcp; /* where the last of each begins */
};

static inline void put(struct build *b, const void *octets, size_t n) {
    assert_true(b->n + n <= sizeof b->octet);
    memcpy(b->octet + b->n, octets, n);
    b->n += (uint32_t)n;
}

static inline void put_fill(struct build *b, uint8_t value, size_t n) {
    while (n-- > 0)
        put(b, &value, 1);
}

static inline void put_u8(struct build *b, uint8_t v) {
    put(b, &v, 1);
}

static inline void put_u16(struct build *b, uint32_t v) {
    put_u8(b, (uint8_t)(v >> 8));
    put_u8(b, (uint8_t)v);
}

static inline void put_u32(struct build *b, uint32_t v) {
    put_u16(b, v >> 16);
    put_u16(b, v & 0xffff);
}

static inline void set_u16(struct build *b, uint32_t offset, uint32_t v) {
    b->octet[offset] = (uint8_t)(v >> 8);
    b->octet[offset + 1] = (uint8_t)v;
}

static inline void put_ethernet(struct build *b, uint16_t type) {
    put_fill(b, 2, 12);
    put_u16(b, type);
}

static inline void put_vlan(struct build *b, uint16_t tag, uint16_t type) {
    put_u16(b, tag);
    put_u16(b, type);
}

/* `payload` is the number of octets that will follow; options are put by the caller of
 * put_ipv4_options. */
static inline void put_ipv4_options(struct build *b, uint8_t protocol, uint32_t payload,
                                    const void *options, uint32_t n) {
    b->ip = b->n;
    put_u8(b, (uint8_t)(0x40 | (20 + n) / 4));
    put_u8(b, 0);
    put_u16(b, 20 + n + payload);
    put_u16(b, 0xbeef);
    put_u16(b, 0x4000);
    put_u8(b, 61);
    put_u8(b, protocol);
    put_u16(b, 0);
    put(b, SRC_4, 4);
    put(b, DST_4, 4);
    put(b, options, n);
}

static inline void put_ipv4(struct build *b, uint8_t protocol, uint32_t payload) {
    put_ipv4_options(b, protocol, payload, "", 0);
}

static inline void put_ipv6(struct build *b, uint8_t next, uint32_t payload) {
    b->ip = b->n;
    put_u32(b, 0x60012345);
    put_u16(b, payload);
    put_u8(b, next);
    put_u8(b, 62);
    put(b, SRC_6, 16);
    put(b, DST_6, 16);
}

/* `n` octets of options, a multiple of four. */
static inline void put_tcp_options(struct build *b, uint8_t flags, const void *options,
                                   uint32_t n) {
    b->tcp = b->n;
    put_u16(b, 40001);
    put_u16(b, 443);
    put_u32(b, 0x81020304);
    put_u32(b, 0x85060708);
    put_u8(b, (uint8_t)((20 + n) / 4 << 4));
    put_u8(b, flags);
    put_u16(b, 0xfedc);
    put_u16(b, 0x4321);
    put_u16(b, 0);
    put(b, options, n);
}

static inline void put_tcp(struct build *b, uint8_t flags) {
    put_tcp_options(b, flags, "", 0);
}

/* The commonest packet: Ethernet, IPv4, TCP with these flags and so much payload. */
static inline void put_plain(struct build *b, uint8_t flags, uint32_t payload) {
    put_ethernet(b, TYPE_IPV4);
    put_ipv4(b, PROTOCOL_TCP, 20 + payload);
    put_tcp(b, flags);
    put_fill(b, 'x', payload);
}

/* The last `cut` octets were on the wire but are not captured. */
static inline enum decode_verdict decode_cut(struct decoder *d, uint16_t link,
                                             const struct build *b, uint32_t cut,
                                             struct segment *s) {
    uint32_t captured = b->n - cut;
    uint8_t *octets = malloc(captured == 0 ? 1 : captured);
    assert_non_null(octets);
    memcpy(octets, b->octet, captured);
    struct packet p = {.ts_ns = UINT64_C(1700000000123456789),
                       .data = octets,
                       .captured = captured,
                       .length = b->n,
                       .link = link};
    memset(s, RUBBISH, sizeof *s);
    enum decode_verdict verdict = decode_packet(d, &p, s);
    free(octets);
    assert_int_equal(s->ts_ns, UINT64_C(1700000000123456789));
    return verdict;
}

static inline enum decode_verdict decode_build(struct decoder *d, uint16_t link,
                                               const struct build *b, struct segment *s) {
    return decode_cut(d, link, b, 0, s);
}

/* Is it the segment of put_tcp, with the addresses of put_ipv4 or put_ipv6? */
static inline void assert_tcp(const struct segment *s, uint8_t family, uint32_t payload) {
    assert_int_equal(s->family, family);
    assert_memory_equal(s->src, family == 4 ? SRC_4 : SRC_6, family == 4 ? 4 : 16);
    assert_memory_equal(s->dst, family == 4 ? DST_4 : DST_6, family == 4 ? 4 : 16);
    assert_int_equal(s->src_port, 40001);
    assert_int_equal(s->dst_port, 443);
    assert_int_equal(s->seq, 0x81020304);
    assert_int_equal(s->ack, 0x85060708);
    assert_int_equal(s->window, 0xfedc);
    assert_int_equal(s->payload, payload);
    assert_int_equal(s->ip_id, family == 4 ? 0xbeef : 0);
    assert_int_equal(s->ttl, family == 4 ? 61 : 62);
}

/* cmocka fixtures: a decoder a test. */
static inline int setup_decoder(void **state) {
    return (*state = decode_new()) == NULL ? -1 : 0;
}

static inline int teardown_decoder(void **state) {
    decode_free(*state);
    return 0;
}

#define DECODE_TEST(f) cmocka_unit_test_setup_teardown(f, setup_decoder, teardown_decoder)

#endif
