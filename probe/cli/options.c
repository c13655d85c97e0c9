/*
 * The options of the verbs: one table of them, from which parsing, help and suggestions come.
 *
 * Input: argv. Output: struct cli_options, or an error that names the option and says what is
 * allowed. Long options in GNU style (getopt_long); texts are borrowed from argv.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

/* One option: a function that understands it, or without one the field (offset) that it fills as it
 * is, a text or (value == NULL) a flag. */
struct option_row {
    const char *name, *value; /* value: its name in the help; NULL for a flag */
    unsigned verbs;
    size_t offset;
    cli_take_option *take;
    const char *help;
};

#define FIELD(field) offsetof(struct cli_options, field), NULL

static const struct option_row rows[] = {
    {"config", "FILE", CLI_ALL, FIELD(config), "the main configuration file (JSON)"},
    {"set", "KEY.PATH=VALUE", CLI_ALL, 0, cli_take_set,
     "override a key of the main configuration file, e.g. tracker.time_wait=30; VALUE is JSON or a "
     "plain text; may be repeated; 'spanwatch help check' lists the keys"},
    {"name", "NAME", CLI_RUN, 0, cli_take_name,
     "the probe's name in the records: 1 to 64 of A-Z a-z 0-9 . _ - (default: the first file's "
     "base name; for probe the host's name)"},
    {"redis", "URL", CLI_RUN, 0, cli_take_redis,
     "the store that gets all records: redis://[user[:password]@]host[:port][/db], "
     "unix://[user[:password]@]/path[?db=N], or none (default: none for read; probe starts a "
     "server of its own)"},
    {"replace", NULL, CLI_READ, FIELD(replace), "delete what the store holds of this name first"},
    {"resume", NULL, CLI_READ, FIELD(resume),
     "go on after the last stored record of the same captures and options"},
    {"yes", NULL, CLI_FORGET, FIELD(yes), "ask nothing"},
    {"redis", "URL", CLI_STORE, 0, cli_take_store,
     "the store: redis://[user[:password]@]host[:port][/db] or unix:///path (default: the server "
     "that probe has started on this machine)"},
    {"filter", "BPF", CLI_RUN, FIELD(filter),
     "use only packets that match this expression, as in pcap-filter(7); unless it speaks of vlan "
     "it is asked of a frame without its outer VLAN tag"},
    {"workers", "N", CLI_RUN, 0, cli_take_workers,
     "1 to 64 (default 1): probe shares out connections, by their pair of addresses, among N "
     "threads; read, with 2 or more, decodes in one thread, tracks in another, and writes records "
     "in a third; they are the same"},
    {"services", "FILE", CLI_FILES, FIELD(services), "names of services by server and port (JSON)"},
    {"cmdb", "FILE", CLI_FILES, 0, cli_take_cmdb,
     "attributes of services, and names of clients by address or network: JSON, or CSV when the "
     "name ends in .csv; may be repeated; with --redis the store gets them too, and without FILE "
     "they come from the store"},
    {"alarms", "FILE", CLI_FILES, FIELD(alarms),
     "rules of alarms (JSON): levels by kind, for all, a service, a client group"},
    {"allow", "FILE", CLI_FILES, FIELD(allow),
     "allow lists of the alarms (JSON): scanners, health checkers, load balancers that raise "
     "nothing by themselves"},
    {"output", "FILE", CLI_RUN, FIELD(output),
     "write to FILE, which is replaced; '-' (the default) is standard output"},
    {"format", "report|jsonl|none", CLI_RUN, 0, cli_take_format,
     "a report for a person (the default of read), records as JSON Lines (the default of probe "
     "without a store, which has no report), or nothing"},
    {"records", "LIST", CLI_RUN, 0, cli_take_records,
     "which records jsonl has, separated by commas: transitions, connections, snapshots, alarms, "
     "gaps, stats (default: all)"},
    {"at", "TIME", CLI_READ, 0, cli_take_at,
     "print the connections of that moment instead: RFC 3339, Unix seconds, 'now' (the last "
     "packet), or -5m (so long before it; s, m, h, d)"},
    {"linger", "SECONDS", CLI_READ, 0, cli_take_linger,
     "how long time runs on after the last packet, for timers only (default 120)"},
    {"interface", "IFACE", CLI_PROBE, 0, cli_take_interface,
     "the interface to watch, or any for all; may be repeated"},
    {"snaplen", "OCTETS", CLI_PROBE, 0, cli_take_snaplen,
     "octets of each packet to look at; the same as --set capture.snaplen=OCTETS"},
    {"ring-mib", "MIB", CLI_PROBE, 0, cli_take_ring,
     "the kernel's ring, for each interface and worker; the same as --set capture.ring_mib=MIB"},
    {"no-promisc", NULL, CLI_PROBE, FIELD(no_promisc),
     "only packets that the interface would take anyway; the same as --set "
     "capture.promiscuous=false"},
    {"user", "NAME", CLI_PROBE, FIELD(user),
     "whom to become once interfaces are open (default, when started as root: nobody)"},
    {"no-reopen", NULL, CLI_PROBE, FIELD(no_reopen),
     "keep no right to open an interface again: when one is deleted, end with status 1"},
    {"duration", "SECONDS", CLI_PROBE, 0, cli_take_duration, "end after so long (default: never)"},
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
     "or -5m (so long before now; s, m, h, d). Of a probe that does not run, now is its last "
     "capture time"},
    {"from", "TIME", CLI_ALARMS, 0, cli_take_from, "since when (default: from now on)"},
    {"from", "TIME", CLI_QUERY, 0, cli_take_from,
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
    {"follow", NULL, CLI_QUERY, FIELD(ask.follow),
     "transitions: go on with those that come, until interrupted; json is then one object a line"},
    {"format", "words|json", CLI_ALARMS, 0, cli_take_words,
     "a line a message in words (the default), or its record as JSON"},
    {"exec", "COMMAND", CLI_ALARMS, FIELD(exec),
     "run this by the shell for each message: its record as JSON on standard input, its parts in "
     "SPANWATCH_KIND, _SEVERITY, _STATUS, _PROBE, _ID, _SERVICE, _CLIENT, _SUMMARY; tried again "
     "while it fails, eight times"},
    {"webhook", "URL", CLI_ALARMS, FIELD(webhook),
     "post each message to an Alertmanager (API v2; /api/v2/alerts where URL has no path); tried "
     "again while it fails, eight times"},
    {"format", "table|json|csv", CLI_QUERY, 0, cli_take_query_format,
     "a table for a person (the default), one JSON object, or CSV (RFC 4180)"},
    {"every", "SECONDS", CLI_TOP, 0, cli_take_every,
     "from one look at the store to the next, 0.2 to 3600 (default 2; more when the store is "
     "slow)"},
    {"help", NULL, CLI_ALL, FIELD(help), "print this"},
};

enum { ROWS = sizeof rows / sizeof rows[0], FIRST_CODE = 256 /* above all characters */ };

/* The short form of an option; 0 for none. What is typed by hand every day has one. */
static char letter_of(const struct option_row *row) {
    return row->take == cli_take_interface ? 'i' : '\0';
}

static int take(struct cli_options *o, const struct option_row *row, const char *value,
                struct base_error *error) {
    if (row->take != NULL)
        return row->take(o, value, error);
    if (row->value == NULL) {
        *(bool *)((char *)o + row->offset) = true;
        return 0;
    }
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
