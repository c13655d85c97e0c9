/*
 * What several verbs begin with: the configuration and the tables that the options name, and the
 * store that they mean.
 *
 * Input: options. Output: what was loaded, the caller's, or an error that says where it is wrong.
 */
#include "cli.h"

int cli_load_config(const struct cli_options *o, struct cli_config *config,
                    struct base_error *error) {
    return cli_config_load(config, o->config, o->set, o->set_count, error);
}

struct service_table *cli_load_services(const struct cli_options *o, struct base_error *error) {
    struct service_table *t = service_new();
    if (t == NULL) {
        base_error_set(error, "services", "out of memory");
        return NULL;
    }
    if (o->services != NULL && service_load(t, o->services, error) != 0) {
        service_free(t);
        return NULL;
    }
    return t;
}

struct cmdb *cli_load_cmdb_files(const char *const *files, size_t n, struct base_error *error) {
    struct cmdb *c = cmdb_new();
    if (c == NULL)
        base_error_set(error, "cmdb", "out of memory");
    for (size_t i = 0; i < n && c != NULL; i++) {
        if (cmdb_load(c, files[i], error) == 0)
            continue;
        cmdb_free(c);
        c = NULL;
    }
    return c;
}

struct cmdb *cli_load_cmdb(const struct cli_options *o, struct base_error *error) {
    return cli_load_cmdb_files(o->cmdb, o->cmdb_count, error);
}

int cli_store_url(const struct cli_options *o, const struct cli_config *config,
                  struct redis_url *url, struct base_error *error) {
    if (o->redis != NULL)
        return redis_url_parse(url, o->redis, error);
    return redis_embedded_find(config->state_folder, url, error);
}
