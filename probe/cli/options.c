/*
 * The options of the verbs: one table of them, from which parsing, help and suggestions come.
 *
 * Input: argv. Output: struct cli_options, or an error that names the option and says what is
 * allowed. Long options in GNU style (getopt_long); texts are borrowed from argv.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "options_query.h"

typedef cli_take_option take_option;

/* One option: either a text kept as it is (offset), or a function that understands it. */
struct option_row {
    const char *name, *value; /* value: its name in the help; NULL for a flag */
    unsigned verbs;
    size_t offset;
    take_option *take;
    const char *help;
};

static take_option take_name, take_redis, take_store, take_every, take_words, take_workers,
    take_set, take_cmdb, take_format, take_records, take_at, take_linger, take_interface,
    take_snaplen, take_ring, take_duration, take_replace, take_resume, take_yes, take_no_promisc,
    take_no_reopen, take_help;

#define TEXT(field) offsetof(struct cli_options, field), NULL

static const struct option_row rows[] = {
    {"config", "FILE", CLI_ALL, TEXT(config), "the main configuration file (JSON)"},
    {"set", "KEY.PATH=VALUE", CLI_ALL, 0, take_set,
     "override a key of the main configuration file, e.g. tracker.time_wait=30; VALUE is JSON or a "
     "plain text; may "
     "be repeated; 'spanwatch help check' lists the keys"},
    {"name", "NAME", CLI_RUN, 0, take_name,
     "the probe's name in the records: 1 to 64 of A-Z a-z 0-9 . _ - (default: the first file's "
     "base name; for probe the host's name)"},
    {"redis", "URL", CLI_RUN, 0, take_redis,
     "the store that gets all records: redis://[user[:password]@]host[:port][/db], "
     "unix://[user[:password]@]/path[?db=N], or none (default: none for read; probe starts a "
     "server of its own)"},
    {"replace", NULL, CLI_READ, 0, take_replace, "delete what the store holds of this name first"},
    {"resume", NULL, CLI_READ, 0, take_resume,
     "go on after the last stored record of the same captures and options"},
    {"yes", NULL, CLI_FORGET, 0, take_yes, "ask nothing"},
    {"redis", "URL", CLI_STORE, 0, take_store,
     "the store: redis://[user[:password]@]host[:port][/db] or unix:///path (default: the server "
     "that probe has started on this machine)"},
    {"filter", "BPF", CLI_RUN, TEXT(filter),
     "use only packets that match this expression, as in pcap-filter(7); unless it speaks of vlan "
     "it "
     "is asked of a frame without its outer VLAN tag"},
    {"workers", "N", CLI_RUN, 0, take_workers,
     "1 to 64 (default 1): probe shares out connections, by their pair of addresses, among N "
     "threads; read, with 2 or more, decodes in one thread, tracks in another, and writes records "
     "in a third; they are the same"},
    {"services", "FILE", CLI_FILES, TEXT(services), "names of services by server and port (JSON)"},
    {"cmdb", "FILE", CLI_FILES, 0, take_cmdb,
     "attributes of services, and names of clients by address or network: JSON, or CSV when the "
     "name ends in .csv; may be repeated; with --redis the store gets them too, and without FILE "
     "they come from the store"},
    {"alarms", "FILE", CLI_FILES, TEXT(alarms),
     "rules of alarms (JSON): levels by kind, for all, a service, a client group"},
    {"allow", "FILE", CLI_FILES, TEXT(allow),
     "allow lists of the alarms (JSON): scanners, health checkers, load balancers that raise "
     "nothing by themselves"},
    {"output", "FILE", CLI_RUN, TEXT(output),
     "write to FILE, which is replaced; '-' (the default) is standard output"},
    {"format", "report|jsonl|none", CLI_RUN, 0, take_format,
     "a report for a person (the default of read), records as JSON Lines (the default of probe "
     "without a store, which has no report), or nothing"},
    {"records", "LIST", CLI_RUN, 0, take_records,
     "which records jsonl has, separated by commas: transitions, connections, snapshots, alarms, "
     "gaps, stats "
     "(default: all)"},
    {"at", "TIME", CLI_READ, 0, take_at,
     "print the connections of that moment instead: RFC 3339, Unix seconds, 'now' (the last "
     "packet), or -5m (so long "
     "before it; s, m, h, d)"},
    {"linger", "SECONDS", CLI_READ, 0, take_linger,
     "how long time runs on after the last packet, for timers only (default 120)"},
    {"interface", "IFACE", CLI_PROBE, 0, take_interface,
     "the interface to watch, or any for all; may be repeated"},
    {"snaplen", "OCTETS", CLI_PROBE, 0, take_snaplen,
     "octets of each packet to look at; the same as --set capture.snaplen=OCTETS"},
    {"ring-mib", "MIB", CLI_PROBE, 0, take_ring,
     "the kernel's ring, for each interface and worker; the same as --set capture.ring_mib=MIB"},
    {"no-promisc", NULL, CLI_PROBE, 0, take_no_promisc,
     "only packets that the interface would take anyway; the same as --set "
     "capture.promiscuous=false"},
    {"user", "NAME", CLI_PROBE, TEXT(user),
     "whom to become once interfaces are open (default, when started as root: nobody)"},
    {"no-reopen", NULL, CLI_PROBE, 0, take_no_reopen,
     "keep no right to open an interface again: when one is deleted, end with status 1"},
    {"duration", "SECONDS", CLI_PROBE, 0, take_duration, "end after so long (default: never)"},
    {"client", "CLIENT", CLI_QUERY, 0, cli_take_client,
     "only of this client: IP[/LEN][:PORT], or a name that the store's clients have"},
    {"server", "SERVER", CLI_QUERY, 0, cli_take_server, "only to this server: IP[/LEN][:PORT]"},
    {"state", "STATE", CLI_QUERY, 0, cli_take_state, "only where either end is in this state"},
    {"client-state", "STATE", CLI_QUERY, 0, cli_take_client_state,
     "only where the client is in this state"},
    {"server-state", "STATE", CLI_QUERY, 0, cli_take_server_state,
     "only where the server is in this state"},
    {"service", "NAME", CLI_QUERY | CLI_ALARMS, 0, cli_take_query_service, "only of this service"},
    {"cmdb", "KEY=VALUE", CLI_QUERY | CLI_ALARMS, 0, cli_take_cmdb_value,
     "only of services whose CMDB attribute KEY is VALUE; may be repeated: all must match"},
    {"probe", "NAME", CLI_QUERY | CLI_TOP | CLI_ALARMS, 0, cli_take_probe,
     "as this probe alone sees it (default: all, one row for a connection that several see)"},
    {"at", "TIME", CLI_QUERY, 0, cli_take_query_at,
     "the moment, of connections, clients, summary: RFC 3339, Unix seconds, 'now' (the default), "
     "or "
     "-5m (so long before now; s, m, h, d). Of a probe that does not run, now is its last capture "
     "time"},
    {"from", "TIME", CLI_QUERY | CLI_ALARMS, 0, cli_take_from,
     "since when, of transitions, diff, alarms (default: all that the store has)"},
    {"to", "TIME", CLI_QUERY, 0, cli_take_to, "until when (default: now)"},
    {"by", "KEYS", CLI_QUERY, 0, cli_take_by,
     "what summary counts by, separated by commas: service, state, client, server, cmdb.KEY "
     "(default: service,state)"},
    {"kind", "KIND", CLI_QUERY | CLI_ALARMS, 0, cli_take_kind,
     "only alarms of this kind, e.g. syn_flood"},
    {"severity", "SEVERITY", CLI_QUERY | CLI_ALARMS, 0, cli_take_severity,
     "only alarms that are info, warning or critical"},
    {"status", "STATUS", CLI_QUERY, 0, cli_take_status,
     "only alarm messages that say raised, updated or cleared"},
    {"limit", "N", CLI_QUERY, 0, cli_take_limit,
     "at most N rows; how many were left out is told (default: all)"},
    {"follow", NULL, CLI_QUERY, 0, cli_take_follow,
     "transitions: go on with those that come, until interrupted; json is then one object a line"},
    {"format", "words|json", CLI_ALARMS, 0, take_words,
     "a line a message in words (the default), or its record as JSON"},
    {"exec", "COMMAND", CLI_ALARMS, TEXT(exec),
     "run this by the shell for each message: its record as JSON on standard input, its parts in "
     "SPANWATCH_KIND, _SEVERITY, _STATUS, _PROBE, _ID, _SERVICE, _CLIENT, _SUMMARY; tried again "
     "while it fails, eight times"},
    {"webhook", "URL", CLI_ALARMS, TEXT(webhook),
     "post each message to an Alertmanager (API v2; /api/v2/alerts where URL has no path); tried "
     "again while it fails, eight times"},
    {"format", "table|json|csv", CLI_QUERY, 0, cli_take_query_format,
     "a table for a person (the default), one JSON object, or CSV (RFC 4180)"},
    {"every", "SECONDS", CLI_TOP, 0, take_every,
     "from one look at the store to the next, 0.2 to 3600 (default 2; more when the store is "
     "slow)"},
    {"help", NULL, CLI_ALL, 0, take_help, "print this"},
};

enum { ROWS = sizeof rows / sizeof rows[0], FIRST_CODE = 256 /* above all characters */ };

/* The short form of an option; 0 for none. What is typed by hand every day has one. */
static char letter_of(const struct option_row *row) {
    return row->take == take_interface ? 'i' : '\0';
}

static int take_name(struct cli_options *o, const char *value, struct base_error *error) {
    if (!cli_name_is_valid(value))
        return base_error_set(
            error, "--name",
            "found \"%s\", allowed are 1 to 64 of the characters A-Z a-z 0-9 . _ -", value);
    o->name = value;
    return 0;
}

static int take_store(struct cli_options *o, const char *value, struct base_error *error) {
    struct redis_url url;
    if (redis_url_parse(&url, value, error) != 0)
        return -1;
    o->redis = value;
    return 0;
}

static int take_redis(struct cli_options *o, const char *value, struct base_error *error) {
    o->no_store = strcmp(value, "none") == 0;
    o->redis = NULL;
    return o->no_store ? 0 : take_store(o, value, error);
}

static int take_flag(bool *flag) {
    *flag = true;
    return 0;
}

static int take_replace(struct cli_options *o, const char *value, struct base_error *error) {
    (void)value;
    (void)error;
    return take_flag(&o->replace);
}

static int take_resume(struct cli_options *o, const char *value, struct base_error *error) {
    (void)value;
    (void)error;
    return take_flag(&o->resume);
}

static int take_yes(struct cli_options *o, const char *value, struct base_error *error) {
    (void)value;
    (void)error;
    return take_flag(&o->yes);
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

static int take_set(struct cli_options *o, const char *value, struct base_error *error) {
    return append(&o->set, &o->set_count, value, error);
}

static int take_cmdb(struct cli_options *o, const char *value, struct base_error *error) {
    if (*value == '\0')
        return base_error_set(error, "--cmdb", "found an empty text, allowed is FILE");
    return append(&o->cmdb, &o->cmdb_count, value, error);
}

static int take_interface(struct cli_options *o, const char *value, struct base_error *error) {
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

static int take_snaplen(struct cli_options *o, const char *value, struct base_error *error) {
    return take_whole("--snaplen", value, CLI_SNAPLEN_LEAST, CLI_SNAPLEN_MOST, &o->snaplen, error);
}

static int take_ring(struct cli_options *o, const char *value, struct base_error *error) {
    return take_whole("--ring-mib", value, 1, CLI_RING_MIB_MOST, &o->ring_mib, error);
}

static int take_no_promisc(struct cli_options *o, const char *value, struct base_error *error) {
    (void)value;
    (void)error;
    o->no_promisc = true;
    return 0;
}

static int take_no_reopen(struct cli_options *o, const char *value, struct base_error *error) {
    (void)value;
    (void)error;
    o->no_reopen = true;
    return 0;
}

static int take_workers(struct cli_options *o, const char *value, struct base_error *error) {
    return take_whole("--workers", value, 1, CLI_WORKERS_MOST, &o->workers, error);
}

static int take_format(struct cli_options *o, const char *value, struct base_error *error) {
    static const char *const names[] = {
        [CLI_REPORT] = "report", [CLI_JSONL] = "jsonl", [CLI_NONE] = "none"};
    for (int i = CLI_REPORT; i <= CLI_NONE; i++) {
        if (strcmp(value, names[i]) == 0) {
            o->format = (enum cli_format)i;
            o->format_given = true;
            return 0;
        }
    }
    return base_error_set(error, "--format", "found \"%s\", allowed are report, jsonl, none",
                          value);
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

static int take_records(struct cli_options *o, const char *value, struct base_error *error) {
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
    if (!base_uint_parse(digits, 100000000,
                         &count)) /* times a day stays within 64 bits of nanoseconds */
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

static int take_at(struct cli_options *o, const char *value, struct base_error *error) {
    if (!cli_at_parse(value, &o->at))
        return base_error_set(error, "--at",
                              "found \"%s\", allowed are RFC 3339 (2023-11-14T22:13:20Z), Unix "
                              "seconds with up to nine "
                              "decimals, now, or -N and one of s, m, h, d",
                              value);
    return 0;
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

static int take_linger(struct cli_options *o, const char *value, struct base_error *error) {
    return take_seconds("--linger", value, &o->linger_ns, error);
}

static int take_duration(struct cli_options *o, const char *value, struct base_error *error) {
    return take_seconds("--duration", value, &o->duration_ns, error);
}

static int take_words(struct cli_options *o, const char *value, struct base_error *error) {
    if (strcmp(value, "words") != 0 && strcmp(value, "json") != 0)
        return base_error_set(error, "--format", "found \"%s\", allowed are words, json", value);
    o->query_format = strcmp(value, "json") == 0 ? QUERY_FORMAT_JSON : QUERY_FORMAT_TABLE;
    return 0;
}

static int take_every(struct cli_options *o, const char *value, struct base_error *error) {
    if (!cli_linger_parse(value, &o->every_ns) || o->every_ns < BASE_NS_PER_S / 5 ||
        o->every_ns > 3600 * BASE_NS_PER_S)
        return base_error_set(error, "--every",
                              "found \"%s\", allowed are seconds from 0.2 to 3600", value);
    return 0;
}

static int take_help(struct cli_options *o, const char *value, struct base_error *error) {
    (void)value;
    (void)error;
    o->help = true;
    return 0;
}

static int take(struct cli_options *o, const struct option_row *row, const char *value,
                struct base_error *error) {
    if (row->take != NULL)
        return row->take(o, value, error);
    if (*value == '\0') {
        char what[32];
        snprintf(what, sizeof what, "--%s", row->name);
        return base_error_set(error, what, "found an empty text, allowed is %s", row->value);
    }
    memcpy((char *)o + row->offset, &value, sizeof value);
    return 0;
}

/* An option that is none of the verb's, or the beginning of several. */
static int refuse_word(const char *word, enum cli_verb_bit verb, struct base_error *error) {
    const char *names[ROWS];
    char what[80], stem[64];
    size_t n = 0, begun = 0;
    snprintf(stem, sizeof stem, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    snprintf(what, sizeof what, "--%s", stem);
    for (size_t i = 0; i < ROWS; i++) {
        if (!(rows[i].verbs & verb))
            continue;
        begun += strncmp(rows[i].name, stem, strlen(stem)) == 0;
        names[n++] = rows[i].name;
    }
    if (begun > 1)
        return base_error_set(error, what,
                              "the beginning of several options; write the one meant in full");
    const char *nearest = cli_nearest(stem, names, n);
    if (nearest != NULL)
        return base_error_set(error, what,
                              "unknown option; the nearest is --%s; see --help for all", nearest);
    return base_error_set(error, what, "unknown option; see --help for those there are");
}

/* getopt refused `word`; it tells by `code`: a row's, a short option's character, or 0 for a long
 * one that it does not know. */
static int refuse(const char *word, int code, enum cli_verb_bit verb, struct base_error *error) {
    char what[32];
    if (code == 0)
        return refuse_word(word, verb, error);
    for (int i = 0; i < ROWS; i++) /* a short option that lacks its value */
        if (code == letter_of(&rows[i]) && (rows[i].verbs & verb))
            code = FIRST_CODE + i;
    if (code < FIRST_CODE) {
        snprintf(what, sizeof what, "-%c", code);
        return base_error_set(error, what,
                              "unknown option: options are long ones, --name; see --help");
    }
    const struct option_row *row = &rows[code - FIRST_CODE];
    snprintf(what, sizeof what, "--%s", row->name);
    if (row->value == NULL)
        return base_error_set(error, what, "takes no value");
    return base_error_set(error, what, "needs a value: %s", row->value);
}

/* The rows of a verb as getopt wants them; `letters` begins with the colon that lets it tell a
 * missing value. */
static void long_options(enum cli_verb_bit verb, struct option out[ROWS + 1],
                         char letters[2 * ROWS + 2]) {
    size_t n = 0, m = 0;
    letters[m++] = ':';
    for (size_t i = 0; i < ROWS; i++) {
        if (!(rows[i].verbs & verb))
            continue;
        out[n++] =
            (struct option){.name = rows[i].name,
                            .has_arg = rows[i].value != NULL ? required_argument : no_argument,
                            .val = FIRST_CODE + (int)i};
        if (letter_of(&rows[i]) != 0) {
            letters[m++] = letter_of(&rows[i]);
            letters[m++] = ':'; /* every short form takes a value */
        }
    }
    out[n] = (struct option){0};
    letters[m] = '\0';
}

static const struct option_row *row_of(int code) {
    if (code >= FIRST_CODE)
        return &rows[code - FIRST_CODE];
    const struct option_row *row = rows;
    while (letter_of(row) != code)
        row++;
    return row;
}

int cli_options_parse(struct cli_options *o, int argc, char **argv, enum cli_verb_bit verb,
                      struct base_error *error) {
    struct option options[ROWS + 1];
    char letters[2 * ROWS + 2];
    int code;
    *o = (struct cli_options){.output = "-",
                              .format = verb == CLI_PROBE ? CLI_JSONL : CLI_REPORT,
                              .records = STORE_ALL,
                              .workers = 1,
                              .linger_ns = 120 * BASE_NS_PER_S,
                              .every_ns = 2 * BASE_NS_PER_S,
                              .ask.limit = UINT64_MAX};
    query_filter_init(&o->ask.filter);
    long_options(verb, options, letters);
    optind = 0; /* glibc: begin anew */
    opterr = 0;
    for (;;) {
        code = getopt_long(argc, argv, letters, options, NULL);
        if (code == -1)
            break;
        if (code == '?' || code == ':')
            return refuse(argv[optind - 1], optopt, verb, error);
        if (take(o, row_of(code), optarg, error) != 0)
            return -1;
    }
    if (verb == CLI_PROBE && !o->no_store && !o->format_given)
        o->format = CLI_NONE; /* the store has it all */
    o->files = (const char *const *)(argv + optind);
    o->file_count = (size_t)(argc - optind);
    return 0;
}

void cli_options_free(struct cli_options *o) {
    free(o->set);
    free(o->cmdb);
    free(o->interfaces);
    o->set = o->cmdb = o->interfaces = NULL;
    o->set_count = o->cmdb_count = o->interface_count = 0;
}

void cli_options_print(enum cli_verb_bit verb, FILE *out) {
    enum { INDENT = 24 };
    for (size_t i = 0; i < ROWS; i++) {
        if (!(rows[i].verbs & verb))
            continue;
        const char *value = rows[i].value != NULL ? rows[i].value : "";
        char letter[] = {'-', letter_of(&rows[i]), ',', ' ', '\0'};
        int n = fprintf(out, "  %s--%s%s%s", letter_of(&rows[i]) != 0 ? letter : "", rows[i].name,
                        *value != '\0' ? " " : "", value);
        if (n >= INDENT - 1) {
            fputc('\n', out);
            n = 0;
        }
        cli_print_wrapped(out, rows[i].help, INDENT, n > 0 ? (unsigned)n : 0);
    }
}
