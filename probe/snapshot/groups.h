/*
 * Groups of a snapshot: members with equal server, service and states. A table of our own with open
 * addressing over the groups' numbers, under a secret seed: strangers choose the servers. Private
 * to the room.
 */
#ifndef SNAPSHOT_GROUPS_H
#define SNAPSHOT_GROUPS_H

#include "spanwatch/snapshot.h"

struct snapshot_groups {
    struct snapshot_group *group;
    uint32_t count, room;
    uint32_t *slot; /* a group's number + 1; 0 is empty */
    uint32_t slots; /* a power of two, at least twice `count` */
    uint64_t seed[2];
};

/* Names the service of a connection; see snapshot_service. */
struct snapshot_namer {
    snapshot_service *name;
    void *context;
    size_t worker;
};

/* The group of a member; a new one, without members, where there is none. NULL when memory is
 * short. Valid until the next call. */
struct snapshot_group *snapshot_groups_find(struct snapshot_groups *g, const struct event *member,
                                            const struct snapshot_namer *namer);
/* By server, service, client and server state. Nothing can be found any more until it is cleared.
 */
void snapshot_groups_sort(struct snapshot_groups *g);
void snapshot_groups_clear(struct snapshot_groups *g);
void snapshot_groups_free(struct snapshot_groups *g);

#endif
