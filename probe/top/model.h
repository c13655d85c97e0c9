/*
 * model: what the store said, as the screen needs it.
 *
 * Input: rows of query.h's answers. Output: bounded arrays of services, clients, alarms, and one
 * client's transitions. Pure but for jansson, which takes the rows' JSON apart. Owner: the caller;
 * one thread at a time.
 */
#ifndef TOP_MODEL_H
#define TOP_MODEL_H

#include <stdatomic.h>

#include "spanwatch/query.h"

enum {
    TOP_SERVICES = 2048, /* kept; more are counted */
    TOP_CLIENTS = 2048,  /* those that come first in the order asked for */
    TOP_ALARMS = 512,
    TOP_EVENTS = 1000, /* of a timeline: the newest */
    TOP_NAME = 64,
    TOP_TEXT = 256
};

/* What a connection's pair of states amounts to, for a column of the screen. */
enum top_class {
    TOP_ESTABLISHED, /* both ends */
    TOP_HALF_OPEN,   /* a SYN or SYN-ACK that waits for its answer */
    TOP_HALF_CLOSED, /* one end has closed, the other one not (CLOSE_WAIT, FIN_WAIT_2) */
    TOP_TIME_WAIT,
    TOP_OTHER, /* on their way: FIN_WAIT_1, CLOSING, LAST_ACK, one end unknown */
    TOP_CLASSES
};

/* Of "CLIENT/SERVER"; TOP_OTHER for what is no pair of states. */
enum top_class top_class_of(const char *pair);

struct top_counts {
    uint64_t of[TOP_CLASSES], total;
};

struct top_pair { /* "ESTABLISHED/CLOSE_WAIT" and how many */
    char states[2 * 12 + 2];
    uint64_t count;
};

struct top_service {
    char name[TOP_NAME];
    struct top_counts counts;
    struct top_pair *pair; /* owned by the data */
    size_t pairs;
};

struct top_client {
    char address[BASE_ADDR_TEXT];
    char name[TOP_NAME];     /* "" for none */
    char services[TOP_TEXT]; /* separated by blanks; cut when long */
    struct top_counts counts;
    uint64_t last_ns;
};

struct top_alarm {
    char kind[TOP_NAME], severity[TOP_NAME], where[TOP_TEXT], summary[TOP_TEXT];
    uint64_t since_ns;
    char *json; /* the whole record; owned by the data */
};

struct top_event { /* one line of a timeline */
    uint64_t ts_ns;
    char client[BASE_ENDPOINT_TEXT], server[BASE_ENDPOINT_TEXT], service[TOP_NAME];
    char states[2 * 12 + 2], cause[TOP_NAME];
};

/* Orders in which lists can stand. */
enum top_order {
    TOP_BY_TROUBLE, /* half-open and half-closed, then all */
    TOP_BY_TOTAL,
    TOP_BY_HALF_OPEN,
    TOP_BY_HALF_CLOSED,
    TOP_BY_LAST, /* the last seen first; of services as TOP_BY_TOTAL */
    TOP_BY_NAME,
    TOP_ORDERS
};

/* Everything of one look at the store. */
struct top_data {
    uint64_t at_ns;                /* the moment that it shows */
    char probes[TOP_TEXT];         /* names */
    size_t probe_count, gap_count; /* gaps within the moment asked for */
    char gap[TOP_TEXT];            /* why the newest of them is there */
    char warning[TOP_TEXT];        /* the first; "" for none */
    uint64_t connections;          /* in all services */
    struct top_service *services;
    size_t service_count, service_room;
    uint64_t services_left_out;
    struct top_client
        *clients; /* of those that match the filter the first in the order asked for */
    size_t client_count, client_room;
    uint64_t clients_seen; /* that match */
    bool clients_asked;    /* false: this look was about a timeline only */
    struct top_alarm *alarms;
    size_t alarm_count, alarm_room;
    uint64_t alarms_left_out;
    char timeline_of[BASE_ADDR_TEXT]; /* the client asked for; "" for none */
    struct top_event *events;         /* a ring: event_first is the oldest */
    size_t event_count, event_first;
    uint64_t events_seen;
    bool short_of_memory;
};

struct top_data *top_data_new(void);
void top_data_free(struct top_data *d);

/* Event `i`, from the oldest one kept. */
const struct top_event *top_event_at(const struct top_data *d, size_t i);

/* Is `a` before `b`? Equals by name or address. */
bool top_service_before(const struct top_service *a, const struct top_service *b,
                        enum top_order order);
bool top_client_before(const struct top_client *a, const struct top_client *b,
                       enum top_order order);

/* Does the text that the user filters by stand in one of the entry's texts? Upper and lower case
 * are the same. "" matches all. */
bool top_service_matches(const struct top_service *s, const char *filter);
bool top_client_matches(const struct top_client *c, const char *filter);
bool top_alarm_matches(const struct top_alarm *a, const char *filter);

/* ---- filling ---- */

enum { TOP_COLUMNS = 10 };

/* Where one answer's rows go. */
struct top_intake {
    struct top_data *data;
    enum query_what what;
    enum top_order order;    /* of clients: who is kept */
    const char *filter;      /* borrowed */
    const atomic_bool *stop; /* borrowed; true: no more rows are wanted. NULL: all are */
    int at[TOP_COLUMNS];     /* the columns' places in the rows; -1: not there */
};

/* A sink for the answer of one question: QUERY_SUMMARY by service and state, QUERY_CLIENTS,
 * QUERY_ACTIVE, or QUERY_TRANSITIONS of one client. */
struct query_sink top_intake_init(struct top_intake *in, struct top_data *d, enum query_what what,
                                  enum top_order order, const char *filter);

/* All questions were answered: cut the clients to those that are kept. */
void top_data_end(struct top_data *d, enum top_order order);

#endif
