/*
 * Where a stream really ends, and where to go on: asked after every break.
 *
 * The server's answer is the stream's last ID, its length, its last entry. Four cases: that entry
 * is one of ours (what stands up to it is stored, what stands behind it is not, whatever was
 * acknowledged before); it is the one before all that we hold (nothing is stored); it lies before
 * that (the store lost more than is kept: that is a gap); or it is not ours. Then what the store
 * has since is compared with what we hold, entry by entry, by content: what is found is stored, the
 * rest gets new IDs behind it. An entry from elsewhere whose ID bars the way (so far ahead that no
 * entry of ours can be above it within the bound of the contract) is taken out; where it may be
 * ours, from a time when the clock was wrong, the stream is left alone and said to be wedged.
 */
#include "redis_spool.h"
#include "redis_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 256, FOREIGN_MOST = 1000, MENDS_MOST = 3, WEDGED_RETRY_MS = 5000 };

struct store_compare {
    struct store_id end;       /* the stream's last ID */
    struct store_id to;        /* compare up to here */
    struct store_chunk *chunk; /* where the next entry of ours stands; NULL: none is left */
    uint32_t at;
    struct store_id own; /* the newest of ours found, by our ID */
    uint64_t length;
    size_t found, foreign;
    struct store_id foreign_id[FOREIGN_MOST];
};

static void resolved(struct store_stream *st);
static void on_page(redisAsyncContext *redis, void *reply, void *context);

void store_compare_free(struct store_stream *st) {
    free(st->compare);
    st->compare = NULL;
}

/* ---- content ---- */

static bool reply_id(const redisReply *r, struct store_id *id) {
    return (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS) &&
           store_id_parse(r->str, (size_t)r->len, id);
}

/* An element of XRANGE's answer: its ID and its array of fields and values. */
static const redisReply *reply_entry(const redisReply *r, struct store_id *id) {
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 || !reply_id(r->element[0], id) ||
        r->element[1]->type != REDIS_REPLY_ARRAY)
        return NULL;
    return r->element[1];
}

/* Are these values those of one of our entries? */
static bool is_same(const struct store_stream *st, const char *values, size_t n,
                    const redisReply *fields) {
    unsigned count = store_kind_fields(st->kind);
    if (fields->elements != (size_t)count * 2)
        return false;
    for (unsigned i = 0; i < count; i++) {
        const redisReply *v = fields->element[2 * i + 1];
        const char *value;
        size_t length, octets = store_bulk_parse(values, n, &value, &length);
        if (octets == 0 || v->type != REDIS_REPLY_STRING || (size_t)v->len != length ||
            memcmp(v->str, value, length) != 0)
            return false;
        values += octets;
        n -= octets;
    }
    return true;
}

static bool parse_at(const struct store_stream *st, const struct store_chunk *c, uint32_t at,
                     struct store_entry *e) {
    return store_entry_parse(c->data + at, c->used - at, store_kind_fields(st->kind),
                             store_kind_ts_field(st->kind), e);
}

/* The entry of ours with this ID. */
static bool find_entry(const struct store_stream *st, struct store_id id, struct store_entry *e) {
    for (const struct store_chunk *c = st->oldest; c != NULL; c = c->next) {
        if (store_id_compare(c->last, id) < 0)
            continue;
        for (uint32_t at = 0; at < c->used && parse_at(st, c, at, e); at += (uint32_t)e->octets)
            if (store_id_compare(e->id, id) == 0)
                return true;
        return false;
    }
    return false;
}

/* ---- outcomes ---- */

static struct store_id before(struct store_id id) {
    if (id.seq-- == 0)
        id.ms -= id.ms > 0;
    return id;
}

static void ready(struct store_stream *st, struct store_id end, uint64_t length) {
    st->acked = st->sent = end;
    if (store_id_compare(st->assigned, end) < 0)
        st->assigned = end;
    if (st->oldest == NULL || st->oldest == st->unacked)
        st->base = end;
    else if (!st->known)
        st->base = before(st->oldest->first);
    st->unsent = st->unacked;
    st->length = length;
    st->known = true;
    st->state = STORE_STREAM_READY;
    if (st->unsent != NULL)
        store_list(st);
    resolved(st);
}

/* Nothing can be appended: what waits is lost, and said so; others go on. */
static void wedge(struct store_stream *st, struct store_id end) {
    struct store_redis *s = st->store;
    char key[REDIS_KEY_TEXT], id[STORE_ID_TEXT];
    store_id_format(end, id);
    if (st->state != STORE_STREAM_WEDGED && st->retry_ms == 0)
        base_warn("%s: ends with the ID %s, which nothing of now can be above: its entries are "
                  "lost until that one is removed (XDEL, then XSETID to the one before it), or all "
                  "of it (spanwatch forget %s)",
                  store_key(st, key), id, s->name);
    for (struct store_chunk *c = st->unacked, *next; c != NULL; c = next) {
        next = c->next;
        store_shed(st, c->from_ns, c->entries);
        store_shed(st, c->to_ns, 0);
        s->queued_octets -= store_chunk_cost(c);
        s->queued_entries -= c->entries;
        if (c->segment != 0)
            store_spool_release(s->spool, c->segment);
        store_chunk_free(c);
    }
    if (st->open != NULL && st->open->entries > 0) {
        store_shed(st, st->open->from_ns, st->open->entries);
        store_shed(st, st->open->to_ns, 0);
        s->queued_entries -= st->open->entries;
        st->open->entries = st->open->used = 0;
    }
    struct store_chunk *kept = st->oldest == st->unacked ? NULL : st->oldest;
    st->oldest = kept;
    while (kept != NULL && kept->next != st->unacked)
        kept = kept->next;
    if (kept != NULL)
        kept->next = NULL;
    st->newest = kept;
    st->unacked = st->unsent = st->unspooled = NULL;
    st->known = false;
    st->state = STORE_STREAM_WEDGED;
    st->retry_ms = uv_now(s->loop) + WEDGED_RETRY_MS;
    resolved(st);
}

static void add_missing(struct store_missing *m, uint64_t lost, uint64_t from_ns, uint64_t to_ns) {
    if (m->to_ns == 0 || from_ns < m->from_ns)
        m->from_ns = from_ns;
    if (to_ns > m->to_ns)
        m->to_ns = to_ns;
    m->lost += lost;
}

/* The store came back without what it had acknowledged, back to before what is kept. */
static void lost_by_store(struct store_stream *st, struct store_id end, uint64_t length) {
    struct store_redis *s = st->store;
    struct store_id before = st->base;
    uint64_t had = st->length, again = 0;
    uint64_t from_ns = end.ms > 0 ? end.ms * BASE_NS_PER_MS : s->first_ns;
    again = store_unacknowledge(st, end);
    st->base = end;
    uint64_t lost = had > length + again ? had - length - again : 0;
    s->lost += lost;
    add_missing(&s->missing[st->kind], lost, from_ns, (before.ms + 1) * BASE_NS_PER_MS);
    ready(st, end, length);
}

/* ---- comparing ---- */

static void page(struct store_stream *st, struct store_id from) {
    struct store_redis *s = st->store;
    char key[REDIS_KEY_TEXT], first[STORE_ID_TEXT], last[STORE_ID_TEXT];
    store_id_format(from, first);
    store_id_format(st->compare->to, last);
    const char *const word[] = {"XRANGE", store_key(st, key), first, last, "COUNT", "256"};
    if (!store_send_words(s, word, 6, on_page, st))
        store_link_drop(&s->link, 0, "nothing can be sent");
}

static struct store_id after(struct store_id id) {
    if (++id.seq == 0)
        id.ms++;
    return id;
}

static void compare(struct store_stream *st, struct store_id end, uint64_t length) {
    struct store_compare *x = st->compare = calloc(1, sizeof *x);
    if (x == NULL) {
        store_link_drop(&st->store->link, 1000, "out of memory");
        return;
    }
    x->end = x->to = end;
    x->length = length;
    x->chunk = st->oldest;
    if (!st->known && store_id_compare(st->newest->last, end) < 0)
        x->to = st->newest->last;
    page(st, st->known ? after(st->base) : st->oldest->first);
}

static void take_entry(struct store_stream *st, struct store_id id, const redisReply *fields) {
    struct store_compare *x = st->compare;
    struct store_entry e;
    if (x->chunk != NULL && parse_at(st, x->chunk, x->at, &e) &&
        is_same(st, e.values, e.octets - (size_t)(e.values - e.data), fields)) {
        x->own = e.id;
        x->found++;
        x->at += (uint32_t)e.octets;
        if (x->at >= x->chunk->used) {
            x->chunk = x->chunk->next;
            x->at = 0;
        }
        return;
    }
    if (x->foreign < FOREIGN_MOST)
        x->foreign_id[x->foreign] = id;
    x->foreign++;
}

static void on_mended(redisAsyncContext *redis, void *reply, void *context) {
    struct store_stream *st = context;
    struct store_redis *s = st->store;
    const redisReply *r = reply;
    (void)redis;
    store_link_answered(&s->link, reply);
    if (r == NULL)
        return;
    /* an error: more came behind what was seen, or the server knows no XSETID that goes back */
    st->mends = r->type == REDIS_REPLY_ERROR ? st->mends + 1 : 0;
    if (st->mends > MENDS_MOST) {
        struct store_id end = st->compare->end;
        base_warn("the store refuses to remove them: %.200s", r->str);
        store_compare_free(st);
        wedge(st, end);
        return;
    }
    store_compare_free(st);
    s->asking--;
    st->state = STORE_STREAM_UNKNOWN;
    store_ask(st);
}

/* Take the entries from elsewhere out, and give the stream its own last ID back. */
static void mend(struct store_stream *st) {
    struct store_redis *s = st->store;
    struct store_compare *x = st->compare;
    char key[REDIS_KEY_TEXT], text[STORE_ID_TEXT];
    size_t words = 5 + x->foreign;
    const char **word = calloc(words, sizeof *word);
    size_t *length = calloc(words, sizeof *length), n = 0;
    char(*id)[STORE_ID_TEXT] = calloc(x->foreign + 1, sizeof *id);
    if (word != NULL && length != NULL && id != NULL) {
        word[0] = "EVALSHA", word[1] = s->sha[STORE_SCRIPT_MEND], word[2] = "1";
        word[3] = store_key(st, key), word[4] = id[0];
        store_id_format(x->found > 0 ? x->own : st->base, id[0]);
        for (size_t i = 0; i < x->foreign; i++) {
            store_id_format(x->foreign_id[i], id[i + 1]);
            word[5 + i] = id[i + 1];
        }
        for (size_t i = 0; i < words; i++)
            length[i] = strlen(word[i]);
        const char *command = store_command(s, word, length, words, &n);
        store_id_format(x->end, text);
        base_warn("%s: %zu entries that this probe did not write, up to the ID %s, bar its way: "
                  "they are removed",
                  key, x->foreign, text);
        if (command == NULL || !store_link_send(&s->link, command, n, on_mended, st))
            store_link_drop(&s->link, 0, "nothing can be sent");
    } else {
        store_link_drop(&s->link, 1000, "out of memory");
    }
    free(word);
    free(length);
    free(id);
}

/* Could an entry of now, or the first that waits, be appended behind `end`? */
static bool is_in_reach(const struct store_stream *st, struct store_id end) {
    const struct store_redis *s = st->store;
    struct store_entry e;
    struct store_id id;
    uint64_t limit_ms = store_limit_ms(s);
    const struct store_chunk *first = st->unacked;
    if (first == NULL && st->open != NULL && st->open->entries > 0)
        first = st->open;
    if (first != NULL && parse_at(st, first, 0, &e))
        return store_id_compare(e.id, end) > 0 ||
               store_id_next(end, e.ts_ns, limit_ms, s->skew_ms, &id);
    if (s->options.live)
        return end.ms <= limit_ms;
    return st->newest_ns == 0 || end.ms <= st->newest_ns / BASE_NS_PER_MS + s->skew_ms;
}

/* Everything between is compared: what was found is stored. */
static void compared(struct store_stream *st) {
    struct store_compare *x = st->compare;
    struct store_id end = x->end;
    bool foreign = st->known && x->foreign > 0;
    if (x->found > 0 && st->known && store_id_compare(x->own, st->acked) < 0)
        store_unacknowledge(st, x->own);
    else if (x->found > 0)
        store_acknowledge(st, x->own);
    else if (st->known)
        store_unacknowledge(st, st->base);
    if (!is_in_reach(st, end)) {
        if (foreign && x->foreign <= FOREIGN_MOST) {
            mend(st);
            return;
        }
        store_compare_free(st);
        wedge(st, end);
        return;
    }
    if (foreign) {
        char key[REDIS_KEY_TEXT], text[STORE_ID_TEXT];
        store_id_format(x->foreign_id[0], text);
        base_warn("%s: holds %zu entries that this probe did not write, from the ID %s on",
                  store_key(st, key), x->foreign, text);
    }
    uint64_t length = x->length;
    store_compare_free(st);
    if (store_restamp(st, end))
        ready(st, end, length);
    else
        wedge(st, end);
}

static void on_page(redisAsyncContext *redis, void *reply, void *context) {
    struct store_stream *st = context;
    struct store_redis *s = st->store;
    const redisReply *r = reply;
    struct store_id id = {0};
    (void)redis;
    store_link_answered(&s->link, reply);
    if (r == NULL)
        return;
    if (r->type != REDIS_REPLY_ARRAY) {
        store_compare_free(st);
        s->asking--;
        store_refused(st, r->type == REDIS_REPLY_ERROR ? r->str : "an unknown answer");
        return;
    }
    for (size_t i = 0; i < r->elements; i++) {
        const redisReply *fields = reply_entry(r->element[i], &id);
        if (fields != NULL)
            take_entry(st, id, fields);
    }
    if (r->elements == PAGE)
        page(st, after(id));
    else
        compared(st);
}

/* ---- asking ---- */

/* The last entry's values as bulk strings, for read --resume. */
static void keep_values(struct store_stream *st, const redisReply *fields) {
    size_t n = 0;
    for (size_t i = 1; i < fields->elements; i += 2)
        n += (size_t)fields->element[i]->len + 32;
    free(st->resume_values);
    char *p = st->resume_values = malloc(n + 1);
    for (size_t i = 1; i < fields->elements && p != NULL; i += 2)
        p = record_put_bulk(p, fields->element[i]->str, (size_t)fields->element[i]->len);
    st->resume_octets = p != NULL ? (size_t)(p - st->resume_values) : 0;
}

bool store_resume_skips(struct store_stream *st, struct store_id id, const char *values, size_t n) {
    int order = store_id_compare(id, st->resume);
    if (order < 0)
        return true;
    bool same = order == 0 && n == st->resume_octets && memcmp(values, st->resume_values, n) == 0;
    st->store->conflict = st->store->conflict || !same;
    st->resume = (struct store_id){0};
    return order == 0;
}

/* The first answer about a stream. */
static void learn(struct store_stream *st, struct store_id end, uint64_t length,
                  const redisReply *fields) {
    struct store_redis *s = st->store;
    if (s->options.history == STORE_REDIS_RESUME && st->oldest == NULL && st->assigned.ms == 0) {
        st->resume = end;
        if (fields != NULL)
            keep_values(st, fields);
        ready(st, end, length);
        st->assigned = (struct store_id){0}; /* the same IDs are given again */
        return;
    }
    if (st->oldest != NULL && store_id_compare(end, st->oldest->first) >= 0) {
        compare(st, end, length);
        return;
    }
    if (!is_in_reach(st, end) || !store_restamp(st, end))
        wedge(st, end);
    else
        ready(st, end, length);
}

static void settle(struct store_stream *st, struct store_id end, uint64_t length,
                   const redisReply *last) {
    struct store_entry e;
    struct store_id last_id = {0};
    const redisReply *fields = last != NULL ? reply_entry(last, &last_id) : NULL;
    bool ours = fields != NULL && store_id_compare(last_id, end) == 0 && find_entry(st, end, &e) &&
                is_same(st, e.values, e.octets - (size_t)(e.values - e.data), fields);
    if (ours && st->known && store_id_compare(end, st->acked) < 0)
        store_unacknowledge(st, end);
    else if (ours)
        store_acknowledge(st, end);
    if (ours)
        ready(st, end, length);
    else if (!st->known)
        learn(st, end, length, fields);
    else if (store_id_compare(end, st->base) < 0)
        lost_by_store(st, end, length);
    else if (store_id_compare(end, st->acked) == 0)
        ready(st, end, length);
    else if (store_id_compare(end, st->base) == 0) {
        store_unacknowledge(st, end);
        ready(st, end, length);
    } else
        compare(st, end, length);
}

static void on_asked(redisAsyncContext *redis, void *reply, void *context) {
    struct store_stream *st = context;
    struct store_redis *s = st->store;
    const redisReply *r = reply;
    struct store_id end;
    (void)redis;
    store_link_answered(&s->link, reply);
    if (r == NULL)
        return; /* the connection is gone: all are asked again on the next one */
    if (r->type == REDIS_REPLY_ARRAY && r->elements == 3 && reply_id(r->element[0], &end) &&
        r->element[1]->type == REDIS_REPLY_INTEGER && r->element[2]->type == REDIS_REPLY_ARRAY) {
        const redisReply *last = r->element[2]->elements > 0 ? r->element[2]->element[0] : NULL;
        st->refusals = 0;
        settle(st, end, (uint64_t)r->element[1]->integer, last);
        return;
    }
    s->asking--;
    store_refused(st, r->type == REDIS_REPLY_ERROR ? r->str : "an unknown answer");
}

void store_ask(struct store_stream *st) {
    struct store_redis *s = st->store;
    char key[REDIS_KEY_TEXT];
    const char *const word[] = {"EVALSHA", s->sha[STORE_SCRIPT_ASK], "1", store_key(st, key)};
    if (s->link.state != STORE_LINK_UP || !s->locked)
        return; /* asked when the connection is there */
    if (!store_send_words(s, word, 4, on_asked, st))
        return;
    st->state = STORE_STREAM_ASKED;
    st->retry_ms = 0;
    s->asking++;
}

void store_ask_all(struct store_redis *s) {
    for (size_t i = 0; i < s->streams; i++)
        if (s->stream[i].state == STORE_STREAM_UNKNOWN)
            store_ask(&s->stream[i]);
}

void store_ask_those_due(struct store_redis *s) {
    for (size_t i = 0; i < s->streams; i++) {
        struct store_stream *st = &s->stream[i];
        bool waits = st->state == STORE_STREAM_BROKEN || st->state == STORE_STREAM_WEDGED;
        if (!waits || st->in_flight > 0 || uv_now(s->loop) < st->retry_ms)
            continue;
        uint64_t retry_ms = st->retry_ms;
        if (st->state == STORE_STREAM_BROKEN)
            st->state = STORE_STREAM_UNKNOWN;
        store_ask(st);
        if (st->state == STORE_STREAM_UNKNOWN)
            st->state = STORE_STREAM_BROKEN;
        if (st->state == STORE_STREAM_ASKED && !st->known)
            st->retry_ms = retry_ms; /* a wedge is told once */
    }
}

/* One more stream knows where it ends; with the last one, what is missing is known. */
static void resolved(struct store_stream *st) {
    struct store_redis *s = st->store;
    s->asking--;
    if (st->state == STORE_STREAM_READY)
        st->retry_ms = 0;
    if (s->asking == 0)
        store_tell_missing(s);
    store_pump(s);
}
