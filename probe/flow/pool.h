/*
 * pool: where all entries are: in slabs of one size each, by index. An address is the slab's begin
 * and a multiple: two loads fewer than with a list of chunks, on a path that asks several times a
 * packet.
 */
#ifndef SPANWATCH_FLOW_POOL_H
#define SPANWATCH_FLOW_POOL_H

#include <string.h>

#include "ahead.h"
#include "entry.h"
#include "keys.h"

#define FLOW_NONE UINT32_MAX /* no index */

/* ---- pages.c: large blocks ---- */
enum { PAGES_HUGE = 2 << 20 };
void *pages_take(size_t octets, bool huge); /* a multiple of 4096; zero. NULL: memory is short */
void *pages_reserve(size_t octets);         /* addresses only, not to be touched; NULL: none left */
int pages_commit(void *at, size_t octets, bool huge); /* zero memory there. -1: it is short */
void pages_give(void *at, size_t octets);             /* of either kind */

/* ---- slab.c: entries of one size by index, which never move ---- */
enum { SLAB_CHUNK = 4096 };
struct slab {
    char *at;                   /* addresses for as many as there may ever be */
    size_t octets;              /* of an entry: at least 4, aligned as its power of two up to 64 */
    size_t reserved, committed; /* octets from `at` on; memory is behind the committed ones */
    size_t enough;              /* octets; who needs more commits the next ones */
    struct ahead *ahead;        /* in huge pages, fetched ahead; NULL: in ordinary ones */
    uint32_t used, top;         /* entries given out; first never used */
    uint32_t free_head;         /* list of freed ones, through their first four octets */
};
/* For `most` entries, or as many as the process has addresses for. -1: not even for a few. */
int slab_init(struct slab *s, size_t octets, uint32_t most, struct ahead *ahead);
uint32_t slab_take(struct slab *s); /* FLOW_NONE when memory is short; what it holds is undefined */
void slab_give(struct slab *s, uint32_t index); /* all but the first four octets stay as they are */
void slab_free(struct slab *s);
static inline void *slab_at(const struct slab *s, uint32_t index) {
    return s->at + index * s->octets;
}
static inline uint64_t slab_memory(const struct slab *s) {
    return s->committed;
}

/* Pairs of IPv6 addresses, beside the flows so that IPv4 flows need not carry their size. */
struct pair6 {
    uint8_t addr[2][16];
};

/* All flows, and what belongs to them. */
struct pool {
    struct slab flow, lean, body, pair;
    struct ahead *ahead; /* NULL: without huge pages */
};
/* For `most` flows. -1: memory is short; to be ended with pool_fini all the same. */
int pool_init(struct pool *p, uint32_t most, bool huge);
void pool_fini(struct pool *p);
uint64_t pool_memory(const struct pool *p);
static inline struct flow *pool_at(const struct pool *p, uint32_t index) {
    return (struct flow *)(void *)p->flow.at + index;
}
static inline struct pair6 *pool_pair(const struct pool *p, const struct flow *f) {
    return (struct pair6 *)slab_at(&p->pair, f->addr[0]);
}
static inline struct body *pool_body(const struct pool *p, uint32_t index) {
    return (struct body *)(void *)p->body.at + index;
}
static inline struct lean *pool_lean(const struct pool *p, uint32_t index) {
    return (struct lean *)(void *)p->lean.at + index;
}

/* Does the entry hold the flow of this key? */
static inline bool flow_key_equal(const struct flow *f, const struct pool *p,
                                  const struct flow_key *k) {
    enum { KIND = FLOW_USED | FLOW_IPV6 };
    if (k->family != 4)
        return f->word[1] == k->word[1] && (f->flags & KIND) == KIND &&
               memcmp(pool_pair(p, f), k->v6, sizeof k->v6) == 0;
    return ((f->word[0] ^ k->word[0]) | (f->word[1] ^ k->word[1]) |
            ((f->flags & KIND) ^ FLOW_USED)) == 0;
}

/* Both ends, and the letters of both, in place; NULL for FORM_SYN, whose other end is silent. */
static inline struct tcp_endpoint *form_ends(const struct pool *p, const struct flow *f) {
    switch ((enum flow_form)f->form) {
    case FORM_LEAN:
        return pool_lean(p, f->body)->end;
    case FORM_FULL:
        return pool_body(p, f->body)->tcp.end;
    case FORM_SYN:
        break;
    }
    return NULL;
}

static inline struct zeek_core *form_letters(const struct pool *p, const struct flow *f) {
    return f->form == FORM_LEAN ? &pool_lean(p, f->body)->zeek : &pool_body(p, f->body)->zeek.core;
}

/* Fetch the two lines that FORM_LEAN has, and that most work on a struct body needs. (GCC takes a
 * function that only prefetches to do nothing, unless it is inlined at once. Where there is no
 * body, it is the head again.) */
__attribute__((always_inline)) static inline void form_fetch_body(const struct pool *p,
                                                                  const struct flow *f) {
    const void *end = form_ends(p, f);
    const char *line = end != NULL ? end : f;
    __builtin_prefetch(line, 1);
    __builtin_prefetch(line + 64, 1);
}

/* Fetch what a walk over flows comes to: a head further ahead, and the body of one that was fetched
 * before. */
enum { FORM_HEADS_AHEAD = 16, FORM_BODIES_AHEAD = 8 };
__attribute__((always_inline)) static inline void form_fetch(const struct pool *p, uint32_t head,
                                                             uint32_t body) {
    form_fetch_body(p, pool_at(p, body));
    __builtin_prefetch(pool_at(p, head), 1);
}

#endif
