/*
 * What the options of `read`, `probe` and the smaller verbs say (options.h).
 *
 * Input: texts of argv. Output: fields of struct cli_options, which borrow them.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "options.h"

int cli_take_word(const char *option, const char *value, const char *const *words, size_t n,
                  size_t *which, struct base_error *error) {
    char list[480];
    size_t used = 0;
    for (*which = 0; *which < n; ++*which)
        if (strcasecmp(value, words[*which]) == 0)
            return 0;
    for (size_t i = 0; i < n && used < sizeof list; i++)
        used +=
            (size_t)snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", words[i]);
    return base_error_set(error, option, "found \"%s\", allowed are %s", value, list);
}

int cli_take_probe_name(const char *option, const char *value, const char **name,
                        struct base_error *error) {
    if (!cli_name_is_valid(value))
        return base_error_set(
            error, option, "found \"%s\", allowed are 1 to 64 of the characters A-Z a-z 0-9 . _ -",
            value);
    *name = value;
    return 0;
}

int cli_take_name(struct cli_options *o, const char *value, struct base_error *error) {
    return cli_take_probe_name("--name", value, &o->name, error);
}

int cli_take_store(struct cli_options *o, const char *value, struct base_error *error) {
    struct redis_url url;
    if (redis_url_parse(&url, value, error) != 0)
        return -1;
    o->redis = value;
    return 0;
}

int cli_take_redis(struct cli_options *o, const char *value, struct base_error *error) {
    o->no_store = strcmp(value, "none") == 0;
    o->redis = NULL;
    return o->no_store ? 0 : cli_take_store(o, value, error);
}

/* Add to an owned list of borrowed texts. */
static int append(const char ***list, size_t *count, const char *value, struct base_error *error) {
    const char **grown = reallocarray(*list, *count + 1, sizeof *grown);
    if (grown == NULL)
        return base_error_set(error, value, "out of memory");
    *list = grown;
    grown[(*count)++] = value;
    return 0;
}

int cli_take_set(struct cli_options *o, const char *value, struct base_error *error) {
    return append(&o->set, &o->set_count, value, error);
}

int cli_take_cmdb(struct cli_options *o, const char *value, struct base_error *error) {
    if (*value == '\0')
        return base_error_set(error, "--cmdb", "found an empty text, allowed is FILE");
    return append(&o->cmdb, &o->cmdb_count, value, error);
}

int cli_take_interface(struct cli_options *o, const char *value, struct base_error *error) {
    if (*value == '\0')
        return base_error_set(error, "--interface", "found an empty text, allowed is a name");
    return append(&o->interfaces, &o->interface_count, value, error);
}

static int take_whole(const char *option, const char *value, uint32_t low, uint32_t high,
                      uint32_t *out, struct base_error *error) {
    uint64_t n;
    if (!base_uint_parse(value, high, &n) || n < low)
        return base_error_set(error, option,
                              "found \"%s\", allowed is a whole number from %u to %u", value, low,
                              high);
    *out = (uint32_t)n;
    return 0;
}

int cli_take_snaplen(struct cli_options *o, const char *value, struct base_error *error) {
    return take_whole("--snaplen", value, CLI_SNAPLEN_LEAST, CLI_SNAPLEN_MOST, &o->snaplen, error);
}

int cli_take_ring(struct cli_options *o, const char *value, struct base_error *error) {
    return take_whole("--ring-mib", value, 1, CLI_RING_MIB_MOST, &o->ring_mib, error);
}

int cli_take_workers(struct cli_options *o, const char *value, struct base_error *error) {
    return take_whole("--workers", value, 1, CLI_WORKERS_MOST, &o->workers, error);
}

int cli_take_format(struct cli_options *o, const char *value, struct base_error *error) {
    static const char *const names[] = {
        [CLI_REPORT] = "report", [CLI_JSONL] = "jsonl", [CLI_NONE] = "none"};
    size_t which;
    if (cli_take_word("--format", value, names, sizeof names / sizeof *names, &which, error) != 0)
        return -1;
    o->format = (enum cli_format)which;
    o->format_given = true;
    return 0;
}

bool cli_records_parse(const char *list, unsigned *records) {
    static const char *const names[] = {"transitions", "connections", "snapshots",
                                        "alarms",      "gaps",        "stats"};
    *records = 0;
    for (;;) {
        size_t n = strcspn(list, ","), i = 0;
        while (i < sizeof names / sizeof names[0] &&
               (strlen(names[i]) != n || strncmp(list, names[i], n) != 0))
            i++;
        if (i == sizeof names / sizeof names[0])
            return false;
        *records |= 1u << i; /* enum store_records has this order */
        if (list[n] == '\0')
            return true;
        list += n + 1;
    }
}

int cli_take_records(struct cli_options *o, const char *value, struct base_error *error) {
    if (!cli_records_parse(value, &o->records))
        return base_error_set(
            error, "--records",
            "found \"%s\", allowed are, separated by commas: transitions, connections, snapshots, "
            "alarms, gaps, stats",
            value);
    return 0;
}

/* -5m and the like: so long before the end. */
static bool parse_ago(const char *text, uint64_t *ns) {
    static const char units[] = "smhd";
    static const uint32_t seconds[] = {1, 60, 3600, 86400};
    char digits[16];
    uint64_t count;
    size_t n = strlen(text);
    const char *unit = n > 2 && text[0] == '-' ? strchr(units, text[n - 1]) : NULL;
    if (unit == NULL || n - 2 >= sizeof digits)
        return false;
    memcpy(digits, text + 1, n - 2);
    digits[n - 2] = '\0';
    if (!base_uint_parse(digits, 100000000, &count)) /* of which days are seconds in 64 bits */
        return false;
    count *= seconds[unit - units];
    *ns = count > UINT64_MAX / BASE_NS_PER_S ? UINT64_MAX : count * BASE_NS_PER_S;
    return true;
}

bool cli_at_parse(const char *text, struct cli_at *at) {
    at->kind = CLI_AT_BEFORE_END;
    at->ns = 0;
    if (strcmp(text, "now") == 0 || parse_ago(text, &at->ns))
        return true;
    at->kind = CLI_AT_MOMENT;
    return base_time_parse(text, &at->ns);
}

int cli_take_moment(const char *option, const char *value, struct cli_at *at,
                    struct base_error *error) {
    if (cli_at_parse(value, at))
        return 0;
    return base_error_set(error, option,
                          "found \"%s\", allowed are RFC 3339 (2023-11-14T22:13:20Z), Unix seconds "
                          "with up to nine decimals, now, or -N and one of s, m, h, d",
                          value);
}

int cli_take_at(struct cli_options *o, const char *value, struct base_error *error) {
    return cli_take_moment("--at", value, &o->at, error);
}

bool cli_linger_parse(const char *text, uint64_t *ns) {
    static const uint64_t most = UINT64_C(1000000000) * BASE_NS_PER_S; /* thirty years */
    /* Seconds are written as times are; what else a time may be (RFC 3339) is not meant here. */
    return text[strspn(text, "0123456789.")] == '\0' && base_time_parse(text, ns) && *ns <= most;
}

static int take_seconds(const char *option, const char *value, uint64_t *ns,
                        struct base_error *error) {
    if (!cli_linger_parse(value, ns))
        return base_error_set(
            error, option,
            "found \"%s\", allowed are seconds from 0 to 1000000000, with up to nine decimals",
            value);
    return 0;
}

int cli_take_linger(struct cli_options *o, const char *value, struct base_error *error) {
    return take_seconds("--linger", value, &o->linger_ns, error);
}

int cli_take_duration(struct cli_options *o, const char *value, struct base_error *error) {
    return take_seconds("--duration", value, &o->duration_ns, error);
}

int cli_take_words(struct cli_options *o, const char *value, struct base_error *error) {
    static const char *const names[] = {
        [QUERY_FORMAT_TABLE] = "words", [QUERY_FORMAT_JSON] = "json"};
    size_t which;
    if (cli_take_word("--format", value, names, sizeof names / sizeof *names, &which, error) != 0)
        return -1;
    o->query_format = (enum query_format)which;
    return 0;
}

int cli_take_every(struct cli_options *o, const char *value, struct base_error *error) {
    if (!cli_linger_parse(value, &o->every_ns) || o->every_ns < BASE_NS_PER_S / 5 ||
        o->every_ns > 3600 * BASE_NS_PER_S)
        return base_error_set(error, "--every",
                              "found \"%s\", allowed are seconds from 0.2 to 3600", value);
    return 0;
}
