/*
 * Digits, addresses and strings as JSON wants them (text.h), and text made fit for a terminal. One
 * pass, no division that a table of digit pairs can spare, no allocation. Input: numbers in host
 * order, addresses in network order. Owner: nobody; pure functions.
 */
#include "text.h"

#include <endian.h>

#include "spanwatch/readable.h"
#include "spanwatch/record.h"

static const char hex_digit[16] = "0123456789abcdef";

static const char digit_pair[201] = "00010203040506070809101112131415161718192021222324"
                                    "25262728293031323334353637383940414243444546474849"
                                    "50515253545556575859606162636465666768697071727374"
                                    "75767778798081828384858687888990919293949596979899";

static char *put_pair(char *p, unsigned v) {
    return mempcpy(p, digit_pair + 2 * v, 2);
}

/* Up to 9999, without leading zeros: what most numbers are. */
static inline char *put_small(char *p, unsigned v) {
    if (v >= 1000)
        return put_pair(put_pair(p, v / 100), v % 100);
    if (v >= 100) {
        *p++ = (char)('0' + v / 100);
        return put_pair(p, v % 100);
    }
    if (v >= 10)
        return put_pair(p, v);
    *p++ = (char)('0' + v);
    return p;
}

static inline char *put_four(char *p, unsigned v) {
    return put_pair(put_pair(p, v / 100), v % 100);
}

char *record_put_uint(char *p, uint64_t v) {
    enum { TEN_THOUSAND = 10000 };
    unsigned part[4]; /* of four digits each, the lowest first */
    int n = 0;
    for (; v >= TEN_THOUSAND; v /= TEN_THOUSAND)
        part[n++] = (unsigned)(v % TEN_THOUSAND);
    p = put_small(p, (unsigned)v);
    while (n > 0)
        p = put_four(p, part[--n]);
    return p;
}

/* Eight octets of one hexadecimal digit each, from eight of their own: digits, and letters 39
 * further. */
static uint64_t hex_octets(uint32_t v) {
    uint64_t x = v;
    x = (x << 16 | x) & UINT64_C(0x0000ffff0000ffff);
    x = (x << 8 | x) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x << 4 | x) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    uint64_t letter = (x + UINT64_C(0x0606060606060606)) >> 4 & UINT64_C(0x0101010101010101);
    return x + UINT64_C(0x3030303030303030) + letter * 39;
}

char *record_put_hex(char *p, uint64_t v) {
    uint64_t half[2] = {htobe64(hex_octets((uint32_t)(v >> 32))), htobe64(hex_octets((uint32_t)v))};
    return mempcpy(p, half, sizeof half);
}

char *record_put_time(char *p, uint64_t ns) {
    return record_put_fraction(record_put_uint(p, ns / BASE_NS_PER_S),
                               (uint32_t)(ns % BASE_NS_PER_S));
}

char *record_put_fraction(char *p, uint32_t fraction) {
    *p++ = '.';
    *p++ = (char)('0' + fraction / 100000000);
    p = put_four(p, fraction / 10000 % 10000);
    return put_four(p, fraction % 10000);
}

char *record_put_word(char *p, const char *word) {
    p = stpcpy(p, word);
    *p++ = '"';
    return p;
}

static char *put_v4(char *p, const uint8_t *octet) {
    for (int i = 0; i < 4; i++) {
        p = put_small(p, octet[i]);
        *p++ = '.';
    }
    return p - 1;
}

static char *put_hex_word(char *p, unsigned v) {
    int shift = v > 0xfff ? 12 : v > 0xff ? 8 : v > 0xf ? 4 : 0;
    for (; shift >= 0; shift -= 4)
        *p++ = hex_digit[v >> shift & 15];
    return p;
}

/* The longest run of two or more zero words, the first among equals (RFC 5952 sections 4.2.2
 * and 4.2.3): its length, 0 for none, and where it begins. */
static int longest_zeros(const unsigned word[8], int *first) {
    int best = 1;
    for (int i = 0, run = 0; i < 8; i++) {
        run = word[i] == 0 ? run + 1 : 0;
        if (run > best) {
            best = run;
            *first = i - run + 1;
        }
    }
    return best > 1 ? best : 0;
}

/* As base_addr_format writes it: addresses that embed IPv4 (mapped, compatible) end in a dotted
 * quad (section 5). */
static char *put_v6(char *p, const uint8_t *octet) {
    unsigned word[8];
    int first = -1;
    for (int i = 0; i < 8; i++)
        word[i] = (unsigned)octet[2 * i] << 8 | octet[2 * i + 1];
    int zeros = longest_zeros(word, &first);
    bool embedded = first == 0 && (zeros == 6 || (zeros == 5 && word[5] == 0xffff));
    int words = embedded ? 6 : 8;
    for (int i = 0; i < words; i++) {
        if (i == first) {
            p = RECORD_PUT(p, "::");
            i += zeros - 1;
            continue;
        }
        if (i > 0 && p[-1] != ':')
            *p++ = ':';
        p = put_hex_word(p, word[i]);
    }
    if (!embedded)
        return p;
    if (p[-1] != ':')
        *p++ = ':';
    return put_v4(p, octet + 12);
}

char *record_put_endpoint(char *p, unsigned family, const uint8_t *octet, uint16_t port) {
    if (family == 4) {
        p = put_v4(p, octet);
    } else {
        *p++ = '[';
        p = put_v6(p, octet);
        *p++ = ']';
    }
    *p++ = ':';
    p = record_put_uint(p, port);
    *p++ = '"';
    return p;
}

/* One character that JSON does not take as it is; returns the octets written, and in *used the
 * octets read. */
static size_t escape(const unsigned char *s, char out[8], size_t *used) {
    size_t n = base_utf8_length((const char *)s);
    *used = n == 0 ? 1 : n;
    if (n > 1) {
        memcpy(out, s, n);
        return n;
    }
    if (n == 0) {
        memcpy(out, "\\ufffd", 6);
        return 6;
    }
    static const char letter[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                  ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\'};
    out[0] = '\\';
    if (*s < sizeof letter && letter[*s] != '\0') {
        out[1] = letter[*s];
        return 2;
    }
    memcpy(out + 1, "u00", 3);
    out[4] = hex_digit[*s >> 4];
    out[5] = hex_digit[*s & 15];
    return 6;
}

/* What JSON takes as it is: printable ASCII but for quotes and backslashes. */
static const bool is_plain[256] = {
    [' ' ... '!'] = true, ['#' ... '['] = true, [']' ... '~'] = true};

char *record_put_text(char *p, const char *text, size_t max) {
    const unsigned char *s = (const unsigned char *)text;
    const char *end = p + max;
    while (p < end) {
        if (is_plain[*s]) {
            *p++ = (char)*s++;
            continue;
        }
        char escaped[8];
        size_t used, n = *s == '\0' ? 0 : escape(s, escaped, &used);
        if (n == 0 || n > (size_t)(end - p))
            break;
        p = mempcpy(p, escaped, n);
        s += used;
    }
    *p++ = '"';
    return p;
}

size_t record_json_string(const char *text, char *out, size_t size) {
    out[0] = '"';
    char *end = record_put_text(out + 1, text, size - 3);
    *end = '\0';
    return (size_t)(end - out);
}

size_t record_text_printable(const char *text, char *out, size_t size) {
    size_t len = 0;
    while (*text != '\0') {
        size_t n = base_printable_length(text), needed = n > 0 ? n : 4;
        if (len + needed >= size)
            break;
        if (n > 0) {
            memcpy(out + len, text, n);
        } else {
            unsigned char octet = (unsigned char)*text;
            out[len] = '\\';
            out[len + 1] = 'x';
            out[len + 2] = hex_digit[octet >> 4];
            out[len + 3] = hex_digit[octet & 15];
            n = 1;
        }
        len += needed;
        text += n;
    }
    out[len] = '\0';
    return len;
}
