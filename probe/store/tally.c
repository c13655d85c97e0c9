/*
 * The report's tables of hosts and of services by final states (tally.h).
 */
#include "tally.h"

#include <stdlib.h>

/*
 * A connection that came to nothing weighs as much as a tenth of all packets sent again, one that
 * was cut off half that, a window that closed least. A share of retransmissions means something
 * only of enough packets.
 */
uint64_t store_host_score(const struct store_host *x) {
    enum { PACKETS_FOR_A_SHARE = 20 };
    uint64_t percent = x->packets >= PACKETS_FOR_A_SHARE ? 100 * x->retransmits / x->packets : 0;
    return 10 * (x->refused + x->timeouts) + 5 * x->resets + x->zero_windows + percent;
}

/* What an entry has to tell, in powers of two. */
static unsigned host_level(const struct store_host *x) {
    unsigned level = 0;
    for (uint64_t weight = store_host_score(x) + x->resets_sent; weight != 0; weight >>= 1)
        level++;
    return level;
}

/* Drop half of the entries, those with the least to tell first, the oldest first among equals. Half
 * at a time, so that the walks cost little for each entry that comes. */
static void make_room(struct store_hosts *h) {
    unsigned drop = HASH_COUNT(h->table) / 2;
    for (unsigned level = 0; drop > 0; level++) {
        struct store_host *x, *next;
        HASH_ITER(hh, h->table, x, next) {
            if (drop == 0 || host_level(x) != level)
                continue;
            HASH_DEL(h->table, x);
            free(x);
            h->made_room++;
            drop--;
        }
    }
}

struct store_host *store_hosts_entry(struct store_hosts *h, unsigned family,
                                     const uint8_t octet[16]) {
    struct base_addr address = {.family = (uint8_t)family};
    struct store_host *x;
    memcpy(address.octet, octet, sizeof address.octet);
    unsigned hash = (unsigned)base_siphash(h->seed, &address, sizeof address);
    HASH_FIND_BYHASHVALUE(hh, h->table, &address, sizeof address, hash, x);
    if (x != NULL)
        return x;
    if (HASH_COUNT(h->table) >= STORE_HOSTS_MAX)
        make_room(h);
    x = calloc(1, sizeof *x);
    if (x != NULL) {
        x->address = address;
        HASH_ADD_BYHASHVALUE(hh, h->table, address, sizeof address, hash, x);
        if (x->hh.tbl != NULL) /* uthash found memory too */
            return x;
        free(x);
    }
    h->unkept++;
    return NULL;
}

void store_hosts_fini(struct store_hosts *h) {
    struct store_host *x, *next;
    HASH_ITER(hh, h->table, x, next) {
        HASH_DEL(h->table, x);
        free(x);
    }
}

static struct store_pair *pair_new(struct store_pairs *p, const struct store_pair_key *key,
                                   unsigned hash) {
    if (HASH_COUNT(p->table) >= STORE_PAIRS_MAX)
        return NULL;
    struct store_pair *x = calloc(1, sizeof *x);
    if (x == NULL)
        return NULL;
    x->key = *key;
    HASH_ADD_BYHASHVALUE(hh, p->table, key, sizeof x->key, hash, x);
    if (x->hh.tbl != NULL)
        return x;
    free(x);
    return NULL;
}

void store_pairs_add(struct store_pairs *p, const char *service, const struct event_connection *n) {
    struct store_pair_key key = {.state = {n->state[EVENT_CLIENT], n->state[EVENT_SERVER]}};
    struct store_pair *x;
    memcpy(key.service, service, strnlen(service, sizeof key.service - 1));
    unsigned hash = (unsigned)base_siphash(p->seed, &key, sizeof key);
    HASH_FIND_BYHASHVALUE(hh, p->table, &key, sizeof key, hash, x);
    if (x == NULL)
        x = pair_new(p, &key, hash);
    if (x == NULL) {
        p->unlisted++;
        return;
    }
    x->connections++;
    x->client_bytes += n->side[EVENT_CLIENT].bytes;
    x->server_bytes += n->side[EVENT_SERVER].bytes;
}

void store_pairs_fini(struct store_pairs *p) {
    struct store_pair *x, *next;
    HASH_ITER(hh, p->table, x, next) {
        HASH_DEL(p->table, x);
        free(x);
    }
}
