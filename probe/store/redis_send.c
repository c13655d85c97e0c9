/*
 * From a stream's chunks to commands, and what becomes of the answers.
 *
 * Several small chunks of one stream go as one batch. Batches of all streams together are bounded
 * in number and octets on their way: hiredis moves what the socket did not take each time, which
 * costs the square of what waits. Within a stream any number may be on their way, since each names
 * its predecessor.
 */
#include "redis_spool.h"
#include "redis_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    IN_FLIGHT_OCTETS = 192 << 10, /* more costs the server a tenth of its time an entry */
    IN_FLIGHT_BATCHES = 64,
    REPLAY_OCTETS = 2 << 20, /* the backlog is read back while less than this waits in memory */
    RETRY_FIRST_MS = 100,
    RETRY_MOST_MS = 2000,
    HEAD_OCTETS = 3 * REDIS_KEY_TEXT + 512
};

const char *store_key(struct store_stream *st, char out[REDIS_KEY_TEXT]) {
    const struct store_redis *s = st->store;
    const char *what = store_kind_name(st->kind);
    if (st->kind < STORE_KINDS_PARTITIONED)
        redis_key_in(out, s->prefix, s->name, st->partition, what);
    else
        redis_key_of(out, s->prefix, s->name, what);
    return out;
}

/* ---- commands ---- */

/* And one more: hiredis 0.14 looks for the command's name with strchr, so that what it is given is
 * to end like a text. */
static bool scratch_room(struct store_redis *s, size_t octets) {
    octets++;
    if (octets <= s->scratch_room)
        return true;
    char *grown = realloc(s->scratch, octets + octets / 2);
    if (grown == NULL)
        return false;
    s->scratch = grown;
    s->scratch_room = octets + octets / 2;
    return true;
}

static char *put_count(char *p, size_t words) {
    return p + sprintf(p, "*%zu\r\n", words);
}

static char *put_text(char *p, const char *text) {
    return record_put_bulk(p, text, strlen(text));
}

const char *store_command(struct store_redis *s, const char *const *word, const size_t *length,
                          size_t words, size_t *n) {
    size_t room = 32;
    for (size_t i = 0; i < words; i++)
        room += length[i] + 32;
    if (!scratch_room(s, room))
        return NULL;
    char *p = put_count(s->scratch, words);
    for (size_t i = 0; i < words; i++)
        p = record_put_bulk(p, word[i], length[i]);
    *p = '\0';
    *n = (size_t)(p - s->scratch);
    return s->scratch;
}

bool store_send_words(struct store_redis *s, const char *const *word, size_t words,
                      redisCallbackFn *reply, void *context) {
    size_t length[16], n;
    for (size_t i = 0; i < words; i++)
        length[i] = strlen(word[i]);
    const char *command = store_command(s, word, length, words, &n);
    return command != NULL && store_link_send(&s->link, command, n, reply, context);
}

/* ---- what the server refuses ---- */

/* Told when it changes; the same of fifty streams is one word. */
static void tell_refusal(struct store_stream *st, const char *error) {
    struct store_redis *s = st->store;
    char key[REDIS_KEY_TEXT];
    if (strncmp(s->refusal, error, sizeof s->refusal - 1) == 0)
        return;
    snprintf(s->refusal, sizeof s->refusal, "%s", error);
    base_warn("%s: the store refuses: %.200s; trying again, and keeping what it lacks",
              store_key(st, key), error);
}

static bool begins(const char *text, const char *word) {
    return strncmp(text, word, strlen(word)) == 0;
}

void store_refused(struct store_stream *st, const char *error) {
    struct store_redis *s = st->store;
    uint32_t wait = RETRY_FIRST_MS << (st->refusals < 5 ? st->refusals : 5);
    s->refused++;
    st->refusals++;
    st->state = STORE_STREAM_BROKEN;
    if (wait > RETRY_MOST_MS)
        wait = RETRY_MOST_MS;
    st->retry_ms = uv_now(s->loop) + wait;
    if (begins(error, "NOSCRIPT")) { /* the scripts were flushed: all streams wait for new ones */
        if (s->scripts_loaded == STORE_SCRIPTS) {
            s->locked = false;
            store_scripts_load(s);
        }
        return;
    }
    tell_refusal(st, error);
    if (begins(error, "READONLY") || begins(error, "NOAUTH"))
        /* what was the master is none now, or the password changed: a new connection finds out */
        store_link_drop(&s->link, wait, error);
    if (begins(error, "WRONGTYPE"))
        st->retry_ms = uv_now(s->loop) + RETRY_MOST_MS; /* a person must mend it */
}

/* ---- batches ---- */

static struct store_batch *take_batch(struct store_redis *s) {
    struct store_batch *b = s->free_batch;
    if (b == NULL)
        return calloc(1, sizeof *b);
    s->free_batch = b->next;
    return b;
}

static void give_batch(struct store_redis *s, struct store_batch *b) {
    b->next = s->free_batch;
    s->free_batch = b;
}

static void on_appended(redisAsyncContext *redis, void *reply, void *context) {
    struct store_batch *b = context;
    struct store_stream *st = b->stream;
    struct store_redis *s = st->store;
    const redisReply *r = reply;
    (void)redis;
    store_link_answered(&s->link, reply);
    s->in_flight--;
    s->in_flight_octets -= b->octets;
    st->in_flight--;
    if (r != NULL && st->state == STORE_STREAM_READY) {
        if (r->type == REDIS_REPLY_INTEGER) {
            store_acknowledge(st, b->last->last);
            st->refusals = 0;
            s->refusal[0] = '\0';
        } else if (r->type == REDIS_REPLY_ERROR) {
            store_refused(st, r->str);
        } else { /* the stream's end is not where it should be */
            s->refused++;
            st->state = STORE_STREAM_BROKEN;
            st->retry_ms = 0;
        }
    }
    give_batch(s, b);
    if (r == NULL)
        return; /* the connection is gone: store_redis hears of it and asks again */
    if (st->in_flight == 0 && st->state == STORE_STREAM_BROKEN && st->retry_ms == 0) {
        st->state = STORE_STREAM_UNKNOWN;
        store_ask(st);
    }
    if (st->unsent != NULL)
        store_list(st);
    store_pump(s);
    store_look_for_end(s);
}

/* The command's words before the entries. */
static char *put_head(struct store_stream *st, const struct store_batch *b, bool again, char *p) {
    struct store_redis *s = st->store;
    char key[REDIS_KEY_TEXT], id[STORE_ID_TEXT];
    bool alarms = st->kind == STORE_KIND_ALARMS;
    size_t words = 3 + (alarms ? 2 : 1) + (alarms ? 3 : 1) +
                   (size_t)b->entries * (store_kind_fields(st->kind) + 1);
    p = put_count(p, words);
    p = put_text(p, "EVALSHA");
    p = put_text(p, s->sha[STORE_SCRIPT_APPEND + st->kind]);
    p = put_text(p, alarms ? "2" : "1");
    p = put_text(p, store_key(st, key));
    if (alarms) {
        redis_key_of(key, s->prefix, s->name, "active");
        p = put_text(p, key);
    }
    p = record_put_bulk(p, id, store_id_format(st->sent, id));
    if (alarms) {
        redis_key(key, s->prefix, "alarms");
        p = put_text(put_text(p, again ? "0" : "1"), key);
    }
    return p;
}

/* How many chunks from the first unsent one go together. */
static size_t gather(struct store_stream *st, struct store_batch *b) {
    struct store_chunk *c = st->unsent;
    size_t octets = 0;
    bool again = c->again;
    b->entries = 0;
    for (; c != NULL && c->again == again; c = c->next) {
        bool fits = b->entries + c->entries <= STORE_BATCH_ENTRIES &&
                    octets + c->used <= STORE_BATCH_OCTETS;
        if (b->entries > 0 && !fits)
            break;
        b->entries += c->entries;
        octets += c->used;
        b->last = c;
    }
    return octets;
}

static bool send_batch(struct store_stream *st) {
    struct store_redis *s = st->store;
    struct store_batch *b = take_batch(s);
    if (b == NULL)
        return false;
    b->stream = st;
    size_t octets = gather(st, b);
    bool sent = scratch_room(s, octets + HEAD_OCTETS);
    if (sent) {
        char *p = put_head(st, b, st->unsent->again, s->scratch);
        for (struct store_chunk *c = st->unsent; c != b->last->next; c = c->next)
            p = mempcpy(p, c->data, c->used);
        b->octets = (uint32_t)octets;
        *p = '\0';
        sent = store_link_send(&s->link, s->scratch, (size_t)(p - s->scratch), on_appended, b);
    }
    if (!sent) {
        give_batch(s, b);
        return false;
    }
    st->sent = b->last->last;
    st->unsent = b->last->next;
    st->in_flight++;
    s->in_flight++;
    s->in_flight_octets += octets;
    return true;
}

/* ---- which stream is next ---- */

void store_list(struct store_stream *st) {
    struct store_redis *s = st->store;
    if (st->listed)
        return;
    st->listed = true;
    st->next_listed = NULL;
    if (s->send_last != NULL)
        s->send_last->next_listed = st;
    else
        s->send_first = st;
    s->send_last = st;
}

static struct store_stream *take_listed(struct store_redis *s) {
    struct store_stream *st = s->send_first;
    if (st == NULL)
        return NULL;
    s->send_first = st->next_listed;
    if (s->send_first == NULL)
        s->send_last = NULL;
    st->listed = false;
    return st;
}

/* Entries whose IDs are not above the stream's end: from a spool whose process was killed after
 * they were sent, or before the end was known. The store is asked which it has. */
static bool is_in_order(struct store_stream *st) {
    if (store_id_compare(st->unsent->first, st->sent) > 0)
        return true;
    if (st->in_flight > 0)
        return false;
    st->known = false;
    st->state = STORE_STREAM_UNKNOWN;
    store_ask(st);
    return false;
}

static void refill(struct store_redis *s) {
    while (s->spool != NULL && store_spool_backlog(s->spool) > 0 &&
           s->queued_octets < REPLAY_OCTETS && store_spool_replay(s->spool, s))
        ;
}

void store_pump(struct store_redis *s) {
    if (s->link.state != STORE_LINK_UP || !s->locked)
        return;
    refill(s);
    while (s->in_flight < IN_FLIGHT_BATCHES && s->in_flight_octets < IN_FLIGHT_OCTETS) {
        struct store_stream *st = take_listed(s);
        if (st == NULL)
            return;
        if (st->state != STORE_STREAM_READY || st->unsent == NULL || !is_in_order(st))
            continue; /* listed again when it is ready */
        if (!send_batch(st))
            return;
        if (st->unsent != NULL)
            store_list(st);
    }
}
