/*
 * The checkpoint file of the workers' flow tables: written when a probe ends in order, read and
 * removed when it starts again.
 *
 *   head: magic, layout of this build, octets that follow, their checksum
 *   how many tables there are, and the latest of their clocks
 *   of each: the decoder's scopes, then what flow_save gives
 *
 * The head is written last: a file whose writing was interrupted has none. The checksum is
 * SipHash-2-4 in a chain, under a fixed key: it is against accidents, not against people.
 */
#ifndef CLI_CHECKPOINT_H
#define CLI_CHECKPOINT_H

#include "spanwatch/capture_share.h"

#include "pipe.h"

/* The workers' pipes. */
struct cli_pipes {
    struct cli_pipe *pipe[CLI_WORKERS_MOST];
    size_t n;
};

/* -1 with `error` when it cannot be written; what was written then is no checkpoint. */
int cli_checkpoint_save(const struct cli_pipes *p, const char *path, struct base_error *error);

enum cli_checkpoint_result { CLI_CHECKPOINT_NONE, CLI_CHECKPOINT_LOADED, CLI_CHECKPOINT_USELESS };

/*
 * Load into pipes that were started and have seen nothing, each flow into the one that will get its
 * packets: there may be more or fewer than there were. The file is removed. NONE: there is no
 * file. USELESS, with `error`: damaged, or of another build; nothing was loaded. A file that is
 * whole and cannot be loaded all the same (memory is short) ends the program's start: -1.
 */
int cli_checkpoint_load(const struct cli_pipes *p, const struct capture_share *share,
                        const char *path, struct base_error *error);

#endif
