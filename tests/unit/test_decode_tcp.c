/*
 * Tests of decode: the TCP header, its options, its checksum.
 */
#include "decode_packets.h"

enum { SYN_ACK = SEGMENT_SYN | SEGMENT_ACK, ALL_FLAGS = 0xff };

/* An ACK with these options, a multiple of four octets. */
static void decode_options_of(void **state, const uint8_t *options, uint32_t n, struct segment *s) {
    struct build b = {.n = 0};
    put_ethernet(&b, TYPE_IPV4);
    put_ipv4(&b, PROTOCOL_TCP, 20 + n + 5);
    put_tcp_options(&b, SEGMENT_ACK, options, n);
    put_fill(&b, 'x', 5);
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, s), DECODE_TCP);
    assert_tcp(s, 4, 5);
}

static void test_plain_header(void **state) {
    struct build b = {.n = 0};
    struct segment s;
    put_plain(&b, ALL_FLAGS & ~(SEGMENT_SYN | SEGMENT_FIN | SEGMENT_RST), 11);
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_TCP);
    assert_tcp(&s, 4, 11);
    assert_int_equal(s.flags, 0xf8);
    assert_int_equal(s.options, 0);
    assert_int_equal(s.scope, 0);
    assert_int_equal(s.checksum, 0x4321);
    assert_int_equal(s.checksum_state, SEGMENT_CHECKSUM_UNKNOWN);
}

/* The straight path of decode_packet and the table of layers must say the same: one with, one
 * without a tag. */
static void test_both_paths_agree(void **state) {
    for (uint32_t payload = 0; payload < 40; payload += 13) {
        struct build plain = {.n = 0}, tagged = {.n = 0};
        struct segment a, b;
        put_ethernet(&plain, TYPE_IPV4);
        put_ethernet(&tagged, TYPE_VLAN);
        put_vlan(&tagged, 0, TYPE_IPV4);
        struct build *both[] = {&plain, &tagged};
        for (int i = 0; i < 2; i++) {
            put_ipv4(both[i], PROTOCOL_TCP, 32 + payload);
            put_tcp_options(both[i], SYN_ACK, "\1\1\x08\x0a\0\0\0\1\0\0\0\2", 12);
            put_fill(both[i], 'x', payload + 3);
        }
        for (uint32_t cut = 0; cut < 60; cut++) {
            enum decode_verdict verdict = decode_cut(*state, LINK_ETHERNET, &plain, cut, &a);
            assert_int_equal(decode_cut(*state, LINK_ETHERNET, &tagged, cut, &b), verdict);
            assert_memory_equal(&a, &b, sizeof a);
        }
    }
}

static void test_data_offset(void **state) {
    struct build b = {.n = 0};
    struct segment s;
    put_plain(&b, SEGMENT_ACK, 4);
    b.octet[b.tcp + 12] = 0x4f;
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_MALFORMED);
    b.octet[b.tcp + 12] = 0x6f; /* the reserved bits mean nothing here */
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_TCP);
    assert_tcp(&s, 4, 0);
    b.octet[b.tcp + 12] = 0x70;
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_MALFORMED);
}

static void test_header_cut(void **state) {
    struct build b = {.n = 0};
    struct segment s;
    put_plain(&b, SEGMENT_ACK, 0);
    assert_int_equal(decode_cut(*state, LINK_ETHERNET, &b, 1, &s), DECODE_TRUNCATED);
}

/* Options cut by the snaplen: what was read whole stands, the payload is the IP header's. */
static void test_options_cut(void **state) {
    static const uint8_t options[] = {2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0,
                                      0, 1, 0,    0,    0, 2, 1, 3,  3, 7};
    static const struct {
        uint32_t captured;
        uint8_t options;
    } cases[] = {
        {20, 0x0f}, {19, 0x0d}, {17, 0x0d}, {16, 0x0d}, {15, 0x09}, {7, 0x09},
        {6, 0x09},  {5, 0x01},  {4, 0x01},  {3, 0},     {0, 0},
    };
    struct build b = {.n = 0};
    struct segment s;
    put_ethernet(&b, TYPE_IPV4);
    put_ipv4(&b, PROTOCOL_TCP, 40 + 9);
    put_tcp_options(&b, SEGMENT_SYN, options, 20);
    put_fill(&b, 'x', 9);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t cut = 9 + 20 - cases[i].captured;
        assert_int_equal(decode_cut(*state, LINK_ETHERNET, &b, cut, &s), DECODE_TCP);
        assert_tcp(&s, 4, 9);
        assert_int_equal(s.options, cases[i].options);
        assert_int_equal(s.checksum_state, SEGMENT_CHECKSUM_UNKNOWN);
    }
}

static void test_timestamp_layout(void **state) {
    static const uint8_t usual[] = {1, 1, 8, 10, 0x80, 2, 3, 4, 0x85, 6, 7, 8};
    static const uint8_t other[] = {8, 10, 0x80, 2, 3, 4, 0x85, 6, 7, 8, 1, 1};
    static const uint8_t more[] = {1, 1, 8, 10, 0x80, 2, 3, 4, 0x85, 6, 7, 8, 4, 2, 0, 0};
    struct segment s;
    decode_options_of(state, usual, 12, &s);
    assert_int_equal(s.options, SEGMENT_OPT_TIMESTAMP);
    assert_int_equal(s.tsval, 0x80020304);
    assert_int_equal(s.tsecr, 0x85060708);
    decode_options_of(state, other, 12, &s);
    assert_int_equal(s.options, SEGMENT_OPT_TIMESTAMP);
    assert_int_equal(s.tsval, 0x80020304);
    assert_int_equal(s.tsecr, 0x85060708);
    decode_options_of(state, more, 16, &s);
    assert_int_equal(s.options, SEGMENT_OPT_TIMESTAMP | SEGMENT_OPT_SACK_OK);
    assert_int_equal(s.tsval, 0x80020304);
}

static void test_handshake_options(void **state) {
    static const uint8_t options[] = {2, 4, 0x23, 0x28, 1, 3, 3, 200, 4, 2, 0, 0};
    struct segment s;
    decode_options_of(state, options, 12, &s);
    assert_int_equal(s.options, SEGMENT_OPT_MSS | SEGMENT_OPT_WSCALE | SEGMENT_OPT_SACK_OK);
    assert_int_equal(s.mss, 9000);
    assert_int_equal(s.wscale, 200); /* as sent, though 14 is the most that means anything */
}

static void test_first_sack_block(void **state) {
    static const uint8_t options[] = {1, 1, 5, 18, 0x80, 0,  0, 1, 0x80, 0,
                                      0, 9, 0, 0,  0,    20, 0, 0, 0,    30};
    struct segment s;
    decode_options_of(state, options, 20, &s);
    assert_int_equal(s.options, SEGMENT_OPT_SACK);
    assert_int_equal(s.sack_left, 0x80000001);
    assert_int_equal(s.sack_right, 0x80000009);
}

static void test_fast_open(void **state) {
    static const struct {
        uint8_t options;
        uint8_t octet[12];
    } cases[] = {
        {SEGMENT_OPT_FASTOPEN, {34, 2}},
        {SEGMENT_OPT_FASTOPEN | SEGMENT_OPT_COOKIE, {34, 10, 1, 2, 3, 4, 5, 6, 7, 8}},
        {SEGMENT_OPT_FASTOPEN, {254, 4, 0xf9, 0x89}},
        {SEGMENT_OPT_FASTOPEN | SEGMENT_OPT_COOKIE, {254, 12, 0xf9, 0x89, 1, 2, 3, 4, 5, 6, 7, 8}},
        {0, {254, 4, 0xf9, 0x88}},
        {0, {254, 2, 0xf9, 0x89}},
        {0, {253, 4, 0xf9, 0x89}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct segment s;
        decode_options_of(state, cases[i].octet, 12, &s);
        assert_int_equal(s.options, cases[i].options);
    }
}

/* An option of another length than its kind has is passed over; a length that cannot be ends the
 * walk. */
static void test_odd_options(void **state) {
    static const struct {
        uint8_t options;
        uint8_t octet[16];
    } cases[] = {
        {SEGMENT_OPT_SACK_OK, {2, 3, 5, 3, 4, 7, 7, 4, 2}},
        {SEGMENT_OPT_SACK_OK, {5, 6, 1, 2, 3, 4, 8, 4, 0, 0, 4, 2}},
        {SEGMENT_OPT_SACK_OK, {5, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 4, 2}},
        {SEGMENT_OPT_SACK_OK, {30, 8, 1, 2, 3, 4, 5, 6, 4, 2}},
        {SEGMENT_OPT_SACK_OK, {4, 2, 0, 2, 4, 5, 0xb4}},
        {SEGMENT_OPT_SACK_OK, {4, 2, 2, 0, 2, 4, 5, 0xb4}},
        {SEGMENT_OPT_SACK_OK, {4, 2, 2, 1, 2, 4, 5, 0xb4}},
        {SEGMENT_OPT_SACK_OK, {4, 2, 2, 15, 2, 4, 5, 0xb4}},
        {SEGMENT_OPT_MSS, {2, 4, 5, 0xb4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct segment s;
        decode_options_of(state, cases[i].octet, 16, &s);
        assert_int_equal(s.options, cases[i].options);
    }
}

/* The sum of RFC 1071 as its text describes it, octet pair by octet pair: for expectations only. */
static uint32_t add_pairs(uint32_t sum, const uint8_t *at, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        sum += i % 2 == 0 ? (uint32_t)at[i] << 8 : at[i];
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static uint32_t pseudo_sum(uint8_t family, uint32_t length) {
    uint32_t n = family == 4 ? 4 : 16;
    uint32_t sum = add_pairs(0, family == 4 ? SRC_4 : SRC_6, n);
    sum = add_pairs(sum, family == 4 ? DST_4 : DST_6, n);
    return add_pairs(sum + length + PROTOCOL_TCP, NULL, 0);
}

/* A segment with the sum as on the wire; *pseudo is the part of the pseudo header. */
static void put_summed(struct build *b, uint8_t family, uint8_t flags, uint32_t payload,
                       uint32_t *pseudo) {
    b->n = 0;
    put_ethernet(b, family == 4 ? TYPE_IPV4 : TYPE_IPV6);
    if (family == 4)
        put_ipv4(b, PROTOCOL_TCP, 20 + payload);
    else
        put_ipv6(b, PROTOCOL_TCP, 20 + payload);
    put_tcp(b, flags);
    set_u16(b, b->tcp + 16, 0);
    put_fill(b, 0xe7, payload);
    *pseudo = pseudo_sum(family, 20 + payload);
    set_u16(b, b->tcp + 16, 0xffff ^ add_pairs(*pseudo, b->octet + b->tcp, 20 + payload));
}

static uint8_t checksum_state(void **state, const struct build *b, uint32_t cut) {
    struct segment s;
    assert_int_equal(decode_cut(*state, LINK_ETHERNET, b, cut, &s), DECODE_TCP);
    return s.checksum_state;
}

static void test_checksum(void **state) {
    static const uint8_t families[] = {4, 6}, flags[] = {SEGMENT_SYN, SEGMENT_FIN, SEGMENT_RST};
    for (size_t i = 0; i < sizeof families; i++) {
        for (uint32_t payload = 0; payload < 9; payload++) {
            struct build b;
            uint32_t pseudo;
            put_summed(&b, families[i], flags[payload % 3], payload, &pseudo);
            assert_int_equal(checksum_state(state, &b, 0), SEGMENT_CHECKSUM_GOOD);
            b.octet[b.n - 1] ^= 1;
            assert_int_equal(checksum_state(state, &b, 0), SEGMENT_CHECKSUM_BAD);
            set_u16(&b, b.tcp + 16, pseudo);
            assert_int_equal(checksum_state(state, &b, 0), SEGMENT_CHECKSUM_UNFINISHED);
            set_u16(&b, b.tcp + 16, 0xffff ^ pseudo);
            assert_int_equal(checksum_state(state, &b, 0), SEGMENT_CHECKSUM_BAD);
        }
    }
}

/* Padding behind the datagram is neither summed nor missed. */
static void test_checksum_with_padding(void **state) {
    struct build b;
    uint32_t pseudo;
    put_summed(&b, 4, SEGMENT_FIN, 1, &pseudo);
    put_fill(&b, 0xff, 5);
    assert_int_equal(checksum_state(state, &b, 0), SEGMENT_CHECKSUM_GOOD);
    assert_int_equal(checksum_state(state, &b, 5), SEGMENT_CHECKSUM_GOOD);
    assert_int_equal(checksum_state(state, &b, 6), SEGMENT_CHECKSUM_UNKNOWN);
}

static void test_checksum_not_looked_at(void **state) {
    struct build b;
    uint32_t pseudo;
    put_summed(&b, 4, SEGMENT_ACK | SEGMENT_PSH | SEGMENT_URG, 4, &pseudo);
    assert_int_equal(checksum_state(state, &b, 0), SEGMENT_CHECKSUM_UNKNOWN);
    put_summed(&b, 4, SEGMENT_FIN, 4, &pseudo);
    set_u16(&b, b.ip + 2, 0); /* length left to the card: the segment's end is a guess */
    assert_int_equal(checksum_state(state, &b, 0), SEGMENT_CHECKSUM_UNKNOWN);
    put_summed(&b, 4, SEGMENT_FIN, 4, &pseudo);
    b.n -= 1; /* a frame shorter than its datagram */
    assert_int_equal(checksum_state(state, &b, 0), SEGMENT_CHECKSUM_UNKNOWN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        DECODE_TEST(test_plain_header),
        DECODE_TEST(test_both_paths_agree),
        DECODE_TEST(test_data_offset),
        DECODE_TEST(test_header_cut),
        DECODE_TEST(test_options_cut),
        DECODE_TEST(test_timestamp_layout),
        DECODE_TEST(test_handshake_options),
        DECODE_TEST(test_first_sack_block),
        DECODE_TEST(test_fast_open),
        DECODE_TEST(test_odd_options),
        DECODE_TEST(test_checksum),
        DECODE_TEST(test_checksum_with_padding),
        DECODE_TEST(test_checksum_not_looked_at),
    };
    return cmocka_run_group_tests_name("decode: TCP", tests, NULL, NULL);
}
