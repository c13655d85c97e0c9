/*
 * pool: flow entries by 32-bit index. Chunks are allocated when first needed and never move, so
 * that growing costs no copy and no packet waits for it. Freed entries are used again, last freed
 * first (they are still in the cache).
 */
#include "tracker.h"

#include <stdlib.h>
#include <string.h>

/* Room for one more chunk pointer; doubling an array of pointers only (8 octets a thousand flows).
 */
static int grow_list(void ***list, uint32_t count, uint32_t *room) {
    if (count < *room)
        return 0;
    uint32_t more = *room ? *room * 2 : 64;
    void **bigger = realloc(*list, more * sizeof **list);
    if (bigger == NULL)
        return -1;
    *list = bigger;
    *room = more;
    return 0;
}

static int add_chunk(void ***list, uint32_t *chunks, uint32_t *room, size_t octets) {
    void *chunk;
    if (grow_list(list, *chunks, room) != 0)
        return -1;
    if (posix_memalign(&chunk, 64, octets) != 0)
        return -1;
    (*list)[(*chunks)++] = chunk;
    return 0;
}

uint32_t pool_take(struct pool *p) {
    uint32_t index = p->free_head;
    if (p->used == p->top) {
        if (p->top == p->chunks * POOL_CHUNK &&
            add_chunk((void ***)&p->chunk, &p->chunks, &p->chunk_room,
                      POOL_CHUNK * sizeof(struct flow)) != 0)
            return FLOW_NONE;
        index = p->top++;
    } else {
        p->free_head = pool_at(p, index)->wheel_next;
    }
    p->used++;
    struct flow *f = pool_at(p, index);
    memset(f, 0, sizeof *f);
    f->wheel_slot = WHEEL_OUT;
    f->deadline_ns = BASE_NEVER_NS;
    f->flags = FLOW_USED;
    return index;
}

void pool_give(struct pool *p, uint32_t index) {
    struct flow *f = pool_at(p, index);
    f->flags = 0;
    f->wheel_next = p->free_head;
    p->free_head = index;
    p->used--;
}

void pool_free(struct pool *p) {
    for (uint32_t i = 0; i < p->chunks; i++)
        free(p->chunk[i]);
    free(p->chunk);
}

uint32_t pool6_take(struct pool6 *p) {
    if (p->free_head != 0) {
        uint32_t index = p->free_head - 1;
        memcpy(&p->free_head, pool6_at(p, index), sizeof p->free_head);
        return index;
    }
    if (p->top == p->chunks * POOL_CHUNK &&
        add_chunk((void ***)&p->chunk, &p->chunks, &p->chunk_room,
                  POOL_CHUNK * sizeof(struct pair6)) != 0)
        return FLOW_NONE;
    return p->top++;
}

void pool6_give(struct pool6 *p, uint32_t index) {
    memcpy(pool6_at(p, index), &p->free_head, sizeof p->free_head);
    p->free_head = index + 1;
}

void pool6_free(struct pool6 *p) {
    for (uint32_t i = 0; i < p->chunks; i++)
        free(p->chunk[i]);
    free(p->chunk);
}
