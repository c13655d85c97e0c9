/*
 * filter: does a connection, a transition or an alarm belong to what was asked for?
 *
 * A struct query_match is a struct query_filter made ready: a client's name resolved to what it
 * stands for, services judged once each.
 */
#ifndef QUERY_FILTER_H
#define QUERY_FILTER_H

#include "names.h"

struct query_match {
    const struct query_filter *filter;
    const struct query_names *names;
};

/* 0, or -1 with `error` where a client's name is not known. An IP alone reads one partition: then
 * true in *exact and the address in *client. */
int query_match_init(struct query_match *m, const struct query_filter *f,
                     const struct query_names *names, struct base_error *error);
bool query_match_exact_client(const struct query_match *m, struct base_addr *client);

bool query_match_places(const struct query_match *m, const struct query_place *client,
                        const struct query_place *server);
bool query_match_service(const struct query_match *m, const char *service); /* and its CMDB */
bool query_match_states(const struct query_match *m, const uint8_t state[2]);

#endif
