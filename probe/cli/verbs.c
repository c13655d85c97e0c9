/*
 * The verbs: which there are, what help says of them, and the way from argv to one of them.
 *
 * Input: argv. Output: the exit status (design 1.1): 0 success, 1 the work failed, 2 wrong usage or
 * configuration.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

struct verb {
    const char *name, *summary, *usage, *text;
    enum cli_verb_bit bit;                  /* whose options it takes */
    int (*run)(const struct cli_options *); /* NULL: handled without options */
    void (*more)(FILE *out);                /* prints what help adds; may be NULL */
};

static void print_keys(FILE *out) {
    fputs("\nKeys of the main configuration file, for --set too:\n\n", out);
    cli_config_print_keys(out);
}

static const struct verb verbs[] = {
    {"read", "analyse capture files", "spanwatch read [OPTION...] FILE...",
     "Reads capture files (pcap, pcapng; plain or .gz, .zst, .xz; '-' is standard input), merges "
     "them by time, and tells the TCP state of both ends of every connection: a report for a "
     "person, or records as JSON Lines. Exit status 1 when a file is cut short or faulty; all "
     "records up to there are written.",
     CLI_READ, cli_read, NULL},
    {"probe", "watch live interfaces", "spanwatch probe -i IFACE [OPTION...]",
     "Watches interfaces and tells the TCP state of both ends of every connection as it changes, "
     "as JSON Lines, with a stats record each second and a gap record wherever packets or records "
     "are missing. Started as root (or with CAP_NET_RAW), it opens the interfaces and then drops "
     "its rights. SIGTERM and SIGINT end it, with all records written; SIGHUP loads --services, "
     "--cmdb, --alarms and --allow again, which the new user must be able to read.",
     CLI_PROBE, cli_probe, NULL},
    {"check", "validate configuration files and say what they mean", "spanwatch check [OPTION...]",
     "Validates the files named and prints what was understood: timers, other keys, and the "
     "services table in the order in which it is asked, attributes and names, rules of alarms. "
     "Exit "
     "status 2 when one is wrong.",
     CLI_CHECK, cli_check, print_keys},
    {"cmdb", "put CMDB attributes into the store", "spanwatch cmdb load [OPTION...] FILE...",
     "Reads the files (JSON, or CSV when the name ends in .csv), and makes the store's attributes "
     "of services and names of clients what they say: what is not in them goes. A CSV file with a "
     "column service leaves the clients alone, one with a column address the services. Prints what "
     "changed. Nothing is written when a file is faulty (exit status 2).",
     CLI_CMDB, cli_cmdb, NULL},
    {"forget", "delete what the store holds of a probe", "spanwatch forget [OPTION...] NAME",
     "Deletes every record of the probe NAME from the store: transitions, snapshots, connections, "
     "alarms, gaps, baselines. Asks first. A probe that is running is left alone.",
     CLI_FORGET, cli_forget, NULL},
    {"query", "ask the store: who was in which state, when", "spanwatch query WHAT [OPTION...]",
     "Asks what probes have put into the store. WHAT is: connections (those open at a moment, with "
     "the states of both ends), transitions (what changed), clients (a row each), summary (numbers "
     "by service, state ...), diff (what appeared, vanished, changed between two moments), alarms "
     "(their messages), active (those in force now). Any moment that the store holds can be asked "
     "for; what it holds, and what is missing in it, is told with the answer. Memory stays below "
     "about 500 MiB, whatever the store holds.",
     CLI_QUERY, cli_query, NULL},
    {"alarms", "follow alarms as they are published", "spanwatch alarms [OPTION...]",
     "Prints each alarm message that probes put into the store from now on (or since --from), and "
     "hands it to a command or an Alertmanager. Nothing is missed and nothing given twice while "
     "the store is away. SIGINT and SIGTERM end it.",
     CLI_ALARMS, cli_alarms, NULL},
    {"top", "a live full-screen view of the store", "spanwatch top [OPTION...]",
     "Shows services with their connections by state, clients in trouble (half-open, half-closed, "
     "many), and alarms in force, and looks again every two seconds. Keys sort, filter, and open "
     "one service, one client's timeline or one alarm; 'h' explains them. When the store goes "
     "away, the last picture stays with its age, until the store is back.",
     CLI_TOP, cli_top, NULL},
    {"version", "print the version", "spanwatch version", "Prints the version.", 0, NULL, NULL},
    {"help", "explain a verb", "spanwatch help [VERB]",
     "Lists the verbs, or explains one and its options.", 0, NULL, NULL},
};

enum { VERBS = sizeof verbs / sizeof verbs[0], LIST = 256 /* octets for all verbs' names */ };

static const struct verb *find_verb(const char *name) {
    for (size_t i = 0; i < VERBS; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static void print_overview(FILE *out) {
    fputs("spanwatch " SPANWATCH_VERSION
          ": the TCP state of both ends of every connection, from its packets\n\n",
          out);
    for (size_t i = 0; i < VERBS; i++)
        fprintf(out, "  spanwatch %-10s %s\n", verbs[i].name, verbs[i].summary);
    fputs("\n'spanwatch help VERB' explains one.\n", out);
}

static void print_help(const struct verb *v, FILE *out) {
    fprintf(out, "Usage: %s\n\n", v->usage);
    cli_print_wrapped(out, v->text, 0, 0);
    if (v->run != NULL) {
        fputs("\nOptions:\n\n", out);
        cli_options_print(v->bit, out);
    }
    if (v->more != NULL)
        v->more(out);
}

static int fail_usage(const char *what, const char *why) {
    struct base_error error;
    base_error_set(&error, what, "%s", why);
    base_error_print(&error);
    return CLI_USAGE;
}

/* "read, check, ...", and their names for a suggestion. */
static void list_verbs(char list[LIST], const char *names[VERBS]) {
    size_t n = 0;
    for (size_t i = 0; i < VERBS; i++) {
        names[i] = verbs[i].name;
        n += (size_t)snprintf(list + n, LIST - n, "%s%s", i > 0 ? ", " : "", names[i]);
    }
}

static int fail_verb(const char *name, const char *fault) {
    const char *names[VERBS];
    char list[LIST], why[LIST + 128];
    list_verbs(list, names);
    const char *nearest = cli_nearest(name, names, VERBS);
    snprintf(why, sizeof why, "%s; there are %s%s%s", fault, list,
             nearest != NULL ? "; the nearest is " : "", nearest != NULL ? nearest : "");
    return fail_usage(name, why);
}

/* `help` and `version`: the one may name a verb, the other takes nothing. */
static int run_simple(const struct verb *v, int argc, char **argv) {
    bool asks_help = argc > 1 && strcmp(argv[1], "--help") == 0;
    if (asks_help) {
        print_help(v, stdout);
        return CLI_DONE;
    }
    if (strcmp(v->name, "version") == 0) {
        if (argc > 1)
            return fail_usage("version", "takes neither options nor arguments");
        puts("spanwatch " SPANWATCH_VERSION);
        return CLI_DONE;
    }
    if (argc > 2)
        return fail_usage("help", "takes one verb at most");
    if (argc == 1) {
        print_overview(stdout);
        return CLI_DONE;
    }
    const struct verb *asked = find_verb(argv[1]);
    if (asked == NULL)
        return fail_verb(argv[1], "unknown verb");
    print_help(asked, stdout);
    return CLI_DONE;
}

static int run_verb(const struct verb *v, int argc, char **argv) {
    struct cli_options options;
    struct base_error error;
    int status = CLI_DONE;
    if (v->run == NULL)
        return run_simple(v, argc, argv);
    if (cli_options_parse(&options, argc, argv, v->bit, &error) != 0) {
        base_error_print(&error);
        status = CLI_USAGE;
    } else if (options.help) {
        print_help(v, stdout);
    } else {
        status = v->run(&options);
    }
    cli_options_free(&options);
    return status;
}

static int dispatch(int argc, char **argv) {
    if (argc < 2) {
        print_overview(stderr);
        return fail_verb("command line", "no verb given");
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_overview(stdout);
        return CLI_DONE;
    }
    const struct verb *v = find_verb(strcmp(argv[1], "--version") == 0 ? "version" : argv[1]);
    return v != NULL ? run_verb(v, argc - 1, argv + 1) : fail_verb(argv[1], "unknown verb");
}

/* Started with a standard descriptor closed, the first socket or file would get its number, and our
 * output. Reading and writing here fail as they do on a closed one. */
static bool fill_standard_descriptors(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) == -1 && open("/", O_PATH) != fd)
            return false;
    return true;
}

int cli_main(int argc, char **argv) {
    struct base_error error;
    if (!fill_standard_descriptors())
        return CLI_FAILED;
    signal(SIGPIPE,
           SIG_IGN); /* a reader that goes away is an error of write(), not the end of us */
    int status = dispatch(argc, argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && errno != EPIPE && status == CLI_DONE) {
        base_error_set(&error, "standard output", "cannot be written: %s", strerror(errno));
        base_error_print(&error);
        status = CLI_FAILED;
    }
    return status;
}
