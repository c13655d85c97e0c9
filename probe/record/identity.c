/*
 * Who a connection is: its `flow`, its Community ID, its scope's text and its service's name
 * (design 1.3, 1.5).
 *
 * The first two must not change when client and server are corrected, so they are made of the two
 * endpoints in an order of their own: by the address's octets, then by port. Input: struct
 * event_flow. Output: numbers and texts in the caller's memory. Pure but for the tables that the
 * context lends.
 */
#include "sha1.h"
#include "text.h"

#include "spanwatch/record.h"

#include <assert.h>
#include <endian.h>

enum {
    NAME_OCTETS = 64, /* of a probe (design 1.1) */
    LAYER_OCTETS = 5, /* kind and id */
    FLOW_KEY_OCTETS = NAME_OCTETS + 1 + 2 * 18 + DECODE_MAX_LAYERS * LAYER_OCTETS + 8 + 1,
    PROTOCOL_TCP = 6
};

static size_t addr_octets(const struct event_flow *f) {
    return f->family == 4 ? 4 : 16;
}

static bool client_is_lower(const struct event_flow *f) {
    int order = memcmp(f->client, f->server, addr_octets(f));
    return order != 0 ? order < 0 : f->client_port <= f->server_port;
}

/* The `octets` lowest octets of v, the most significant first. */
static uint8_t *put_number(uint8_t *p, uint64_t v, int octets) {
    for (int i = octets - 1; i >= 0; i--)
        *p++ = (uint8_t)(v >> (8 * i));
    return p;
}

static uint8_t *put_endpoint(uint8_t *p, const struct event_flow *f, bool client) {
    p = mempcpy(p, client ? f->client : f->server, addr_octets(f));
    uint16_t port = htobe16(client ? f->client_port : f->server_port);
    return mempcpy(p, &port, sizeof port);
}

uint64_t record_flow_id(const struct record_context *c, const struct event_flow *f) {
    if (f->id != 0)
        return f->id;
    static const uint64_t key[2] = {UINT64_C(0x7370616e77617463), UINT64_C(0x682d666c6f772d31)};
    uint8_t text[FLOW_KEY_OCTETS], *p = text;
    bool client_first = client_is_lower(f);
    p = mempcpy(p, c->probe, strnlen(c->probe, NAME_OCTETS));
    *p++ = f->family;
    p = put_endpoint(p, f, client_first);
    p = put_endpoint(p, f, !client_first);
    if (f->scope != 0) {
        const struct decode_scope *s = decode_scope(c->decoder, f->scope);
        for (unsigned i = 0; i < s->layers; i++) {
            *p++ = s->layer[i].kind;
            p = put_number(p, s->layer[i].id, 4);
        }
    }
    uint64_t first_ns = htobe64(f->first_ns);
    p = mempcpy(p, &first_ns, sizeof first_ns);
    *p++ = f->ordinal;
    return base_siphash(key, text, (size_t)(p - text));
}

/* RFC 4648 section 4. */
static char *put_base64(char *out, const uint8_t *octet, size_t n) {
    static const char digit[65] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = (uint32_t)octet[i] << 16;
        bits |= i + 1 < n ? (uint32_t)octet[i + 1] << 8 : 0;
        bits |= i + 2 < n ? (uint32_t)octet[i + 2] : 0;
        *out++ = digit[bits >> 18];
        *out++ = digit[bits >> 12 & 63];
        *out++ = i + 1 < n ? digit[bits >> 6 & 63] : '=';
        *out++ = i + 2 < n ? digit[bits & 63] : '=';
    }
    return out;
}

size_t record_community_id(const struct event_flow *f, char out[RECORD_COMMUNITY_ID_TEXT]) {
    uint8_t text[2 + 2 * 16 + 2 + 2 * 2], *p = text, digest[RECORD_SHA1_OCTETS];
    bool client_first = client_is_lower(f);
    p = put_number(p, 0, 2); /* the seed */
    p = mempcpy(p, client_first ? f->client : f->server, addr_octets(f));
    p = mempcpy(p, client_first ? f->server : f->client, addr_octets(f));
    *p++ = PROTOCOL_TCP;
    *p++ = 0; /* padding */
    p = put_number(p, client_first ? f->client_port : f->server_port, 2);
    p = put_number(p, client_first ? f->server_port : f->client_port, 2);
    record_sha1(text, (size_t)(p - text), digest);
    char *end = put_base64(RECORD_PUT(out, "1:"), digest, sizeof digest);
    *end = '\0';
    return (size_t)(end - out);
}

size_t record_vlan_text(const struct decode_scope *s, char out[RECORD_SCOPE_TEXT]) {
    char *p = out;
    for (unsigned i = 0; i < s->layers; i++) {
        if (s->layer[i].kind != DECODE_LAYER_VLAN)
            continue;
        if (p > out)
            *p++ = '.';
        p = record_put_uint(p, s->layer[i].id);
    }
    *p = '\0';
    return (size_t)(p - out);
}

static const char *tunnel_name(unsigned kind) {
    static const char *const name[] = {
        [DECODE_LAYER_PPPOE] = "pppoe",   [DECODE_LAYER_PBB] = "pbb",
        [DECODE_LAYER_GRE] = "gre",       [DECODE_LAYER_NVGRE] = "nvgre",
        [DECODE_LAYER_EOIP] = "eoip",     [DECODE_LAYER_ERSPAN] = "erspan",
        [DECODE_LAYER_VXLAN] = "vxlan",   [DECODE_LAYER_GENEVE] = "geneve",
        [DECODE_LAYER_GTPU] = "gtpu",     [DECODE_LAYER_IPIP] = "ipip",
        [DECODE_LAYER_TEREDO] = "teredo", [DECODE_LAYER_CAPWAP] = "capwap",
    };
    assert(kind < sizeof name / sizeof *name && name[kind] != NULL);
    return name[kind];
}

size_t record_tunnel_text(const struct decode_scope *s, char out[RECORD_SCOPE_TEXT]) {
    char *p = out;
    for (unsigned i = 0; i < s->layers; i++) {
        if (s->layer[i].kind == DECODE_LAYER_VLAN)
            continue;
        if (p > out)
            *p++ = '/';
        const char *name = tunnel_name(s->layer[i].kind);
        p = mempcpy(p, name, strlen(name));
        *p++ = ':';
        p = record_put_uint(p, s->layer[i].id);
    }
    *p = '\0';
    return (size_t)(p - out);
}

/* The innermost VLAN's id, -1 for none. */
static int innermost_vlan(const struct decode_scope *s) {
    for (unsigned i = s->layers; i-- > 0;)
        if (s->layer[i].kind == DECODE_LAYER_VLAN)
            return (int)s->layer[i].id;
    return -1;
}

const char *record_service(const struct record_context *c, const struct event_flow *f,
                           char buffer[SERVICE_NAME_MAX]) {
    struct base_addr server = {.family = f->family};
    memcpy(server.octet, f->server, sizeof server.octet);
    int vlan = f->scope == 0 ? -1 : innermost_vlan(decode_scope(c->decoder, f->scope));
    return service_name(c->services, &server, f->server_port, vlan, buffer);
}
