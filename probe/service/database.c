/*
 * The system's services database (getservent: /etc/services, or what nsswitch.conf names), read
 * once.
 *
 * Input: the database. Output: a name for each TCP port that it knows, in one block of memory, so
 * that lookups touch no file. The first name of a port wins, as with getservbyport. The walk is not
 * safe beside other threads' walks: tables are built while the program starts.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

/* Append a name and its NUL; false when memory is short. */
static bool append(struct service_table *t, size_t *used, size_t *room, const char *name) {
    size_t n = strlen(name) + 1;
    if (*used + n > *room) {
        size_t larger = (*room + n) * 2;
        char *grown = realloc(t->known_names, larger);
        if (grown == NULL)
            return false;
        t->known_names = grown;
        *room = larger;
    }
    memcpy(t->known_names + *used, name, n);
    *used += n;
    return true;
}

bool service_read_database(struct service_table *t) {
    size_t used = 0, room = 0;
    bool fits = append(t, &used, &room, ""); /* offset 0 means unknown */
    const struct servent *entry;
    setservent(0);
    while (fits && (entry = getservent()) != NULL) {
        uint16_t port = ntohs((uint16_t)entry->s_port);
        size_t n = strlen(entry->s_name);
        if (strcmp(entry->s_proto, "tcp") != 0 || t->known_offset[port] != 0 || n == 0 ||
            n >= SERVICE_NAME_MAX)
            continue;
        t->known_offset[port] = (uint32_t)used;
        fits = append(t, &used, &room, entry->s_name);
    }
    endservent();
    return fits;
}
