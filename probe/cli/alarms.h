/*
 * The alarms of a run: rules loaded, engine fed, messages handed on. Shared by read and probe.
 *
 * Owner: the verb's thread; the struct is the caller's.
 */
#ifndef CLI_ALARMS_H
#define CLI_ALARMS_H

#include "cli.h"

#include "spanwatch/alarm.h"
#include "spanwatch/capture.h"
#include "spanwatch/redis.h"
#include "spanwatch/store_redis.h"

/* A record that waits for the output to take it. */
struct cli_alarm_text {
    struct cli_alarm_text *next;
    size_t octets;
    char json[];
};

struct cli_alarms {
    struct cli_alarm_text *first, *last; /* of cli_alarms_keep */
    size_t waiting;
    uint64_t left_out;           /* there were too many, or no memory */
    struct alarm_engine *engine; /* NULL: none */
    struct alarm_rules *rules, *fresh;
    const struct record_context *context; /* one a worker */
    const struct capture *capture;        /* of files, whose interfaces may have names; or NULL */
    const struct cli_options *options;
    struct alarm_counters told; /* tables that were told to be full */
};

/* Load the rules; nothing else is touched yet. -1 with `error`; cli_alarms_fini after either. */
int cli_alarms_load(struct cli_alarms *a, const struct cli_options *o, struct base_error *error);

/* Begin: messages go to `sink`. `context` has one element for each of `sources` workers. */
int cli_alarms_start(struct cli_alarms *a, const struct record_context *context, unsigned sources,
                     const struct cli_config *config, alarm_sink *sink, void *sink_context,
                     struct base_error *error);

/* An event of worker `source`. */
void cli_alarms_take(struct cli_alarms *a, size_t source, const struct event *e);

/* An alarm_sink for one that must not wait: keeps the record until it is taken. */
void cli_alarms_keep(void *alarms, const struct alarm *m);
const struct cli_alarm_text *cli_alarms_first(const struct cli_alarms *a); /* NULL: none */
void cli_alarms_drop(struct cli_alarms *a);                                /* the first one */

/* A reload: the rules that cli_alarms_load left out of force come in, when those of the services
 * are there too. */
int cli_alarms_reload(struct cli_alarms *a, struct base_error *error);
void cli_alarms_use(struct cli_alarms *a);

/* Into the store, with the number that it gives: `m` bears it afterwards. */
void cli_alarms_store(struct store_redis *store, const struct record_context *context,
                      struct alarm *m);

/* alarm_memory.c: baselines and alarms in force, from the store before the first event, and the
 * baselines that have changed into it. Each may wait for about a second. */
void cli_alarms_recall(struct cli_alarms *a, const struct redis_url *url, const char *prefix,
                       const char *name);
void cli_alarms_save(struct cli_alarms *a, const struct redis_url *url, const char *prefix,
                     const char *name);

/* The same in two steps, the second of which waits and may be another thread's: collect what has
 * changed (NULL: nothing has), which then counts as saved; send it, false when it could not be. */
struct cli_alarm_saving;
struct cli_alarm_saving *cli_alarms_collect(struct cli_alarms *a, const char *prefix,
                                            const char *name);
bool cli_alarms_send(const struct cli_alarm_saving *s, const struct redis_url *url);
void cli_alarms_saving_free(struct cli_alarm_saving *s);

/* A person learns of each table of the engine that has become full, and at the end how often it
 * was: some alarms may be missing. */
void cli_alarms_tell_bounds(struct cli_alarms *a, bool at_end);

void cli_alarms_fini(struct cli_alarms *a);

/* alarm_rules.c: the rules of --alarms and --allow (NULL: none). NULL with `error`. */
struct alarm_rules *cli_load_rules(const char *alarms, const char *allow, struct base_error *error);

/* check_alarms.c: what the rules say, for `check`. */
void cli_print_rules(const struct cli_options *o, const struct alarm_rules *rules, FILE *out);

/* The name of an allow list, as the file has it. */
const char *cli_allow_name(enum alarm_allow list);

#endif
