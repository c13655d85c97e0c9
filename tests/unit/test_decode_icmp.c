/*
 * Tests of decode: ICMP and ICMPv6 errors that quote a TCP segment.
 */
#include "decode_packets.h"

enum { QUOTED = 8, ROUTER_TO_HOST = 8 };

/* An ICMP error on Ethernet that quotes an IP packet of `protocol` and `quoted` octets behind its
 * header. The packet around it comes from a router: its addresses differ from those within. */
static void put_error(struct build *b, uint8_t family, uint8_t type, uint8_t protocol,
                      uint32_t quoted) {
    b->n = 0;
    uint32_t header = family == 4 ? 20 : 40;
    put_ethernet(b, family == 4 ? TYPE_IPV4 : TYPE_IPV6);
    if (family == 4)
        put_ipv4(b, PROTOCOL_ICMP, ROUTER_TO_HOST + header + quoted);
    else
        put_ipv6(b, PROTOCOL_ICMPV6, ROUTER_TO_HOST + header + quoted);
    b->octet[b->n - 1] = 0x77;
    put_u8(b, type);
    put_u8(b, 13);
    put_fill(b, 0, 6);
    if (family == 4)
        put_ipv4(b, protocol, 1480);
    else
        put_ipv6(b, protocol, 1440);
    put_tcp(b, SEGMENT_SYN);
    b->n = b->tcp + quoted;
}

static void assert_quoted(const struct segment *s, uint8_t family, uint8_t type) {
    assert_int_equal(s->family, family);
    assert_memory_equal(s->src, family == 4 ? SRC_4 : SRC_6, family == 4 ? 4 : 16);
    assert_memory_equal(s->dst, family == 4 ? DST_4 : DST_6, family == 4 ? 4 : 16);
    assert_int_equal(s->src_port, 40001);
    assert_int_equal(s->dst_port, 443);
    assert_int_equal(s->seq, 0x81020304);
    assert_int_equal(s->icmp_type, type);
    assert_int_equal(s->icmp_code, 13);
    assert_int_equal(s->scope, 0);
}

static void test_error_types(void **state) {
    static const uint8_t errors_4[] = {3, 11, 12}, errors_6[] = {1, 2, 3, 4};
    for (unsigned type = 0; type <= 255; type++) {
        struct build b;
        struct segment s;
        put_error(&b, 4, (uint8_t)type, PROTOCOL_TCP, QUOTED);
        bool error = memchr(errors_4, (int)type, sizeof errors_4) != NULL;
        assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s),
                         error ? DECODE_ICMP : DECODE_NOT_TCP);
        if (error)
            assert_quoted(&s, 4, (uint8_t)type);
        put_error(&b, 6, (uint8_t)type, PROTOCOL_TCP, QUOTED);
        error = memchr(errors_6, (int)type, sizeof errors_6) != NULL;
        assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s),
                         error ? DECODE_ICMP : DECODE_NOT_TCP);
        if (error)
            assert_quoted(&s, 6, (uint8_t)type);
    }
}

static void test_quote_of_another_protocol(void **state) {
    struct build b;
    struct segment s;
    put_error(&b, 4, 3, 17, QUOTED);
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_NOT_TCP);
    put_error(&b, 6, 1, 17, QUOTED);
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_NOT_TCP);
}

static void test_quote_too_short(void **state) {
    struct build b;
    struct segment s;
    put_error(&b, 4, 3, PROTOCOL_TCP, QUOTED - 1);
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_MALFORMED);
    put_error(&b, 4, 3, PROTOCOL_TCP, QUOTED);
    for (uint32_t cut = 1; cut <= b.n - 14; cut++)
        assert_int_equal(decode_cut(*state, LINK_ETHERNET, &b, cut, &s), DECODE_TRUNCATED);
    put_error(&b, 6, 1, PROTOCOL_TCP, QUOTED);
    for (uint32_t cut = 1; cut <= b.n - 14; cut++)
        assert_int_equal(decode_cut(*state, LINK_ETHERNET, &b, cut, &s), DECODE_TRUNCATED);
}

/* Hosts were seen to return the length of the quoted header altered: it must not matter. */
static void test_quoted_length_is_not_believed(void **state) {
    static const uint16_t lengths[] = {0, 1, 20, 0xffff};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct build b;
        struct segment s;
        put_error(&b, 4, 3, PROTOCOL_TCP, 20);
        set_u16(&b, b.ip + 2, lengths[i]);
        assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_ICMP);
        assert_quoted(&s, 4, 3);
    }
}

static void test_quoted_fragments(void **state) {
    struct build b;
    struct segment s;
    put_error(&b, 4, 11, PROTOCOL_TCP, QUOTED);
    set_u16(&b, b.ip + 6, 0x2000);
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_ICMP);
    assert_quoted(&s, 4, 11);
    set_u16(&b, b.ip + 6, 0x0004);
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_FRAGMENT);
}

static void test_error_in_vlan(void **state) {
    struct build b, tagged = {.n = 0};
    struct segment s;
    put_error(&b, 4, 3, PROTOCOL_TCP, QUOTED);
    put_ethernet(&tagged, TYPE_VLAN);
    put_vlan(&tagged, 20, TYPE_IPV4);
    put(&tagged, b.octet + 14, b.n - 14);
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &tagged, &s), DECODE_ICMP);
    assert_int_equal(decode_scope(*state, s.scope)->layer[0].id, 20);
}

static void test_quote_behind_extension_header(void **state) {
    struct build b = {.n = 0};
    struct segment s;
    put_ipv6(&b, PROTOCOL_ICMPV6, 8 + 40 + 8 + 8);
    put(&b, "\x03\x0d\0\0\0\0\0\0", 8);
    put_ipv6(&b, 60, 1440);
    put(&b, "\x06\0\x01\x04\0\0\0\0", 8);
    put_tcp(&b, SEGMENT_ACK);
    b.n = b.tcp + QUOTED;
    assert_int_equal(decode_build(*state, LINK_RAW, &b, &s), DECODE_ICMP);
    assert_quoted(&s, 6, 3);
}

/* A quote of the other family, or of no IP at all, contradicts the message. */
static void test_quote_is_no_ip(void **state) {
    struct build b;
    struct segment s;
    put_error(&b, 4, 3, PROTOCOL_TCP, 40);
    b.octet[b.ip] = 0x65;
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_MALFORMED);
    put_error(&b, 6, 1, PROTOCOL_TCP, QUOTED);
    b.octet[b.ip] = 0x45;
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_MALFORMED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        DECODE_TEST(test_error_types),
        DECODE_TEST(test_quote_of_another_protocol),
        DECODE_TEST(test_quote_too_short),
        DECODE_TEST(test_quoted_length_is_not_believed),
        DECODE_TEST(test_quoted_fragments),
        DECODE_TEST(test_error_in_vlan),
        DECODE_TEST(test_quote_behind_extension_header),
        DECODE_TEST(test_quote_is_no_ip),
    };
    return cmocka_run_group_tests_name("decode: ICMP", tests, NULL, NULL);
}
