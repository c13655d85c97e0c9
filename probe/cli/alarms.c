/*
 * The alarms of a run: what the engine needs from the other rooms.
 *
 * Input: options, events. Output: alarm messages to the verb's sink. A scope is a number of its
 * worker's decoder: the worker's number goes into its upper half, so that two of them cannot be
 * taken for each other, and record can tell them apart.
 */
#include "alarms.h"

#include "spanwatch/alarm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cli_alarms_load(struct cli_alarms *a, const struct cli_options *o, struct base_error *error) {
    *a = (struct cli_alarms){.options = o};
    a->rules = cli_load_rules(o->alarms, o->allow, error);
    return a->rules != NULL ? 0 : -1;
}

static const char *name_of(void *alarms, const struct event_flow *f) {
    const struct cli_alarms *a = alarms;
    const struct record_context *c = &a->context[f->scope >> 16];
    const struct decode_scope *layers = decode_scope(c->decoder, f->scope & UINT16_MAX);
    struct base_addr server = {.family = f->family};
    int vlan = -1;
    memcpy(server.octet, f->server, sizeof server.octet);
    for (unsigned i = 0; i < layers->layers; i++) /* the innermost VLAN decides */
        if (layers->layer[i].kind == DECODE_LAYER_VLAN)
            vlan = (int)layers->layer[i].id;
    return service_configured(c->services, &server, f->server_port, vlan);
}

static void vlan_of(void *alarms, uint32_t scope, char out[ALARM_VLAN_TEXT]) {
    const struct cli_alarms *a = alarms;
    const struct record_context *c = &a->context[scope >> 16];
    char text[RECORD_SCOPE_TEXT];
    size_t n = record_vlan_text(decode_scope(c->decoder, scope & UINT16_MAX), text);
    snprintf(out, ALARM_VLAN_TEXT, "%.*s", (int)n, text);
}

static const char *interface_of(void *alarms, unsigned iface) {
    const struct cli_alarms *a = alarms;
    const struct cli_options *o = a->options;
    if (a->capture != NULL)
        return capture_interface_name(a->capture, iface);
    return iface < o->interface_count ? o->interfaces[iface] : NULL;
}

static bool is_named(void *alarms, const struct base_addr *client) {
    const struct cmdb *c = ((const struct cli_alarms *)alarms)->context->cmdb;
    struct cmdb_client found;
    return c != NULL && cmdb_client(c, client, &found) &&
           found.prefix_length == (client->family == 6 ? 128 : 32);
}

int cli_alarms_start(struct cli_alarms *a, const struct record_context *context, unsigned sources,
                     const struct cli_config *config, alarm_sink *sink, void *sink_context,
                     struct base_error *error) {
    struct alarm_config engine = {.rules = a->rules,
                                  .service = name_of,
                                  .vlan = vlan_of,
                                  .interface = interface_of,
                                  .named = is_named,
                                  .service_context = a,
                                  .sink = sink,
                                  .context = sink_context,
                                  .sources = sources,
                                  .max_flows = config->max_flows,
                                  .history_hours = config->alarm_history_hours,
                                  .files = a->capture != NULL};
    a->context = context;
    a->engine = alarm_new(&engine);
    return a->engine != NULL ? 0 : base_error_set(error, "alarms", "out of memory");
}

void cli_alarms_take(struct cli_alarms *a, size_t source, const struct event *e) {
    if (a->engine == NULL)
        return;
    if (source == 0 || e->flow.scope == 0) {
        alarm_event(a->engine, e);
        return;
    }
    struct event own = *e;
    own.flow.scope |= (uint32_t)source << 16;
    alarm_event(a->engine, &own);
}

enum { WAITING_MOST = 8192 }; /* some 20 MB: the output stands still */

void cli_alarms_keep(void *alarms, const struct alarm *m) {
    static char json[RECORD_ALARM_MAX]; /* one thread */
    struct cli_alarms *a = alarms;
    size_t n = record_alarm_json(a->context, m, json);
    struct cli_alarm_text *t = a->waiting < WAITING_MOST ? malloc(sizeof *t + n) : NULL;
    if (t == NULL) {
        a->left_out++;
        return;
    }
    t->next = NULL;
    t->octets = n;
    memcpy(t->json, json, n);
    if (a->last != NULL)
        a->last->next = t;
    else
        a->first = t;
    a->last = t;
    a->waiting++;
}

const struct cli_alarm_text *cli_alarms_first(const struct cli_alarms *a) {
    return a->first;
}

void cli_alarms_drop(struct cli_alarms *a) {
    struct cli_alarm_text *t = a->first;
    a->first = t->next;
    if (a->first == NULL)
        a->last = NULL;
    a->waiting--;
    free(t);
}

void cli_alarms_store(struct store_redis *store, const struct record_context *context,
                      struct alarm *m) {
    static char json[RECORD_ALARM_MAX]; /* one thread */
    m->seq = store_redis_alarm_seq(store);
    size_t n = record_alarm_json(context, m, json) - 1; /* without the newline */
    json[n] = '\0';
    store_redis_alarm(store,
                      &(struct store_redis_alarm){
                          .ts_ns = m->ts_ns,
                          .seq = m->seq,
                          .kind = alarm_kind_name((enum alarm_kind)m->kind),
                          .severity = record_alarm_severity((enum alarm_severity)m->severity),
                          .status = record_alarm_status((enum alarm_status)m->status),
                          .json = json,
                          .json_octets = n});
}

int cli_alarms_reload(struct cli_alarms *a, struct base_error *error) {
    struct alarm_rules *fresh = cli_load_rules(a->options->alarms, a->options->allow, error);
    if (fresh == NULL)
        return -1;
    alarm_rules_free(a->fresh);
    a->fresh = fresh;
    return 0;
}

void cli_alarms_use(struct cli_alarms *a) {
    if (a->fresh == NULL)
        return;
    if (a->engine != NULL) {
        alarm_use_rules(a->engine, a->fresh);
        alarm_services_changed(a->engine);
    }
    alarm_rules_free(a->rules);
    a->rules = a->fresh;
    a->fresh = NULL;
}

static void tell_full(const char *table, uint64_t times, uint64_t *told, bool at_end) {
    if (times == 0 || (*told != 0 && !at_end))
        return;
    *told = times;
    if (at_end)
        base_warn("alarms: the table of %s was full, %llu times: what found no room was not judged",
                  table, (unsigned long long)times);
    else
        base_warn("alarms: the table of %s is full: what finds no room is not judged", table);
}

void cli_alarms_tell_bounds(struct cli_alarms *a, bool at_end) {
    if (a->engine == NULL)
        return;
    const struct alarm_counters *c = alarm_counters(a->engine);
    struct alarm_counters *told = &a->told;
    tell_full("services", c->services_full, &told->services_full, at_end);
    tell_full("clients in trouble", c->clients_full, &told->clients_full, at_end);
    tell_full("clients by service", c->pairs_full, &told->pairs_full, at_end);
    tell_full("alarms", c->alarms_full, &told->alarms_full, at_end);
    tell_full("baselines", c->baselines_full, &told->baselines_full, at_end);
}

void cli_alarms_fini(struct cli_alarms *a) {
    while (a->first != NULL)
        cli_alarms_drop(a);
    alarm_free(a->engine);
    alarm_rules_free(a->rules);
    alarm_rules_free(a->fresh);
    *a = (struct cli_alarms){0};
}
