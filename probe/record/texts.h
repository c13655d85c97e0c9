/*
 * texts: what many records have in common, kept as JSON: the probe's name, the second, servers with
 * the names of their services. Private to the record room.
 */
#ifndef RECORD_TEXTS_H
#define RECORD_TEXTS_H

#include "text.h"

#include "spanwatch/record.h"

enum {
    RECORD_SERVERS = 1024,   /* a power of two */
    RECORD_SERVER_TEXT = 102 /* longer ones are not kept */
};

/* One server; who comes later to its place takes it. */
struct record_server {
    _Alignas(64) uint8_t address[16];
    uint32_t scope;
    uint16_t port;
    uint8_t family;
    uint8_t octets; /* of `text`; 0: nothing is kept here */
    char text[RECORD_SERVER_TEXT];
};

struct record_texts {
    struct record_server server[RECORD_SERVERS];
    uint64_t second; /* that `second_text` tells */
    size_t second_octets, probe_octets;
    char second_text[32];
    const char *probe; /* that `probe_text` tells; NULL: none */
    char probe_text[RECORD_NAME_TEXT + 16];
};

/* `"ts":` has been written: the time. */
char *record_put_ts(const struct record_context *c, uint64_t ns, char *p);

/* `,"probe":` and the name. */
char *record_put_probe(const struct record_context *c, char *p);

/* The place of this server, and whether it is there already. */
struct record_server *record_server_at(struct record_texts *t, const struct event_flow *f);
bool record_server_is(const struct record_server *s, const struct event_flow *f);
void record_server_keep(struct record_server *s, const struct event_flow *f, const char *text,
                        size_t octets);

#endif
