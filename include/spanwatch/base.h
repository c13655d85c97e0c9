/*
 * base: what every room stands on: errors, addresses, times, logs.
 *
 * Nothing here knows about packets. No function allocates unless its comment says so.
 * Times are uint64_t nanoseconds since the Unix epoch, of the capture's clock, never of the wall's.
 */
#ifndef SPANWATCH_BASE_H
#define SPANWATCH_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BASE_NS_PER_S  UINT64_C(1000000000)
#define BASE_NS_PER_MS UINT64_C(1000000)
#define BASE_NEVER_NS  UINT64_MAX

/* An error for a person: `what` is the file, key or option at fault, `why` the reason and the mend.
 */
struct base_error {
    char what[256];
    char why[512];
};

/* Fill `e` (printf style). A NULL `e` is ignored. Always returns -1, so that callers can return it.
 */
int base_error_set(struct base_error *e, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Print "spanwatch: WHAT: WHY" and a newline to standard error; control octets are escaped. */
void base_error_print(const struct base_error *e);

/* "spanwatch: ..." to standard error, for what is not a failure. Control octets are escaped. */
void base_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* From now on a line that standard error does not take at once is left out; the next one that it
 * takes is preceded by their number. For a program that must not wait for who reads it. */
void base_warn_without_waiting(void);

/* An IP address in network byte order. family is 4 or 6; of IPv4 only the first four octets count,
 * the others are zero, so that two addresses compare with memcmp. */
struct base_addr {
    uint8_t family;
    uint8_t octet[16];
};

enum {
    BASE_ADDR_TEXT = 46,     /* longest IPv6 text, and the terminating NUL */
    BASE_ENDPOINT_TEXT = 56, /* "[v6]:port" and the NUL */
    BASE_TIME_TEXT = 32      /* "18446744073.709551615" and the NUL, with room */
};

/* Text forms. Each writes a NUL-terminated string and returns its length (RFC 5952 for IPv6). */
size_t base_addr_format(const struct base_addr *a, char out[BASE_ADDR_TEXT]);
size_t base_endpoint_format(const struct base_addr *a, uint16_t port, char out[BASE_ENDPOINT_TEXT]);

/* Seconds with nine decimals, e.g. "1700000000.123456789"; also right for durations
 * ("0.000001000"). */
size_t base_time_format(uint64_t ns, char out[BASE_TIME_TEXT]);

/* "2023-11-14 22:13:20" (UTC) for people; returns the length. */
size_t base_time_format_utc(uint64_t ns, char out[BASE_TIME_TEXT]);

/* Parse an address; an IPv4-mapped IPv6 address stays IPv6. False when `text` is not exactly one.
 */
bool base_addr_parse(const char *text, struct base_addr *a);

/* Parse ADDRESS or ADDRESS/LENGTH. Host bits below the prefix must be zero: false otherwise. */
bool base_cidr_parse(const char *text, struct base_addr *a, unsigned *prefix_length);

/* True when the first `prefix_length` bits of both are equal and the families are. */
bool base_addr_in(const struct base_addr *a, const struct base_addr *net, unsigned prefix_length);

/* RFC 3339 ("2023-11-14T22:13:20.5Z", with offset), or Unix seconds with up to nine decimals.
 * False when it is neither, or before 1970, or after 2554. */
bool base_time_parse(const char *text, uint64_t *ns);

/* Decimal unsigned integer of the whole `text`, no sign, no blanks, at most `max`. */
bool base_uint_parse(const char *text, uint64_t max, uint64_t *value);

/* SipHash-2-4 (Aumasson, Bernstein 2012) of `n` octets under a 128-bit key, little endian. */
uint64_t base_siphash(const uint64_t key[2], const void *data, size_t n);

#endif
