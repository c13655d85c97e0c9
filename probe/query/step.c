/*
 * Entries of the stream `transitions` as values; services met get numbers.
 */
#include "run.h"

#include <stdlib.h>
#include <string.h>

enum { TS, FLOW, CLIENT, SERVER, SERVICE, STATE, WAS, CAUSE, FIELDS };
static const char *const field[FIELDS] = {"ts",      "flow",  "client", "server",
                                          "service", "state", "was",    "cause"};

bool query_step_parse(struct query_run *r, const struct query_entry *e, struct query_step *s) {
    struct query_text t[FIELDS];
    struct query_cause cause;
    query_entry_fields(e, field, FIELDS, t);
    if (!query_stamp_parse(t[TS], &s->ts_ns) || !query_flow_parse(t[FLOW], &s->flow) ||
        !query_place_parse(t[CLIENT], &s->client) || !query_place_parse(t[SERVER], &s->server) ||
        !query_pair_parse(t[STATE], s->state) || !query_pair_parse(t[WAS], s->was) ||
        !query_cause_parse(t[CAUSE], &cause))
        return false;
    s->cause = cause.cause;
    s->inferred = cause.inferred;
    s->service = query_service_number(r, t[SERVICE]);
    return true;
}

static uint32_t hash(struct query_text name) {
    uint32_t h = 2166136261u; /* FNV-1a; names come from configuration, not from packets */
    for (size_t i = 0; i < name.n; i++)
        h = (h ^ (unsigned char)name.s[i]) * 16777619u;
    return h;
}

static bool grow(struct query_run *r) {
    uint32_t room = r->service_room > 0 ? r->service_room * 2 : 64;
    struct query_service *bigger = reallocarray(r->service, room, sizeof *bigger);
    if (bigger == NULL)
        return false;
    r->service = bigger;
    uint32_t *slot = calloc((size_t)room * 2, sizeof *slot);
    if (slot == NULL)
        return false;
    free(r->service_slot);
    r->service_slot = slot;
    r->service_room = room;
    for (uint32_t i = 0; i < r->services; i++) {
        struct query_text name = {r->service[i].name, strlen(r->service[i].name)};
        uint32_t at = hash(name) & (room * 2 - 1);
        while (slot[at] != 0)
            at = (at + 1) & (room * 2 - 1);
        slot[at] = i + 1;
    }
    return true;
}

uint32_t query_service_number(struct query_run *r, struct query_text name) {
    const char *nul = name.n > 0 ? memchr(name.s, '\0', name.n) : NULL;
    if (nul != NULL) /* no name has one: what follows it is not believed */
        name.n = (size_t)(nul - name.s);
    if (r->services == r->service_room && !grow(r))
        return UINT32_MAX;
    uint32_t mask = r->service_room * 2 - 1, at = hash(name) & mask;
    for (; r->service_slot[at] != 0; at = (at + 1) & mask)
        if (query_text_is(name, r->service[r->service_slot[at] - 1].name))
            return r->service_slot[at] - 1;
    char *copy = strndup(name.s, name.n);
    if (copy == NULL)
        return UINT32_MAX;
    r->service[r->services] =
        (struct query_service){.name = copy, .matches = query_match_service(&r->match, copy)};
    r->service_slot[at] = ++r->services;
    return r->services - 1;
}
