/*
 * The baselines of `probe` on their way into the store, each five minutes: they change once an
 * hour, and a restart forgets no more than that.
 *
 * The store may be slow or away, and the main loop waits for nobody: what has changed is collected
 * here and sent by a thread of libuv's pool; what it could not send is tried again. Owner: the main
 * thread; while `busy` the other thread reads what was collected.
 */
#include "probe.h"

enum { SAVE_S = 300 };

static void work(uv_work_t *request) {
    struct probe_job *job = request->data;
    struct probe_baselines *b = &job->baselines;
    b->sent = cli_alarms_send(b->saving, &job->url);
}

static void forget(struct probe_baselines *b) {
    cli_alarms_saving_free(b->saving);
    b->saving = NULL;
}

static void after_work(uv_work_t *request, int status) {
    struct probe_job *job = request->data;
    struct probe_baselines *b = &job->baselines;
    b->busy = false;
    if (status == 0 && b->sent)
        forget(b);
}

void probe_baselines_save(struct probe_job *job) {
    struct probe_baselines *b = &job->baselines;
    uint64_t now_ns = uv_hrtime();
    struct store_redis_counters c;
    if (job->store == NULL || b->busy || now_ns - b->tried_ns < SAVE_S * BASE_NS_PER_S)
        return;
    store_redis_counters(job->store, &c);
    if (!c.reached)
        return;
    b->tried_ns = now_ns;
    if (b->saving == NULL)
        b->saving = cli_alarms_collect(&job->alarms, job->config.store_prefix, job->name);
    if (b->saving == NULL)
        return;
    b->request.data = job;
    b->busy = uv_queue_work(&job->uv.loop, &b->request, work, after_work) == 0;
}

void probe_baselines_end(struct probe_job *job) {
    struct probe_baselines *b = &job->baselines;
    while (b->busy)
        uv_run(&job->uv.loop, UV_RUN_ONCE);
    if (b->saving != NULL)
        cli_alarms_send(b->saving, &job->url);
    forget(b);
    cli_alarms_save(&job->alarms, &job->url, job->config.store_prefix, job->name);
}
