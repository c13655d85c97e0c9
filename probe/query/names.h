/*
 * names: what people wrote about clients and services (the hashes `clients` and `cmdb`).
 *
 * Input: the store's hashes, read once a question. Output: a client's name by the longest prefix
 * that holds it, a service's CMDB attributes. A value that is no JSON object is left out and
 * counted.
 */
#ifndef QUERY_NAMES_H
#define QUERY_NAMES_H

#include "link.h"

#include "spanwatch/query.h"

struct query_names;

/* NULL with `error`. */
struct query_names *query_names_new(struct query_link *l, const char *prefix,
                                    struct base_error *error);
void query_names_free(struct query_names *n);

size_t query_names_faults(const struct query_names *n);

/* The client's name, "" for none. */
const char *query_names_client(const struct query_names *n, const struct query_place *client);

/* The networks that bear a name: their number; with exactly one, it is put into *addr. */
size_t query_names_find(const struct query_names *n, const char *name, struct base_addr *addr,
                        unsigned *prefix_length);

/* A service's attributes as compact JSON, "" for none. */
const char *query_names_cmdb(const struct query_names *n, const char *service);

/* One of them as text: a string itself, another value its JSON; "" for none. */
const char *query_names_value(const struct query_names *n, const char *service, const char *key,
                              char *out, size_t size);

#endif
