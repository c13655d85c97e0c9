/*
 * store_cmdb: the CMDB in the store (design 1.4): the hashes PREFIX:cmdb and PREFIX:clients.
 *
 * Input: a struct cmdb and a connection of redis_open's. Output: the hashes as the cmdb has them,
 * and what changed; or a cmdb as the hashes have it. Synchronous, each wait with the connection's
 * deadline. Both hashes are read by HSCAN and written beside the old ones in small commands, then
 * exchanged by RENAME: a reader sees all of the old one or all of the new one, and no command keeps
 * Redis busy for long. Owner: the caller's connection and tables; one thread.
 */
#ifndef SPANWATCH_STORE_CMDB_H
#define SPANWATCH_STORE_CMDB_H

#include "spanwatch/cmdb.h"
#include "spanwatch/redis.h"

/* One entry that is not as it was: of a service, or of a client. `was` is NULL when it is new, `is`
 * when it went. Both are JSON. */
struct store_cmdb_change {
    bool is_client;
    const char *key; /* the service's name; the client's address or network */
    const char *was, *is;
};

/* The change dies when the call returns. */
typedef void store_cmdb_visit(void *context, const struct store_cmdb_change *change);

/*
 * Make the hashes what `cmdb` says. A hash of which its files did not speak (cmdb_has_services,
 * cmdb_has_clients) stays as it is; in the others what is not in the cmdb goes. `visit` (may
 * be NULL) is told each change, by key, once it is made. 0, or -1 with `error`: each hash is then
 * either as it was or as it should be.
 */
int store_cmdb_put(struct redisContext *redis, const char *prefix, const struct cmdb *cmdb,
                   store_cmdb_visit *visit, void *context, struct base_error *error);

/* Fill an empty cmdb from the hashes and make it ready. What is not valid there is left out, and
 * counted in *odd. 0, or -1 with `error`. */
int store_cmdb_get(struct redisContext *redis, const char *prefix, struct cmdb *cmdb, size_t *odd,
                   struct base_error *error);

#endif
