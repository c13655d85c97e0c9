/*
 * link: commands to Redis and their replies, entries of streams page by page.
 *
 * Input: keys and ranges. Output: entries, whose texts die when the handler returns. Every wait has
 * the connection's deadline; several pages are under way at a time, so that Redis works while we
 * do. Owner: the query's thread.
 */
#ifndef QUERY_LINK_H
#define QUERY_LINK_H

#include "entry.h"
#include "reply.h"

#include "spanwatch/redis.h"

struct query_link {
    redisContext *c;
    struct query_arena arena;
    char shown[REDIS_SHOWN_TEXT]; /* the store's URL without secrets */
};

/* Connect anew; what was there is closed. -1 with `error`. */
int query_link_open(struct query_link *l, const struct redis_url *url, unsigned timeout_ms,
                    struct base_error *error);
void query_link_close(struct query_link *l);

struct query_entry {
    struct query_id id;
    const redisReply *pairs; /* field, value, field, value ... */
};

/* The values of the fields called `name[0..n)`, "" for one that the entry lacks. */
void query_entry_fields(const struct query_entry *e, const char *const *name, size_t n,
                        struct query_text *out);

/* One command, printf style as hiredis has it without blanks in values; NULL with `error` when it
 * failed or the server refused it. To be freed with query_reply_free. */
redisReply *query_command(struct query_link *l, struct base_error *error, int argc,
                          const char **argv);

/* A range of a stream. `page` entries at a time; with `large` it follows the entries' sizes, so
 * that a page is some 256 KiB. `context` is the handler's. */
struct query_scan {
    char key[REDIS_KEY_TEXT];
    struct query_id from; /* the first ID wanted; moves on */
    uint64_t to_ms;       /* the last millisecond wanted; UINT64_MAX: to the end */
    unsigned page;
    bool large;
    bool done; /* the handler had enough, or all was read */
    void *context;
};

enum {
    QUERY_PAGE = 1000 /* transitions: about a millisecond of the server's time */,
    QUERY_LARGE_PAGE = 32
};

/* True to go on, false when no more of this scan is wanted. */
typedef bool query_scan_handler(struct query_scan *s, const struct query_entry *e);

/* Read all scans, entries of each in order. 0, or -1 with `error`. */
int query_scan_run(struct query_link *l, struct query_scan *scan, size_t n,
                   query_scan_handler *handler, struct base_error *error);

/* The page of entries from `from` on (forward), or from `from` backwards, of `count` at most. */
enum query_direction { QUERY_FORWARD, QUERY_BACKWARD };
struct query_range {
    struct query_id from; /* seq UINT64_MAX: the whole millisecond */
    struct query_id to;
    enum query_direction direction;
    unsigned count;
};
/* Send; replies come by query_range_reply in the order of sending. */
int query_range_send(struct query_link *l, const char *key, const struct query_range *r,
                     struct base_error *error);
redisReply *query_range_reply(struct query_link *l, struct base_error *error);
/* Entry i of such a reply; false when the reply has no such entry. */
bool query_reply_entry(const redisReply *page, size_t i, struct query_entry *e);

/* A reply to anything that was appended; error replies are handed out too. NULL with `error`. */
redisReply *query_any_reply(struct query_link *l, struct base_error *error);

/* A hash, field by field (HSCAN). 0, or -1 with `error`. */
typedef int query_pair_handler(void *context, struct query_text field, struct query_text value);
int query_hash_each(struct query_link *l, const char *key, query_pair_handler *handler,
                    void *context, struct base_error *error);

#endif
