/*
 * cmdb: what the configuration management database says of services and clients (design 1.5).
 *
 * Input: JSON or CSV files, or pairs of texts (what the store's hashes hold). Output: attributes of
 * a service and the name of a client. A cmdb is filled first (cmdb_load, or cmdb_put and then
 * cmdb_sort); from then on it is read-only and may be shared by threads. Lookups do not allocate.
 * Owner: the caller; texts die with the cmdb.
 */
#ifndef SPANWATCH_CMDB_H
#define SPANWATCH_CMDB_H

#include "spanwatch/base.h"

enum {
    CMDB_NAME_MAX = 64,  /* octets of a service's or client's name, and the NUL */
    CMDB_KEY_MAX = 64,   /* of an attribute's name, and the NUL */
    CMDB_JSON_MAX = 2048 /* of all attributes of one service or client as JSON, and the NUL */
};

struct cmdb;

struct cmdb *cmdb_new(void); /* empty, and ready; NULL when memory is short */
void cmdb_free(struct cmdb *c);

/*
 * Add a file. One whose name ends in ".csv" is CSV (RFC 4180, commas, UTF-8, a header row) with a
 * column `service` (each row a service, the other columns its attributes) or a column `address`
 * (each row a client, with a column `name`); an empty cell is no attribute. Any other file is JSON:
 *
 *   {"cmdb":{"https":{"owner":"web-team","tier":1}},
 *    "clients":[{"address":"10.7.0.0/24","name":"pos-terminals","site":"Ulm"}]}
 *
 * Attributes are texts, numbers and truth values, kept as they are. Returns 0, or -1 with `error`
 * (file:line, key path or row and column, what was found, what is allowed): unknown keys, wrong
 * types, names that are empty, too long, not UTF-8 or with control characters, host bits in a
 * network, a service or address twice, more than CMDB_JSON_MAX of attributes, a file larger than
 * 16 MiB. After -1 the cmdb can only be freed.
 */
int cmdb_load(struct cmdb *c, const char *path, struct base_error *error);

/* What the store's hashes hold: a service's attributes, and a client's (with "name") under its
 * address or network. False when it is not what cmdb_load would have taken, or memory is short. */
bool cmdb_put_service(struct cmdb *c, const char *service, const char *json);
bool cmdb_put_client(struct cmdb *c, const char *address, const char *json);

/* Make it ready after cmdb_put. Of several entries of one name or address the first one stays. */
void cmdb_sort(struct cmdb *c);

/* Whether a file spoke of services, or of clients, at all: a CSV file speaks of one of them only,
 * JSON of both. */
bool cmdb_has_services(const struct cmdb *c);
bool cmdb_has_clients(const struct cmdb *c);

/* The attributes of a service as one JSON object, {"owner":"web-team","tier":1}; NULL without. */
const char *cmdb_service(const struct cmdb *c, const char *service);

/* One client, or a network of them, as understood. */
struct cmdb_client {
    struct base_addr address; /* the network; a single client's prefix has all bits */
    unsigned prefix_length;
    const char *name;
    const char *json; /* all attributes, the name first: {"name":"pos-terminals","site":"Ulm"} */
};

/* The entry with the longest prefix that holds the address. False when there is none. */
bool cmdb_client(const struct cmdb *c, const struct base_addr *address, struct cmdb_client *found);

/* The name of the same; NULL when there is none. `c` may be NULL here. */
const char *cmdb_client_name(const struct cmdb *c, const struct base_addr *address);

/* One attribute of such a JSON object as text: a number or truth value as JSON spells it. False
 * when it has no such key, or `out` is too small. */
bool cmdb_attribute(const char *json, const char *key, char *out, size_t size);

/* Every service by name, and every client in the order in which lookups prefer them (IPv4 before
 * IPv6). */
typedef void cmdb_visit_service(void *context, const char *service, const char *json);
typedef void cmdb_visit_client(void *context, const struct cmdb_client *client);
void cmdb_each_service(const struct cmdb *c, cmdb_visit_service *visit, void *context);
void cmdb_each_client(const struct cmdb *c, cmdb_visit_client *visit, void *context);
size_t cmdb_services(const struct cmdb *c);
size_t cmdb_clients(const struct cmdb *c);

/* "10.7.0.17", "10.7.0.0/24", "2001:db8::/32": the key of the store's hash. */
enum { CMDB_CIDR_TEXT = BASE_ADDR_TEXT + 4 };
const char *cmdb_cidr_format(const struct cmdb_client *client, char out[CMDB_CIDR_TEXT]);

#endif
