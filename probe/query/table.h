/*
 * table: connections by their flow, as one partition of one probe shows them at one moment.
 *
 * Steps of the stream go in, in order; what is not CLOSED/CLOSED stays. Open addressing, memory
 * grows by doubling; places of ended connections are used again. Pure: no hiredis.
 */
#ifndef QUERY_TABLE_H
#define QUERY_TABLE_H

#include "entry.h"

enum query_conn_flag {
    QUERY_LIVE = 1,   /* the place is in use */
    QUERY_OPENED = 2, /* its first transition was read: nothing about it is unknown */
    QUERY_WANTED = 4, /* older transitions of it are looked for */
    QUERY_TURNED = 8, /* its roles were corrected: older ones lie with its server's address */
    QUERY_KNOWN = 16  /* and the bit above, by side: since_ns is known and stays as it is */
};

struct query_conn {
    uint64_t flow;
    struct query_place client, server;
    uint64_t since_ns[2]; /* 0: not known */
    uint64_t pair_ns;     /* since when the pair holds; 0: not known */
    uint64_t anchor_ns;   /* the oldest moment at which it is known: older ones are looked for */
    uint64_t turned_ns;   /* with QUERY_TURNED: when */
    uint32_t service;     /* number in the question's services */
    uint8_t state[2], inferred, flags;
};

/* A transition as the stream has it. */
struct query_step {
    uint64_t ts_ns, flow;
    struct query_place client, server;
    uint32_t service;
    uint8_t state[2], was[2];
    enum tcp_cause cause;
    enum tcp_inferred inferred;
};

struct query_table {
    struct query_conn *conn;
    uint32_t *slot;                           /* number of the connection and one; 0: free */
    uint32_t used, room, live, slots, unused; /* unused: first of the places to be used again */
    uint64_t base_ns; /* the keyframe's time: what is of that time may be in it already; 0: none */
    uint64_t torn;    /* steps that do not follow from what came before: entries are missing */
};

void query_table_fini(struct query_table *t);
void query_table_clear(struct query_table *t);

struct query_conn *query_table_find(const struct query_table *t, uint64_t flow);
/* A member of the keyframe, zeroed but for its flow. NULL when memory is short. */
struct query_conn *query_table_add(struct query_table *t, uint64_t flow);
void query_table_remove(struct query_table *t, uint64_t flow);

/* One step, `wanted` or not: what is not wanted is only forgotten. False when memory is short. */
bool query_table_step(struct query_table *t, const struct query_step *s, bool wanted);

/* A step older than what the table shows, ascending: fills since_ns and inferred of a connection
 * that is QUERY_WANTED. */
void query_table_older(struct query_table *t, const struct query_step *s);

/* The strongest of two reasons (design 1.2: the first that applies). */
uint8_t query_stronger(uint8_t a, uint8_t b);

#endif
