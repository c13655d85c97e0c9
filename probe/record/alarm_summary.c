/*
 * One sentence for a person on call: what is happening to whom, since when, how fast, and until
 * when it can go on.
 *
 *   10.1.0.7:8080 (checkout, owner payments): 212 connections in CLOSE_WAIT for over 60 s, growing
 *   3 a second; the server does not close; limit of 1024 reached in about 25 min
 */
#include "alarm_words.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct words {
    char *out;
    size_t n;
};

static void say(struct words *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What does not fit is left out. */
static void say(struct words *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(w->out + w->n, RECORD_SUMMARY_MAX - w->n, format, args);
    va_end(args);
    if (n > 0)
        w->n += (size_t)n < RECORD_SUMMARY_MAX - w->n ? (size_t)n : RECORD_SUMMARY_MAX - w->n - 1;
}

static void say_address(struct words *w, const struct base_addr *a) {
    char text[BASE_ADDR_TEXT];
    base_addr_format(a, text);
    say(w, "%s", text);
}

/* "10.1.0.7:8080 (checkout, owner payments)", "checkout (owner payments)", "10.7.0.1 to ..." */
static void say_whom(struct words *w, const struct record_context *c, const struct alarm *a) {
    char buffer[SERVICE_NAME_MAX], endpoint[BASE_ENDPOINT_TEXT], owner[CMDB_KEY_MAX];
    const char *service = alarm_words_service(c, a, buffer);
    const char *cmdb = c->cmdb != NULL && service != NULL ? cmdb_service(c->cmdb, service) : NULL;
    const char *client = a->client.family != 0 ? cmdb_client_name(c->cmdb, &a->client) : NULL;
    bool owned = cmdb != NULL && cmdb_attribute(cmdb, "owner", owner, sizeof owner);
    if (a->client.family != 0) {
        say_address(w, &a->client);
        if (client != NULL)
            say(w, " (%s)", client);
    }
    if (a->interface != NULL || a->vlan != NULL)
        say(w, "%s%s%s%s", a->interface ? a->interface : "", a->interface && a->vlan ? ", " : "",
            a->vlan ? "VLAN " : "", a->vlan ? a->vlan : "");
    if (service == NULL)
        return;
    if (a->client.family != 0)
        say(w, " to ");
    if (a->server.family != 0) {
        base_endpoint_format(&a->server, a->server_port, endpoint);
        say(w, "%s (%s%s%s)", endpoint, service, owned ? ", owner " : "", owned ? owner : "");
    } else {
        say(w, "%s%s%s%s", service, owned ? " (owner " : "", owned ? owner : "", owned ? ")" : "");
    }
}

static void say_span(struct words *w, double s) {
    if (s < 90)
        say(w, "%.0f s", s);
    else if (s < 5400)
        say(w, "%.0f min", s / 60);
    else if (s < 172800)
        say(w, "%.1f h", s / 3600);
    else
        say(w, "%.0f days", s / 86400);
}

static void say_leak(struct words *w, const struct alarm *a) {
    const struct alarm_detail *d = &a->detail;
    say(w, "%.0f connections in CLOSE_WAIT for over 60 s", a->value);
    if (d->rate > 0)
        say(w, ", growing %.2g a second", d->rate);
    say(w, "; the %s does not close", d->side == EVENT_CLIENT ? "client" : "server");
}

static void say_flood(struct words *w, const struct alarm *a) {
    say(w, "%.0f half-open connections at %.3g SYNs a second", a->value, a->detail.rate);
    if (isfinite(a->detail.count))
        say(w, ", %.0f %% of attempts are completed", a->detail.count);
    if (a->detail.total >= 0.9)
        say(w, "; nearly every source has sent one packet only");
}

static void say_mass_close(struct words *w, const struct alarm *a) {
    say(w, "%.0f of %.0f connections closed within 5 s", a->detail.count, a->detail.total);
    if (a->returned.clients == 0)
        return;
    say(w, "; %u of %u clients are back", a->returned.back, a->returned.clients);
    if (a->returned.back > 0)
        say(w, ", half of them within %.1f s", a->returned.median_s);
    if (a->returned.missing > 0) {
        say(w, "; missing: ");
        say_address(w, &a->returned.who[0]);
        if (a->returned.missing > 1)
            say(w, " and %u more", a->returned.missing - 1);
    }
}

static void say_ports(struct words *w, const struct alarm *a) {
    say(w, "%.0f of about %.0f client ports used within a minute, %.3g connections a second",
        a->detail.count, a->detail.total, a->detail.rate);
    if (a->detail.median > 0)
        say(w, ", %.0f ports used again within a minute", a->detail.median);
}

static void say_scan(struct words *w, const struct alarm *a) {
    const char *what = a->kind == ALARM_PORT_SCAN ? "ports" : "hosts";
    say(w, "tried %.0f %s", a->detail.total, what);
    if (a->kind == ALARM_HOST_SCAN) {
        say(w, " on port %u", a->detail.port);
    } else if (a->detail.peer.family != 0) {
        say(w, " of ");
        say_address(w, &a->detail.peer);
    }
    say(w, " within a minute, %.0f of them in vain", a->detail.count);
}

static void say_stuck(struct words *w, const struct alarm *a) {
    say(w, "%.0f connections were closed by the %s and not by its peer for over 60 s", a->value,
        a->detail.side == EVENT_CLIENT ? "client" : "server");
    if (a->detail.peer.family != 0) {
        say(w, "; the peer that does not close: ");
        say_address(w, &a->detail.peer);
    }
}

static void say_latency(struct words *w, const struct alarm *a) {
    const char *what = a->kind == ALARM_APP_LATENCY     ? "replies take"
                       : a->detail.side == EVENT_CLIENT ? "clients answer SYN-ACKs after"
                                                        : "the server answers SYNs after";
    say(w, "%s %.3g ms (95th percentile), usually %.3g ms", what, a->value, a->baseline);
}

static void say_tap(struct words *w, const struct alarm *a) {
    switch (a->kind) {
    case ALARM_MIRROR_ONE_SIDED:
        say(w, "the mirror gives one direction only of %.0f %% of the connections", a->value);
        return;
    case ALARM_MIRROR_DUPLICATES:
        say(w, "the mirror gives %.0f %% of the segments twice", a->value);
        return;
    case ALARM_CAPTURE_DROP:
        say(w, "%.2g %% of the traffic does not reach the probe", a->value);
        return;
    case ALARM_CAPTURE_SILENT:
        say(w, "no packets for ");
        say_span(w, a->value);
        return;
    case ALARM_SINK_LAG:
        say(w, "the store is behind: its spool is %.0f %% full, the oldest record waits for ",
            a->value);
        say_span(w, a->detail.age_s);
        return;
    default:
        say(w, "the flow table is %.0f %% full", a->value);
        if (a->detail.count > 0)
            say(w, ", %.0f live connections had to make room", a->detail.count);
    }
}

/* Connections that do not come about. False: of another family. */
static bool say_opening(struct words *w, const struct alarm *a) {
    const struct alarm_detail *d = &a->detail;
    switch (a->kind) {
    case ALARM_SYN_FLOOD:
        say_flood(w, a);
        return true;
    case ALARM_BACKLOG_FULL:
        say(w,
            "%.0f of %.0f attempts got no answer to their SYN, while %.0f others were served: "
            "its queue of new connections is full",
            d->count, d->total, d->rate);
        return true;
    case ALARM_CONN_REFUSED:
        say(w, "refuses connections: %.0f of %.0f attempts in 10 s", d->count, d->total);
        return true;
    case ALARM_SERVICE_UNREACHABLE:
        say(w, "answers nobody: %.0f attempts in vain", d->count);
        if (d->rate > 0)
            say(w, ", refused by ICMP");
        return true;
    case ALARM_CONNECT_TIMEOUT:
        say(w, "%.0f attempts to connect timed out within a minute", a->value);
        return true;
    case ALARM_PORT_SCAN:
    case ALARM_HOST_SCAN:
        say_scan(w, a);
        return true;
    default:
        return false;
    }
}

/* Connections that stay, and hold something. False: of another family. */
static bool say_waiting(struct words *w, const struct alarm *a) {
    const struct alarm_detail *d = &a->detail;
    switch (a->kind) {
    case ALARM_CLOSE_WAIT_LEAK:
        say_leak(w, a);
        return true;
    case ALARM_FIN_WAIT2_STUCK:
        say_stuck(w, a);
        return true;
    case ALARM_TIME_WAIT_PORTS:
        say_ports(w, a);
        return true;
    case ALARM_IDLE_DEAD_PEER:
        say(w, "%.0f connections repeat themselves without any answer", a->value);
        if (isfinite(d->age_s)) {
            say(w, ", for up to ");
            say_span(w, d->age_s);
        }
        return true;
    case ALARM_IDLE_LONG:
        say(w, "%.0f connections are silent for longer than ", a->value);
        say_span(w, d->total);
        return true;
    default:
        return false;
    }
}

/* Connections that fare badly. False: of another family. */
static bool say_trouble(struct words *w, const struct alarm *a) {
    const struct alarm_detail *d = &a->detail;
    switch (a->kind) {
    case ALARM_RETRANS_STORM:
        say(w, "%.1f %% of %.0f segments that the %s sent within 10 s were sent again", a->value,
            d->total, d->side == EVENT_CLIENT ? "client" : "server");
        return true;
    case ALARM_ZERO_WINDOW_STALL:
        say(w, "does not read: %.0f connections have their window closed, for up to ", a->value);
        say_span(w, d->age_s);
        return true;
    case ALARM_ABORT_STORM:
        say(w, "%.0f of %.0f connections that ended within a minute were aborted by the %s",
            d->count, d->total, d->side == EVENT_CLIENT ? "client" : "server");
        return true;
    case ALARM_HANDSHAKE_LATENCY:
    case ALARM_APP_LATENCY:
        say_latency(w, a);
        return true;
    case ALARM_RST_INJECTION:
        say(w, "%.0f RSTs within a minute that their senders cannot have meant", a->value);
        return true;
    case ALARM_SYN_IN_ESTABLISHED:
        say(w,
            "%.0f SYNs within a minute on connections that are open: it crashed, or its address "
            "is forged",
            a->value);
        return true;
    default:
        return false;
    }
}

/* What clients do, against what is usual. False: of another family. */
static bool say_clients(struct words *w, const struct alarm *a) {
    switch (a->kind) {
    case ALARM_CHURN:
        say(w, "opens %.3g connections a second and closes them at once, usually %.2g", a->value,
            a->baseline);
        return true;
    case ALARM_CLIENT_DROP:
        say(w, "%.0f clients are connected, usually %.0f", a->value, a->baseline);
        return true;
    case ALARM_CLIENT_SILENT:
        say(w, "was not seen for ");
        say_span(w, a->value);
        return true;
    case ALARM_MASS_CLOSE:
        say_mass_close(w, a);
        return true;
    default:
        return false;
    }
}

static void say_what(struct words *w, const struct alarm *a) {
    if (!say_opening(w, a) && !say_waiting(w, a) && !say_trouble(w, a) && !say_clients(w, a))
        say_tap(w, a);
}

static void say_when(struct words *w, const struct alarm *a) {
    char text[BASE_TIME_TEXT];
    if (a->forecast_ns > a->ts_ns && a->status != ALARM_CLEARED) {
        say(w, "; limit of %.0f reached in about ", a->forecast_limit);
        say_span(w, (double)(a->forecast_ns - a->ts_ns) / 1e9);
    }
    base_time_format_utc(a->since_ns, text);
    say(w, "; since %s UTC", text);
    if (a->doubtful)
        say(w, "; doubtful: the capture misses packets");
}

size_t record_alarm_summary(const struct record_context *c, const struct alarm *a,
                            char out[RECORD_SUMMARY_MAX]) {
    struct words w = {.out = out};
    out[0] = '\0';
    if (a->status == ALARM_CLEARED)
        say(&w, "over after ");
    if (a->status == ALARM_CLEARED) {
        say_span(&w, (double)a->duration_ns / 1e9);
        say(&w, ": ");
    }
    size_t before = w.n;
    say_whom(&w, c, a);
    if (w.n > before)
        say(&w, ": ");
    say_what(&w, a);
    say_when(&w, a);
    return w.n;
}
