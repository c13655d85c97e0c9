/*
 * Tests of decode: VLAN layers and the table of their scopes.
 */
#include "decode_packets.h"

/* A segment below these VLAN ids, outermost first; 0 is a priority tag. */
static uint32_t scope_of(struct decoder *d, const uint16_t *vlan, unsigned n) {
    struct build b = {.n = 0};
    struct segment s;
    put_ethernet(&b, n == 0 ? TYPE_IPV4 : n == 1 ? TYPE_VLAN : TYPE_QINQ);
    for (unsigned i = 0; i < n; i++)
        put_vlan(&b, (uint16_t)(0x6000 | vlan[i]), i + 1 == n ? TYPE_IPV4 : TYPE_VLAN);
    put_ipv4(&b, PROTOCOL_TCP, 20);
    put_tcp(&b, SEGMENT_ACK);
    assert_int_equal(decode_build(d, LINK_ETHERNET, &b, &s), DECODE_TCP);
    assert_tcp(&s, 4, 0);
    return s.scope;
}

static void assert_layers(const struct decoder *d, uint32_t id, const uint16_t *vlan, unsigned n) {
    const struct decode_scope *scope = decode_scope(d, id);
    assert_int_equal(scope->layers, n);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(scope->layer[i].kind, DECODE_LAYER_VLAN);
        assert_int_equal(scope->layer[i].id, vlan[i]);
    }
}

static void test_untagged(void **state) {
    assert_int_equal(scope_of(*state, NULL, 0), 0);
    assert_layers(*state, 0, NULL, 0);
}

static void test_single_vlan(void **state) {
    static const uint16_t first[] = {20}, last[] = {4095};
    uint32_t a = scope_of(*state, first, 1), b = scope_of(*state, last, 1);
    assert_int_not_equal(a, 0);
    assert_int_not_equal(b, 0);
    assert_int_not_equal(a, b);
    assert_int_equal(scope_of(*state, first, 1), a);
    assert_layers(*state, a, first, 1);
    assert_layers(*state, b, last, 1);
}

static void test_stack_is_ordered(void **state) {
    static const uint16_t qinq[] = {100, 20}, other[] = {20, 100}, inner[] = {20};
    uint32_t a = scope_of(*state, qinq, 2), b = scope_of(*state, other, 2);
    uint32_t c = scope_of(*state, inner, 1);
    assert_int_not_equal(a, b);
    assert_int_not_equal(a, c);
    assert_int_equal(scope_of(*state, qinq, 2), a);
    assert_int_equal(scope_of(*state, other, 2), b);
    assert_layers(*state, a, qinq, 2);
    assert_layers(*state, b, other, 2);
}

static void test_priority_tag_is_no_layer(void **state) {
    static const uint16_t priority[] = {0}, within[] = {0, 20}, single[] = {20};
    assert_int_equal(scope_of(*state, priority, 1), 0);
    assert_int_equal(scope_of(*state, within, 2), scope_of(*state, single, 1));
}

static void test_tag_types(void **state) {
    static const uint16_t types[] = {0x8100, 0x88a8, 0x9100, 0x9200}, vlan[] = {7};
    uint32_t id = scope_of(*state, vlan, 1);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct build b = {.n = 0};
        struct segment s;
        put_ethernet(&b, types[i]);
        put_vlan(&b, 7, TYPE_IPV6);
        put_ipv6(&b, PROTOCOL_TCP, 20);
        put_tcp(&b, SEGMENT_ACK);
        assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_TCP);
        assert_tcp(&s, 6, 0);
        assert_int_equal(s.scope, id);
    }
}

/* A tag may also stand before an 802.3 length, and behind a cooked header. */
static void test_tag_before_llc_and_in_cooked(void **state) {
    static const uint16_t vlan[] = {9};
    struct build b = {.n = 0};
    struct segment s;
    put_u16(&b, TYPE_VLAN);
    put_fill(&b, 0, 18);
    put_vlan(&b, 9, 48);
    put(&b, "\xaa\xaa\x03\0\0\0\x08\0", 8);
    put_ipv4(&b, PROTOCOL_TCP, 20);
    put_tcp(&b, SEGMENT_ACK);
    assert_int_equal(decode_build(*state, 276, &b, &s), DECODE_TCP);
    assert_int_equal(s.scope, scope_of(*state, vlan, 1));
}

static void test_deepest_stack(void **state) {
    static const uint16_t deep[DECODE_MAX_LAYERS + 1] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    uint32_t id = scope_of(*state, deep, DECODE_MAX_LAYERS);
    assert_layers(*state, id, deep, DECODE_MAX_LAYERS);
    struct build b = {.n = 0};
    struct segment s;
    put_ethernet(&b, TYPE_VLAN);
    for (unsigned i = 0; i <= DECODE_MAX_LAYERS; i++)
        put_vlan(&b, deep[i], i == DECODE_MAX_LAYERS ? TYPE_IPV4 : TYPE_VLAN);
    put_ipv4(&b, PROTOCOL_TCP, 20);
    put_tcp(&b, SEGMENT_ACK);
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_NOT_TCP);
}

/* Priority tags are no layers, but are not followed without end either. */
static void test_endless_priority_tags(void **state) {
    struct build b = {.n = 0};
    struct segment s;
    put_ethernet(&b, TYPE_VLAN);
    for (unsigned i = 0; i < 100; i++)
        put_vlan(&b, 0, i == 99 ? TYPE_IPV4 : TYPE_VLAN);
    put_ipv4(&b, PROTOCOL_TCP, 20);
    put_tcp(&b, SEGMENT_ACK);
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_NOT_TCP);
}

static void test_tag_cut(void **state) {
    struct build b = {.n = 0};
    struct segment s;
    put_ethernet(&b, TYPE_VLAN);
    put_u16(&b, 20);
    assert_int_equal(decode_build(*state, LINK_ETHERNET, &b, &s), DECODE_MALFORMED);
    put_u16(&b, TYPE_IPV4);
    assert_int_equal(decode_cut(*state, LINK_ETHERNET, &b, 1, &s), DECODE_TRUNCATED);
}

/* A segment in VLAN 100, VLAN 20, GRE, IPv4 in IPv4, behind VLAN 5 of a VXLAN tunnel. */
static uint32_t tunnelled(struct decoder *d) {
    struct build b = {.n = 0};
    struct segment s;
    put_ethernet(&b, TYPE_QINQ);
    put_vlan(&b, 100, TYPE_VLAN);
    put_vlan(&b, 20, TYPE_IPV4);
    put_ipv4(&b, 17, 8 + 8 + 18 + 20 + 4 + 20 + 20 + 20);
    put_u32(&b, 0xc00012b5);
    put_u32(&b, (8 + 8 + 18 + 84) << 16);
    put_u32(&b, 0x08000000);
    put_u32(&b, 7 << 8);
    put_ethernet(&b, TYPE_VLAN);
    put_vlan(&b, 5, TYPE_IPV4);
    put_ipv4(&b, 47, 4 + 20 + 20 + 20);
    put_u32(&b, TYPE_IPV4);
    put_ipv4(&b, 4, 20 + 20);
    put_ipv4(&b, PROTOCOL_TCP, 20);
    put_tcp(&b, SEGMENT_ACK);
    assert_int_equal(decode_build(d, LINK_ETHERNET, &b, &s), DECODE_TCP);
    assert_tcp(&s, 4, 0);
    return s.scope;
}

/* Which layers count as identity. */
static void test_identity(void **state) {
    enum { V = DECODE_LAYER_VLAN, X = DECODE_LAYER_VXLAN, G = DECODE_LAYER_GRE };
    enum { I = DECODE_LAYER_IPIP };
    static const struct {
        enum decode_identity vlan, tunnel;
        uint8_t layers, kind[6];
        uint32_t id[6];
    } cases[] = {
        {DECODE_KEEP, DECODE_KEEP, 6, {V, V, X, V, G, I}, {100, 20, 7, 5, 0, 0}},
        {DECODE_KEEP, DECODE_INNERMOST, 4, {V, V, V, I}, {100, 20, 5, 0}},
        {DECODE_KEEP, DECODE_STRIP, 3, {V, V, V}, {100, 20, 5}},
        {DECODE_INNERMOST, DECODE_KEEP, 4, {X, V, G, I}, {7, 5, 0, 0}},
        {DECODE_INNERMOST, DECODE_INNERMOST, 2, {V, I}, {5, 0}},
        {DECODE_INNERMOST, DECODE_STRIP, 1, {V}, {5}},
        {DECODE_STRIP, DECODE_KEEP, 3, {X, G, I}, {7, 0, 0}},
        {DECODE_STRIP, DECODE_INNERMOST, 1, {I}, {0}},
        {DECODE_STRIP, DECODE_STRIP, 0, {0}, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static const uint16_t five[] = {5};
        decode_identify(*state, cases[i].vlan, cases[i].tunnel);
        uint32_t id = tunnelled(*state);
        const struct decode_scope *scope = decode_scope(*state, id);
        assert_int_equal(id == 0, cases[i].layers == 0);
        assert_int_equal(scope->layers, cases[i].layers);
        for (unsigned k = 0; k < scope->layers; k++) {
            assert_int_equal(scope->layer[k].kind, cases[i].kind[k]);
            assert_int_equal(scope->layer[k].id, cases[i].id[k]);
        }
        assert_int_equal(scope_of(*state, five, 1) == 0, cases[i].vlan == DECODE_STRIP);
    }
}

/* Ids are dense until the table is full; then newcomers share one, and those known keep theirs. */
static void test_full_table(void **state) {
    static const uint16_t single[] = {4000}, again[] = {1, 3};
    uint16_t vlan[2];
    uint32_t next = 1;
    for (unsigned i = 0; next < DECODE_MAX_SCOPES - 1; i++) {
        vlan[0] = (uint16_t)(1 + i / 1000);
        vlan[1] = (uint16_t)(1 + i % 1000);
        assert_int_equal(scope_of(*state, vlan, 2), next++);
    }
    assert_int_equal(decode_scopes_full(*state), 0);
    vlan[0] = 4001;
    assert_int_equal(scope_of(*state, vlan, 2), DECODE_MAX_SCOPES - 1);
    assert_int_equal(scope_of(*state, single, 1), DECODE_MAX_SCOPES - 1);
    assert_int_equal(scope_of(*state, single, 1), DECODE_MAX_SCOPES - 1);
    assert_int_equal(decode_scopes_full(*state), 3);
    assert_int_equal(scope_of(*state, again, 2), 3);
    assert_layers(*state, 3, again, 2);
    assert_layers(*state, DECODE_MAX_SCOPES - 1, NULL, 0);
    assert_int_equal(decode_scopes_full(*state), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        DECODE_TEST(test_untagged),         DECODE_TEST(test_single_vlan),
        DECODE_TEST(test_stack_is_ordered), DECODE_TEST(test_priority_tag_is_no_layer),
        DECODE_TEST(test_tag_types),        DECODE_TEST(test_tag_before_llc_and_in_cooked),
        DECODE_TEST(test_deepest_stack),    DECODE_TEST(test_endless_priority_tags),
        DECODE_TEST(test_tag_cut),          DECODE_TEST(test_identity),
        DECODE_TEST(test_full_table),
    };
    return cmocka_run_group_tests_name("decode: scopes", tests, NULL, NULL);
}
