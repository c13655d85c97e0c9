/*
 * Errors for a person, and warnings: to standard error, with control octets escaped (what is
 * printed may have come from a file or from the network). A line is written at once, and where that
 * must not wait, only if there is room for it.
 */
#include "spanwatch/base.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

int base_error_set(struct base_error *e, const char *what, const char *format, ...) {
    if (e == NULL)
        return -1;
    va_list args;
    snprintf(e->what, sizeof e->what, "%s", what);
    va_start(args, format);
    vsnprintf(e->why, sizeof e->why, format, args);
    va_end(args);
    return -1;
}

enum { LINE = 4096 /* PIPE_BUF: a pipe that is ready to be written takes so much at once */ };

struct line {
    char text[LINE];
    size_t n;
};

static _Atomic bool never_waits;
static _Atomic unsigned lost; /* lines */

static void add(struct line *l, const char *text) {
    for (; *text != '\0' && l->n < LINE - 1; text++)
        l->text[l->n++] = *text;
}

/* What is too long is cut; the newline always fits. */
static void add_escaped(struct line *l, const char *text) {
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        char octet[8] = {(char)*p};
        if (*p < 0x20 || *p == 0x7f)
            snprintf(octet, sizeof octet, "\\x%02x", *p);
        add(l, octet);
    }
}

static void write_line(struct line *l) {
    l->text[l->n++] = '\n';
    for (size_t done = 0; done < l->n;) {
        ssize_t n = write(STDERR_FILENO, l->text + done, l->n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nobody can be told */
        done += (size_t)n;
    }
}

/* Would a write wait? */
static bool is_blocked(void) {
    struct pollfd standard_error = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&standard_error, 1, 0) == 0;
}

static void tell_lost(void) {
    struct line l = {.n = 0};
    char text[96];
    unsigned n = atomic_exchange(&lost, 0);
    if (n == 0)
        return;
    snprintf(text, sizeof text, "spanwatch: %u lines before this one found no reader", n);
    add(&l, text);
    write_line(&l);
}

static void tell(struct line *l) {
    if (!atomic_load(&never_waits)) {
        write_line(l);
        return;
    }
    if (!is_blocked())
        tell_lost();
    if (is_blocked())
        atomic_fetch_add(&lost, 1);
    else
        write_line(l);
}

void base_warn_without_waiting(void) {
    atomic_store(&never_waits, true);
}

void base_error_print(const struct base_error *e) {
    struct line l = {.n = 0};
    add(&l, "spanwatch: ");
    add_escaped(&l, e->what);
    add(&l, ": ");
    add_escaped(&l, e->why);
    tell(&l);
}

void base_warn(const char *format, ...) {
    struct line l = {.n = 0};
    char text[768];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    add(&l, "spanwatch: ");
    add_escaped(&l, text);
    tell(&l);
}
