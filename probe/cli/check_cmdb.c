/*
 * What `check` says of the CMDB, and how it fits the services.
 *
 * Input: the tables as loaded. Output: words for a person: every service's attributes, every
 * client's name, services without attributes, and attributes of services that no server can have
 * (most likely a name that is spelled in two ways). Owner: the caller's tables; one list of names
 * for the time of the call.
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* Names of services, borrowed from the table. */
struct names {
    const char **name;
    size_t count, room;
    bool short_of_memory;
};

static void add_name(struct names *n, const char *name) {
    if (n->count == n->room) {
        size_t room = n->room > 0 ? 2 * n->room : 1024;
        const char **grown = reallocarray(n->name, room, sizeof *grown);
        if (grown == NULL) {
            n->short_of_memory = true;
            return;
        }
        n->name = grown;
        n->room = room;
    }
    n->name[n->count++] = name;
}

static void add_entry(void *context, const struct service_entry *e) {
    add_name(context, e->name);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort_names(struct names *n) {
    if (n->count > 0)
        qsort(n->name, n->count, sizeof *n->name, compare_names);
}

static void print_attributes(void *context, const char *service, const char *json) {
    fprintf(context, "  %s: %s\n", service, json);
}

static void print_client(void *context, const struct cmdb_client *client) {
    char cidr[CMDB_CIDR_TEXT];
    fprintf(context, "  %s: %s\n", cmdb_cidr_format(client, cidr), client->json);
}

/* Configured services of which the CMDB says nothing. */
static void print_missing(const struct service_table *services, const struct cmdb *cmdb,
                          FILE *out) {
    struct names n = {0};
    size_t missing = 0;
    service_each(services, add_entry, &n);
    sort_names(&n);
    for (size_t i = 0; i < n.count; i++) {
        bool again = i > 0 && strcmp(n.name[i - 1], n.name[i]) == 0;
        if (again || cmdb_service(cmdb, n.name[i]) != NULL)
            continue;
        fprintf(out, "%s%s", missing++ > 0 ? ", " : "  services without attributes: ", n.name[i]);
    }
    fputs(missing > 0 ? "\n" : "", out);
    free(n.name);
}

struct unused {
    const struct names *known;
    FILE *out;
    size_t count;
};

/* Is this the name that a port has when nobody knows it: tcp/PORT? */
static bool is_port_name(const char *name) {
    uint64_t port;
    return strncmp(name, "tcp/", 4) == 0 && base_uint_parse(name + 4, UINT16_MAX, &port);
}

static void print_unused(void *context, const char *service, const char *json) {
    struct unused *u = context;
    const struct names *n = u->known;
    (void)json;
    if (is_port_name(service) || (n->count > 0 && bsearch(&service, n->name, n->count,
                                                          sizeof *n->name, compare_names) != NULL))
        return;
    fprintf(u->out, "%s%s", u->count++ > 0 ? ", " : "  names that no service has: ", service);
}

/* Attributes of names that neither the services file nor the system's database gives. */
static void print_strangers(const struct service_table *services, const struct cmdb *cmdb,
                            FILE *out) {
    static const struct base_addr none = {.family = 4};
    char buffer[SERVICE_NAME_MAX];
    struct names n = {0};
    struct unused u = {.known = &n, .out = out};
    service_each(services, add_entry, &n);
    for (unsigned port = 0; port <= UINT16_MAX; port++)
        if (service_port_known(services, (uint16_t)port))
            add_name(&n, service_name(services, &none, (uint16_t)port, -1, buffer));
    sort_names(&n);
    if (!n.short_of_memory)
        cmdb_each_service(cmdb, print_unused, &u);
    fputs(u.count > 0 ? "\n" : "", out);
    free(n.name);
}

void cli_print_cmdb(const struct cli_options *o, const struct service_table *services,
                    const struct cmdb *cmdb, FILE *out) {
    if (o->cmdb_count == 0)
        return;
    fputs("cmdb:", out);
    for (size_t i = 0; i < o->cmdb_count; i++)
        fprintf(out, "%s %s", i > 0 ? "," : "", o->cmdb[i]);
    fprintf(out, "; attributes of %zu services, names of %zu clients or networks of them\n",
            cmdb_services(cmdb), cmdb_clients(cmdb));
    cmdb_each_service(cmdb, print_attributes, out);
    print_missing(services, cmdb, out);
    print_strangers(services, cmdb, out);
    cmdb_each_client(cmdb, print_client, out);
}
