/*
 * What `alarms` works with: the store's streams of alarms, followed, and whom a message goes to.
 *
 * Owner: the verb's thread, which may wait.
 */
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

#include <jansson.h>

#include "cli.h"

/* A message as it was published. `json` has no newline; both die with the call. */
typedef void follow_sink(void *context, const json_t *message, const char *json);

struct follow;

/* From the streams' ends, or from `from_ns` (0: from now on). NULL with `error`. */
struct follow *follow_new(const struct redis_url *url, const char *prefix, const char *probe,
                          uint64_t from_ns, follow_sink *sink, void *context,
                          struct base_error *error);

/* Wait for messages, at most a second, and give those that have come, each once and in order.
 * Survives a server that is away: false while it is. */
bool follow_turn(struct follow *f);
void follow_free(struct follow *f);

/* hand_on.c: a message to a command's standard input, or by HTTP to a URL; both try again a few
 * times, waiting longer each time. False when all was in vain. `stop` ends the waiting. */
bool hand_to_command(const char *command, const json_t *message, const char *json,
                     volatile int *stop);
bool hand_to_webhook(const char *url, const json_t *message, volatile int *stop);

#endif
