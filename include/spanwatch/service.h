/*
 * service: names for servers.
 *
 * Input: services.json (design 1.5) and the system's services database. Output: the name of a
 * server endpoint. A table is built once and read-only afterwards. Lookups do not allocate.
 */
#ifndef SPANWATCH_SERVICE_H
#define SPANWATCH_SERVICE_H

#include "spanwatch/base.h"

enum { SERVICE_NAME_MAX = 64 /* octets, and the NUL; longer names are refused */ };

struct service_table;

/* A table with the system's services database only. NULL when memory is short. */
struct service_table *service_new(void);

/*
 * Add the entries of a services file:
 * {"services":[{"server":"10.0.0.2","port":443,"vlan":20,"name":"https"},...]}. port is a number or
 * "LOW-HIGH". Returns 0, or -1 with `error` (file:line, key path, what was found, what is allowed)
 * and the table unchanged. Refused: unknown keys, the same server+port+vlan twice, two ranges of
 * equal length that overlap on one prefix, host bits in a CIDR, names that are empty, too long or
 * not UTF-8.
 */
int service_load(struct service_table *t, const char *path, struct base_error *error);

/*
 * The configured name: longest address prefix first, then the narrowest port range, then an entry
 * with a VLAN. vlan is the innermost VLAN id, -1 without. NULL when no entry matches. This is the
 * evidence that roles use.
 */
const char *service_configured(const struct service_table *t, const struct base_addr *server,
                               uint16_t port, int vlan);

/* Never NULL: configured, else the services database's name for PORT/tcp, else "tcp/PORT" written
 * to `buffer`. */
const char *service_name(const struct service_table *t, const struct base_addr *server,
                         uint16_t port, int vlan, char buffer[SERVICE_NAME_MAX]);

/* True when the services database names PORT/tcp. */
bool service_port_known(const struct service_table *t, uint16_t port);

/* One entry of the services files, as understood. */
struct service_entry {
    struct base_addr address; /* the network; a single server's prefix has all bits */
    unsigned prefix_length;
    uint16_t low, high; /* ports, both included */
    int vlan;           /* -1: any */
    const char *name;
};

/* Every entry, in the order in which lookups prefer them (IPv4 before IPv6). The entry dies when
 * `visit` returns. */
typedef void service_visit(void *context, const struct service_entry *e);
void service_each(const struct service_table *t, service_visit *visit, void *context);

void service_free(struct service_table *t);

#endif
