/*
 * slab: entries by 32-bit index. Chunks are allocated when first needed and never move, so that
 * growing costs no copy and no packet waits for it. Freed entries are used again, last freed first
 * (they are still in the cache).
 */
#include "pool.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CHUNKS = 64 };

/* Room for one more chunk pointer; doubling an array of pointers only (8 octets for some thousand
 * entries). */
static int grow_list(struct slab *s) {
    if (s->chunks < s->chunk_room)
        return 0;
    uint32_t more = s->chunk_room ? s->chunk_room * 2 : FIRST_CHUNKS;
    char **bigger = realloc(s->chunk, more * sizeof *bigger);
    if (bigger == NULL)
        return -1;
    s->chunk = bigger;
    s->chunk_room = more;
    return 0;
}

static size_t chunk_octets(const struct slab *s) {
    return SLAB_CHUNK * s->octets;
}

/* The first chunk by itself, so that few flows take little; then as many as a huge page holds. */
static int add_chunk(struct slab *s) {
    if (grow_list(s) != 0)
        return -1;
    if (s->spares == 0) {
        size_t most = PAGES_HUGE / chunk_octets(s),
               n = !s->huge || s->chunks == 0 || most == 0 ? 1 : most;
        s->spare = pages_take(n * chunk_octets(s), s->huge);
        if (s->spare == NULL)
            return -1;
        s->spares = (uint32_t)n;
    }
    s->chunk[s->chunks++] = s->spare;
    s->spare += chunk_octets(s);
    s->spares--;
    return 0;
}

uint32_t slab_take(struct slab *s) {
    uint32_t index = s->free_head;
    if (s->used < s->top) {
        memcpy(&s->free_head, slab_at(s, index), sizeof s->free_head);
    } else {
        if (s->top == s->chunks * SLAB_CHUNK && add_chunk(s) != 0)
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
    for (uint32_t i = 0; i < s->chunks; i++)
        pages_give(s->chunk[i], chunk_octets(s));
    if (s->spares > 0)
        pages_give(s->spare, s->spares * chunk_octets(s));
    free(s->chunk);
}

void pool_init(struct pool *p, bool huge) {
    *p = (struct pool){.flow = {.octets = sizeof(struct flow), .huge = huge},
                       .lean = {.octets = sizeof(struct lean), .huge = huge},
                       .body = {.octets = sizeof(struct body), .huge = huge},
                       .pair = {.octets = sizeof(struct pair6), .huge = huge}};
}

void pool_fini(struct pool *p) {
    slab_free(&p->flow);
    slab_free(&p->lean);
    slab_free(&p->body);
    slab_free(&p->pair);
}

uint64_t pool_memory(const struct pool *p) {
    return slab_memory(&p->flow) + slab_memory(&p->lean) + slab_memory(&p->body) +
           slab_memory(&p->pair);
}
