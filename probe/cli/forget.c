/*
 * The verb `forget`: all that the store holds of a probe, deleted.
 *
 * Input: NAME, the store's URL. Output: a question on standard error, how much was deleted to
 * standard output, an exit status.
 */
#include <string.h>

#include "spanwatch/store_redis.h"

#include "cli.h"

/* On standard input, which may be a terminal or not. */
static bool is_sure(const char *name, const struct redis_url *url) {
    char shown[REDIS_SHOWN_TEXT], answer[16] = "";
    fprintf(stderr, "Delete all records of %s from %s? Type yes: ", name,
            redis_url_shown(url, shown));
    fflush(stderr);
    return fgets(answer, sizeof answer, stdin) != NULL && strcmp(answer, "yes\n") == 0;
}

static int prepare(const struct cli_options *o, struct cli_config *config, struct redis_url *url,
                   struct base_error *error) {
    if (o->file_count != 1)
        return base_error_set(error, "forget", "allowed is one NAME of a probe");
    if (!cli_name_is_valid(o->files[0]))
        return base_error_set(error, o->files[0],
                              "no probe's name: allowed are 1 to 64 of the characters A-Z a-z 0-9 "
                              ". _ -");
    if (cli_load_config(o, config, error) != 0)
        return -1;
    return cli_store_url(o, config, url, error);
}

int cli_forget(const struct cli_options *o) {
    struct cli_config config;
    struct redis_url url = {0};
    struct base_error error;
    uint64_t deleted = 0;
    enum cli_status status = CLI_DONE;
    cli_config_init(&config);
    if (prepare(o, &config, &url, &error) != 0) {
        base_error_print(&error);
        status = CLI_USAGE;
    } else if (!o->yes && !is_sure(o->files[0], &url)) {
        base_warn("%s: nothing was deleted", o->files[0]);
        status = CLI_FAILED;
    } else if (store_redis_forget(&url, config.store_prefix, o->files[0], &deleted, &error) != 0) {
        base_error_print(&error);
        status = CLI_FAILED;
    } else {
        printf("%s: %llu keys deleted\n", o->files[0], (unsigned long long)deleted);
    }
    cli_config_free(&config);
    return status;
}
