/*
 * alarm: what an operator has to be told, when, and when it is over (alarms.md).
 *
 * Input: the events of all trackers (event.h), and the probe's counters. Output: alarm messages to
 * a sink, each window's after its picture. Windows are 10 s of capture time, begun at its
 * multiples. Pure: no clock but the events', no text but names that were given. Owner: one thread.
 *
 * Memory is bounded: tables of services, of clients, of clients by service, of alarms, of baselines
 * have caps; what finds no room is counted. Addresses that never completed a handshake can only
 * displace each other. A service takes 0.8 KB, 3.2 KB more with latencies, and 13 KB more where 20
 * connections or more are open at once; a client of a service 0.3 KB, a client in trouble 0.2 KB (4
 * KB while it seems to scan). At most 8,192, 65,536 and 16,384 of these: ALARM_MEMORY_MOST in all.
 */
#ifndef SPANWATCH_ALARM_H
#define SPANWATCH_ALARM_H

#include "spanwatch/event.h"

enum alarm_kind {
    ALARM_SYN_FLOOD,
    ALARM_BACKLOG_FULL,
    ALARM_CONN_REFUSED,
    ALARM_SERVICE_UNREACHABLE,
    ALARM_CONNECT_TIMEOUT,
    ALARM_PORT_SCAN,
    ALARM_HOST_SCAN,
    ALARM_CLOSE_WAIT_LEAK,
    ALARM_FIN_WAIT2_STUCK,
    ALARM_TIME_WAIT_PORTS,
    ALARM_IDLE_DEAD_PEER,
    ALARM_IDLE_LONG,
    ALARM_RETRANS_STORM,
    ALARM_ZERO_WINDOW_STALL,
    ALARM_ABORT_STORM,
    ALARM_HANDSHAKE_LATENCY,
    ALARM_APP_LATENCY,
    ALARM_CHURN,
    ALARM_CLIENT_DROP,
    ALARM_CLIENT_SILENT,
    ALARM_MASS_CLOSE,
    ALARM_RST_INJECTION,
    ALARM_SYN_IN_ESTABLISHED,
    ALARM_MIRROR_ONE_SIDED,
    ALARM_MIRROR_DUPLICATES,
    ALARM_CAPTURE_DROP,
    ALARM_CAPTURE_SILENT,
    ALARM_SINK_LAG,
    ALARM_TABLE_PRESSURE,
    ALARM_KINDS
};

/* "syn_flood"; ALARM_KINDS for a word that is none. */
const char *alarm_kind_name(enum alarm_kind kind);
enum alarm_kind alarm_kind_find(const char *name);

enum { ALARM_WINDOW_S = 10 };
#define ALARM_MEMORY_MOST (UINT64_C(208) << 20)

/* ---- rules ---- */

/* The numbers that a kind goes by. Which of them a kind has, their defaults and bounds are in
 * rules.c, and in the catalogue. */
enum alarm_number {
    ALARM_RAISE,         /* the level that raises */
    ALARM_CRITICAL,      /* ... that makes it critical */
    ALARM_CLEAR,         /* ... below which it clears */
    ALARM_SAMPLES,       /* how many there have to be at least */
    ALARM_WINDOWS,       /* so many windows in a row raise */
    ALARM_CLEAR_WINDOWS, /* ... clear */
    ALARM_AGE,           /* seconds after which one counts */
    ALARM_RATIO,         /* a share or multiple that has to be there beside the level */
    ALARM_FACTOR,        /* how far above (or below) the baseline */
    ALARM_LIMIT,         /* what there is of it at most, for forecasts and shares */
    ALARM_ENABLED,       /* 0 or 1 */
    ALARM_NUMBERS
};

struct alarm_bounds {
    double standard, low, high; /* standard: the default; NaN: the kind has no such number */
};

const char *alarm_number_name(enum alarm_number n);
struct alarm_bounds alarm_number_bounds(enum alarm_kind kind, enum alarm_number n);

enum alarm_allow { ALARM_SCANNERS, ALARM_HEALTH_CHECKERS, ALARM_LOAD_BALANCERS, ALARM_ALLOWS };

/* Rules are made by a loader, then read only. */
struct alarm_rules;
struct alarm_rules *alarm_rules_new(void); /* the defaults; NULL when memory is short */
void alarm_rules_free(struct alarm_rules *r);

/* Set a number for all, for a service by name, or for clients of a prefix (one of the two at most).
 * `source` is what an alarm says of it ("conf/alarms.json:services.api.syn_flood"). 0, or -1 when
 * memory is short. */
struct alarm_rule_for {
    const char *service;             /* NULL: not by service */
    const struct base_addr *clients; /* NULL: not by client */
    unsigned prefix_length;
};
int alarm_rules_set(struct alarm_rules *r, const struct alarm_rule_for *whom, enum alarm_kind kind,
                    enum alarm_number n, double value, const char *source);
int alarm_rules_allow(struct alarm_rules *r, enum alarm_allow list, const struct base_addr *net,
                      unsigned prefix_length);

/* Every rule that was set, and every address that is allowed, for a person: `whom` is empty for
 * all. */
typedef void alarm_rule_visit(void *context, const struct alarm_rule_for *whom,
                              enum alarm_kind kind, const double number[ALARM_NUMBERS]);
typedef void alarm_allow_visit(void *context, enum alarm_allow list, const struct base_addr *net,
                               unsigned prefix_length);
void alarm_rules_each(const struct alarm_rules *r, alarm_rule_visit *visit, void *context);
void alarm_rules_each_allowed(const struct alarm_rules *r, alarm_allow_visit *visit, void *context);

/* ---- messages ---- */

enum alarm_severity { ALARM_INFO, ALARM_WARNING, ALARM_IS_CRITICAL };
enum alarm_status { ALARM_RAISED, ALARM_UPDATED, ALARM_CLEARED };
enum alarm_reason {                      /* why it was cleared */
                    ALARM_OVER,          /* the level was below the clear level for long enough */
                    ALARM_TOO_FEW,       /* no samples to judge by any more */
                    ALARM_RETURNED,      /* whoever was missing is back */
                    ALARM_WAITED_ENOUGH, /* half an hour after a single event */
                    ALARM_RULE_OFF,      /* its rule was switched off */
                    ALARM_RESTART        /* raised before the probe's restart, not true any more */
};

enum { ALARM_TOP = 10, ALARM_FLOWS = 10, ALARM_RULE_TEXT = 192 };

struct alarm_contributor {
    struct base_addr client;
    double value;
};

/* What a kind has to tell beyond the value; which are valid depends on the kind (record's
 * sentences). NaN is unknown. */
struct alarm_detail {
    double count, total, rate, median, age_s;
    struct base_addr peer; /* family 0: none */
    uint16_t port;
    uint8_t side; /* EVENT_CLIENT, EVENT_SERVER, EVENT_NOBODY */
};

struct alarm {
    uint64_t ts_ns, since_ns, seq, id;
    uint8_t kind, severity, status, reason;
    bool doubtful, restored;

    const char *service;     /* NULL: no service in the scope; borrowed */
    struct base_addr server; /* family 0: several, or none */
    uint16_t server_port;
    uint32_t server_scope;   /* decode_scope id of the server */
    struct base_addr client; /* family 0: none */
    const char *interface;   /* NULL: none in the scope, or without a name; borrowed, as vlan */
    const char *vlan;        /* as in records; NULL: none */

    double value, threshold, clear_level, baseline; /* NaN: none */
    const char *rule;
    uint64_t window_ns;
    struct alarm_contributor top[ALARM_TOP];
    unsigned tops;
    struct event_flow flow[ALARM_FLOWS];
    unsigned flows;
    uint64_t from_ns, to_ns;
    double drop_ratio, gap_ratio, one_sided_ratio; /* of its window; NaN: unknown */
    uint64_t forecast_ns;                          /* 0: none */
    double forecast_limit;
    struct { /* of ALARM_MASS_CLOSE: who came back, of how many, how fast, and who has not */
        uint32_t clients, back, missing;
        double median_s;
        struct base_addr who[ALARM_TOP];
    } returned;
    struct alarm_detail detail;

    uint64_t duration_ns; /* of ALARM_CLEARED, and the rest */
    double peak;
    uint64_t samples;
};

/* Must not keep the pointer. */
typedef void alarm_sink(void *context, const struct alarm *a);

/* ---- the engine ---- */

/* The configured name of a flow's server, NULL for none. Asked once an endpoint, until
 * alarm_services_changed. */
typedef const char *alarm_service_name(void *context, const struct event_flow *f);

/* The VLAN tags of a flow's scope, outermost first ("100.20"); "" where it has none. Asked again
 * and again where there are many. */
enum { ALARM_VLAN_TEXT = 32 };
typedef void alarm_vlan_text(void *context, uint32_t scope, char out[ALARM_VLAN_TEXT]);

/* The name of an interface, by its number (event.h); NULL where it has none. */
typedef const char *alarm_interface_name(void *context, unsigned iface);

/* Does the CMDB name this very client (and not only its network)? */
typedef bool alarm_client_named(void *context, const struct base_addr *client);

struct alarm_config {
    const struct alarm_rules *rules; /* borrowed */
    alarm_service_name *service;     /* NULL: none is configured */
    alarm_vlan_text *vlan;           /* NULL: none is told apart */
    alarm_interface_name *interface; /* likewise */
    alarm_client_named *named;       /* NULL: nobody is */
    void *service_context;           /* of these four */
    alarm_sink *sink;
    void *context;
    unsigned sources;     /* trackers whose pictures make one window; 0 means 1 */
    uint64_t first_seq;   /* of the first message; 0 means 1 */
    uint64_t max_flows;   /* of all trackers together */
    double history_hours; /* before baselines are used; 0 means 24 */
    bool files;           /* interfaces are of files: where one begins another may have ended */
};

struct alarm_engine;

struct alarm_counters {
    uint64_t messages, active;
    /* How often there was no room in a table: what would have stood there is not judged. */
    uint64_t services_full, clients_full, pairs_full, alarms_full, baselines_full;
};

struct alarm_engine *alarm_new(const struct alarm_config *config); /* NULL: memory is short */
void alarm_free(struct alarm_engine *a);

/* An event_sink: transitions, connections, signals, and the pictures for windows. */
void alarm_event(void *engine, const struct event *e);

/* What the capture and the store say of themselves, counted since the start; to be told at least
 * once a window, before its picture ends. */
struct alarm_stats {
    uint64_t kernel_drops, interface_drops;
    double sink_fill;  /* of what it can hold, 0 to 1 */
    double sink_lag_s; /* age of the oldest record that is not stored */
};
void alarm_stats(struct alarm_engine *a, const struct alarm_stats *s);

/* Other rules from now on (a reload), and other names of services. */
void alarm_use_rules(struct alarm_engine *a, const struct alarm_rules *rules);
void alarm_services_changed(struct alarm_engine *a);

const struct alarm_counters *alarm_counters(const struct alarm_engine *a);

/* Octets held by all tables. */
uint64_t alarm_memory(const struct alarm_engine *a);

/*
 * An alarm that was in force when the probe ended. It stays in force, unless it is not judged to be
 * true within its clear windows: then it is cleared with ALARM_RESTART. Only kind, severity,
 * since_ns, id, scope and peak of `was` count. Where another one is in force for its key it is
 * cleared at once.
 */
void alarm_restore(struct alarm_engine *a, const struct alarm *was);

/* ---- baselines, to be kept across restarts ---- */

/* One baseline as text: `key` (kind and scope) and its JSON. Those that changed since the last call
 * only, or all. */
typedef void alarm_baseline_sink(void *context, const char *key, const char *json);
void alarm_each_baseline(struct alarm_engine *a, bool changed_only, alarm_baseline_sink *sink,
                         void *context);
bool alarm_baselines_changed(const struct alarm_engine *a); /* since the last call of that */
/* False when the text is none. */
bool alarm_take_baseline(struct alarm_engine *a, const char *key, const char *json);

#endif
