/*
 * store_embedded: the private redis-server of a probe that was given no URL (design 1.4).
 *
 * A Unix socket and an append-only file in the state folder, no TCP port. It outlives a probe that
 * is killed, and the next one finds it; a probe that ends in order shuts it down.
 */
#ifndef SPANWATCH_STORE_EMBEDDED_H
#define SPANWATCH_STORE_EMBEDDED_H

#include <sys/types.h>

#include "spanwatch/redis.h"

/* Find the server of `folder`, or start one as `uid`, `gid` (of which the folder is), and wait
 * until it answers: it may have much to load. -1 with `error`: redis-server is not installed, or
 * does not start. Needs the right to start programs. */
int store_embedded_start(const char *folder, uid_t uid, gid_t gid, struct redis_url *u,
                         struct base_error *error);

/* End it, and wait a moment until it has written its file. */
void store_embedded_stop(const struct redis_url *u);

#endif
