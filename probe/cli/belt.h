/*
 * belt: blocks of octets from one thread to one other, in order, where who is ahead waits.
 *
 * A belt has a few blocks of one size, which go round: the giving thread fills one and gives it,
 * the taking thread reads it in place and drops it. What is in a block is theirs to agree on. A
 * block holds the work of some tenths of a millisecond, so that a lock and a wake-up a block cost
 * little beside it; what must not wait takes a base_ring (ring.h).
 */
#ifndef CLI_BELT_H
#define CLI_BELT_H

#include "spanwatch/base.h"

struct cli_belt;

/* `blocks` of `octets` each; NULL when memory is short. */
struct cli_belt *cli_belt_new(size_t blocks, size_t octets);
void cli_belt_free(struct cli_belt *b); /* both threads are done with it */

/* The giving thread: the block to be filled, which may wait for the taking thread; and the end of
 * its filling. */
void *cli_belt_open(struct cli_belt *b);
void cli_belt_give(struct cli_belt *b);
/* Nothing more will be given. */
void cli_belt_end(struct cli_belt *b);

/* The taking thread: the oldest block that was given, NULL when there is none within `wait_ms` or
 * there will be none any more. It is valid until cli_belt_drop. */
void *cli_belt_first(struct cli_belt *b, unsigned wait_ms);
void cli_belt_drop(struct cli_belt *b);
/* Was all that will ever be given taken? */
bool cli_belt_is_over(struct cli_belt *b);

#endif
