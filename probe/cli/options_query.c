/*
 * What the options of `query` say (options.h), and which of them go with which question.
 */
#include "spanwatch/alarm.h"

#include "options.h"

#include <string.h>

static const char *const whats[] = {[QUERY_CONNECTIONS] = "connections",
                                    [QUERY_TRANSITIONS] = "transitions",
                                    [QUERY_CLIENTS] = "clients",
                                    [QUERY_SUMMARY] = "summary",
                                    [QUERY_DIFF] = "diff",
                                    [QUERY_ALARMS] = "alarms",
                                    [QUERY_ACTIVE] = "active"};
enum { WHATS = sizeof whats / sizeof *whats };

static int take_endpoint(const char *option, const char *value, bool names,
                         struct query_endpoint *e, struct base_error *error) {
    if (query_endpoint_parse(value, names, e))
        return 0;
    return base_error_set(error, option,
                          "found \"%s\", allowed are IP[/LEN][:PORT], e.g. 10.0.0.1, 10.0.0.0/8, "
                          "10.0.0.1:443, [2001:db8::1]:443 (no bits beyond LEN)%s",
                          value, names ? ", and a client's name" : "");
}

int cli_take_client(struct cli_options *o, const char *value, struct base_error *error) {
    return take_endpoint("--client", value, true, &o->ask.filter.client, error);
}

int cli_take_server(struct cli_options *o, const char *value, struct base_error *error) {
    return take_endpoint("--server", value, false, &o->ask.filter.server, error);
}

static int take_state(const char *option, const char *value, int *state, struct base_error *error) {
    const char *names[TCP_STATES];
    size_t n = 0, which;
    for (int s = TCP_CLOSED; s < TCP_STATES; s++)
        if (s != TCP_LISTEN) /* never emitted (design 1.2) */
            names[n++] = tcp_state_name((enum tcp_state)s);
    if (cli_take_word(option, value, names, n, &which, error) != 0)
        return -1;
    *state = (int)which + (which >= TCP_LISTEN);
    return 0;
}

int cli_take_state(struct cli_options *o, const char *value, struct base_error *error) {
    return take_state("--state", value, &o->ask.filter.state, error);
}

int cli_take_client_state(struct cli_options *o, const char *value, struct base_error *error) {
    return take_state("--client-state", value, &o->ask.filter.client_state, error);
}

int cli_take_server_state(struct cli_options *o, const char *value, struct base_error *error) {
    return take_state("--server-state", value, &o->ask.filter.server_state, error);
}

int cli_take_query_service(struct cli_options *o, const char *value, struct base_error *error) {
    if (*value == '\0')
        return base_error_set(error, "--service", "found an empty text, allowed is a name");
    o->ask.filter.service = value;
    return 0;
}

/* The text before '=' is copied; what follows is borrowed. */
int cli_take_cmdb_value(struct cli_options *o, const char *value, struct base_error *error) {
    struct query_filter *f = &o->ask.filter;
    const char *equals = strchr(value, '=');
    if (equals == NULL || equals == value || (size_t)(equals - value) >= sizeof o->cmdb_key[0])
        return base_error_set(error, "--cmdb",
                              "found \"%s\", allowed is KEY=VALUE, e.g. owner=web-team", value);
    if (f->cmdb_count == QUERY_CMDB_MOST)
        return base_error_set(error, "--cmdb", "given more than %d times", QUERY_CMDB_MOST);
    char *key = o->cmdb_key[f->cmdb_count];
    snprintf(key, sizeof o->cmdb_key[0], "%.*s", (int)(equals - value), value);
    f->cmdb[f->cmdb_count].key = key;
    f->cmdb[f->cmdb_count++].value = equals + 1;
    return 0;
}

static int take_time(const char *option, const char *value, struct query_time *t,
                     struct base_error *error) {
    struct cli_at at;
    if (cli_take_moment(option, value, &at, error) != 0)
        return -1;
    t->kind = at.kind == CLI_AT_MOMENT ? QUERY_TIME_MOMENT : QUERY_TIME_BEFORE_NOW;
    t->ns = at.ns;
    return 0;
}

int cli_take_query_at(struct cli_options *o, const char *value, struct base_error *error) {
    return take_time("--at", value, &o->ask.at, error);
}

int cli_take_from(struct cli_options *o, const char *value, struct base_error *error) {
    return take_time("--from", value, &o->ask.from, error);
}

int cli_take_to(struct cli_options *o, const char *value, struct base_error *error) {
    return take_time("--to", value, &o->ask.to, error);
}

int cli_take_probe(struct cli_options *o, const char *value, struct base_error *error) {
    return cli_take_probe_name("--probe", value, &o->ask.probe, error);
}

static int refuse_by(const char *value, struct base_error *error) {
    return base_error_set(error, "--by",
                          "found \"%s\", allowed are, separated by commas: service, state, client, "
                          "server, cmdb.KEY; each once",
                          value);
}

/* One word of --by, of `n` octets. */
static bool take_by(struct cli_options *o, const char *word, size_t n) {
    static const char *const names[] = {"service", "state", "client", "server"};
    struct query_ask *a = &o->ask;
    size_t i = 0;
    if (a->by_count == QUERY_BY_MOST)
        return false;
    while (i < QUERY_BY_CMDB && (strlen(names[i]) != n || strncmp(word, names[i], n) != 0))
        i++;
    a->by[a->by_count].by = (enum query_by)i;
    a->by[a->by_count].key = NULL;
    if (i == QUERY_BY_CMDB) {
        char *key = o->by_key[a->by_count];
        if (n <= 5 || n - 5 >= sizeof o->by_key[0] || strncmp(word, "cmdb.", 5) != 0)
            return false;
        snprintf(key, sizeof o->by_key[0], "%.*s", (int)(n - 5), word + 5);
        a->by[a->by_count].key = key;
    }
    for (size_t k = 0; k < a->by_count; k++)
        if (a->by[k].by == (enum query_by)i &&
            (i != QUERY_BY_CMDB || strcmp(a->by[k].key, a->by[a->by_count].key) == 0))
            return false;
    a->by_count++;
    return true;
}

int cli_take_by(struct cli_options *o, const char *value, struct base_error *error) {
    o->ask.by_count = 0;
    for (const char *p = value;; p++) {
        size_t n = strcspn(p, ",");
        if (!take_by(o, p, n))
            return refuse_by(value, error);
        p += n;
        if (*p == '\0')
            return 0;
    }
}

int cli_take_limit(struct cli_options *o, const char *value, struct base_error *error) {
    if (base_uint_parse(value, INT64_MAX, &o->ask.limit))
        return 0;
    return base_error_set(error, "--limit", "found \"%s\", allowed is a whole number of rows",
                          value);
}

int cli_take_query_format(struct cli_options *o, const char *value, struct base_error *error) {
    static const char *const names[] = {
        [QUERY_FORMAT_TABLE] = "table", [QUERY_FORMAT_JSON] = "json", [QUERY_FORMAT_CSV] = "csv"};
    size_t which;
    if (cli_take_word("--format", value, names, sizeof names / sizeof *names, &which, error) != 0)
        return -1;
    o->query_format = (enum query_format)which;
    return 0;
}

int cli_take_kind(struct cli_options *o, const char *value, struct base_error *error) {
    const char *names[ALARM_KINDS];
    size_t which;
    for (int kind = 0; kind < ALARM_KINDS; kind++)
        names[kind] = alarm_kind_name((enum alarm_kind)kind);
    if (cli_take_word("--kind", value, names, ALARM_KINDS, &which, error) != 0)
        return -1;
    o->ask.filter.kind = names[which];
    return 0;
}

int cli_take_severity(struct cli_options *o, const char *value, struct base_error *error) {
    static const char *const names[] = {"info", "warning", "critical"};
    size_t which;
    if (cli_take_word("--severity", value, names, 3, &which, error) != 0)
        return -1;
    o->ask.filter.severity = names[which];
    return 0;
}

int cli_take_status(struct cli_options *o, const char *value, struct base_error *error) {
    static const char *const names[] = {"raised", "updated", "cleared"};
    size_t which;
    if (cli_take_word("--status", value, names, 3, &which, error) != 0)
        return -1;
    o->ask.filter.status = names[which];
    return 0;
}

/* Options that not every question takes, and those that do. */
static int check_options(const struct query_ask *a, struct base_error *error) {
    enum {
        MOMENT = 1 << QUERY_CONNECTIONS | 1 << QUERY_CLIENTS | 1 << QUERY_SUMMARY,
        RANGE = 1 << QUERY_TRANSITIONS | 1 << QUERY_DIFF | 1 << QUERY_ALARMS,
        ALARM = 1 << QUERY_ALARMS | 1 << QUERY_ACTIVE
    };
    const struct query_filter *f = &a->filter;
    const struct {
        const char *option;
        bool given;
        unsigned allowed;
    } use[] = {{"--at", a->at.kind != QUERY_TIME_NONE, MOMENT},
               {"--from", a->from.kind != QUERY_TIME_NONE, RANGE},
               {"--to", a->to.kind != QUERY_TIME_NONE, RANGE},
               {"--by", a->by_count > 0, 1 << QUERY_SUMMARY},
               {"--follow", a->follow, 1 << QUERY_TRANSITIONS},
               {"--state", f->state >= 0, ~(unsigned)ALARM},
               {"--client-state", f->client_state >= 0, ~(unsigned)ALARM},
               {"--server-state", f->server_state >= 0, ~(unsigned)ALARM},
               {"--kind", f->kind != NULL, ALARM},
               {"--severity", f->severity != NULL, ALARM},
               {"--status", f->status != NULL, ALARM}};
    for (size_t i = 0; i < sizeof use / sizeof *use; i++) {
        char list[96];
        size_t n = 0;
        if (!use[i].given || (use[i].allowed >> a->what & 1))
            continue;
        for (size_t w = 0; w < WHATS; w++)
            if (use[i].allowed >> w & 1)
                n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n > 0 ? ", " : "",
                                      whats[w]);
        return base_error_set(error, use[i].option, "does not go with %s; allowed with %s",
                              whats[a->what], list);
    }
    return 0;
}

int cli_query_complete(struct cli_options *o, struct base_error *error) {
    struct query_ask *a = &o->ask;
    size_t which;
    if (o->file_count == 0)
        return base_error_set(error, "query",
                              "no question given; allowed are connections, transitions, clients, "
                              "summary, diff, alarms, active");
    if (cli_take_word("query", o->files[0], whats, WHATS, &which, error) != 0)
        return -1;
    a->what = (enum query_what)which;
    if (o->file_count > 1)
        return base_error_set(error, "query", "found \"%s\" after %s; allowed are options only",
                              o->files[1], whats[which]);
    if (check_options(a, error) != 0)
        return -1;
    if (a->what == QUERY_DIFF && a->from.kind == QUERY_TIME_NONE)
        return base_error_set(error, "--from", "is missing: since when shall be told?");
    if (a->follow && a->to.kind != QUERY_TIME_NONE)
        return base_error_set(error, "--to", "does not go with --follow, which has no end");
    if (a->what == QUERY_SUMMARY && a->by_count == 0) {
        a->by[0].by = QUERY_BY_SERVICE;
        a->by[1].by = QUERY_BY_STATE;
        a->by_count = 2;
    }
    return 0;
}
