/*
 * IDs of stream entries, and walking entries as they stand in chunks (redis_writer.h). Pure.
 */
#include "redis_writer.h"

#include <stdio.h>
#include <string.h>

int store_id_compare(struct store_id a, struct store_id b) {
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}

bool store_id_next(struct store_id last, uint64_t ts_ns, uint64_t limit_ms, uint64_t skew_ms,
                   struct store_id *id) {
    uint64_t ts_ms = ts_ns / BASE_NS_PER_MS;
    struct store_id next = {.ms = ts_ms < limit_ms ? ts_ms : limit_ms};
    if (next.ms == 0)
        next.seq = 1; /* 0-0 is no ID */
    if (store_id_compare(next, last) <= 0) {
        next = last;
        if (++next.seq == 0)
            next.ms++;
    }
    *id = next;
    return next.ms <= limit_ms && next.ms <= ts_ms + skew_ms;
}

static char *put_number(char *p, uint64_t v) {
    char digit[20];
    size_t n = 0;
    do
        digit[n++] = (char)('0' + v % 10);
    while ((v /= 10) != 0);
    while (n > 0)
        *p++ = digit[--n];
    return p;
}

size_t store_id_format(struct store_id id, char out[STORE_ID_TEXT]) {
    char *p = put_number(out, id.ms);
    *p++ = '-';
    p = put_number(p, id.seq);
    *p = '\0';
    return (size_t)(p - out);
}

static bool take_number(const char **p, const char *end, uint64_t *v) {
    const char *first = *p;
    *v = 0;
    for (; *p < end && **p >= '0' && **p <= '9'; ++*p) {
        unsigned d = (unsigned)(**p - '0');
        if (*v > (UINT64_MAX - d) / 10)
            return false;
        *v = *v * 10 + d;
    }
    return *p > first;
}

bool store_id_parse(const char *text, size_t n, struct store_id *id) {
    const char *p = text, *end = text + n;
    if (!take_number(&p, end, &id->ms) || p == end || *p++ != '-')
        return false;
    return take_number(&p, end, &id->seq) && p == end;
}

size_t store_bulk_parse(const char *data, size_t n, const char **value, size_t *length) {
    const char *p = data + 1, *end = data + n;
    uint64_t octets;
    if (n < 6 || *data != '$' || !take_number(&p, end, &octets) || end - p < 2 || p[0] != '\r' ||
        p[1] != '\n')
        return 0;
    p += 2;
    if (octets > (uint64_t)(end - p) || (uint64_t)(end - p) - octets < 2 || p[octets] != '\r' ||
        p[octets + 1] != '\n')
        return 0;
    *value = p;
    *length = (size_t)octets;
    return (size_t)(p - data) + (size_t)octets + 2;
}

/* "1700000000.123456789" */
static bool parse_time(const char *text, size_t n, uint64_t *ns) {
    const char *p = text, *end = text + n;
    uint64_t seconds, fraction;
    if (!take_number(&p, end, &seconds) || end - p != 10 || *p++ != '.' ||
        !take_number(&p, end, &fraction) || p != end)
        return false;
    *ns = seconds * BASE_NS_PER_S + fraction;
    return true;
}

bool store_entry_parse(const char *data, size_t n, unsigned fields, unsigned ts_field,
                       struct store_entry *e) {
    const char *value;
    size_t length, at = store_bulk_parse(data, n, &value, &length);
    if (at == 0 || !store_id_parse(value, length, &e->id))
        return false;
    e->data = data;
    e->values = data + at;
    for (unsigned i = 0; i < fields; i++) {
        size_t octets = store_bulk_parse(data + at, n - at, &value, &length);
        if (octets == 0 || (i == ts_field && !parse_time(value, length, &e->ts_ns)))
            return false;
        at += octets;
    }
    e->octets = at;
    return true;
}
