/*
 * The model's life, its orders and its filter (model.h).
 */
#include "model.h"

#include <stdlib.h>
#include <string.h>

struct top_data *top_data_new(void) {
    return calloc(1, sizeof(struct top_data));
}

void top_data_free(struct top_data *d) {
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->service_count; i++)
        free(d->services[i].pair);
    for (size_t i = 0; i < d->alarm_count; i++)
        free(d->alarms[i].json);
    free(d->services);
    free(d->clients);
    free(d->alarms);
    free(d->events);
    free(d);
}

const struct top_event *top_event_at(const struct top_data *d, size_t i) {
    return &d->events[(d->event_first + i) % TOP_EVENTS];
}

/* ---- classes ---- */

static enum tcp_state state_of(const char *text, size_t n) {
    enum tcp_state s = TCP_CLOSED;
    while (s < TCP_STATES &&
           (strlen(tcp_state_name(s)) != n || memcmp(tcp_state_name(s), text, n) != 0))
        s++;
    return s;
}

static bool is_one(enum tcp_state client, enum tcp_state server, enum tcp_state s) {
    return client == s || server == s;
}

enum top_class top_class_of(const char *pair) {
    size_t n = strcspn(pair, "/");
    if (pair[n] != '/')
        return TOP_OTHER;
    enum tcp_state c = state_of(pair, n), s = state_of(pair + n + 1, strlen(pair + n + 1));
    if (c == TCP_ESTABLISHED && s == TCP_ESTABLISHED)
        return TOP_ESTABLISHED;
    if (is_one(c, s, TCP_SYN_SENT) || is_one(c, s, TCP_SYN_RECEIVED))
        return TOP_HALF_OPEN;
    if (is_one(c, s, TCP_CLOSE_WAIT) || is_one(c, s, TCP_FIN_WAIT_2))
        return TOP_HALF_CLOSED;
    return is_one(c, s, TCP_TIME_WAIT) ? TOP_TIME_WAIT : TOP_OTHER;
}

/* ---- orders ---- */

static uint64_t trouble(const struct top_counts *c) {
    return c->of[TOP_HALF_OPEN] + c->of[TOP_HALF_CLOSED];
}

/* Negative when `a` stands first: higher numbers do. */
static int by_number(uint64_t a, uint64_t b) {
    return a > b ? -1 : a < b;
}

static int by_counts(const struct top_counts *a, const struct top_counts *b, enum top_order order) {
    int result = 0;
    if (order == TOP_BY_TROUBLE)
        result = by_number(trouble(a), trouble(b));
    else if (order == TOP_BY_HALF_OPEN)
        result = by_number(a->of[TOP_HALF_OPEN], b->of[TOP_HALF_OPEN]);
    else if (order == TOP_BY_HALF_CLOSED)
        result = by_number(a->of[TOP_HALF_CLOSED], b->of[TOP_HALF_CLOSED]);
    if (result == 0 && order != TOP_BY_NAME)
        result = by_number(a->total, b->total);
    return result;
}

bool top_service_before(const struct top_service *a, const struct top_service *b,
                        enum top_order order) {
    int result = by_counts(&a->counts, &b->counts, order);
    return result != 0 ? result < 0 : strcmp(a->name, b->name) < 0;
}

/* By name those without one come last; addresses in the order of their octets. */
static int by_name(const struct top_client *a, const struct top_client *b) {
    struct base_addr x = {0}, y = {0};
    if ((a->name[0] == '\0') != (b->name[0] == '\0'))
        return a->name[0] == '\0' ? 1 : -1;
    int result = strcmp(a->name, b->name);
    if (result != 0)
        return result;
    base_addr_parse(a->address, &x);
    base_addr_parse(b->address, &y);
    return memcmp(&x, &y, sizeof x);
}

bool top_client_before(const struct top_client *a, const struct top_client *b,
                       enum top_order order) {
    int result = order == TOP_BY_LAST ? by_number(a->last_ns, b->last_ns)
                                      : by_counts(&a->counts, &b->counts, order);
    return (result != 0 ? result : by_name(a, b)) < 0;
}

/* ---- filter ---- */

bool top_service_matches(const struct top_service *s, const char *filter) {
    return strcasestr(s->name, filter) != NULL;
}

bool top_client_matches(const struct top_client *c, const char *filter) {
    return strcasestr(c->address, filter) != NULL || strcasestr(c->name, filter) != NULL ||
           strcasestr(c->services, filter) != NULL;
}

bool top_alarm_matches(const struct top_alarm *a, const char *filter) {
    return strcasestr(a->kind, filter) != NULL || strcasestr(a->severity, filter) != NULL ||
           strcasestr(a->where, filter) != NULL || strcasestr(a->summary, filter) != NULL;
}
