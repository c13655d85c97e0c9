/*
 * rules: the numbers that each kind goes by, and which of them holds for whom.
 *
 * Input: a loader's calls. Output: the rule for a service and a client. Service beats client group
 * beats all; of client groups the longest prefix. Rules are small tables, looked through from end
 * to end: they are asked once a window for each key in question, never for an event.
 */
#include "engine.h"

#include <stdio.h>

static const char *const kind_name[ALARM_KINDS] = {
    "syn_flood",          "backlog_full",
    "conn_refused",       "service_unreachable",
    "connect_timeout",    "port_scan",
    "host_scan",          "close_wait_leak",
    "fin_wait2_stuck",    "time_wait_ports",
    "idle_dead_peer",     "idle_long",
    "retrans_storm",      "zero_window_stall",
    "abort_storm",        "handshake_latency",
    "app_latency",        "churn",
    "client_drop",        "client_silent",
    "mass_close",         "rst_injection",
    "syn_in_established", "mirror_one_sided",
    "mirror_duplicates",  "capture_drop",
    "capture_silent",     "sink_lag",
    "table_pressure",
};

static const char *const number_name[ALARM_NUMBERS] = {
    "raise", "critical", "clear",  "samples", "windows", "clear_windows",
    "age",   "ratio",    "factor", "limit",   "enabled",
};

/* The catalogue's figures. X: the kind has no such number. Units are the catalogue's: percent,
 * seconds, ms, counts; ALARM_WINDOWS and ALARM_CLEAR_WINDOWS in windows of 10 s. */
#define X NAN
static const double standard[ALARM_KINDS][ALARM_NUMBERS - 1] = {
    /*                          raise crit clear samples windows clear_w age ratio factor limit */
    [ALARM_SYN_FLOOD] = {256, X, 60, X, 2, 6, X, 50, 5, X},
    [ALARM_BACKLOG_FULL] = {5, X, 1, 20, 2, 6, X, X, X, X},
    [ALARM_CONN_REFUSED] = {10, X, X, 5, 1, 6, X, 20, X, X},
    [ALARM_SERVICE_UNREACHABLE] = {5, X, X, 2, 1, 3, 3, X, X, 10},
    [ALARM_CONNECT_TIMEOUT] = {3, X, X, X, 1, 12, 21, X, X, X},
    [ALARM_PORT_SCAN] = {25, X, X, X, 1, 30, 60, 80, X, X},
    [ALARM_HOST_SCAN] = {25, X, X, X, 1, 30, 60, 80, X, X},
    [ALARM_CLOSE_WAIT_LEAK] = {20, 200, 50, 10, 1, 6, 60, X, X, 1024},
    [ALARM_FIN_WAIT2_STUCK] = {20, X, 50, X, 1, 6, 60, X, X, X},
    [ALARM_TIME_WAIT_PORTS] = {70, 90, 50, 20, 1, 6, 60, X, 5, 28232},
    [ALARM_IDLE_DEAD_PEER] = {5, X, 50, 3, 1, 3, 15, X, X, X},
    [ALARM_IDLE_LONG] = {1, X, X, X, 1, 1, 0, X, X, X},
    [ALARM_RETRANS_STORM] = {5, 15, 2, 100, 2, 6, X, X, X, X},
    [ALARM_ZERO_WINDOW_STALL] = {1, 5, X, 3, 1, 3, X, X, X, X},
    [ALARM_ABORT_STORM] = {20, X, 5, 20, 1, 6, X, X, 10, 5},
    [ALARM_HANDSHAKE_LATENCY] = {20, X, 1.3, 30, 3, 6, X, 2, 6, X},
    [ALARM_APP_LATENCY] = {50, X, 1.3, 30, 3, 6, X, 2, 6, X},
    [ALARM_CHURN] = {10, X, 2, X, 2, 6, 1, X, 5, X},
    [ALARM_CLIENT_DROP] = {70, X, 90, 10, 3, 6, X, X, 3, X},
    [ALARM_CLIENT_SILENT] = {600, X, X, X, 1, 1, X, 90, 3, X},
    [ALARM_MASS_CLOSE] = {50, X, 80, 20, 1, 2, 5, X, X, 1800},
    [ALARM_RST_INJECTION] = {3, X, X, X, 1, 30, X, X, X, X},
    [ALARM_SYN_IN_ESTABLISHED] = {3, X, X, X, 1, 30, X, X, X, X},
    [ALARM_MIRROR_ONE_SIDED] = {30, X, 10, 50, 2, 6, X, X, X, X},
    [ALARM_MIRROR_DUPLICATES] = {10, X, 2, 100, 2, 6, X, X, X, X},
    [ALARM_CAPTURE_DROP] = {1, 5, 0.1, 100, 2, 6, X, X, X, X},
    [ALARM_CAPTURE_SILENT] = {30, X, X, X, 1, 1, X, X, X, X},
    [ALARM_SINK_LAG] = {25, 75, 5, X, 1, 6, 10, X, X, X},
    [ALARM_TABLE_PRESSURE] = {80, X, 60, X, 1, 6, X, X, X, X},
};
#undef X

/* What a file may say: from, to, whatever the kind. */
static const double bounds[ALARM_NUMBERS][2] = {
    [ALARM_RAISE] = {0, 1e9},  [ALARM_CRITICAL] = {0, 1e9},
    [ALARM_CLEAR] = {0, 1e9},  [ALARM_SAMPLES] = {1, 1e9},
    [ALARM_WINDOWS] = {1, 60}, [ALARM_CLEAR_WINDOWS] = {1, 360},
    [ALARM_AGE] = {0, 604800}, [ALARM_RATIO] = {0, 1000},
    [ALARM_FACTOR] = {0, 1e6}, [ALARM_LIMIT] = {1, 4294967295.0},
    [ALARM_ENABLED] = {0, 1},
};

/* One set of numbers: for all, for a service, for a prefix. */
struct rule_set {
    char *service; /* NULL: not by service */
    struct base_addr clients;
    unsigned prefix_length; /* valid when clients.family is not 0 */
    bool given[ALARM_KINDS];
    struct alarm_rule rule[ALARM_KINDS];
    char *source[ALARM_KINDS]; /* owned */
};

struct allowed {
    enum alarm_allow list; /* for a person: all three keep from raising anything alike */
    struct base_addr net;
    unsigned prefix_length;
};

struct alarm_rules {
    struct rule_set *set; /* the first is for all */
    size_t sets;
    struct allowed *allow;
    size_t allows;
};

const char *alarm_kind_name(enum alarm_kind kind) {
    return kind_name[kind];
}

enum alarm_kind alarm_kind_find(const char *name) {
    unsigned kind = 0;
    while (kind < ALARM_KINDS && strcmp(kind_name[kind], name) != 0)
        kind++;
    return (enum alarm_kind)kind;
}

const char *alarm_number_name(enum alarm_number n) {
    return number_name[n];
}

struct alarm_bounds alarm_number_bounds(enum alarm_kind kind, enum alarm_number n) {
    return (struct alarm_bounds){n == ALARM_ENABLED ? 1 : standard[kind][n], bounds[n][0],
                                 bounds[n][1]};
}

static void fill_standard(struct rule_set *s) {
    for (int kind = 0; kind < ALARM_KINDS; kind++) {
        for (int n = 0; n < ALARM_NUMBERS; n++)
            s->rule[kind].number[n] =
                alarm_number_bounds((enum alarm_kind)kind, (enum alarm_number)n).standard;
        s->rule[kind].source = NULL;
    }
}

struct alarm_rules *alarm_rules_new(void) {
    struct alarm_rules *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->set = calloc(1, sizeof *r->set);
    if (r->set == NULL) {
        free(r);
        return NULL;
    }
    r->sets = 1;
    fill_standard(&r->set[0]);
    for (int kind = 0; kind < ALARM_KINDS; kind++) {
        char text[64];
        snprintf(text, sizeof text, "default:%s", kind_name[kind]);
        r->set[0].source[kind] = strdup(text);
        r->set[0].rule[kind].source = r->set[0].source[kind] ? r->set[0].source[kind] : "default";
    }
    return r;
}

void alarm_rules_free(struct alarm_rules *r) {
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->sets; i++) {
        free(r->set[i].service);
        for (int kind = 0; kind < ALARM_KINDS; kind++)
            free(r->set[i].source[kind]);
    }
    free(r->set);
    free(r->allow);
    free(r);
}

static bool is_for(const struct rule_set *s, const struct alarm_rule_for *whom) {
    if (whom == NULL || (whom->service == NULL && whom->clients == NULL))
        return s->service == NULL && s->clients.family == 0;
    if (whom->service != NULL)
        return s->service != NULL && strcmp(s->service, whom->service) == 0;
    return s->service == NULL && s->prefix_length == whom->prefix_length &&
           addr_equal(&s->clients, whom->clients);
}

static struct rule_set *set_for(struct alarm_rules *r, const struct alarm_rule_for *whom) {
    for (size_t i = 0; i < r->sets; i++)
        if (is_for(&r->set[i], whom))
            return &r->set[i];
    struct rule_set *grown = reallocarray(r->set, r->sets + 1, sizeof *grown);
    if (grown == NULL)
        return NULL;
    r->set = grown;
    struct rule_set *s = &r->set[r->sets];
    *s = (struct rule_set){0};
    if (whom->service != NULL) {
        s->service = strdup(whom->service);
        if (s->service == NULL)
            return NULL;
    } else {
        s->clients = *whom->clients;
        s->prefix_length = whom->prefix_length;
    }
    r->sets++;
    return s;
}

/* What a set does not say of a kind it takes from the set for all, so the file's part for all has
 * to be given before. */
int alarm_rules_set(struct alarm_rules *r, const struct alarm_rule_for *whom, enum alarm_kind kind,
                    enum alarm_number n, double value, const char *source) {
    struct rule_set *s = set_for(r, whom);
    char *text = strdup(source);
    if (s == NULL || text == NULL) {
        free(text);
        return -1;
    }
    if (s != &r->set[0] && !s->given[kind])
        s->rule[kind] = r->set[0].rule[kind];
    s->given[kind] = true;
    free(s->source[kind]);
    s->source[kind] = text;
    s->rule[kind].source = text;
    s->rule[kind].number[n] = value;
    return 0;
}

int alarm_rules_allow(struct alarm_rules *r, enum alarm_allow list, const struct base_addr *net,
                      unsigned prefix_length) {
    struct allowed *grown = reallocarray(r->allow, r->allows + 1, sizeof *grown);
    if (grown == NULL)
        return -1;
    r->allow = grown;
    r->allow[r->allows++] = (struct allowed){list, *net, prefix_length};
    return 0;
}

void alarm_rules_each(const struct alarm_rules *r, alarm_rule_visit *visit, void *context) {
    for (size_t i = 0; i < r->sets; i++) {
        const struct rule_set *s = &r->set[i];
        const struct alarm_rule_for whom = {.service = s->service,
                                            .clients = s->clients.family != 0 ? &s->clients : NULL,
                                            .prefix_length = s->prefix_length};
        for (int kind = 0; kind < ALARM_KINDS; kind++)
            if (s->given[kind])
                visit(context, &whom, (enum alarm_kind)kind, s->rule[kind].number);
    }
}

void alarm_rules_each_allowed(const struct alarm_rules *r, alarm_allow_visit *visit,
                              void *context) {
    for (size_t i = 0; i < r->allows; i++)
        visit(context, r->allow[i].list, &r->allow[i].net, r->allow[i].prefix_length);
}

const struct alarm_rule *rules_find(const struct alarm_rules *r, enum alarm_kind kind,
                                    const char *service, const struct base_addr *client) {
    const struct rule_set *best = &r->set[0];
    for (size_t i = 1; i < r->sets; i++) {
        const struct rule_set *s = &r->set[i];
        if (!s->given[kind])
            continue;
        if (s->service != NULL) {
            if (service != NULL && strcmp(s->service, service) == 0)
                return &s->rule[kind];
        } else if (client != NULL && base_addr_in(client, &s->clients, s->prefix_length) &&
                   (best == &r->set[0] || best->prefix_length < s->prefix_length)) {
            best = s;
        }
    }
    return &best->rule[kind];
}

bool rules_allows(const struct alarm_rules *r, const struct base_addr *client) {
    for (size_t i = 0; i < r->allows; i++)
        if (base_addr_in(client, &r->allow[i].net, r->allow[i].prefix_length))
            return true;
    return false;
}

bool rules_allow_some(const struct alarm_rules *r) {
    return r->allows > 0;
}

bool rules_limit_idle(const struct alarm_rules *r) {
    for (size_t i = 0; i < r->sets; i++)
        if ((i == 0 || r->set[i].given[ALARM_IDLE_LONG]) &&
            r->set[i].rule[ALARM_IDLE_LONG].number[ALARM_AGE] > 0)
            return true;
    return false;
}

double rules_least(const struct alarm_rules *r, enum alarm_kind kind, enum alarm_number n) {
    double least = r->set[0].rule[kind].number[n];
    for (size_t i = 1; i < r->sets; i++)
        if (r->set[i].given[kind])
            least = fmin(least, r->set[i].rule[kind].number[n]);
    return least;
}
