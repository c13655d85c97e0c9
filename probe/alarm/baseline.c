/*
 * baseline: what is usual for a service at this hour of the week.
 *
 * Each window's value goes into the hour that is going on. When that is over, its values join the
 * cell of its hour of the week: so an hour is never measured by itself. A cell keeps a sample of
 * 16 values, in which newer ones displace older ones; median and MAD are taken over the cell, where
 * it has been filled in three hours or more, else over the seven cells of that hour of the day,
 * else over all. The sample is drawn by a fixed sequence: the same input gives the same alarms.
 *
 * MAD measures how far the nearer half lies from the median; of what is skewed (latencies) or has
 * two levels (a batch each hour) it says nothing. So the value that one in twenty lies above is
 * told too.
 */
#include "engine.h"

#include <stdio.h>

#define HOUR_NS (3600 * BASE_NS_PER_S)

enum {
    DAY_HOURS = 24,
    LEAST_OCCASIONS = 3,
    LEAST_SAME_HOUR = 6,    /* values of an hour of the day that was seen once or twice */
    LEAST_VALUES = 12,      /* of all hours together: two minutes */
    MONDAY = 4 * DAY_HOURS, /* the epoch was a Thursday: its first Monday, in hours */
    TEXT = WEEK_HOURS * 240 + 64
};

static unsigned hour_of_week(uint64_t hour) {
    return (unsigned)((hour + WEEK_HOURS - MONDAY) % WEEK_HOURS);
}

/* Of the n-th value, which place it takes; CELL_VALUES for none. Later ones take one less and less
 * often, but not below one in eight. */
static uint32_t place_of(uint32_t n) {
    uint32_t h = n * 2654435761u;
    h ^= h >> 15;
    uint32_t among = n < CELL_VALUES * 8 ? n : CELL_VALUES * 8;
    return n < CELL_VALUES ? n : (uint32_t)((uint64_t)(h * 2246822519u) * among >> 32);
}

static void cell_add(struct baseline_cell *c, double value) {
    uint32_t at = place_of(c->seen++);
    if (at >= CELL_VALUES)
        return;
    c->value[at] = (float)value;
    if (c->kept <= at)
        c->kept = (uint16_t)(at + 1);
}

static struct baseline_cell *cell_at(struct alarm_engine *a, struct baseline *b, unsigned hour) {
    if (b->week[hour] == NULL && a->baselines.cells < MOST_CELLS) {
        b->week[hour] = calloc(1, sizeof *b->week[hour]);
        a->baselines.cells += b->week[hour] != NULL;
    }
    if (b->week[hour] == NULL)
        a->counters.baselines_full++;
    return b->week[hour];
}

/* The hour is over: its values join those of the same hour in other weeks. */
static void commit(struct alarm_engine *a, struct baseline *b) {
    struct baseline_cell *c = b->now.kept > 0 ? cell_at(a, b, hour_of_week(b->hour)) : NULL;
    for (uint32_t i = 0; c != NULL && i < b->now.kept; i++)
        cell_add(c, b->now.value[i]);
    if (c != NULL && c->occasions < UINT16_MAX)
        c->occasions++;
    b->changed = b->changed || c != NULL;
    b->now = (struct baseline_cell){0};
    b->asked_hour = 0;
}

static void move_to(struct alarm_engine *a, struct baseline *b) {
    uint64_t hour = a->now_ns / HOUR_NS;
    if (hour == b->hour)
        return;
    commit(a, b);
    b->hour = hour;
}

void baseline_add(struct alarm_engine *a, struct baseline *b, double value) {
    if (b == NULL || isnan(value))
        return;
    move_to(a, b);
    cell_add(&b->now, value);
}

static int by_value(const void *x, const void *y) {
    double p = *(const double *)x, q = *(const double *)y;
    return p < q ? -1 : p > q;
}

static double middle(double *value, size_t n) {
    qsort(value, n, sizeof *value, by_value);
    return n % 2 ? value[n / 2] : (value[n / 2 - 1] + value[n / 2]) / 2;
}

/* The values of every step-th cell from `first` on; the hours that they come from. */
static unsigned gather(const struct baseline *b, unsigned first, unsigned step, double *value,
                       size_t *n) {
    unsigned occasions = 0;
    *n = 0;
    for (unsigned hour = first; hour < WEEK_HOURS; hour += step) {
        const struct baseline_cell *c = b->week[hour];
        if (c == NULL)
            continue;
        occasions += c->occasions;
        for (unsigned i = 0; i < c->kept; i++)
            value[(*n)++] = c->value[i];
    }
    return occasions;
}

static void summarize(double *value, size_t n, struct usual *u) {
    u->median = middle(value, n);
    u->high = value[n - 1 - n / 20];
    for (size_t i = 0; i < n; i++)
        value[i] = fabs(value[i] - u->median);
    u->mad = middle(value, n);
}

static void measure(struct alarm_engine *a, struct baseline *b) {
    double value[WEEK_HOURS * CELL_VALUES];
    size_t n;
    unsigned hour = hour_of_week(b->hour);
    double history_h = a->config.history_hours;
    b->known = b->hour_known = false;
    if (gather(b, hour, WEEK_HOURS, value, &n) < LEAST_OCCASIONS &&
        gather(b, hour % DAY_HOURS, DAY_HOURS, value, &n) < LEAST_OCCASIONS) {
        if (a->baselines.since_ns == 0 ||
            (double)(a->now_ns - a->baselines.since_ns) < history_h * (double)HOUR_NS)
            return;
        b->hour_known = n >= LEAST_SAME_HOUR;
        if (b->hour_known)
            summarize(value, n, &b->same_hour);
        gather(b, 0, 1, value, &n);
    }
    if (n < LEAST_VALUES)
        return;
    summarize(value, n, &b->usual);
    b->known = true;
}

bool baseline_get(struct alarm_engine *a, struct baseline *b, enum baseline_side side,
                  struct usual *u) {
    if (b == NULL)
        return false;
    move_to(a, b);
    uint64_t ask = a->now_ns / (HOUR_NS / 4) + 1; /* the history may become long enough meanwhile */
    if (b->asked_hour != ask) {
        b->asked_hour = ask;
        measure(a, b);
    }
    *u = b->usual;
    if (!b->known || !b->hour_known)
        return b->known;
    const struct usual *same = &b->same_hour;
    if (side == BASELINE_ABOVE ? same->median > u->median : same->median < u->median)
        u->median = same->median;
    u->mad = fmax(u->mad, same->mad);
    u->high = fmax(u->high, same->high);
    return true;
}

struct baseline *baseline_find(struct alarm_engine *a, const char *key, bool make) {
    struct baselines *all = &a->baselines;
    uint32_t tag = index_hash(key, strlen(key), 0), at = tag;
    for (int64_t i; (i = index_next(&all->index, tag, &at)) != NONE;)
        if (strcmp(all->series[i]->key, key) == 0)
            return all->series[i];
    if (!make || all->count >= MOST_SERIES) {
        a->counters.baselines_full += make;
        return NULL;
    }
    if (all->count == all->room) {
        size_t room = all->room ? all->room * 2 : 64;
        struct baseline **grown = reallocarray(all->series, room, sizeof *grown);
        if (grown == NULL)
            return NULL;
        all->series = grown;
        all->room = room;
    }
    struct baseline *b = calloc(1, sizeof *b);
    if (b == NULL || index_insert(&all->index, tag, (uint32_t)all->count) != 0) {
        free(b);
        return NULL;
    }
    snprintf(b->key, sizeof b->key, "%s", key);
    b->hour = a->now_ns / HOUR_NS;
    all->series[all->count++] = b;
    return b;
}

struct baseline *service_series(struct alarm_engine *a, int64_t i, int series, bool make) {
    static const char *const word[] = {"handshake_server", "handshake_client", "reply", "clients",
                                       "half_open"};
    struct service *s = &a->service[i];
    char key[128], endpoint[BASE_ENDPOINT_TEXT];
    if (s->series[series] != NULL || (s->series_asked[series] && !make))
        return s->series[series];
    if (s->name == NULL)
        base_endpoint_format(&s->server, s->port, endpoint);
    snprintf(key, sizeof key, "%s %s", word[series], s->name != NULL ? s->name : endpoint);
    s->series_asked[series] = true;
    s->series[series] = baseline_find(a, key, make);
    return s->series[series];
}

void baselines_fini(struct baselines *b) {
    for (size_t i = 0; i < b->count; i++) {
        for (unsigned hour = 0; hour < WEEK_HOURS; hour++)
            free(b->series[i]->week[hour]);
        free(b->series[i]);
    }
    free(b->series);
    index_fini(&b->index);
}

/* ---- as text: {"since":UNIX_S,"hours":{"17":[occasions,value,...],...}} ---- */

static size_t write_cell(const struct baseline_cell *c, unsigned hour, bool first, char *out,
                         size_t size) {
    size_t n = (size_t)snprintf(out, size, "%s\"%u\":[%u", first ? "" : ",", hour, c->occasions);
    for (unsigned i = 0; i < c->kept && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, ",%.6g", (double)c->value[i]);
    if (n < size)
        n += (size_t)snprintf(out + n, size - n, "]");
    return n;
}

void alarm_each_baseline(struct alarm_engine *a, bool changed_only, alarm_baseline_sink *sink,
                         void *context) {
    char *text = malloc(TEXT);
    for (size_t i = 0; text != NULL && i < a->baselines.count; i++) {
        struct baseline *b = a->baselines.series[i];
        bool first = true;
        if (changed_only && !b->changed)
            continue;
        b->changed = false;
        size_t n = (size_t)snprintf(text, TEXT, "{\"since\":%llu,\"hours\":{",
                                    (unsigned long long)(a->baselines.since_ns / BASE_NS_PER_S));
        for (unsigned hour = 0; hour < WEEK_HOURS && n < TEXT; hour++) {
            if (b->week[hour] == NULL || b->week[hour]->kept == 0)
                continue;
            n += write_cell(b->week[hour], hour, first, text + n, TEXT - n);
            first = false;
        }
        if (n < TEXT)
            snprintf(text + n, TEXT - n, "}}");
        sink(context, b->key, text);
    }
    free(text);
}

bool alarm_baselines_changed(const struct alarm_engine *a) {
    for (size_t i = 0; i < a->baselines.count; i++)
        if (a->baselines.series[i]->changed)
            return true;
    return false;
}

static bool take_cell(struct alarm_engine *a, struct baseline *b, const char **p) {
    char *end;
    unsigned long hour = strtoul(*p + 1, &end, 10);
    if (**p != '"' || end == *p + 1 || hour >= WEEK_HOURS || strncmp(end, "\":[", 3) != 0)
        return false;
    unsigned long occasions = strtoul(end + 3, &end, 10);
    struct baseline_cell *c = cell_at(a, b, (unsigned)hour), read = {0};
    if (c == NULL || occasions > UINT16_MAX)
        return false;
    while (*end == ',' && read.kept < CELL_VALUES) {
        const char *from = end + 1;
        double value = strtod(from, &end);
        if (end == from || !isfinite(value))
            return false;
        read.value[read.kept++] = (float)value;
    }
    read.occasions = (uint16_t)occasions;
    read.seen = read.kept;
    if (*end != ']')
        return false;
    if (c->occasions == 0) /* what was learned since is newer */
        *c = read;
    *p = end + 1;
    return true;
}

bool alarm_take_baseline(struct alarm_engine *a, const char *key, const char *json) {
    static const char head[] = "{\"since\":", middle_text[] = ",\"hours\":{";
    char *end;
    if (strncmp(json, head, sizeof head - 1) != 0)
        return false;
    unsigned long long since = strtoull(json + sizeof head - 1, &end, 10);
    if (strncmp(end, middle_text, sizeof middle_text - 1) != 0 || since > UINT32_MAX)
        return false;
    struct baseline *b = baseline_find(a, key, true);
    const char *p = end + sizeof middle_text - 1;
    if (b == NULL)
        return false;
    while (*p == '"') {
        if (!take_cell(a, b, &p))
            return false;
        p += *p == ',';
    }
    b->asked_hour = 0;
    uint64_t since_ns = since * BASE_NS_PER_S;
    if (since != 0 && (a->baselines.since_ns == 0 || since_ns < a->baselines.since_ns))
        a->baselines.since_ns = since_ns;
    return strcmp(p, "}}") == 0;
}
