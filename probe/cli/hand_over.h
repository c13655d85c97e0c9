/*
 * hand_over: segments on their way from the worker that got their packets to the one whose
 * connection they belong to, in order of time.
 *
 * The kernel shares packets out by what one packet shows (capture_share.h), so that nearly all
 * segments stay where they came. But a tunnel's packet in fragments shows its connection in the
 * first of them at best; the decoder of the worker that got all of them joins it, and its segment
 * is handed over. For that to be in order each worker tracks only what is older than all that any
 * worker can still get: each tells up to where it has given everything (some tens of milliseconds
 * behind the wall clock, by its rings' block timers). Who tells nothing for HOLD_MS is not waited
 * for: his segments then come late, and bear the time of the tracker that they come to.
 *
 * Threads: there is a ring from each worker to each, itself included, with one that gives and one
 * that takes. Nobody waits; when a ring to another is full, segments are dropped and counted.
 */
#ifndef CLI_HAND_OVER_H
#define CLI_HAND_OVER_H

#include "spanwatch/capture_share.h"

#include "pipe.h"

struct cli_hand_over;

/* NULL when memory is short. `share` is borrowed. */
struct cli_hand_over *cli_hand_over_new(const struct capture_share *share);
void cli_hand_over_free(struct cli_hand_over *h);

/* Worker `to`, before it decodes: track so much, in whatever order, that a batch finds room. */
void cli_hand_over_make_room(struct cli_hand_over *h, size_t to, struct cli_pipe *p);

/* Worker `from`: the pipe's `n` decoded packets go to whom they belong to; others will not be older
 * than until_ns. Returns how many found no room. */
uint64_t cli_hand_over_give(struct cli_hand_over *h, size_t from, struct cli_pipe *p, size_t n,
                            uint64_t until_ns);

/* Worker `to`: track what is old enough at the time wall_ns. True when more is held back. */
bool cli_hand_over_take(struct cli_hand_over *h, size_t to, struct cli_pipe *p, uint64_t wall_ns);

/* At the end: this worker will give nothing more; and has every one of them said so? */
void cli_hand_over_rest(struct cli_hand_over *h, size_t from);
bool cli_hand_over_all_rest(const struct cli_hand_over *h);

#endif
