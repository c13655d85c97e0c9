/*
 * config: JSON files that people write (design 1.5).
 *
 * Input: the path of a file. Output: its jansson tree, and errors that tell a person where to look:
 * file, line, key path, what was found. jansson keeps no line for a value that parsed well, so a
 * scanner of our own walks the text to it; that happens for errors only. Owner: the caller owns the
 * document, and every text here dies with it.
 */
#ifndef SPANWATCH_CONFIG_H
#define SPANWATCH_CONFIG_H

#include <jansson.h>

#include "spanwatch/base.h"

enum {
    CONFIG_MAX_FILE = 16 << 20, /* octets; a larger file is refused unread */
    CONFIG_MAX_DEPTH = 8,       /* steps of a key path */
    CONFIG_PATH_TEXT = 160      /* a key path as text, and the NUL; longer ones are cut */
};

struct config_document {
    const char *name; /* for messages: the file's path; borrowed */
    char *text;       /* NUL-terminated */
    json_t *root;     /* always an object */
};

/* Where a value stands: steps from the root, each a member's key or (key == NULL) an element's
 * number. */
struct config_path {
    unsigned depth;
    struct {
        const char *key; /* borrowed */
        size_t index;
    } step[CONFIG_MAX_DEPTH];
};

/*
 * Read a file. An empty one (or blanks only) is an empty object; a byte order mark is passed over.
 * Returns 0, or -1 with `error`: unreadable, too large, not JSON, not UTF-8, a key twice in one
 * object, or something else than an object.
 */
int config_load(struct config_document *d, const char *path, struct base_error *error);

/* The same over octets in memory, which are copied. */
int config_load_text(struct config_document *d, const char *name, const char *text, size_t n,
                     struct base_error *error);

void config_free(struct config_document *d);

/* The octets of a file within CONFIG_MAX_FILE, *n of them, the caller's to free; NULL with `error`.
 * No NUL is added. */
char *config_read(const char *path, size_t *n, struct base_error *error);

/* A path one step longer. Steps past CONFIG_MAX_DEPTH are dropped. */
struct config_path config_member(const struct config_path *p, const char *key);
struct config_path config_element(const struct config_path *p, size_t index);

/* "tracker.hosts[2].address"; the root is "the file". Returns `out`. */
const char *config_path_format(const struct config_path *p, char out[CONFIG_PATH_TEXT]);

/* The line (from 1) of the member's key or the element's first octet; 0 when the text holds no such
 * value. */
unsigned config_line(const struct config_document *d, const struct config_path *p);

/* Set `error` to "FILE:LINE" and "KEY.PATH: " with the reason (printf style). Always returns -1. */
int config_error(const struct config_document *d, const struct config_path *p,
                 struct base_error *error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same for what is no JSON: "FILE:LINE" (0: the file as a whole). Always returns -1. */
int config_error_at(const char *name, unsigned line, struct base_error *error, const char *format,
                    ...) __attribute__((format(printf, 4, 5)));

/* The key path at an octet of a text that need not be valid up to its end: the member or element
 * that stands there or was begun last; "" at the root. Returns `out`. */
const char *config_place(const struct config_document *d, size_t offset,
                         char out[CONFIG_PATH_TEXT]);

/* What was found, for a message: the value's JSON, cut when long, and its type: `"abc" (a string)`.
 * Returns `out`. */
enum { CONFIG_FOUND_TEXT = 96 };
const char *config_found(const json_t *value, char out[CONFIG_FOUND_TEXT]);

#endif
