/*
 * record: events become the records of design 1.3. The one encoder: JSON Lines today, written
 * straight into a caller's buffer, no allocation a record. Pure but for the tables that it borrows.
 */
#ifndef SPANWATCH_RECORD_H
#define SPANWATCH_RECORD_H

#include "spanwatch/alarm.h"
#include "spanwatch/cmdb.h"
#include "spanwatch/decode.h"
#include "spanwatch/event.h"
#include "spanwatch/service.h"
#include "spanwatch/snapshot.h"

/* What every record of a probe shares. Borrowed pointers must outlive its use. */
struct record_context {
    const char *probe; /* NAME, valid by design 1.1 */
    const struct service_table *services;
    const struct cmdb *cmdb;       /* NULL: none */
    const struct decoder *decoder; /* for decode_scope() */
    struct record_texts *texts;    /* this context's own, for speed; NULL: none */
};

/* Texts that many records share, kept from record to record by one context, in one thread. NULL when memory
 * is short. What is kept must be forgotten when the context gets other services. */
struct record_texts *record_texts_new(void);
void record_texts_forget(struct record_texts *t);
void record_texts_free(struct record_texts *t); /* NULL is fine */

struct record_stats { /* the stats record; all counters since the start */
    uint64_t ts_ns;
    uint64_t packets, bytes, tcp, not_tcp, truncated, malformed, duplicates, reordered, time_jumps,
        fragments, stray;
    uint64_t kernel_drops, interface_drops, missed_bytes, flows_open, flows_total, flows_evicted;
    uint64_t transitions, connections, snapshots, alarms, gaps, store_queued, store_spooled,
        store_lost;
};

enum record_gap_what {
    RECORD_GAP_PACKETS,
    RECORD_GAP_TRANSITIONS,
    RECORD_GAP_CONNECTIONS,
    RECORD_GAP_SNAPSHOTS,
    RECORD_GAP_ALARMS
};

struct record_gap {
    uint64_t ts_ns, from_ns, to_ns, lost;
    enum record_gap_what what;
    const char *why; /* a few words; escaped when written */
};

enum {
    RECORD_MAX = 4096 /* octets that the longest of these records can take, newline included */
};

/* Each writes one JSON object and a newline (no NUL) to `out` of at least RECORD_MAX octets;
 * returns the length. The event is a transition or a connection. */
size_t record_event_json(const struct record_context *c, const struct event *e, char *out);
size_t record_stats_json(const struct record_context *c, const struct record_stats *s, char *out);
size_t record_gap_json(const struct record_context *c, const struct record_gap *g, char *out);

/*
 * An alarm, of at most RECORD_ALARM_MAX octets. `context` has one element for each worker, by the
 * upper half of a flow's scope (the lower half is the worker's decode_scope id).
 */
enum { RECORD_ALARM_MAX = 16384, RECORD_SUMMARY_MAX = 1024 };
size_t record_alarm_json(const struct record_context *context, const struct alarm *a, char *out);

/* One sentence for a person on call: what happens to whom, since when, how fast. NUL-terminated;
 * returns its length. */
size_t record_alarm_summary(const struct record_context *context, const struct alarm *a,
                            char out[RECORD_SUMMARY_MAX]);

/* "warning", "cleared", and the value's unit: "connections", "%". */
const char *record_alarm_severity(enum alarm_severity severity);
const char *record_alarm_status(enum alarm_status status);
const char *record_alarm_unit(enum alarm_kind kind);

/*
 * A snapshot, piece by piece: each call writes the next one to `out` of at least RECORD_MAX octets
 * and returns its length, 0 when all is written. A cursor begins zeroed. `context` has one element
 * for each worker; the first stands for all that does not depend on it.
 */
enum { RECORD_PART_MEMBERS = 1000 }; /* of one record of a group */
struct record_snapshot_cursor {
    size_t group;
    const struct snapshot_member *member;
    uint64_t given; /* members of the group */
    bool begun, ended;
};
size_t record_snapshot_json(const struct record_context *context, const struct snapshot *s,
                            struct record_snapshot_cursor *at, char *out);

/* One row of `query connections` (design 1.6) as a JSON object and a newline, from an
 * EVENT_CONNECTION: with the client's name and the service's attributes where the CMDB has them. */
size_t record_row_json(const struct record_context *c, const struct event *e, char *out);

/*
 * Entries of the store's streams (design 1.4): the names of the fields, and the values in their
 * order as bulk strings of the Redis protocol, without a NUL. Each writes at most RECORD_MAX octets
 * and returns how many. A transition's `was` is the pair before it.
 */
enum { RECORD_TRANSITION_FIELDS = 8, RECORD_CONNECTION_FIELDS = 34, RECORD_GAP_FIELDS = 8 };
extern const char *const record_transition_fields[RECORD_TRANSITION_FIELDS];
extern const char *const record_connection_fields[RECORD_CONNECTION_FIELDS];
extern const char *const record_gap_fields[RECORD_GAP_FIELDS];
size_t record_transition_entry(const struct record_context *c, const struct event *e, char *out);
size_t record_connection_entry(const struct record_context *c, const struct event *e, char *out);
size_t record_gap_entry(const struct record_context *c, const struct record_gap *g, char *out);

/* One bulk string of `n` octets; returns the octet behind it. Up to 24 octets more than `n`. */
char *record_put_bulk(char *p, const char *value, size_t n);

/* Words of the contract: a connection's `end`, a gap's `what`. */
const char *record_end_name(enum event_end end);
const char *record_gap_what_name(enum record_gap_what what);

/* The connection's identity: SipHash-2-4 under the published key 0x7370616e77617463,
 * 0x682d666c6f772d31 over NAME, family, the lower endpoint (address, port) and the higher one, the
 * scope's layers, first_ns and ordinal; or the id that the event brings. */
uint64_t record_flow_id(const struct record_context *c, const struct event_flow *f);

/* Community ID v1, seed 0 ("1:" and base64 of SHA-1):
 * https://github.com/corelight/community-id-spec */
enum { RECORD_COMMUNITY_ID_TEXT = 32 };
size_t record_community_id(const struct event_flow *f, char out[RECORD_COMMUNITY_ID_TEXT]);

/* "20", "100.20" of the VLAN layers, "vxlan:7", "gre:0/vxlan:7" of the others; each returns the
 * length, 0 for none (out is then ""). */
enum { RECORD_SCOPE_TEXT = 192 };
size_t record_vlan_text(const struct decode_scope *s, char out[RECORD_SCOPE_TEXT]);
size_t record_tunnel_text(const struct decode_scope *s, char out[RECORD_SCOPE_TEXT]);

/* The service name of an event's server; `buffer` may hold the result. */
const char *record_service(const struct record_context *c, const struct event_flow *f,
                           char buffer[SERVICE_NAME_MAX]);

/* The name of an event's client by the CMDB, NULL when it has none. */
const char *record_client_name(const struct record_context *c, const struct event_flow *f);

/* "10.0.0.1:80" of one end, by enum event_role; returns the length. */
size_t record_endpoint(const struct event_flow *f, unsigned role, char out[BASE_ENDPOINT_TEXT]);

/* What the CMDB says of the service, a JSON object; NULL when it says nothing. */
const char *record_service_attributes(const struct record_context *c, const struct event_flow *f);

/* `text` as a JSON string: quotes, control characters and what is not UTF-8 escaped, cut between
 * characters to `size` octets (3 at least), NUL included; returns the length. */
size_t record_json_string(const char *text, char *out, size_t size);

/* `text` made fit for a terminal: control characters and what is not UTF-8 as \xNN, the rest as it
 * is. Cut between characters to `size` octets, NUL included; returns the length. */
size_t record_text_printable(const char *text, char *out, size_t size);

#endif
