/*
 * redis: what the writer and the readers of the store share (design 1.4): where it is, how its keys
 * are named, which partition a client belongs to, where the embedded server lies, and a connection
 * for those that may wait.
 *
 * Nothing here logs or keeps state. A URL may hold a password: no error text and no function but
 * redis_url_parse's caller ever shows it. Owner: the caller owns every struct and every connection.
 */
#ifndef SPANWATCH_REDIS_H
#define SPANWATCH_REDIS_H

#include "spanwatch/base.h"

struct redisContext; /* hiredis's own */

enum {
    REDIS_HOST_TEXT = 256,   /* a host's name or address, and the NUL */
    REDIS_PATH_TEXT = 108,   /* a socket's path as sockaddr_un takes it, and the NUL */
    REDIS_SECRET_TEXT = 256, /* a user's name or password, and the NUL */
    REDIS_SHOWN_TEXT = 320,  /* a URL without its secrets, and the NUL */
    REDIS_PREFIX_MOST = 255, /* octets of a prefix */
    REDIS_KEY_TEXT = 384,    /* the longest key, and the NUL */
    REDIS_FOLDER_TEXT = 256, /* a folder's path, and the NUL */
    REDIS_PARTITIONS_MOST = 1024,
    REDIS_PARTITIONS = 128, /* when nothing is configured; by measurement: tests/bench/query.py */
    REDIS_PORT = 6379
};

struct redis_url {
    char host[REDIS_HOST_TEXT]; /* "" for a Unix socket */
    char path[REDIS_PATH_TEXT]; /* "" for TCP */
    uint16_t port;
    uint32_t db;
    bool auth; /* a user or a password was given */
    char user[REDIS_SECRET_TEXT], password[REDIS_SECRET_TEXT];
};

/*
 * redis://[user[:password]@]host[:port][/db] or unix://[user[:password]@]/path[?db=N]; user and
 * password may be percent-encoded (RFC 3986 section 2.1), a user may be empty (redis://:secret@h).
 * -1 with `error` (whose `what` is "--redis") for anything else; TLS, Sentinel and Cluster are
 * named as what a later version brings.
 */
int redis_url_parse(struct redis_url *u, const char *text, struct base_error *error);

/* The URL for messages: user and password are left out. Returns `out`. */
const char *redis_url_shown(const struct redis_url *u, char out[REDIS_SHOWN_TEXT]);

/* Keys. A prefix is 1 to REDIS_PREFIX_MOST octets without braces and control characters. Each
 * returns the length: "PREFIX:WHAT", "PREFIX:{NAME}:WHAT", "PREFIX:{NAME/PARTITION}:WHAT". */
bool redis_prefix_is_valid(const char *prefix);
size_t redis_key(char out[REDIS_KEY_TEXT], const char *prefix, const char *what);
size_t redis_key_of(char out[REDIS_KEY_TEXT], const char *prefix, const char *name,
                    const char *what);
size_t redis_key_in(char out[REDIS_KEY_TEXT], const char *prefix, const char *name,
                    unsigned partition, const char *what);

/* CRC-16/XMODEM (polynomial 0x1021, start 0): what Redis Cluster computes slots with. */
uint16_t redis_crc16(const void *data, size_t n);

/* The partition of all that is known about a client: CRC-16/XMODEM of its address's text (no
 * brackets, no port) modulo `partitions`. */
unsigned redis_partition(const struct base_addr *client, unsigned partitions);

/*
 * The state folder: `configured` unless that is empty, else /var/lib/spanwatch where it can be
 * written (it is made for that), else ~/.local/state/spanwatch. It exists afterwards, for its owner
 * only. -1 with `error` when it cannot be had.
 */
int redis_state_folder(const char *configured, char out[REDIS_FOLDER_TEXT],
                       struct base_error *error);

/* The socket of the embedded server: the folder's "redis.sock". */
int redis_embedded_path(const char *folder, char out[REDIS_PATH_TEXT], struct base_error *error);

/* A reader's default: the embedded server of the configured folder, or of whichever of the two
 * default ones has a socket (a server answers or not). -1 with `error` when there is none. */
int redis_embedded_find(const char *configured, struct redis_url *u, struct base_error *error);

/*
 * Connect, authenticate, choose the database; every wait ends after `timeout_ms`, later commands'
 * too. NULL with `error`. To be freed with hiredis's redisFree. For readers and for what happens
 * before the main loop runs: names are resolved by the system, which may wait for its own time.
 */
struct redisContext *redis_open(const struct redis_url *u, unsigned timeout_ms,
                                struct base_error *error);

#endif
