/*
 * segment: a file of the spool: a head, then records, each a chunk of entries as they go over the
 * wire, with a checksum.
 *
 * Numbers are in the machine's own order: a spool is read by the machine that wrote it. A record
 * that does not fit its checksum ends its segment: behind a process that was killed in the middle
 * of a write nothing follows. Faults are told by errno. Owner: the caller has the descriptors.
 */
#ifndef SPANWATCH_STORE_REDIS_SEGMENT_H
#define SPANWATCH_STORE_REDIS_SEGMENT_H

#include "redis_writer.h"

enum { STORE_SEGMENT_HEAD = 16 /* octets before the first record */ };

/* A new file with its head: a descriptor, or -1 and no file. */
int store_segment_create(const char *path, unsigned partitions);

/* Is the file one, of how many partitions, how long? */
bool store_segment_check(const char *path, uint32_t *partitions, uint64_t *octets);

/* Octets that a chunk takes there. */
uint64_t store_segment_cost(const struct store_chunk *c);

/* Write a chunk of a stream at `at`, its end; false on a fault, the file is as it was then. */
bool store_segment_append(int fd, uint64_t at, const struct store_stream *st,
                          const struct store_chunk *c);

/* The record at *at, which moves behind it; the chunk is the caller's. */
enum store_segment_read { STORE_SEGMENT_RECORD, STORE_SEGMENT_END, STORE_SEGMENT_BROKEN };
struct store_segment_record {
    uint16_t kind, partition;
    struct store_chunk *chunk;
};
enum store_segment_read store_segment_read(int fd, uint64_t *at, struct store_segment_record *r);

uint32_t store_crc32(uint32_t crc, const void *data, size_t n);

#endif
