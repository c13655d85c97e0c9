/*
 * options: how options are understood, each by one function of the form that the table in options.c
 * wants: `value` is what was given, borrowed. 0, or -1 with `error` that names the option and says
 * what is allowed.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "cli.h"

typedef int cli_take_option(struct cli_options *o, const char *value, struct base_error *error);

/* options_run.c: what a run reads and writes, and how; and the few of other verbs */
extern cli_take_option cli_take_name, cli_take_redis, cli_take_store, cli_take_set, cli_take_cmdb,
    cli_take_workers, cli_take_format, cli_take_records, cli_take_at, cli_take_linger,
    cli_take_interface, cli_take_snaplen, cli_take_ring, cli_take_duration, cli_take_words,
    cli_take_every;

/* options_query.c: what is asked of the store */
extern cli_take_option cli_take_client, cli_take_server, cli_take_state, cli_take_client_state,
    cli_take_server_state, cli_take_cmdb_value, cli_take_query_at, cli_take_from, cli_take_to,
    cli_take_probe, cli_take_by, cli_take_limit, cli_take_query_format, cli_take_kind,
    cli_take_severity, cli_take_status, cli_take_query_service;

/* What both share. One of `n` words, told with all of them when it is none. */
int cli_take_word(const char *option, const char *value, const char *const *words, size_t n,
                  size_t *which, struct base_error *error);
int cli_take_moment(const char *option, const char *value, struct cli_at *at,
                    struct base_error *error);
/* A probe's name. */
int cli_take_probe_name(const char *option, const char *value, const char **name,
                        struct base_error *error);

#endif
