/*
 * The verb `check`: say whether configuration files are right, and what they mean.
 *
 * Input: the files that options name. Output: what was understood, in words, to standard output; or
 * an error that says where which file is wrong.
 */
#include "alarms.h"

#include "spanwatch/alarm.h"

struct listing {
    FILE *out;
    size_t entries;
};

void cli_print_network(const struct base_addr *a, unsigned prefix_length, FILE *out) {
    char address[BASE_ADDR_TEXT];
    base_addr_format(a, address);
    fputs(address, out);
    if (prefix_length < (a->family == 4 ? 32u : 128u))
        fprintf(out, "/%u", prefix_length);
}

static void print_entry(void *context, const struct service_entry *e) {
    struct listing *l = context;
    fputs("  ", l->out);
    cli_print_network(&e->address, e->prefix_length, l->out);
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

int cli_check(const struct cli_options *o) {
    struct base_error error;
    struct cli_config config;
    struct service_table *services = NULL;
    struct cmdb *cmdb = NULL;
    struct alarm_rules *rules = NULL;
    int result = cli_load_config(o, &config, &error);
    if (result == 0 && o->file_count > 0)
        result = base_error_set(&error, "check",
                                "found \"%s\"; files are given with --config, --services, --cmdb, "
                                "--alarms and --allow",
                                o->files[0]);
    if (result == 0 && (rules = cli_load_rules(o->alarms, o->allow, &error)) == NULL)
        result = -1;
    if (result == 0 && (services = cli_load_services(o, &error)) == NULL)
        result = -1;
    if (result == 0 && (cmdb = cli_load_cmdb(o, &error)) == NULL)
        result = -1;
    if (result == 0) {
        printf("configuration: %s\n", o->config != NULL ? o->config : "no file; defaults");
        cli_config_print(&config, stdout);
        print_services(o, services, stdout);
        cli_print_cmdb(o, services, cmdb, stdout);
        cli_print_rules(o, rules, stdout);
    } else {
        base_error_print(&error);
    }
    alarm_rules_free(rules);
    service_free(services);
    cmdb_free(cmdb);
    cli_config_free(&config);
    return result == 0 ? CLI_DONE : CLI_USAGE;
}
