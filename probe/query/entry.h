/*
 * entry: what stands in the entries of the store's streams, as values.
 *
 * Any octets may come back from a store: every parser takes a text with its length, checks all of
 * it, and says false for what the contract (design 1.4) does not know. Pure: no hiredis, no
 * allocation.
 */
#ifndef QUERY_ENTRY_H
#define QUERY_ENTRY_H

#include "spanwatch/base.h"
#include "spanwatch/tcp_state.h"

struct query_text { /* not NUL-terminated; borrowed */
    const char *s;
    size_t n;
};

/* A stream's ID, "MS-SEQ". */
struct query_id {
    uint64_t ms, seq;
};

struct query_place { /* an endpoint; octets past an IPv4 address's four are zero */
    uint8_t octet[16];
    uint16_t port;
    uint8_t family, zero; /* no padding: places compare with memcmp */
};

bool query_text_is(struct query_text t, const char *word);
/* A copy with a NUL, cut to `size`. */
const char *query_text_copy(struct query_text t, char *out, size_t size);

bool query_id_parse(struct query_text t, struct query_id *id);
bool query_number_parse(struct query_text t, uint64_t *n);
/* Seconds with up to nine decimals. */
bool query_stamp_parse(struct query_text t, uint64_t *ns);
bool query_flow_parse(struct query_text t, uint64_t *flow); /* 16 hex digits */
bool query_place_parse(struct query_text t, struct query_place *p);
size_t query_place_format(const struct query_place *p, char out[BASE_ENDPOINT_TEXT]);
bool query_state_parse(struct query_text t, uint8_t *state);
bool query_pair_parse(struct query_text t, uint8_t state[2]); /* "CLIENT/SERVER" */
bool query_flag_parse(struct query_text t);                   /* "true", "1" */

/* "CAUSE inferred=.. vlan=.. tunnel=..": the texts lie in `t`; absent ones are empty. False when
 * the cause or the reason is none of the contract's. */
struct query_cause {
    enum tcp_cause cause;
    enum tcp_inferred inferred;
    struct query_text vlan, tunnel;
};
bool query_cause_parse(struct query_text t, struct query_cause *c);

/* A keyframe's member, "ip:port,flow,since"; *rest moves behind it and its blank. */
struct query_member {
    struct query_place client;
    uint64_t flow, since_ns;
};
enum query_next { QUERY_NEXT_NONE, QUERY_NEXT_GOOD, QUERY_NEXT_BAD };
enum query_next query_member_next(struct query_text *rest, struct query_member *m);

#endif
