/*
 * `alarms` and `active`: alarm records as the probes wrote them, filtered by what stands in them.
 *
 * The records are handed on as they are; they are looked into as text (raw.h), so that no digit is
 * lost. They wait to be sorted by time; when there are too many, those that wait are given and the
 * rest comes probe by probe.
 */
#include "kinds.h"
#include "raw.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *path;
    enum query_cell cell;
} place[] = {{"ts", "ts", QUERY_TIME},
             {"probe", "probe", QUERY_TEXT},
             {"seq", "seq", QUERY_NUMBER},
             {"id", "id", QUERY_TEXT},
             {"kind", "kind", QUERY_TEXT},
             {"severity", "severity", QUERY_TEXT},
             {"status", "status", QUERY_TEXT},
             {"since", "since", QUERY_TIME},
             {"server", "scope.server", QUERY_TEXT},
             {"service", "scope.service", QUERY_TEXT},
             {"client", "scope.client", QUERY_TEXT},
             {"interface", "scope.interface", QUERY_TEXT},
             {"vlan", "scope.vlan", QUERY_TEXT},
             {"value", "value", QUERY_NUMBER},
             {"threshold", "threshold", QUERY_NUMBER},
             {"unit", "unit", QUERY_TEXT},
             {"duration", "duration", QUERY_NUMBER},
             {"summary", "summary", QUERY_TEXT}};
enum { COLUMNS = sizeof place / sizeof *place, WAITING_MOST = 1 << 15, VALUE_TEXT = 1024 };

struct record {
    uint64_t ts_ns;
    char *json;
};

struct alarms {
    struct query_run *run;
    const struct query_view *view;
    struct record *record;
    size_t count, room;
    bool short_of_memory;
    struct query_cells cells;
};

static bool value_is(struct query_text json, const char *path, const char *wanted) {
    char text[VALUE_TEXT];
    return wanted == NULL ||
           strcmp(query_raw_string(query_raw_path(json, path), text, sizeof text), wanted) == 0;
}

/* "ip:port", or an address alone, without a port. */
static bool parse_place(struct query_text json, const char *path, struct query_place *p) {
    char text[BASE_ENDPOINT_TEXT];
    struct base_addr a;
    query_raw_string(query_raw_path(json, path), text, sizeof text);
    if (query_place_parse((struct query_text){text, strlen(text)}, p))
        return true;
    if (!base_addr_parse(text, &a))
        return false;
    *p = (struct query_place){.family = a.family};
    memcpy(p->octet, a.octet, sizeof p->octet);
    return true;
}

static bool matches_places(const struct query_match *m, struct query_text json) {
    struct query_place client = {0}, server = {0};
    bool has_client = parse_place(json, "scope.client", &client);
    bool has_server = parse_place(json, "scope.server", &server);
    if ((m->filter->client.is_given && !has_client) || (m->filter->server.is_given && !has_server))
        return false;
    return query_match_places(m, &client, &server);
}

/* The record's own attributes count, then those that the service has now. */
static bool matches_cmdb(const struct query_match *m, struct query_text json) {
    char service[VALUE_TEXT], value[VALUE_TEXT];
    query_raw_string(query_raw_path(json, "scope.service"), service, sizeof service);
    for (size_t i = 0; i < m->filter->cmdb_count; i++) {
        const char *key = m->filter->cmdb[i].key;
        query_raw_string(query_raw_member(query_raw_member(json, "cmdb"), key), value,
                         sizeof value);
        if (value[0] == '\0')
            query_names_value(m->names, service, key, value, sizeof value);
        if (strcmp(value, m->filter->cmdb[i].value) != 0)
            return false;
    }
    return true;
}

static bool matches(const struct query_match *m, struct query_text json) {
    const struct query_filter *f = m->filter;
    return value_is(json, "kind", f->kind) && value_is(json, "severity", f->severity) &&
           value_is(json, "status", f->status) && value_is(json, "scope.service", f->service) &&
           matches_places(m, json) && matches_cmdb(m, json);
}

static bool give(struct alarms *a, const char *json) {
    char text[VALUE_TEXT];
    struct query_text record = {json, strlen(json)};
    query_cells_clear(&a->cells);
    for (size_t i = 0; i < COLUMNS; i++)
        query_cell_text(&a->cells,
                        query_raw_string(query_raw_path(record, place[i].path), text, sizeof text));
    return query_give(a->run, a->cells.cell, json);
}

static int compare(const void *x, const void *y) {
    const struct record *a = x, *b = y;
    if (a->ts_ns != b->ts_ns)
        return a->ts_ns < b->ts_ns ? -1 : 1;
    return strcmp(a->json, b->json);
}

static void flush(struct alarms *a) {
    if (a->count > 0)
        qsort(a->record, a->count, sizeof *a->record, compare);
    for (size_t i = 0; i < a->count; i++) {
        bool twin = i > 0 && compare(&a->record[i - 1], &a->record[i]) == 0;
        if (!a->run->ended && !twin) /* HSCAN may give a field twice */
            give(a, a->record[i].json);
    }
    for (size_t i = 0; i < a->count; i++)
        free(a->record[i].json);
    a->count = 0;
}

/* One line of JSON, whatever blanks it was stored with. */
static char *copy_line(struct query_text json) {
    char *copy = strndup(json.s, json.n);
    for (char *p = copy; p != NULL && *p != '\0'; p++)
        if (*p == '\n' || *p == '\r' || *p == '\t')
            *p = ' ';
    return copy;
}

static bool take_record(struct alarms *a, struct query_text json) {
    uint64_t ts_ns = 0;
    if (memchr(json.s, '\0', json.n) != NULL || !query_raw_is_object(json)) {
        a->run->faulty++;
        return true;
    }
    query_stamp_parse(query_raw_member(json, "ts"), &ts_ns);
    if (!matches(&a->run->match, json))
        return true;
    if (a->count == WAITING_MOST)
        flush(a);
    if (a->count == a->room) {
        size_t room = a->room > 0 ? a->room * 2 : 64;
        struct record *bigger = reallocarray(a->record, room, sizeof *bigger);
        if (bigger == NULL)
            return false;
        a->record = bigger;
        a->room = room;
    }
    a->record[a->count] = (struct record){ts_ns, copy_line(json)};
    return a->record[a->count].json != NULL && ++a->count > 0;
}

static bool take_entry(struct query_scan *scan, const struct query_entry *e) {
    static const char *const field[] = {"ts", "json"};
    struct alarms *a = scan->context;
    struct query_text t[2];
    uint64_t ts_ns;
    query_entry_fields(e, field, 2, t);
    if (!query_stamp_parse(t[0], &ts_ns) || ts_ns < a->view->from_ns || ts_ns > a->view->to_ns)
        return true;
    a->short_of_memory = !take_record(a, t[1]);
    return !a->short_of_memory && !a->run->ended;
}

static int take_active(void *context, struct query_text id, struct query_text json) {
    (void)id;
    return take_record(context, json) ? 0 : -1;
}

static int read_view(struct alarms *a, struct query_view *v, struct base_error *error) {
    struct query_run *r = a->run;
    struct query_scan scan = {.from = {v->from_ns / BASE_NS_PER_MS, 0},
                              .to_ms = v->to_ns / BASE_NS_PER_MS + v->probe->skew_ms,
                              .page = QUERY_LARGE_PAGE,
                              .large = true,
                              .context = a};
    a->view = v;
    bool active = r->ask->what == QUERY_ACTIVE;
    redis_key_of(scan.key, r->q->prefix, v->probe->name, active ? "active" : "alarms");
    int result = active ? query_hash_each(&r->q->link, scan.key, take_active, a, error)
                        : query_scan_run(&r->q->link, &scan, 1, take_entry, error);
    return a->short_of_memory ? base_error_set(error, "query", "out of memory") : result;
}

int query_run_alarms(struct query_run *r, struct base_error *error) {
    struct query_column column[COLUMNS];
    struct alarms *a = calloc(1, sizeof *a);
    if (a == NULL)
        return base_error_set(error, "query", "out of memory");
    a->run = r;
    for (size_t i = 0; i < COLUMNS; i++)
        column[i] = (struct query_column){place[i].name, place[i].cell};
    int result = query_begin(r, column, COLUMNS, error);
    for (size_t i = 0; i < r->views && result == 0; i++)
        result = read_view(a, &r->view[i], error);
    if (result == 0)
        flush(a);
    for (size_t i = 0; i < a->count; i++)
        free(a->record[i].json);
    free(a->record);
    free(a);
    return result;
}
