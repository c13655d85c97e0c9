/*
 * The CMDB between the files of --cmdb and the store, when a verb that writes records starts.
 *
 * Input: the files as loaded, the store. Output: the store has what the files say; or, where no
 * file was named, the program has what the store says, so that one file loaded once by
 * `spanwatch cmdb load` is enough for all.
 */
#include <hiredis/hiredis.h>

#include "spanwatch/store_cmdb.h"

#include "cli.h"

enum { DEADLINE_MS = 2000 /* less than what a probe has for its end */ };

static void count_change(void *context, const struct store_cmdb_change *change) {
    (void)change;
    ++*(size_t *)context;
}

static int put(struct redisContext *redis, const char *prefix, const struct cmdb *cmdb,
               struct base_error *error) {
    size_t changes = 0;
    if (store_cmdb_put(redis, prefix, cmdb, count_change, &changes, error) != 0)
        return -1;
    if (changes > 0)
        base_warn("cmdb: %zu entries of the store were changed to what --cmdb says", changes);
    return 0;
}

static int get(struct redisContext *redis, const char *prefix, struct cmdb **cmdb,
               struct base_error *error) {
    size_t odd;
    struct cmdb *fresh = cmdb_new();
    if (fresh == NULL)
        return base_error_set(error, "cmdb", "out of memory");
    if (store_cmdb_get(redis, prefix, fresh, &odd, error) != 0) {
        cmdb_free(fresh);
        return -1;
    }
    if (odd > 0)
        base_warn("cmdb: %zu entries of the store are not valid and are left out", odd);
    cmdb_free(*cmdb);
    *cmdb = fresh;
    return 0;
}

int cli_cmdb_share(const struct cli_options *o, const struct cli_config *config,
                   const struct redis_url *url, struct cmdb **cmdb, struct base_error *error) {
    struct redisContext *redis = redis_open(url, DEADLINE_MS, error);
    if (redis == NULL)
        return -1;
    int result = o->cmdb_count > 0 ? put(redis, config->store_prefix, *cmdb, error)
                                   : get(redis, config->store_prefix, cmdb, error);
    redisFree(redis);
    return result;
}
