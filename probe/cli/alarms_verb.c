/*
 * The verb `alarms`: follow what probes raise, update and clear.
 *
 * Input: options, already understood. Output: a line a message to standard output (words for a
 * person, or its JSON), and each to --exec and --webhook; an exit status. Ends with a signal, and
 * then with success.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "follow.h"

#include "spanwatch/cmdb.h"

static volatile int stopped; /* set by the signal handler */

static void on_signal(int number) {
    (void)number;
    stopped = 1;
}

static const char *text_of(const json_t *o, const char *name) {
    const char *text = json_string_value(json_object_get(o, name));
    return text != NULL ? text : "";
}

static bool is_wanted(const struct cli_options *o, const json_t *m) {
    const struct query_filter *f = &o->ask.filter;
    char value[CMDB_JSON_MAX];
    if (f->kind != NULL && strcmp(f->kind, text_of(m, "kind")) != 0)
        return false;
    if (f->severity != NULL && strcmp(f->severity, text_of(m, "severity")) != 0)
        return false;
    if (f->service != NULL &&
        strcmp(f->service, text_of(json_object_get(m, "scope"), "service")) != 0)
        return false;
    for (size_t i = 0; i < f->cmdb_count; i++) {
        char *json = json_dumps(json_object_get(m, "cmdb"), JSON_COMPACT);
        bool same = json != NULL && cmdb_attribute(json, f->cmdb[i].key, value, sizeof value) &&
                    strcmp(value, f->cmdb[i].value) == 0;
        free(json);
        if (!same)
            return false;
    }
    return true;
}

/* "2026-11-23 08:40:00 UTC  critical raised   syn_flood: 10.0.0.2:80 (web): ..." */
static void print_words(const json_t *m) {
    char when[BASE_TIME_TEXT], summary[4096];
    double ts = json_number_value(json_object_get(m, "ts"));
    base_time_format_utc(ts > 0 ? (uint64_t)ts * BASE_NS_PER_S : 0, when);
    record_text_printable(text_of(m, "summary"), summary, sizeof summary);
    printf("%s UTC  %-8s %-8s %s: %s\n", when, text_of(m, "severity"), text_of(m, "status"),
           text_of(m, "kind"), summary);
}

static void take(void *options, const json_t *m, const char *json) {
    const struct cli_options *o = options;
    if (!is_wanted(o, m))
        return;
    if (o->query_format == QUERY_FORMAT_JSON)
        printf("%s\n", json);
    else
        print_words(m);
    fflush(stdout);
    if (o->exec != NULL && !hand_to_command(o->exec, m, json, &stopped))
        base_warn("--exec: alarm %s (%s) was not taken: given up", text_of(m, "id"),
                  text_of(m, "kind"));
    if (o->webhook != NULL && !hand_to_webhook(o->webhook, m, &stopped))
        base_warn("--webhook: alarm %s (%s) was not taken: given up", text_of(m, "id"),
                  text_of(m, "kind"));
}

/* 0: from now on. What lies at or before the epoch means all that there is. */
static uint64_t from_of(const struct query_time *t) {
    uint64_t now_ns = (uint64_t)time(NULL) * BASE_NS_PER_S;
    switch (t->kind) {
    case QUERY_TIME_MOMENT:
        return t->ns > 0 ? t->ns : 1;
    case QUERY_TIME_BEFORE_NOW:
        return t->ns < now_ns ? now_ns - t->ns : 1;
    default:
        return 0;
    }
}

static enum cli_status follow_all(const struct cli_options *o, const struct cli_config *config,
                                  struct base_error *error) {
    struct redis_url url;
    struct cli_options own = *o;
    struct sigaction action = {.sa_handler = on_signal};
    uint64_t from_ns = from_of(&o->ask.from);
    if (cli_store_url(o, config, &url, error) != 0)
        return CLI_USAGE;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    struct follow *f =
        follow_new(&url, config->store_prefix, o->ask.probe, from_ns, take, &own, error);
    if (f == NULL)
        return CLI_FAILED;
    while (!stopped && !ferror(stdout))
        follow_turn(f);
    follow_free(f);
    return CLI_DONE;
}

int cli_alarms(const struct cli_options *o) {
    struct base_error error = {.why = ""};
    struct cli_config config;
    enum cli_status status = CLI_USAGE;
    cli_config_init(&config);
    if (o->file_count > 0)
        base_error_set(&error, "alarms", "found \"%s\"; it takes options only", o->files[0]);
    else if (cli_load_config(o, &config, &error) == 0)
        status = follow_all(o, &config, &error);
    if (status != CLI_DONE)
        base_error_print(&error);
    cli_config_free(&config);
    return status;
}
