/*
 * The table of configured services: sorted once, searched by halving.
 *
 * Input: rules from load.c. Output: the name that fits a server best. Rules are sorted by family,
 * prefix length (longest first), address, and rank (narrowest range first, an entry with a VLAN
 * before one without, lowest port). Among rules of one address, width and VLAN no two ranges
 * overlap (service_sort refuses that), so that the only one that can hold a port is the last that
 * begins at or below it: one search. Owner: the table owns rules and names.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

static uint64_t rank(uint32_t width, uint16_t vlan, uint16_t low) {
    return (uint64_t)width << 32 | (uint64_t)vlan << 16 | low;
}

uint64_t service_rank(uint16_t low, uint16_t high, uint16_t vlan) {
    return rank((uint32_t)high - low, vlan, low);
}

static uint32_t rank_width(uint64_t r) {
    return (uint32_t)(r >> 32);
}

static uint64_t load64(const uint8_t *p) {
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

void service_rule_address(struct service_rule *r, const struct base_addr *a) {
    r->family = a->family;
    r->hi = load64(a->octet);
    r->lo = a->family == 4 ? 0 : load64(a->octet + 8);
    if (a->family == 4) /* only the first four octets count */
        r->hi &= UINT64_C(0xffffffff00000000);
}

static int compare_place(const struct service_rule *a, const struct service_rule *b) {
    if (a->hi != b->hi)
        return a->hi < b->hi ? -1 : 1;
    if (a->lo != b->lo)
        return a->lo < b->lo ? -1 : 1;
    return 0;
}

/* Within a group: address, then rank. */
static int compare_key(const struct service_rule *a, const struct service_rule *b) {
    int place = compare_place(a, b);
    if (place != 0)
        return place;
    return a->rank < b->rank ? -1 : a->rank > b->rank;
}

static int compare_rules(const void *x, const void *y) {
    const struct service_rule *a = x, *b = y;
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    if (a->prefix_length != b->prefix_length)
        return a->prefix_length > b->prefix_length ? -1 : 1;
    int key = compare_key(a, b);
    if (key != 0)
        return key;
    if (a->load != b->load)
        return a->load < b->load ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static bool same_group(const struct service_rule *a, const struct service_rule *b) {
    return a->family == b->family && a->prefix_length == b->prefix_length;
}

/* Rules of one network, width and VLAN stand together, by lowest port: neighbours tell. */
static bool rules_clash(const struct service_rule *a, const struct service_rule *b) {
    return same_group(a, b) && compare_place(a, b) == 0 && a->vlan == b->vlan &&
           rank_width(a->rank) == rank_width(b->rank) && b->low <= a->high;
}

bool service_sort(struct service_rule *rules, size_t n, const struct service_rule **first,
                  const struct service_rule **second) {
    if (n > 0)
        qsort(rules, n, sizeof *rules, compare_rules);
    for (size_t i = 1; i < n; i++) {
        const struct service_rule *a = &rules[i - 1], *b = &rules[i];
        if (!rules_clash(a, b))
            continue;
        bool swap = a->load > b->load || (a->load == b->load && a->index > b->index);
        *first = swap ? b : a;
        *second = swap ? a : b;
        return false;
    }
    return true;
}

void service_take(struct service_table *t, struct service_rule *rules, size_t n) {
    free(t->rules);
    t->rules = rules;
    t->rule_count = n;
    t->group_count = 0;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !same_group(&rules[i - 1], &rules[i]))
            t->group[t->group_count++] = (struct service_group){
                .family = rules[i].family, .prefix_length = rules[i].prefix_length, .first = i};
        t->group[t->group_count - 1].count++;
    }
}

/* The first rule of r[0..n) whose address and rank are not below the key's; n when all are. */
static size_t lower_bound(const struct service_rule *r, size_t n, const struct service_rule *key) {
    size_t low = 0;
    while (low < n) {
        size_t middle = low + (n - low) / 2;
        if (compare_key(&r[middle], key) < 0)
            low = middle + 1;
        else
            n = middle;
    }
    return low;
}

/* The rule of exactly this network, width and VLAN that holds the port, or NULL. */
static const struct service_rule *find_port(const struct service_rule *r, size_t n,
                                            struct service_rule key, uint16_t vlan, uint16_t port) {
    uint32_t width = rank_width(key.rank);
    key.rank = rank(width, vlan, port) + 1;
    size_t i = lower_bound(r, n, &key);
    if (i == 0)
        return NULL;
    const struct service_rule *last = &r[i - 1];
    bool holds = compare_place(last, &key) == 0 && rank_width(last->rank) == width &&
                 last->vlan == vlan && port <= last->high;
    return holds ? last : NULL;
}

/* The best rule of one group; `key` holds the masked address. From the narrowest width on, each
 * with the VLAN first. */
static const struct service_rule *find_in_group(const struct service_rule *r, size_t n,
                                                struct service_rule key, uint16_t port, int vlan) {
    key.rank = 0;
    for (;;) {
        size_t i = lower_bound(r, n, &key);
        if (i == n || compare_place(&r[i], &key) != 0)
            return NULL;
        const struct service_rule *found = NULL;
        key.rank = r[i].rank;
        if (vlan >= 0 && vlan <= SERVICE_MAX_VLAN)
            found = find_port(r, n, key, (uint16_t)vlan, port);
        if (found == NULL)
            found = find_port(r, n, key, SERVICE_ANY_VLAN, port);
        if (found != NULL)
            return found;
        key.rank = rank(rank_width(key.rank) + 1, 0, 0);
    }
}

/* Clear the bits below the prefix; an IPv4 address stands at the top of hi. */
static void mask_address(struct service_rule *key, unsigned prefix_length) {
    if (prefix_length == 0)
        key->hi = 0;
    else if (prefix_length < 64)
        key->hi &= ~(UINT64_MAX >> prefix_length);
    if (prefix_length <= 64)
        key->lo = 0;
    else if (prefix_length < 128)
        key->lo &= ~(UINT64_MAX >> (prefix_length - 64));
}

const char *service_configured(const struct service_table *t, const struct base_addr *server,
                               uint16_t port, int vlan) {
    struct service_rule address = {0};
    if (t->group_count == 0)
        return NULL;
    service_rule_address(&address, server);
    for (size_t g = 0; g < t->group_count; g++) { /* longest prefix first within a family */
        const struct service_group *group = &t->group[g];
        if (group->family != server->family)
            continue;
        struct service_rule key = address;
        mask_address(&key, group->prefix_length);
        const struct service_rule *found =
            find_in_group(t->rules + group->first, group->count, key, port, vlan);
        if (found != NULL)
            return found->name;
    }
    return NULL;
}

const char *service_name(const struct service_table *t, const struct base_addr *server,
                         uint16_t port, int vlan, char buffer[SERVICE_NAME_MAX]) {
    const char *name = service_configured(t, server, port, vlan);
    if (name != NULL)
        return name;
    if (service_port_known(t, port))
        return t->known_names + t->known_offset[port];
    snprintf(buffer, SERVICE_NAME_MAX, "tcp/%u", port);
    return buffer;
}

bool service_port_known(const struct service_table *t, uint16_t port) {
    return t->known_offset[port] != 0;
}

static void store64(uint8_t *p, uint64_t v) {
    for (int i = 7; i >= 0; i--, v >>= 8)
        p[i] = (uint8_t)v;
}

void service_each(const struct service_table *t, service_visit *visit, void *context) {
    for (size_t i = 0; i < t->rule_count; i++) {
        const struct service_rule *r = &t->rules[i];
        struct service_entry e = {.address = {.family = r->family},
                                  .prefix_length = r->prefix_length,
                                  .low = r->low,
                                  .high = r->high,
                                  .vlan = r->vlan == SERVICE_ANY_VLAN ? -1 : r->vlan,
                                  .name = r->name};
        store64(e.address.octet, r->hi);
        store64(e.address.octet + 8, r->lo);
        visit(context, &e);
    }
}

struct service_table *service_new(void) {
    struct service_table *t = calloc(1, sizeof *t);
    if (t != NULL && !service_read_database(t)) {
        service_free(t);
        t = NULL;
    }
    return t;
}

void service_free(struct service_table *t) {
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->rule_count; i++)
        free(t->rules[i].name);
    free(t->rules);
    free(t->known_names);
    free(t);
}
