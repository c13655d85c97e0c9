/*
 * The verb `query`: ask the store, print the answer.
 *
 * Input: options, already understood. Output: rows to standard output as a table, JSON or CSV;
 * warnings and errors to standard error; an exit status. The work is the query room's.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static struct query *followed; /* for the signal handler */

static void stop(int signal_number) {
    (void)signal_number;
    query_stop(followed);
}

/* --follow ends with a signal, and then with success. */
static void catch_signals(struct query *q) {
    struct sigaction action = {.sa_handler = stop};
    followed = q;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static bool wants_colour(int fd) {
    const char *none = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fd) == 1 && (none == NULL || *none == '\0') && term != NULL &&
           strcmp(term, "dumb") != 0;
}

static int ask(const struct cli_options *o, struct query *q, struct base_error *error) {
    struct query_writer *w = query_writer_new(o->query_format, stdout, stderr,
                                              wants_colour(STDOUT_FILENO), o->ask.follow);
    if (w == NULL)
        return base_error_set(error, "query", "out of memory");
    struct query_sink sink = query_writer_sink(w);
    if (o->ask.follow)
        catch_signals(q);
    int result = query_run(q, &o->ask, &sink, error);
    if (result == 0)
        result = query_writer_end(w, error);
    query_writer_free(w);
    return result;
}

/* What only the store can tell to be wrong with an option is wrong usage too. */
static enum cli_status status_of(const struct base_error *error) {
    bool is_option = strcmp(error->what, "--client") == 0 || strcmp(error->what, "--probe") == 0 ||
                     strcmp(error->what, "--redis") == 0;
    return is_option ? CLI_USAGE : CLI_FAILED;
}

int cli_query(const struct cli_options *o) {
    struct cli_options options = *o;
    struct base_error error;
    struct cli_config config;
    struct redis_url url;
    struct query *q = NULL;
    enum cli_status status = CLI_USAGE;
    cli_config_init(&config);
    if (cli_query_complete(&options, &error) == 0 && cli_load_config(o, &config, &error) == 0) {
        status = CLI_FAILED;
        if (cli_store_url(o, &config, &url, &error) == 0)
            q = query_open(&url, config.store_prefix, QUERY_TIMEOUT_MS, &error);
        else
            status = status_of(&error);
        if (q != NULL)
            status = ask(&options, q, &error) == 0 ? CLI_DONE : status_of(&error);
    }
    if (status != CLI_DONE)
        base_error_print(&error);
    query_close(q);
    cli_config_free(&config);
    return status;
}
