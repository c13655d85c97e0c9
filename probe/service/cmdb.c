/*
 * The CMDB's table: entries in two arrays, sorted once, searched by halving.
 *
 * Input: entries from cmdb_load.c and cmdb_csv.c, or from the store. Output: attributes as JSON
 * text, made once when an entry is taken. Clients are sorted by family, prefix length (longest
 * first) and address, so that the first hit among the groups is the longest prefix. Owner: the
 * cmdb owns all texts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmdb_table.h"

struct cmdb *cmdb_new(void) {
    return calloc(1, sizeof(struct cmdb));
}

void cmdb_free(struct cmdb *c) {
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->service_count; i++) {
        free(c->services[i].name);
        free(c->services[i].json);
    }
    for (size_t i = 0; i < c->client_count; i++) {
        free(c->clients[i].name);
        free(c->clients[i].json);
    }
    for (size_t i = 0; i < c->file_count; i++)
        free(c->files[i]);
    free(c->services);
    free(c->clients);
    free(c->files);
    free(c);
}

/* ---- filling ---- */

bool cmdb_is_name(const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return n > 0 && n < CMDB_NAME_MAX;
}

bool cmdb_is_scalar(const json_t *value) {
    return json_is_string(value) || json_is_number(value) || json_is_boolean(value);
}

uint32_t cmdb_add_file(struct cmdb *c, const char *path) {
    char **grown = reallocarray(c->files, c->file_count + 1, sizeof *grown);
    if (grown == NULL)
        return 0;
    c->files = grown;
    grown[c->file_count] = strdup(path);
    return grown[c->file_count] != NULL ? ++c->file_count : 0;
}

/* Room for one more element of `size` octets in an array that doubles; NULL when memory is short.
 */
static void *grow(void *array, size_t count, size_t *room, size_t size) {
    if (count < *room)
        return array;
    size_t larger = *room > 0 ? 2 * *room : 16;
    void *grown = reallocarray(array, larger, size);
    if (grown != NULL)
        *room = larger;
    return grown;
}

/*
 * The attributes as a person wrote them: 15 digits give back every decimal fraction of up to 15,
 * where jansson's usual 17 would make 0.1000000000000000056 of 0.1.
 */
static enum cmdb_fault encode(const json_t *attributes, char **json) {
    enum { DIGITS = 15 };
    *json = json_dumps(attributes, JSON_COMPACT | JSON_REAL_PRECISION(DIGITS));
    if (*json == NULL)
        return CMDB_NO_MEMORY;
    if (strlen(*json) < CMDB_JSON_MAX)
        return CMDB_TAKEN;
    free(*json);
    *json = NULL;
    return CMDB_TOO_LONG;
}

enum cmdb_fault cmdb_add_service(struct cmdb *c, const char *name, const json_t *attributes,
                                 struct cmdb_place place) {
    struct cmdb_service_entry *grown =
        grow(c->services, c->service_count, &c->service_room, sizeof *grown);
    if (grown == NULL)
        return CMDB_NO_MEMORY;
    c->services = grown;
    struct cmdb_service_entry e = {.name = strdup(name), .place = place};
    enum cmdb_fault fault = e.name != NULL ? encode(attributes, &e.json) : CMDB_NO_MEMORY;
    if (fault == CMDB_TAKEN)
        grown[c->service_count++] = e;
    else
        free(e.name);
    return fault;
}

enum cmdb_fault cmdb_add_client(struct cmdb *c, const struct cmdb_client *client,
                                const json_t *attributes, struct cmdb_place place) {
    struct cmdb_client_entry *grown =
        grow(c->clients, c->client_count, &c->client_room, sizeof *grown);
    if (grown == NULL)
        return CMDB_NO_MEMORY;
    c->clients = grown;
    struct cmdb_client_entry e = {.address = client->address,
                                  .prefix_length = (uint8_t)client->prefix_length,
                                  .name = strdup(client->name),
                                  .place = place};
    enum cmdb_fault fault = e.name != NULL ? encode(attributes, &e.json) : CMDB_NO_MEMORY;
    if (fault == CMDB_TAKEN)
        grown[c->client_count++] = e;
    else
        free(e.name);
    return fault;
}

static bool all_scalars(json_t *object) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key,
                        value) if (!cmdb_is_scalar(value) || !cmdb_is_name(key)) return false;
    return true;
}

/* An object of scalars, NULL when the text is none. */
static json_t *decode(const char *json) {
    json_t *object = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(object) && all_scalars(object))
        return object;
    json_decref(object);
    return NULL;
}

bool cmdb_put_service(struct cmdb *c, const char *service, const char *json) {
    json_t *attributes = cmdb_is_name(service) ? decode(json) : NULL;
    bool taken = attributes != NULL &&
                 cmdb_add_service(c, service, attributes, (struct cmdb_place){0}) == CMDB_TAKEN;
    json_decref(attributes);
    return taken;
}

bool cmdb_put_client(struct cmdb *c, const char *address, const char *json) {
    struct cmdb_client client = {0};
    json_t *attributes = decode(json);
    client.name = json_string_value(json_object_get(attributes, "name"));
    bool taken = client.name != NULL && cmdb_is_name(client.name) &&
                 base_cidr_parse(address, &client.address, &client.prefix_length) &&
                 cmdb_add_client(c, &client, attributes, (struct cmdb_place){0}) == CMDB_TAKEN;
    json_decref(attributes);
    return taken;
}

/* ---- order ---- */

static int compare_places(const struct cmdb_place *a, const struct cmdb_place *b) {
    if (a->file != b->file)
        return a->file < b->file ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}

static int compare_services(const void *x, const void *y) {
    const struct cmdb_service_entry *a = x, *b = y;
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : compare_places(&a->place, &b->place);
}

static bool same_group(const struct cmdb_client_entry *a, const struct cmdb_client_entry *b) {
    return a->address.family == b->address.family && a->prefix_length == b->prefix_length;
}

static bool same_network(const struct cmdb_client_entry *a, const struct cmdb_client_entry *b) {
    return same_group(a, b) && memcmp(&a->address, &b->address, sizeof a->address) == 0;
}

static int compare_clients(const void *x, const void *y) {
    const struct cmdb_client_entry *a = x, *b = y;
    if (a->address.family != b->address.family)
        return a->address.family < b->address.family ? -1 : 1;
    if (a->prefix_length != b->prefix_length)
        return a->prefix_length > b->prefix_length ? -1 : 1;
    int order = memcmp(a->address.octet, b->address.octet, sizeof a->address.octet);
    return order != 0 ? order : compare_places(&a->place, &b->place);
}

static void find_groups(struct cmdb *c) {
    c->group_count = 0;
    for (size_t i = 0; i < c->client_count; i++) {
        const struct cmdb_client_entry *e = &c->clients[i];
        if (i == 0 || !same_group(e - 1, e))
            c->group[c->group_count++] = (struct cmdb_group){
                .family = e->address.family, .prefix_length = e->prefix_length, .first = i};
        c->group[c->group_count - 1].count++;
    }
}

static struct cmdb_client view_of(const struct cmdb_client_entry *e) {
    return (struct cmdb_client){e->address, e->prefix_length, e->name, e->json};
}

static bool find_clash(const struct cmdb *c, struct cmdb_clash *clash) {
    for (size_t i = 1; i < c->service_count; i++) {
        const struct cmdb_service_entry *e = &c->services[i];
        if (strcmp(e[-1].name, e->name) != 0)
            continue;
        *clash = (struct cmdb_clash){.first = e[-1].place, .second = e->place};
        snprintf(clash->name, sizeof clash->name, "%s", e->name);
        return true;
    }
    for (size_t i = 1; i < c->client_count; i++) {
        const struct cmdb_client_entry *e = &c->clients[i];
        struct cmdb_client client = view_of(e);
        if (!same_network(e - 1, e))
            continue;
        *clash = (struct cmdb_clash){.is_client = true, .first = e[-1].place, .second = e->place};
        cmdb_cidr_format(&client, clash->name);
        return true;
    }
    return false;
}

bool cmdb_order(struct cmdb *c, struct cmdb_clash *clash) {
    if (c->service_count > 0)
        qsort(c->services, c->service_count, sizeof *c->services, compare_services);
    if (c->client_count > 0)
        qsort(c->clients, c->client_count, sizeof *c->clients, compare_clients);
    find_groups(c);
    return !find_clash(c, clash);
}

/* Keep the first of equals in two sorted arrays. */
static void drop_repeated(struct cmdb *c) {
    size_t services = 0, clients = 0;
    for (size_t i = 0; i < c->service_count; i++) {
        struct cmdb_service_entry *e = &c->services[i];
        if (services > 0 && strcmp(c->services[services - 1].name, e->name) == 0) {
            free(e->name);
            free(e->json);
        } else {
            c->services[services++] = *e;
        }
    }
    for (size_t i = 0; i < c->client_count; i++) {
        struct cmdb_client_entry *e = &c->clients[i];
        if (clients > 0 && same_network(&c->clients[clients - 1], e)) {
            free(e->name);
            free(e->json);
        } else {
            c->clients[clients++] = *e;
        }
    }
    c->service_count = services;
    c->client_count = clients;
}

void cmdb_sort(struct cmdb *c) {
    struct cmdb_clash clash;
    if (cmdb_order(c, &clash))
        return;
    drop_repeated(c);
    find_groups(c);
}

/* ---- lookups ---- */

bool cmdb_has_services(const struct cmdb *c) {
    return c->has_services;
}

bool cmdb_has_clients(const struct cmdb *c) {
    return c->has_clients;
}

size_t cmdb_services(const struct cmdb *c) {
    return c->service_count;
}

size_t cmdb_clients(const struct cmdb *c) {
    return c->client_count;
}

const char *cmdb_service(const struct cmdb *c, const char *service) {
    size_t low = 0, high = c->service_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(c->services[middle].name, service);
        if (order == 0)
            return c->services[middle].json;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static struct base_addr mask(const struct base_addr *a, unsigned prefix_length) {
    struct base_addr masked = {.family = a->family};
    memcpy(masked.octet, a->octet, (prefix_length + 7) / 8);
    if (prefix_length % 8 != 0)
        masked.octet[prefix_length / 8] &= (uint8_t)(0xff00 >> prefix_length % 8);
    return masked;
}

static const struct cmdb_client_entry *
find_in_group(const struct cmdb *c, const struct cmdb_group *g, const struct base_addr *network) {
    size_t low = g->first, high = g->first + g->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(c->clients[middle].address.octet, network->octet, sizeof network->octet);
        if (order == 0)
            return &c->clients[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool cmdb_client(const struct cmdb *c, const struct base_addr *address, struct cmdb_client *found) {
    for (size_t i = 0; i < c->group_count; i++) { /* longest prefix first within a family */
        const struct cmdb_group *g = &c->group[i];
        if (g->family != address->family)
            continue;
        struct base_addr network = mask(address, g->prefix_length);
        const struct cmdb_client_entry *e = find_in_group(c, g, &network);
        if (e != NULL) {
            *found = view_of(e);
            return true;
        }
    }
    return false;
}

const char *cmdb_client_name(const struct cmdb *c, const struct base_addr *address) {
    struct cmdb_client found;
    return c != NULL && cmdb_client(c, address, &found) ? found.name : NULL;
}

bool cmdb_attribute(const char *json, const char *key, char *out, size_t size) {
    json_t *object = json_loads(json, 0, NULL);
    json_t *value = json_object_get(object, key);
    char *other = NULL;
    const char *text = json_string_value(value);
    if (value != NULL && text == NULL)
        text = other = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
    bool fits = text != NULL && strlen(text) < size;
    if (fits)
        memcpy(out, text, strlen(text) + 1);
    free(other);
    json_decref(object);
    return fits;
}

void cmdb_each_service(const struct cmdb *c, cmdb_visit_service *visit, void *context) {
    for (size_t i = 0; i < c->service_count; i++)
        visit(context, c->services[i].name, c->services[i].json);
}

void cmdb_each_client(const struct cmdb *c, cmdb_visit_client *visit, void *context) {
    for (size_t i = 0; i < c->client_count; i++) {
        struct cmdb_client client = view_of(&c->clients[i]);
        visit(context, &client);
    }
}

const char *cmdb_cidr_format(const struct cmdb_client *client, char out[CMDB_CIDR_TEXT]) {
    size_t n = base_addr_format(&client->address, out);
    if (client->prefix_length < (client->address.family == 4 ? 32u : 128u))
        snprintf(out + n, CMDB_CIDR_TEXT - n, "/%u", client->prefix_length);
    return out;
}
