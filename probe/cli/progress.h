/*
 * The bar that shows how far reading has come: on standard error, when that is a terminal.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "spanwatch/capture.h"

struct cli_progress {
    bool shown;                 /* standard error is a terminal */
    bool drawn;                 /* a line stands there that must be wiped */
    uint64_t start_ns, next_ns; /* of the machine's clock: this is the one place that asks it */
};

void cli_progress_start(struct cli_progress *p);
/* Draw when a tenth of a second has passed since the last time. */
void cli_progress_update(struct cli_progress *p, const struct capture *c);
/* Wipe the line, before anything else is written. */
void cli_progress_stop(struct cli_progress *p);

#endif
