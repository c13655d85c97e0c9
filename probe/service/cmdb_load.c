/*
 * Reading a CMDB file of JSON (design 1.5), and telling CSV from it.
 *
 * Input: {"cmdb":{SERVICE:{KEY:SCALAR,...},...},"clients":[{"address":ADDRESS or CIDR,"name":TEXT,
 * KEY:SCALAR,...},...]}. Output: entries in the cmdb, or an error that names file, line and key
 * path. jansson has already refused what is not UTF-8 and a key that stands twice. Owner: the
 * document lives as long as the call.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "spanwatch/config.h"

#include "cmdb_table.h"

#define NAME_ALLOWED   "allowed is a text of 1 to 63 octets without control characters"
#define SCALAR_ALLOWED "allowed is a text, a number or a truth value"

/* What reading one file needs at hand. */
struct loading {
    struct cmdb *cmdb;
    const struct config_document *document;
    uint32_t file;
    struct base_error *error;
};

static int refuse(const struct loading *l, const struct config_path *path, const json_t *value,
                  const char *allowed) {
    char found[CONFIG_FOUND_TEXT];
    return config_error(l->document, path, l->error, "found %s, %s", config_found(value, found),
                        allowed);
}

static int tell_fault(const struct loading *l, const struct config_path *path,
                      enum cmdb_fault fault) {
    if (fault == CMDB_TAKEN)
        return 0;
    if (fault == CMDB_NO_MEMORY)
        return base_error_set(l->error, l->document->name, "out of memory");
    return config_error(l->document, path, l->error,
                        "the attributes take more than %d octets as JSON, allowed is less",
                        CMDB_JSON_MAX - 1);
}

/* Every member of `object`: its key a name, its value a scalar. */
static int check_attributes(const struct loading *l, const struct config_path *path,
                            json_t *object) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        struct config_path at = config_member(path, key);
        if (!cmdb_is_name(key))
            return config_error(l->document, &at, l->error,
                                "found an attribute's name of %zu octets, " NAME_ALLOWED,
                                strlen(key));
        if (!cmdb_is_scalar(value))
            return refuse(l, &at, value, SCALAR_ALLOWED);
    }
    return 0;
}

static int read_services(const struct loading *l, const struct config_path *path, json_t *object) {
    const char *name;
    json_t *attributes;
    if (!json_is_object(object))
        return refuse(l, path, object, "allowed is an object: {SERVICE:{KEY:VALUE,...},...}");
    l->cmdb->has_services = true;
    json_object_foreach(object, name, attributes) {
        struct config_path at = config_member(path, name);
        if (!cmdb_is_name(name))
            return config_error(l->document, &at, l->error,
                                "found a service's name of %zu octets, " NAME_ALLOWED,
                                strlen(name));
        if (!json_is_object(attributes))
            return refuse(l, &at, attributes, "allowed is an object: {KEY:VALUE,...}");
        if (check_attributes(l, &at, attributes) != 0 ||
            tell_fault(l, &at,
                       cmdb_add_service(l->cmdb, name, attributes,
                                        (struct cmdb_place){.file = l->file})) != 0)
            return -1;
    }
    return 0;
}

/* Address and name of one client; the rest are attributes. */
static int read_identity(const struct loading *l, const struct config_path *path,
                         const json_t *object, struct cmdb_client *client) {
    const json_t *address = json_object_get(object, "address"),
                 *name = json_object_get(object, "name");
    struct config_path at_address = config_member(path, "address"),
                       at_name = config_member(path, "name");
    if (address == NULL || name == NULL)
        return config_error(l->document, path, l->error, "the key \"%s\" is missing",
                            address == NULL ? "address" : "name");
    if (!json_is_string(address) ||
        !base_cidr_parse(json_string_value(address), &client->address, &client->prefix_length))
        return refuse(l, &at_address, address,
                      "allowed is an address (10.7.0.17, 2001:db8::17) or a network (10.7.0.0/16) "
                      "without host bits");
    client->name = json_string_value(name);
    if (client->name == NULL || !cmdb_is_name(client->name))
        return refuse(l, &at_name, name, NAME_ALLOWED);
    return 0;
}

/* The attributes as the store keeps them: the name first, without the address, which is the key
 * there. NULL when memory is short. */
static json_t *client_attributes(json_t *object) {
    const char *key;
    json_t *value, *attributes = json_object();
    int result = json_object_set(attributes, "name", json_object_get(object, "name"));
    json_object_foreach(object, key,
                        value) if (strcmp(key, "address") != 0 && strcmp(key, "name") != 0)
        result += json_object_set(attributes, key, value);
    if (result == 0)
        return attributes;
    json_decref(attributes);
    return NULL;
}

static int read_client(const struct loading *l, const struct config_path *path, json_t *object,
                       uint32_t index) {
    struct cmdb_client client = {0};
    if (!json_is_object(object))
        return refuse(l, path, object,
                      "allowed is an object with the keys address, name and any attributes");
    if (read_identity(l, path, object, &client) != 0 || check_attributes(l, path, object) != 0)
        return -1;
    json_t *attributes = client_attributes(object);
    enum cmdb_fault fault =
        attributes == NULL ? CMDB_NO_MEMORY
                           : cmdb_add_client(l->cmdb, &client, attributes,
                                             (struct cmdb_place){.file = l->file, .at = index});
    json_decref(attributes);
    return tell_fault(l, path, fault);
}

static int read_clients(const struct loading *l, const struct config_path *path, json_t *list) {
    size_t i;
    json_t *object;
    if (!json_is_array(list))
        return refuse(l, path, list, "allowed is an array: [{\"address\":...,\"name\":...},...]");
    json_array_foreach(list, i, object) {
        struct config_path at = config_element(path, i);
        if (read_client(l, &at, object, (uint32_t)i) != 0)
            return -1;
    }
    return 0;
}

static int read_root(const struct loading *l) {
    static const struct config_path root;
    const char *key;
    json_t *value;
    int result = 0;
    json_object_foreach(l->document->root, key, value) {
        struct config_path at = config_member(&root, key);
        if (strcmp(key, "cmdb") == 0)
            result = read_services(l, &at, value);
        else if (strcmp(key, "clients") == 0)
            result = read_clients(l, &at, value);
        else
            result = config_error(l->document, &at, l->error,
                                  "unknown key; allowed here are cmdb, clients");
        if (result != 0)
            return -1;
    }
    return 0;
}

/* Where the entry stands in this document: clients[I], or cmdb.SERVICE. */
static struct config_path path_of(const struct cmdb_clash *clash, const struct cmdb_place *place) {
    static const struct config_path root;
    struct config_path section = config_member(&root, clash->is_client ? "clients" : "cmdb");
    return clash->is_client ? config_element(&section, place->at)
                            : config_member(&section, clash->name);
}

/* Within one file only clients can stand twice. */
static int tell_clash(const struct loading *l, const struct cmdb_clash *clash) {
    struct config_path first = path_of(clash, &clash->first),
                       second = path_of(clash, &clash->second);
    const char *what = clash->is_client ? "address" : "service";
    if (clash->first.file != clash->second.file)
        return config_error(l->document, &second, l->error, "the %s %s is in %s too", what,
                            clash->name, l->cmdb->files[clash->first.file - 1]);
    return config_error(l->document, &second, l->error,
                        "the %s %s is in clients[%u] in line %u too", what, clash->name,
                        clash->first.at, config_line(l->document, &first));
}

/* Whoever meant CSV is told how it is recognised: a header's first name is no JSON, or behind a
 * quoted one nothing may follow. */
static int hint_at_csv(struct base_error *error) {
    static const char *const begins[] = {"not valid JSON: invalid token near",
                                         "not valid JSON: end of file expected"};
    size_t n = strlen(error->why);
    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++)
        if (strncmp(error->why, begins[i], strlen(begins[i])) == 0)
            snprintf(error->why + n, sizeof error->why - n,
                     "; a CSV file has a name that ends in .csv");
    return -1;
}

static int load_json(struct cmdb *c, uint32_t file, struct base_error *error) {
    struct config_document document;
    struct cmdb_clash clash;
    struct loading l = {.cmdb = c, .document = &document, .file = file, .error = error};
    if (config_load(&document, c->files[file - 1], error) != 0)
        return hint_at_csv(error);
    c->has_services = c->has_clients = true;
    int result = read_root(&l);
    if (result == 0 && !cmdb_order(c, &clash))
        result = tell_clash(&l, &clash);
    config_free(&document);
    return result;
}

int cmdb_load(struct cmdb *c, const char *path, struct base_error *error) {
    size_t n = strlen(path);
    uint32_t file = cmdb_add_file(c, path);
    if (file == 0)
        return base_error_set(error, path, "out of memory");
    if (n > 4 && strcasecmp(path + n - 4, ".csv") == 0)
        return cmdb_load_csv(c, file, error);
    return load_json(c, file, error);
}
