/*
 * Where the verbs' data goes.
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "cli.h"

struct cli_output {
    FILE *file; /* NULL with --format none */
    const char *name;
    bool owned; /* to be closed */
};

/* Open what --output names; a capture that is to be read is refused. 0, or -1 with `error`. */
int cli_output_open(struct cli_output *out, const struct cli_options *o, struct base_error *error);

/* Close it, if it is ours; may be called again. 0, or -1 with `error` when data was lost. */
int cli_output_close(struct cli_output *out, struct base_error *error);

#endif
