/*
 * The main loop of `probe`: timers, signals, notes, the orderly end.
 *
 * Input: what libuv calls back for. Output: calls of probe_records.c, words to the service manager.
 * Nothing here waits: a blocked output is polled, and the end has a deadline.
 */
#include "probe.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SECOND_MS = 1000,
    FLUSH_MS = 100, /* a record waits so long for others to be written with it */
    ENDING_MS = 10,
    END_MS = 4000, /* from the signal to the end, whatever happens (the contract says 5 s) */
};

/* ---- output ---- */

static void on_writable(uv_poll_t *handle, int status, int events);

/* The rest waits until the descriptor takes more. */
static void watch_output(struct probe_job *job) {
    if (job->pollable)
        uv_poll_start(&job->uv.writable, UV_WRITABLE, on_writable);
}

/* The output cannot be written any more: a reader that went away has seen enough, anything else is
 * a failure. */
static void check_output(struct probe_job *job) {
    int fault = job->lines != NULL ? store_jsonl_fault(job->lines) : 0;
    if (fault == 0 || job->stopping)
        return;
    if (fault != EPIPE)
        base_warn("%s: cannot be written: %s; ending", job->output.name, strerror(fault));
    probe_stop(job, fault != EPIPE);
}

static bool flush(struct probe_job *job) {
    bool all = job->lines == NULL || store_jsonl_flush(job->lines);
    if (!all)
        watch_output(job);
    check_output(job);
    return all;
}

static void drain(struct probe_job *job) {
    bool more = !probe_drain(job) && !job->blocked;
    if (!probe_store_snapshot_go_on(job, false) && !store_redis_is_crowded(job->store))
        more = true;
    if (more)
        uv_async_send(&job->uv.notes); /* timers and signals first */
    if (job->blocked)
        watch_output(job);
}

static void on_writable(uv_poll_t *handle, int status, int events) {
    struct probe_job *job = handle->data;
    (void)status;
    (void)events;
    uv_poll_stop(handle);
    flush(job);
    drain(job);
}

static void on_notes(uv_async_t *handle) {
    drain(handle->data);
}

static void on_flush(uv_timer_t *handle) {
    struct probe_job *job = handle->data;
    drain(job);
    flush(job);
}

/* ---- once a second, and on request ---- */

/* The services of before a reload are freed when no worker looks into them any more. */
static void free_retired(struct probe_job *job) {
    for (size_t i = 0; i < job->workers; i++)
        if (atomic_load_explicit(&job->worker[i].services_used, memory_order_acquire) !=
            job->services)
            return;
    service_free(job->retired);
    job->retired = NULL;
}

static void on_second(uv_timer_t *handle) {
    struct probe_job *job = handle->data;
    drain(job);
    probe_tell_stats(job);
    free_retired(job);
    probe_cmdb_again(job);
    probe_baselines_save(job);
}

/* A sign of life only when every worker has given one. */
static void on_watchdog(uv_timer_t *handle) {
    struct probe_job *job = handle->data;
    bool alive = true;
    for (size_t i = 0; i < job->workers; i++) {
        uint64_t beats = atomic_load_explicit(&job->worker[i].beats, memory_order_relaxed);
        alive = alive && beats != job->beats[i];
        job->beats[i] = beats;
    }
    if (alive || job->stopping)
        daemon_notify_send(&job->notify, "WATCHDOG=1");
}

static void use_services(struct probe_job *job, struct service_table *fresh) {
    job->retired = job->services;
    job->services = fresh;
    for (size_t i = 0; i < job->workers; i++) {
        job->context[i].services = fresh;
        if (job->context[i].texts != NULL)
            record_texts_forget(job->context[i].texts);
        atomic_store_explicit(&job->worker[i].services, fresh, memory_order_release);
    }
}

void probe_reload(struct probe_job *job) {
    struct base_error error;
    struct service_table *fresh = NULL;
    struct cmdb *cmdb = NULL;
    free_retired(job);
    job->cmdb_share.reload = job->cmdb_share.busy;
    if (job->cmdb_share.reload)
        return; /* once the other thread has done with the CMDB */
    if (job->retired != NULL) {
        base_warn("SIGHUP: the last reload is not over yet; try again");
        return;
    }
    if (cli_alarms_reload(&job->alarms, &error) == 0 &&
        (cmdb = cli_load_cmdb(job->options, &error)) != NULL)
        fresh = cli_load_services(job->options, &error);
    if (fresh == NULL) {
        cmdb_free(cmdb);
        base_error_print(&error);
        base_warn("SIGHUP: the configuration stays as it was");
        return;
    }
    use_services(job, fresh);
    if (job->options->cmdb_count > 0 || job->store == NULL)
        probe_cmdb_use(job, cmdb);
    else
        cmdb_free(cmdb); /* an empty one: the store's stays until it has answered */
    job->cmdb_share.told = false;
    probe_cmdb_share(job);
    cli_alarms_use(&job->alarms);
    base_warn("SIGHUP: configuration loaded");
}

static void on_reload(uv_signal_t *handle, int number) {
    (void)number;
    probe_reload(handle->data);
}

/* ---- the end ---- */

bool probe_is_done(const struct probe_job *job) {
    for (size_t i = 0; i < job->workers; i++)
        if (!atomic_load_explicit(&job->worker[i].done, memory_order_acquire))
            return false;
    return true;
}

/* Workers end, their last notes are written, then the last gaps and counters: or the deadline
 * comes. */
static void on_ending(uv_timer_t *handle) {
    struct probe_job *job = handle->data;
    bool done = probe_is_done(job), drained = probe_drain(job),
         late = uv_hrtime() >= job->deadline_ns;
    flush(job);
    if ((done && drained) || late)
        uv_stop(&job->uv.loop);
}

void probe_stop(struct probe_job *job, bool failed) {
    job->failed = job->failed || failed;
    if (job->stopping)
        return;
    job->stopping = true;
    job->deadline_ns = uv_hrtime() + END_MS * BASE_NS_PER_MS;
    daemon_notify_send(&job->notify, "STOPPING=1");
    for (size_t i = 0; i < job->workers; i++)
        cli_worker_stop(&job->worker[i]);
    uv_timer_start(&job->uv.ending, on_ending, 0, ENDING_MS);
}

static void on_end_signal(uv_signal_t *handle, int number) {
    (void)number;
    probe_stop(handle->data, false);
}

static void on_limit(uv_timer_t *handle) {
    probe_stop(handle->data, false);
}

/* After the loop: whatever is still buffered, until the deadline. */
static void write_rest(struct probe_job *job) {
    bool done = probe_is_done(job);
    if (done) {
        probe_tell_missing(job);
        probe_tell_stats(job);
    }
    probe_store_end(job);
    while (!flush(job) && uv_hrtime() < job->deadline_ns)
        usleep(ENDING_MS * 1000);
    int fault = job->lines != NULL ? store_jsonl_fault(job->lines) : 0;
    if (!done || (job->lines != NULL && !store_jsonl_flush(job->lines))) {
        base_warn("the end took too long: what was not written until now is lost");
        job->failed = true;
    }
    if (fault != 0 && fault != EPIPE && !job->failed) { /* not told when it came */
        base_warn("%s: cannot be written: %s", job->output.name, strerror(fault));
        job->failed = true;
    }
    if (!done)
        _exit(CLI_FAILED); /* a worker is stuck: it cannot be waited for */
    probe_warm_save(job);
}

/* ---- the loop's life ---- */

static void start_timers(struct probe_job *job) {
    struct probe_loop *uv = &job->uv;
    uv_timer_start(&uv->second, on_second, SECOND_MS, SECOND_MS);
    uv_timer_start(&uv->flush, on_flush, FLUSH_MS, FLUSH_MS);
    if (job->options->duration_ns > 0)
        uv_timer_start(&uv->limit, on_limit, job->options->duration_ns / BASE_NS_PER_MS, 0);
    uint64_t half_ms = job->notify.watchdog_ns / BASE_NS_PER_MS / 2;
    if (half_ms > 0)
        uv_timer_start(&uv->watchdog, on_watchdog, half_ms, half_ms);
}

static void wake_loop(void *notes) {
    uv_async_send(notes);
}

static int init_loop(struct probe_job *job) {
    struct probe_loop *uv = &job->uv;
    uv_timer_t *timers[] = {&uv->second, &uv->flush, &uv->limit, &uv->watchdog, &uv->ending};
    uv_signal_t *signals[] = {&uv->terminate, &uv->interrupt, &uv->reload};
    int result = uv_loop_init(&uv->loop);
    if (result != 0)
        return result;
    result = uv_async_init(&uv->loop, &uv->notes, on_notes);
    uv->notes.data = job;
    for (size_t i = 0; i < sizeof timers / sizeof timers[0]; i++) {
        uv_timer_init(&uv->loop, timers[i]);
        timers[i]->data = job;
    }
    for (size_t i = 0; i < sizeof signals / sizeof signals[0] && result == 0; i++) {
        result = uv_signal_init(&uv->loop, signals[i]);
        signals[i]->data = job;
    }
    /* A regular file cannot be polled, and need not be. */
    job->pollable = job->fd >= 0 && uv_poll_init(&uv->loop, &uv->writable, job->fd) == 0;
    uv->writable.data = job;
    for (size_t i = 0; i < job->workers; i++) {
        job->worker[i].wake = wake_loop;
        job->worker[i].wake_context = &uv->notes;
    }
    return result;
}

static int start_signals(struct probe_loop *uv) {
    int result = uv_signal_start(&uv->terminate, on_end_signal, SIGTERM);
    if (result == 0)
        result = uv_signal_start(&uv->interrupt, on_end_signal, SIGINT);
    return result == 0 ? uv_signal_start(&uv->reload, on_reload, SIGHUP) : result;
}

static void close_handle(uv_handle_t *handle, void *context) {
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* Handles are closed by the loop itself, so it runs once more. Workers may not wake it any more. */
static void close_loop(struct probe_loop *uv) {
    uv_walk(&uv->loop, close_handle, NULL);
    uv_run(&uv->loop, UV_RUN_DEFAULT);
    uv_loop_close(&uv->loop);
}

/* Rights are dropped before the loop is made: libuv 1.45 and later watch descriptors through
 * io_uring where they may, whose calls are none of those that a confined probe can make. It does
 * not come into being behind the filter of system calls, and libuv goes without. */
int probe_run(struct probe_job *job, struct base_error *error) {
    if (probe_drop_rights(job, error) != 0)
        return -1;
    int result = init_loop(job);
    if (result == 0)
        result = start_signals(&job->uv);
    if (result != 0)
        return base_error_set(error, "main loop", "%s", uv_strerror(result));
    result = probe_store_start(job, error);
    if (result == 0)
        result = probe_warm_start(job, error);
    if (result == 0)
        result = probe_start_workers(job, error);
    if (result == 0) {
        struct record_gap missed;
        if (probe_warm_gap(job, &missed))
            probe_tell_gap(job, &missed);
        start_timers(job);
        probe_cmdb_share(job);
        base_warn_without_waiting(); /* whoever reads the messages must not hold the loop */
        daemon_notify_send(&job->notify, "READY=1");
        uv_run(&job->uv.loop, UV_RUN_DEFAULT);
        write_rest(job);
    }
    probe_store_close(job);
    close_loop(&job->uv);
    return result;
}
