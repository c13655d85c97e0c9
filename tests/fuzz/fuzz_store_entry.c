/*
 * What comes back from a store may be any octets: entries, members, times, endpoints, causes, JSON.
 *
 * The first octet chooses: the rest as one text for every parser of texts, as members of a group,
 * as a JSON value, or as a reply of the Redis protocol that holds a page of transitions, which go
 * into a table. Checked besides memory: what a parser accepts and what is written from it is the
 * same again; a table counts what it holds.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "probe/query/kinds.h"
#include "probe/query/raw.h"
#include "spanwatch/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_place(struct query_text t) {
    struct query_place p, again;
    char text[BASE_ENDPOINT_TEXT];
    if (!query_place_parse(t, &p))
        return;
    size_t n = query_place_format(&p, text);
    assert(query_place_parse((struct query_text){text, n}, &again));
    assert(memcmp(&p, &again, sizeof p) == 0);
}

static void check_stamp(struct query_text t) {
    uint64_t ns, again;
    char text[BASE_TIME_TEXT];
    if (!query_stamp_parse(t, &ns))
        return;
    size_t n = base_time_format(ns, text);
    assert(query_stamp_parse((struct query_text){text, n}, &again) && again == ns);
}

static void check_texts(struct query_text t) {
    struct query_id id;
    struct query_cause cause;
    uint8_t state[2];
    uint64_t flow;
    check_place(t);
    check_stamp(t);
    query_id_parse(t, &id);
    query_flow_parse(t, &flow);
    if (query_pair_parse(t, state))
        assert(state[0] < TCP_STATES && state[1] < TCP_STATES);
    if (query_cause_parse(t, &cause)) {
        assert(cause.cause < TCP_CAUSES && cause.inferred < TCP_INFERRED_REASONS);
        assert(cause.vlan.n + cause.tunnel.n <= t.n);
    }
}

static void check_members(struct query_text t) {
    struct query_member m;
    size_t n = t.n;
    while (query_member_next(&t, &m) != QUERY_NEXT_NONE) {
        assert(t.n < n); /* it ends */
        n = t.n;
    }
}

static void check_json(struct query_text t) {
    char text[64], string[256];
    struct query_text value = query_raw_path(t, "scope.client");
    assert(value.n == 0 || (value.s >= t.s && value.s + value.n <= t.s + t.n));
    query_raw_string(value, text, sizeof text);
    query_raw_string(query_raw_member(t, "ts"), text, sizeof text);
    size_t n = record_json_string(query_text_copy(t, text, sizeof text), string, sizeof string);
    assert(n < sizeof string && string[0] == '"' && string[n - 1] == '"' && string[n] == '\0');
}

static void check_table(const struct query_table *t) {
    uint32_t live = 0;
    for (uint32_t i = 0; i < t->used; i++) {
        const struct query_conn *c = &t->conn[i];
        live += c->flags & QUERY_LIVE;
        assert(!(c->flags & QUERY_LIVE) || query_table_find(t, c->flow) == c);
        assert(!(c->flags & QUERY_LIVE) || c->state[0] != TCP_CLOSED || c->state[1] != TCP_CLOSED);
    }
    assert(live == t->live);
}

/* A page made of lines, so that a fuzzer reaches the table without knowing lengths: fields apart by
 * tabs, in the contract's order. */
static void check_lines(struct query_text t) {
    static const char *const name[] = {"ts",      "flow",  "client", "server",
                                       "service", "state", "was",    "cause"};
    enum { FIELDS = 8, ENTRIES = 64 };
    redisReply text[2 * FIELDS], *pair[2 * FIELDS], pairs = {.type = REDIS_REPLY_ARRAY},
                                                    id = {.type = REDIS_REPLY_STRING};
    redisReply *both[2] = {&id, &pairs}, entry = {.type = REDIS_REPLY_ARRAY},
               *entries[1] = {&entry}, page = {.type = REDIS_REPLY_ARRAY};
    char *copy = malloc(t.n + 1), *rest = copy, one[] = "1-1";
    assert(copy != NULL);
    memcpy(copy, t.s, t.n);
    copy[t.n] = '\0';
    id.str = one;
    id.len = 3;
    pairs.element = pair;
    pairs.elements = 2 * FIELDS;
    entry.element = both;
    entry.elements = 2;
    page.element = entries;
    page.elements = 1;
    memset(text, 0, sizeof text);
    for (int i = 0; i < 2 * FIELDS; i++) {
        pair[i] = &text[i];
        text[i].type = REDIS_REPLY_STRING;
    }
    struct query_filter filter;
    query_filter_init(&filter);
    struct query_run r = {.match = {.filter = &filter}};
    struct query_table table = {.base_ns = 5};
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        struct query_entry e;
        struct query_step s;
        for (int i = 0; i < FIELDS; i++) {
            union {
                const char *in;
                char *out;
            } key = {name[i]};
            char *value = strsep(&line, "\t"), empty[] = "";
            text[2 * i].str = key.out;
            text[2 * i].len = strlen(name[i]);
            text[2 * i + 1].str = value != NULL ? value : empty;
            text[2 * i + 1].len = value != NULL ? strlen(value) : 0;
            if (value == NULL)
                text[2 * i + 1].str = one + 3;
        }
        if (query_reply_entry(&page, 0, &e) && query_step_parse(&r, &e, &s)) {
            assert(query_table_step(&table, &s, s.ts_ns % 7 != 0));
            query_table_older(&table, &s);
            check_table(&table);
        }
    }
    query_table_fini(&table);
    for (uint32_t i = 0; i < r.services; i++)
        free(r.service[i].name);
    free(r.service);
    free(r.service_slot);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const check[])(struct query_text) = {check_texts, check_members, check_json,
                                                       check_lines};
    if (size == 0)
        return 0;
    char *copy = malloc(size); /* exact, so that reading past the end shows */
    assert(copy != NULL);
    memcpy(copy, data + 1, size - 1);
    struct query_text t = {copy, size - 1};
    check[data[0] % (sizeof check / sizeof *check)](t);
    free(copy);
    return 0;
}
