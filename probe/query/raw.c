/*
 * The texts of JSON values (raw.h).
 */
#include "raw.h"

#include <jansson.h>
#include <string.h>

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t skip_blanks(struct query_text t, size_t i) {
    while (i < t.n && is_blank(t.s[i]))
        i++;
    return i;
}

/* Behind the string that begins at i. */
static size_t skip_string(struct query_text t, size_t i) {
    for (i++; i < t.n && t.s[i] != '"'; i++)
        i += t.s[i] == '\\';
    return i < t.n ? i + 1 : t.n;
}

/* Behind the value that begins at i: nesting is counted, strings are skipped. */
static size_t skip_value(struct query_text t, size_t i) {
    size_t depth = 0;
    while (i < t.n) {
        char c = t.s[i];
        if (c == '"') {
            i = skip_string(t, i);
            if (depth == 0)
                return i;
            continue;
        }
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            return i;
        depth += c == '{' || c == '[';
        i++;
        if ((c == '}' || c == ']') && --depth == 0)
            return i;
    }
    return t.n;
}

static struct query_text trim(struct query_text t, size_t from, size_t to) {
    while (to > from && is_blank(t.s[to - 1]))
        to--;
    return (struct query_text){t.s + from, to - from};
}

static bool key_is(struct query_text t, size_t from, size_t to, const char *key, size_t n) {
    return to - from == n + 2 && memcmp(t.s + from + 1, key, n) == 0;
}

static struct query_text member(struct query_text t, const char *key, size_t n) {
    size_t i = skip_blanks(t, 0);
    struct query_text none = {"", 0};
    if (i >= t.n || t.s[i] != '{')
        return none;
    for (i = skip_blanks(t, i + 1); i < t.n && t.s[i] == '"';) {
        size_t from = i, to = skip_string(t, i);
        i = skip_blanks(t, to);
        if (i >= t.n || t.s[i] != ':')
            return none;
        size_t value = skip_blanks(t, i + 1), end = skip_value(t, value);
        if (key_is(t, from, to, key, n))
            return trim(t, value, end);
        i = skip_blanks(t, end);
        if (i >= t.n || t.s[i] != ',')
            return none;
        i = skip_blanks(t, i + 1);
    }
    return none;
}

struct query_text query_raw_member(struct query_text object, const char *key) {
    return member(object, key, strlen(key));
}

struct query_text query_raw_path(struct query_text object, const char *path) {
    while (*path != '\0') {
        size_t n = strcspn(path, ".");
        object = member(object, path, n);
        path += n + (path[n] == '.');
    }
    return object;
}

static char plain(char escape) {
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *at = memchr(from, escape, sizeof from - 1);
    return at != NULL ? to[at - from] : escape;
}

const char *query_raw_string(struct query_text value, char *out, size_t size) {
    size_t n = 0;
    if (value.n < 2 || value.s[0] != '"')
        return query_text_copy(value, out, size);
    for (size_t i = 1; i + 1 < value.n && n + 1 < size; i++) {
        char c = value.s[i];
        if (c == '\\' && i + 2 < value.n) {
            c = plain(value.s[++i]);
            if (value.s[i] == 'u') {
                c = '?';
                i += 4;
            }
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return out;
}

bool query_raw_is_object(struct query_text t) {
    json_t *value = json_loadb(t.s, t.n, 0, NULL);
    bool is = json_is_object(value);
    json_decref(value);
    return is;
}
