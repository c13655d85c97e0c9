/*
 * A program of others that reads the store through spanwatch/query.h: connections of a moment,
 * those that changed since another one, with as few in memory as it says.
 *
 *   query_library URL HELD FROM TO
 *
 * Prints a line a row (client, server, states, or the change), then "rows N cut M". Exit status 1
 * when something failed.
 */
#include <stdio.h>
#include <string.h>

#include "spanwatch/query.h"

static size_t columns, first;

static void begin(void *context, const struct query_head *h) {
    (void)context;
    columns = h->columns;
    for (first = 0; first < columns && strcmp(h->column[first].name, "client") != 0; first++)
        continue;
}

static bool row(void *context, const struct query_row *r) {
    (void)context;
    printf("%s", r->cell[0]);
    for (size_t i = first; i < columns && i < first + 5; i++)
        printf(" %s", r->cell[i]);
    putchar('\n');
    return true;
}

static void end(void *context, uint64_t rows, uint64_t cut) {
    (void)context;
    printf("rows %llu cut %llu\n", (unsigned long long)rows, (unsigned long long)cut);
}

static int ask(struct query *q, enum query_what what, char **argv, struct base_error *error) {
    struct query_sink sink = {.begin = begin, .row = row, .end = end};
    struct query_ask question = {.what = what, .limit = UINT64_MAX};
    uint64_t held;
    query_filter_init(&question.filter);
    question.at.kind = question.from.kind = question.to.kind = QUERY_TIME_MOMENT;
    if (!base_uint_parse(argv[2], UINT32_MAX, &held) ||
        !base_time_parse(argv[3], &question.from.ns) || !base_time_parse(argv[4], &question.to.ns))
        return base_error_set(error, "query_library", "URL HELD FROM TO");
    question.held = held;
    question.at.ns = question.to.ns;
    return query_run(q, &question, &sink, error);
}

int main(int argc, char **argv) {
    struct base_error error;
    struct redis_url url;
    struct query *q = NULL;
    const struct query_probe *probe;
    size_t probes;
    int result = argc == 5 ? redis_url_parse(&url, argv[1], &error)
                           : base_error_set(&error, "query_library", "URL HELD FROM TO");
    if (result == 0 && (q = query_open(&url, "spanwatch", QUERY_TIMEOUT_MS, &error)) == NULL)
        result = -1;
    if (result == 0)
        result = query_probes(q, &probe, &probes, &error);
    for (size_t i = 0; result == 0 && i < probes; i++)
        printf("probe %s %u %d\n", probe[i].name, probe[i].partitions, probe[i].is_running);
    if (result == 0)
        result = ask(q, QUERY_CONNECTIONS, argv, &error);
    if (result == 0)
        result = ask(q, QUERY_DIFF, argv, &error);
    if (result != 0)
        base_error_print(&error);
    query_close(q);
    return result == 0 ? 0 : 1;
}
