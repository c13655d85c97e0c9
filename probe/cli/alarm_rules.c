/*
 * The rules of alarms and the allow lists (design 1.5): files to struct alarm_rules.
 *
 *   {"alarms":{KIND:{NUMBER:x,...},...},
 *    "services":{NAME:{KIND:{...}}}, "clients":{CIDR:{KIND:{...}}},
 *    "allow":{"scanners":[CIDR,...],"health_checkers":[...],"load_balancers":[...]}}
 *
 * Every key has a default. What is wrong is told with file, line, key path, what was found and what
 * is allowed. The part for all is taken first, whatever its place: the others begin from it.
 */
#include "alarms.h"

#include "spanwatch/alarm.h"
#include "spanwatch/config.h"

#include <math.h>
#include <string.h>

static const char *const lists[ALARM_ALLOWS] = {"scanners", "health_checkers", "load_balancers"};
static const char *const parts[] = {"alarms", "services", "clients", "allow"};
enum { PARTS = sizeof parts / sizeof parts[0] };

const char *cli_allow_name(enum alarm_allow list) {
    return lists[list];
}

struct rules_file {
    const struct config_document *document;
    struct alarm_rules *rules;
    struct base_error *error;
};

static int refuse(const struct rules_file *f, const struct config_path *path, const json_t *value,
                  const char *allowed) {
    char found[CONFIG_FOUND_TEXT];
    return config_error(f->document, path, f->error, "found %s, allowed is %s",
                        config_found(value, found), allowed);
}

/* "raise, clear, samples": the numbers that a kind has. */
static void list_numbers(enum alarm_kind kind, char *list, size_t size) {
    size_t n = 0;
    list[0] = '\0';
    for (int i = 0; i < ALARM_NUMBERS && n < size; i++)
        if (!isnan(alarm_number_bounds(kind, (enum alarm_number)i).standard))
            n += (size_t)snprintf(list + n, size - n, "%s%s", n > 0 ? ", " : "",
                                  alarm_number_name((enum alarm_number)i));
}

static enum alarm_number find_number(enum alarm_kind kind, const char *name) {
    int i = 0;
    while (i < ALARM_NUMBERS && (strcmp(alarm_number_name((enum alarm_number)i), name) != 0 ||
                                 isnan(alarm_number_bounds(kind, (enum alarm_number)i).standard)))
        i++;
    return (enum alarm_number)i;
}

static int read_number(const struct rules_file *f, const struct config_path *path, json_t *value,
                       enum alarm_kind kind, enum alarm_number n, double *out) {
    struct alarm_bounds b = alarm_number_bounds(kind, n);
    char allowed[96];
    if (n == ALARM_ENABLED) {
        if (!json_is_boolean(value))
            return refuse(f, path, value, "true or false");
        *out = json_is_true(value);
        return 0;
    }
    *out = json_is_number(value) ? json_number_value(value) : NAN;
    if (*out >= b.low && *out <= b.high)
        return 0;
    snprintf(allowed, sizeof allowed, "a number from %.10g to %.10g", b.low, b.high);
    return refuse(f, path, value, allowed);
}

static int take_kind(const struct rules_file *f, const struct config_path *path, json_t *value,
                     enum alarm_kind kind, const struct alarm_rule_for *whom) {
    const char *name;
    json_t *member;
    char numbers[160], key[CONFIG_PATH_TEXT], source[ALARM_RULE_TEXT];
    if (!json_is_object(value))
        return refuse(f, path, value, "an object: {\"raise\":...}");
    snprintf(source, sizeof source, "%s:%s", f->document->name, config_path_format(path, key));
    json_object_foreach(value, name, member) {
        struct config_path at = config_member(path, name);
        enum alarm_number n = find_number(kind, name);
        double number;
        list_numbers(kind, numbers, sizeof numbers);
        if (n == ALARM_NUMBERS)
            return config_error(f->document, &at, f->error, "unknown key; allowed in %s are %s",
                                alarm_kind_name(kind), numbers);
        if (read_number(f, &at, member, kind, n, &number) != 0)
            return -1;
        if (alarm_rules_set(f->rules, whom, kind, n, number, source) != 0)
            return base_error_set(f->error, f->document->name, "out of memory");
    }
    return 0;
}

/* {KIND:{...},...} */
static int take_kinds(const struct rules_file *f, const struct config_path *path, json_t *value,
                      const struct alarm_rule_for *whom) {
    const char *names[ALARM_KINDS], *name, *near;
    json_t *member;
    if (!json_is_object(value))
        return refuse(f, path, value, "an object of kinds: {\"syn_flood\":{...}}");
    json_object_foreach(value, name, member) {
        struct config_path at = config_member(path, name);
        enum alarm_kind kind = alarm_kind_find(name);
        if (kind < ALARM_KINDS) {
            if (take_kind(f, &at, member, kind, whom) != 0)
                return -1;
            continue;
        }
        for (int i = 0; i < ALARM_KINDS; i++)
            names[i] = alarm_kind_name((enum alarm_kind)i);
        near = cli_nearest(name, names, ALARM_KINDS);
        return config_error(f->document, &at, f->error,
                            "no alarm has this name%s%s%s; allowed are those of the catalogue: "
                            "%s, %s, %s ...",
                            near != NULL ? ", is \"" : "", near != NULL ? near : "",
                            near != NULL ? "\" meant" : "", names[0], names[1], names[2]);
    }
    return 0;
}

/* {NAME:{KIND:{...}}}, or networks in place of names. */
static int take_groups(const struct rules_file *f, const struct config_path *path, json_t *value,
                       bool clients) {
    const char *name;
    json_t *member;
    if (!json_is_object(value))
        return refuse(f, path, value,
                      clients ? "an object of networks: {\"10.7.0.0/16\":{...}}"
                              : "an object of services: {\"api\":{...}}");
    json_object_foreach(value, name, member) {
        struct config_path at = config_member(path, name);
        struct base_addr net;
        struct alarm_rule_for whom = {.service = name};
        if (clients) {
            whom = (struct alarm_rule_for){.clients = &net};
            if (!base_cidr_parse(name, &net, &whom.prefix_length))
                return config_error(f->document, &at, f->error,
                                    "allowed is an address, or a network without host bits");
        }
        if (take_kinds(f, &at, member, &whom) != 0)
            return -1;
    }
    return 0;
}

static int take_list(const struct rules_file *f, const struct config_path *path, json_t *value,
                     enum alarm_allow list) {
    size_t i;
    json_t *element;
    if (!json_is_array(value))
        return refuse(f, path, value, "an array of addresses and networks");
    json_array_foreach(value, i, element) {
        struct config_path at = config_element(path, i);
        const char *text = json_string_value(element);
        struct base_addr net;
        unsigned prefix_length;
        if (text == NULL || !base_cidr_parse(text, &net, &prefix_length))
            return refuse(f, &at, element,
                          "an address, or a network (10.0.0.0/8) without host bits");
        if (alarm_rules_allow(f->rules, list, &net, prefix_length) != 0)
            return base_error_set(f->error, f->document->name, "out of memory");
    }
    return 0;
}

static int take_allow(const struct rules_file *f, const struct config_path *path, json_t *value) {
    const char *name;
    json_t *member;
    if (!json_is_object(value))
        return refuse(f, path, value, "an object of lists: {\"scanners\":[...]}");
    json_object_foreach(value, name, member) {
        struct config_path at = config_member(path, name);
        int list = 0;
        while (list < ALARM_ALLOWS && strcmp(lists[list], name) != 0)
            list++;
        if (list == ALARM_ALLOWS)
            return config_error(f->document, &at, f->error,
                                "unknown key; allowed in allow are %s, %s, %s", lists[0], lists[1],
                                lists[2]);
        if (take_list(f, &at, member, (enum alarm_allow)list) != 0)
            return -1;
    }
    return 0;
}

static int take_part(const struct rules_file *f, const char *name) {
    struct config_path root = {0}, at = config_member(&root, name);
    json_t *value = json_object_get(f->document->root, name);
    if (value == NULL)
        return 0;
    if (strcmp(name, "alarms") == 0)
        return take_kinds(f, &at, value, NULL);
    if (strcmp(name, "allow") == 0)
        return take_allow(f, &at, value);
    return take_groups(f, &at, value, strcmp(name, "clients") == 0);
}

static int take_document(const struct rules_file *f) {
    const char *name;
    json_t *member;
    json_object_foreach(f->document->root, name, member) {
        struct config_path root = {0}, at = config_member(&root, name);
        bool known = false;
        for (size_t i = 0; i < PARTS; i++)
            known = known || strcmp(parts[i], name) == 0;
        if (!known)
            return config_error(f->document, &at, f->error,
                                "unknown key; allowed in the file are %s, %s, %s, %s", parts[0],
                                parts[1], parts[2], parts[3]);
    }
    for (size_t i = 0; i < PARTS; i++)
        if (take_part(f, parts[i]) != 0)
            return -1;
    return 0;
}

static int take_file(struct alarm_rules *r, const char *path, struct base_error *error) {
    struct config_document d;
    if (path == NULL)
        return 0;
    if (config_load(&d, path, error) != 0)
        return -1;
    const struct rules_file f = {.document = &d, .rules = r, .error = error};
    int result = take_document(&f);
    config_free(&d);
    return result;
}

struct alarm_rules *cli_load_rules(const char *alarms, const char *allow,
                                   struct base_error *error) {
    struct alarm_rules *r = alarm_rules_new();
    if (r == NULL) {
        base_error_set(error, "alarms", "out of memory");
        return NULL;
    }
    if (take_file(r, alarms, error) == 0 && take_file(r, allow, error) == 0)
        return r;
    alarm_rules_free(r);
    return NULL;
}
