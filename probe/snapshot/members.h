/*
 * The members of a snapshot: in chunks that never move, by number; kept from one snapshot to the
 * next. Private to the room.
 */
#ifndef SNAPSHOT_MEMBERS_H
#define SNAPSHOT_MEMBERS_H

#include "spanwatch/snapshot.h"

enum { SNAPSHOT_CHUNK = 4096 };
#define SNAPSHOT_NONE UINT32_MAX

struct snapshot_pool {
    struct snapshot_member **chunk;
    uint32_t chunks, room, used;
};

/* The number of a new member; SNAPSHOT_NONE when memory is short. */
uint32_t snapshot_pool_take(struct snapshot_pool *p);
void snapshot_pool_free(struct snapshot_pool *p);

static inline struct snapshot_member *snapshot_pool_at(const struct snapshot_pool *p, uint32_t i) {
    return &p->chunk[i / SNAPSHOT_CHUNK][i % SNAPSHOT_CHUNK];
}

#endif
