/*
 * The main configuration file (design 1.5): one table of keys, and the values that it leads to.
 *
 * Input: --config FILE and --set KEY.PATH=VALUE. Output: struct cli_config, whole and within
 * bounds, or an error that names file, line, key path, what was found and what is allowed. Owner:
 * the caller.
 */
#ifndef CLI_SETTINGS_H
#define CLI_SETTINGS_H

#include "spanwatch/base.h"
#include "spanwatch/config.h"
#include "spanwatch/flow.h"

enum {
    CLI_TEXT_MAX = 256,     /* octets of a text value, and the NUL */
    CLI_SNAPLEN_LEAST = 64, /* Ethernet, IPv4 and TCP without options, and a little */
    CLI_SNAPLEN_MOST = 262144,
    CLI_RING_MIB_MOST = 2047, /* libpcap counts octets in an int */
    CLI_HOSTS_MAX = 4096 /* entries of tracker.hosts: every new connection looks through them */
};

struct cli_config {
    struct flow_timers timers;
    struct flow_host_timers *hosts; /* longest prefix first; owned */
    size_t host_count;
    uint32_t max_flows;
    uint32_t snaplen, ring_mib, timeout_ms, promiscuous; /* of live capture; promiscuous: 0 or 1 */
    char vlan[CLI_TEXT_MAX], tunnel[CLI_TEXT_MAX];       /* words of enum decode_identity */
    uint32_t snapshot_period, store_flush_ms, store_partitions, store_keep_s, store_queue_mib;
    uint32_t store_spool_mib, store_retention_s, store_retention_mib;
    uint32_t alarm_history_hours;
    char store_spool_folder[CLI_TEXT_MAX];
    char snapshot_members[CLI_TEXT_MAX], store_prefix[CLI_TEXT_MAX], state_folder[CLI_TEXT_MAX];
    uint64_t given; /* bit i: cli_keys()[i] was set by the file or by --set */
};

enum cli_key_type { CLI_KEY_NUMBER, CLI_KEY_SWITCH, CLI_KEY_TEXT, CLI_KEY_CHOICE, CLI_KEY_HOSTS };

/* One key: all that is known of it. Parsing, --set, `check` and the help come from here. */
struct cli_key {
    const char *path; /* "tracker.time_wait" */
    enum cli_key_type type;
    uint32_t low, high;  /* of numbers */
    uint32_t number;     /* the default of a number or switch */
    const char *text;    /* the default of a text or choice */
    const char *allowed; /* of a text or choice, for messages: choices are separated by '|' */
    const char *unit;    /* of a number, "" without */
    size_t offset;       /* of the value in struct cli_config */
    const char *help;
};

const struct cli_key *cli_keys(size_t *n);

/* Every key at its default. */
void cli_config_init(struct cli_config *c);
void cli_config_free(struct cli_config *c);

/* Apply a file (NULL: none), then the settings in order. 0, or -1 with `error`; free `c` after
 * either. */
int cli_config_load(struct cli_config *c, const char *path, const char *const *set,
                    size_t set_count, struct base_error *error);

/* The same with the file's content given; document may be NULL. */
int cli_config_apply(struct cli_config *c, const struct config_document *document,
                     const char *const *set, size_t set_count, struct base_error *error);

/* The whole of it in words, with where each value comes from. */
void cli_config_print(const struct cli_config *c, FILE *out);

/* Every key with its range, default and meaning, for help. */
void cli_config_print_keys(FILE *out);

#endif
