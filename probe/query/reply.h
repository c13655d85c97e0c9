/*
 * reply: replies in one piece of memory each.
 *
 * hiredis makes two allocations for every text; a page of 500 transitions has 8,500. Here a reply's
 * objects lie one behind the other in some blocks, which go as one: three times as fast. The
 * objects are hiredis's own struct redisReply, so that nothing else changes but who frees them: a
 * reply of a connection prepared so must go to query_reply_free, never to freeReplyObject. Owner:
 * the query's thread.
 */
#ifndef QUERY_REPLY_H
#define QUERY_REPLY_H

#include <hiredis/hiredis.h>

struct query_block;

/* Where the reply that is being read goes; lives as long as its connection. */
struct query_arena {
    struct query_block *block; /* the newest of its blocks */
};

/* From now on the connection's replies are made in blocks. */
void query_reply_prepare(redisContext *c, struct query_arena *arena);

/* NULL is ignored. */
void query_reply_free(void *reply);

#endif
