/*
 * `read --redis`: a writer and the loop that it runs on, in the main thread.
 *
 * The reader waits for the store: above some megabytes of records that are not stored it runs the
 * loop until they are, however long that takes. Nothing is left out.
 */
#ifndef CLI_READ_STORE_H
#define CLI_READ_STORE_H

#include "spanwatch/store_redis.h"

#include "cli.h"

struct read_store;

/* NULL with `error` when the store cannot be had. */
struct read_store *read_store_new(const struct cli_options *o, const struct cli_config *config,
                                  const char *name, struct base_error *error);
void read_store_event(struct read_store *r, const struct record_context *c, const struct event *e);
void read_store_gap(struct read_store *r, const struct record_gap *g);
void read_store_snapshot(struct read_store *r, const struct record_context *c,
                         const struct snapshot *s);
/* The message with the number that the store gives it. */
void read_store_alarm(struct read_store *r, const struct record_context *c, struct alarm *a);
/* A capture_wait: the store's answers are taken, and its lock is kept, while the capture is silent.
 */
void read_store_wait(void *store, int fd);
/* The same by a caller that has nothing to hand on for now: take what has come, do not wait. */
void read_store_look(struct read_store *r);
/* Where it is. */
const struct redis_url *read_store_url(const struct read_store *r);
/* Everything stored, the last capture time said. -1 with `error` when something could not be. */
int read_store_end(struct read_store *r, const struct record_stats *stats,
                   struct base_error *error);
void read_store_free(struct read_store *r);

#endif
