/*
 * Addresses, their text forms and prefixes.
 */
#include "spanwatch/base.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* The length of the address's octets and the system's number of its family. */
static unsigned addr_bits(const struct base_addr *a) {
    return a->family == 4 ? 32 : 128;
}

static size_t put_uint(char *out, unsigned v) {
    char digit[10];
    size_t n = 0, len;
    do
        digit[n++] = (char)('0' + v % 10);
    while ((v /= 10) != 0);
    for (len = 0; n > 0;)
        out[len++] = digit[--n];
    return len;
}

static size_t format_v4(const uint8_t *octet, char *out) {
    size_t n = 0;
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            out[n++] = '.';
        n += put_uint(out + n, octet[i]);
    }
    out[n] = '\0';
    return n;
}

size_t base_addr_format(const struct base_addr *a, char out[BASE_ADDR_TEXT]) {
    if (a->family == 4)
        return format_v4(a->octet, out);
    /* glibc's form is RFC 5952's: longest run of zeros, the first of equals, lower case, mapped as
     * dotted quad. */
    if (inet_ntop(AF_INET6, a->octet, out, BASE_ADDR_TEXT) == NULL)
        out[0] = '\0';
    return strlen(out);
}

size_t base_endpoint_format(const struct base_addr *a, uint16_t port,
                            char out[BASE_ENDPOINT_TEXT]) {
    size_t n = 0;
    if (a->family != 4)
        out[n++] = '[';
    n += base_addr_format(a, out + n);
    if (a->family != 4)
        out[n++] = ']';
    out[n++] = ':';
    n += put_uint(out + n, port);
    out[n] = '\0';
    return n;
}

bool base_addr_parse(const char *text, struct base_addr *a) {
    *a = (struct base_addr){0};
    if (inet_pton(AF_INET, text, a->octet) == 1) {
        a->family = 4;
        return true;
    }
    a->family = 6;
    return inet_pton(AF_INET6, text, a->octet) == 1;
}

/* The octet's bits that lie beyond the prefix. */
static uint8_t host_mask(unsigned prefix_length, unsigned octet) {
    if (prefix_length >= (octet + 1) * 8)
        return 0;
    if (prefix_length <= octet * 8)
        return 0xff;
    return (uint8_t)(0xff >> (prefix_length - octet * 8));
}

bool base_cidr_parse(const char *text, struct base_addr *a, unsigned *prefix_length) {
    char address[BASE_ADDR_TEXT];
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    if (n >= sizeof address)
        return false;
    memcpy(address, text, n);
    address[n] = '\0';
    if (!base_addr_parse(address, a))
        return false;
    uint64_t length = addr_bits(a);
    if (slash && !base_uint_parse(slash + 1, length, &length))
        return false;
    for (unsigned i = 0; i < addr_bits(a) / 8; i++)
        if (a->octet[i] & host_mask((unsigned)length, i))
            return false;
    *prefix_length = (unsigned)length;
    return true;
}

bool base_addr_in(const struct base_addr *a, const struct base_addr *net, unsigned prefix_length) {
    if (a->family != net->family)
        return false;
    for (unsigned i = 0; i * 8 < prefix_length; i++)
        if ((a->octet[i] ^ net->octet[i]) & (uint8_t)~host_mask(prefix_length, i))
            return false;
    return true;
}
