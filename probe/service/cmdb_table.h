/*
 * What the files of the CMDB share: its entries, where they came from, and how one is added.
 */
#ifndef SERVICE_CMDB_TABLE_H
#define SERVICE_CMDB_TABLE_H

#include <jansson.h>

#include "spanwatch/cmdb.h"

/* A place in a file, for the message when an entry turns out to stand twice. */
struct cmdb_place {
    uint32_t file; /* from 1; 0: put by the program */
    uint32_t at;   /* CSV: the line; JSON: the element of `clients`, of services nothing */
};

/* Two entries of one name or address. */
struct cmdb_clash {
    bool is_client;
    char name[CMDB_NAME_MAX]; /* or address */
    struct cmdb_place first, second;
};

struct cmdb_service_entry {
    char *name, *json; /* owned */
    struct cmdb_place place;
};

struct cmdb_client_entry {
    struct base_addr address;
    uint8_t prefix_length;
    char *name, *json; /* owned */
    struct cmdb_place place;
};

/* The clients of one family and prefix length: a part of the sorted array. */
struct cmdb_group {
    uint8_t family, prefix_length;
    size_t first, count;
};

struct cmdb {
    struct cmdb_service_entry *services; /* sorted by name */
    size_t service_count, service_room;
    struct cmdb_client_entry
        *clients; /* sorted by family, prefix length (longest first), address */
    size_t client_count, client_room;
    struct cmdb_group group[33 + 129];
    size_t group_count;
    char **files; /* owned names of the files loaded, for messages */
    uint32_t file_count;
    bool has_services, has_clients; /* a file spoke of them */
};

/* Why an entry is not taken. */
enum cmdb_fault {
    CMDB_TAKEN,
    CMDB_NO_MEMORY,
    CMDB_TOO_LONG /* its attributes take more than CMDB_JSON_MAX */
};

/* Is this a name that may stand in tables and records: 1 to 63 octets, no control characters? */
bool cmdb_is_name(const char *name);

/* An attribute's value: a text, a number, a truth value? */
bool cmdb_is_scalar(const json_t *value);

/* Take a service or client with its attributes (an object of scalars); the texts are copied. */
enum cmdb_fault cmdb_add_service(struct cmdb *c, const char *name, const json_t *attributes,
                                 struct cmdb_place place);
enum cmdb_fault cmdb_add_client(struct cmdb *c, const struct cmdb_client *client,
                                const json_t *attributes, struct cmdb_place place);

/* Sort all entries. False when two clash; the table is not ready then. */
bool cmdb_order(struct cmdb *c, struct cmdb_clash *clash);

/* Note the name of the file that is read now: its number for struct cmdb_place, 0 when memory is
 * short. */
uint32_t cmdb_add_file(struct cmdb *c, const char *path);

/* Read a CSV file (cmdb_csv.c). */
int cmdb_load_csv(struct cmdb *c, uint32_t file, struct base_error *error);

#endif
