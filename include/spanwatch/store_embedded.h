/*
 * store_embedded: the private redis-server of a probe that was given no URL (design 1.4).
 *
 * A Unix socket and an append-only file in the state folder, no TCP port. It outlives a probe that
 * is killed, and the next one finds it; a probe that ends in order shuts it down. One that dies
 * while the probe runs is started again.
 */
#ifndef SPANWATCH_STORE_EMBEDDED_H
#define SPANWATCH_STORE_EMBEDDED_H

#include <sys/types.h>

#include "spanwatch/redis.h"

/*
 * A process that watches over the server of `folder`, as `uid`, `gid` (of which the folder is): it
 * starts it, and starts it again whenever it dies, later each time. To be made while programs may
 * still be started, and before anything is open that a second process should not hold: it takes a
 * copy of this one. Its descriptor, to be closed by the caller, or -1 with `error`. Nothing is
 * started yet.
 */
int store_embedded_guard(const char *folder, uid_t uid, gid_t gid, struct base_error *error);

/* Find the server of `folder`, or have the guard start one, and wait until it answers: it may have
 * much to load. -1 with `error`: redis-server is not installed, or does not start. */
int store_embedded_start(const char *folder, int guard, struct redis_url *u,
                         struct base_error *error);

/* End it, and its guard, and wait a moment until it has written its file. */
void store_embedded_stop(const struct redis_url *u, int guard);

#endif
