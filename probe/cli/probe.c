/*
 * The verb `probe`: interfaces in, records out, until it is told to end.
 *
 * Input: options, already understood. Output: records to --output, what was obtained and what goes
 * wrong to standard error, an exit status. This file starts and ends a run; between lies
 * probe_loop.c. The order of the start matters: all that needs rights first, then rights are
 * dropped, then packets are read.
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- before anything is opened ---- */

static void apply_options(struct probe_job *job) {
    const struct cli_options *o = job->options;
    struct cli_config *c = &job->config;
    if (o->snaplen != 0)
        c->snaplen = o->snaplen;
    if (o->ring_mib != 0)
        c->ring_mib = o->ring_mib;
    if (o->no_promisc)
        c->promiscuous = 0;
}

static int check_options(const struct cli_options *o, struct base_error *error) {
    struct cli_filter *filter;
    if (o->file_count > 0)
        return base_error_set(error, "probe", "found \"%s\"; interfaces are given with -i",
                              o->files[0]);
    if (o->interface_count == 0)
        return base_error_set(error, "probe", "no interface given; -i eth0, or -i any for all");
    if (o->format == CLI_REPORT)
        return base_error_set(
            error, "--format",
            "a report is made of capture files, by read; allowed are jsonl, none");
    if (o->filter == NULL)
        return 0;
    if (cli_filter_new(&filter, o->filter, error) != 0)
        return -1;
    cli_filter_free(filter);
    return 0;
}

static int prepare(struct probe_job *job, struct base_error *error) {
    const struct cli_options *o = job->options;
    if (check_options(o, error) != 0)
        return -1;
    if (o->name != NULL)
        snprintf(job->name, sizeof job->name, "%s", o->name);
    else
        cli_name_of_host(job->name);
    if (cli_load_config(o, &job->config, error) != 0 ||
        cli_alarms_load(&job->alarms, o, error) != 0)
        return -1;
    apply_options(job);
    job->services = cli_load_services(o, error);
    if (job->services != NULL)
        job->cmdb = cli_load_cmdb(o, error);
    return job->cmdb != NULL ? 0 : -1;
}

/* ---- what needs rights ---- */

static int open_captures(struct probe_job *job, struct base_error *error) {
    const struct cli_options *o = job->options;
    struct capture_live_options live = {.interfaces = (const char *const *)o->interfaces,
                                        .count = o->interface_count,
                                        .snaplen = job->config.snaplen,
                                        .ring_mib = job->config.ring_mib,
                                        .timeout_ms = job->config.timeout_ms,
                                        .promiscuous = job->config.promiscuous != 0,
                                        .filter = o->filter,
                                        .share = &job->share};
    capture_share_init(&job->share, o->workers);
    if (!o->no_reopen) {
        live.gone = cli_opener_wake;
        live.gone_context = &job->opener;
    }
    if (capture_live_open(job->capture, o->workers, &live, error) != 0)
        return -1;
    job->workers = o->workers;
    return 0;
}

/*
 * The main loop must not wait for who reads the output, and must not make a shared descriptor (a
 * terminal, a pipe that others write to as well) non-blocking: so pipes and terminals are opened
 * anew. Files never block; what cannot be opened anew is a socket, which the main loop makes
 * non-blocking.
 */
static int open_own(int fd) {
    char path[32];
    struct stat st;
    if (fstat(fd, &st) != 0 || !(S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
        return dup(fd);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int own = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    return own >= 0 ? own : dup(fd);
}

static int open_lines(struct probe_job *job, struct base_error *error) {
    if (cli_output_open(&job->output, job->options, error) != 0)
        return -1;
    if (job->output.file == NULL)
        return 0;
    job->fd = open_own(fileno(job->output.file));
    if (job->fd < 0)
        return base_error_set(error, job->output.name, "cannot be opened: %s", strerror(errno));
    job->lines =
        store_jsonl_new(&job->context[0], job->fd, job->output.name, job->options->records);
    return job->lines != NULL ? 0 : base_error_set(error, job->output.name, "out of memory");
}

/* ---- workers ---- */

/* Stats count them too. */
static bool wants_snapshots(const struct cli_options *o) {
    return !o->no_store ||
           (o->format == CLI_JSONL && (o->records & (STORE_SNAPSHOTS | STORE_STATS)));
}

static int init_workers(struct probe_job *job, struct base_error *error) {
    struct cli_config share = job->config; /* borrows the lists */
    uint32_t n = (uint32_t)job->workers;
    share.max_flows = (job->config.max_flows + n - 1) / n;

    job->worker = calloc(job->options->workers, sizeof *job->worker);
    job->context = calloc(job->options->workers, sizeof *job->context);
    if (job->workers > 1)
        job->hand_over = cli_hand_over_new(&job->share);
    if (job->worker == NULL || job->context == NULL || (job->workers > 1 && job->hand_over == NULL))
        return base_error_set(error, "worker", "out of memory");
    if (wants_snapshots(job->options) &&
        cli_snapshots_init(&job->snapshots, job->context, job->workers, &job->config, error) != 0)
        return -1;
    for (size_t i = 0; i < job->workers; i++) {
        struct cli_worker *w = &job->worker[i];
        w->snapshots = job->snapshots.maker != NULL;
        w->others = job->hand_over;
        w->number = i;
        if (cli_worker_init(w, job->capture[i], &share, job->services, error) != 0)
            return -1;
        job->context[i] = (struct record_context){.probe = job->name,
                                                  .services = job->services,
                                                  .cmdb = job->cmdb,
                                                  .decoder = w->pipe.decoder,
                                                  .texts = record_texts_new()};
    }
    return cli_alarms_start(&job->alarms, job->context, n, &job->config, probe_take_alarm, job,
                            error);
}

static void tell_obtained(const struct probe_job *job) {
    for (size_t i = 0; i < job->options->interface_count; i++) {
        struct capture_live_obtained got;
        capture_live_obtained(job->capture[0], i, &got);
        base_warn("%s: capturing: link type %s, snaplen %u, ring %llu MiB for each of %zu workers, "
                  "TPACKET_V%u, timeout %u ms, timestamps in %s, %s, filter %s",
                  got.interface, got.link, got.snaplen, (unsigned long long)got.ring_octets >> 20,
                  job->workers, got.tpacket, job->config.timeout_ms,
                  got.nanoseconds ? "nanoseconds" : "microseconds",
                  got.promiscuous ? "promiscuous" : "not promiscuous",
                  job->options->filter != NULL ? job->options->filter : "none");
        if (!decode_knows_link(got.link_type))
            base_warn("%s: packets of this link type are not decoded", got.interface);
    }
}

/*
 * From all rights to none. The opener starts while CAP_NET_RAW is still there; what starts later
 * has nothing to inherit.
 */
static int drop_rights(struct probe_job *job, struct base_error *error) {
    bool reopen = !job->options->no_reopen;
    if (daemon_become(job->options->user, reopen, error) != 0)
        return -1;
    if (reopen && cli_opener_start(&job->opener, job->capture, job->workers, error) != 0)
        return -1;
    daemon_drop_capabilities();
    daemon_confine(job->store != NULL ? DAEMON_WRITER : DAEMON_PROBE);
    return 0;
}

/* Signals are the main thread's: all others start with all of them blocked. */
static int with_signals_blocked(struct probe_job *job,
                                int (*start)(struct probe_job *, struct base_error *),
                                struct base_error *error) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int result = start(job, error);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

static int start_all_workers(struct probe_job *job, struct base_error *error) {
    int result = 0;
    tell_obtained(job); /* the captures are the workers' from here on */
    for (size_t i = 0; i < job->workers && result == 0; i++)
        result = cli_worker_start(&job->worker[i], error);
    return result;
}

int probe_drop_rights(struct probe_job *job, struct base_error *error) {
    return with_signals_blocked(job, drop_rights, error);
}

int probe_start_workers(struct probe_job *job, struct base_error *error) {
    return with_signals_blocked(job, start_all_workers, error);
}

static int start_and_run(struct probe_job *job, struct base_error *error) {
    daemon_notify_open(&job->notify);
    if (probe_store_guard(job, error) != 0 || open_captures(job, error) != 0 ||
        init_workers(job, error) != 0 || open_lines(job, error) != 0 ||
        probe_store_open(job, error) != 0 || probe_warm_prepare(job, error) != 0)
        return -1;
    if (job->store != NULL)
        cli_alarms_recall(&job->alarms, &job->url, job->config.store_prefix, job->name);
    return probe_run(job, error);
}

/* ---- the end ---- */

static void finish(struct probe_job *job) {
    for (size_t i = 0; i < job->workers && job->worker != NULL; i++)
        cli_worker_stop(&job->worker[i]);
    for (size_t i = 0; i < job->workers && job->worker != NULL; i++)
        cli_worker_fini(&job->worker[i]);
    cli_opener_stop(&job->opener);
    probe_store_free(job);
    capture_live_free(job->capture, job->workers);
    store_jsonl_free(job->lines);
    if (job->fd >= 0)
        close(job->fd);
    cli_output_close(&job->output, NULL);
    daemon_notify_close(&job->notify);
    sem_destroy(&job->opener.wanted);
    sem_destroy(&job->opener.confined);
    cli_snapshots_fini(&job->snapshots);
    cli_alarms_tell_bounds(&job->alarms, true);
    cli_alarms_fini(&job->alarms);
    cli_hand_over_free(job->hand_over);
    free(job->worker);
    for (size_t i = 0; job->context != NULL && i < job->workers; i++)
        record_texts_free(job->context[i].texts);
    free(job->context);
    service_free(job->services);
    service_free(job->retired);
    cmdb_free(job->cmdb);
    cli_config_free(&job->config);
}

int cli_probe(const struct cli_options *o) {
    static struct probe_job job; /* large, and one a process */
    struct base_error error;
    enum cli_status status = CLI_USAGE;
    job = (struct probe_job){.options = o, .fd = -1, .guard = -1, .notify = {.fd = -1}};
    sem_init(&job.opener.wanted, 0, 0);
    sem_init(&job.opener.confined, 0, 0);
    cli_config_init(&job.config);
    if (prepare(&job, &error) != 0)
        base_error_print(&error);
    else if (start_and_run(&job, &error) != 0) {
        base_error_print(&error);
        status = CLI_FAILED;
    } else {
        status = job.failed ? CLI_FAILED : CLI_DONE;
    }
    finish(&job);
    return status;
}
