/*
 * The verb `check`, and the loading of configuration that it shares with `read`.
 *
 * Input: the files that options name. Output: what was understood, in words, to standard output; or
 * an error that says where which file is wrong.
 */
#include <stdlib.h>

#include "alarms.h"

#include "spanwatch/alarm.h"

int cli_load_config(const struct cli_options *o, struct cli_config *config,
                    struct base_error *error) {
    return cli_config_load(config, o->config, o->set, o->set_count, error);
}

struct service_table *cli_load_services(const struct cli_options *o, struct base_error *error) {
    struct service_table *t = service_new();
    if (t == NULL) {
        base_error_set(error, "services", "out of memory");
        return NULL;
    }
    if (o->services != NULL && service_load(t, o->services, error) != 0) {
        service_free(t);
        return NULL;
    }
    return t;
}

struct cmdb *cli_load_cmdb(const struct cli_options *o, struct base_error *error) {
    struct cmdb *c = cmdb_new();
    if (c == NULL)
        base_error_set(error, "cmdb", "out of memory");
    for (size_t i = 0; i < o->cmdb_count && c != NULL; i++) {
        if (cmdb_load(c, o->cmdb[i], error) == 0)
            continue;
        cmdb_free(c);
        c = NULL;
    }
    return c;
}

int cli_check_files(const struct cli_options *o, struct base_error *error) {
    struct alarm_rules *rules = cli_load_rules(o->alarms, o->allow, error);
    alarm_rules_free(rules);
    return rules != NULL ? 0 : -1;
}

struct listing {
    FILE *out;
    size_t entries;
};

static void print_entry(void *context, const struct service_entry *e) {
    struct listing *l = context;
    char address[BASE_ADDR_TEXT];
    base_addr_format(&e->address, address);
    fprintf(l->out, "  %s", address);
    if (e->prefix_length < (e->address.family == 4 ? 32u : 128u))
        fprintf(l->out, "/%u", e->prefix_length);
    fprintf(l->out, e->low == e->high ? " port %u" : " ports %u", e->low);
    if (e->low != e->high)
        fprintf(l->out, " to %u", e->high);
    if (e->vlan >= 0)
        fprintf(l->out, " in VLAN %d", e->vlan);
    fprintf(l->out, " is %s\n", e->name);
    l->entries++;
}

static void print_services(const struct cli_options *o, const struct service_table *t, FILE *out) {
    struct listing l = {.out = out};
    unsigned known = 0;
    for (unsigned port = 0; port <= UINT16_MAX; port++)
        known += service_port_known(t, (uint16_t)port);
    fprintf(out, "services: %s; the first that fits names a server\n",
            o->services != NULL ? o->services : "no file");
    service_each(t, print_entry, &l);
    fprintf(out,
            "  %zu entries; then the system's services database (%u TCP ports); then tcp/PORT\n",
            l.entries, known);
}

/* The rules were loaded without fault; what they say stands in them. */
static void print_rules(const char *what, const char *path, FILE *out) {
    if (path != NULL)
        fprintf(out, "%s: %s, in order\n", what, path);
}

int cli_check(const struct cli_options *o) {
    struct base_error error;
    struct cli_config config;
    struct service_table *services = NULL;
    struct cmdb *cmdb = NULL;
    int result = cli_load_config(o, &config, &error);
    if (result == 0 && o->file_count > 0)
        result = base_error_set(&error, "check",
                                "found \"%s\"; files are given with --config and --services",
                                o->files[0]);
    if (result == 0)
        result = cli_check_files(o, &error);
    if (result == 0 && (services = cli_load_services(o, &error)) == NULL)
        result = -1;
    if (result == 0 && (cmdb = cli_load_cmdb(o, &error)) == NULL)
        result = -1;
    if (result == 0) {
        printf("configuration: %s\n", o->config != NULL ? o->config : "no file; defaults");
        cli_config_print(&config, stdout);
        print_services(o, services, stdout);
        cli_print_cmdb(o, services, cmdb, stdout);
        print_rules("alarms", o->alarms, stdout);
        print_rules("allow", o->allow, stdout);
    } else {
        base_error_print(&error);
    }
    service_free(services);
    cmdb_free(cmdb);
    cli_config_free(&config);
    return result == 0 ? CLI_DONE : CLI_USAGE;
}
