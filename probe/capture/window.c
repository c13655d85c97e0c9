/*
 * The read buffer of one file: octets [begin, end) are read and not yet consumed.
 * Input: capture_stored_read. Output: octets that lie one after the other. Owner: struct
 * capture_file.
 *
 * It is refilled only when no whole record is left in it, so what has to be moved to its front is
 * less than one record. It grows only as octets of a longer record really arrive: a length that
 * lies costs nothing.
 */
#include "internal.h"

#include <inttypes.h>
#include <stdlib.h>

int capture_window_init(struct capture_window *w) {
    *w = (struct capture_window){.data = malloc(CAPTURE_WINDOW), .capacity = CAPTURE_WINDOW};
    return w->data != NULL ? 0 : -1;
}

void capture_window_fini(struct capture_window *w) {
    free(w->data);
    *w = (struct capture_window){.offset = w->offset + w->begin};
}

static void move_to_front(struct capture_window *w) {
    size_t left = capture_window_left(w);
    if (w->begin == 0)
        return;
    memmove(w->data, w->data + w->begin, left);
    w->offset += w->begin;
    w->begin = 0;
    w->end = left;
}

static bool grow(struct capture_window *w, size_t need) {
    size_t capacity = w->capacity * 2 < need ? w->capacity * 2 : need;
    uint8_t *data = realloc(w->data, capacity);
    if (data == NULL)
        return false;
    w->data = data;
    w->capacity = capacity;
    return true;
}

bool capture_window_fill(struct capture_window *w, struct capture_stored *s, size_t need) {
    move_to_front(w);
    while (w->end < need) {
        if (w->end == w->capacity && !grow(w, need)) {
            s->failed = true;
            base_error_set(&s->error, s->name,
                           "out of memory for a record of %zu octets at octet %" PRIu64, need,
                           w->offset);
            return false;
        }
        size_t got = capture_stored_read(s, w->data + w->end, w->capacity - w->end);
        if (got == 0)
            return false;
        w->end += got;
    }
    return true;
}
