/*
 * The CMDB of `probe` and its store: when it starts and after SIGHUP, what the files say goes into
 * the store, or, without files, what the store says comes in.
 *
 * The store may be slow or away, and the main loop waits for nobody: the work is done by a thread
 * of libuv's pool, and tried again every few seconds until it has succeeded once. Meanwhile the
 * records have what was there before. Owner: the main thread; while `busy` the other thread reads
 * job->cmdb, which is not replaced then.
 */
#include "probe.h"

enum { AGAIN_S = 5 };

void probe_cmdb_use(struct probe_job *job, struct cmdb *fresh) {
    cmdb_free(job->cmdb);
    job->cmdb = fresh;
    for (size_t i = 0; i < job->workers; i++)
        job->context[i].cmdb = fresh;
}

static void work(uv_work_t *request) {
    struct probe_job *job = request->data;
    struct probe_cmdb *s = &job->cmdb_share;
    s->cmdb = job->options->cmdb_count > 0 ? job->cmdb : NULL;
    s->result = cli_cmdb_share(job->options, &job->config, &job->url, &s->cmdb, &s->error);
}

static void after_work(uv_work_t *request, int status) {
    struct probe_job *job = request->data;
    struct probe_cmdb *s = &job->cmdb_share;
    bool taken = status == 0 && s->result == 0 && job->options->cmdb_count == 0;
    s->busy = false;
    s->due_ns = status == 0 && s->result == 0 ? 0 : uv_hrtime() + AGAIN_S * BASE_NS_PER_S;
    if (taken)
        probe_cmdb_use(job, s->cmdb);
    if (status == 0 && s->result != 0 && !s->told) {
        base_error_print(&s->error);
        base_warn("cmdb: the store has not got it, or not told it, yet; trying again");
        s->told = true;
    }
    if (s->reload && !job->stopping)
        probe_reload(job);
}

void probe_cmdb_share(struct probe_job *job) {
    struct probe_cmdb *s = &job->cmdb_share;
    if (job->store == NULL || s->busy || job->stopping)
        return;
    s->request.data = job;
    s->busy = uv_queue_work(&job->uv.loop, &s->request, work, after_work) == 0;
    s->due_ns = s->busy ? 0 : uv_hrtime() + AGAIN_S * BASE_NS_PER_S;
}

void probe_cmdb_again(struct probe_job *job) {
    if (job->cmdb_share.due_ns != 0 && uv_hrtime() >= job->cmdb_share.due_ns)
        probe_cmdb_share(job);
}
