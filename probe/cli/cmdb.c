/*
 * The verb `cmdb`: files into the store's hashes.
 *
 * Input: `load FILE...`, the store's URL. Output: what changed, to standard output; an exit status.
 * All files are read and validated before the store is asked for anything.
 */
#include <hiredis/hiredis.h>
#include <string.h>

#include "spanwatch/store_cmdb.h"

#include "cli.h"

enum { DEADLINE_MS = 5000, SHOWN = 20 /* changes of a kind that are listed */ };

enum change { ADDED, CHANGED, REMOVED, CHANGES };

/* What is counted, by [is_client][change]. */
struct report {
    size_t count[2][CHANGES];
};

static enum change kind_of(const struct store_cmdb_change *c) {
    if (c->was == NULL)
        return ADDED;
    return c->is != NULL ? CHANGED : REMOVED;
}

static void print_change(void *context, const struct store_cmdb_change *c) {
    static const char *const word[CHANGES] = {"added", "changed", "removed"};
    struct report *r = context;
    enum change kind = kind_of(c);
    if (r->count[c->is_client][kind]++ >= SHOWN)
        return;
    printf("%s %s %s: ", word[kind], c->is_client ? "client" : "service", c->key);
    if (kind == CHANGED)
        printf("%s, was %s\n", c->is, c->was);
    else
        printf("%s\n", kind == ADDED ? c->is : c->was);
}

static void print_sum(const char *what, size_t all, const size_t count[CHANGES]) {
    printf("%s: %zu", what, all);
    if (count[ADDED] + count[CHANGED] + count[REMOVED] == 0)
        printf(", as before\n");
    else
        printf("; %zu added, %zu changed, %zu removed\n", count[ADDED], count[CHANGED],
               count[REMOVED]);
}

static int put(const struct cli_config *config, const struct redis_url *url,
               const struct cmdb *cmdb, struct base_error *error) {
    struct report report = {0};
    struct redisContext *redis = redis_open(url, DEADLINE_MS, error);
    if (redis == NULL)
        return -1;
    int result = store_cmdb_put(redis, config->store_prefix, cmdb, print_change, &report, error);
    redisFree(redis);
    if (result != 0)
        return -1;
    if (cmdb_has_services(cmdb))
        print_sum("services", cmdb_services(cmdb), report.count[0]);
    if (cmdb_has_clients(cmdb))
        print_sum("clients", cmdb_clients(cmdb), report.count[1]);
    return 0;
}

static int check_words(const struct cli_options *o, struct base_error *error) {
    if (o->file_count == 0 || strcmp(o->files[0], "load") != 0)
        return base_error_set(error, "cmdb", "found %s%s%s, allowed is: load FILE...",
                              o->file_count > 0 ? "\"" : "nothing",
                              o->file_count > 0 ? o->files[0] : "", o->file_count > 0 ? "\"" : "");
    if (o->file_count == 1)
        return base_error_set(error, "cmdb load", "no FILE given; see 'spanwatch help cmdb'");
    return 0;
}

static enum cli_status load(const struct cli_options *o, const struct cli_config *config,
                            struct base_error *error) {
    struct redis_url url;
    struct cmdb *cmdb = cli_load_cmdb_files(o->files + 1, o->file_count - 1, error);
    enum cli_status status = CLI_USAGE;
    if (cmdb != NULL && cli_store_url(o, config, &url, error) == 0)
        status = put(config, &url, cmdb, error) == 0 ? CLI_DONE : CLI_FAILED;
    cmdb_free(cmdb);
    return status;
}

int cli_cmdb(const struct cli_options *o) {
    struct base_error error;
    struct cli_config config;
    enum cli_status status = CLI_USAGE;
    cli_config_init(&config);
    if (check_words(o, &error) == 0 && cli_load_config(o, &config, &error) == 0)
        status = load(o, &config, &error);
    if (status != CLI_DONE)
        base_error_print(&error);
    cli_config_free(&config);
    return status;
}
