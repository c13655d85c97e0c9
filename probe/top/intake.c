/*
 * Rows of answers into the model (model.h).
 *
 * Columns are found by their names (design 1.6), so that a column more or in another place does no
 * harm. Of clients twice as many as are kept are collected, then the later half in the order asked
 * for is dropped: that keeps memory bounded at a logarithm's cost a row.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

/* Which columns each question's rows are read by. */
enum { SERVICE, STATE, COUNT };
enum { CLIENT, NAME, SERVICES, STATES, LAST_SEEN };
enum { TS, T_CLIENT, T_SERVER, T_SERVICE, CLIENT_STATE, SERVER_STATE, CAUSE, INFERRED };

static const char *const *names_of(enum query_what what) {
    static const char *const summary[TOP_COLUMNS] = {"service", "state", "count"};
    static const char *const clients[TOP_COLUMNS] = {"client", "name", "services", "states",
                                                     "last_seen"};
    static const char *const transitions[TOP_COLUMNS] = {
        "ts", "client", "server", "service", "client_state", "server_state", "cause", "inferred"};
    static const char *const active[TOP_COLUMNS] = {NULL};
    switch (what) {
    case QUERY_SUMMARY:
        return summary;
    case QUERY_CLIENTS:
        return clients;
    case QUERY_TRANSITIONS:
        return transitions;
    default:
        return active;
    }
}

static const char *cell(const struct top_intake *in, const struct query_row *r, int column) {
    int at = in->at[column];
    return at >= 0 && r->cell[at] != NULL ? r->cell[at] : "";
}

static void copy(char *out, size_t size, const char *text) {
    snprintf(out, size, "%s", text);
}

/* The array with room for one more element: it doubles up to `most`. NULL when there is none; the
 * array stays as it is then. */
static void *make_room(struct top_data *d, void *array, size_t count, size_t *room, size_t most,
                       size_t size) {
    if (count < *room)
        return array;
    size_t larger = *room > 0 ? 2 * *room : 64;
    larger = larger < most ? larger : most;
    void *grown = count < larger ? reallocarray(array, larger, size) : NULL;
    d->short_of_memory = d->short_of_memory || (grown == NULL && count < larger);
    if (grown != NULL)
        *room = larger;
    return grown;
}

static void add_count(struct top_counts *c, const char *pair, uint64_t n) {
    c->of[top_class_of(pair)] += n;
    c->total += n;
}

/* ---- summary ---- */

static struct top_service *service_of(struct top_data *d, const char *name) {
    for (size_t i = 0; i < d->service_count; i++)
        if (strcmp(d->services[i].name, name) == 0)
            return &d->services[i];
    struct top_service *grown =
        make_room(d, d->services, d->service_count, &d->service_room, TOP_SERVICES, sizeof *grown);
    if (grown == NULL) {
        d->services_left_out++;
        return NULL;
    }
    d->services = grown;
    struct top_service *s = &d->services[d->service_count++];
    *s = (struct top_service){0};
    copy(s->name, sizeof s->name, name);
    return s;
}

static void add_pair(struct top_data *d, struct top_service *s, const char *states, uint64_t n) {
    struct top_pair *grown = reallocarray(s->pair, s->pairs + 1, sizeof *grown);
    if (grown == NULL) {
        d->short_of_memory = true;
        return;
    }
    s->pair = grown;
    grown[s->pairs].count = n;
    copy(grown[s->pairs++].states, sizeof grown->states, states);
}

static void take_summary(struct top_intake *in, const struct query_row *r) {
    uint64_t n;
    const char *states = cell(in, r, STATE);
    if (!base_uint_parse(cell(in, r, COUNT), UINT64_MAX, &n))
        return;
    in->data->connections += n;
    struct top_service *s = service_of(in->data, cell(in, r, SERVICE));
    if (s == NULL)
        return;
    add_count(&s->counts, states, n);
    add_pair(in->data, s, states, n);
}

/* ---- clients ---- */

static int compare(const void *a, const void *b, void *order) {
    const struct top_client *x = a, *y = b;
    enum top_order by = *(enum top_order *)order;
    return top_client_before(x, y, by) ? -1 : top_client_before(y, x, by);
}

static void keep_first(struct top_data *d, enum top_order order) {
    if (d->client_count > 0)
        qsort_r(d->clients, d->client_count, sizeof *d->clients, compare, &order);
    if (d->client_count > TOP_CLIENTS)
        d->client_count = TOP_CLIENTS;
}

void top_data_end(struct top_data *d, enum top_order order) {
    keep_first(d, order);
}

/* A list of texts, ["https","db"], as words; any other text as it is. */
static void put_words(char *out, size_t size, const char *text) {
    json_t *list = json_loads(text, 0, NULL), *word;
    size_t i, n = 0;
    out[0] = '\0';
    if (!json_is_array(list))
        copy(out, size, text);
    json_array_foreach(list, i, word) if (json_is_string(word) && n < size) n +=
        (size_t)snprintf(out + n, size - n, "%s%s", n > 0 ? " " : "", json_string_value(word));
    json_decref(list);
}

/* {"ESTABLISHED/ESTABLISHED":3} */
static void put_states(struct top_counts *c, const char *text) {
    json_t *states = json_loads(text, 0, NULL), *n;
    const char *pair;
    json_object_foreach(states, pair, n) if (json_integer_value(n) > 0)
        add_count(c, pair, (uint64_t)json_integer_value(n));
    json_decref(states);
}

static void take_client(struct top_intake *in, const struct query_row *r) {
    struct top_data *d = in->data;
    struct top_client c = {0};
    copy(c.address, sizeof c.address, cell(in, r, CLIENT));
    copy(c.name, sizeof c.name, cell(in, r, NAME));
    put_words(c.services, sizeof c.services, cell(in, r, SERVICES));
    put_states(&c.counts, cell(in, r, STATES));
    if (!base_time_parse(cell(in, r, LAST_SEEN), &c.last_ns))
        c.last_ns = 0;
    if (!top_client_matches(&c, in->filter))
        return;
    d->clients_seen++;
    if (d->client_count == 2 * TOP_CLIENTS)
        keep_first(d, in->order);
    struct top_client *grown =
        make_room(d, d->clients, d->client_count, &d->client_room, 2 * TOP_CLIENTS, sizeof *grown);
    if (grown == NULL)
        return;
    d->clients = grown;
    grown[d->client_count++] = c;
}

/* ---- alarms ---- */

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

/* What an alarm is about: the texts of its scope, one after the other. */
static void put_scope(char *out, size_t size, json_t *scope) {
    const char *key;
    json_t *value;
    size_t n = 0;
    out[0] = '\0';
    json_object_foreach(scope, key, value) if (json_is_string(value) && n < size) n +=
        (size_t)snprintf(out + n, size - n, "%s%s", n > 0 ? " " : "", json_string_value(value));
}

/* jansson's reals lose digits that a moment on the screen does not show. */
static uint64_t moment_of(const json_t *value) {
    double seconds = json_number_value(value);
    return seconds > 0 && seconds < 1.8e10 ? (uint64_t)(seconds * 1e9) : 0;
}

static void put_alarm(struct top_alarm *a, const json_t *record) {
    copy(a->kind, sizeof a->kind, text_of(record, "kind"));
    copy(a->severity, sizeof a->severity, text_of(record, "severity"));
    copy(a->summary, sizeof a->summary, text_of(record, "summary"));
    put_scope(a->where, sizeof a->where, json_object_get(record, "scope"));
    a->since_ns = moment_of(json_object_get(record, "since"));
    a->json = json_dumps(record, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
}

static void take_alarm(struct top_intake *in, const struct query_row *r) {
    struct top_data *d = in->data;
    json_t *record = r->record != NULL ? json_loads(r->record, 0, NULL) : NULL;
    struct top_alarm *grown =
        make_room(d, d->alarms, d->alarm_count, &d->alarm_room, TOP_ALARMS, sizeof *grown);
    if (grown != NULL)
        d->alarms = grown;
    if (grown == NULL)
        d->alarms_left_out++;
    else if (json_is_object(record))
        put_alarm(&grown[d->alarm_count++], record);
    json_decref(record);
}

/* ---- a timeline ---- */

static struct top_event *next_event(struct top_data *d) {
    if (d->events == NULL)
        d->events = calloc(TOP_EVENTS, sizeof *d->events);
    if (d->events == NULL) {
        d->short_of_memory = true;
        return NULL;
    }
    d->events_seen++;
    if (d->event_count < TOP_EVENTS)
        return &d->events[d->event_count++];
    struct top_event *oldest = &d->events[d->event_first];
    d->event_first = (d->event_first + 1) % TOP_EVENTS;
    return oldest;
}

static void take_event(struct top_intake *in, const struct query_row *r) {
    struct top_event *e = next_event(in->data);
    const char *inferred = cell(in, r, INFERRED);
    if (e == NULL)
        return;
    *e = (struct top_event){0};
    if (!base_time_parse(cell(in, r, TS), &e->ts_ns))
        e->ts_ns = 0;
    copy(e->client, sizeof e->client, cell(in, r, T_CLIENT));
    copy(e->server, sizeof e->server, cell(in, r, T_SERVER));
    copy(e->service, sizeof e->service, cell(in, r, T_SERVICE));
    snprintf(e->states, sizeof e->states, "%.12s/%.12s", cell(in, r, CLIENT_STATE),
             cell(in, r, SERVER_STATE));
    snprintf(e->cause, sizeof e->cause, "%.24s%s%.12s", cell(in, r, CAUSE),
             inferred[0] != '\0' ? " ?" : "", inferred);
}

/* ---- the sink ---- */

static void put_gap(struct top_data *d, const char *record) {
    json_t *gap = json_loads(record, 0, NULL);
    copy(d->gap, sizeof d->gap, text_of(gap, "why"));
    json_decref(gap);
}

static void begin(void *context, const struct query_head *h) {
    struct top_intake *in = context;
    struct top_data *d = in->data;
    const char *const *names = names_of(in->what);
    for (int i = 0; i < TOP_COLUMNS; i++) {
        in->at[i] = -1;
        for (size_t k = 0; k < h->columns && names[i] != NULL; k++)
            if (strcmp(h->column[k].name, names[i]) == 0)
                in->at[i] = (int)k;
    }
    if (in->what != QUERY_SUMMARY)
        return;
    size_t n = 0;
    d->at_ns = h->at_ns;
    d->gap_count = h->gaps;
    if (h->gaps > 0)
        put_gap(d, h->gap[h->gaps - 1]);
    d->probe_count = h->spans;
    for (size_t i = 0; i < h->spans && n < sizeof d->probes; i++)
        n += (size_t)snprintf(d->probes + n, sizeof d->probes - n, "%s%s", i > 0 ? " " : "",
                              h->span[i].probe);
}

static bool row(void *context, const struct query_row *r) {
    struct top_intake *in = context;
    if (in->what == QUERY_SUMMARY)
        take_summary(in, r);
    else if (in->what == QUERY_CLIENTS)
        take_client(in, r);
    else if (in->what == QUERY_TRANSITIONS)
        take_event(in, r);
    else
        take_alarm(in, r);
    return in->stop == NULL || !atomic_load(in->stop);
}

static void end(void *context, uint64_t rows, uint64_t cut) {
    (void)context;
    (void)rows;
    (void)cut;
}

static void warn(void *context, const char *sentence) {
    struct top_data *d = ((struct top_intake *)context)->data;
    if (d->warning[0] == '\0')
        copy(d->warning, sizeof d->warning, sentence);
}

struct query_sink top_intake_init(struct top_intake *in, struct top_data *d, enum query_what what,
                                  enum top_order order, const char *filter) {
    *in = (struct top_intake){.data = d, .what = what, .order = order, .filter = filter};
    return (struct query_sink){.begin = begin, .row = row, .end = end, .warn = warn, .context = in};
}
