/*
 * Snapshots for `read` and `probe` (snapshots.h).
 */
#include "snapshots.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static_assert((int)SNAPSHOT_SERVICE_TEXT == (int)SERVICE_NAME_MAX, "a service's name fits");

static void name_service(void *context, size_t worker, const struct event_flow *f,
                         char out[SNAPSHOT_SERVICE_TEXT]) {
    const struct cli_snapshots *s = context;
    char buffer[SERVICE_NAME_MAX];
    snprintf(out, SNAPSHOT_SERVICE_TEXT, "%s", record_service(&s->context[worker], f, buffer));
}

int cli_snapshots_init(struct cli_snapshots *s, const struct record_context *context,
                       size_t workers, const struct cli_config *config, struct base_error *error) {
    struct snapshot_config c = {.workers = workers,
                                .members_always = strcmp(config->snapshot_members, "always") == 0,
                                .service = name_service,
                                .service_context = s};
    *s = (struct cli_snapshots){.context = context};
    if (getrandom(c.seed, sizeof c.seed, 0) != (ssize_t)sizeof c.seed)
        return base_error_set(error, "getrandom",
                              "the system gives no random octets for the snapshots' seed");
    s->maker = snapshot_new(&c);
    return s->maker != NULL ? 0 : base_error_set(error, "snapshots", "out of memory");
}

bool cli_snapshots_take(struct cli_snapshots *s, size_t worker, const struct event *e) {
    if (s->maker == NULL)
        return false;
    const struct snapshot *done = snapshot_take(s->maker, worker, e);
    if (done == NULL)
        return false;
    s->pending = done;
    s->at = (struct record_snapshot_cursor){0};
    s->count++;
    return true;
}

bool cli_snapshots_write(struct cli_snapshots *s, struct store_jsonl *lines) {
    if (s->pending != NULL &&
        (lines == NULL || store_jsonl_snapshot(lines, s->context, s->pending, &s->at)))
        s->pending = NULL;
    return s->pending == NULL;
}

bool cli_snapshots_gap(struct cli_snapshots *s, struct record_gap *gap) {
    uint64_t ts_ns = 0, missed = s->maker == NULL ? 0 : snapshot_missed(s->maker, &ts_ns);
    *gap = (struct record_gap){.ts_ns = ts_ns,
                               .from_ns = ts_ns,
                               .to_ns = ts_ns,
                               .lost = missed,
                               .what = RECORD_GAP_SNAPSHOTS,
                               .why = "more connections than could be given in time"};
    return missed > 0;
}

void cli_snapshots_fini(struct cli_snapshots *s) {
    snapshot_free(s->maker);
    *s = (struct cli_snapshots){0};
}
