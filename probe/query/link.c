/*
 * Commands, replies and pages (link.h).
 *
 * XRANGE with COUNT is all that reads streams: a page keeps Redis busy for a few milliseconds, and
 * the next page is asked for before this one is looked at. Nothing that blocks, no KEYS, no script.
 */
#include "link.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    UNDER_WAY = 16,          /* pages asked for and not yet here */
    PAGE_OCTETS = 256 << 10, /* aimed at, where entries are large */
    ID_TEXT = 48,
    HASH_PAGE = 500
};

int query_link_open(struct query_link *l, const struct redis_url *url, unsigned timeout_ms,
                    struct base_error *error) {
    query_link_close(l);
    l->c = redis_open(url, timeout_ms, error);
    if (l->c != NULL)
        query_reply_prepare(l->c, &l->arena);
    return l->c != NULL ? 0 : -1;
}

void query_link_close(struct query_link *l) {
    if (l->c != NULL)
        redisFree(l->c);
    l->c = NULL;
}

static struct query_text text_of(const redisReply *r) {
    if (r == NULL || (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS))
        return (struct query_text){"", 0};
    return (struct query_text){r->str, (size_t)r->len};
}

void query_entry_fields(const struct query_entry *e, const char *const *name, size_t n,
                        struct query_text *out) {
    const redisReply *p = e->pairs;
    for (size_t i = 0; i < n; i++) {
        /* The contract's order is tried first, then every other place. */
        out[i] = (struct query_text){"", 0};
        for (size_t k = 0; k < p->elements / 2; k++) {
            size_t at = (i + k) % (p->elements / 2);
            if (query_text_is(text_of(p->element[2 * at]), name[i])) {
                out[i] = text_of(p->element[2 * at + 1]);
                break;
            }
        }
    }
}

static int fail_link(const struct query_link *l, struct base_error *error) {
    return base_error_set(error, l->shown, "the connection to the store failed: %s", l->c->errstr);
}

static int fail_reply(const struct query_link *l, const redisReply *r, struct base_error *error) {
    if (strncmp(r->str, "MOVED", 5) == 0)
        return base_error_set(error, l->shown,
                              "this is a node of a Redis Cluster, which holds other parts of the "
                              "store elsewhere; allowed is a store on one server");
    return base_error_set(error, l->shown, "the server refused a command: %.200s", r->str);
}

redisReply *query_any_reply(struct query_link *l, struct base_error *error) {
    void *reply = NULL;
    if (redisGetReply(l->c, &reply) != REDIS_OK || reply == NULL) {
        fail_link(l, error);
        return NULL;
    }
    return reply;
}

redisReply *query_range_reply(struct query_link *l, struct base_error *error) {
    redisReply *r = query_any_reply(l, error);
    if (r == NULL || r->type == REDIS_REPLY_ARRAY)
        return r;
    if (r->type == REDIS_REPLY_ERROR)
        fail_reply(l, r, error);
    else
        base_error_set(error, l->shown, "the server answers otherwise than Redis does");
    query_reply_free(r);
    return NULL;
}

redisReply *query_command(struct query_link *l, struct base_error *error, int argc,
                          const char **argv) {
    if (redisAppendCommandArgv(l->c, argc, argv, NULL) != REDIS_OK) {
        fail_link(l, error);
        return NULL;
    }
    redisReply *r = query_any_reply(l, error);
    if (r == NULL || r->type != REDIS_REPLY_ERROR)
        return r;
    fail_reply(l, r, error);
    query_reply_free(r);
    return NULL;
}

static const char *format_id(const struct query_id *id, char out[ID_TEXT]) {
    if (id->ms == UINT64_MAX)
        return "+";
    if (id->seq == UINT64_MAX)
        snprintf(out, ID_TEXT, "%" PRIu64, id->ms);
    else
        snprintf(out, ID_TEXT, "%" PRIu64 "-%" PRIu64, id->ms, id->seq);
    return out;
}

int query_range_send(struct query_link *l, const char *key, const struct query_range *r,
                     struct base_error *error) {
    char from[ID_TEXT], to[ID_TEXT], count[16];
    bool forward = r->direction == QUERY_FORWARD;
    snprintf(count, sizeof count, "%u", r->count);
    const char *argv[] = {forward ? "XRANGE" : "XREVRANGE",
                          key,
                          format_id(&r->from, from),
                          format_id(&r->to, to),
                          "COUNT",
                          count};
    if (redisAppendCommandArgv(l->c, 6, argv, NULL) != REDIS_OK)
        return fail_link(l, error);
    return 0;
}

bool query_reply_entry(const redisReply *page, size_t i, struct query_entry *e) {
    if (i >= page->elements)
        return false;
    const redisReply *r = page->element[i];
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 ||
        r->element[1]->type != REDIS_REPLY_ARRAY)
        return false;
    e->pairs = r->element[1];
    return query_id_parse(text_of(r->element[0]), &e->id);
}

/* Pages under way, in the order in which they were asked for. */
struct flight {
    struct query_link *link;
    struct query_scan *scan[UNDER_WAY];
    size_t first, count;
};

static int ask(struct flight *f, struct query_scan *s, struct base_error *error) {
    struct query_range r = {.from = s->from,
                            .to = {s->to_ms, UINT64_MAX},
                            .direction = QUERY_FORWARD,
                            .count = s->page};
    f->scan[(f->first + f->count++) % UNDER_WAY] = s;
    return query_range_send(f->link, s->key, &r, error);
}

/* Let Redis begin while we work: hiredis alone would send when we next wait. */
static int send_now(struct flight *f, struct base_error *error) {
    int done = 0;
    while (done == 0)
        if (redisBufferWrite(f->link->c, &done) != REDIS_OK)
            return fail_link(f->link, error);
    return 0;
}

static size_t octets_of(const redisReply *page) {
    size_t n = 0;
    for (size_t i = 0; i < page->elements; i++) {
        struct query_entry e;
        for (size_t k = 0; query_reply_entry(page, i, &e) && k < e.pairs->elements; k++)
            n += text_of(e.pairs->element[k]).n;
    }
    return n;
}

static void adapt(struct query_scan *s, const redisReply *page) {
    size_t wanted = PAGE_OCTETS * page->elements / (octets_of(page) + 1);
    s->page = wanted < 1 ? 1 : wanted > QUERY_PAGE ? QUERY_PAGE : (unsigned)wanted;
}

/* Ask for what follows a page, if anything may. */
static int ask_next(struct flight *f, struct query_scan *s, const redisReply *page,
                    struct base_error *error) {
    struct query_entry last;
    if (page->elements < s->page || !query_reply_entry(page, page->elements - 1, &last)) {
        s->done = true;
        return 0;
    }
    s->from = last.id;
    if (++s->from.seq == 0)
        s->from.ms++;
    if (s->large)
        adapt(s, page);
    return ask(f, s, error);
}

static int take_page(struct flight *f, query_scan_handler *handler, struct base_error *error) {
    struct query_scan *s = f->scan[f->first];
    redisReply *page = query_range_reply(f->link, error);
    f->first = (f->first + 1) % UNDER_WAY;
    f->count--;
    if (page == NULL)
        return -1;
    bool enough = s->done;
    int result = enough ? 0 : ask_next(f, s, page, error);
    if (result == 0)
        result = send_now(f, error);
    for (size_t i = 0; result == 0 && !enough && i < page->elements; i++) {
        struct query_entry e;
        if (!query_reply_entry(page, i, &e))
            result = base_error_set(error, f->link->shown,
                                    "an entry of %s is none that Redis would give", s->key);
        else
            enough = !handler(s, &e);
    }
    s->done = s->done || enough;
    query_reply_free(page);
    return result;
}

int query_scan_run(struct query_link *l, struct query_scan *scan, size_t n,
                   query_scan_handler *handler, struct base_error *error) {
    struct flight f = {.link = l};
    size_t started = 0;
    for (size_t i = 0; i < n; i++)
        scan[i].done = false;
    while (started < n || f.count > 0) {
        /* One place stays free for the page that follows the one to be taken. */
        while (started < n && f.count < UNDER_WAY - 1)
            if (ask(&f, &scan[started++], error) != 0)
                return -1;
        if (send_now(&f, error) != 0 || take_page(&f, handler, error) != 0)
            return -1;
    }
    return 0;
}

/* The pairs of one HSCAN reply; the cursor for the next. */
static int take_pairs(struct query_link *l, const redisReply *r, query_pair_handler *handler,
                      void *context, char cursor[ID_TEXT], struct base_error *error) {
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 ||
        r->element[1]->type != REDIS_REPLY_ARRAY)
        return base_error_set(error, l->shown, "the server answers otherwise than Redis does");
    query_text_copy(text_of(r->element[0]), cursor, ID_TEXT);
    const redisReply *pairs = r->element[1];
    for (size_t i = 0; i + 1 < pairs->elements; i += 2)
        if (handler(context, text_of(pairs->element[i]), text_of(pairs->element[i + 1])) != 0)
            return base_error_set(error, l->shown, "out of memory");
    return 0;
}

int query_hash_each(struct query_link *l, const char *key, query_pair_handler *handler,
                    void *context, struct base_error *error) {
    char cursor[ID_TEXT] = "0", count[16];
    snprintf(count, sizeof count, "%d", HASH_PAGE);
    do {
        const char *argv[] = {"HSCAN", key, cursor, "COUNT", count};
        redisReply *r = query_command(l, error, 5, argv);
        if (r == NULL)
            return -1;
        int result = take_pairs(l, r, handler, context, cursor, error);
        query_reply_free(r);
        if (result != 0)
            return -1;
    } while (strcmp(cursor, "0") != 0);
    return 0;
}
