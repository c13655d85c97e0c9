/*
 * Tests of decode: IPv4 and IPv6 headers, their lengths, extension headers, fragments.
 */
#include "decode_packets.h"

enum {
    HOP_BY_HOP = 0,
    ROUTING = 43,
    FRAGMENT = 44,
    ESP = 50,
    AH = 51,
    NO_NEXT = 59,
    DESTINATION = 60
};

static const uint8_t ELSEWHERE[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 0x99};

/* An IPv4 header on Ethernet with one octet changed, and a SYN: the verdict on it. */
static enum decode_verdict with_octet(void **state, uint32_t offset, uint8_t value,
                                      struct segment *s) {
    struct build b = {.n = 0};
    put_plain(&b, SEGMENT_SYN, 0);
    b.octet[b.ip + offset] = value;
    return decode_build(*state, LINK_ETHERNET, &b, s);
}

static void test_ipv4_header_checks(void **state) {
    struct segment s;
    assert_int_equal(with_octet(state, 0, 0x45, &s), DECODE_TCP);
    assert_int_equal(with_octet(state, 0, 0x44, &s), DECODE_MALFORMED); /* 16 octets long */
    assert_int_equal(with_octet(state, 0, 0x65, &s), DECODE_MALFORMED); /* version 6 */
    assert_int_equal(with_octet(state, 0, 0x4f, &s), DECODE_MALFORMED); /* longer than the packet */
    assert_int_equal(with_octet(state, 3, 19, &s), DECODE_MALFORMED); /* shorter than the header */
    assert_int_equal(with_octet(state, 3, 39, &s), DECODE_MALFORMED); /* too short for TCP */
    assert_int_equal(with_octet(state, 9, 17, &s), DECODE_NOT_TCP);
    assert_int_equal(with_octet(state, 9, PROTOCOL_ICMPV6, &s), DECODE_NOT_TCP);
    assert_int_equal(with_octet(state, 9, DESTINATION, &s), DECODE_NOT_TCP);
}

static void test_ipv4_options(void **state) {
    static const struct {
        enum decode_verdict verdict;
        uint8_t octet[8];
    } cases[] = {
        {DECODE_TCP, {1, 1, 1, 1, 1, 1, 1, 0}},
        {DECODE_TCP,
         {0x94, 4, 0, 0, 0, 0xff, 0xff, 0xff}}, /* router alert; rubbish after the end */
        {DECODE_TCP, {7, 8, 4, 0, 0, 0, 0, 0}},
        {DECODE_TCP, {1, 1, 1, 1, 1, 1, 7, 2}},
        {DECODE_MALFORMED, {7, 9, 4, 0, 0, 0, 0, 0}},
        {DECODE_MALFORMED, {7, 1, 0, 0, 0, 0, 0, 0}},
        {DECODE_MALFORMED, {1, 1, 1, 1, 1, 1, 1, 7}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct build b = {.n = 0};
        struct segment s;
        put_ethernet(&b, TYPE_IPV4);
        put_ipv4_options(&b, PROTOCOL_TCP, 22, cases[i].octet, 8);
        put_tcp(&b, SEGMENT_ACK);
        put_fill(&b, 'x', 2);
        assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), cases[i].verdict);
        if (cases[i].verdict == DECODE_TCP)
            assert_tcp(&s, 4, 2);
        assert_int_equal(decode_cut(*state, LINK_ETHERNET, &b, 24, &s), DECODE_TRUNCATED);
    }
}

static void test_ethernet_padding_is_no_payload(void **state) {
    struct build b = {.n = 0};
    struct segment s;
    put_plain(&b, SEGMENT_ACK, 0);
    put_fill(&b, 0, 6);
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_TCP);
    assert_tcp(&s, 4, 0);
}

/* Payload is counted by the IP length: cut by the snaplen, or by a broker that slices packets. */
static void test_payload_beyond_the_capture(void **state) {
    struct build b = {.n = 0};
    struct segment s;
    put_plain(&b, SEGMENT_ACK, 100);
    assert_int_equal(decode_cut(*state, LINK_ETHERNET, &b, 90, &s), DECODE_TCP);
    assert_tcp(&s, 4, 100);
    b.n -= 90;
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_TCP);
    assert_tcp(&s, 4, 100);
}

/* Segments beyond 64 KiB, seen before the card cuts them up, state no length. */
static void test_length_zero_is_the_frames(void **state) {
    struct build b = {.n = 0};
    struct segment s;
    put_plain(&b, SEGMENT_ACK, 100);
    set_u16(&b, b.ip + 2, 0);
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_TCP);
    assert_tcp(&s, 4, 100);
    assert_int_equal(decode_cut(*state, LINK_ETHERNET, &b, 70, &s), DECODE_TCP);
    assert_tcp(&s, 4, 100);

    b.n = 0;
    put_ipv6(&b, PROTOCOL_TCP, 0);
    put_tcp(&b, SEGMENT_ACK);
    put_fill(&b, 'x', 7);
    assert_int_equal(decode_build(*state, LINK_RAW, &b, &s), DECODE_TCP);
    assert_tcp(&s, 6, 7);
}

static void test_absurd_wire_length(void **state) {
    struct build b = {.n = 0};
    struct segment s;
    put_ipv6(&b, PROTOCOL_TCP, 0);
    put_tcp(&b, SEGMENT_ACK);
    struct packet p = {.data = b.octet, .captured = b.n, .link = LINK_RAW};
    p.length = CAPTURE_MAX_RECORD + 40;
    assert_int_equal(decode_packet(*state, &p, &s), DECODE_TCP);
    assert_int_equal(s.payload, CAPTURE_MAX_RECORD - 20);
    p.length++;
    assert_int_equal(decode_packet(*state, &p, &s), DECODE_MALFORMED);
}

static void test_ipv6_header_checks(void **state) {
    struct build b = {.n = 0};
    struct segment s;
    put_ethernet(&b, TYPE_IPV6);
    put_ipv6(&b, PROTOCOL_TCP, 20);
    put_tcp(&b, SEGMENT_ACK);
    put_fill(&b, 0, 4);
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_TCP);
    assert_tcp(&s, 6, 0);
    b.octet[b.ip] = 0x40;
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_MALFORMED);
    b.octet[b.ip] = 0x60;
    set_u16(&b, b.ip + 4, 19);
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_MALFORMED);
    set_u16(&b, b.ip + 4, 20);
    b.octet[b.ip + 6] = PROTOCOL_ICMP;
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_NOT_TCP);
}

/* IPv6 with one extension header of `n` octets, then an ACK and `payload` octets. */
static void put_extended(struct build *b, uint8_t kind, const uint8_t *extension, uint32_t n,
                         uint32_t payload) {
    put_ipv6(b, kind, n + 20 + payload);
    put(b, extension, n);
    put_tcp(b, SEGMENT_ACK);
    put_fill(b, 'x', payload);
}

static enum decode_verdict decode_extended(void **state, uint8_t kind, const uint8_t *extension,
                                           uint32_t n, struct segment *s) {
    struct build b = {.n = 0};
    put_extended(&b, kind, extension, n, 3);
    return decode_build(*state, LINK_RAW, &b, s);
}

static void test_each_extension_header(void **state) {
    static const uint8_t kinds[] = {HOP_BY_HOP, ROUTING, DESTINATION, 135, 139, 140};
    static const uint8_t extension[16] = {PROTOCOL_TCP, 1, 1, 0};
    for (size_t i = 0; i < sizeof kinds; i++) {
        struct segment s;
        assert_int_equal(decode_extended(state, kinds[i], extension, 16, &s), DECODE_TCP);
        assert_tcp(&s, 6, 3);
    }
}

static void test_encrypted_or_nothing(void **state) {
    static const uint8_t extension[8] = {PROTOCOL_TCP};
    struct segment s;
    assert_int_equal(decode_extended(state, ESP, extension, 8, &s), DECODE_NOT_TCP);
    assert_int_equal(decode_extended(state, NO_NEXT, extension, 8, &s), DECODE_NOT_TCP);
}

static void test_authentication_header(void **state) {
    static const uint8_t ah[24] = {PROTOCOL_TCP, 4}, no_length[8] = {PROTOCOL_TCP, 0};
    static const uint8_t least[12] = {PROTOCOL_TCP, 1};
    struct segment s;
    assert_int_equal(decode_extended(state, AH, ah, 24, &s), DECODE_TCP);
    assert_tcp(&s, 6, 3);
    assert_int_equal(decode_extended(state, AH, no_length, 8, &s), DECODE_MALFORMED);
    assert_int_equal(decode_extended(state, AH, least, 12, &s), DECODE_TCP);
    assert_tcp(&s, 6, 3);

    struct build b = {.n = 0};
    put_ipv4(&b, AH, 24 + 20);
    put(&b, ah, 24);
    put_tcp(&b, SEGMENT_ACK);
    assert_int_equal(decode_build(*state, LINK_RAW, &b, &s), DECODE_TCP);
    assert_tcp(&s, 4, 0);
}

static void test_chain_is_bounded(void **state) {
    static const uint8_t extension[8] = {DESTINATION}, last[8] = {PROTOCOL_TCP};
    for (uint32_t n = 16; n <= 17; n++) {
        struct build b = {.n = 0};
        struct segment s;
        put_ipv6(&b, DESTINATION, n * 8 + 20);
        for (uint32_t i = 1; i < n; i++)
            put(&b, extension, 8);
        put(&b, last, 8);
        put_tcp(&b, SEGMENT_ACK);
        assert_int_equal(decode_build(*state, LINK_RAW, &b, &s),
                         n == 16 ? DECODE_TCP : DECODE_MALFORMED);
    }
}

static void test_extension_beyond_its_packet(void **state) {
    static const uint8_t extension[8] = {PROTOCOL_TCP, 3};
    struct build b = {.n = 0};
    struct segment s;
    put_extended(&b, DESTINATION, extension, 8, 3);
    assert_int_equal(decode_build(*state, LINK_RAW, &b, &s), DECODE_MALFORMED);
    b.octet[41] = 0;
    assert_int_equal(decode_cut(*state, LINK_RAW, &b, 24, &s), DECODE_TRUNCATED);
    assert_int_equal(decode_cut(*state, LINK_RAW, &b, 3, &s), DECODE_TCP);
}

/* While segments are left, the connection's destination is at the end of the route. */
static void test_routing_header_destination(void **state) {
    static const uint8_t types[] = {0, 2, 4};
    uint8_t routing[24] = {PROTOCOL_TCP, 2};
    struct segment s;
    memcpy(routing + 8, ELSEWHERE, 16);
    for (size_t i = 0; i < sizeof types; i++) {
        routing[2] = types[i];
        routing[3] = 1;
        assert_int_equal(decode_extended(state, ROUTING, routing, 24, &s), DECODE_TCP);
        assert_memory_equal(s.dst, ELSEWHERE, 16);
        assert_memory_equal(s.src, SRC_6, 16);
        routing[3] = 0;
        assert_int_equal(decode_extended(state, ROUTING, routing, 24, &s), DECODE_TCP);
        assert_tcp(&s, 6, 3);
    }
}

/* Of several addresses: the last of a source route, the first of a segment list. */
static void test_routing_header_of_two(void **state) {
    uint8_t routing[40] = {PROTOCOL_TCP, 4, 0, 2};
    struct segment s;
    memcpy(routing + 24, ELSEWHERE, 16);
    assert_int_equal(decode_extended(state, ROUTING, routing, 40, &s), DECODE_TCP);
    assert_memory_equal(s.dst, ELSEWHERE, 16);
    routing[2] = 4;
    memcpy(routing + 8, SRC_6, 16);
    assert_int_equal(decode_extended(state, ROUTING, routing, 40, &s), DECODE_TCP);
    assert_memory_equal(s.dst, SRC_6, 16);
}

static void test_home_address(void **state) {
    uint8_t options[24] = {PROTOCOL_TCP, 2, 1, 2, 0, 0, 0xc9, 16};
    struct segment s;
    memcpy(options + 8, ELSEWHERE, 16);
    assert_int_equal(decode_extended(state, DESTINATION, options, 24, &s), DECODE_TCP);
    assert_memory_equal(s.src, ELSEWHERE, 16);
    assert_memory_equal(s.dst, DST_6, 16);
    options[7] = 17; /* beyond the header: not looked at */
    assert_int_equal(decode_extended(state, DESTINATION, options, 24, &s), DECODE_TCP);
    assert_tcp(&s, 6, 3);
}

/* A jumbogram of `length` by its option, of which little is captured; `wire` octets follow the IPv6
 * header. */
static enum decode_verdict decode_jumbo(void **state, uint32_t length, uint32_t wire,
                                        struct segment *s) {
    struct build b = {.n = 0};
    put_ipv6(&b, HOP_BY_HOP, 0);
    put(&b, "\x06\x00\xc2\x04", 4);
    put_u32(&b, length);
    put_tcp(&b, SEGMENT_ACK);
    struct packet p = {.data = b.octet, .captured = b.n, .length = 40 + wire, .link = LINK_RAW};
    return decode_packet(*state, &p, s);
}

static void test_jumbo_payload(void **state) {
    struct segment s;
    assert_int_equal(decode_jumbo(state, 100000, 100000, &s), DECODE_TCP);
    assert_tcp(&s, 6, 100000 - 8 - 20);
    assert_int_equal(decode_jumbo(state, 65536, 100000, &s), DECODE_TCP);
    assert_tcp(&s, 6, 65536 - 8 - 20);
    assert_int_equal(decode_jumbo(state, 65535, 100000, &s), DECODE_MALFORMED);
    assert_int_equal(decode_jumbo(state, 100001, 100000, &s), DECODE_MALFORMED);
    assert_int_equal(decode_jumbo(state, CAPTURE_MAX_RECORD + 1, UINT32_MAX - 40, &s),
                     DECODE_MALFORMED);
}

/* IPv4 with these flags and offset, on Ethernet, `payload` octets of a segment's start. */
static enum decode_verdict decode_fragment(void **state, uint32_t field, uint8_t protocol,
                                           uint32_t payload, struct segment *s) {
    struct build b = {.n = 0};
    put_ethernet(&b, TYPE_IPV4);
    put_ipv4(&b, protocol, payload);
    set_u16(&b, b.ip + 6, field);
    put_tcp(&b, SEGMENT_SYN);
    put_fill(&b, 'x', 100);
    b.n = b.ip + 20 + payload;
    return decode_build(*state, LINK_ETHERNET, &b, s);
}

/* What is a fragment and what is not; test_decode_fragment.c joins them. */
static void test_ipv4_fragments(void **state) {
    struct segment s;
    assert_int_equal(decode_fragment(state, 0x2000, PROTOCOL_TCP, 48, &s), DECODE_FRAGMENT);
    assert_int_equal(decode_fragment(state, 0x2009, 17, 48, &s), DECODE_FRAGMENT);
    assert_int_equal(decode_fragment(state, 0x0009, PROTOCOL_ICMP, 48, &s), DECODE_FRAGMENT);
    assert_int_equal(decode_fragment(state, 0x3fff, PROTOCOL_TCP, 48, &s), DECODE_MALFORMED);
    assert_int_equal(decode_fragment(state, 0x2000, PROTOCOL_TCP, 47, &s), DECODE_MALFORMED);
    assert_int_equal(decode_fragment(state, 0xc000, PROTOCOL_TCP, 48, &s), DECODE_TCP);
    assert_tcp(&s, 4, 28);
}

static enum decode_verdict decode_fragment_6(void **state, uint16_t field, uint32_t payload,
                                             struct segment *s) {
    struct build b = {.n = 0};
    put_ipv6(&b, FRAGMENT, 8 + payload);
    put_u16(&b, PROTOCOL_TCP << 8);
    put_u16(&b, field);
    put_u32(&b, 0x12345678);
    put_tcp(&b, SEGMENT_SYN);
    put_fill(&b, 'x', 40);
    b.n = 48 + payload;
    return decode_build(*state, LINK_RAW, &b, s);
}

static void test_ipv6_fragments(void **state) {
    struct segment s;
    assert_int_equal(decode_fragment_6(state, 0x0001, 24, &s), DECODE_FRAGMENT);
    assert_int_equal(decode_fragment_6(state, 0x0020, 24, &s), DECODE_FRAGMENT);
    assert_int_equal(decode_fragment_6(state, 0x0029, 23, &s), DECODE_MALFORMED);
    assert_int_equal(decode_fragment_6(state, 0x0000, 24, &s), DECODE_TCP);
    assert_tcp(&s, 6, 4);
    assert_int_equal(s.checksum_state, SEGMENT_CHECKSUM_BAD); /* atomic: whole, so it is summed */
    assert_int_equal(decode_fragment_6(state, 0x0006, 24, &s), DECODE_TCP);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        DECODE_TEST(test_ipv4_header_checks),
        DECODE_TEST(test_ipv4_options),
        DECODE_TEST(test_ethernet_padding_is_no_payload),
        DECODE_TEST(test_payload_beyond_the_capture),
        DECODE_TEST(test_length_zero_is_the_frames),
        DECODE_TEST(test_absurd_wire_length),
        DECODE_TEST(test_ipv6_header_checks),
        DECODE_TEST(test_each_extension_header),
        DECODE_TEST(test_encrypted_or_nothing),
        DECODE_TEST(test_authentication_header),
        DECODE_TEST(test_chain_is_bounded),
        DECODE_TEST(test_extension_beyond_its_packet),
        DECODE_TEST(test_routing_header_destination),
        DECODE_TEST(test_routing_header_of_two),
        DECODE_TEST(test_home_address),
        DECODE_TEST(test_jumbo_payload),
        DECODE_TEST(test_ipv4_fragments),
        DECODE_TEST(test_ipv6_fragments),
    };
    return cmocka_run_group_tests_name("decode: IP", tests, NULL, NULL);
}
