/*
 * raw: members of a JSON object as the text that stands there, so that times keep their nine
 * decimals (a double loses digits). For texts that a JSON parser has found to be right; on others
 * it finds something or nothing, but never reads past the end. Pure.
 */
#ifndef QUERY_RAW_H
#define QUERY_RAW_H

#include "entry.h"

/* The value of the top-level member `key`, blanks around it left out; n 0 when there is none. */
struct query_text query_raw_member(struct query_text object, const char *key);

/* The same of a path "scope.client". */
struct query_text query_raw_path(struct query_text object, const char *path);

/* A string's characters, escapes resolved (beyond ASCII: \u escapes become '?'), cut to `size`; of
 * any other value its text. Returns `out`. */
const char *query_raw_string(struct query_text value, char *out, size_t size);

/* Is it a JSON object on the whole, by jansson's judgement? */
bool query_raw_is_object(struct query_text t);

#endif
