/*
 * The keys of the main configuration file, and how values get from JSON to where they are used.
 *
 * Input: a document, and settings of the command line. Output: struct cli_config. General values
 * are applied first, the file's and then those of --set; the hosts' timers last, because each host
 * starts from the general ones.
 */
#include "settings.h"

#include "spanwatch/redis.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WEEK_S = 604800 };

#define TIMER(field, low, high, number, unit, help)                                                \
    {                                                                                              \
        "tracker." #field, CLI_KEY_NUMBER, low, high, number, NULL, NULL, unit,                    \
            offsetof(struct cli_config, timers.field), help                                        \
    }

/* Defaults are Linux's; bounds are what its settings can hold, or a week where they hold anything.
 */
static const struct cli_key keys[] = {
    TIMER(tcp_fin_timeout, 1, WEEK_S, 60, "s", "how long a FIN_WAIT_2 that no process owns lasts"),
    TIMER(tcp_syn_retries, 1, 127, 6, "", "a client sends its SYN again so often, then gives up"),
    TIMER(tcp_syn_linear_timeouts, 0, 127, 4, "",
          "SYN retries, a second apart, before the intervals double"),
    TIMER(tcp_synack_retries, 0, 255, 5, "",
          "a server sends its SYN-ACK again so often, then gives up"),
    TIMER(tcp_retries2, 0, 255, 15, "", "retransmissions before a connection is given up"),
    TIMER(tcp_orphan_retries, 0, 255, 0, "",
          "the same once the process has closed it; 0 stands for 8"),
    TIMER(tcp_rto_max_ms, 1000, 120000, 120000, "ms",
          "the longest interval between retransmissions"),
    TIMER(tcp_keepalive_time, 1, WEEK_S, 7200, "s", "silence before the first keepalive probe"),
    TIMER(tcp_keepalive_intvl, 1, WEEK_S, 75, "s",
          "from one unanswered keepalive probe to the next"),
    TIMER(tcp_keepalive_probes, 1, 255, 9, "",
          "unanswered keepalive probes before the peer counts as dead"),
    TIMER(time_wait, 1, WEEK_S, 61, "s", "how long TIME_WAIT lasts; Linux rounds its 60 up to 62"),
    {"tracker.max_flows", CLI_KEY_NUMBER, 16, 1u << 27, 8000000, NULL, NULL, "",
     offsetof(struct cli_config, max_flows),
     "connections held at once; at the cap the least telling make room"},
    {"tracker.hosts", CLI_KEY_HOSTS, 0, 0, 0, NULL, NULL, "", 0,
     "timers of some hosts only: [{\"address\":\"10.0.0.0/8\",\"tcp_fin_timeout\":5}]"},
    {"capture.vlan", CLI_KEY_CHOICE, 0, 0, 0, "keep", "keep|strip|innermost", "",
     offsetof(struct cli_config, vlan),
     "which VLAN ids tell connections apart: all, none, or the innermost only; strip where one "
     "direction is tagged otherwise than the other"},
    {"capture.tunnel", CLI_KEY_CHOICE, 0, 0, 0, "keep", "keep|strip|innermost", "",
     offsetof(struct cli_config, tunnel),
     "the same of tunnels (vxlan:7, gre:0 ...); strip where only one direction is tunnelled"},
    {"capture.snaplen", CLI_KEY_NUMBER, CLI_SNAPLEN_LEAST, CLI_SNAPLEN_MOST, 256, NULL, NULL,
     "octets", offsetof(struct cli_config, snaplen), "of each live packet that are looked at"},
    {"capture.ring_mib", CLI_KEY_NUMBER, 1, CLI_RING_MIB_MOST, 64, NULL, NULL, "MiB",
     offsetof(struct cli_config, ring_mib),
     "the kernel's ring of packets, for each interface and worker"},
    {"capture.timeout_ms", CLI_KEY_NUMBER, 1, 1000, 20, NULL, NULL, "ms",
     offsetof(struct cli_config, timeout_ms),
     "how long a packet may wait in the ring for others to be read together"},
    {"capture.promiscuous", CLI_KEY_SWITCH, 0, 1, 1, NULL, "true or false", "",
     offsetof(struct cli_config, promiscuous), "take packets for other hosts too"},
    {"snapshot.period", CLI_KEY_NUMBER, 1, 3600, 10, NULL, NULL, "s",
     offsetof(struct cli_config, snapshot_period), "from one snapshot to the next"},
    {"snapshot.members", CLI_KEY_CHOICE, 0, 0, 0, "auto", "auto|always", "",
     offsetof(struct cli_config, snapshot_members),
     "when snapshots that are no keyframe list a group's members: auto is below 10,000 "
     "connections"},
    {"store.prefix", CLI_KEY_TEXT, 0, 0, 0, "spanwatch", "a text of 1 to 255 octets without braces",
     "", offsetof(struct cli_config, store_prefix),
     "what the names of all keys in the store begin with"},
    {"store.partitions", CLI_KEY_NUMBER, 1, REDIS_PARTITIONS_MOST, REDIS_PARTITIONS, NULL, NULL, "",
     offsetof(struct cli_config, store_partitions),
     "streams of each kind, over which clients are spread; stays as it is for a name with history"},
    {"store.flush_ms", CLI_KEY_NUMBER, 2, 10000, 200, NULL, NULL, "ms",
     offsetof(struct cli_config, store_flush_ms),
     "the longest time in which a live record is neither stored nor in the spool"},
    {"store.keep_s", CLI_KEY_NUMBER, 0, 600, 10, NULL, NULL, "s",
     offsetof(struct cli_config, store_keep_s),
     "how long stored records are kept in memory, for a store that comes back without them; never "
     "more than four times store.queue_mib"},
    {"store.queue_mib", CLI_KEY_NUMBER, 1, 65536, 64, NULL, NULL, "MiB",
     offsetof(struct cli_config, store_queue_mib),
     "records in memory that are not stored; beyond it the spool takes them"},
    {"store.spool_mib", CLI_KEY_NUMBER, 0, 1048576, 1024, NULL, NULL, "MiB",
     offsetof(struct cli_config, store_spool_mib),
     "records on disk; beyond it some are left out, with gap records; 0: no spool"},
    {"store.spool_folder", CLI_KEY_TEXT, 0, 0, 0, "", "a folder's path of 1 to 255 octets", "",
     offsetof(struct cli_config, store_spool_folder),
     "where the spool lies (default: the state folder)"},
    {"store.retention_s", CLI_KEY_NUMBER, 0, UINT32_MAX, 604800, NULL, NULL, "s",
     offsetof(struct cli_config, store_retention_s),
     "how long the store keeps what a probe wrote, by capture time; 0: for ever"},
    {"store.retention_mib", CLI_KEY_NUMBER, 0, UINT32_MAX, 0, NULL, NULL, "MiB",
     offsetof(struct cli_config, store_retention_mib),
     "memory of the server above which the oldest records go; 0: nine tenths of its maxmemory"},
    {"alarms.history_hours", CLI_KEY_NUMBER, 1, 8760, 24, NULL, NULL, "h",
     offsetof(struct cli_config, alarm_history_hours),
     "how long the probe has to have watched before baselines raise anything where an hour was not "
     "seen often enough"},
    {"state_folder", CLI_KEY_TEXT, 0, 0, 0, "", "a folder's path of 1 to 255 octets", "",
     offsetof(struct cli_config, state_folder),
     "where the probe keeps what must outlive it; by default /var/lib/spanwatch or "
     "~/.local/state/spanwatch"},
};

enum { KEYS = sizeof keys / sizeof keys[0] };
static_assert(KEYS <= 64, "struct cli_config.given has a bit for each key");

/* The sections of the file; those without a key in the table are accepted empty. */
static const char *const sections[] = {"capture", "tracker", "snapshot",
                                       "store",   "alarms",  "serve"};
enum { SECTIONS = sizeof sections / sizeof sections[0] };

/* Where a value comes from: a file, or (document == NULL) the text of one --set. */
struct source {
    const struct config_document *document;
    const char *set;
    struct base_error *error;
};

/* The last array of hosts met, kept until the general timers are known. */
struct pending_hosts {
    json_t *value; /* owned; NULL when there is none */
    struct source source;
};

const struct cli_key *cli_keys(size_t *n) {
    *n = KEYS;
    return keys;
}

static int fail(const struct source *s, const struct config_path *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(const struct source *s, const struct config_path *path, const char *format, ...) {
    char why[sizeof s->error->why], text[CONFIG_PATH_TEXT], what[96];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    if (s->document != NULL)
        return config_error(s->document, path, s->error, "%s", why);
    snprintf(what, sizeof what, "--set %s", s->set);
    return base_error_set(s->error, what, "%s: %s", config_path_format(path, text), why);
}

static int refuse(const struct source *s, const struct config_path *path, const json_t *value,
                  const char *allowed) {
    char found[CONFIG_FOUND_TEXT];
    return fail(s, path, "found %s, allowed is %s", config_found(value, found), allowed);
}

static int store_number(const struct source *s, const struct config_path *path, const json_t *value,
                        const struct cli_key *key, uint32_t *target) {
    char allowed[96];
    json_int_t number = json_integer_value(value); /* 0 when it is no integer */
    if (json_is_integer(value) && number >= key->low && number <= key->high) {
        *target = (uint32_t)number;
        return 0;
    }
    snprintf(allowed, sizeof allowed, "a whole number from %u to %u%s%s", key->low, key->high,
             key->unit[0] != '\0' ? " " : "", key->unit);
    return refuse(s, path, value, allowed);
}

static int store_switch(const struct source *s, const struct config_path *path, const json_t *value,
                        const struct cli_key *key, uint32_t *target) {
    if (!json_is_boolean(value))
        return refuse(s, path, value, key->allowed);
    *target = json_is_true(value);
    return 0;
}

/* Is `word` one of "a|b|c"? */
static bool is_choice(const char *word, const char *choices) {
    size_t n = strlen(word);
    for (const char *p = choices;; p++) {
        size_t choice = strcspn(p, "|");
        if (choice == n && strncmp(p, word, n) == 0)
            return true;
        p += choice;
        if (*p == '\0')
            return false;
    }
}

/* Texts become parts of names and paths: no control octets, and (for the store's keys, where they
 * mark the hash tag) no braces. */
static bool is_text(const char *text, bool braces) {
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f ||
            (!braces && strchr("{}", text[i]) != NULL))
            return false;
    return n > 0 && n < CLI_TEXT_MAX;
}

static int store_text(const struct source *s, const struct config_path *path, const json_t *value,
                      const struct cli_key *key, char *target) {
    const char *text = json_string_value(value); /* NULL when it is no string */
    bool good = text != NULL;
    if (good && key->type == CLI_KEY_CHOICE)
        good = is_choice(text, key->allowed);
    else if (good)
        good = is_text(text, strstr(key->allowed, "without braces") == NULL);
    if (!good)
        return refuse(s, path, value, key->allowed);
    snprintf(target, CLI_TEXT_MAX, "%s", text);
    return 0;
}

/* The key that a path of the form KEY or SECTION.KEY names; NULL for another. */
static const struct cli_key *find_key(const struct config_path *path) {
    for (size_t i = 0; i < KEYS && path->depth <= 2; i++) {
        const char *name = keys[i].path, *dot = strchr(name, '.');
        size_t section = dot != NULL ? (size_t)(dot - name) : 0;
        if (path->depth != (dot != NULL ? 2u : 1u))
            continue;
        if (dot != NULL && (strlen(path->step[0].key) != section ||
                            strncmp(path->step[0].key, name, section) != 0))
            continue;
        if (strcmp(path->step[path->depth - 1].key, dot != NULL ? dot + 1 : name) == 0)
            return &keys[i];
    }
    return NULL;
}

static bool is_section(const struct config_path *path) {
    for (size_t i = 0; i < SECTIONS && path->depth == 1; i++)
        if (strcmp(path->step[0].key, sections[i]) == 0)
            return true;
    return path->depth == 0;
}

/* Append a word to a list; a list that is full keeps what it has. */
static void list_word(char *list, size_t size, const char *word) {
    size_t n = strlen(list);
    snprintf(list + n, size - n, "%s%s", n > 0 ? ", " : "", word);
}

/* `path` has a step at least: the root is a section. */
static int unknown_key(const struct source *s, const struct config_path *path) {
    char list[384] = "";
    struct config_path section = *path;
    do /* up to what is a section: a number's or text's members are none */
        section.depth--;
    while (!is_section(&section));
    for (size_t i = 0; i < SECTIONS && section.depth == 0; i++)
        list_word(list, sizeof list, sections[i]);
    for (size_t i = 0; i < KEYS; i++) {
        const char *dot = strchr(keys[i].path, '.');
        size_t n = dot != NULL ? (size_t)(dot - keys[i].path) : 0;
        if (section.depth == 0 && dot == NULL)
            list_word(list, sizeof list, keys[i].path);
        if (section.depth == 1 && dot != NULL && strlen(section.step[0].key) == n &&
            strncmp(section.step[0].key, keys[i].path, n) == 0)
            list_word(list, sizeof list, dot + 1);
    }
    char where[CONFIG_PATH_TEXT];
    if (list[0] == '\0')
        return fail(s, path, "unknown key; %s has none yet", config_path_format(&section, where));
    return fail(s, path, "unknown key; allowed in %s are %s", config_path_format(&section, where),
                list);
}

static int apply_value(struct cli_config *c, const struct source *s, const struct config_path *path,
                       json_t *value, struct pending_hosts *hosts);

static int apply_section(struct cli_config *c, const struct source *s,
                         const struct config_path *path, json_t *value,
                         struct pending_hosts *hosts) {
    const char *name;
    json_t *member;
    if (!json_is_object(value))
        return refuse(s, path, value, "an object: {...}");
    json_object_foreach(value, name, member) {
        struct config_path at = config_member(path, name);
        if (apply_value(c, s, &at, member, hosts) != 0)
            return -1;
    }
    return 0;
}

/* The depth is bounded: sections nest once. */
static int apply_value(struct cli_config *c, const struct source *s, const struct config_path *path,
                       json_t *value, struct pending_hosts *hosts) {
    const struct cli_key *key = find_key(path);
    if (key == NULL && is_section(path))
        return apply_section(c, s, path, value, hosts);
    if (key == NULL)
        return unknown_key(s, path);
    c->given |= UINT64_C(1) << (key - keys);
    switch (key->type) {
    case CLI_KEY_NUMBER:
        return store_number(s, path, value, key, (uint32_t *)(void *)((char *)c + key->offset));
    case CLI_KEY_SWITCH:
        return store_switch(s, path, value, key, (uint32_t *)(void *)((char *)c + key->offset));
    case CLI_KEY_HOSTS:
        json_decref(hosts->value);
        hosts->value = json_incref(value);
        hosts->source = *s;
        return 0;
    default:
        return store_text(s, path, value, key, (char *)c + key->offset);
    }
}

/* The key of tracker.* that a host's entry may bear, by its last name. */
static const struct cli_key *find_timer(const char *name) {
    static const size_t first = offsetof(struct cli_config, timers);
    for (size_t i = 0; i < KEYS; i++)
        if (keys[i].type == CLI_KEY_NUMBER && keys[i].offset - first < sizeof(struct flow_timers) &&
            strcmp(strchr(keys[i].path, '.') + 1, name) == 0)
            return &keys[i];
    return NULL;
}

static int apply_host_key(struct flow_host_timers *host, const struct source *s,
                          const struct config_path *path, const char *name, const json_t *value) {
    if (strcmp(name, "address") == 0) {
        const char *text = json_string_value(value);
        if (text == NULL || !base_cidr_parse(text, &host->address, &host->prefix_length))
            return refuse(s, path, value,
                          "an address, or a network (10.0.0.0/8) without host bits");
        return 0;
    }
    const struct cli_key *key = find_timer(name);
    if (key == NULL)
        return fail(
            s, path,
            "unknown key; allowed here are address and the timers of tracker (tcp_..., time_wait)");
    size_t offset = key->offset - offsetof(struct cli_config, timers);
    return store_number(s, path, value, key, (uint32_t *)(void *)((char *)&host->timers + offset));
}

static int apply_host(struct flow_host_timers *host, const struct source *s,
                      const struct config_path *path, json_t *value) {
    const char *name;
    json_t *member;
    if (!json_is_object(value))
        return refuse(s, path, value, "an object with an address and timers");
    json_object_foreach(value, name, member) {
        struct config_path at = config_member(path, name);
        if (apply_host_key(host, s, &at, name, member) != 0)
            return -1;
    }
    if (host->address.family == 0)
        return fail(s, path, "the key \"address\" is missing");
    return 0;
}

static int compare_hosts(const void *x, const void *y) {
    const struct flow_host_timers *a = x, *b = y;
    if (a->prefix_length != b->prefix_length)
        return a->prefix_length > b->prefix_length ? -1 : 1;
    return memcmp(&a->address, &b->address, sizeof a->address);
}

/* Is entry i's network named by an entry before it? Which of the two should win nobody could tell.
 */
static bool is_named_before(const struct flow_host_timers *hosts, size_t i) {
    for (size_t k = 0; k < i; k++)
        if (compare_hosts(&hosts[k], &hosts[i]) == 0)
            return true;
    return false;
}

static int apply_hosts(struct cli_config *c, const struct pending_hosts *pending) {
    static const struct config_path root;
    const struct source *s = &pending->source;
    struct config_path tracker = config_member(&root, "tracker"),
                       list = config_member(&tracker, "hosts");
    if (!json_is_array(pending->value))
        return refuse(s, &list, pending->value, "an array of objects with an address and timers");
    size_t n = json_array_size(pending->value);
    if (n > CLI_HOSTS_MAX)
        return fail(s, &list, "found %zu entries, allowed are at most %d", n, CLI_HOSTS_MAX);
    c->hosts = calloc(n > 0 ? n : 1, sizeof *c->hosts);
    if (c->hosts == NULL)
        return fail(s, &list, "out of memory");
    for (size_t i = 0; i < n; i++) {
        struct config_path at = config_element(&list, i);
        c->hosts[i].timers = c->timers;
        if (apply_host(&c->hosts[i], s, &at, json_array_get(pending->value, i)) != 0)
            return -1;
        if (is_named_before(c->hosts, i))
            return fail(s, &at, "the same address as an entry before it");
    }
    c->host_count = n;
    qsort(c->hosts, n, sizeof *c->hosts, compare_hosts);
    return 0;
}

/* "KEY.PATH" in place, cut at its points, as a path. False when it has an empty step, or too many.
 */
static bool split_path(char *text, struct config_path *path) {
    *path = (struct config_path){0};
    for (char *next; text != NULL; text = next) {
        next = strchr(text, '.');
        if (next != NULL)
            *next++ = '\0';
        if (*text == '\0' || path->depth == CONFIG_MAX_DEPTH)
            return false;
        *path = config_member(path, text);
    }
    return true;
}

static int apply_set(struct cli_config *c, const char *set, struct pending_hosts *hosts,
                     struct base_error *error) {
    struct source source = {.set = set, .error = error};
    struct config_path path;
    char name[CONFIG_PATH_TEXT], what[96];
    const char *equals = strchr(set, '=');
    snprintf(what, sizeof what, "--set %s", set);
    if (equals == NULL || equals == set || (size_t)(equals - set) >= sizeof name)
        return base_error_set(error, what, "allowed is KEY.PATH=VALUE, e.g. tracker.time_wait=30");
    snprintf(name, sizeof name, "%.*s", (int)(equals - set), set);
    if (!split_path(name, &path))
        return base_error_set(
            error, what, "the key path has an empty part, or too many; e.g. tracker.time_wait=30");
    json_t *value = json_loads(equals + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    if (value == NULL)
        value = json_string(equals + 1);
    if (value == NULL)
        return base_error_set(error, what, "the value is not UTF-8");
    int result = apply_value(c, &source, &path, value, hosts);
    json_decref(value);
    return result;
}

void cli_config_init(struct cli_config *c) {
    *c = (struct cli_config){0};
    for (size_t i = 0; i < KEYS; i++) {
        char *target = (char *)c + keys[i].offset;
        if (keys[i].type == CLI_KEY_NUMBER || keys[i].type == CLI_KEY_SWITCH)
            memcpy(target, &keys[i].number, sizeof keys[i].number);
        else if (keys[i].text != NULL)
            snprintf(target, CLI_TEXT_MAX, "%s", keys[i].text);
    }
}

void cli_config_free(struct cli_config *c) {
    free(c->hosts);
    c->hosts = NULL;
    c->host_count = 0;
}

int cli_config_apply(struct cli_config *c, const struct config_document *document,
                     const char *const *set, size_t set_count, struct base_error *error) {
    static const struct config_path root;
    struct pending_hosts hosts = {0};
    struct source file = {.document = document, .error = error};
    int result = 0;
    cli_config_init(c);
    if (document != NULL)
        result = apply_value(c, &file, &root, document->root, &hosts);
    for (size_t i = 0; i < set_count && result == 0; i++)
        result = apply_set(c, set[i], &hosts, error);
    if (result == 0 && hosts.value != NULL)
        result = apply_hosts(c, &hosts);
    json_decref(hosts.value);
    return result;
}

int cli_config_load(struct cli_config *c, const char *path, const char *const *set,
                    size_t set_count, struct base_error *error) {
    struct config_document document;
    cli_config_init(c);
    if (path == NULL)
        return cli_config_apply(c, NULL, set, set_count, error);
    if (config_load(&document, path, error) != 0)
        return -1;
    int result = cli_config_apply(c, &document, set, set_count, error);
    config_free(&document);
    return result;
}
