/*
 * What is missing: the store's gap records that touch what was asked.
 */
#include "kinds.h"

#include "spanwatch/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TS, FROM, TO, WHAT, LOST, WHY, FIELDS, GAPS_MOST = 10000, RECORD = 8192, DIGITS = 32 };
static const char *const field[FIELDS] = {"ts", "from", "to", "what", "lost", "why"};

struct reading {
    struct query_run *run;
    const struct query_view *view;
    uint64_t from_ns, to_ns;
    struct query_gaps *gaps;
    bool short_of_memory;
};

static char *put_text(char *p, const char *end, const char *key, struct query_text value) {
    char text[512];
    if (value.n == 0)
        return p;
    p += snprintf(p, (size_t)(end - p), ",\"%s\":", key);
    return p + record_json_string(query_text_copy(value, text, sizeof text), p, (size_t)(end - p));
}

/* A time or a number as it stands in the store, once it was found to be one. */
static char *put_number(char *p, const char *end, const char *key, struct query_text value) {
    uint64_t ns;
    if (value.n > DIGITS || !query_stamp_parse(value, &ns))
        return p;
    return p + snprintf(p, (size_t)(end - p), ",\"%s\":%.*s", key, (int)value.n, value.s);
}

static char *encode(const struct reading *g, const struct query_text t[FIELDS]) {
    char record[RECORD], *end = record + sizeof record;
    char *p = record + snprintf(record, sizeof record, "{\"type\":\"gap\"");
    struct query_text probe = {g->view->probe->name, strlen(g->view->probe->name)};
    p = put_number(p, end, "ts", t[TS]);
    p = put_text(p, end, "probe", probe);
    p = put_number(p, end, "from", t[FROM]);
    p = put_number(p, end, "to", t[TO]);
    p = put_text(p, end, "what", t[WHAT]);
    p = put_number(p, end, "lost", t[LOST]);
    p = put_text(p, end, "why", t[WHY]);
    snprintf(p, (size_t)(end - p), "}");
    return strdup(record);
}

static bool keep(struct query_gaps *gaps, char *record) {
    if (gaps->count == gaps->room) {
        size_t room = gaps->room > 0 ? gaps->room * 2 : 16;
        char **bigger = reallocarray(gaps->record, room, sizeof *bigger);
        if (bigger == NULL || record == NULL) {
            free(record);
            return false;
        }
        gaps->record = bigger;
        gaps->room = room;
    }
    gaps->record[gaps->count++] = record;
    return record != NULL;
}

static bool take_gap(struct query_scan *scan, const struct query_entry *e) {
    struct reading *g = scan->context;
    struct query_text t[FIELDS];
    uint64_t from_ns, to_ns = UINT64_MAX;
    query_entry_fields(e, field, FIELDS, t);
    if (!query_stamp_parse(t[FROM], &from_ns) ||
        (t[TO].n > 0 && !query_stamp_parse(t[TO], &to_ns)) || t[LOST].n > 20) {
        g->run->faulty++;
        return true;
    }
    if (from_ns > g->to_ns || to_ns < g->from_ns)
        return true;
    if (g->gaps->count == GAPS_MOST) {
        query_warn(g->run, "only the first %d gaps are told", GAPS_MOST);
        return false;
    }
    g->short_of_memory = !keep(g->gaps, encode(g, t));
    return !g->short_of_memory;
}

int query_gaps_read(struct query_run *r, const struct query_view *v, uint64_t from_ns,
                    uint64_t to_ns, struct query_gaps *gaps, struct base_error *error) {
    struct reading g = {.run = r, .view = v, .from_ns = from_ns, .to_ns = to_ns, .gaps = gaps};
    /* A gap is written when it ends or later: none that began after `to` is written before it. */
    struct query_scan scan = {.from = {from_ns / BASE_NS_PER_MS, 0},
                              .to_ms = UINT64_MAX,
                              .page = QUERY_PAGE,
                              .context = &g};
    redis_key_of(scan.key, r->q->prefix, v->probe->name, "gaps");
    if (query_scan_run(&r->q->link, &scan, 1, take_gap, error) != 0)
        return -1;
    return g.short_of_memory ? base_error_set(error, "query", "out of memory") : 0;
}

void query_gaps_free(struct query_gaps *gaps) {
    for (size_t i = 0; i < gaps->count; i++)
        free(gaps->record[i]);
    free(gaps->record);
}
