/*
 * The store of `probe`: what is opened while there are rights, and what the main loop hands on.
 *
 * Input: --redis, the configuration. Output: a writer on the main loop. Files and folders that the
 * writer needs later are given to the user that the probe becomes.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spanwatch/store_embedded.h"

#include "probe.h"

enum {
    END_LEAST_MS = 500, /* for what is not stored yet; the rest lies in the spool */
    GROUPS_MOST = 256,
    SNAPSHOT_MS = 2 /* of a snapshot at once: packets' events wait meanwhile */
};

/* The state folder, the spool's in it or beside it: the new user's. */
static int prepare_folders(struct probe_job *job, char state[REDIS_FOLDER_TEXT],
                           char spool[REDIS_FOLDER_TEXT], struct base_error *error) {
    const struct cli_config *c = &job->config;
    int n;
    if (redis_state_folder(c->state_folder, state, error) != 0)
        return -1;
    if (c->store_spool_folder[0] != '\0')
        n = snprintf(spool, REDIS_FOLDER_TEXT, "%s/%s.spool", c->store_spool_folder, job->name);
    else
        n = snprintf(spool, REDIS_FOLDER_TEXT, "%s/%s.spool", state, job->name);
    if (n < 0 || n >= REDIS_FOLDER_TEXT)
        return base_error_set(error, "store.spool_folder", "the path is too long");
    return 0;
}

/* Would that user be let in? Asked as that user, for a moment; what is not there yet, may come. */
static bool may_open(const char *path, uid_t uid, gid_t gid) {
    gid_t groups[GROUPS_MOST];
    int count = getgroups(GROUPS_MOST, groups);
    if (geteuid() != 0 || uid == 0 || count < 0)
        return true;
    bool asked = setgroups(0, NULL) == 0 && setegid(gid) == 0 && seteuid(uid) == 0;
    bool refused = asked && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0 && errno == EACCES;
    if (seteuid(0) != 0 || setegid(0) != 0 || setgroups((size_t)count, groups) != 0)
        base_warn("%s: the rights of before could not be taken back", path);
    return !refused;
}

/* Told now, and not as a store that cannot be reached for hours. */
static int check_socket(const struct probe_job *job, uid_t uid, gid_t gid,
                        struct base_error *error) {
    const char *path = job->url.path;
    if (job->embedded || path[0] == '\0' || may_open(path, uid, gid))
        return 0;
    return base_error_set(error, path,
                          "may not be opened by the user that the probe becomes (number %u): let "
                          "others open it (redis.conf: unixsocketperm; and its folder), or say "
                          "--user NAME",
                          (unsigned)uid);
}

int probe_store_guard(struct probe_job *job, struct base_error *error) {
    char state[REDIS_FOLDER_TEXT];
    uid_t uid;
    gid_t gid;
    if (job->options->no_store || job->options->redis != NULL)
        return 0;
    if (redis_state_folder(job->config.state_folder, state, error) != 0 ||
        daemon_user(job->options->user, &uid, &gid, error) != 0 ||
        daemon_give(state, uid, gid, error) != 0)
        return -1;
    job->guard = store_embedded_guard(state, uid, gid, error);
    return job->guard >= 0 ? 0 : -1;
}

int probe_store_open(struct probe_job *job, struct base_error *error) {
    const struct cli_config *c = &job->config;
    struct store_redis_options o = {.prefix = c->store_prefix,
                                    .name = job->name,
                                    .version = SPANWATCH_VERSION,
                                    .partitions = c->store_partitions,
                                    .flush_ms = c->store_flush_ms,
                                    .keep_s = c->store_keep_s,
                                    .queue_mib = c->store_queue_mib,
                                    .spool_mib = c->store_spool_mib,
                                    .retention_s = c->store_retention_s,
                                    .retention_mib = c->store_retention_mib,
                                    .history = STORE_REDIS_CONTINUE,
                                    .live = true,
                                    .may_wait = true};
    char state[REDIS_FOLDER_TEXT], spool[REDIS_FOLDER_TEXT];
    uid_t uid;
    gid_t gid;
    if (job->options->no_store)
        return 0;
    if (prepare_folders(job, state, spool, error) != 0 ||
        daemon_user(job->options->user, &uid, &gid, error) != 0 ||
        daemon_give(state, uid, gid, error) != 0)
        return -1;
    o.state_folder = state;
    o.spool_folder = c->store_spool_mib > 0 ? spool : NULL;
    if (job->options->redis == NULL) {
        if (store_embedded_start(state, job->guard, &o.url, error) != 0)
            return -1;
        job->embedded = true;
    } else if (redis_url_parse(&o.url, job->options->redis, error) != 0) {
        return -1;
    }
    job->url = o.url;
    job->store = store_redis_new(&o, error);
    if (job->store == NULL)
        return -1;
    if (check_socket(job, uid, gid, error) != 0 || daemon_give(state, uid, gid, error) != 0 ||
        (o.spool_folder != NULL && daemon_give(spool, uid, gid, error) != 0))
        return -1;
    return 0;
}

int probe_store_start(struct probe_job *job, struct base_error *error) {
    return job->store != NULL ? store_redis_start(job->store, &job->uv.loop, error) : 0;
}

/* What an earlier run had in its spool is in the store only now: alarms that it left in force, too.
 */
static void recall_once(struct probe_job *job, const struct store_redis_counters *c) {
    if (job->recalled || !c->reached || c->queued > 0 || c->spooled > 0)
        return;
    job->recalled = true;
    cli_alarms_recall(&job->alarms, &job->url, job->config.store_prefix, job->name);
}

/* How the store stands, into the counters; and whether this probe may still write. */
void probe_store_stats(struct probe_job *job, struct record_stats *s) {
    struct store_redis_counters c;
    if (job->store == NULL)
        return;
    store_redis_counters(job->store, &c);
    s->store_queued = c.queued;
    s->store_spooled = c.spooled;
    s->store_lost = c.lost;
    job->sink_fill = c.spool_most > 0 ? (double)c.spool_octets / (double)c.spool_most : 0;
    job->sink_lag_s = c.oldest_ns != 0 && s->ts_ns > c.oldest_ns
                          ? (double)(s->ts_ns - c.oldest_ns) / (double)BASE_NS_PER_S
                          : 0;
    recall_once(job, &c);
    store_redis_stats(job->store, s);
    if (store_redis_wants_keyframe(job->store))
        snapshot_want_keyframe(job->snapshots.maker);
    if (c.lost_lock && !job->stopping)
        probe_stop(job, true);
}

void probe_store_snapshot(struct probe_job *job) {
    job->storing = job->snapshots.pending;
    job->storing_at = (struct store_redis_cursor){0};
}

bool probe_store_snapshot_go_on(struct probe_job *job, bool hurry) {
    uint64_t until_ns = job->storing != NULL ? uv_hrtime() + SNAPSHOT_MS * BASE_NS_PER_MS : 0;
    while (job->storing != NULL && uv_hrtime() < until_ns &&
           (hurry || !store_redis_is_crowded(job->store)))
        if (store_redis_snapshot(job->store, job->context, job->storing, &job->storing_at))
            job->storing = NULL;
    return job->storing == NULL;
}

void probe_take_alarm(void *probe_job, const struct alarm *m) {
    struct probe_job *job = probe_job;
    struct alarm own = *m;
    if (job->store != NULL)
        cli_alarms_store(job->store, job->context, &own);
    if (job->lines != NULL)
        cli_alarms_keep(&job->alarms, &own);
}

void probe_store_end(struct probe_job *job) {
    if (job->store == NULL)
        return;
    uint64_t now_ns = uv_hrtime(), left_ms = END_LEAST_MS;
    while (!probe_store_snapshot_go_on(job, true))
        ;
    probe_baselines_end(job);
    if (job->deadline_ns > now_ns + left_ms * BASE_NS_PER_MS)
        left_ms = (job->deadline_ns - now_ns) / BASE_NS_PER_MS;
    store_redis_finish(job->store, job->told.ts_ns, (uint32_t)left_ms);
    while (!store_redis_is_finished(job->store))
        uv_run(&job->uv.loop, UV_RUN_ONCE);
    uint64_t left = store_redis_left(job->store);
    if (left > 0) {
        base_warn("the store did not take the last %llu records in time: they are lost",
                  (unsigned long long)left);
        job->failed = true;
    }
}

void probe_store_close(struct probe_job *job) {
    if (job->store != NULL)
        store_redis_close(job->store);
}

void probe_store_free(struct probe_job *job) {
    bool opened = job->store != NULL;
    store_redis_free(job->store);
    job->store = NULL;
    if (job->embedded && opened)
        store_embedded_stop(&job->url, job->guard);
    if (job->guard >= 0)
        close(job->guard);
}
