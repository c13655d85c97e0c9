/*
 * `clients` and `summary`: connections of a moment, counted by groups.
 *
 * Groups lie in one hash table, keyed by what they are grouped by as one text (cells apart by NUL);
 * more than QUERY_GROUPS are refused. A summary that needs no clients, of one probe, is counted
 * from the snapshot's groups where that is exact (counts.c); otherwise connections are counted one
 * by one.
 */
#include "groups.h"

#include "spanwatch/record.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_TEXT = 2048, FIRST_SLOTS = 1024, SERVICES_MOST = 512, CELL_TEXT = 40 << 10 };

static const uint64_t hash_key[2] = {UINT64_C(0x67726f7570), UINT64_C(0x636f756e74)};

static bool grow(struct query_groups *g) {
    size_t slots = g->slots > 0 ? g->slots * 2 : FIRST_SLOTS;
    struct query_group **slot = calloc(slots, sizeof *slot);
    if (slot == NULL)
        return false;
    for (size_t i = 0; i < g->slots; i++) {
        if (g->slot[i] == NULL)
            continue;
        size_t at = base_siphash(hash_key, g->slot[i]->key, g->slot[i]->n) & (slots - 1);
        while (slot[at] != NULL)
            at = (at + 1) & (slots - 1);
        slot[at] = g->slot[i];
    }
    free(g->slot);
    g->slot = slot;
    g->slots = slots;
    return true;
}

struct query_group *query_group_find(struct query_groups *g, const char *key, size_t n,
                                     struct base_error *error) {
    if (g->count * 2 >= g->slots && !grow(g)) {
        base_error_set(error, "query", "out of memory");
        return NULL;
    }
    size_t at = base_siphash(hash_key, key, n) & (g->slots - 1);
    for (; g->slot[at] != NULL; at = (at + 1) & (g->slots - 1))
        if (g->slot[at]->n == n && memcmp(g->slot[at]->key, key, n) == 0)
            return g->slot[at];
    if (g->count == QUERY_GROUPS) {
        base_error_set(error, "query",
                       "the answer has more than %d groups; ask for fewer with --client, "
                       "--server, --service or --state",
                       QUERY_GROUPS);
        return NULL;
    }
    struct query_group *fresh = calloc(1, sizeof *fresh + n);
    if (fresh == NULL) {
        base_error_set(error, "query", "out of memory");
        return NULL;
    }
    memcpy(fresh->key, key, n);
    fresh->n = n;
    g->slot[at] = fresh;
    g->count++;
    return fresh;
}

void query_groups_clear(struct query_groups *g) {
    for (size_t i = 0; i < g->slots; i++) {
        if (g->slot[i] != NULL)
            free(g->slot[i]->state);
        free(g->slot[i]);
    }
    free(g->slot);
    *g = (struct query_groups){0};
}

static size_t put_cell(char *key, size_t n, const char *text) {
    size_t room = KEY_TEXT - n;
    if (room < 2)
        return n;
    query_text_copy((struct query_text){text, strlen(text)}, key + n, room);
    return n + strlen(key + n) + 1;
}

/* One cell of a summary's key. */
static size_t put_by(struct query_run *r, size_t i, const struct query_what_counts *w, char *key,
                     size_t n) {
    char text[2 * 64], value[512];
    struct base_addr a = {.family = w->client.family};
    switch (r->ask->by[i].by) {
    case QUERY_BY_SERVICE:
        return put_cell(key, n, r->service[w->service].name);
    case QUERY_BY_STATE:
        snprintf(text, sizeof text, "%s/%s", tcp_state_name(w->state[0]),
                 tcp_state_name(w->state[1]));
        return put_cell(key, n, text);
    case QUERY_BY_CLIENT:
        memcpy(a.octet, w->client.octet, sizeof a.octet);
        base_addr_format(&a, text);
        return put_cell(key, n, text);
    case QUERY_BY_SERVER:
        query_place_format(&w->server, text);
        return put_cell(key, n, text);
    default:
        return put_cell(key, n,
                        query_names_value(r->names, r->service[w->service].name, r->ask->by[i].key,
                                          value, sizeof value));
    }
}

int query_group_count(struct query_run *r, struct query_groups *g,
                      const struct query_what_counts *w, int64_t n, struct base_error *error) {
    char key[KEY_TEXT];
    size_t length = 0;
    for (size_t i = 0; i < r->ask->by_count; i++)
        length = put_by(r, i, w, key, length);
    struct query_group *group = query_group_find(g, key, length, error);
    if (group == NULL)
        return -1;
    group->count += n;
    return 0;
}

/* A client's connections: services and pairs of states, each with its number. */
struct query_state_count {
    uint32_t service;
    uint8_t state[2];
    uint64_t n;
};

static int count_state(struct query_group *g, uint32_t service, const uint8_t state[2],
                       struct base_error *error) {
    for (size_t i = 0; i < g->states; i++) {
        struct query_state_count *c = &g->state[i];
        if (c->service == service && memcmp(c->state, state, 2) == 0) {
            c->n++;
            return 0;
        }
    }
    struct query_state_count *bigger = reallocarray(g->state, g->states + 1, sizeof *bigger);
    if (bigger == NULL)
        return base_error_set(error, "query", "out of memory");
    g->state = bigger;
    g->state[g->states++] =
        (struct query_state_count){.service = service, .state = {state[0], state[1]}, .n = 1};
    return 0;
}

static uint64_t newest_ns(const struct query_conn *c) {
    uint64_t ns = c->since_ns[0] > c->since_ns[1] ? c->since_ns[0] : c->since_ns[1];
    return c->pair_ns > ns ? c->pair_ns : ns;
}

struct counting {
    struct query_run *run;
    struct query_groups groups;
    struct query_cells cells;
};

static int count_client(struct counting *c, const struct query_merged *m,
                        struct base_error *error) {
    char key[1 + sizeof m->conn->client.octet];
    key[0] = (char)m->conn->client.family;
    memcpy(key + 1, m->conn->client.octet, sizeof m->conn->client.octet);
    struct query_group *g = query_group_find(&c->groups, key, sizeof key, error);
    if (g == NULL)
        return -1;
    uint64_t ns = newest_ns(m->conn);
    g->last_ns = ns > g->last_ns ? ns : g->last_ns;
    g->count++;
    return count_state(g, m->conn->service, m->conn->state, error);
}

static int take_slice(void *context, struct query_slice *s, struct base_error *error) {
    struct counting *c = context;
    for (size_t i = 0; i < s->rows; i++) {
        const struct query_conn *n = s->row[i].conn;
        struct query_what_counts w = {.client = n->client,
                                      .server = n->server,
                                      .service = n->service,
                                      .state = {n->state[0], n->state[1]}};
        int result = c->run->ask->what == QUERY_CLIENTS
                         ? count_client(c, &s->row[i], error)
                         : query_group_count(c->run, &c->groups, &w, 1, error);
        if (result != 0)
            return -1;
    }
    return 0;
}

/* The highest count first, then by key. */
static int compare_counts(const void *x, const void *y) {
    const struct query_group *const *a = x, *const *b = y;
    if ((*a)->count != (*b)->count)
        return (*a)->count > (*b)->count ? -1 : 1;
    size_t n = (*a)->n < (*b)->n ? (*a)->n : (*b)->n;
    int order = memcmp((*a)->key, (*b)->key, n);
    return order != 0 ? order : ((*a)->n > (*b)->n) - ((*a)->n < (*b)->n);
}

static int compare_keys(const void *x, const void *y) {
    const struct query_group *const *a = x, *const *b = y;
    return memcmp((*a)->key, (*b)->key, (*a)->n); /* clients: all of one length */
}

/* Groups to the front of the table, in order; nothing is looked up any more. */
static void sort(struct query_groups *g, int (*compare)(const void *, const void *)) {
    size_t out = 0;
    for (size_t i = 0; i < g->slots; i++)
        if (g->slot[i] != NULL) {
            struct query_group *group = g->slot[i];
            g->slot[i] = NULL;
            g->slot[out++] = group;
        }
    if (out > 0)
        qsort(g->slot, out, sizeof *g->slot, compare);
}

static void give_summary(struct counting *c) {
    struct query_run *r = c->run;
    sort(&c->groups, compare_counts);
    for (size_t i = 0; i < c->groups.count; i++) {
        const struct query_group *g = c->groups.slot[i];
        const char *key = g->key;
        if (g->count <= 0)
            continue;
        query_cells_clear(&c->cells);
        for (size_t k = 0; k < r->ask->by_count; k++) {
            query_cell_text(&c->cells, key);
            key += strlen(key) + 1;
        }
        query_cell_number(&c->cells, (uint64_t)g->count);
        if (!query_give(r, c->cells.cell, NULL))
            return;
    }
}

static int compare_names(const void *x, const void *y) {
    const char *const *a = x, *const *b = y;
    return strcmp(*a, *b);
}

/* ["https","ssh"]; how many of them there was no room for. */
static size_t put_services(const struct query_run *r, const struct query_group *g, char *out,
                           size_t size) {
    const char *name[SERVICES_MOST];
    size_t names = 0, left_out = 0, n = 0;
    for (size_t i = 0; i < g->states; i++) {
        const char *text = r->service[g->state[i].service].name;
        size_t k = 0;
        while (k < names && strcmp(name[k], text) != 0)
            k++;
        if (k == SERVICES_MOST)
            left_out++; /* once a state */
        else if (k == names)
            name[names++] = text;
    }
    qsort(name, names, sizeof *name, compare_names);
    out[n++] = '[';
    for (size_t i = 0; i < names; i++) {
        if (n + 6 * SERVICE_NAME_MAX >= size) {
            left_out += names - i;
            break;
        }
        if (i > 0)
            out[n++] = ',';
        n += record_json_string(name[i], out + n, size - n - 2);
    }
    out[n++] = ']';
    out[n] = '\0';
    return left_out;
}

/* {"ESTABLISHED/ESTABLISHED":3} */
static void put_states(const struct query_group *g, char *out, size_t size) {
    uint64_t count[TCP_STATES][TCP_STATES] = {{0}};
    size_t n = 0;
    for (size_t i = 0; i < g->states; i++)
        count[g->state[i].state[0]][g->state[i].state[1]] += g->state[i].n;
    out[n++] = '{';
    for (int a = 0; a < TCP_STATES; a++)
        for (int b = 0; b < TCP_STATES; b++)
            if (count[a][b] > 0 && n + 96 < size)
                n += (size_t)snprintf(out + n, size - n, "%s\"%s/%s\":%llu", n > 1 ? "," : "",
                                      tcp_state_name((enum tcp_state)a),
                                      tcp_state_name((enum tcp_state)b),
                                      (unsigned long long)count[a][b]);
    out[n++] = '}';
    out[n] = '\0';
}

static void give_clients(struct counting *c) {
    struct query_run *r = c->run;
    char text[CELL_TEXT], address[BASE_ADDR_TEXT];
    sort(&c->groups, compare_keys);
    for (size_t i = 0; i < c->groups.count; i++) {
        const struct query_group *g = c->groups.slot[i];
        struct query_place place = {.family = (uint8_t)g->key[0]};
        struct base_addr a = {.family = place.family};
        memcpy(place.octet, g->key + 1, sizeof place.octet);
        memcpy(a.octet, place.octet, sizeof a.octet);
        base_addr_format(&a, address);
        query_cells_clear(&c->cells);
        query_cell_text(&c->cells, address);
        query_cell_text(&c->cells, query_names_client(r->names, &place));
        if (put_services(r, g, text, sizeof text) > 0)
            query_warn(r, "client %s has more services than a row has room for", address);
        query_cell_text(&c->cells, text);
        put_states(g, text, sizeof text);
        query_cell_text(&c->cells, text);
        query_cell_time(&c->cells, g->last_ns);
        if (!query_give(r, c->cells.cell, NULL))
            return;
    }
}

static const struct query_column client_column[] = {{"client", QUERY_TEXT},
                                                    {"name", QUERY_TEXT},
                                                    {"services", QUERY_JSON},
                                                    {"states", QUERY_JSON},
                                                    {"last_seen", QUERY_TIME}};
enum { CLIENT_COLUMNS = sizeof client_column / sizeof *client_column };

/* The columns of a summary: its keys, in the order asked for. "cmdb.KEY" is put into `names`. */
static size_t summary_columns(const struct query_ask *a, struct query_column *column,
                              char names[QUERY_BY_MOST][64]) {
    static const char *const name[] = {"service", "state", "client", "server"};
    for (size_t i = 0; i < a->by_count; i++) {
        column[i] = (struct query_column){.cell = QUERY_TEXT};
        if (a->by[i].by == QUERY_BY_CMDB) {
            snprintf(names[i], sizeof names[i], "cmdb.%s", a->by[i].key);
            column[i].name = names[i];
        } else {
            column[i].name = name[a->by[i].by];
        }
    }
    column[a->by_count] = (struct query_column){"count", QUERY_NUMBER};
    return a->by_count + 1;
}

static int count_summary(struct counting *c, struct base_error *error) {
    bool exact = false;
    if (query_counts_may(c->run)) {
        if (query_counts_read(c->run, &c->groups, &exact, error) != 0)
            return -1;
        if (exact)
            return 0;
        query_groups_clear(&c->groups);
    }
    return query_each_slice(c->run, QUERY_MOMENT_AT, false, take_slice, c, error);
}

int query_run_groups(struct query_run *r, struct base_error *error) {
    bool clients = r->ask->what == QUERY_CLIENTS;
    struct query_column column[QUERY_BY_MOST + 1];
    char names[QUERY_BY_MOST][64];
    struct counting *c = calloc(1, sizeof *c);
    if (c == NULL)
        return base_error_set(error, "query", "out of memory");
    c->run = r;
    size_t columns = clients ? CLIENT_COLUMNS : summary_columns(r->ask, column, names);
    int result = query_begin(r, clients ? client_column : column, columns, error);
    if (result == 0)
        result = clients ? query_each_slice(r, QUERY_MOMENT_AT, false, take_slice, c, error)
                         : count_summary(c, error);
    if (result == 0 && clients)
        give_clients(c);
    else if (result == 0)
        give_summary(c);
    query_groups_clear(&c->groups);
    free(c);
    return result;
}
