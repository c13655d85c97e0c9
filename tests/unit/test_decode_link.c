/*
 * Tests of decode: link types, VLAN tags, LLC and SNAP.
 */
#include "decode_packets.h"

/* Link headers in front of one and the same IP packet. */
struct link_case {
    const char *name;
    uint16_t link;
    uint8_t family;
    uint32_t n;
    uint8_t octet[48];
};

static const struct link_case link_cases[] = {
    {"NULL, little endian, IPv4", 0, 4, 4, {2, 0, 0, 0}},
    {"NULL, big endian, IPv4", 0, 4, 4, {0, 0, 0, 2}},
    {"NULL, Linux IPv6", 0, 6, 4, {10, 0, 0, 0}},
    {"NULL, Windows IPv6", 0, 6, 4, {23, 0, 0, 0}},
    {"NULL, NetBSD IPv6", 0, 6, 4, {24, 0, 0, 0}},
    {"NULL, FreeBSD IPv6", 0, 6, 4, {0, 0, 0, 28}},
    {"NULL, Darwin IPv6", 0, 6, 4, {30, 0, 0, 0}},
    {"LOOP", 108, 4, 4, {0, 0, 0, 2}},
    {"LOOP, little endian", 108, 6, 4, {24, 0, 0, 0}},
    {"RAW", 101, 4, 0, {0}},
    {"RAW, IPv6", 101, 6, 0, {0}},
    {"RAW of 12", 12, 6, 0, {0}},
    {"RAW of 14", 14, 4, 0, {0}},
    {"IPV4", 228, 4, 0, {0}},
    {"IPV6", 229, 6, 0, {0}},
    {"SLL", 113, 4, 16, {0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0}},
    {"SLL, IPv6", 113, 6, 16, {0, 4, 3, 4, 0, 0, [14] = 0x86, 0xdd}},
    {"SLL2", 276, 4, 20, {8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 4, 6}},
    {"SLL2, IPv6", 276, 6, 20, {0x86, 0xdd, 0, 0, 0, 0, 0, 3, 0, 1, 4, 6}},
    {"SLL, LLC", 113, 4, 24, {[15] = 4, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}},
    {"PPP in HDLC framing", 9, 4, 4, {0xff, 3, 0, 0x21}},
    {"PPP, bare", 9, 6, 2, {0, 0x57}},
    {"PPP, short protocol", 9, 4, 1, {0x21}},
    {"PPP_HDLC", 50, 6, 4, {0xff, 3, 0, 0x57}},
    {"PPP_HDLC, Cisco's framing", 50, 4, 4, {0x0f, 0, 8, 0}},
    {"PPP_PPPD", 166, 4, 5, {1, 0xff, 3, 0, 0x21}},
    {"PPP_WITH_DIR", 204, 6, 3, {0, 0, 0x57}},
    {"C_HDLC", 104, 6, 4, {0x8f, 0, 0x86, 0xdd}},
    {"FRELAY, NLPID", 107, 4, 4, {0x18, 0x41, 3, 0xcc}},
    {"FRELAY, IPv6", 107, 6, 4, {0x18, 0x41, 3, 0x8e}},
    {"FRELAY, long address", 107, 4, 6, {0x18, 0x40, 0x40, 0x41, 3, 0xcc}},
    {"FRELAY, SNAP", 107, 4, 10, {0x18, 0x41, 3, 0, 0x80, 0, 0, 0, 8, 0}},
    {"FRELAY, Cisco's framing", 107, 6, 4, {0x18, 0x41, 0x86, 0xdd}},
    {"FDDI", 10, 4, 21, {0x57, [13] = 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}},
    {"ATM_RFC1483", 100, 6, 8, {0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd}},
    {"NFLOG, little endian", 239, 4, 16, {2, 0, 0, 0, 8, 0, 1, 0, 1, 2, 3, 4, 44, 0, 9, 0}},
    {"NFLOG, big endian, odd attribute",
     239,
     4,
     16,
     {2, 0, 0, 0, 0, 5, 0, 10, 'e', 0, 0, 0, 0, 44, 0, 9}},
    {"802.11 to an access point", 105, 4, 32, {0x08, 1, [24] = 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}},
    {"802.11 with QoS, from one", 105, 6, 34, {0x88, 2, [26] = 0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd}},
    {"802.11 with QoS and HT control",
     105,
     4,
     38,
     {0x88, 0x82, [30] = 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}},
    {"802.11 between access points", 105, 4, 38, {0x08, 3, [30] = 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}},
    {"802.11, its control field swapped",
     105,
     4,
     32,
     {1, 0x08, [22] = 3, [24] = 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}},
    {"radiotap without a field",
     127,
     4,
     40,
     {[2] = 8, [8] = 0x08, 1, [32] = 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}},
    {"radiotap with flags, padded",
     127,
     4,
     45,
     {[2] = 9, [4] = 2, [8] = 0x20, 0x88, 1, [37] = 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}},
    {"radiotap, two words of bits",
     127,
     6,
     46,
     {[2] = 14,
      [4] = 2,
      [7] = 0x80,
      [12] = 0,
      [14] = 0x08,
      1,
      [38] = 0xaa,
      0xaa,
      3,
      0,
      0,
      0,
      0x86,
      0xdd}},
    {"PKTAP of Ethernet", 258, 4, 26, {12, [8] = 1, [24] = 8, 0}},
    {"PKTAP of loopback", 149, 4, 18, {14, [14] = 2}},
    {"PKTAP of raw IP", 258, 6, 12, {12, [8] = 12}},
    {"DSA, untagged", 284, 4, 18, {[12] = 0, 8, 0, 20, 8, 0}},
    {"EDSA, untagged", 285, 6, 22, {[12] = 0xda, 0xda, 0, 0, 0, 8, 0, 20, 0x86, 0xdd}},
    {"MACsec, signed only", 1, 4, 22, {[12] = 0x88, 0xe5, 0, 0, 0, 0, 0, 1, 8, 0}},
    {"MACsec with its sender's id",
     1,
     4,
     30,
     {[12] = 0x88, 0xe5, 0x20, 0, 0, 0, 0, 1, [28] = 8, 0}},
    {"Ethernet, 802.3 and SNAP", 1, 4, 22, {[13] = 48, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}},
    {"Ethernet, 802.1H", 1, 6, 22, {[13] = 68, 0xaa, 0xaa, 3, 0, 0, 0xf8, 0x86, 0xdd}},
    {"Ethernet, LLC's own number for IP", 1, 4, 17, {[13] = 43, 6, 6, 3}},
};

static void put_ip_tcp(struct build *b, uint8_t family) {
    if (family == 4)
        put_ipv4(b, PROTOCOL_TCP, 20);
    else
        put_ipv6(b, PROTOCOL_TCP, 20);
    put_tcp(b, SEGMENT_ACK);
}

static void test_each_link_type(void **state) {
    for (size_t i = 0; i < sizeof link_cases / sizeof link_cases[0]; i++) {
        const struct link_case *c = &link_cases[i];
        struct build b = {.n = 0};
        struct segment s;
        put(&b, c->octet, c->n);
        put_ip_tcp(&b, c->family);
        enum decode_verdict verdict = decode_build(*state, c->link, &b, &s);
        if (verdict != DECODE_TCP)
            fail_msg("%s: verdict %d", c->name, verdict);
        assert_true(decode_knows_link(c->link));
        assert_tcp(&s, c->family, 0);
        assert_int_equal(s.scope, 0);
    }
}

/* Cut at every octet before the end of the TCP header, no link type gives a segment, nor reads
 * beyond. */
static void test_each_link_type_cut(void **state) {
    for (size_t i = 0; i < sizeof link_cases / sizeof link_cases[0]; i++) {
        const struct link_case *c = &link_cases[i];
        struct build b = {.n = 0};
        struct segment s;
        put(&b, c->octet, c->n);
        put_ip_tcp(&b, c->family);
        for (uint32_t cut = 1; cut <= b.n; cut++) {
            enum decode_verdict verdict = decode_cut(*state, c->link, &b, cut, &s);
            if (verdict == DECODE_TCP)
                fail_msg("%s, %u octets cut: a segment", c->name, cut);
        }
        assert_int_equal(decode_cut(*state, c->link, &b, 1, &s), DECODE_TRUNCATED);
    }
}

static void test_unknown_link_type(void **state) {
    static const uint16_t links[] = {2, 106, 128, 277, 286, 65535};
    struct build b = {.n = 0};
    struct segment s;
    put_ip_tcp(&b, 4);
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        assert_false(decode_knows_link(links[i]));
        assert_int_equal(decode_build(*state, links[i], &b, &s), DECODE_UNKNOWN_LINK);
    }
}

static void test_frames_without_ip(void **state) {
    static const struct link_case cases[] = {
        {"ARP", 1, 0, 14, {[12] = 0x08, 0x06}},
        {"spanning tree", 1, 0, 17, {[13] = 38, 0x42, 0x42, 3}},
        {"SNAP of another organisation", 1, 0, 22, {[13] = 48, 0xaa, 0xaa, 3, 0, 0, 0x0c, 8, 0}},
        {"SNAP with a length for a type", 1, 0, 22, {[13] = 48, 0xaa, 0xaa, 3, 0, 0, 0, 0, 9}},
        {"neither a length nor a type", 1, 0, 14, {[12] = 0x05, 0xdd}},
        {"802.11, encrypted", 105, 0, 32, {0x08, 0x41, [24] = 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}},
        {"802.11, no data", 105, 0, 32, {0x48, 1, [24] = 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}},
        {"802.11, a beacon", 105, 0, 32, {0x80, 0, [24] = 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}},
        {"802.11, several in one", 105, 0, 34, {0x88, 1, [24] = 0x80, 0, 0xaa, 0xaa, 3}},
        {"PKTAP of PPP", 258, 0, 12, {12, [8] = 9}},
        {"MACsec, encrypted", 1, 0, 22, {[12] = 0x88, 0xe5, 0x0c, 0, 0, 0, 0, 1, 8, 0}},
        {"PPPoE discovery", 1, 0, 20, {[12] = 0x88, 0x63, 0x11, 9}},
        {"AppleTalk on NULL", 0, 0, 4, {16, 0, 0, 0}},
        {"PPP's LCP", 9, 0, 4, {0xff, 3, 0xc0, 0x21}},
        {"SLL of CAN", 113, 0, 16, {[14] = 0, 0x0c}},
        {"FDDI's station management", 10, 0, 21, {0x41, [13] = 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}},
        {"Frame Relay's LMI", 107, 0, 4, {0x00, 0x01, 3, 8}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct build b = {.n = 0};
        struct segment s;
        put(&b, cases[i].octet, cases[i].n);
        put_ip_tcp(&b, 4);
        enum decode_verdict verdict = decode_build(*state, cases[i].link, &b, &s);
        if (verdict != DECODE_NOT_TCP)
            fail_msg("%s: verdict %d", cases[i].name, verdict);
    }
}

static void test_short_frames_are_malformed(void **state) {
    struct build b = {.n = 0};
    struct segment s;
    assert_int_equal(decode_build(*state, LINK_RAW, &b, &s), DECODE_MALFORMED);
    put_fill(&b, 0, 13);
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_MALFORMED);
    b.n = 1;
    b.octet[0] = 0x50;
    assert_int_equal(decode_build(*state, LINK_RAW, &b, &s), DECODE_MALFORMED);
}

/* The length of an 802.3 frame leaves its padding out, also where IP's own length is missing. */
static void test_802_3_length_bounds(void **state) {
    struct build b = {.n = 0};
    struct segment s;
    put_ethernet(&b, 8 + 40 + 5);
    put(&b, "\xaa\xaa\x03\0\0\0\x08\0", 8);
    put_ipv4(&b, PROTOCOL_TCP, 25);
    set_u16(&b, b.ip + 2, 0);
    put_tcp(&b, SEGMENT_ACK);
    put_fill(&b, 'x', 5 + 9);
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_TCP);
    assert_tcp(&s, 4, 5);
}

static void test_headers_that_lie(void **state) {
    static const struct link_case cases[] = {
        {"radiotap shorter than itself", 127, 0, 8, {[2] = 7}},
        {"PKTAP shorter than itself", 258, 0, 12, {11, [8] = 1}},
        {"PKTAP longer than its packet", 258, 0, 12, {0xff, 0xff, 0xff, 0x7f, [8] = 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct build b = {.n = 0};
        struct segment s;
        put(&b, cases[i].octet, cases[i].n);
        put_ip_tcp(&b, 4);
        enum decode_verdict verdict = decode_build(*state, cases[i].link, &b, &s);
        if (verdict != DECODE_MALFORMED)
            fail_msg("%s: verdict %d", cases[i].name, verdict);
    }
}

/* The later parts of a frame that radio cut in several have no header of their own. */
static void test_radio_fragment(void **state) {
    struct build b = {.n = 0};
    struct segment s;
    put(&b, "\x08\x01", 2);
    put_fill(&b, 0, 20);
    put(&b, "\x01\0\xaa\xaa\x03\0\0\0\x08\0", 10);
    put_ip_tcp(&b, 4);
    assert_int_equal(decode_build(*state, 105, &b, &s), DECODE_FRAGMENT);
}

static void test_nflog_attribute_too_short(void **state) {
    struct build b = {.n = 0};
    struct segment s;
    put(&b, "\x02\0\0\0\x03\0\x01\0", 8);
    put_ip_tcp(&b, 4);
    assert_int_equal(decode_build(*state, 239, &b, &s), DECODE_MALFORMED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        DECODE_TEST(test_each_link_type),
        DECODE_TEST(test_each_link_type_cut),
        DECODE_TEST(test_unknown_link_type),
        DECODE_TEST(test_frames_without_ip),
        DECODE_TEST(test_short_frames_are_malformed),
        DECODE_TEST(test_802_3_length_bounds),
        DECODE_TEST(test_headers_that_lie),
        DECODE_TEST(test_radio_fragment),
        DECODE_TEST(test_nflog_attribute_too_short),
    };
    return cmocka_run_group_tests_name("decode: links", tests, NULL, NULL);
}
