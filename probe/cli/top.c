/*
 * The verb `top`: where the store is, and on to the top room.
 *
 * Input: options, already understood. Output: the terminal; errors to standard error, an exit
 * status.
 */
#include "spanwatch/top.h"

#include "cli.h"

static int check(const struct cli_options *o, struct cli_config *config, struct redis_url *url,
                 struct base_error *error) {
    if (o->file_count > 0)
        return base_error_set(error, "top", "found \"%s\"; it takes options only", o->files[0]);
    if (cli_load_config(o, config, error) != 0)
        return -1;
    return cli_store_url(o, config, url, error);
}

int cli_top(const struct cli_options *o) {
    struct base_error error;
    struct cli_config config;
    struct redis_url url;
    enum cli_status status = CLI_USAGE;
    cli_config_init(&config);
    if (check(o, &config, &url, &error) == 0) {
        struct top_options top = {.url = &url,
                                  .prefix = config.store_prefix,
                                  .probe = o->ask.probe,
                                  .every_ms = (unsigned)(o->every_ns / BASE_NS_PER_MS)};
        status = top_run(&top, &error) == 0 ? CLI_DONE : CLI_FAILED;
    }
    if (status != CLI_DONE)
        base_error_print(&error);
    cli_config_free(&config);
    return status;
}
