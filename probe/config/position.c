/*
 * The line of a value in a JSON text, found by walking the text from its beginning along a key
 * path.
 *
 * Input: a text that jansson has accepted, so that its grammar need not be checked again; every
 * read is bounded by the terminating NUL all the same. Output: a line number. Used for messages
 * only, so that it may take its time.
 */
#include <string.h>

#include "spanwatch/config.h"

/* Blanks, and the separators that the walk need not tell apart. */
static const char *skip_blanks(const char *p) {
    return p + strspn(p, " \t\r\n,:");
}

/* `p` stands at a quote; the result stands behind the closing one, or at the NUL. */
static const char *skip_string(const char *p) {
    for (p++; *p != '\0' && *p != '"'; p++)
        if (*p == '\\' && p[1] != '\0')
            p++;
    return *p == '"' ? p + 1 : p;
}

/* Behind the value at `p`. Nesting is counted, not recursed into: the text's depth is not ours to
 * limit. */
static const char *skip_value(const char *p) {
    size_t depth = 0;
    do {
        p = skip_blanks(p);
        if (*p == '\0')
            return p;
        if (*p == '"') {
            p = skip_string(p);
        } else if (*p == '{' || *p == '[') {
            depth++;
            p++;
        } else if (*p == '}' || *p == ']') {
            if (depth == 0) /* not valid JSON; stop all the same */
                return p;
            depth--;
            p++;
        } else {
            p += strcspn(p, " \t\r\n,:{}[]\"");
        }
    } while (depth > 0);
    return p;
}

/* Is the quoted key from `p` to `end` the one wanted? Keys with escapes are decoded by jansson. */
static bool is_key(const char *p, const char *end, const char *key) {
    size_t n = (size_t)(end - p);
    if (n < 2)
        return false;
    if (memchr(p, '\\', n) == NULL)
        return n - 2 == strlen(key) && memcmp(p + 1, key, n - 2) == 0;
    json_t *decoded = json_loadb(p, n, JSON_DECODE_ANY, NULL);
    bool same = decoded != NULL && strcmp(json_string_value(decoded), key) == 0;
    json_decref(decoded);
    return same;
}

/* `p` stands at '{': the place of the member's key, and of its value in *value; NULL when it is not
 * there. */
static const char *find_member(const char *p, const char *key, const char **value) {
    for (p = skip_blanks(p + 1); *p == '"'; p = skip_blanks(skip_value(p))) {
        const char *name = p;
        p = skip_string(p);
        if (is_key(name, p, key)) {
            *value = skip_blanks(p);
            return name;
        }
    }
    return NULL;
}

/* `p` stands at '[': the place of element `index`, or NULL. */
static const char *find_element(const char *p, size_t index) {
    for (p = skip_blanks(p + 1); index > 0 && *p != ']' && *p != '\0'; index--)
        p = skip_blanks(skip_value(p));
    return *p == ']' || *p == '\0' ? NULL : p;
}

unsigned config_line(const struct config_document *d, const struct config_path *path) {
    const char *value = skip_blanks(d->text), *place = value;
    for (unsigned i = 0; i < path->depth; i++) {
        if (path->step[i].key != NULL)
            place = *value == '{' ? find_member(value, path->step[i].key, &value) : NULL;
        else
            place = value = *value == '[' ? find_element(value, path->step[i].index) : NULL;
        if (place == NULL)
            return 0;
    }
    unsigned line = 1;
    for (const char *p = d->text; p < place; p++)
        line += *p == '\n';
    return line;
}
