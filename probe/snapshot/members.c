/*
 * members: see members.h. Growing copies pointers only.
 */
#include "members.h"

#include <stdlib.h>

static bool add_chunk(struct snapshot_pool *p) {
    if (p->chunks == p->room) {
        uint32_t room = p->room > 0 ? p->room * 2 : 16;
        struct snapshot_member **bigger = realloc(p->chunk, room * sizeof *bigger);
        if (bigger == NULL)
            return false;
        p->chunk = bigger;
        p->room = room;
    }
    p->chunk[p->chunks] = malloc(SNAPSHOT_CHUNK * sizeof **p->chunk);
    if (p->chunk[p->chunks] == NULL)
        return false;
    p->chunks++;
    return true;
}

uint32_t snapshot_pool_take(struct snapshot_pool *p) {
    if (p->used == p->chunks * SNAPSHOT_CHUNK && !add_chunk(p))
        return SNAPSHOT_NONE;
    return p->used++;
}

void snapshot_pool_free(struct snapshot_pool *p) {
    for (uint32_t i = 0; i < p->chunks; i++)
        free(p->chunk[i]);
    free(p->chunk);
}

const struct snapshot_member *snapshot_first(const struct snapshot *s,
                                             const struct snapshot_group *g) {
    return snapshot_pool_at(s->pool, g->first);
}

const struct snapshot_member *snapshot_next(const struct snapshot *s,
                                            const struct snapshot_member *m) {
    return m->next == SNAPSHOT_NONE ? NULL : snapshot_pool_at(s->pool, m->next);
}
