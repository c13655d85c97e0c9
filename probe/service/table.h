/*
 * What the files of this room share: the entries as they are sorted for lookups.
 */
#ifndef SERVICE_TABLE_H
#define SERVICE_TABLE_H

#include "spanwatch/service.h"

enum { SERVICE_ANY_VLAN = 0xffff, SERVICE_MAX_VLAN = 4094, SERVICE_PORTS = 65536 };

/*
 * An entry's address as two numbers and its rank (range width, VLAN, lowest port: the order of
 * preference, packed), so that comparing takes three comparisons.
 */
struct service_rule {
    uint64_t hi, lo, rank;
    uint16_t low, high, vlan; /* vlan: SERVICE_ANY_VLAN without */
    uint8_t family, prefix_length;
    uint32_t index; /* of the entry in its file, for messages */
    uint32_t load;  /* which service_load brought it */
    char *name;     /* owned by the table */
};

/* The rules of one family and prefix length: a part of the sorted array. */
struct service_group {
    uint8_t family, prefix_length;
    size_t first, count;
};

struct service_table {
    struct service_rule *rules; /* sorted by service_rule_compare */
    size_t rule_count;
    struct service_group group[33 + 129];
    size_t group_count;
    uint32_t loads;
    char *known_names; /* of the services database, NUL after NUL; offset 0 is the empty name */
    uint32_t known_offset[SERVICE_PORTS]; /* into known_names; 0: the port is not known */
};

uint64_t service_rank(uint16_t low, uint16_t high, uint16_t vlan);

/* Reads the services database into known_*. False when memory is short. */
bool service_read_database(struct service_table *t);

/* Fill hi and lo from an address. */
void service_rule_address(struct service_rule *r, const struct base_addr *a);

/*
 * Sort the rules, and look for two that would match the same packet with equal right: then *first
 * and *second tell which (the one later in its file second), and the result is false.
 */
bool service_sort(struct service_rule *rules, size_t n, const struct service_rule **first,
                  const struct service_rule **second);

/* Take the sorted rules into the table, in place of those it had (whose names live on in the new
 * array). */
void service_take(struct service_table *t, struct service_rule *rules, size_t n);

#endif
