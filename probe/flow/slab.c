/*
 * slab: entries by 32-bit index. Addresses for all that there may ever be are reserved at the
 * begin, and cost nothing; memory comes behind them a chunk at a time, so that growing copies
 * nothing and no packet waits for it. With huge pages it comes one of them before it is needed, so
 * that another thread can clear it (ahead.h). Freed entries are used again, last freed first (they
 * are still in the cache).
 */
#include "pool.h"

#include <string.h>

static size_t chunk_octets(const struct slab *s) {
    return SLAB_CHUNK * s->octets;
}

int slab_init(struct slab *s, size_t octets, uint32_t most, struct ahead *ahead) {
    *s = (struct slab){.octets = octets, .ahead = ahead};
    size_t chunk = chunk_octets(s);
    size_t chunks = most / SLAB_CHUNK + 2; /* a few are held while others come */
    for (; chunks > 0 && s->at == NULL; chunks /= 2) {
        s->reserved = chunks <= SIZE_MAX / 2 / chunk ? chunks * chunk : 0;
        s->at = s->reserved > 0 ? pages_reserve(s->reserved) : NULL;
    }
    return s->at != NULL ? 0 : -1;
}

static int commit(struct slab *s, size_t end) {
    if (end > s->reserved)
        end = s->reserved;
    if (end <= s->committed ||
        pages_commit(s->at + s->committed, end - s->committed, s->ahead != NULL) != 0)
        return -1;
    s->committed = end;
    return 0;
}

/* A chunk more; the first huge page once it is needed whole; then always the next one. */
static void grow(struct slab *s) {
    size_t chunk = chunk_octets(s), before = s->committed;
    size_t whole = (before + PAGES_HUGE - 1) / PAGES_HUGE * PAGES_HUGE;
    bool few = s->ahead == NULL || before < chunk;
    if (commit(s, few ? before + chunk : whole + PAGES_HUGE) != 0) {
        s->enough = s->committed; /* to be asked again for each entry beyond it */
        return;
    }
    s->enough = few ? s->committed : whole;
    if (!few)
        ahead_fetch(s->ahead, s->at + before, s->committed - before);
}

uint32_t slab_take(struct slab *s) {
    uint32_t index = s->free_head;
    if (s->used < s->top) {
        memcpy(&s->free_head, slab_at(s, index), sizeof s->free_head);
    } else {
        size_t end = (s->top + (size_t)1) * s->octets;
        if (end > s->enough)
            grow(s);
        if (end > s->committed)
            return FLOW_NONE;
        index = s->top++;
    }
    s->used++;
    return index;
}

void slab_give(struct slab *s, uint32_t index) {
    memcpy(slab_at(s, index), &s->free_head, sizeof s->free_head);
    s->free_head = index;
    s->used--;
}

void slab_free(struct slab *s) {
    pages_give(s->at, s->reserved);
}

int pool_init(struct pool *p, uint32_t most, bool huge) {
    *p = (struct pool){.ahead = huge ? ahead_new() : NULL};
    return slab_init(&p->flow, sizeof(struct flow), most, p->ahead) |
           slab_init(&p->lean, sizeof(struct lean), most, p->ahead) |
           slab_init(&p->body, sizeof(struct body), most, p->ahead) |
           slab_init(&p->pair, sizeof(struct pair6), most, p->ahead);
}

void pool_fini(struct pool *p) {
    ahead_free(p->ahead);
    slab_free(&p->flow);
    slab_free(&p->lean);
    slab_free(&p->body);
    slab_free(&p->pair);
}

uint64_t pool_memory(const struct pool *p) {
    return slab_memory(&p->flow) + slab_memory(&p->lean) + slab_memory(&p->body) +
           slab_memory(&p->pair);
}
