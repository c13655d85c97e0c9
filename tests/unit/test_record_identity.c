/*
 * Who a connection is: flow ids, Community IDs, VLANs, service names.
 */
#include "test_record_fixture.h"

#include "probe/record/sha1.h"

static void assert_sha1(const void *data, size_t n, const char *expected) {
    uint8_t digest[RECORD_SHA1_OCTETS];
    char text[2 * RECORD_SHA1_OCTETS + 1];
    record_sha1(data, n, digest);
    for (int i = 0; i < RECORD_SHA1_OCTETS; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(text, expected);
}

/* RFC 3174 section 7.3, and the empty message; together they meet all paddings. */
static void test_sha1(void **state) {
    (void)state;
    static const char digits[] = "0123456701234567012345670123456701234567012345670123456701234567";
    enum { MILLION = 1000000 };
    char *many = malloc(MILLION), tenfold[10 * 64];
    assert_non_null(many);
    memset(many, 'a', MILLION);
    for (int i = 0; i < 10; i++)
        memcpy(tenfold + 64 * i, digits, 64);
    assert_sha1("", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    assert_sha1("abc", 3, "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_sha1("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    assert_sha1(many, MILLION, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    assert_sha1(tenfold, sizeof tenfold, "dea356a2cddd90c7a7ecedc5ebb563934f460452");
    free(many);
}

static void assert_community_id(struct event_flow f, const char *expected) {
    char text[RECORD_COMMUNITY_ID_TEXT];
    assert_int_equal(record_community_id(&f, text), strlen(expected));
    assert_string_equal(text, expected);
}

static struct event_flow other_roles(struct event_flow f) {
    struct event_flow r = f;
    memcpy(r.client, f.server, sizeof r.client);
    memcpy(r.server, f.client, sizeof r.server);
    r.client_port = f.server_port;
    r.server_port = f.client_port;
    return r;
}

/* The baseline of the specification's own captures, and both orders of addresses and of ports. */
static void test_community_id(void **state) {
    (void)state;
    struct event_flow v4 = fixture_flow("128.232.110.120", 34855, "66.35.250.204", 80);
    struct event_flow v6 =
        fixture_flow("2001:470:e5bf:dead:4957:2174:e82c:4887", 63943, "2607:f8b0:400c:c03::1a", 25);
    struct event_flow self = fixture_flow("10.0.0.1", 80, "10.0.0.1", 79);
    assert_community_id(v4, "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
    assert_community_id(other_roles(v4), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
    assert_community_id(v6, "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=");
    assert_community_id(other_roles(v6), "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=");
    assert_community_id(self, "1:veMrQoZMTfvZaXfcXNRhjdZjcGg=");
    assert_community_id(other_roles(self), "1:veMrQoZMTfvZaXfcXNRhjdZjcGg=");
}

/* Values from a second implementation of the published definition: they may never change. */
static void test_flow_id_is_published(void **state) {
    struct fixture *x = *state;
    struct event_flow f = fixture_flow("10.0.0.1", 40000, "10.0.0.2", 50443);
    assert_true(record_flow_id(&x->context, &f) == UINT64_C(0x7f63c458f93b7e3f));
    f.scope = fixture_scope(x, (const uint16_t[]){100, 20}, 2);
    assert_true(record_flow_id(&x->context, &f) == UINT64_C(0x99ebc6622c6cfdfc));
    f.scope = fixture_scope(x, (const uint16_t[]){20}, 1);
    f.ordinal = 3;
    assert_true(record_flow_id(&x->context, &f) == UINT64_C(0x23566a23d8939823));
    f = fixture_flow("2001:db8::9", 40000, "2001:db8::2", 50443);
    assert_true(record_flow_id(&x->context, &f) == UINT64_C(0x80fa906965ff0651));
}

static void test_flow_id_outlives_roles(void **state) {
    struct fixture *x = *state;
    struct event_flow flows[] = {fixture_flow("10.0.0.1", 40000, "10.0.0.2", 50443),
                                 fixture_flow("10.0.0.2", 40000, "10.0.0.1", 50443),
                                 fixture_flow("10.0.0.1", 40000, "10.0.0.1", 50443),
                                 fixture_flow("2001:db8::9", 40000, "2001:db8::2", 50443)};
    for (size_t i = 0; i < sizeof flows / sizeof *flows; i++) {
        struct event_flow other = other_roles(flows[i]);
        assert_true(record_flow_id(&x->context, &flows[i]) == record_flow_id(&x->context, &other));
    }
}

/* Whatever tells two connections apart must show. */
static void test_flow_id_tells_apart(void **state) {
    struct fixture *x = *state;
    struct record_context elsewhere = x->context;
    elsewhere.probe = "edge2";
    struct event_flow f = fixture_flow("10.0.0.1", 40000, "10.0.0.2", 50443);
    struct event_flow port = f, address = f, scope = f, first = f, ordinal = f, swapped = f;
    port.client_port++;
    address.server[3]++;
    scope.scope = fixture_scope(x, (const uint16_t[]){20}, 1);
    first.first_ns++;
    ordinal.ordinal++;
    swapped.client_port = f.server_port; /* the ports change hosts, the addresses do not */
    swapped.server_port = f.client_port;
    uint64_t id = record_flow_id(&x->context, &f);
    assert_true(record_flow_id(&x->context, &port) != id);
    assert_true(record_flow_id(&x->context, &address) != id);
    assert_true(record_flow_id(&x->context, &scope) != id);
    assert_true(record_flow_id(&x->context, &first) != id);
    assert_true(record_flow_id(&x->context, &ordinal) != id);
    assert_true(record_flow_id(&x->context, &swapped) != id);
    assert_true(record_flow_id(&elsewhere, &f) != id);
}

static void test_vlan_text(void **state) {
    (void)state;
    char text[RECORD_SCOPE_TEXT];
    struct decode_scope s = {.layers = 0};
    assert_int_equal(record_vlan_text(&s, text), 0);
    assert_string_equal(text, "");
    s.layers = 1;
    s.layer[0].id = 20;
    assert_int_equal(record_vlan_text(&s, text), 2);
    assert_string_equal(text, "20");
    s.layers = 2;
    s.layer[0].id = 100;
    s.layer[1].id = 20;
    assert_int_equal(record_vlan_text(&s, text), 6);
    assert_string_equal(text, "100.20");
    s.layers = DECODE_MAX_LAYERS;
    for (int i = 0; i < DECODE_MAX_LAYERS; i++)
        s.layer[i].id = 4095;
    assert_int_equal(record_vlan_text(&s, text), 5 * DECODE_MAX_LAYERS - 1);
    assert_string_equal(text, "4095.4095.4095.4095.4095.4095.4095.4095");
}

static void test_tunnel_text(void **state) {
    (void)state;
    static const char *const expected[] = {
        [DECODE_LAYER_PPPOE] = "pppoe:1",   [DECODE_LAYER_PBB] = "pbb:1",
        [DECODE_LAYER_GRE] = "gre:1",       [DECODE_LAYER_NVGRE] = "nvgre:1",
        [DECODE_LAYER_EOIP] = "eoip:1",     [DECODE_LAYER_ERSPAN] = "erspan:1",
        [DECODE_LAYER_VXLAN] = "vxlan:1",   [DECODE_LAYER_GENEVE] = "geneve:1",
        [DECODE_LAYER_GTPU] = "gtpu:1",     [DECODE_LAYER_IPIP] = "ipip:1",
        [DECODE_LAYER_TEREDO] = "teredo:1", [DECODE_LAYER_CAPWAP] = "capwap:1",
    };
    char text[RECORD_SCOPE_TEXT];
    struct decode_scope s = {.layers = 1, .layer = {{DECODE_LAYER_VLAN, 20}}};
    assert_int_equal(record_tunnel_text(&s, text), 0);
    assert_string_equal(text, "");
    for (size_t kind = 1; kind < sizeof expected / sizeof *expected; kind++) {
        s = (struct decode_scope){.layers = 1, .layer = {{(uint8_t)kind, 1}}};
        assert_int_equal(record_tunnel_text(&s, text), strlen(expected[kind]));
        assert_string_equal(text, expected[kind]);
        assert_int_equal(record_vlan_text(&s, text), 0);
    }
    s = (struct decode_scope){.layers = 4,
                              .layer = {{DECODE_LAYER_VLAN, 100},
                                        {DECODE_LAYER_GRE, 0},
                                        {DECODE_LAYER_VXLAN, 7},
                                        {DECODE_LAYER_VLAN, 20}}};
    record_tunnel_text(&s, text);
    assert_string_equal(text, "gre:0/vxlan:7");
    record_vlan_text(&s, text);
    assert_string_equal(text, "100.20");
    s.layers = DECODE_MAX_LAYERS;
    for (int i = 0; i < DECODE_MAX_LAYERS; i++) {
        s.layer[i].kind = DECODE_LAYER_ERSPAN;
        s.layer[i].id = UINT32_MAX;
    }
    assert_int_equal(record_tunnel_text(&s, text), 18 * DECODE_MAX_LAYERS - 1);
}

static void test_service(void **state) {
    struct fixture *x = *state;
    char buffer[SERVICE_NAME_MAX];
    struct event_flow f = fixture_flow("10.0.0.1", 40000, "10.0.0.3", 50443);
    assert_string_equal(record_service(&x->context, &f, buffer), "https");
    f.scope = fixture_scope(x, (const uint16_t[]){100, 20}, 2); /* the innermost VLAN counts */
    assert_string_equal(record_service(&x->context, &f, buffer), "inner-twenty");
    f.scope = fixture_scope(x, (const uint16_t[]){20, 100}, 2);
    assert_string_equal(record_service(&x->context, &f, buffer), "https");
    f.scope = fixture_tunnel(x, 100, 20); /* also where that is within a tunnel */
    assert_string_equal(record_service(&x->context, &f, buffer), "inner-twenty");
    f.server_port = 50999;
    assert_string_equal(record_service(&x->context, &f, buffer), "tcp/50999");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha1),
        cmocka_unit_test(test_community_id),
        cmocka_unit_test(test_flow_id_is_published),
        cmocka_unit_test(test_flow_id_outlives_roles),
        cmocka_unit_test(test_flow_id_tells_apart),
        cmocka_unit_test(test_vlan_text),
        cmocka_unit_test(test_tunnel_text),
        cmocka_unit_test(test_service),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
