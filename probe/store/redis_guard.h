/*
 * guard: a process that starts the embedded redis-server, and again when it dies (redis_guard.c).
 * Private to the room.
 */
#ifndef SPANWATCH_STORE_REDIS_GUARD_H
#define SPANWATCH_STORE_REDIS_GUARD_H

#include <stdint.h>
#include <sys/types.h>

#include "spanwatch/base.h"

/* Words to it: first the number of the server's process, or this for one to be started; then
 * nothing more until the end. */
enum { STORE_GUARD_START = -1, STORE_GUARD_END = -2 };

/* Make it, as `uid`, `gid`, before anything is open that should not be open twice. A descriptor to
 * talk to it, -1 with `error`; closing it is an end too, but of this process alone. */
int store_guard_new(const char *folder, const char *socket, uid_t uid, gid_t gid,
                    struct base_error *error);
bool store_guard_say(int guard, int32_t word);
/* Has the server ended since it was last asked? Its exit status, -1 when it is not known. */
bool store_guard_has_ended(int guard, int32_t *status);

#endif
