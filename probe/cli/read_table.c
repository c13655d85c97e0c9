/*
 * The table of `read --at`: the rows of `query connections` (design 1.6), by the same writer.
 *
 * Input: EVENT_CONNECTION events of the moment. Output: the table. Rows wait in the writer's
 * temporary file. Owner: the caller's thread.
 */
#include "read.h"

#include <inttypes.h>

struct table {
    const struct record_context *context;
    struct query_sink sink;
    uint64_t rows;
};

static void put_row(void *table, const struct event *e) {
    struct table *t = table;
    const struct event_connection *n = &e->connection;
    char flow[24], client[BASE_ENDPOINT_TEXT], server[BASE_ENDPOINT_TEXT],
        service[SERVICE_NAME_MAX], since[2][BASE_TIME_TEXT];
    const char *name = record_client_name(t->context, &e->flow);
    const char *attributes = record_service_attributes(t->context, &e->flow);
    snprintf(flow, sizeof flow, "%016" PRIx64, record_flow_id(t->context, &e->flow));
    record_endpoint(&e->flow, EVENT_CLIENT, client);
    record_endpoint(&e->flow, EVENT_SERVER, server);
    for (unsigned role = 0; role < 2; role++)
        base_time_format(n->since_ns[role], since[role]);
    const char *const cell[QUERY_CONNECTION_COLUMNS] = {
        t->context->probe,
        flow,
        client,
        server,
        record_service(t->context, &e->flow, service),
        tcp_state_name(n->state[EVENT_CLIENT]),
        tcp_state_name(n->state[EVENT_SERVER]),
        since[EVENT_CLIENT],
        since[EVENT_SERVER],
        tcp_inferred_name(n->inferred),
        name != NULL ? name : "",
        attributes != NULL ? attributes : "",
    };
    t->sink.row(t->sink.context, &(struct query_row){.cell = cell});
    t->rows++;
}

int read_table(const struct read_job *job, uint64_t at_ns, struct base_error *error) {
    struct query_writer *w =
        query_writer_new(QUERY_FORMAT_TABLE, job->output.file, stderr, false, false);
    if (w == NULL)
        return base_error_set(error, job->output.name, "out of memory");
    struct table table = {.context = &job->context, .sink = query_writer_sink(w)};
    table.sink.begin(w, &(struct query_head){.what = QUERY_CONNECTIONS,
                                             .at_ns = at_ns,
                                             .column = query_connection_column,
                                             .columns = QUERY_CONNECTION_COLUMNS});
    flow_each_open(job->pipe.path.tracker, put_row, &table);
    table.sink.end(w, table.rows, 0);
    int result = query_writer_end(w, error);
    query_writer_free(w);
    return result;
}
