/*
 * Numbers, spans and moments for a person (readable.h).
 */
#include "spanwatch/readable.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { EXACT_BELOW = 100000, SECONDS_A_DAY = 86400 };

/* One decimal below 100, none above; `units` are a thousand apart, beginning with thousands. */
static struct base_readable scaled(uint64_t n, const char *const units[6]) {
    struct base_readable r;
    double v = (double)n / 1000;
    int unit = 0;
    for (; v >= 999.5 && unit < 5; unit++)
        v /= 1000;
    snprintf(r.text, sizeof r.text, "%.*f %s", v < 99.95 ? 1 : 0, v, units[unit]);
    return r;
}

struct base_readable base_readable_count(uint64_t n) {
    static const char *const units[6] = {"k", "M", "G", "T", "P", "E"};
    struct base_readable r;
    if (n >= EXACT_BELOW)
        return scaled(n, units);
    snprintf(r.text, sizeof r.text, "%" PRIu64, n);
    return r;
}

struct base_readable base_readable_bytes(uint64_t octets) {
    static const char *const units[6] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    struct base_readable r;
    if (octets >= 1000)
        return scaled(octets, units);
    snprintf(r.text, sizeof r.text, "%" PRIu64 " B", octets);
    return r;
}

struct base_readable base_readable_span(uint64_t ns) {
    struct base_readable r;
    uint64_t s = ns / BASE_NS_PER_S;
    if (ns < 100)
        snprintf(r.text, sizeof r.text, "%" PRIu64 " ns", ns);
    else if (ns < BASE_NS_PER_MS)
        snprintf(r.text, sizeof r.text, "%.1f us", (double)ns / 1e3);
    else if (s < 1)
        snprintf(r.text, sizeof r.text, "%.1f ms", (double)ns / 1e6);
    else if (s < 60)
        snprintf(r.text, sizeof r.text, "%.2f s", (double)ns / 1e9);
    else if (s < 3600)
        snprintf(r.text, sizeof r.text, "%" PRIu64 " min %02" PRIu64 " s", s / 60, s % 60);
    else if (s < SECONDS_A_DAY)
        snprintf(r.text, sizeof r.text, "%" PRIu64 " h %02" PRIu64 " min", s / 3600, s / 60 % 60);
    else
        snprintf(r.text, sizeof r.text, "%" PRIu64 " d %02" PRIu64 " h", s / SECONDS_A_DAY,
                 s / 3600 % 24);
    return r;
}

struct base_readable base_readable_percent(uint64_t part, uint64_t whole) {
    struct base_readable r = {"-"};
    if (part != 0 && part < whole / 1000)
        return (struct base_readable){"<0.1 %"};
    if (whole != 0)
        snprintf(r.text, sizeof r.text, "%.1f %%", 100.0 * (double)part / (double)whole);
    return r;
}

struct base_readable base_readable_moment(uint64_t ns, uint64_t same_day_ns) {
    struct base_readable r;
    char utc[BASE_TIME_TEXT];
    base_time_format_utc(ns, utc);
    uint64_t day = ns / BASE_NS_PER_S / SECONDS_A_DAY;
    const char *clock = strchr(utc, ' ');
    if (day == same_day_ns / BASE_NS_PER_S / SECONDS_A_DAY && clock != NULL)
        memmove(utc, clock + 1, strlen(clock));
    snprintf(r.text, sizeof r.text, "%s.%03u", utc, (unsigned)(ns / BASE_NS_PER_MS % 1000));
    return r;
}
