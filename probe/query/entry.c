/*
 * Parsers of what the store's entries hold (entry.h). Digit by digit, within the text's length.
 */
#include "entry.h"

#include <string.h>

bool query_text_is(struct query_text t, const char *word) {
    return strlen(word) == t.n && memcmp(t.s, word, t.n) == 0;
}

const char *query_text_copy(struct query_text t, char *out, size_t size) {
    size_t n = t.n < size ? t.n : size - 1;
    memcpy(out, t.s, n);
    out[n] = '\0';
    return out;
}

/* The part before the first `c`, which is dropped; *t keeps what follows. Without one, all of it.
 */
static struct query_text take_until(struct query_text *t, char c) {
    const char *at = t->n > 0 ? memchr(t->s, c, t->n) : NULL;
    struct query_text part = {t->s, at != NULL ? (size_t)(at - t->s) : t->n};
    size_t used = part.n + (at != NULL);
    t->s += used;
    t->n -= used;
    return part;
}

bool query_number_parse(struct query_text t, uint64_t *n) {
    uint64_t v = 0;
    for (size_t i = 0; i < t.n; i++) {
        if (t.s[i] < '0' || t.s[i] > '9')
            return false;
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(t.s[i] - '0'), &v))
            return false;
    }
    *n = v;
    return t.n > 0;
}

bool query_id_parse(struct query_text t, struct query_id *id) {
    struct query_text ms = take_until(&t, '-');
    return query_number_parse(ms, &id->ms) && query_number_parse(t, &id->seq);
}

bool query_stamp_parse(struct query_text t, uint64_t *ns) {
    struct query_text whole = take_until(&t, '.');
    uint64_t seconds, fraction = 0, scale = BASE_NS_PER_S;
    bool has_point = t.s != whole.s + whole.n;
    if (!query_number_parse(whole, &seconds) || seconds >= UINT64_MAX / BASE_NS_PER_S)
        return false;
    if (has_point && (t.n > 9 || !query_number_parse(t, &fraction)))
        return false;
    for (size_t i = 0; i < t.n; i++)
        scale /= 10;
    *ns = seconds * BASE_NS_PER_S + fraction * scale;
    return true;
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool query_flow_parse(struct query_text t, uint64_t *flow) {
    uint64_t v = 0;
    for (size_t i = 0; i < t.n; i++) {
        int digit = hex_value(t.s[i]);
        if (digit < 0)
            return false;
        v = v << 4 | (uint64_t)digit;
    }
    *flow = v;
    return t.n == 16;
}

/* Dotted quad: the bulk of all, so without a copy for inet_pton. */
static bool parse_v4(struct query_text t, uint8_t octet[16]) {
    for (int i = 0; i < 4; i++) {
        uint64_t v;
        struct query_text part = take_until(&t, '.');
        if (part.n > 3 || !query_number_parse(part, &v) || v > 255)
            return false;
        octet[i] = (uint8_t)v;
    }
    return t.n == 0;
}

bool query_place_parse(struct query_text t, struct query_place *p) {
    uint64_t port;
    const char *colon = t.n > 0 ? memrchr(t.s, ':', t.n) : NULL;
    *p = (struct query_place){.family = 4};
    if (colon == NULL)
        return false;
    struct query_text address = {t.s, (size_t)(colon - t.s)};
    struct query_text digits = {colon + 1, t.n - address.n - 1};
    if (digits.n > 5 || !query_number_parse(digits, &port) || port > UINT16_MAX)
        return false;
    p->port = (uint16_t)port;
    if (address.n == 0 || address.s[0] != '[')
        return parse_v4(address, p->octet);
    char text[BASE_ADDR_TEXT];
    struct base_addr a;
    if (address.n < 4 || address.s[address.n - 1] != ']' || address.n - 2 >= sizeof text ||
        memchr(address.s, '\0', address.n) != NULL)
        return false;
    address.s++;
    address.n -= 2;
    if (!base_addr_parse(query_text_copy(address, text, sizeof text), &a) || a.family != 6)
        return false;
    p->family = 6;
    memcpy(p->octet, a.octet, sizeof p->octet);
    return true;
}

size_t query_place_format(const struct query_place *p, char out[BASE_ENDPOINT_TEXT]) {
    struct base_addr a = {.family = p->family};
    memcpy(a.octet, p->octet, sizeof a.octet);
    return base_endpoint_format(&a, p->port, out);
}

bool query_state_parse(struct query_text t, uint8_t *state) {
    for (int s = TCP_CLOSED; s < TCP_STATES; s++) {
        if (query_text_is(t, tcp_state_name((enum tcp_state)s))) {
            *state = (uint8_t)s;
            return true;
        }
    }
    return false;
}

bool query_pair_parse(struct query_text t, uint8_t state[2]) {
    struct query_text client = take_until(&t, '/');
    return query_state_parse(client, &state[0]) && query_state_parse(t, &state[1]);
}

bool query_flag_parse(struct query_text t) {
    return query_text_is(t, "true") || query_text_is(t, "1");
}

static bool parse_cause_word(struct query_text t, enum tcp_cause *cause) {
    for (int c = 0; c < TCP_CAUSES; c++) {
        if (query_text_is(t, tcp_cause_name((enum tcp_cause)c))) {
            *cause = (enum tcp_cause)c;
            return true;
        }
    }
    return false;
}

static bool parse_reason(struct query_text t, enum tcp_inferred *reason) {
    for (int r = TCP_PROVEN + 1; r < TCP_INFERRED_REASONS; r++) {
        if (query_text_is(t, tcp_inferred_name((enum tcp_inferred)r))) {
            *reason = (enum tcp_inferred)r;
            return true;
        }
    }
    return false;
}

bool query_cause_parse(struct query_text t, struct query_cause *c) {
    *c = (struct query_cause){.inferred = TCP_PROVEN, .vlan = {"", 0}, .tunnel = {"", 0}};
    if (!parse_cause_word(take_until(&t, ' '), &c->cause))
        return false;
    while (t.n > 0) {
        struct query_text value = take_until(&t, ' ');
        struct query_text key = take_until(&value, '=');
        if (query_text_is(key, "inferred")) {
            if (!parse_reason(value, &c->inferred))
                return false;
        } else if (query_text_is(key, "vlan")) {
            c->vlan = value;
        } else if (query_text_is(key, "tunnel")) {
            c->tunnel = value;
        } else {
            return false;
        }
    }
    return true;
}

enum query_next query_member_next(struct query_text *rest, struct query_member *m) {
    if (rest->n == 0)
        return QUERY_NEXT_NONE;
    struct query_text since = take_until(rest, ' ');
    struct query_text client = take_until(&since, ',');
    struct query_text flow = take_until(&since, ',');
    return query_place_parse(client, &m->client) && query_flow_parse(flow, &m->flow) &&
                   query_stamp_parse(since, &m->since_ns)
               ? QUERY_NEXT_GOOD
               : QUERY_NEXT_BAD;
}
