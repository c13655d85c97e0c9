/*
 * Alarms as JSON (design 1.3). Input: struct alarm. Output: one object and a newline, keys in the
 * order of the contract. Alarms are rare: numbers go through snprintf.
 */
#include "text.h"

#include "alarm_words.h"
#include "spanwatch/record.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

const char *record_alarm_severity(enum alarm_severity severity) {
    static const char *const name[] = {"info", "warning", "critical"};
    return name[severity];
}

const char *record_alarm_status(enum alarm_status status) {
    static const char *const name[] = {"raised", "updated", "cleared"};
    return name[status];
}

const char *record_alarm_unit(enum alarm_kind kind) {
    static const char *const unit[ALARM_KINDS] = {
        [ALARM_SYN_FLOOD] = "half-open connections",
        [ALARM_BACKLOG_FULL] = "% of attempts",
        [ALARM_CONN_REFUSED] = "attempts in 10 s",
        [ALARM_SERVICE_UNREACHABLE] = "attempts",
        [ALARM_CONNECT_TIMEOUT] = "attempts in 60 s",
        [ALARM_PORT_SCAN] = "ports",
        [ALARM_HOST_SCAN] = "hosts",
        [ALARM_CLOSE_WAIT_LEAK] = "connections",
        [ALARM_FIN_WAIT2_STUCK] = "connections",
        [ALARM_TIME_WAIT_PORTS] = "% of ports",
        [ALARM_IDLE_DEAD_PEER] = "connections",
        [ALARM_IDLE_LONG] = "connections",
        [ALARM_RETRANS_STORM] = "% of segments",
        [ALARM_ZERO_WINDOW_STALL] = "connections",
        [ALARM_ABORT_STORM] = "% of closes",
        [ALARM_HANDSHAKE_LATENCY] = "ms",
        [ALARM_APP_LATENCY] = "ms",
        [ALARM_CHURN] = "connections/s",
        [ALARM_CLIENT_DROP] = "clients",
        [ALARM_CLIENT_SILENT] = "s",
        [ALARM_MASS_CLOSE] = "% of connections",
        [ALARM_RST_INJECTION] = "RSTs in 60 s",
        [ALARM_SYN_IN_ESTABLISHED] = "SYNs in 60 s",
        [ALARM_MIRROR_ONE_SIDED] = "% of connections",
        [ALARM_MIRROR_DUPLICATES] = "% of segments",
        [ALARM_CAPTURE_DROP] = "%",
        [ALARM_CAPTURE_SILENT] = "s",
        [ALARM_SINK_LAG] = "% of the spool",
        [ALARM_TABLE_PRESSURE] = "% of the table",
    };
    return unit[kind];
}

static const char *reason_name(enum alarm_reason reason) {
    static const char *const name[] = {
        [ALARM_OVER] = "below the clear level for long enough",
        [ALARM_TOO_FEW] = "too few samples to judge by",
        [ALARM_RETURNED] = "seen again",
        [ALARM_WAITED_ENOUGH] = "half an hour has passed",
        [ALARM_RULE_OFF] = "the rule was switched off",
        [ALARM_RESTART] = "not true any more after the probe's restart",
    };
    return name[reason];
}

/* Six digits are more than any level has; "12" and not "12.000000". NaN has no form in JSON. */
static char *put_number(char *p, const char *key, double v) {
    return isfinite(v) ? p + sprintf(p, ",\"%s\":%.6g", key, v) : p;
}

static char *put_address(char *p, const struct base_addr *a) {
    *p++ = '"';
    p += base_addr_format(a, p);
    *p++ = '"';
    return p;
}

const char *alarm_words_service(const struct record_context *c, const struct alarm *a,
                                char buffer[SERVICE_NAME_MAX]) {
    struct event_flow f = {.family = a->server.family,
                           .server_port = a->server_port,
                           .scope = a->server_scope & UINT16_MAX};
    if (a->service != NULL)
        return a->service;
    if (a->server.family == 0)
        return NULL;
    memcpy(f.server, a->server.octet, sizeof f.server);
    return record_service(&c[a->server_scope >> 16], &f, buffer);
}

static char *put_scope(const struct record_context *c, const struct alarm *a, char *p) {
    char buffer[SERVICE_NAME_MAX], vlan[RECORD_SCOPE_TEXT];
    const char *service = alarm_words_service(c, a, buffer);
    char *begin = (p = RECORD_PUT(p, ",\"scope\":{"));
    if (a->server.family != 0)
        p = RECORD_PUT_ENDPOINT(p, "server", a->server.family, a->server.octet, a->server_port);
    if (service != NULL)
        p = RECORD_PUT_TEXT(p, "service", service, RECORD_NAME_TEXT);
    if (a->client.family != 0)
        p = put_address(RECORD_PUT(p, ",\"client\":"), &a->client);
    if (a->interface != NULL)
        p = RECORD_PUT_TEXT(p, "interface", a->interface, RECORD_NAME_TEXT);
    if (a->vlan != NULL)
        p = RECORD_PUT_WORD(p, "vlan", a->vlan);
    uint32_t scope = a->server_scope & UINT16_MAX;
    if (a->server.family != 0 && scope != 0 &&
        record_vlan_text(decode_scope(c[a->server_scope >> 16].decoder, scope), vlan) > 0)
        p = RECORD_PUT_WORD(p, "vlan", vlan);
    if (p > begin) { /* the first member's comma */
        memmove(begin, begin + 1, (size_t)(p - begin - 1));
        p--;
    }
    *p++ = '}';
    return p;
}

static char *put_top(const struct alarm *a, char *p) {
    if (a->tops == 0)
        return p;
    p = RECORD_PUT(p, ",\"top\":[");
    for (unsigned i = 0; i < a->tops; i++) {
        p = RECORD_PUT(p, "{\"client\":");
        p = put_number(put_address(p, &a->top[i].client), "value", a->top[i].value);
        p = RECORD_PUT(p, "},");
    }
    p[-1] = ']';
    return p;
}

static char *put_evidence(const struct record_context *c, const struct alarm *a, char *p) {
    if (a->flows == 0)
        return p;
    p = RECORD_PUT(p, ",\"evidence\":{\"flows\":[");
    for (unsigned i = 0; i < a->flows; i++) {
        struct event_flow f = a->flow[i];
        const struct record_context *worker = &c[f.scope >> 16];
        f.scope &= UINT16_MAX;
        *p++ = '"';
        p = record_put_hex(p, record_flow_id(worker, &f));
        p = RECORD_PUT(p, "\",");
    }
    p[-1] = ']';
    p = RECORD_PUT_TIME(p, "from", a->from_ns);
    p = RECORD_PUT_TIME(p, "to", a->to_ns);
    *p++ = '}';
    return p;
}

static char *put_quality(const struct alarm *a, char *p) {
    char *begin = (p = RECORD_PUT(p, ",\"quality\":{"));
    p = put_number(p, "drop_ratio", a->drop_ratio);
    p = put_number(p, "gap_ratio", a->gap_ratio);
    p = put_number(p, "one_sided_ratio", a->one_sided_ratio);
    if (p > begin) {
        memmove(begin, begin + 1, (size_t)(p - begin - 1));
        p--;
    }
    *p++ = '}';
    return p;
}

static char *put_returned(const struct alarm *a, char *p) {
    if (a->kind != ALARM_MASS_CLOSE || a->returned.clients == 0)
        return p;
    p = RECORD_PUT(p, ",\"returned\":{\"clients\":");
    p = record_put_uint(p, a->returned.clients);
    p = RECORD_PUT_UINT(p, "back", a->returned.back);
    p = put_number(p, "median", a->returned.median_s);
    if (a->returned.missing > 0) {
        unsigned named = a->returned.missing < ALARM_TOP ? a->returned.missing : ALARM_TOP;
        p = RECORD_PUT(p, ",\"missing\":[");
        for (unsigned i = 0; i < named; i++) {
            p = put_address(p, &a->returned.who[i]);
            *p++ = ',';
        }
        p[-1] = ']';
    }
    *p++ = '}';
    return p;
}

static char *put_end_of_life(const struct alarm *a, char *p) {
    if (a->status != ALARM_CLEARED)
        return p;
    p = RECORD_PUT_TIME(p, "duration", a->duration_ns);
    p = put_number(p, "peak", a->peak);
    p = RECORD_PUT_UINT(p, "samples", a->samples);
    return RECORD_PUT_WORD(p, "reason", reason_name((enum alarm_reason)a->reason));
}

size_t record_alarm_json(const struct record_context *c, const struct alarm *a, char *out) {
    char summary[RECORD_SUMMARY_MAX], buffer[SERVICE_NAME_MAX];
    const char *service = alarm_words_service(c, a, buffer);
    const char *cmdb = c->cmdb != NULL && service != NULL ? cmdb_service(c->cmdb, service) : NULL;
    char *p = record_put_time(RECORD_PUT(out, "{\"type\":\"alarm\",\"ts\":"), a->ts_ns);
    p = RECORD_PUT_TEXT(p, "probe", c->probe, RECORD_NAME_TEXT);
    p = RECORD_PUT_UINT(p, "seq", a->seq);
    p = record_put_hex(RECORD_PUT(p, ",\"id\":\""), a->id);
    p = RECORD_PUT(p, "\"");
    p = RECORD_PUT_WORD(p, "kind", alarm_kind_name((enum alarm_kind)a->kind));
    p = RECORD_PUT_WORD(p, "severity", record_alarm_severity((enum alarm_severity)a->severity));
    p = RECORD_PUT_WORD(p, "status", record_alarm_status((enum alarm_status)a->status));
    p = RECORD_PUT_TIME(p, "since", a->since_ns);
    p = put_scope(c, a, p);
    p = put_number(p, "value", a->value);
    p = put_number(p, "threshold", a->threshold);
    p = put_number(p, "clear_level", a->clear_level);
    p = put_number(p, "baseline", a->baseline);
    p = RECORD_PUT_WORD(p, "unit", record_alarm_unit((enum alarm_kind)a->kind));
    p = RECORD_PUT_TEXT(p, "rule", a->rule != NULL ? a->rule : "default", RECORD_WHY_TEXT);
    p = RECORD_PUT_TIME(p, "window", a->window_ns);
    p = put_top(a, p);
    p = put_evidence(c, a, p);
    p = put_quality(a, p);
    if (a->doubtful)
        p = RECORD_PUT(p, ",\"doubtful\":true");
    if (a->forecast_ns != 0) {
        p = record_put_time(RECORD_PUT(p, ",\"forecast\":{\"at\":"), a->forecast_ns);
        p = put_number(p, "limit", a->forecast_limit);
        *p++ = '}';
    }
    p = put_returned(a, p);
    p = put_end_of_life(a, p);
    if (cmdb != NULL && strcmp(cmdb, "{}") != 0) {
        p = RECORD_PUT(p, ",\"cmdb\":");
        p = mempcpy(p, cmdb, strlen(cmdb));
    }
    record_alarm_summary(c, a, summary);
    p = RECORD_PUT_TEXT(p, "summary", summary, 2 * RECORD_SUMMARY_MAX);
    p = RECORD_PUT(p, "}\n");
    assert(p - out < RECORD_ALARM_MAX);
    return (size_t)(p - out);
}
