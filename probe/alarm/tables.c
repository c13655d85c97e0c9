/*
 * tables: services, their endpoints, clients, pairs (a client by a service).
 *
 * Each table is a dense array with an index over it, and a cap. At the cap a hand goes round and
 * takes what is of least use: of pairs those without a handshake make room for each other, so that
 * a flood of addresses displaces nobody who was there.
 */
#include "engine.h"

enum {
    FIRST_ROOM = 64,
    LINE = 64,       /* octets of a line of the cache */
    IDLE_S = 900,    /* an unconfigured service or a client that was silent for so long may go */
    LOOK = 32,       /* entries that the hand looks at before it gives up */
    LOOK_PROVEN = 8, /* the same for a pair that has shaken hands, of which there may be a million:
                        what the hand comes to first is mostly the oldest anyway */
};

/* The new entries are not touched before they are taken. */
static int make_room(void *array, uint32_t *room, uint32_t most, size_t size) {
    uint32_t fresh = *room ? *room * 2 : FIRST_ROOM;
    void **at = array;
    if (fresh > most)
        fresh = most;
    size_t had = *room * size, octets = (fresh * size + LINE - 1) / LINE * LINE;
    char *grown = aligned_alloc(LINE, octets);
    if (grown == NULL)
        return -1;
    if (had > 0)
        memcpy(grown, *at, had);
    free(*at);
    *at = grown;
    *room = fresh;
    return 0;
}

static void pair_drop(struct alarm_engine *a, uint32_t i);

/* ---- services ---- */

static void service_clean(struct service *s) {
    for (int i = 0; i < 3; i++)
        free(s->latency[i]);
    free(s->closers);
    free(s->name);
    *s = (struct service){0};
}

static void endpoint_drop(struct alarm_engine *a, uint32_t i) {
    const struct endpoint *e = &a->endpoint[i];
    if (e->addr.family == 4) {
        struct endpoint_near *n = near_of(a, e->addr.octet, e->port);
        n[0].service = n[1].service = 0;
    }
    index_remove(&a->endpoint_index, e->tag, i);
    a->endpoint[i].used = false;
}

static bool service_may_go(const struct alarm_engine *a, uint32_t i, bool pressed) {
    const struct service *s = &a->service[i];
    uint64_t idle_ns = a->now_ns > s->last_ns ? a->now_ns - s->last_ns : 0;
    if (!s->used || s->configured || s->seen_open > 0 || s->open > 0)
        return false;
    if (!pressed && idle_ns < IDLE_S * BASE_NS_PER_S)
        return false;
    for (uint32_t e = 0; e < a->entries; e++)
        if (a->entry[e].used && a->entry[e].service == i)
            return false;
    return true;
}

static void service_drop(struct alarm_engine *a, uint32_t i) {
    uint32_t e = a->service[i].endpoint;
    for (uint32_t p = 0; p < a->pairs && a->service[i].pairs > 0; p++)
        if (a->watch[p].used && a->pair[p].service == i)
            pair_drop(a, p);
    if (a->endpoint[e].used && a->endpoint[e].service == i)
        endpoint_drop(a, e);
    service_clean(&a->service[i]);
}

static int64_t service_slot(struct alarm_engine *a) {
    if (a->services < MOST_SERVICES) {
        if (a->services == a->services_room &&
            make_room(&a->service, &a->services_room, MOST_SERVICES, sizeof *a->service) != 0)
            return NONE;
        a->service[a->services] = (struct service){0};
        return a->services++;
    }
    for (int n = 0; n < LOOK; n++) {
        uint32_t i = a->services_hand++ % a->services;
        if (!a->service[i].used)
            return i;
        if (service_may_go(a, i, true)) {
            service_drop(a, i);
            return i;
        }
    }
    a->counters.services_full++;
    return NONE;
}

static int64_t service_named(struct alarm_engine *a, const char *name) {
    uint32_t tag = index_hash(name, strlen(name), 0), at = tag;
    for (int64_t i; (i = index_next(&a->service_names, tag, &at)) != NONE;)
        if (strcmp(a->service[i].name, name) == 0)
            return i;
    return NONE;
}

static int64_t service_make(struct alarm_engine *a, const struct event_flow *f) {
    const char *name =
        a->config.service != NULL ? a->config.service(a->config.service_context, f) : NULL;
    int64_t i = name != NULL ? service_named(a, name) : NONE;
    if (i != NONE) {
        a->service[i].server.family = 0; /* more than one */
        return i;
    }
    i = service_slot(a);
    if (i == NONE)
        return NONE;
    struct service *s = &a->service[i];
    *s = (struct service){
        .used = true, .configured = name != NULL, .name = name != NULL ? strdup(name) : NULL};
    if (name != NULL && s->name == NULL) {
        s->used = false;
        return NONE;
    }
    addr_of(f->family, f->server, &s->server);
    s->port = f->server_port;
    s->scope = f->scope;
    s->last_ns = a->now_ns;
    if (name != NULL) {
        s->tag = index_hash(name, strlen(name), 0);
        index_insert(&a->service_names, s->tag, (uint32_t)i);
    }
    return i;
}

static int64_t endpoint_slot(struct alarm_engine *a) {
    if (a->endpoints < MOST_ENDPOINTS) {
        if (a->endpoints == a->endpoints_room &&
            make_room(&a->endpoint, &a->endpoints_room, MOST_ENDPOINTS, sizeof *a->endpoint) != 0)
            return NONE;
        a->endpoint[a->endpoints] = (struct endpoint){0};
        return a->endpoints++;
    }
    for (int n = 0; n < LOOK; n++) {
        uint32_t i = a->endpoints_hand++ % a->endpoints;
        if (!a->endpoint[i].used)
            return i;
        if (a->service[a->endpoint[i].service].open > 0)
            continue; /* it would only be looked up again */
        endpoint_drop(a, i);
        return i;
    }
    a->counters.services_full++;
    return NONE;
}

static bool is_server(const struct endpoint *e, const struct event_flow *f) {
    return e->port == f->server_port && e->scope == f->scope && e->addr.family == f->family &&
           memcmp(e->addr.octet, f->server, 16) == 0;
}

static int64_t endpoint_service(struct alarm_engine *a, const struct event_flow *f) {
    uint32_t tag = index_hash(f->server, f->family == 6 ? 16 : 8, f->server_port ^ f->scope << 16);
    uint32_t at = tag;
    for (int64_t i; (i = index_next(&a->endpoint_index, tag, &at)) != NONE;)
        if (is_server(&a->endpoint[i], f))
            return a->endpoint[i].service;
    int64_t i = endpoint_slot(a), s = i != NONE ? service_make(a, f) : NONE;
    if (s == NONE || index_insert(&a->endpoint_index, tag, (uint32_t)i) != 0)
        return NONE;
    struct endpoint *e = &a->endpoint[i];
    *e = (struct endpoint){.used = true,
                           .port = f->server_port,
                           .scope = f->scope,
                           .service = (uint32_t)s,
                           .tag = tag};
    addr_of(f->family, f->server, &e->addr);
    a->service[s].endpoint = (uint32_t)i;
    return s;
}

int64_t service_look_up(struct alarm_engine *a, const struct event_flow *f) {
    struct endpoint_near n = {.scope = f->scope, .port = f->server_port};
    struct endpoint_near *place = near_of(a, f->server, f->server_port);
    int64_t s = endpoint_service(a, f);
    memcpy(&n.addr, f->server, sizeof n.addr);
    n.service = (int16_t)(s + 1);
    if (f->family != 4)
        return s;
    if (place[0].service > 0)
        place[1] = place[0]; /* of three that share it, the last two are known */
    place[0] = n;
    return s;
}

const char *service_word(const struct alarm_engine *a, int64_t service) {
    return service < 0 ? NULL : a->service[service].name;
}

void alarm_services_changed(struct alarm_engine *a) {
    alarm_catch_up(a);
    for (uint32_t i = 0; i < a->pairs; i++) /* a client may have a name now */
        a->watch[i].due_s = 0;
    for (uint32_t e = 0; e < a->endpoints; e++)
        if (a->endpoint[e].used)
            endpoint_drop(a, e);
}

/* ---- pairs ---- */

static void pair_drop(struct alarm_engine *a, uint32_t i) {
    struct pair *p = &a->pair[i];
    ports_forget(p);
    index_remove(&a->pair_index, a->watch[i].tag, i);
    a->unproven -= !p->proven;
    a->service[p->service].pairs--;
    a->stirs[i / 64] &= ~(UINT64_C(1) << (i % 64));
    a->watch[i] = (struct pair_watch){0};
    *p = (struct pair){0};
}

/* Of those without a handshake one in eight of the table may be; of others the one that was silent
 * for longest among some. Where all are connected, a window looks for places in vain so often only:
 * a picture of millions would be nothing else. */
static int64_t pair_slot(struct alarm_engine *a, bool proven) {
    bool crowded = !proven && a->unproven >= MOST_PAIRS / 8;
    if (a->pairs < MOST_PAIRS && !crowded) {
        if (a->pairs == a->pairs_room &&
            make_room(&a->pair, &a->pairs_room, MOST_PAIRS, sizeof *a->pair) != 0)
            return NONE;
        if (a->pairs == a->watch_room &&
            make_room(&a->watch, &a->watch_room, MOST_PAIRS, sizeof *a->watch) != 0)
            return NONE;
        a->pair[a->pairs] = (struct pair){0};
        a->watch[a->pairs] = (struct pair_watch){0};
        return a->pairs++;
    }
    int64_t victim = NONE;
    int look = !proven ? LOOK : a->pairs_refused < NEW_PAIRS ? LOOK_PROVEN : 0;
    for (int n = 0; n < look && a->pairs > 0; n++) {
        uint32_t i = a->pairs_hand++ % a->pairs;
        struct pair *p = &a->pair[i];
        if (!a->watch[i].used && !crowded)
            return i;
        if (!a->watch[i].used || p->established > 0 || (p->proven && !proven))
            continue;
        if (!p->proven) {
            victim = i;
            break;
        }
        if (victim == NONE || p->last_ns < a->pair[victim].last_ns)
            victim = i;
    }
    if (victim != NONE) {
        pair_drop(a, (uint32_t)victim);
    } else {
        a->counters.pairs_full++;
        a->pairs_refused += proven;
    }
    return victim;
}

/* Something is counted for it: it is looked at for a minute. */
static void stir(struct alarm_engine *a, uint32_t i) {
    a->pair[i].stirred = MINUTE_WINDOWS + 1;
    a->stirs[i / 64] |= UINT64_C(1) << (i % 64);
}

struct pair *pair_of(struct alarm_engine *a, const struct event_flow *f, uint32_t service,
                     bool make, bool proven) {
    uint32_t tag = pair_tag(f, service), at = tag;
    for (int64_t i; (i = index_next(&a->pair_index, tag, &at)) != NONE;) {
        struct pair *p = &a->pair[i];
        if (p->service != service || p->client.family != f->family ||
            memcmp(p->client.octet, f->client, 16) != 0)
            continue;
        stir(a, (uint32_t)i);
        if (proven && !p->proven) {
            p->proven = true;
            a->unproven--;
        }
        return p;
    }
    int64_t i = make ? pair_slot(a, proven) : NONE;
    if (i == NONE || index_insert(&a->pair_index, tag, (uint32_t)i) != 0)
        return NULL;
    struct pair *p = &a->pair[i];
    *p = (struct pair){.proven = proven, .service = service, .last_ns = a->now_ns};
    a->watch[i] = (struct pair_watch){.used = true, .tag = tag};
    stir(a, (uint32_t)i);
    addr_of(f->family, f->client, &p->client);
    p->first_hour = (uint32_t)(a->now_ns / BASE_NS_PER_S / 3600);
    a->unproven += !proven;
    a->service[service].pairs++;
    return p;
}

/* ---- clients ---- */

static void client_drop(struct alarm_engine *a, uint32_t i) {
    scan_forget(&a->client[i]);
    index_remove(&a->client_index, a->client[i].tag, i);
    a->client[i] = (struct client){0};
}

static int64_t client_slot(struct alarm_engine *a) {
    if (a->clients < MOST_CLIENTS) {
        if (a->clients == a->clients_room &&
            make_room(&a->client, &a->clients_room, MOST_CLIENTS, sizeof *a->client) != 0)
            return NONE;
        a->client[a->clients] = (struct client){0};
        return a->clients++;
    }
    int64_t victim = NONE;
    for (int n = 0; n < LOOK; n++) {
        uint32_t i = a->clients_hand++ % a->clients;
        const struct client *c = &a->client[i];
        if (!c->used)
            return i;
        if (c->scan == NULL && c->dead == 0 && c->stalled == 0 &&
            (victim == NONE || c->last_ns < a->client[victim].last_ns))
            victim = i;
    }
    if (victim == NONE)
        a->counters.clients_full++;
    else
        client_drop(a, (uint32_t)victim);
    return victim;
}

struct client *client_of(struct alarm_engine *a, const uint8_t addr[16], uint8_t family,
                         bool make) {
    uint32_t tag = index_hash(addr, family == 6 ? 16 : 8, 0), at = tag;
    for (int64_t i; (i = index_next(&a->client_index, tag, &at)) != NONE;)
        if (a->client[i].addr.family == family && memcmp(a->client[i].addr.octet, addr, 16) == 0)
            return &a->client[i];
    int64_t i = make ? client_slot(a) : NONE;
    if (i == NONE || index_insert(&a->client_index, tag, (uint32_t)i) != 0)
        return NULL;
    struct client *c = &a->client[i];
    *c = (struct client){.used = true, .tag = tag, .last_ns = a->now_ns};
    addr_of(family, addr, &c->addr);
    return c;
}

/* ---- a window is over ---- */

static void turn_service(struct service *s, uint64_t now_ns) {
    if (s->attempts_all > 0 || s->answered > 0 || s->completed > 0 || s->closes > 0)
        s->last_ns = now_ns;
    s->completed_before = s->completed;
    s->spared = s->answered = s->completed = s->refused = s->icmp = s->syn_again = s->closes = 0;
    s->attempts_all = 0;
    s->compared = s->slower = 0;
    s->aborts[0] = s->aborts[1] = s->odd_rst = 0;
    s->members = s->seen_half_open = s->seen_open = s->clients = s->dead = s->idle = 0;
    s->close_wait = s->fin_wait2 = 0;
    s->oldest_ns = 0;
    memmove(s->silent + 1, s->silent, (SILENT_WINDOWS - 1) * sizeof s->silent[0]);
    memmove(s->silent_first_ns + 1, s->silent_first_ns,
            (SILENT_WINDOWS - 1) * sizeof s->silent_first_ns[0]);
    s->silent[0] = 0;
    memset(s->icmp_client, 0, sizeof s->icmp_client);
    memset(s->stalled, 0, sizeof s->stalled);
    memset(s->stalled_ns, 0, sizeof s->stalled_ns);
    memset(s->laden, 0, sizeof s->laden);
    memset(s->again, 0, sizeof s->again);
    minute_turn(s->leak);
    s->burst_most = s->burst_open = 0;
    s->has_often = false;
    minute_turn(s->minute_closes);
    minute_turn(s->minute_odd);
    memmove(s->minute_aborts[1], s->minute_aborts[0],
            (MINUTE_WINDOWS - 1) * sizeof s->minute_aborts[0]);
    s->minute_aborts[0][0] = s->minute_aborts[0][1] = 0;
    for (int i = 0; i < 3; i++)
        if (s->latency[i] != NULL)
            histogram_turn(s->latency[i]);
}

static void turn_client(struct alarm_engine *a, uint32_t i) {
    struct client *c = &a->client[i];
    minute_turn(c->minute_odd);
    minute_turn(c->leak);
    c->close_wait = c->fin_wait2 = c->dead = c->stalled = c->odd_syn = 0;
    c->stalled_ns = c->oldest_ns = 0;
    if (engine_ago(a, c->last_ns) > IDLE_S * BASE_NS_PER_S)
        client_drop(a, i);
}

/* What the sketch says is of one window; which pairs are known is gathered anew each hour, since
 * some have gone meanwhile. */
static void turn_sketch(struct alarm_engine *a) {
    struct pair_sketch *k = a->sketch;
    uint64_t hour = a->now_ns / BASE_NS_PER_S / 3600;
    bool anew = hour != k->hour;
    for (uint32_t i = 0; i < SKETCH_BLOCKS; i++) {
        memset(k->block[i].opened, 0, sizeof k->block[i].opened);
        memset(k->block[i].here, 0, sizeof k->block[i].here);
        if (anew)
            memset(k->block[i].known, 0, sizeof k->block[i].known);
    }
    k->opened = k->fresh = 0;
    if (!anew)
        return;
    k->hour = hour;
    k->salt = (uint32_t)hour * 2246822519u;
    for (uint32_t i = 0; i < a->pairs; i++) {
        struct sketch_place at = sketch_at(k, a->watch[i].tag);
        if (a->watch[i].used)
            *at.known |= at.bit;
    }
}

/* One that is quiet, and about which nothing more is known, is left alone until it stirs again. */
static void turn_pair(struct alarm_engine *a, uint32_t i) {
    struct pair *p = &a->pair[i];
    if (p->stirred == 0) {
        if (!p->proven && engine_ago(a, p->last_ns) > IDLE_S * BASE_NS_PER_S)
            pair_drop(a, i);
        else if (p->proven && p->ports == NULL && p->rate == NULL)
            a->stirs[i / 64] &= ~(UINT64_C(1) << (i % 64));
        return;
    }
    p->opened = p->closed = p->short_lived = p->refused = p->timeouts = p->aborts = 0;
    p->established = p->open = p->half_open = p->close_wait = p->fin_wait2 = 0;
    p->laden = p->again = p->stalled = 0;
    p->way_learned = false;
    minute_turn(p->minute_opened);
    memmove(p->minute_timeouts + 1, p->minute_timeouts,
            (MINUTE_WINDOWS - 1) * sizeof p->minute_timeouts[0]);
    p->minute_timeouts[0] = 0;
    p->stirred--;
}

void tables_turn(struct alarm_engine *a) {
    turn_sketch(a);
    a->pairs_refused = 0;
    for (uint32_t i = 0; i < a->services; i++) {
        if (!a->service[i].used)
            continue;
        turn_service(&a->service[i], a->now_ns);
        if (a->services > MOST_SERVICES / 2 && service_may_go(a, i, false))
            service_drop(a, i);
    }
    for (uint32_t i = 0; i < a->pairs; i++)
        if (pair_stirs(a, i))
            turn_pair(a, i);
    for (uint32_t i = 0; i < a->clients; i++)
        if (a->client[i].used)
            turn_client(a, i);
}

void tables_fini(struct alarm_engine *a) {
    for (uint32_t i = 0; i < a->services; i++)
        service_clean(&a->service[i]);
    for (uint32_t i = 0; i < a->scans; i++)
        free(a->scan[i]);
    for (uint32_t i = 0; i < a->port_maps; i++)
        free(a->port_map[i]);
    free(a->service);
    free(a->endpoint);
    free(a->pair);
    free(a->watch);
    free(a->client);
    free(a->scan);
    free(a->entry);
    free(a->trouble);
    free(a->sketch);
    free(a->near);
    index_fini(&a->service_names);
    index_fini(&a->endpoint_index);
    index_fini(&a->pair_index);
    index_fini(&a->client_index);
    index_fini(&a->entry_index);
}
