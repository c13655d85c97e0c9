/*
 * What the files of the command line share: exit statuses, options as understood, verbs.
 */
#ifndef CLI_H
#define CLI_H

#include <stdio.h>

#include "spanwatch/cmdb.h"
#include "spanwatch/query.h"
#include "spanwatch/redis.h"
#include "spanwatch/service.h"
#include "spanwatch/store.h"

#include "settings.h"

enum cli_status { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

enum cli_verb_bit { /* which verbs know an option */
                    CLI_READ = 1,
                    CLI_CHECK = 2,
                    CLI_PROBE = 4,
                    CLI_CMDB = 8,
                    CLI_FORGET = 64,
                    CLI_QUERY = 128,
                    CLI_TOP = 512,
                    CLI_ALARMS = 1024,
                    CLI_RUN = CLI_READ | CLI_PROBE,
                    CLI_FILES = CLI_RUN | CLI_CHECK, /* those that read services, CMDB, rules */
                    CLI_STORE = CLI_CMDB | CLI_QUERY | CLI_FORGET | CLI_TOP |
                                CLI_ALARMS, /* only need the store */
                    CLI_ALL = CLI_FILES | CLI_STORE
};

enum { CLI_WORKERS_MOST = 64 };

enum { CLI_NAME_MAX = 64 /* octets of a probe's name */ };

enum cli_format { CLI_REPORT, CLI_JSONL, CLI_NONE };

/* --at: a moment, or so long before the last packet. */
enum cli_at_kind { CLI_AT_NONE, CLI_AT_MOMENT, CLI_AT_BEFORE_END };

struct cli_at {
    enum cli_at_kind kind;
    uint64_t ns; /* since the epoch, or before the end */
};

/* Options as given; texts are borrowed from argv. */
struct cli_options {
    const char *config, *services, *alarms, *allow; /* files; NULL when not given */
    const char **cmdb;                              /* files of --cmdb, in order; owned */
    size_t cmdb_count;
    const char *name, *filter, *output;
    const char *redis; /* a URL; NULL when not given, or none. May hold a password */
    struct cli_at at;
    enum cli_format format;
    unsigned records; /* of enum store_records */
    unsigned workers;
    uint64_t linger_ns, duration_ns; /* duration_ns: 0 for ever */
    uint64_t every_ns;               /* of top: from one look to the next */
    const char **interfaces;         /* of --interface, in order; owned */
    size_t interface_count;
    uint32_t snaplen, ring_mib; /* 0: as configured */
    bool no_promisc, no_reopen;
    bool no_store;        /* --redis none */
    bool replace, resume; /* read --redis: what the store has of this name goes, or goes on */
    bool yes;             /* forget asks nothing */
    bool format_given;
    const char *exec, *webhook; /* of alarms: whom a message is handed to; NULL: nobody */
    const char *user;           /* NULL: nobody, when root */
    const char **set;           /* KEY.PATH=VALUE, in order; owned */
    size_t set_count;
    struct query_ask ask; /* of query */
    enum query_format query_format;
    char cmdb_key[QUERY_CMDB_MOST][64], by_key[QUERY_BY_MOST][64]; /* what `ask` borrows */
    const char *const *files;
    size_t file_count;
    bool help;
};

/*
 * Understand the arguments of a verb (argv[0] is the verb). Returns 0, or -1 with `error` that says
 * which option is wrong and what is allowed. cli_options_free after either.
 */
int cli_options_parse(struct cli_options *o, int argc, char **argv, enum cli_verb_bit verb,
                      struct base_error *error);
void cli_options_free(struct cli_options *o);

/* What `query` asks for, from its word and options: completed, and refused where they do not go
 * together. */
int cli_query_complete(struct cli_options *o, struct base_error *error);

/* The options of a verb with their explanation, for help. */
void cli_options_print(enum cli_verb_bit verb, FILE *out);

/* Parse parts of options; public to the room for the tests. */
bool cli_records_parse(const char *list, unsigned *records);
bool cli_linger_parse(const char *text, uint64_t *ns);
bool cli_at_parse(const char *text, struct cli_at *at);

/* Whichever of `names` is nearest to `word` by edit distance, NULL when none is near enough to be
 * meant. */
const char *cli_nearest(const char *word, const char *const *names, size_t n);

/* A probe's name, by design 1.1: is it one; and the default from a capture file's path. */
bool cli_name_is_valid(const char *name);
void cli_name_from_path(const char *path, char name[CLI_NAME_MAX + 1]);
/* ... and of this host. */
void cli_name_of_host(char name[CLI_NAME_MAX + 1]);

/* `text` in lines of at most 80 columns, each after `indent` blanks, the first where the cursor
 * (`column`) stands. */
void cli_print_wrapped(FILE *out, const char *text, unsigned indent, unsigned column);

/* load.c. The configuration as --config and --set give it, and the services table. */
int cli_load_config(const struct cli_options *o, struct cli_config *config,
                    struct base_error *error);
struct service_table *cli_load_services(const struct cli_options *o, struct base_error *error);
/* All files of --cmdb, or those named, in one; empty without any. NULL with `error`. */
struct cmdb *cli_load_cmdb(const struct cli_options *o, struct base_error *error);
struct cmdb *cli_load_cmdb_files(const char *const *files, size_t n, struct base_error *error);
/* With files of --cmdb: the store's CMDB becomes *cmdb. Without: *cmdb becomes the store's. May
 * wait a few seconds. -1 with `error`; *cmdb is then as it was. */
int cli_cmdb_share(const struct cli_options *o, const struct cli_config *config,
                   const struct redis_url *url, struct cmdb **cmdb, struct base_error *error);
/* "10.0.0.0/8"; an address alone without its length. */
void cli_print_network(const struct base_addr *a, unsigned prefix_length, FILE *out);
/* The same in words, for `check`: attributes, clients, and names that only one of both files has.
 */
void cli_print_cmdb(const struct cli_options *o, const struct service_table *services,
                    const struct cmdb *cmdb, FILE *out);

/*
 * The store that a reader uses: --redis, or the embedded server where its socket is found. -1 with
 * `error`.
 */
int cli_store_url(const struct cli_options *o, const struct cli_config *config,
                  struct redis_url *url, struct base_error *error);

/* The verbs: an exit status each. `read` prints its own errors. */
int cli_read(const struct cli_options *o);
int cli_probe(const struct cli_options *o);
int cli_check(const struct cli_options *o);
int cli_alarms(const struct cli_options *o);
int cli_forget(const struct cli_options *o);
int cli_cmdb(const struct cli_options *o);
int cli_query(const struct cli_options *o);
int cli_top(const struct cli_options *o);

int cli_main(int argc, char **argv);

#endif
