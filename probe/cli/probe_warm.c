/*
 * Warm start: connections that an earlier run of this probe followed go on, under the same `flow`.
 *
 * After an orderly end a checkpoint has them all. After a crash the store tells their states:
 * roles, states, since when; numbers, VLANs and tunnels are learned from the next segment. Either
 * way the time that was missed is a gap record. Each connection goes on in the worker that will get
 * its packets (capture_share.h), however many there were before.
 */
#include "probe.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint.h"
#include "spanwatch/query.h"

enum {
    TIMEOUT_MS = 5000,
    LATER_S = 60,
    SPOOL_MS = 5000, /* the kernel's ring of packets waits so long at most */
    PAUSE_MS = 5,
    ROLE_SCORE = 224 /* as good as a SYN-ACK: only a SYN says more */
};

/* While there are the rights to make the folder. */
static int find_path(struct probe_job *job, struct base_error *error) {
    char state[REDIS_FOLDER_TEXT];
    if (redis_state_folder(job->config.state_folder, state, error) != 0)
        return -1;
    snprintf(job->checkpoint, sizeof job->checkpoint, "%s/%s.flows", state, job->name);
    return 0;
}

static uint64_t wall_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * BASE_NS_PER_S + (uint64_t)t.tv_nsec;
}

/* ---- from the store ---- */

enum column {
    FLOW,
    CLIENT,
    SERVER,
    CLIENT_STATE,
    SERVER_STATE,
    CLIENT_SINCE,
    SERVER_SINCE,
    COLUMNS
};

struct restore {
    struct probe_job *job;
    size_t column[COLUMNS]; /* where each stands in a row; + 1 */
    uint64_t restored, left_out;
};

static void find_columns(void *context, const struct query_head *h) {
    static const char *const name[COLUMNS] = {
        "flow", "client", "server", "client_state", "server_state", "client_since", "server_since"};
    struct restore *r = context;
    for (size_t c = 0; c < COLUMNS; c++)
        for (size_t i = 0; i < h->columns; i++)
            if (strcmp(h->column[i].name, name[c]) == 0)
                r->column[c] = i + 1;
}

static const char *cell(const struct restore *r, const struct query_row *row, enum column c) {
    return r->column[c] == 0 ? "" : row->cell[r->column[c] - 1];
}

static bool take_place(const char *text, struct event_flow *f, uint8_t octet[16], uint16_t *port) {
    struct query_endpoint e;
    if (!query_endpoint_parse(text, false, &e) || e.addr.family == 0 || e.port == 0)
        return false;
    f->family = e.addr.family;
    memcpy(octet, e.addr.octet, sizeof e.addr.octet);
    *port = e.port;
    return true;
}

static bool take_state(const char *name, uint8_t *state) {
    for (int s = TCP_CLOSED; s < TCP_STATES; s++) {
        if (strcmp(name, tcp_state_name((enum tcp_state)s)) == 0) {
            *state = (uint8_t)s;
            return true;
        }
    }
    return false;
}

static bool understand(const struct restore *r, const struct query_row *row,
                       struct flow_restored *f) {
    char *end;
    *f = (struct flow_restored){.role_score = ROLE_SCORE};
    f->flow.id = strtoull(cell(r, row, FLOW), &end, 16);
    bool good = *end == '\0' && f->flow.id != 0 &&
                take_place(cell(r, row, CLIENT), &f->flow, f->flow.client, &f->flow.client_port) &&
                take_place(cell(r, row, SERVER), &f->flow, f->flow.server, &f->flow.server_port) &&
                take_state(cell(r, row, CLIENT_STATE), &f->state[EVENT_CLIENT]) &&
                take_state(cell(r, row, SERVER_STATE), &f->state[EVENT_SERVER]) &&
                base_time_parse(cell(r, row, CLIENT_SINCE), &f->since_ns[EVENT_CLIENT]) &&
                base_time_parse(cell(r, row, SERVER_SINCE), &f->since_ns[EVENT_SERVER]);
    uint64_t a = f->since_ns[EVENT_CLIENT], b = f->since_ns[EVENT_SERVER];
    f->flow.first_ns = a < b ? a : b;
    return good;
}

static struct flow_tracker *tracker_of(const struct restore *r, const struct event_flow *f) {
    size_t worker = capture_share_worker(&r->job->share, f->family, f->client, f->server);
    return r->job->worker[worker].pipe.tracker;
}

static bool restore_row(void *context, const struct query_row *row) {
    struct restore *r = context;
    struct flow_restored f;
    if (understand(r, row, &f) && flow_restore(tracker_of(r, &f.flow), &f) == 0)
        r->restored++;
    else
        r->left_out++;
    return true;
}

static void ignore_end(void *context, uint64_t rows, uint64_t cut) {
    (void)context;
    (void)rows;
    (void)cut;
}

static void ignore_warning(void *context, const char *sentence) {
    (void)context;
    (void)sentence;
}

/* The last time that the store knows of this NAME; 0 when it knows none. */
static uint64_t last_known_ns(struct query *q, const char *name) {
    const struct query_probe *probe;
    size_t n;
    if (query_probes(q, &probe, &n, NULL) != 0)
        return 0;
    for (size_t i = 0; i < n; i++)
        if (strcmp(probe[i].name, name) == 0)
            return probe[i].last_ns;
    return 0;
}

/* As they are after all that is stored: what is later than `last_ns`, which is noted once a second,
 * must not happen again. Of a probe that is down the store knows nothing much later. */
static int ask(struct query *q, uint64_t last_ns, struct restore *r, struct base_error *error) {
    const struct probe_job *job = r->job;
    struct query_ask a = {
        .what = QUERY_CONNECTIONS,
        .probe = job->name,
        .at = {.kind = QUERY_TIME_MOMENT, .ns = last_ns + LATER_S * BASE_NS_PER_S},
        .limit = UINT64_MAX};
    struct query_sink sink = {.begin = find_columns,
                              .row = restore_row,
                              .end = ignore_end,
                              .warn = ignore_warning,
                              .context = r};
    query_filter_init(&a.filter);
    for (size_t i = 0; i < job->workers; i++)
        flow_advance(job->worker[i].pipe.tracker, last_ns);
    return query_run(q, &a, &sink, error);
}

/* The time up to which the store knew everything; 0 when there is nothing to go on from. */
static uint64_t restore_from_store(struct probe_job *job) {
    struct base_error error;
    struct restore r = {.job = job};
    struct query *q = query_open(&job->url, job->config.store_prefix, TIMEOUT_MS, &error);
    uint64_t last_ns = q != NULL ? last_known_ns(q, job->name) : 0;
    /* The writer's own first sign of life says that it has stored nothing: what it found counts. */
    if (q != NULL && store_redis_down_ns(job->store) > last_ns)
        last_ns = store_redis_down_ns(job->store);
    if (last_ns != 0 && ask(q, last_ns, &r, &error) != 0)
        base_error_print(&error);
    if (q != NULL)
        query_close(q);
    if (r.restored > 0)
        base_warn("%s: going on with %llu connections that the store knows", job->name,
                  (unsigned long long)r.restored);
    if (r.left_out > 0)
        base_warn("%s: %llu connections of the store could not be taken over", job->name,
                  (unsigned long long)r.left_out);
    return last_ns;
}

/* What the run before has left in its spool belongs to the states too: let the store have it. */
static bool is_stored(struct probe_job *job) {
    uint64_t until = uv_hrtime() + SPOOL_MS * BASE_NS_PER_MS;
    struct store_redis_counters c;
    do {
        uv_run(&job->uv.loop, UV_RUN_NOWAIT);
        store_redis_counters(job->store, &c);
        if (c.reached && c.spooled + c.queued == 0)
            return true;
        usleep(PAUSE_MS * 1000);
    } while (uv_hrtime() < until);
    base_warn("%s: the store does not have all of the last run yet: connections that were open are "
              "learned anew, and stay in the store as they were",
              job->name);
    return false;
}

/* ---- start and end ---- */

int probe_warm_prepare(struct probe_job *job, struct base_error *error) {
    for (size_t i = 0; i < job->workers; i++)
        job->worker[i].goes_on = job->store != NULL;
    return job->store != NULL ? find_path(job, error) : 0;
}

static struct cli_pipes pipes_of(struct probe_job *job) {
    struct cli_pipes pipes = {.n = job->workers};
    for (size_t i = 0; i < job->workers; i++)
        pipes.pipe[i] = &job->worker[i].pipe;
    return pipes;
}

static void tell_loaded(struct probe_job *job) {
    uint64_t open = 0;
    for (size_t i = 0; i < job->workers; i++)
        open += flow_counters(job->worker[i].pipe.tracker)->flows_open;
    base_warn("%s: going on with %llu connections of the last run", job->name,
              (unsigned long long)open);
}

int probe_warm_start(struct probe_job *job, struct base_error *error) {
    if (job->store == NULL)
        return 0;
    struct cli_pipes pipes = pipes_of(job);
    switch (cli_checkpoint_load(&pipes, &job->share, job->checkpoint, error)) {
    case CLI_CHECKPOINT_LOADED:
        tell_loaded(job);
        job->missed_from_ns = flow_now(pipes.pipe[0]->tracker);
        return 0;
    case CLI_CHECKPOINT_USELESS:
        base_error_print(error);
        break;
    case CLI_CHECKPOINT_NONE:
        break;
    default:
        return -1;
    }
    if (is_stored(job))
        job->missed_from_ns = restore_from_store(job);
    return 0;
}

bool probe_warm_gap(struct probe_job *job, struct record_gap *gap) {
    uint64_t now_ns = wall_ns();
    uint64_t down_ns = job->store != NULL ? store_redis_down_ns(job->store) : 0;
    if (down_ns != 0) /* knows of the spool too */
        job->missed_from_ns = down_ns;
    *gap = (struct record_gap){.ts_ns = now_ns,
                               .from_ns = job->missed_from_ns,
                               .to_ns = now_ns,
                               .what = RECORD_GAP_PACKETS,
                               .why = "the probe was down"};
    return job->missed_from_ns != 0;
}

void probe_warm_save(struct probe_job *job) {
    struct base_error error;
    struct cli_pipes pipes = pipes_of(job);
    bool began = false;
    for (size_t i = 0; i < pipes.n; i++)
        began = began || flow_now(pipes.pipe[i]->tracker) != 0;
    if (job->store == NULL || !began)
        return;
    if (cli_checkpoint_save(&pipes, job->checkpoint, &error) != 0)
        base_error_print(&error);
}
