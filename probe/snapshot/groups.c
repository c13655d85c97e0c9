/*
 * groups: see groups.h. A group keeps the scope (VLAN, tunnel) of its first member; a member of
 * another scope belongs to it when its service has the same name.
 */
#include "groups.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 64 };

struct key { /* what is hashed; no padding */
    uint8_t server[16];
    uint16_t port;
    uint8_t family, client_state, server_state, zero[3];
};

static struct key key_of(const struct event_flow *f, const uint8_t state[2]) {
    struct key k = {.port = f->server_port,
                    .family = f->family,
                    .client_state = state[EVENT_CLIENT],
                    .server_state = state[EVENT_SERVER]};
    memcpy(k.server, f->server, sizeof k.server);
    return k;
}

static uint64_t hash_of(const struct snapshot_groups *g, const struct event_flow *f,
                        const uint8_t state[2]) {
    struct key k = key_of(f, state);
    return base_siphash(g->seed, &k, sizeof k);
}

static bool same_key(const struct snapshot_group *group, const struct event *e) {
    struct key a = key_of(&group->flow, group->state), b = key_of(&e->flow, e->member.state);
    return memcmp(&a, &b, sizeof a) == 0;
}

static bool grow(struct snapshot_groups *g) {
    uint32_t room = g->room > 0 ? g->room * 2 : FIRST_ROOM;
    struct snapshot_group *bigger = realloc(g->group, room * sizeof *bigger);
    if (bigger == NULL)
        return false;
    g->group = bigger;
    uint32_t *slot = calloc(room * 2, sizeof *slot);
    if (slot == NULL)
        return false;
    free(g->slot);
    g->slot = slot;
    g->slots = room * 2;
    g->room = room;
    for (uint32_t i = 0; i < g->count; i++) {
        uint64_t at = hash_of(g, &g->group[i].flow, g->group[i].state);
        while (g->slot[at & (g->slots - 1)] != 0)
            at++;
        g->slot[at & (g->slots - 1)] = i + 1;
    }
    return true;
}

struct snapshot_group *snapshot_groups_find(struct snapshot_groups *g, const struct event *e,
                                            const struct snapshot_namer *namer) {
    char service[SNAPSHOT_SERVICE_TEXT] = "";
    if (g->count == g->room && !grow(g))
        return NULL;
    uint64_t at = hash_of(g, &e->flow, e->member.state);
    for (; g->slot[at & (g->slots - 1)] != 0; at++) {
        struct snapshot_group *group = &g->group[g->slot[at & (g->slots - 1)] - 1];
        if (!same_key(group, e))
            continue;
        if (group->flow.scope == e->flow.scope)
            return group;
        if (service[0] == '\0')
            namer->name(namer->context, namer->worker, &e->flow, service);
        if (strcmp(group->service, service) == 0)
            return group;
    }
    g->slot[at & (g->slots - 1)] = ++g->count;
    struct snapshot_group *fresh = &g->group[g->count - 1];
    *fresh = (struct snapshot_group){
        .flow = e->flow, .state = {e->member.state[EVENT_CLIENT], e->member.state[EVENT_SERVER]}};
    namer->name(namer->context, namer->worker, &e->flow, fresh->service);
    return fresh;
}

static int compare(const void *a, const void *b) {
    const struct snapshot_group *x = a, *y = b;
    int order = x->flow.family - y->flow.family;
    if (order == 0)
        order = memcmp(x->flow.server, y->flow.server, sizeof x->flow.server);
    if (order == 0)
        order = x->flow.server_port - y->flow.server_port;
    if (order == 0)
        order = strcmp(x->service, y->service);
    if (order == 0)
        order = x->state[EVENT_CLIENT] - y->state[EVENT_CLIENT];
    return order != 0 ? order : x->state[EVENT_SERVER] - y->state[EVENT_SERVER];
}

void snapshot_groups_sort(struct snapshot_groups *g) {
    if (g->count > 1)
        qsort(g->group, g->count, sizeof *g->group, compare);
}

void snapshot_groups_clear(struct snapshot_groups *g) {
    g->count = 0;
    if (g->slots > 0)
        memset(g->slot, 0, g->slots * sizeof *g->slot);
}

void snapshot_groups_free(struct snapshot_groups *g) {
    free(g->group);
    free(g->slot);
}
