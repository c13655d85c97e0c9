/*
 * Errors for a person, and warnings: to standard error, with control octets escaped (what is
 * printed may have come from a file or from the network).
 */
#include "spanwatch/base.h"

#include <stdarg.h>
#include <stdio.h>

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

static void print_escaped(const char *text) {
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p < 0x20 || *p == 0x7f)
            fprintf(stderr, "\\x%02x", *p);
        else
            fputc(*p, stderr);
    }
}

void base_error_print(const struct base_error *e) {
    fputs("spanwatch: ", stderr);
    print_escaped(e->what);
    fputs(": ", stderr);
    print_escaped(e->why);
    fputc('\n', stderr);
}

void base_warn(const char *format, ...) {
    char text[768];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fputs("spanwatch: ", stderr);
    print_escaped(text);
    fputc('\n', stderr);
}
