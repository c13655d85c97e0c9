/*
 * Replies in blocks (reply.h).
 *
 * The first object of a reply (it has no parent) begins a chain of blocks and stands first in the
 * first of them, so that the chain is found from it again. hiredis 0.14 and 1.x differ in a few
 * signatures.
 */
#include "reply.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BLOCK = 4 << 10, BLOCK = 64 << 10, ALIGNMENT = 16 };

struct query_block {
    struct query_block *next;
    size_t used, size; /* octets of data */
    _Alignas(ALIGNMENT) char data[];
};

static struct query_block *new_block(size_t size) {
    struct query_block *b = malloc(sizeof *b + size);
    if (b != NULL)
        *b = (struct query_block){.size = size};
    return b;
}

static void *take(struct query_arena *a, size_t octets) {
    size_t n = (octets + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (n < octets)
        return NULL;
    if (a->block->size - a->block->used < n) {
        struct query_block *more = new_block(n > BLOCK ? n : BLOCK);
        if (more == NULL)
            return NULL;
        a->block->next = more;
        a->block = more;
    }
    void *at = a->block->data + a->block->used;
    a->block->used += n;
    return at;
}

static redisReply *make(const redisReadTask *task) {
    struct query_arena *a = task->privdata;
    if (task->parent == NULL && (a->block = new_block(FIRST_BLOCK)) == NULL)
        return NULL;
    redisReply *r = take(a, sizeof *r);
    if (r == NULL)
        return NULL;
    memset(r, 0, sizeof *r);
    r->type = task->type;
    if (task->parent != NULL) {
        redisReply *parent = task->parent->obj;
        parent->element[task->idx] = r;
    }
    return r;
}

static void *make_string(const redisReadTask *task, char *text, size_t n) {
    redisReply *r = make(task);
    char *copy = r != NULL ? take(task->privdata, n + 1) : NULL;
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, n);
    copy[n] = '\0';
    r->str = copy;
    r->len = n;
    return r;
}

#if HIREDIS_MAJOR >= 1
static void *make_array(const redisReadTask *task, size_t n) {
#else
static void *make_array(const redisReadTask *task, int n) {
#endif
    redisReply *r = make(task);
    if (r == NULL || n <= 0)
        return r;
    if ((uint64_t)n > SIZE_MAX / sizeof *r->element / 2)
        return NULL;
    r->element = take(task->privdata, (size_t)n * sizeof *r->element);
    if (r->element == NULL)
        return NULL;
    memset(r->element, 0, (size_t)n * sizeof *r->element);
    r->elements = (size_t)n;
    return r;
}

static void *make_integer(const redisReadTask *task, long long value) {
    redisReply *r = make(task);
    if (r != NULL)
        r->integer = value;
    return r;
}

static void *make_nil(const redisReadTask *task) {
    return make(task);
}

#if HIREDIS_MAJOR >= 1
static void *make_double(const redisReadTask *task, double value, char *text, size_t n) {
    (void)value; /* RESP3 is never asked for */
    return make_string(task, text, n);
}

static void *make_bool(const redisReadTask *task, int value) {
    return make_integer(task, value);
}
#endif

void query_reply_free(void *reply) {
    if (reply == NULL)
        return;
    struct query_block *b =
        (struct query_block *)(void *)((char *)reply - offsetof(struct query_block, data));
    while (b != NULL) {
        struct query_block *next = b->next;
        free(b);
        b = next;
    }
}

void query_reply_prepare(redisContext *c, struct query_arena *arena) {
    static redisReplyObjectFunctions functions = {
        .createString = make_string,
        .createArray = make_array,
        .createInteger = make_integer,
        .createNil = make_nil,
#if HIREDIS_MAJOR >= 1
        .createDouble = make_double,
        .createBool = make_bool,
#endif
        .freeObject = query_reply_free,
    };
    arena->block = NULL;
    c->reader->fn = &functions;
    c->reader->privdata = arena;
}
