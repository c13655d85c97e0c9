/*
 * Filters: from texts, and against rows (filter.h, query.h). Pure but for the names it borrows.
 */
#include "filter.h"

#include <string.h>

void query_filter_init(struct query_filter *f) {
    *f = (struct query_filter){.state = -1, .client_state = -1, .server_state = -1};
}

static bool parse_port(const char *text, uint16_t *port) {
    uint64_t n;
    if (!base_uint_parse(text, UINT16_MAX, &n) || n == 0)
        return false;
    *port = (uint16_t)n;
    return true;
}

/* "[...]" : the address inside the brackets to `address`, what follows in *rest. */
static bool split_brackets(const char *text, char *address, size_t size, const char **rest) {
    const char *end = strchr(text, ']');
    if (end == NULL || (size_t)(end - text) >= size)
        return false;
    query_text_copy((struct query_text){text + 1, (size_t)(end - text - 1)}, address, size);
    *rest = end + 1;
    if (**rest == '/') { /* the length may stand outside too: [2001:db8::]/32:443 */
        size_t n = strlen(address), length = strcspn(*rest, ":");
        if (strchr(address, '/') != NULL || n + length >= size)
            return false;
        query_text_copy((struct query_text){*rest, length}, address + n, size - n);
        *rest += length;
    }
    return true;
}

static bool parse_address(const char *text, struct query_endpoint *e) {
    char address[64];
    const char *rest = "";
    const char *colon = strchr(text, ':');
    bool is_v6 = colon != NULL && strchr(colon + 1, ':') != NULL;
    if (*text == '[') {
        if (!split_brackets(text, address, sizeof address, &rest))
            return false;
        is_v6 = true;
    } else {
        size_t n = colon != NULL && !is_v6 ? (size_t)(colon - text) : strlen(text);
        if (n >= sizeof address)
            return false;
        query_text_copy((struct query_text){text, n}, address, sizeof address);
        rest = text + n;
    }
    if (*rest != '\0' && (*rest != ':' || !parse_port(rest + 1, &e->port)))
        return false;
    if (address[0] == '\0')
        return e->port != 0 && *text != '[';
    return base_cidr_parse(address, &e->addr, &e->prefix_length) && (e->addr.family == 6) == is_v6;
}

/* A word that no wrongly written address would be. */
static bool is_name(const char *text) {
    size_t n = strlen(text), letters = 0;
    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
        letters += strchr("0123456789.:/[]", *p) == NULL;
    }
    return letters > 0 && n < sizeof((struct query_endpoint *)NULL)->name;
}

bool query_endpoint_parse(const char *text, bool names, struct query_endpoint *e) {
    *e = (struct query_endpoint){.is_given = true};
    if (parse_address(text, e))
        return true;
    *e = (struct query_endpoint){.is_given = true};
    if (!names || !is_name(text))
        return false;
    query_text_copy((struct query_text){text, strlen(text)}, e->name, sizeof e->name);
    return true;
}

int query_match_init(struct query_match *m, const struct query_filter *f,
                     const struct query_names *names, struct base_error *error) {
    struct base_addr addr;
    unsigned length;
    *m = (struct query_match){.filter = f, .names = names};
    if (f->client.name[0] != '\0' && query_names_find(names, f->client.name, &addr, &length) == 0)
        return base_error_set(error, "--client",
                              "found \"%s\", which is no client's name in this store; allowed are "
                              "such a name, or IP[/LEN][:PORT]",
                              f->client.name);
    return 0;
}

bool query_match_exact_client(const struct query_match *m, struct base_addr *client) {
    const struct query_endpoint *e = &m->filter->client;
    unsigned length = e->prefix_length;
    *client = e->addr;
    if (!e->is_given)
        return false;
    if (e->name[0] != '\0' && query_names_find(m->names, e->name, client, &length) != 1)
        return false;
    return client->family != 0 && length == (client->family == 4 ? 32u : 128u);
}

static bool match_place(const struct query_match *m, const struct query_endpoint *e,
                        const struct query_place *p) {
    struct base_addr a = {.family = p->family};
    if (!e->is_given)
        return true;
    if (e->name[0] != '\0')
        return strcmp(query_names_client(m->names, p), e->name) == 0;
    memcpy(a.octet, p->octet, sizeof a.octet);
    return (e->port == 0 || e->port == p->port) &&
           (e->addr.family == 0 || base_addr_in(&a, &e->addr, e->prefix_length));
}

bool query_match_places(const struct query_match *m, const struct query_place *client,
                        const struct query_place *server) {
    return match_place(m, &m->filter->client, client) && match_place(m, &m->filter->server, server);
}

bool query_match_service(const struct query_match *m, const char *service) {
    const struct query_filter *f = m->filter;
    char value[256];
    if (f->service != NULL && strcmp(f->service, service) != 0)
        return false;
    for (size_t i = 0; i < f->cmdb_count; i++)
        if (strcmp(query_names_value(m->names, service, f->cmdb[i].key, value, sizeof value),
                   f->cmdb[i].value) != 0)
            return false;
    return true;
}

bool query_match_states(const struct query_match *m, const uint8_t state[2]) {
    const struct query_filter *f = m->filter;
    return (f->state < 0 || f->state == state[0] || f->state == state[1]) &&
           (f->client_state < 0 || f->client_state == state[0]) &&
           (f->server_state < 0 || f->server_state == state[1]);
}
