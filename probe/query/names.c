/*
 * Names of clients, attributes of services: the store's hashes as a struct cmdb (names.h).
 */
#include "names.h"

#include <stdlib.h>
#include <string.h>

#include "spanwatch/cmdb.h"

enum { FIELD_TEXT = 256, VALUE_TEXT = 8192 /* above what the loader would have put there */ };

struct query_names {
    struct cmdb *cmdb;
    size_t faults;
};

typedef bool put_pair(struct cmdb *c, const char *field, const char *json);

/* The texts as the loader wants them; one that is too long or has a NUL is none that it wrote. */
static int take_pair(struct query_names *n, struct query_text field, struct query_text value,
                     put_pair *put) {
    char name[FIELD_TEXT], json[VALUE_TEXT];
    bool good = field.n < sizeof name && value.n < sizeof json &&
                memchr(field.s, '\0', field.n) == NULL && memchr(value.s, '\0', value.n) == NULL;
    if (!good || !put(n->cmdb, query_text_copy(field, name, sizeof name),
                      query_text_copy(value, json, sizeof json)))
        n->faults++;
    return 0;
}

static int take_client(void *context, struct query_text field, struct query_text value) {
    return take_pair(context, field, value, cmdb_put_client);
}

static int take_service(void *context, struct query_text field, struct query_text value) {
    return take_pair(context, field, value, cmdb_put_service);
}

struct query_names *query_names_new(struct query_link *l, const char *prefix,
                                    struct base_error *error) {
    char key[REDIS_KEY_TEXT];
    struct query_names *n = calloc(1, sizeof *n);
    if (n != NULL)
        n->cmdb = cmdb_new();
    if (n == NULL || n->cmdb == NULL) {
        query_names_free(n);
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
    cmdb_sort(n->cmdb);
    return n;
}

void query_names_free(struct query_names *n) {
    if (n != NULL)
        cmdb_free(n->cmdb);
    free(n);
}

size_t query_names_faults(const struct query_names *n) {
    return n->faults;
}

const char *query_names_client(const struct query_names *n, const struct query_place *client) {
    struct base_addr a = {.family = client->family};
    memcpy(a.octet, client->octet, sizeof a.octet);
    const char *name = cmdb_client_name(n->cmdb, &a);
    return name != NULL ? name : "";
}

struct finding {
    const char *name;
    struct base_addr *addr;
    unsigned *prefix_length;
    size_t found;
};

static void compare_client(void *context, const struct cmdb_client *c) {
    struct finding *f = context;
    if (strcmp(c->name, f->name) != 0)
        return;
    *f->addr = c->address;
    *f->prefix_length = c->prefix_length;
    f->found++;
}

size_t query_names_find(const struct query_names *n, const char *name, struct base_addr *addr,
                        unsigned *prefix_length) {
    struct finding f = {.name = name, .addr = addr, .prefix_length = prefix_length};
    cmdb_each_client(n->cmdb, compare_client, &f);
    return f.found;
}

const char *query_names_cmdb(const struct query_names *n, const char *service) {
    const char *json = cmdb_service(n->cmdb, service);
    return json != NULL ? json : "";
}

const char *query_names_value(const struct query_names *n, const char *service, const char *key,
                              char *out, size_t size) {
    const char *json = cmdb_service(n->cmdb, service);
    if (json == NULL || !cmdb_attribute(json, key, out, size))
        out[0] = '\0';
    return out;
}
