/*
 * Times and numbers as text. Text is parsed and written digit by digit: a double would lose
 * nanoseconds.
 */
#include "spanwatch/base.h"

#include <string.h>
#include <time.h>

size_t base_time_format(uint64_t ns, char out[BASE_TIME_TEXT]) {
    char digit[BASE_TIME_TEXT];
    size_t n = 0, len = 0;
    do { /* least significant first; the point stands after nine decimals */
        digit[n++] = (char)('0' + ns % 10);
        ns /= 10;
        if (n == 9)
            digit[n++] = '.';
    } while (ns != 0 || n < 11);
    while (n > 0)
        out[len++] = digit[--n];
    out[len] = '\0';
    return len;
}

size_t base_time_format_utc(uint64_t ns, char out[BASE_TIME_TEXT]) {
    time_t seconds = (time_t)(ns / BASE_NS_PER_S);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    return strftime(out, BASE_TIME_TEXT, "%Y-%m-%d %H:%M:%S", &tm);
}

bool base_uint_parse(const char *text, uint64_t max, uint64_t *value) {
    uint64_t v = 0;
    if (*text == '\0')
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        unsigned d = (unsigned)(*text - '0');
        if (v > (max - d) / 10 || d > max)
            return false;
        v = v * 10 + d;
    }
    *value = v;
    return true;
}

/* ".5" and the like at *p: nanoseconds; *p moves behind the digits. False for a point without a
 * digit, or ten. */
static bool parse_fraction(const char **p, uint64_t *ns) {
    uint64_t scale = BASE_NS_PER_S / 10;
    *ns = 0;
    if (**p != '.')
        return true;
    const char *first = ++*p;
    for (; **p >= '0' && **p <= '9'; ++*p, scale /= 10) {
        if (scale == 0)
            return false;
        *ns += (uint64_t)(**p - '0') * scale;
    }
    return *p > first;
}

/* The offset of RFC 3339 ("Z", "+02:00") in seconds east. */
static bool parse_offset(const char *p, long *seconds) {
    *seconds = 0;
    if ((*p == 'Z' || *p == 'z') && p[1] == '\0')
        return true;
    if ((*p != '+' && *p != '-') || strlen(p) != 6 || p[3] != ':')
        return false;
    for (int i = 1; i < 6; i++)
        if (i != 3 && (p[i] < '0' || p[i] > '9'))
            return false;
    long hours = (p[1] - '0') * 10 + p[2] - '0', minutes = (p[4] - '0') * 10 + p[5] - '0';
    if (hours > 23 || minutes > 59)
        return false;
    *seconds = (hours * 60 + minutes) * 60 * (*p == '-' ? -1 : 1);
    return true;
}

static bool parse_rfc3339(const char *text, uint64_t *ns) {
    struct tm tm = {0};
    uint64_t fraction;
    long offset;
    const char *p = strptime(text, "%Y-%m-%d", &tm);
    if (p == NULL || (*p != 'T' && *p != 't' && *p != ' '))
        return false;
    p = strptime(p + 1, "%H:%M:%S", &tm);
    if (p == NULL || !parse_fraction(&p, &fraction) || !parse_offset(p, &offset))
        return false;
    int64_t seconds = (int64_t)timegm(&tm) - offset;
    if (seconds < 0 || (uint64_t)seconds >= UINT64_MAX / BASE_NS_PER_S)
        return false;
    *ns = (uint64_t)seconds * BASE_NS_PER_S + fraction;
    return true;
}

bool base_time_parse(const char *text, uint64_t *ns) {
    uint64_t seconds, fraction;
    char whole[24];
    size_t n = strspn(text, "0123456789");
    const char *p = text + n;
    if (n == 0 || n >= sizeof whole || (*p != '\0' && *p != '.'))
        return parse_rfc3339(text, ns);
    memcpy(whole, text, n);
    whole[n] = '\0';
    if (!base_uint_parse(whole, UINT64_MAX / BASE_NS_PER_S - 1, &seconds) ||
        !parse_fraction(&p, &fraction) || *p)
        return false;
    *ns = seconds * BASE_NS_PER_S + fraction;
    return true;
}
