/*
 * Tests of decode: what only looks like a tunnel, and what tunnels' own lengths are worth.
 */
#include "decode_tunnels.h"

/* The port or type of a tunnel, and contents that are none. */
static void test_no_tunnel(void **state) {
    static const struct tunnel cases[] = {
        {"VXLAN without an id", IN_UDP, 4789, CONTENT_FRAME, NO_LAYER, 8, {0}},
        {"VXLAN from the port", FROM_UDP, 4789, CONTENT_FRAME, NO_LAYER, 8, {8}},
        {"VXLAN-GPE of another version", IN_UDP, 4790, CONTENT_IPV4, NO_LAYER, 8, {0x1c, 0, 0, 1}},
        {"VXLAN-GPE of NSH", IN_UDP, 4790, CONTENT_IPV4, NO_LAYER, 8, {0x0c, 0, 0, 4}},
        {"Geneve of another version", IN_UDP, 6081, CONTENT_IPV4, NO_LAYER, 8, {0x40, 0, 8, 0}},
        {"Geneve of ARP", IN_UDP, 6081, CONTENT_IPV4, NO_LAYER, 8, {0, 0, 8, 6}},
        {"GTP of version 2", IN_UDP, 2152, CONTENT_IPV4, NO_LAYER, 8, {0x50, 255, 0, 40}},
        {"GTP'", IN_UDP, 2152, CONTENT_IPV4, NO_LAYER, 8, {0x20, 255, 0, 40}},
        {"GTP-U echo", IN_UDP, 2152, CONTENT_IPV4, NO_LAYER, 8, {0x30, 1, 0, 40}},
        {"GTP-U of frames", IN_UDP, 2152, CONTENT_FRAME, NO_LAYER, 8, {0x30, 255, 0, 54}},
        {"Teredo of IPv4", IN_UDP, 3544, CONTENT_IPV4, NO_LAYER, 0, {0}},
        {"IPv6 on any port", IN_UDP, 3545, CONTENT_IPV6, NO_LAYER, 0, {0}},
        {"CAPWAP, encrypted", IN_UDP, 5247, CONTENT_FRAME, NO_LAYER, 8, {1, 0x10}},
        {"CAPWAP, a fragment", IN_UDP, 5247, CONTENT_FRAME, NO_LAYER, 8, {0, 0x10, 0, 0x80}},
        {"CAPWAP, another radio", IN_UDP, 5247, CONTENT_FRAME, NO_LAYER, 8, {0, 0x10, 5, 0}},
        {"CAPWAP, no header", IN_UDP, 5247, CONTENT_FRAME, NO_LAYER, 8, {0, 0x08}},
        {"GRE with a source route", IN_IPV4, GRE, CONTENT_IPV4, NO_LAYER, 4, {0x40, 0, 8, 0}},
        {"GRE of version 2", IN_IPV4, GRE, CONTENT_IPV4, NO_LAYER, 4, {0, 2, 8, 0}},
        {"GRE keepalive", IN_IPV4, GRE, CONTENT_IPV4, NO_LAYER, 4, {0, 0, 0, 0}},
        {"PPTP, nothing carried",
         IN_IPV4,
         GRE,
         CONTENT_IPV4,
         NO_LAYER,
         12,
         {0x20, 0x81, 0x88, 0x0b, 0, 0, 0, 7}},
        {"PPTP without a key", IN_IPV4, GRE, CONTENT_IPV4, NO_LAYER, 8, {0, 1, 0x88, 0x0b, 0, 40}},
        {"GRE of version 1, of what",
         IN_IPV4,
         GRE,
         CONTENT_IPV4,
         NO_LAYER,
         8,
         {0x20, 1, 8, 0, 0, 40}},
        {"ERSPAN III, another frame",
         IN_IPV4,
         GRE,
         CONTENT_FRAME,
         NO_LAYER,
         20,
         {0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 20, 0, 101, [18] = 4}},
        {"MPLS without a bottom", IN_ETHERNET, ETYPE_MPLS, CONTENT_IPV4, NO_LAYER, 0, {0}},
        {"MPLS of something",
         IN_ETHERNET,
         ETYPE_MPLS,
         CONTENT_IPV4,
         NO_LAYER,
         5,
         {0, 0, 1, 64, 0x10}},
        {"PPPoE, another version", IN_ETHERNET, ETYPE_PPPOE, CONTENT_IPV4, NO_LAYER, 8, {0x21, 0}},
        {"PPPoE, not a session", IN_ETHERNET, ETYPE_PPPOE, CONTENT_IPV4, NO_LAYER, 8, {0x11, 9}},
        {"PPPoE of LCP",
         IN_ETHERNET,
         ETYPE_PPPOE,
         CONTENT_IPV4,
         NO_LAYER,
         8,
         {0x11, 0, 0, 1, 0, 42, 0xc0, 0x21}},
        {"any UDP", IN_UDP, 53, CONTENT_IPV4, NO_LAYER, 0, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct build b;
        struct segment s;
        put_whole(&b, &cases[i]);
        for (uint32_t at = 14; cases[i].n == 0 && cases[i].place == IN_ETHERNET && at < b.n;
             at += 4)
            b.octet[at + 2] &= 0xfe; /* labels without end */
        if (cases[i].n == 0 && cases[i].place == IN_ETHERNET)
            put_fill(&b, 0, 64);
        enum decode_verdict verdict = decode_build(*state, LINK_ETHERNET, &b, &s);
        if (verdict != DECODE_NOT_TCP)
            fail_msg("%s: verdict %d", cases[i].name, verdict);
    }
}

/* Between peers Teredo has no port of its own: an address of its prefix on either side tells. */
static void test_teredo_between_peers(void **state) {
    static const struct tunnel any = {"", IN_UDP, 40000, CONTENT_IPV6, NO_LAYER, 0, {0}};
    for (uint32_t side = 8; side <= 24; side += 16) {
        struct build b;
        struct segment s;
        put_whole(&b, &any);
        memcpy(b.octet + b.ip + side, "\x20\x01\0\0", 4);
        assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_TCP);
        assert_int_equal(decode_scope(*state, s.scope)->layer[0].kind, DECODE_LAYER_TEREDO);
        set_u16(&b, b.ip + 4, 19); /* does not fill its datagram */
        assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_NOT_TCP);
    }
}

static void test_gtp_extensions_are_bounded(void **state) {
    for (uint32_t n = 8; n <= 9; n++) {
        static const struct tunnel gtp = {"",       IN_UDP, 2152,       CONTENT_IPV4,
                                          NO_LAYER, 12,     {0x34, 255}};
        struct build b = {.n = 0};
        struct segment s;
        put_tunnel(&b, &gtp, n * 4 + 40);
        set_u16(&b, b.n - 10, 4 + n * 4 + 40);
        b.octet[b.n - 1] = 1;
        for (uint32_t i = 1; i <= n; i++)
            put_u32(&b, 0x01000000 | (i < n));
        put_content(&b, CONTENT_IPV4);
        assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s),
                         n == 8 ? DECODE_TCP : DECODE_MALFORMED);
        b.octet[54] = 0; /* an extension without a length */
        assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_MALFORMED);
    }
}

/* Lengths of sessions and datagrams leave padding out; missing or too long ones do not count. */
static void test_lengths_bound(void **state) {
    static const uint32_t lengths[] = {0, 8 + 8 + 54, 0xffff};
    static const struct tunnel vxlan = {"", IN_UDP, 4789, CONTENT_FRAME, NO_LAYER, 8, {8}};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct build b;
        struct segment s;
        put_whole(&b, &vxlan);
        set_u16(&b, b.ip + 2, 0); /* of both headers: all of the frame is believed */
        set_u16(&b, 14 + 2, 0);
        set_u16(&b, 14 + 20 + 4, lengths[i]);
        put_fill(&b, 0, 9);
        assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_TCP);
        assert_int_equal(s.payload, i == 1 ? 0 : 9);
        set_u16(&b, 14 + 20 + 4, 7);
        assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_MALFORMED);
    }
    struct build b;
    struct segment s;
    static const struct tunnel pppoe = {
        "", IN_ETHERNET, ETYPE_PPPOE, CONTENT_IPV4, NO_LAYER, 8, {0x11, 0, 0, 1, 0, 42, 0, 0x21}};
    put_whole(&b, &pppoe);
    set_u16(&b, b.ip + 2, 0);
    put_fill(&b, 0, 6);
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_TCP);
    assert_tcp(&s, 4, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        DECODE_TEST(test_no_tunnel),
        DECODE_TEST(test_teredo_between_peers),
        DECODE_TEST(test_gtp_extensions_are_bounded),
        DECODE_TEST(test_lengths_bound),
    };
    return cmocka_run_group_tests_name("decode: no tunnels", tests, NULL, NULL);
}
