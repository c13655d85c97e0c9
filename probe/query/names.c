/*
 * Names of clients, attributes of services (names.h).
 *
 * Both are sorted arrays: loaded once, looked up by bisection. A client is looked for under each
 * prefix length that occurs, the longest first.
 */
#include "names.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct client {
    struct base_addr addr; /* the network */
    unsigned prefix_length;
    char *name;
};

struct service {
    char *name, *attributes; /* compact JSON */
    json_t *object;
};

struct query_names {
    struct client *client;
    size_t clients, client_room;
    struct service *service;
    size_t services, service_room;
    size_t faults;
    bool has_length[2][129]; /* which prefix lengths occur, of IPv4 and IPv6 */
};

/* Room for one more of `size` octets each. */
static bool reserve(void **array, size_t count, size_t *room, size_t size) {
    if (count < *room)
        return true;
    size_t more = *room > 0 ? *room * 2 : 64;
    void *bigger = reallocarray(*array, more, size);
    if (bigger == NULL)
        return false;
    *array = bigger;
    *room = more;
    return true;
}

static json_t *parse_object(struct query_text value) {
    json_t *object = json_loadb(value.s, value.n, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(object))
        return object;
    json_decref(object);
    return NULL;
}

/* A network as the hash's field has it; host bits are forgiven by nobody, an absent length means
 * all bits. */
static bool parse_network(struct query_text field, struct client *c) {
    char text[64];
    if (field.n >= sizeof text || memchr(field.s, '\0', field.n) != NULL)
        return false;
    return base_cidr_parse(query_text_copy(field, text, sizeof text), &c->addr, &c->prefix_length);
}

static int take_client(void *context, struct query_text field, struct query_text value) {
    struct query_names *n = context;
    struct client c = {0};
    json_t *object = parse_object(value);
    const char *name = json_string_value(json_object_get(object, "name"));
    if (name == NULL || !parse_network(field, &c)) {
        n->faults += object == NULL || name != NULL;
        json_decref(object);
        return 0;
    }
    c.name = strdup(name);
    json_decref(object);
    if (c.name == NULL ||
        !reserve((void **)&n->client, n->clients, &n->client_room, sizeof *n->client)) {
        free(c.name);
        return -1;
    }
    n->client[n->clients++] = c;
    n->has_length[c.addr.family == 6][c.prefix_length] = true;
    return 0;
}

static int take_service(void *context, struct query_text field, struct query_text value) {
    struct query_names *n = context;
    struct service s = {.object = parse_object(value)};
    if (s.object == NULL || memchr(field.s, '\0', field.n) != NULL) {
        n->faults++;
        json_decref(s.object);
        return 0;
    }
    s.name = strndup(field.s, field.n);
    s.attributes = json_dumps(s.object, JSON_COMPACT);
    if (s.name == NULL || s.attributes == NULL ||
        !reserve((void **)&n->service, n->services, &n->service_room, sizeof *n->service)) {
        free(s.name);
        free(s.attributes);
        json_decref(s.object);
        return -1;
    }
    n->service[n->services++] = s;
    return 0;
}

static int compare_clients(const void *x, const void *y) {
    const struct client *a = x, *b = y;
    if (a->prefix_length != b->prefix_length)
        return a->prefix_length < b->prefix_length ? -1 : 1;
    return memcmp(&a->addr, &b->addr, sizeof a->addr);
}

static int compare_services(const void *x, const void *y) {
    const struct service *a = x, *b = y;
    return strcmp(a->name, b->name);
}

struct query_names *query_names_new(struct query_link *l, const char *prefix,
                                    struct base_error *error) {
    char key[REDIS_KEY_TEXT];
    struct query_names *n = calloc(1, sizeof *n);
    if (n == NULL) {
        base_error_set(error, l->shown, "out of memory");
        return NULL;
    }
    redis_key(key, prefix, "clients");
    int result = query_hash_each(l, key, take_client, n, error);
    redis_key(key, prefix, "cmdb");
    if (result == 0)
        result = query_hash_each(l, key, take_service, n, error);
    if (result != 0) {
        query_names_free(n);
        return NULL;
    }
    if (n->clients > 0)
        qsort(n->client, n->clients, sizeof *n->client, compare_clients);
    if (n->services > 0)
        qsort(n->service, n->services, sizeof *n->service, compare_services);
    return n;
}

void query_names_free(struct query_names *n) {
    if (n == NULL)
        return;
    for (size_t i = 0; i < n->clients; i++)
        free(n->client[i].name);
    for (size_t i = 0; i < n->services; i++) {
        free(n->service[i].name);
        free(n->service[i].attributes);
        json_decref(n->service[i].object);
    }
    free(n->client);
    free(n->service);
    free(n);
}

size_t query_names_faults(const struct query_names *n) {
    return n->faults;
}

static void mask(struct base_addr *a, unsigned prefix_length) {
    for (unsigned i = 0; i < sizeof a->octet; i++) {
        unsigned bits = prefix_length > i * 8 ? prefix_length - i * 8 : 0;
        if (bits < 8)
            a->octet[i] &= (uint8_t)(0xff00 >> bits);
    }
}

const char *query_names_client(const struct query_names *n, const struct query_place *client) {
    const bool *has = n->has_length[client->family == 6];
    for (unsigned length = client->family == 6 ? 129 : 33; length-- > 0;) {
        if (!has[length])
            continue;
        struct client wanted = {.addr.family = client->family, .prefix_length = length};
        memcpy(wanted.addr.octet, client->octet, sizeof client->octet);
        mask(&wanted.addr, length);
        const struct client *found =
            bsearch(&wanted, n->client, n->clients, sizeof wanted, compare_clients);
        if (found != NULL)
            return found->name;
    }
    return "";
}

size_t query_names_find(const struct query_names *n, const char *name, struct base_addr *addr,
                        unsigned *prefix_length) {
    size_t found = 0;
    for (size_t i = 0; i < n->clients; i++) {
        if (strcmp(n->client[i].name, name) != 0)
            continue;
        *addr = n->client[i].addr;
        *prefix_length = n->client[i].prefix_length;
        found++;
    }
    return found;
}

static const struct service *find_service(const struct query_names *n, const char *name) {
    union { /* bsearch wants a key of the array's type; its text is only read */
        const char *in;
        char *out;
    } text = {.in = name};
    struct service wanted = {.name = text.out};
    return n->services == 0
               ? NULL
               : bsearch(&wanted, n->service, n->services, sizeof wanted, compare_services);
}

const char *query_names_cmdb(const struct query_names *n, const char *service) {
    const struct service *s = find_service(n, service);
    return s != NULL ? s->attributes : "";
}

const char *query_names_value(const struct query_names *n, const char *service, const char *key,
                              char *out, size_t size) {
    const struct service *s = find_service(n, service);
    const json_t *value = s != NULL ? json_object_get(s->object, key) : NULL;
    out[0] = '\0';
    if (json_is_string(value))
        return query_text_copy(
            (struct query_text){json_string_value(value), json_string_length(value)}, out, size);
    char *text = value != NULL ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (text != NULL)
        query_text_copy((struct query_text){text, strlen(text)}, out, size);
    free(text);
    return out;
}
