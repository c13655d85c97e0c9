/*
 * text: writing JSON into a caller's buffer, as fast as can be and without the printf family.
 *
 * Every function writes at `p`, without a NUL, and returns the octet behind what it wrote. None
 * checks for room: the callers write records whose longest form is known to fit RECORD_MAX. Only
 * texts that come from outside have no length of their own; they are given one.
 */
#ifndef SPANWATCH_RECORD_TEXT_H
#define SPANWATCH_RECORD_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    RECORD_NAME_TEXT = 6 * 64, /* a name of 64 octets, each written as \u00XX */
    RECORD_WHY_TEXT = 1024     /* a reason; the rest of a longer one is cut */
};

/* A literal, its length known to the compiler. */
#define RECORD_PUT(p, literal) mempcpy((p), (literal), sizeof(literal) - 1)

/* `,"key":` and the value. */
#define RECORD_PUT_UINT(p, key, v)      record_put_uint(RECORD_PUT(p, ",\"" key "\":"), v)
#define RECORD_PUT_TIME(p, key, v)      record_put_time(RECORD_PUT(p, ",\"" key "\":"), v)
#define RECORD_PUT_WORD(p, key, v)      record_put_word(RECORD_PUT(p, ",\"" key "\":\""), v)
#define RECORD_PUT_TEXT(p, key, v, max) record_put_text(RECORD_PUT(p, ",\"" key "\":\""), v, max)
#define RECORD_PUT_ENDPOINT(p, key, family, octet, port)                                           \
    record_put_endpoint(RECORD_PUT(p, ",\"" key "\":\""), family, octet, port)

char *record_put_uint(char *p, uint64_t v);

/* Sixteen lower-case hex digits. */
char *record_put_hex(char *p, uint64_t v);

/* A point and nine decimals: nanoseconds of a second. */
char *record_put_fraction(char *p, uint32_t ns);

/* Seconds with nine decimals. */
char *record_put_time(char *p, uint64_t ns);

/* A word of the contract's own, which needs no escape, and the closing quote. */
char *record_put_word(char *p, const char *word);

/* Text from outside and the closing quote: quotes, backslashes and control characters escaped, what
 * is not UTF-8 replaced by U+FFFD; what would take more than `max` octets is cut between
 * characters. */
char *record_put_text(char *p, const char *text, size_t max);

/* "10.0.0.1:80" or "[2001:db8::1]:80" (RFC 5952) and the closing quote. */
char *record_put_endpoint(char *p, unsigned family, const uint8_t *octet, uint16_t port);

#endif
