/*
 * What the alarm's JSON and its sentence share.
 */
#ifndef SPANWATCH_RECORD_ALARM_WORDS_H
#define SPANWATCH_RECORD_ALARM_WORDS_H

#include "spanwatch/record.h"

/* The service of the scope: its configured name, or that of the server's port; NULL when the scope
 * has none. `buffer` may hold the result. */
const char *alarm_words_service(const struct record_context *c, const struct alarm *a,
                                char buffer[SERVICE_NAME_MAX]);

#endif
