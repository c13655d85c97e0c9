/*
 * Fuzz target: CMDB files of any octets, as CSV and as JSON.
 *
 * Input: a text. Asserted: what is refused is explained, and leaves nothing behind; of what is
 * accepted every service is found by its name, every client by its own address (itself, or one with
 * a longer prefix), attributes are JSON objects of scalars below the cap, and the whole survives
 * the way through the store's pairs of texts unchanged.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "spanwatch/cmdb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file of this name in memory's folder, made once a process. */
static const char *path_of(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "/dev/shm/fuzz_cmdb_%ld%s", (long)getpid(), name);
    return path;
}

static int load(struct cmdb *c, const char *name, const uint8_t *data, size_t size) {
    struct base_error error = {0};
    const char *path = path_of(name);
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        abort();
    int result = cmdb_load(c, path, &error);
    unlink(path);
    assert(result == 0 || (error.what[0] != '\0' && error.why[0] != '\0'));
    return result;
}

static void check_json(const char *json) {
    const char *key;
    json_t *value, *object = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    assert(json_is_object(object) && strlen(json) < CMDB_JSON_MAX);
    json_object_foreach(object, key, value) assert(key[0] != '\0' && !json_is_object(value) &&
                                                   !json_is_array(value) && !json_is_null(value));
    json_decref(object);
}

struct checking {
    const struct cmdb *cmdb;
    struct cmdb *copy;
};

static void check_service(void *context, const char *service, const char *json) {
    struct checking *k = context;
    size_t n = strlen(service);
    assert(n > 0 && n < CMDB_NAME_MAX && cmdb_service(k->cmdb, service) == json);
    check_json(json);
    assert(cmdb_put_service(k->copy, service, json));
}

static void check_client(void *context, const struct cmdb_client *client) {
    struct checking *k = context;
    struct cmdb_client found;
    char cidr[CMDB_CIDR_TEXT], name[CMDB_NAME_MAX];
    assert(cmdb_client(k->cmdb, &client->address, &found));
    assert(found.prefix_length >= client->prefix_length);
    assert(base_addr_in(&found.address, &client->address, client->prefix_length));
    check_json(client->json);
    assert(cmdb_attribute(client->json, "name", name, sizeof name));
    assert(strcmp(name, client->name) == 0);
    assert(cmdb_put_client(k->copy, cmdb_cidr_format(client, cidr), client->json));
}

static void compare_service(void *context, const char *service, const char *json) {
    const char *other = cmdb_service(context, service);
    assert(other != NULL && strcmp(other, json) == 0);
}

static void run(const char *name, const uint8_t *data, size_t size) {
    struct checking k = {.copy = cmdb_new()};
    struct cmdb *c = cmdb_new();
    k.cmdb = c;
    if (c == NULL || k.copy == NULL)
        abort();
    if (load(c, name, data, size) == 0) {
        cmdb_each_service(c, check_service, &k);
        cmdb_each_client(c, check_client, &k);
        cmdb_sort(k.copy);
        assert(cmdb_services(k.copy) == cmdb_services(c));
        assert(cmdb_clients(k.copy) == cmdb_clients(c));
        cmdb_each_service(c, compare_service, k.copy);
    }
    cmdb_free(c);
    cmdb_free(k.copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    run(".csv", data, size);
    run(".json", data, size);
    return 0;
}
