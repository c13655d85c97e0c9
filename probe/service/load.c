/*
 * Reading a services file (design 1.5) into rules.
 *
 * Input: {"services":[{"server":ADDRESS or CIDR,"port":N or "LOW-HIGH","vlan":N,"name":TEXT},...]}.
 * Output: rules in the table, or an error that names file, line and key path, and the table as it
 * was. jansson has already refused what is not UTF-8. Owner: names pass to the table when all of
 * the file is good.
 */
#include <stdlib.h>
#include <string.h>

#include "spanwatch/config.h"
#include "table.h"

#define PORT_ALLOWED "allowed is a number from 0 to 65535, or a range as text: \"LOW-HIGH\""

/* What reading one file needs at hand. */
struct loading {
    const struct config_document *document;
    struct base_error *error;
};

static int refuse(const struct loading *l, const struct config_path *path, const json_t *value,
                  const char *allowed) {
    char found[CONFIG_FOUND_TEXT];
    return config_error(l->document, path, l->error, "found %s, %s", config_found(value, found),
                        allowed);
}

static int read_server(const struct loading *l, const struct config_path *path, const json_t *value,
                       struct service_rule *r) {
    struct base_addr address;
    unsigned prefix_length;
    if (!json_is_string(value) ||
        !base_cidr_parse(json_string_value(value), &address, &prefix_length))
        return refuse(l, path, value,
                      "allowed is an address (10.0.0.2, 2001:db8::2) or a network (10.1.0.0/16) "
                      "without host bits");
    r->family = address.family;
    r->prefix_length = (uint8_t)prefix_length;
    service_rule_address(r, &address);
    return 0;
}

/* "LOW-HIGH": both ports in decimal, the first not above the second. */
static bool parse_range(const char *text, uint16_t *low, uint16_t *high) {
    char first[8];
    uint64_t a, b;
    size_t n = strcspn(text, "-");
    if (n >= sizeof first || text[n] != '-')
        return false;
    memcpy(first, text, n);
    first[n] = '\0';
    if (!base_uint_parse(first, UINT16_MAX, &a) || !base_uint_parse(text + n + 1, UINT16_MAX, &b) ||
        a > b)
        return false;
    *low = (uint16_t)a;
    *high = (uint16_t)b;
    return true;
}

static int read_port(const struct loading *l, const struct config_path *path, const json_t *value,
                     struct service_rule *r) {
    if (json_is_integer(value)) {
        json_int_t port = json_integer_value(value);
        if (port < 0 || port > UINT16_MAX)
            return refuse(l, path, value, PORT_ALLOWED);
        r->low = r->high = (uint16_t)port;
        return 0;
    }
    if (!json_is_string(value) || !parse_range(json_string_value(value), &r->low, &r->high))
        return refuse(l, path, value, PORT_ALLOWED);
    return 0;
}

static int read_vlan(const struct loading *l, const struct config_path *path, const json_t *value,
                     struct service_rule *r) {
    json_int_t vlan = json_integer_value(value); /* 0 when it is no integer */
    if (!json_is_integer(value) || vlan < 0 || vlan > SERVICE_MAX_VLAN)
        return refuse(l, path, value, "allowed is a VLAN id from 0 to 4094");
    r->vlan = (uint16_t)vlan;
    return 0;
}

/* Names go into records, tables and labels: control octets would break them. */
static bool is_name(const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return n > 0 && n < SERVICE_NAME_MAX;
}

static int read_name(const struct loading *l, const struct config_path *path, const json_t *value,
                     struct service_rule *r) {
    if (!json_is_string(value) || !is_name(json_string_value(value)))
        return refuse(l, path, value,
                      "allowed is a text of 1 to 63 octets without control characters");
    r->name = strdup(json_string_value(value));
    return r->name != NULL ? 0 : base_error_set(l->error, l->document->name, "out of memory");
}

static const struct entry_key {
    const char *key;
    bool required;
    int (*read)(const struct loading *, const struct config_path *, const json_t *,
                struct service_rule *);
} entry_keys[] = {
    {"server", true, read_server},
    {"port", true, read_port},
    {"vlan", false, read_vlan},
    {"name", true, read_name},
};

enum { ENTRY_KEYS = sizeof entry_keys / sizeof entry_keys[0] };

static const struct entry_key *find_key(const char *key) {
    for (size_t i = 0; i < ENTRY_KEYS; i++)
        if (strcmp(entry_keys[i].key, key) == 0)
            return &entry_keys[i];
    return NULL;
}

static int read_entry(const struct loading *l, const struct config_path *path, json_t *value,
                      struct service_rule *r) {
    const char *key;
    json_t *member;
    if (!json_is_object(value))
        return refuse(l, path, value,
                      "allowed is an object with the keys server, port, vlan, name");
    json_object_foreach(value, key, member) {
        struct config_path at = config_member(path, key);
        const struct entry_key *known = find_key(key);
        if (known == NULL)
            return config_error(l->document, &at, l->error,
                                "unknown key; allowed here are server, port, vlan, name");
        if (known->read(l, &at, member, r) != 0)
            return -1;
    }
    for (size_t i = 0; i < ENTRY_KEYS; i++)
        if (entry_keys[i].required && json_object_get(value, entry_keys[i].key) == NULL)
            return config_error(l->document, path, l->error, "the key \"%s\" is missing",
                                entry_keys[i].key);
    r->rank = service_rank(r->low, r->high, r->vlan);
    return 0;
}

/* The list of entries: an empty one where the file has none; NULL with the error told. */
static json_t *entry_list(const struct loading *l) {
    static const struct config_path root;
    const char *key;
    json_t *value;
    json_object_foreach(l->document->root, key, value) {
        struct config_path at = config_member(&root, key);
        if (strcmp(key, "services") != 0) {
            config_error(l->document, &at, l->error, "unknown key; allowed here is services");
            return NULL;
        }
        if (!json_is_array(value)) {
            refuse(l, &at, value, "allowed is an array of entries");
            return NULL;
        }
        return json_incref(value);
    }
    json_t *none = json_array();
    if (none == NULL)
        base_error_set(l->error, l->document->name, "out of memory");
    return none;
}

static int tell_clash(const struct loading *l, const struct service_rule *first,
                      const struct service_rule *second) {
    static const struct config_path root;
    struct config_path list = config_member(&root, "services"),
                       at = config_element(&list, second->index);
    bool same = first->low == second->low;
    const char *why = same ? "the same server, port and vlan as"
                           : "its port range overlaps, with equal length, that of";
    if (first->load != second->load)
        return config_error(l->document, &at, l->error,
                            "%s an entry of a services file read before", why);
    return config_error(
        l->document, &at, l->error, "%s services[%u] in line %u", why, first->index,
        config_line(l->document, &(struct config_path){
                                     .depth = 2, .step = {{"services", 0}, {NULL, first->index}}}));
}

/* All entries of the list into rules[first..]; names so far are in the rules, also when it fails.
 */
static int read_list(const struct loading *l, json_t *list, struct service_rule *rules,
                     uint32_t load) {
    static const struct config_path root;
    struct config_path services = config_member(&root, "services");
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct config_path at = config_element(&services, i);
        rules[i] =
            (struct service_rule){.vlan = SERVICE_ANY_VLAN, .index = (uint32_t)i, .load = load};
        if (read_entry(l, &at, json_array_get(list, i), &rules[i]) != 0)
            return -1;
    }
    return 0;
}

/* Free the names of one load, and the array; those of the table's own rules stay. */
static void drop_rules(struct service_rule *rules, size_t n, uint32_t load) {
    for (size_t i = 0; i < n; i++)
        if (rules[i].load == load)
            free(rules[i].name);
    free(rules);
}

static int load_list(struct service_table *t, const struct loading *l, json_t *list) {
    size_t n = t->rule_count + json_array_size(list);
    const struct service_rule *first, *second;
    uint32_t load = t->loads + 1;
    struct service_rule *rules = calloc(n > 0 ? n : 1, sizeof *rules);
    if (rules == NULL)
        return base_error_set(l->error, l->document->name, "out of memory");
    if (t->rule_count > 0)
        memcpy(rules, t->rules, t->rule_count * sizeof *rules);
    int result = read_list(l, list, rules + t->rule_count, load);
    if (result == 0 && !service_sort(rules, n, &first, &second))
        result = tell_clash(l, first, second);
    if (result != 0) {
        drop_rules(rules, n, load);
        return -1;
    }
    t->loads = load;
    service_take(t, rules, n);
    return 0;
}

int service_load(struct service_table *t, const char *path, struct base_error *error) {
    struct config_document document;
    struct loading l = {.document = &document, .error = error};
    if (config_load(&document, path, error) != 0)
        return -1;
    json_t *list = entry_list(&l);
    int result = list != NULL ? load_list(t, &l, list) : -1;
    json_decref(list);
    config_free(&document);
    return result;
}
