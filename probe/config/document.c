/*
 * Loading a JSON file that a person wrote, and errors that say where it is wrong.
 *
 * Input: a path. Output: struct config_document, owned by the caller. Uses jansson; no thread of
 * its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spanwatch/config.h"

enum {
    SHOWN_NAME =
        200 /* octets of a file's name in a message: its end tells more than its beginning */
};

static int fail_at(struct base_error *error, const char *name, unsigned line, const char *why) {
    char what[SHOWN_NAME + 24];
    size_t n = strlen(name);
    const char *cut = n > SHOWN_NAME ? "..." : "";
    if (n > SHOWN_NAME)
        name += n - SHOWN_NAME;
    if (line > 0)
        snprintf(what, sizeof what, "%s%s:%u", cut, name, line);
    else
        snprintf(what, sizeof what, "%s%s", cut, name);
    return base_error_set(error, what, "%s", why);
}

int config_error_at(const char *name, unsigned line, struct base_error *error, const char *format,
                    ...) {
    char why[sizeof error->why];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    return fail_at(error, name, line, why);
}

static bool is_blank(const char *text) {
    return text[strspn(text, " \t\r\n")] == '\0';
}

/* jansson 2.14 reads over a NUL octet behind a number, where our scanner would stop. */
static int refuse_nul(const struct config_document *d, size_t n, struct base_error *error) {
    unsigned line = 1;
    if (strlen(d->text) == n)
        return 0;
    for (const char *p = d->text; *p != '\0'; p++)
        line += *p == '\n';
    return fail_at(error, d->name, line, "not valid JSON: an octet 0 stands in it");
}

/* What jansson found, and the key path at which it stood then. */
static int tell_syntax(const struct config_document *d, const json_error_t *fault,
                       struct base_error *error) {
    char path[CONFIG_PATH_TEXT];
    config_place(d, fault->position > 0 ? (size_t)fault->position : 0, path);
    return config_error_at(d->name, fault->line > 0 ? (unsigned)fault->line : 0, error,
                           "%s%snot valid JSON: %s (column %d)", path, path[0] != '\0' ? ": " : "",
                           fault->text, fault->column);
}

static int parse(struct config_document *d, size_t n, struct base_error *error) {
    json_error_t fault;
    if (refuse_nul(d, n, error) != 0)
        return -1;
    if (is_blank(d->text)) {
        d->root = json_object();
        return d->root != NULL ? 0 : fail_at(error, d->name, 0, "out of memory");
    }
    d->root = json_loadb(d->text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &fault);
    if (d->root == NULL)
        return tell_syntax(d, &fault, error);
    if (!json_is_object(d->root)) {
        struct config_path root = {0};
        char found[CONFIG_FOUND_TEXT];
        return config_error(d, &root, error, "found %s, allowed is an object: {...}",
                            config_found(d->root, found));
    }
    return 0;
}

int config_load_text(struct config_document *d, const char *name, const char *text, size_t n,
                     struct base_error *error) {
    static const char mark[] = {'\xef', '\xbb', '\xbf'};
    *d = (struct config_document){.name = name};
    if (n >= sizeof mark && memcmp(text, mark, sizeof mark) == 0) { /* RFC 8259 section 8.1 */
        text += sizeof mark;
        n -= sizeof mark;
    }
    d->text = malloc(n + 1);
    if (d->text == NULL)
        return fail_at(error, name, 0, "out of memory");
    memcpy(d->text, text, n);
    d->text[n] = '\0';
    if (parse(d, n, error) == 0)
        return 0;
    config_free(d);
    return -1;
}

/* The whole of `fd` in fresh memory, NULL with `error`. A pipe tells no size, so that the cap is
 * applied to what comes. */
static char *read_all(int fd, const char *name, size_t *n, struct base_error *error) {
    size_t room = 1 << 16;
    char *text = malloc(room);
    *n = 0;
    if (text == NULL)
        fail_at(error, name, 0, "out of memory");
    while (text != NULL) {
        ssize_t got = read(fd, text + *n, room - *n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            fail_at(error, name, 0, strerror(errno));
            break;
        }
        *n += (size_t)got;
        if (got == 0)
            return text;
        if (*n > CONFIG_MAX_FILE) {
            fail_at(error, name, 0, "larger than 16 MiB: not a configuration file");
            break;
        }
        if (*n == room) {
            char *grown = realloc(text, room *= 2);
            if (grown == NULL) {
                fail_at(error, name, 0, "out of memory");
                break;
            }
            text = grown;
        }
    }
    free(text);
    return NULL;
}

char *config_read(const char *path, size_t *n, struct base_error *error) {
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = NULL;
    if (fd < 0) {
        fail_at(error, path, 0, strerror(errno));
        return NULL;
    }
    bool known = fstat(fd, &status) == 0;
    if (known && S_ISDIR(status.st_mode))
        fail_at(error, path, 0, "a directory; name the file in it");
    else if (known && S_ISREG(status.st_mode) && status.st_size > CONFIG_MAX_FILE)
        fail_at(error, path, 0, "larger than 16 MiB: not a configuration file");
    else
        text = read_all(fd, path, n, error);
    close(fd);
    return text;
}

int config_load(struct config_document *d, const char *path, struct base_error *error) {
    size_t n;
    *d = (struct config_document){.name = path};
    char *text = config_read(path, &n, error);
    if (text == NULL)
        return -1;
    int result = config_load_text(d, path, text, n, error);
    free(text);
    return result;
}

void config_free(struct config_document *d) {
    json_decref(d->root);
    free(d->text);
    *d = (struct config_document){0};
}

struct config_path config_member(const struct config_path *p, const char *key) {
    struct config_path longer = *p;
    if (longer.depth < CONFIG_MAX_DEPTH) {
        longer.step[longer.depth].key = key;
        longer.step[longer.depth++].index = 0;
    }
    return longer;
}

struct config_path config_element(const struct config_path *p, size_t index) {
    struct config_path longer = config_member(p, NULL);
    if (p->depth < CONFIG_MAX_DEPTH)
        longer.step[p->depth].index = index;
    return longer;
}

const char *config_path_format(const struct config_path *p, char out[CONFIG_PATH_TEXT]) {
    size_t n = 0;
    snprintf(out, CONFIG_PATH_TEXT, "%s", p->depth == 0 ? "the file" : "");
    for (unsigned i = 0; i < p->depth && n < CONFIG_PATH_TEXT; i++) {
        int put;
        if (p->step[i].key == NULL)
            put = snprintf(out + n, CONFIG_PATH_TEXT - n, "[%zu]", p->step[i].index);
        else
            put = snprintf(out + n, CONFIG_PATH_TEXT - n, "%s%s", i > 0 ? "." : "", p->step[i].key);
        n += put > 0 ? (size_t)put : 0;
    }
    return out;
}

int config_error(const struct config_document *d, const struct config_path *p,
                 struct base_error *error, const char *format, ...) {
    char path[CONFIG_PATH_TEXT], reason[sizeof error->why], why[sizeof error->why];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    config_path_format(p, path);
    /* The path is short; should both not fit, the reason loses its end. */
    snprintf(why, sizeof why, "%s: %.*s", path, (int)(sizeof why - sizeof path - 3), reason);
    return fail_at(error, d->name, config_line(d, p), why);
}

static const char *type_words(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "a whole number";
    case JSON_REAL:
        return "a number with a fraction or exponent";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a truth value";
    default:
        return "null";
    }
}

const char *config_found(const json_t *value, char out[CONFIG_FOUND_TEXT]) {
    enum { SHOWN = 40 };
    if (json_is_object(value) || json_is_array(value) || json_is_null(value)) {
        snprintf(out, CONFIG_FOUND_TEXT, "%s", type_words(value));
        return out;
    }
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
    size_t n = text != NULL ? strlen(text) : 0;
    bool cut = n > SHOWN;
    if (cut) /* not in the midst of a UTF-8 character */
        for (n = SHOWN; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;)
            n--;
    snprintf(out, CONFIG_FOUND_TEXT, "%.*s%s (%s)", (int)n, text != NULL ? text : "",
             cut ? "..." : "", type_words(value));
    free(text);
    return out;
}
