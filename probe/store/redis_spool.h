/*
 * spool: chunks on disk, in segments, for a writer whose server does not keep up.
 *
 * Two uses of one sequence of records. A copy: what stands in memory and is not acknowledged within
 * half of flush_ms is written too, so that it outlives this process. The backlog: when memory is
 * full, sealed chunks are written and freed, and read back in order once there is room; while there
 * is a backlog, everything new goes to its end. Each record has a checksum; a segment is removed
 * when nothing in it is needed any more. Owner: the loop's thread.
 */
#ifndef SPANWATCH_STORE_REDIS_SPOOL_H
#define SPANWATCH_STORE_REDIS_SPOOL_H

#include "redis_segment.h"

/* A record, as the start of a process finds it: its chunk lasts as long as the call. */
typedef void store_spool_found(void *context, const struct store_segment_record *r);

/* The folder is made; what another process left in it becomes the backlog. NULL with `error`: no
 * room, no rights, another number of partitions. */
struct store_spool *store_spool_new(const char *folder, unsigned partitions, uint64_t most_octets,
                                    struct base_error *error);
void store_spool_free(struct store_spool *p); /* what is in it stays */

/* Look through the backlog once, oldest first. */
void store_spool_each(struct store_spool *p, store_spool_found *found, void *context);

/* A sealed chunk: true when the spool has taken it (or, on a fault, it was counted as lost): it is
 * freed then. */
bool store_spool_takes(struct store_spool *p, struct store_stream *st, struct store_chunk *c);
/* Write a copy of every chunk that waits for so long already; `all`: of every one. */
void store_spool_copy(struct store_spool *p, struct store_redis *s, bool all);
/* The next of the backlog into its stream's list; false when there is none. */
bool store_spool_replay(struct store_spool *p, struct store_redis *s);

void store_spool_hold(struct store_spool *p, uint32_t segment);
void store_spool_release(struct store_spool *p, uint32_t segment);

/* May entries of a kind still be put: is less than sixteenths/16 of the spool full. */
bool store_spool_has_room(const struct store_spool *p, uint32_t sixteenths);
uint64_t store_spool_octets(const struct store_spool *p);
uint64_t store_spool_backlog(const struct store_spool *p); /* entries that only the disk has */
uint64_t store_spool_backlog_from_ns(const struct store_spool *p);

#endif
