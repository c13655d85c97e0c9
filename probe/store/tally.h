/*
 * tally: the report's two tables: what each host met with, and how each service's connections
 * stand.
 *
 * Strangers choose the addresses and ports: the hashes are keyed with a secret, and both tables
 * have a cap. Walking a table goes by order of arrival, so that the same capture gives the same
 * report.
 */
#ifndef SPANWATCH_STORE_TALLY_H
#define SPANWATCH_STORE_TALLY_H

#define HASH_NONFATAL_OOM 1 /* by default uthash ends the program */
#include <uthash.h>

#include "spanwatch/event.h"
#include "spanwatch/service.h"

enum { STORE_HOSTS_MAX = 65536, STORE_PAIRS_MAX = 16384 };

struct store_host {
    struct base_addr address; /* the key */
    /* of the connections in which it was the client */
    uint64_t connections, refused, timeouts, resets, packets, retransmits, zero_windows;
    /* sent by it, as client or server */
    uint64_t resets_sent, refusals_sent;
    UT_hash_handle hh;
};

struct store_hosts {
    struct store_host *table;
    uint64_t seed[2];
    uint64_t made_room; /* entries given up for others */
    uint64_t unkept;    /* events that found no memory */
};

/* The host's entry, made when there is none; NULL when memory is short. At the cap the less
 * troubled half goes. */
struct store_host *store_hosts_entry(struct store_hosts *h, unsigned family,
                                     const uint8_t octet[16]);

/* How much went wrong for a client; 0 is nothing. For comparing only. */
uint64_t store_host_score(const struct store_host *x);

void store_hosts_fini(struct store_hosts *h);

struct store_pair_key {
    char service[SERVICE_NAME_MAX]; /* zeros behind the name */
    uint8_t state[2];
};

struct store_pair {
    struct store_pair_key key;
    uint64_t connections, client_bytes, server_bytes;
    UT_hash_handle hh;
};

struct store_pairs {
    struct store_pair *table;
    uint64_t seed[2];
    uint64_t unlisted; /* connections that found no room (cap, or memory) */
};

void store_pairs_add(struct store_pairs *p, const char *service, const struct event_connection *n);
void store_pairs_fini(struct store_pairs *p);

#endif
