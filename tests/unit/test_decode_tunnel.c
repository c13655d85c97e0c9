/*
 * Tests of decode: tunnels, label stacks and sessions, each alone and nested.
 */
#include "decode_tunnels.h"

static const struct tunnel tunnels[] = {
    {"MPLS", IN_ETHERNET, ETYPE_MPLS, CONTENT_IPV4, NO_LAYER, 4, {0, 0x3e, 0x91, 64}},
    {"MPLS, three labels",
     IN_ETHERNET,
     0x8848,
     CONTENT_IPV6,
     NO_LAYER,
     12,
     {0, 1, 0, 64, 0, 2, 0, 64, 0, 3, 1, 64}},
    {"MPLS pseudowire", IN_ETHERNET, ETYPE_MPLS, CONTENT_FRAME, NO_LAYER, 4, {0, 1, 1, 64}},
    {"MPLS pseudowire, control word",
     IN_ETHERNET,
     ETYPE_MPLS,
     CONTENT_FRAME,
     NO_LAYER,
     8,
     {0, 1, 1, 64, 0, 0, 0, 9}},
    {"MPLS in IP", IN_IPV6, MPLS_IN_IP, CONTENT_IPV4, NO_LAYER, 4, {0, 1, 1, 64}},
    {"MPLS in UDP", IN_UDP, 6635, CONTENT_IPV4, NO_LAYER, 4, {0, 1, 1, 64}},
    {"PPPoE",
     IN_ETHERNET,
     ETYPE_PPPOE,
     CONTENT_IPV4,
     LAYER(PPPOE, 0x1234),
     8,
     {0x11, 0, 0x12, 0x34, 0, 42, 0, 0x21}},
    {"PPPoE, IPv6",
     IN_ETHERNET,
     ETYPE_PPPOE,
     CONTENT_IPV6,
     LAYER(PPPOE, 1),
     8,
     {0x11, 0, 0, 1, 0, 62, 0, 0x57}},
    {"PPPoE of MPLS",
     IN_ETHERNET,
     ETYPE_PPPOE,
     CONTENT_IPV4,
     LAYER(PPPOE, 1),
     12,
     {0x11, 0, 0, 1, 0, 46, 2, 0x81, 0, 1, 1, 64}},
    {"PBB",
     IN_ETHERNET,
     ETYPE_PBB,
     CONTENT_FRAME,
     LAYER(PBB, 0x123456),
     4,
     {0x20, 0x12, 0x34, 0x56}},
    {"GRE", IN_IPV4, GRE, CONTENT_IPV4, LAYER(GRE, 0), 4, {0, 0, 8, 0}},
    {"GRE over IPv6", IN_IPV6, GRE, CONTENT_IPV6, LAYER(GRE, 0), 4, {0, 0, 0x86, 0xdd}},
    {"GRE, checksum", IN_IPV4, GRE, CONTENT_IPV4, LAYER(GRE, 0), 8, {0x80, 0, 8, 0, 1, 2, 0, 0}},
    {"GRE, key",
     IN_IPV4,
     GRE,
     CONTENT_IPV4,
     LAYER(GRE, 0x01020304),
     8,
     {0x20, 0, 8, 0, 1, 2, 3, 4}},
    {"GRE, sequence", IN_IPV4, GRE, CONTENT_IPV4, LAYER(GRE, 0), 8, {0x10, 0, 8, 0, 1, 2, 3, 4}},
    {"GRE, all of them",
     IN_IPV4,
     GRE,
     CONTENT_IPV6,
     LAYER(GRE, 9),
     16,
     {0xb0, 0, 0x86, 0xdd, 1, 2, 0, 0, 0, 0, 0, 9, 1, 1, 1, 1}},
    {"GRE of frames", IN_IPV4, GRE, CONTENT_FRAME, LAYER(GRE, 0), 4, {0, 0, 0x65, 0x58}},
    {"GRE of frames, a small key",
     IN_IPV4,
     GRE,
     CONTENT_FRAME,
     LAYER(GRE, 0xfffff),
     8,
     {0x20, 0, 0x65, 0x58, 0, 0x0f, 0xff, 0xff}},
    {"NVGRE",
     IN_IPV4,
     GRE,
     CONTENT_FRAME,
     LAYER(NVGRE, 4096),
     8,
     {0x20, 0, 0x65, 0x58, 0, 0x10, 0, 0x77}},
    {"GRE of MPLS", IN_IPV4, GRE, CONTENT_IPV4, LAYER(GRE, 0), 8, {0, 0, 0x88, 0x47, 0, 1, 1, 64}},
    {"GRE of PPP",
     IN_IPV4,
     GRE,
     CONTENT_IPV4,
     LAYER(GRE, 0),
     8,
     {0, 0, 0x88, 0x0b, 0xff, 3, 0, 0x21}},
    {"GRE of 802.11",
     IN_IPV4,
     GRE,
     CONTENT_IPV4,
     LAYER(GRE, 0),
     36,
     {0, 0, 0x82, 0, 0x08, 1, [28] = 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}},
    {"GRE in UDP", IN_UDP, 4754, CONTENT_IPV4, LAYER(GRE, 5), 8, {0x20, 0, 8, 0, 0, 0, 0, 5}},
    {"PPTP",
     IN_IPV4,
     GRE,
     CONTENT_IPV4,
     LAYER(GRE, 0),
     16,
     {0x30, 1, 0x88, 0x0b, 0, 44, 0, 7, 0, 0, 0, 1, 0xff, 3, 0, 0x21}},
    {"PPTP, acknowledging",
     IN_IPV4,
     GRE,
     CONTENT_IPV4,
     LAYER(GRE, 0),
     17,
     {0x30, 0x81, 0x88, 0x0b, 0, 41, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, 0x21}},
    {"EoIP",
     IN_IPV4,
     GRE,
     CONTENT_FRAME,
     LAYER(EOIP, 300),
     8,
     {0x20, 1, 0x64, 0, 0, 54, 300 & 255, 300 >> 8}},
    {"ERSPAN I", IN_IPV4, GRE, CONTENT_FRAME, LAYER(ERSPAN, 0), 4, {0, 0, 0x88, 0xbe}},
    {"ERSPAN II",
     IN_IPV4,
     GRE,
     CONTENT_FRAME,
     LAYER(ERSPAN, 0),
     16,
     {0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 20, 0, 101}},
    {"ERSPAN III",
     IN_IPV4,
     GRE,
     CONTENT_FRAME,
     LAYER(ERSPAN, 0),
     20,
     {0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 20, 0, 101}},
    {"ERSPAN III, subheader",
     IN_IPV4,
     GRE,
     CONTENT_FRAME,
     LAYER(ERSPAN, 0),
     28,
     {0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 20, 0, 101, [19] = 1}},
    {"ERSPAN III of a packet",
     IN_IPV4,
     GRE,
     CONTENT_IPV4,
     LAYER(ERSPAN, 0),
     20,
     {0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 20, 0, 101, [18] = 8}},
    {"VXLAN",
     IN_UDP,
     4789,
     CONTENT_FRAME,
     LAYER(VXLAN, 0xabcdef),
     8,
     {8, 0, 0, 0, 0xab, 0xcd, 0xef}},
    {"VXLAN, Linux's port", IN_UDP, 8472, CONTENT_FRAME, LAYER(VXLAN, 0), 8, {8}},
    {"VXLAN-GPE, IPv4", IN_UDP, 4790, CONTENT_IPV4, LAYER(VXLAN, 1), 8, {0x0c, 0, 0, 1, 0, 0, 1}},
    {"VXLAN-GPE, IPv6", IN_UDP, 4790, CONTENT_IPV6, LAYER(VXLAN, 1), 8, {0x0c, 0, 0, 2, 0, 0, 1}},
    {"VXLAN-GPE, frame", IN_UDP, 4790, CONTENT_FRAME, LAYER(VXLAN, 1), 8, {0x0c, 0, 0, 3, 0, 0, 1}},
    {"Geneve",
     IN_UDP,
     6081,
     CONTENT_FRAME,
     LAYER(GENEVE, 0x010203),
     8,
     {0, 0, 0x65, 0x58, 1, 2, 3, 0}},
    {"Geneve, options, IPv4",
     IN_UDP,
     6081,
     CONTENT_IPV4,
     LAYER(GENEVE, 7),
     16,
     {2, 0, 8, 0, 0, 0, 7, 0, 1, 2, 3, 1}},
    {"GTP-U", IN_UDP, 2152, CONTENT_IPV4, LAYER(GTPU, 0), 8, {0x30, 255, 0, 40, 1, 2, 3, 4}},
    {"GTP-U from the port",
     FROM_UDP,
     2152,
     CONTENT_IPV6,
     LAYER(GTPU, 0),
     8,
     {0x30, 255, 0, 60, 1, 2, 3, 4}},
    {"GTP-U, numbers",
     IN_UDP,
     2152,
     CONTENT_IPV4,
     LAYER(GTPU, 0),
     12,
     {0x33, 255, 0, 44, 1, 2, 3, 4, 0, 9, 0, 0x85}},
    {"GTP-U, two extensions", IN_UDP, 2152, CONTENT_IPV4, LAYER(GTPU, 0), 24, {0x34, 255,  0, 56, 1,
                                                                               2,    3,    4, 0,  0,
                                                                               0,    0x85, 1, 0,  0,
                                                                               0x40, 2,    0, 0,  0,
                                                                               0,    0,    0, 0}},
    {"IPv4 in IPv4", IN_IPV4, IPIP, CONTENT_IPV4, LAYER(IPIP, 0), 0, {0}},
    {"IPv6 in IPv4", IN_IPV4, IPV6_IN_IP, CONTENT_IPV6, LAYER(IPIP, 0), 0, {0}},
    {"IPv4 in IPv6", IN_IPV6, IPIP, CONTENT_IPV4, LAYER(IPIP, 0), 0, {0}},
    {"IPv6 in IPv6", IN_IPV6, IPV6_IN_IP, CONTENT_IPV6, LAYER(IPIP, 0), 0, {0}},
    {"Teredo", IN_UDP, 3544, CONTENT_IPV6, LAYER(TEREDO, 0), 0, {0}},
    {"Teredo, origin", FROM_UDP, 3544, CONTENT_IPV6, LAYER(TEREDO, 0), 8, {0, 0, 1, 2, 3, 4, 5, 6}},
    {"Teredo, authentication and origin",
     FROM_UDP,
     3544,
     CONTENT_IPV6,
     LAYER(TEREDO, 0),
     24,
     {0, 1, 1, 2, 9, 9, 9, [16] = 0, 0, 1, 2, 3, 4, 5, 6}},
    {"CAPWAP", FROM_UDP, 5247, CONTENT_FRAME, LAYER(CAPWAP, 0), 8, {0, 0x10}},
    {"CAPWAP of 802.11",
     IN_UDP,
     5247,
     CONTENT_IPV4,
     LAYER(CAPWAP, 0),
     40,
     {0, 0x10, 3, 0, [8] = 0x08, 1, [32] = 0xaa, 0xaa, 3, 0, 0, 0, 8, 0}},
};

enum { TUNNELS = sizeof tunnels / sizeof tunnels[0] };

static void test_each_tunnel(void **state) {
    for (size_t i = 0; i < TUNNELS; i++) {
        const struct tunnel *t = &tunnels[i];
        struct build b;
        struct segment s;
        put_whole(&b, t);
        enum decode_verdict verdict = decode_build(*state, LINK_ETHERNET, &b, &s);
        if (verdict != DECODE_TCP)
            fail_msg("%s: verdict %d", t->name, verdict);
        assert_tcp(&s, t->content == CONTENT_IPV6 ? 6 : 4, 0);
        const struct decode_scope *scope = decode_scope(*state, s.scope);
        if (scope->layers != t->layers ||
            (t->layers == 1 && (scope->layer[0].kind != t->kind || scope->layer[0].id != t->id)))
            fail_msg("%s: %u layers, the first %u:%u", t->name, scope->layers, scope->layer[0].kind,
                     scope->layer[0].id);
    }
}

/* Cut at every octet: never a segment; and the cut is known as one, wherever a header still missing
 * was asked for. */
static void test_each_tunnel_cut(void **state) {
    for (size_t i = 0; i < TUNNELS; i++) {
        struct build b;
        struct segment s;
        put_whole(&b, &tunnels[i]);
        for (uint32_t cut = 1; cut <= b.n; cut++) {
            enum decode_verdict verdict = decode_cut(*state, LINK_ETHERNET, &b, cut, &s);
            bool pseudowire = tunnels[i].content == CONTENT_FRAME && tunnels[i].kind == 0;
            if (verdict != DECODE_TRUNCATED && !(pseudowire && verdict == DECODE_NOT_TCP))
                fail_msg("%s, %u octets cut: verdict %d", tunnels[i].name, cut, verdict);
        }
    }
}

/* The packet ends at any octet, and says so: no segment, and no octet beyond is read. */
static void test_each_tunnel_short(void **state) {
    for (size_t i = 0; i < TUNNELS; i++) {
        struct build b;
        struct segment s;
        put_whole(&b, &tunnels[i]);
        for (uint32_t whole = b.n; b.n > 0;) {
            b.n--;
            if (decode_build(*state, LINK_ETHERNET, &b, &s) == DECODE_TCP)
                fail_msg("%s, %u of %u octets: a segment", tunnels[i].name, b.n, whole);
        }
    }
}

/* Tunnels in tunnels, to the depth that is followed and one further. */
static void test_depth(void **state) {
    for (uint32_t depth = 1; depth <= DECODE_MAX_LAYERS + 1; depth++) {
        struct build b = {.n = 0};
        struct segment s;
        uint32_t inside = depth * 50 + 54;
        for (uint32_t i = 0; i < depth; i++) {
            static const struct tunnel vxlan = {"", IN_UDP, 4789, CONTENT_FRAME, NO_LAYER, 8, {8}};
            inside -= 50;
            put_tunnel(&b, &vxlan, inside);
        }
        put_content(&b, CONTENT_FRAME);
        assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s),
                         depth <= DECODE_MAX_LAYERS ? DECODE_TCP : DECODE_NOT_TCP);
        if (depth <= DECODE_MAX_LAYERS)
            assert_int_equal(decode_scope(*state, s.scope)->layers, depth);
    }
}

/* Steps without a layer are bounded too. */
static void test_endless_labels(void **state) {
    struct build b = {.n = 0};
    struct segment s;
    put_ethernet(&b, TYPE_IPV4);
    for (int i = 0; i < 30; i++) {
        put_ipv4(&b, MPLS_IN_IP, 24 * (30u - (uint32_t)i) + 20);
        put_u32(&b, 0x00001140);
    }
    put_ipv4(&b, PROTOCOL_TCP, 20);
    put_tcp(&b, SEGMENT_ACK);
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_NOT_TCP);
}

/* What a router says of a packet within the tunnel is in the tunnel's scope. */
static void test_icmp_in_a_tunnel(void **state) {
    static const struct tunnel gre = {"", IN_IPV4,           GRE, CONTENT_IPV4, NO_LAYER,
                                      8,  {0x20, 0, 8, 0, 9}};
    struct build b = {.n = 0};
    struct segment s;
    put_tunnel(&b, &gre, 20 + 8 + 20 + 8);
    put_ipv4(&b, PROTOCOL_ICMP, 8 + 20 + 8);
    put_u32(&b, 0x03010000);
    put_u32(&b, 0);
    put_ipv4(&b, PROTOCOL_TCP, 20);
    put_tcp(&b, SEGMENT_SYN);
    b.n -= 12;
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_ICMP);
    assert_int_equal(s.src_port, 40001);
    assert_int_equal(decode_scope(*state, s.scope)->layer[0].id, 0x09000000);
}

/* 80,000 octets in one packet, as hosts pass them on inside (IPv6 BIG TCP in VXLAN). */
static void test_big_tcp_in_a_tunnel(void **state) {
    static const struct tunnel vxlan = {"", IN_UDP, 4789, CONTENT_FRAME, NO_LAYER, 8, {8}};
    struct build b = {.n = 0};
    struct segment s;
    put_tunnel(&b, &vxlan, 54);
    set_u16(&b, 14 + 2, 0);
    set_u16(&b, 14 + 20 + 4, 0);
    put_ethernet(&b, TYPE_IPV6);
    put_ipv6(&b, PROTOCOL_TCP, 0);
    put_tcp(&b, SEGMENT_ACK);
    struct packet p = {.data = b.octet, .captured = b.n, .length = b.n + 80000, .link = 1};
    assert_int_equal(decode_packet(*state, &p, &s), DECODE_TCP);
    assert_tcp(&s, 6, 80000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        DECODE_TEST(test_each_tunnel),         DECODE_TEST(test_each_tunnel_cut),
        DECODE_TEST(test_each_tunnel_short),   DECODE_TEST(test_depth),
        DECODE_TEST(test_endless_labels),      DECODE_TEST(test_icmp_in_a_tunnel),
        DECODE_TEST(test_big_tcp_in_a_tunnel),
    };
    return cmocka_run_group_tests_name("decode: tunnels", tests, NULL, NULL);
}
