/*
 * The path of a packet that `read` and `probe` share: filter, decode, track, count.
 *
 * Input: batches of packets, in the order of capture. Output: the tracker's events to a sink, and
 * counters. Owner: one thread (the reader's, or a worker's); the struct is the caller's.
 */
#ifndef CLI_PIPE_H
#define CLI_PIPE_H

#include "cli.h"
#include "filter.h"

struct cli_pipe {
    struct decoder *decoder;
    struct flow_tracker *tracker;
    struct cli_filter *filter; /* NULL: every packet */
    struct {                   /* set before cli_pipe_start; see struct flow_config */
        bool for_snapshots, for_windows, at_once;
    } pictures;
    uint64_t left_out; /* packets that it does not match */
    const struct service_table
        *services;             /* borrowed; its owner may change it between two batches */
    struct record_stats stats; /* of it: packets and octets */
    uint64_t verdicts[DECODE_VERDICTS];
    uint64_t first_ns;     /* of the first packet; 0 before it */
    uint16_t unknown_link; /* the first type of DECODE_UNKNOWN_LINK */
    struct segment segment[CAPTURE_BATCH];
    uint8_t verdict[CAPTURE_BATCH];
};

/* A decoder and, unless `filter` is NULL, a filter in user space. -1 with `error`; cli_pipe_fini
 * after either. */
int cli_pipe_init(struct cli_pipe *p, const char *filter, struct base_error *error);

/* Begin to track, handing events to `sink`. -1 with `error` when memory is short. */
int cli_pipe_start(struct cli_pipe *p, const struct cli_config *config,
                   const struct service_table *services, event_sink *sink, void *context,
                   struct base_error *error);

/* Count, filter and decode `n` packets into segment[] and verdict[]: how many are there now. */
size_t cli_pipe_decode(struct cli_pipe *p, const struct packet *batch, size_t n);

/* The same, and on into the tracker. */
void cli_pipe_take(struct cli_pipe *p, const struct packet *batch, size_t n);

/* The counters: the pipe's own and the tracker's. */
void cli_pipe_stats(const struct cli_pipe *p, struct record_stats *s);

/* After the last packet: what found no room among fragments or scopes, in words, if anything. */
void cli_pipe_tell_bounds(const struct cli_pipe *p);

void cli_pipe_fini(struct cli_pipe *p);

#endif
