/*
 * The line of a value in a JSON text, found by walking the text from its beginning along a key
 * path.
 *
 * Input: a text that jansson has accepted, so that its grammar need not be checked again; every
 * read is bounded by the terminating NUL all the same. Output: a line number. Used for messages
 * only, so that it may take its time.
 */
#include <stdio.h>
#include <string.h>

#include "spanwatch/config.h"

/* Blanks, and the separators that the walk need not tell apart. */
static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',' || c == ':';
}

static const char *skip_blanks(const char *p) {
    while (is_blank(*p))
        p++;
    return p;
}

/* A number, true, false, null: up to what may follow one. */
static const char *skip_word(const char *p) {
    while (*p != '\0' && !is_blank(*p) && *p != '{' && *p != '}' && *p != '[' && *p != ']' &&
           *p != '"')
        p++;
    return p;
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
            p = skip_word(p);
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

/* One container that the walk of config_place is in: which member or element it has reached. */
struct level {
    const char *key; /* at its quote; NULL in an array, or before an object's first key */
    const char *end; /* behind the key's closing quote */
    size_t index;
    bool is_array;
};

/* The key from `key` to `end`, quotes included, at the end of a path. One with escapes stays as it
 * is written. */
static void put_step(char out[CONFIG_PATH_TEXT], const struct level *l) {
    size_t n = strlen(out), length = l->key != NULL ? (size_t)(l->end - l->key) : 0;
    if (l->is_array)
        snprintf(out + n, CONFIG_PATH_TEXT - n, "[%zu]", l->index);
    else if (length >= 2)
        snprintf(out + n, CONFIG_PATH_TEXT - n, "%s%.*s", n > 0 ? "." : "", (int)(length - 2),
                 l->key + 1);
}

/* `p` stands at a quote in level `l`: a key where an object waits for one, else a value. */
static const char *pass_string(const char *p, struct level *l, bool is_key) {
    const char *end = skip_string(p);
    if (is_key) {
        l->key = p;
        l->end = end;
    }
    return end;
}

const char *config_place(const struct config_document *d, size_t offset,
                         char out[CONFIG_PATH_TEXT]) {
    struct level level[CONFIG_MAX_DEPTH];
    size_t depth = 0; /* containers open; those past CONFIG_MAX_DEPTH are only counted */
    bool wants_key = false;
    for (const char *p = d->text, *end = d->text + offset; *p != '\0' && p < end;) {
        struct level *l = depth > 0 && depth <= CONFIG_MAX_DEPTH ? &level[depth - 1] : NULL;
        if (*p == '"') {
            p = l != NULL ? pass_string(p, l, wants_key && !l->is_array) : skip_string(p);
            continue;
        }
        if (*p == '{' || *p == '[') {
            if (depth < CONFIG_MAX_DEPTH)
                level[depth] = (struct level){.is_array = *p == '['};
            depth++;
        } else if ((*p == '}' || *p == ']') && depth > 0) {
            depth--;
        } else if (*p == ',' && l != NULL && p + 1 < end) {
            l->index++;
        }
        if (strchr("{,:", *p) != NULL)
            wants_key = *p != ':';
        p++;
    }
    out[0] = '\0';
    for (size_t i = 0; i < depth && i < CONFIG_MAX_DEPTH; i++)
        put_step(out, &level[i]);
    return out;
}
