/*
 * The options of `query`, each understood by one function of the form that options.c's table wants.
 */
#ifndef CLI_OPTIONS_QUERY_H
#define CLI_OPTIONS_QUERY_H

#include "cli.h"

typedef int cli_take_option(struct cli_options *o, const char *value, struct base_error *error);

extern cli_take_option cli_take_client, cli_take_server, cli_take_state, cli_take_client_state,
    cli_take_server_state, cli_take_cmdb_value, cli_take_query_at, cli_take_from, cli_take_to,
    cli_take_probe, cli_take_by, cli_take_limit, cli_take_follow, cli_take_query_format,
    cli_take_kind, cli_take_severity, cli_take_status, cli_take_query_service;

#endif
