/*
 * Tests of decode: datagrams in fragments.
 *
 * A whole segment is put together once; a test cuts it as it likes and hands the pieces over in an
 * order and at times of its own.
 */
#include "decode_packets.h"

enum { FRAGMENT = 44, DESTINATION = 60, UDP = 17, IPIP = 4, TABLE = 4096, PIECES = 256 };

static const uint64_t start_ns = UINT64_C(1700000000000000000);

/* What a datagram carries, and what its fragments' headers say. */
struct datagram {
    uint8_t family;
    uint8_t protocol;
    uint32_t id;
    uint16_t vlan; /* 0: none */
    uint8_t last;  /* octet of the source address */
    uint64_t ts_ns;
    uint32_t cut; /* octets at the end of a fragment that are not captured */
    struct build payload;
};

/* A segment with a timestamps option and so much payload. */
static struct datagram of_tcp(uint8_t family, uint32_t payload) {
    struct datagram g = {
        .family = family, .protocol = PROTOCOL_TCP, .id = 7, .last = 1, .ts_ns = start_ns};
    put_tcp_options(&g.payload, SEGMENT_ACK, "\1\1\x08\x0a\0\0\0\x64\0\0\0\xc8", 12);
    put_fill(&g.payload, 'x', payload);
    return g;
}

static void put_header(struct build *b, const struct datagram *g, uint32_t offset, uint32_t n,
                       bool more) {
    if (g->family == 4) {
        put_ipv4(b, g->protocol, n);
        set_u16(b, b->ip + 4, g->id);
        set_u16(b, b->ip + 6, (more ? 0x2000u : 0) | offset / 8);
        b->octet[b->ip + 15] = g->last;
        return;
    }
    put_ipv6(b, FRAGMENT, 8 + n);
    b->octet[b->ip + 23] = g->last;
    put_u8(b, g->protocol);
    put_u8(b, 0);
    put_u16(b, offset | more);
    put_u32(b, g->id);
}

/* Hand over n octets at `offset` of the datagram. */
static enum decode_verdict send(struct decoder *d, const struct datagram *g, uint32_t offset,
                                uint32_t n, bool more, struct segment *s) {
    struct build b = {.n = 0};
    put_ethernet(&b, g->vlan != 0 ? TYPE_VLAN : g->family == 4 ? TYPE_IPV4 : TYPE_IPV6);
    if (g->vlan != 0)
        put_vlan(&b, g->vlan, g->family == 4 ? TYPE_IPV4 : TYPE_IPV6);
    put_header(&b, g, offset, n, more);
    for (uint32_t i = offset; i < offset + n; i++)
        put_u8(&b, i < g->payload.n ? g->payload.octet[i] : 'y');
    uint8_t *octets = malloc(b.n - g->cut);
    assert_non_null(octets);
    memcpy(octets, b.octet, b.n - g->cut);
    struct packet p = {.ts_ns = g->ts_ns,
                       .data = octets,
                       .captured = b.n - g->cut,
                       .length = b.n,
                       .link = LINK_ETHERNET};
    memset(s, RUBBISH, sizeof *s);
    enum decode_verdict verdict = decode_packet(d, &p, s);
    free(octets);
    assert_int_equal(s->ts_ns, g->ts_ns);
    return verdict;
}

/* The same, of the datagram cut every 24 octets; i counts from 0. */
static enum decode_verdict send_part(struct decoder *d, const struct datagram *g, uint32_t i,
                                     struct segment *s) {
    uint32_t offset = i * 24, rest = g->payload.n - offset;
    return send(d, g, offset, rest > 24 ? 24 : rest, rest > 24, s);
}

static void assert_whole(const struct datagram *g, const struct segment *s, uint32_t payload) {
    assert_int_equal(s->family, g->family);
    assert_memory_equal(s->dst, g->family == 4 ? DST_4 : DST_6, g->family == 4 ? 4 : 16);
    assert_int_equal(s->src[g->family == 4 ? 3 : 15], g->last);
    assert_int_equal(s->src_port, 40001);
    assert_int_equal(s->seq, 0x81020304);
    assert_int_equal(s->payload, payload);
    assert_int_equal(s->ip_id, g->family == 4 ? g->id : 0);
    assert_int_equal(s->options, SEGMENT_OPT_TIMESTAMP);
    assert_int_equal(s->tsval, 100);
}

/* Every order of four fragments, the header in two of them. */
static void test_any_order(void **state) {
    for (unsigned order = 0; order < 256; order++) {
        const unsigned part[4] = {order & 3, order >> 2 & 3, order >> 4 & 3, order >> 6};
        if ((1u << part[0] | 1u << part[1] | 1u << part[2] | 1u << part[3]) != 15)
            continue;
        for (uint8_t family = 4; family <= 6; family += 2) {
            struct datagram g = of_tcp(family, 50);
            struct segment s;
            g.id = 1 + order;
            for (int i = 0; i < 3; i++)
                assert_int_equal(send_part(*state, &g, part[i], &s), DECODE_FRAGMENT);
            g.ts_ns++;
            assert_int_equal(send_part(*state, &g, part[3], &s), DECODE_TCP);
            assert_whole(&g, &s, 50);
        }
    }
    assert_int_equal(decode_datagrams_lost(*state), 0);
}

/* The smallest fragments there are, and a payload of which nothing is kept. */
static void test_eight_octets_each(void **state) {
    struct datagram g = of_tcp(4, 700);
    struct segment s;
    uint32_t n = g.payload.n, sent = 0;
    for (; sent + 8 < n; sent += 8)
        assert_int_equal(send(*state, &g, sent, 8, true, &s), DECODE_FRAGMENT);
    assert_int_equal(send(*state, &g, sent, n - sent, false, &s), DECODE_TCP);
    assert_whole(&g, &s, 700);
    assert_int_equal(s.checksum_state, SEGMENT_CHECKSUM_UNKNOWN);
}

static void test_too_many_fragments(void **state) {
    struct datagram g = of_tcp(4, 0);
    struct segment s;
    for (uint32_t i = 0; i < PIECES; i++)
        assert_int_equal(send(*state, &g, i * 8, 8, true, &s), DECODE_FRAGMENT);
    assert_int_equal(send(*state, &g, PIECES * 8, 8, false, &s), DECODE_MALFORMED);
}

/* A mirror port's copies are passed over, before the datagram is whole and right after. */
static void test_copies(void **state) {
    struct datagram g = of_tcp(6, 20);
    struct segment s;
    assert_int_equal(send_part(*state, &g, 0, &s), DECODE_FRAGMENT);
    assert_int_equal(send_part(*state, &g, 0, &s), DECODE_FRAGMENT);
    assert_int_equal(send_part(*state, &g, 1, &s), DECODE_FRAGMENT);
    assert_int_equal(send_part(*state, &g, 2, &s), DECODE_TCP);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(send_part(*state, &g, i, &s), DECODE_FRAGMENT);
    assert_int_equal(decode_datagrams_lost(*state), 0);
}

/* The id comes round: at once with other contents, or later with the same. */
static void test_id_used_again(void **state) {
    struct datagram g = of_tcp(4, 20), other = of_tcp(4, 20);
    struct segment s;
    other.payload.octet[7] ^= 1; /* in the sequence number */
    for (int round = 0; round < 3; round++) {
        const struct datagram *now = round == 1 ? &other : &g;
        assert_int_equal(send_part(*state, now, 0, &s), DECODE_FRAGMENT);
        assert_int_equal(send_part(*state, now, 1, &s), DECODE_FRAGMENT);
        assert_int_equal(send_part(*state, now, 2, &s), DECODE_TCP);
        assert_int_equal(s.seq, round == 1 ? 0x81020305 : 0x81020304);
    }
    g.ts_ns += 51 * BASE_NS_PER_MS;
    assert_int_equal(send_part(*state, &g, 2, &s), DECODE_FRAGMENT);
    assert_int_equal(send_part(*state, &g, 1, &s), DECODE_FRAGMENT);
    assert_int_equal(send_part(*state, &g, 0, &s), DECODE_TCP);
    assert_int_equal(decode_datagrams_lost(*state), 0);
}

/* After 0 to 48 and 72 to 96 came, one that overlaps, and then nothing helps. */
static void test_overlaps(void **state) {
    static const struct {
        uint32_t offset, n;
        bool more;
    } bad[] = {
        {0, 40, true},  {0, 56, true},  {8, 8, true},   {40, 16, true},  {48, 32, true},
        {64, 16, true}, {64, 8, false}, {72, 16, true}, {72, 24, false}, {80, 8, true},
        {80, 8, false}, {80, 24, true}, {0, 104, true}, {48, 24, false}, {56, 8, false},
        {88, 8, true},  {72, 32, true}, {40, 40, true},
    };
    for (uint32_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        for (uint8_t family = 4; family <= 6; family += 2) {
            struct datagram g = of_tcp(family, 200);
            struct segment s;
            g.id = 1000 + i;
            assert_int_equal(send(*state, &g, 0, 48, true, &s), DECODE_FRAGMENT);
            assert_int_equal(send(*state, &g, 72, 24, true, &s), DECODE_FRAGMENT);
            enum decode_verdict verdict =
                send(*state, &g, bad[i].offset, bad[i].n, bad[i].more, &s);
            if (verdict != DECODE_MALFORMED)
                fail_msg("case %u: verdict %d", i, verdict);
            assert_int_equal(send(*state, &g, 48, 24, true, &s), DECODE_MALFORMED);
            assert_int_equal(send(*state, &g, 96, 8, false, &s), DECODE_MALFORMED);
        }
    struct datagram fine = of_tcp(4, 20);
    struct segment s;
    assert_int_equal(send(*state, &fine, 0, 48, true, &s), DECODE_FRAGMENT);
    assert_int_equal(send(*state, &fine, 48, 4, false, &s), DECODE_TCP);
}

/* The same place, other octets: as far as they are kept, that is seen. */
static void test_same_place_other_octets(void **state) {
    struct datagram g = of_tcp(4, 20), other = of_tcp(4, 20);
    struct segment s;
    other.payload.octet[13] = SEGMENT_RST;
    assert_int_equal(send_part(*state, &g, 0, &s), DECODE_FRAGMENT);
    assert_int_equal(send_part(*state, &other, 0, &s), DECODE_MALFORMED);
    assert_int_equal(send_part(*state, &g, 1, &s), DECODE_MALFORMED);
}

/* Where a datagram ends is said once. */
static void test_contradicting_ends(void **state) {
    static const struct {
        uint32_t offset, n;
        bool more;
    } bad[] = {{24, 24, false}, {56, 8, false}, {56, 8, true}, {48, 8, true}, {0, 64, true}};
    for (uint32_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct datagram g = of_tcp(4, 20);
        struct segment s;
        g.id = 2000 + i;
        assert_int_equal(send(*state, &g, 48, 8, false, &s), DECODE_FRAGMENT);
        assert_int_equal(send(*state, &g, bad[i].offset, bad[i].n, bad[i].more, &s),
                         DECODE_MALFORMED);
    }
    struct datagram g = of_tcp(4, 20);
    struct segment s;
    assert_int_equal(send(*state, &g, 48, 8, true, &s), DECODE_FRAGMENT);
    assert_int_equal(send(*state, &g, 24, 8, false, &s), DECODE_MALFORMED);
}

static void test_sizes(void **state) {
    struct datagram g = of_tcp(4, 20);
    struct segment s;
    assert_int_equal(send(*state, &g, 0, 20, true, &s), DECODE_MALFORMED);
    assert_int_equal(send(*state, &g, 0, 0, true, &s), DECODE_MALFORMED);
    assert_int_equal(send(*state, &g, 24, 0, false, &s), DECODE_MALFORMED);
    assert_int_equal(send(*state, &g, 65528, 8, false, &s), DECODE_MALFORMED);
    assert_int_equal(send(*state, &g, 65528, 7, false, &s), DECODE_FRAGMENT);
    g.family = 6;
    assert_int_equal(send(*state, &g, 65528, 8, false, &s), DECODE_MALFORMED);
    assert_int_equal(send(*state, &g, 65528, 7, false, &s), DECODE_FRAGMENT);
}

static void test_patience(void **state) {
    struct datagram g = of_tcp(4, 20);
    struct segment s;
    assert_int_equal(send_part(*state, &g, 0, &s), DECODE_FRAGMENT);
    assert_int_equal(send_part(*state, &g, 1, &s), DECODE_FRAGMENT);
    g.ts_ns += 30 * BASE_NS_PER_S;
    assert_int_equal(send_part(*state, &g, 2, &s), DECODE_TCP);
    assert_int_equal(decode_datagrams_lost(*state), 0);
    g.id++;
    assert_int_equal(send_part(*state, &g, 0, &s), DECODE_FRAGMENT);
    g.ts_ns += 30 * BASE_NS_PER_S + 1;
    assert_int_equal(send_part(*state, &g, 1, &s), DECODE_FRAGMENT);
    assert_int_equal(decode_datagrams_lost(*state), 1);
    assert_int_equal(send_part(*state, &g, 2, &s), DECODE_FRAGMENT);
    g.ts_ns -= BASE_NS_PER_S; /* stamps run back a little */
    assert_int_equal(send_part(*state, &g, 0, &s), DECODE_TCP);
}

/* The oldest makes room, and is counted; those after it stay. */
static void test_full_table(void **state) {
    struct datagram g = of_tcp(6, 20);
    struct segment s;
    for (g.id = 0; g.id <= TABLE; g.id++) {
        assert_int_equal(send_part(*state, &g, 0, &s), DECODE_FRAGMENT);
        assert_int_equal(send_part(*state, &g, 1, &s), DECODE_FRAGMENT);
    }
    assert_int_equal(decode_datagrams_lost(*state), 1);
    for (g.id = 1; g.id <= TABLE; g.id++)
        assert_int_equal(send_part(*state, &g, 2, &s), DECODE_TCP);
    g.id = 0;
    assert_int_equal(send_part(*state, &g, 2, &s), DECODE_FRAGMENT);
    assert_int_equal(decode_datagrams_lost(*state), 1); /* whole ones make room for nothing */
}

/* Whatever tells datagrams apart keeps fragments apart. */
static void test_strangers_are_not_joined(void **state) {
    for (uint8_t family = 4; family <= 6; family += 2) {
        struct datagram g = of_tcp(family, 4), id = g, address = g, vlan = g, protocol = g;
        struct segment s;
        id.id++;
        address.last++;
        vlan.vlan = 20;
        protocol.protocol = UDP;
        assert_int_equal(send_part(*state, &g, 0, &s), DECODE_FRAGMENT);
        assert_int_equal(send_part(*state, &id, 1, &s), DECODE_FRAGMENT);
        assert_int_equal(send_part(*state, &address, 1, &s), DECODE_FRAGMENT);
        assert_int_equal(send_part(*state, &vlan, 1, &s), DECODE_FRAGMENT);
        /* RFC 791: protocol too; RFC 8200 section 4.5: the first fragment's next header counts */
        assert_int_equal(send_part(*state, &protocol, 1, &s),
                         family == 4 ? DECODE_FRAGMENT : DECODE_TCP);
        if (family == 4)
            assert_int_equal(send_part(*state, &g, 1, &s), DECODE_TCP);
        assert_whole(&g, &s, 4);
        assert_int_equal(send_part(*state, &vlan, 0, &s), DECODE_TCP);
        assert_int_equal(decode_scope(*state, s.scope)->layer[0].id, 20);
    }
}

/* What the snaplen cut of a fragment is not needed, if the header is there. */
static void test_cut_fragments(void **state) {
    for (uint32_t cut = 0; cut <= 48; cut++) {
        struct datagram g = of_tcp(4, 36);
        struct segment s;
        g.id = 100 + cut;
        g.cut = 4;
        assert_int_equal(send(*state, &g, 48, 20, false, &s), DECODE_FRAGMENT);
        g.cut = cut;
        enum decode_verdict verdict = send(*state, &g, 0, 48, true, &s);
        assert_int_equal(verdict, cut <= 28 ? DECODE_TCP : DECODE_TRUNCATED);
        if (verdict == DECODE_TCP) {
            assert_int_equal(s.payload, 36);
            assert_int_equal(s.options, cut <= 16 ? SEGMENT_OPT_TIMESTAMP : 0);
        }
    }
}

static void test_other_protocols(void **state) {
    struct datagram g = of_tcp(4, 20);
    struct segment s;
    g.protocol = UDP;
    g.payload.octet[4] = 0; /* the length's place */
    g.payload.octet[5] = 52;
    assert_int_equal(send_part(*state, &g, 0, &s), DECODE_FRAGMENT);
    assert_int_equal(send_part(*state, &g, 1, &s), DECODE_FRAGMENT);
    assert_int_equal(send_part(*state, &g, 2, &s), DECODE_NOT_TCP);
}

/* Extension headers may stand in the part that is cut. */
static void test_extension_in_fragments(void **state) {
    struct datagram g = {.family = 6, .protocol = DESTINATION, .id = 9, .last = 1};
    struct segment s;
    put_u8(&g.payload, PROTOCOL_TCP);
    put_u8(&g.payload, 2);
    put_fill(&g.payload, 1, 22);
    put_tcp_options(&g.payload, SEGMENT_ACK, "\1\1\x08\x0a\0\0\0\x64\0\0\0\xc8", 12);
    assert_int_equal(send(*state, &g, 0, 8, true, &s), DECODE_FRAGMENT);
    assert_int_equal(send(*state, &g, 16, 40, false, &s), DECODE_FRAGMENT);
    assert_int_equal(send(*state, &g, 8, 8, true, &s), DECODE_TCP);
    assert_whole(&g, &s, 0);
}

/* A datagram in fragments carries a fragment of another, which lies in what is kept of the first.
 */
static void test_fragments_in_fragments(void **state) {
    struct datagram inner = of_tcp(4, 20), outer[3];
    struct segment s;
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t offset = i * 24, n = i < 2 ? 24 : 4;
        outer[i] = (struct datagram){.family = 6, .protocol = IPIP, .id = 50 + i, .last = 9};
        put_header(&outer[i].payload, &inner, offset, n, i < 2);
        put(&outer[i].payload, inner.payload.octet + offset, n);
    }
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t n = outer[i].payload.n;
        assert_int_equal(send(*state, &outer[i], 16, n - 16, false, &s), DECODE_FRAGMENT);
        assert_int_equal(send(*state, &outer[i], 0, 16, true, &s),
                         i < 2 ? DECODE_FRAGMENT : DECODE_TCP);
    }
    assert_whole(&inner, &s, 20);
    assert_int_equal(decode_scope(*state, s.scope)->layer[0].kind, DECODE_LAYER_IPIP);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        DECODE_TEST(test_any_order),
        DECODE_TEST(test_eight_octets_each),
        DECODE_TEST(test_too_many_fragments),
        DECODE_TEST(test_copies),
        DECODE_TEST(test_id_used_again),
        DECODE_TEST(test_overlaps),
        DECODE_TEST(test_same_place_other_octets),
        DECODE_TEST(test_contradicting_ends),
        DECODE_TEST(test_sizes),
        DECODE_TEST(test_patience),
        DECODE_TEST(test_full_table),
        DECODE_TEST(test_strangers_are_not_joined),
        DECODE_TEST(test_cut_fragments),
        DECODE_TEST(test_other_protocols),
        DECODE_TEST(test_extension_in_fragments),
        DECODE_TEST(test_fragments_in_fragments),
    };
    return cmocka_run_group_tests_name("decode: fragments", tests, NULL, NULL);
}
