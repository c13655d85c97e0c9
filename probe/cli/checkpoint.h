/*
 * The checkpoint file of a flow table: written when a probe ends in order, read and removed when it
 * starts again.
 *
 *   head: magic, layout of this build, octets that follow, their checksum
 *   the decoder's scopes, then what flow_save gives
 *
 * The head is written last: a file whose writing was interrupted has none. The checksum is
 * SipHash-2-4 in a chain, under a fixed key: it is against accidents, not against people.
 */
#ifndef CLI_CHECKPOINT_H
#define CLI_CHECKPOINT_H

#include "pipe.h"

/* -1 with `error` when it cannot be written; what was written then is no checkpoint. */
int cli_checkpoint_save(const struct cli_pipe *p, const char *path, struct base_error *error);

enum cli_checkpoint_result { CLI_CHECKPOINT_NONE, CLI_CHECKPOINT_LOADED, CLI_CHECKPOINT_USELESS };

/*
 * Load into a pipe that was started and has seen nothing; the file is removed. NONE: there is no
 * file. USELESS, with `error`: damaged, or of another build; nothing was loaded. A file that is
 * whole and cannot be loaded all the same (memory is short) ends the program's start: -1.
 */
int cli_checkpoint_load(struct cli_pipe *p, const char *path, struct base_error *error);

#endif
