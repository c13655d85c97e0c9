/*
 * What the tests of record and store share: a context with a decoder and a services table, and
 * plain events to vary.
 */
#ifndef SPANWATCH_TEST_RECORD_FIXTURE_H
#define SPANWATCH_TEST_RECORD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "spanwatch/record.h"

#define T0 UINT64_C(1700000000000000000) /* 2023-11-14 22:13:20 UTC */

struct fixture {
    struct service_table *services;
    struct decoder *decoder;
    struct record_context context;
};

/* Names of all sorts for 10.0.0.3 and 2001:db8::2; ports of other servers are in no services
 * database. */
static const char *const fixture_services =
    "{\"services\":[{\"server\":\"10.0.0.3\",\"port\":50443,\"name\":\"https\"},"
    "{\"server\":\"10.0.0.3\",\"port\":50444,\"name\":\"a\\\"b\\\\c\"},"
    "{\"server\":\"10.0.0.3\",\"port\":50445,\"name\":\"Bücher-日本\"},"
    "{\"server\":\"10.0.0.3\",\"port\":50443,\"vlan\":20,\"name\":\"inner-twenty\"},"
    "{\"server\":\"2001:db8::2\",\"port\":50443,\"name\":\"api\"}]}";

static inline void fixture_load(struct service_table *services) {
    struct base_error error;
    char path[64];
    FILE *file = tmpfile();
    assert_non_null(file);
    fputs(fixture_services, file);
    assert_int_equal(fflush(file), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fileno(file));
    if (service_load(services, path, &error) != 0)
        fail_msg("%s: %s", error.what, error.why);
    fclose(file);
}

static inline int fixture_setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->services = service_new();
    f->decoder = decode_new();
    assert_non_null(f->services);
    assert_non_null(f->decoder);
    fixture_load(f->services);
    f->context =
        (struct record_context){.probe = "edge1", .services = f->services, .decoder = f->decoder};
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state) {
    struct fixture *f = *state;
    service_free(f->services);
    decode_free(f->decoder);
    free(f);
    return 0;
}

static const uint8_t fixture_ip_tcp[40] = {
    0x45, 0,    0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 10,   0,    0, 1, 10, 0, 0, 2,
    0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0,  0, 0, 0, 0x50, 0x02, 1, 0, 0,  0, 0, 0};

/* The scope id of the segment in an Ethernet frame: as in life, by decoding it. */
static inline uint32_t fixture_decode(struct fixture *f, const uint8_t *frame, uint32_t length) {
    struct segment segment;
    struct packet packet = {
        .ts_ns = T0, .data = frame, .captured = length, .length = length, .link = 1};
    assert_int_equal(decode_packet(f->decoder, &packet, &segment), DECODE_TCP);
    assert_int_not_equal(segment.scope, 0);
    return segment.scope;
}

/* The scope id of a segment in VLAN `inner`, in VXLAN 7 in GRE, in VLAN `outer` (both below 256).
 */
static inline uint32_t fixture_tunnel(struct fixture *f, uint8_t outer, uint8_t inner) {
    enum { VXLAN_TO_END = 8 + 18 + 40, UDP_TO_END = 8 + VXLAN_TO_END };
    const uint8_t headers[] = {/* Ethernet, VLAN, IPv4 of GRE */
                               0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x81, 0, 0, outer, 8, 0, 0x45, 0,
                               0, 20 + 4 + 20 + UDP_TO_END, 0, 1, 0, 0, 64, 47, 0, 0, 192, 0, 2, 1,
                               192, 0, 2, 2,
                               /* GRE, IPv4 of UDP */
                               0, 0, 8, 0, 0x45, 0, 0, 20 + UDP_TO_END, 0, 1, 0, 0, 64, 17, 0, 0,
                               192, 0, 2, 1, 192, 0, 2, 2,
                               /* UDP, VXLAN */
                               0xc0, 0, 0x12, 0xb5, 0, UDP_TO_END, 0, 0, 8, 0, 0, 0, 0, 0, 7, 0,
                               /* Ethernet, VLAN */
                               0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x81, 0, 0, inner, 8, 0};
    uint8_t frame[sizeof headers + sizeof fixture_ip_tcp];
    memcpy(frame, headers, sizeof headers);
    memcpy(frame + sizeof headers, fixture_ip_tcp, sizeof fixture_ip_tcp);
    return fixture_decode(f, frame, sizeof frame);
}

/* The scope id of a segment that bore these VLAN tags, outermost first. */
static inline uint32_t fixture_scope(struct fixture *f, const uint16_t *vlan, size_t n) {
    uint8_t frame[128] = {0}, *p = frame + 12;
    for (size_t i = 0; i < n; i++) {
        bool inner = i + 1 == n;
        *p++ = inner ? 0x81 : 0x88; /* 802.1Q, outside it 802.1ad */
        *p++ = inner ? 0x00 : 0xa8;
        *p++ = (uint8_t)(vlan[i] >> 8);
        *p++ = (uint8_t)vlan[i];
    }
    *p++ = 0x08;
    *p++ = 0x00;
    memcpy(p, fixture_ip_tcp, sizeof fixture_ip_tcp);
    return fixture_decode(f, frame, (uint32_t)(p - frame) + (uint32_t)sizeof fixture_ip_tcp);
}

/* A flow between two addresses given as text. */
static inline struct event_flow fixture_flow(const char *client, uint16_t client_port,
                                             const char *server, uint16_t server_port) {
    struct base_addr c, s;
    assert_true(base_addr_parse(client, &c));
    assert_true(base_addr_parse(server, &s));
    struct event_flow f = {
        .family = c.family, .client_port = client_port, .server_port = server_port, .first_ns = T0};
    memcpy(f.client, c.octet, sizeof f.client);
    memcpy(f.server, s.octet, sizeof f.server);
    return f;
}

/* A connection that went well, and lasted 1.5 s. */
static inline struct event fixture_connection(struct event_flow flow) {
    struct event e = {.ts_ns = T0 + UINT64_C(1500000000), .flow = flow, .type = EVENT_CONNECTION};
    e.connection = (struct event_connection){
        .side = {{.bytes = 300, .packets = 6, .rtt_ns = 250000},
                 {.bytes = 5000, .packets = 7, .rtt_ns = 1250000}},
        .end = EVENT_END_FIN,
        .role_score = 255,
        .conn_state = "SF",
        .history = "ShADadFf",
        .last_ns = T0 + UINT64_C(1500000000),
        .since_ns = {T0 + UINT64_C(1500000000), T0 + UINT64_C(1400000000)},
        .handshake_server_rtt_ns = 1200000,
        .handshake_client_rtt_ns = 300000};
    return e;
}

#endif
