/*
 * texts: what many records have in common (texts.h).
 *
 * Of a million records a second most are of the same second and of few servers. Without a place to
 * keep such texts (context.texts is NULL) each is written anew. Owner: the context's thread.
 */
#include "texts.h"

#include <assert.h>
#include <stdlib.h>

static_assert(sizeof(struct record_server) == 128, "two lines of the cache");

struct record_texts *record_texts_new(void) {
    struct record_texts *t = aligned_alloc(_Alignof(struct record_texts), sizeof *t);
    if (t == NULL)
        return NULL;
    t->second = UINT64_MAX;
    t->probe = NULL;
    record_texts_forget(t);
    return t;
}

void record_texts_free(struct record_texts *t) {
    free(t);
}

void record_texts_forget(struct record_texts *t) {
    for (size_t i = 0; i < RECORD_SERVERS; i++)
        t->server[i].octets = 0;
}

char *record_put_ts(const struct record_context *c, uint64_t ns, char *p) {
    struct record_texts *t = c->texts;
    uint64_t second = ns / BASE_NS_PER_S;
    if (t == NULL)
        return record_put_time(p, ns);
    if (t->second != second) {
        t->second_octets = (size_t)(record_put_uint(t->second_text, second) - t->second_text);
        t->second = second;
    }
    memcpy(p, t->second_text, sizeof t->second_text); /* a few octets too many: no loop */
    return record_put_fraction(p + t->second_octets, (uint32_t)(ns % BASE_NS_PER_S));
}

char *record_put_probe(const struct record_context *c, char *p) {
    struct record_texts *t = c->texts;
    if (t == NULL)
        return RECORD_PUT_TEXT(p, "probe", c->probe, RECORD_NAME_TEXT);
    if (t->probe != c->probe) {
        char *end = RECORD_PUT_TEXT(t->probe_text, "probe", c->probe, RECORD_NAME_TEXT);
        t->probe_octets = (size_t)(end - t->probe_text);
        t->probe = c->probe;
    }
    return mempcpy(p, t->probe_text, t->probe_octets);
}

struct record_server *record_server_at(struct record_texts *t, const struct event_flow *f) {
    uint64_t word[2];
    memcpy(word, f->server, sizeof word);
    uint64_t h = (word[0] ^ word[1] * 3 ^ (uint64_t)f->server_port << 40 ^ f->scope) *
                 UINT64_C(0x9e3779b97f4a7c15); /* Knuth's multiplicative hash: its upper bits */
    return &t->server[(h >> 48) % RECORD_SERVERS];
}

bool record_server_is(const struct record_server *s, const struct event_flow *f) {
    return s->octets > 0 && s->port == f->server_port && s->family == f->family &&
           s->scope == f->scope && memcmp(s->address, f->server, sizeof s->address) == 0;
}

void record_server_keep(struct record_server *s, const struct event_flow *f, const char *text,
                        size_t octets) {
    s->octets = 0;
    if (octets > sizeof s->text)
        return;
    memcpy(s->address, f->server, sizeof s->address);
    s->scope = f->scope;
    s->port = f->server_port;
    s->family = f->family;
    s->octets = (uint8_t)octets;
    memcpy(s->text, text, octets);
}
