/*
 * index: open addressing over 8-octet slots, kept at most three quarters full; an entry that goes
 * moves those behind it forward, so that there are no gravestones (Knuth, 6.4 R).
 */
#include "engine.h"

enum { FIRST_SLOTS = 256 };

/* Not for keeping strangers out: tables are capped, and theirs are thrown out first. Multiply and
 * fold, as in wyhash. */
uint32_t index_hash(const void *data, size_t n, uint32_t more) {
    const uint8_t *p = data;
    uint64_t h = 0x9e3779b97f4a7c15u ^ more;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t w;
        memcpy(&w, p, sizeof w);
        unsigned __int128 m = (unsigned __int128)(h ^ w) * 0xd6e8feb86659fd93u;
        h = (uint64_t)m ^ (uint64_t)(m >> 64);
    }
    for (; n > 0; n--, p++)
        h = (h ^ *p) * 0x100000001b3u; /* FNV-1a for the rest */
    unsigned __int128 m = (unsigned __int128)(h ^ more) * 0xa0761d6478bd642fu;
    return (uint32_t)((uint64_t)m ^ (uint64_t)(m >> 64));
}

int index_init(struct alarm_index *x) {
    *x = (struct alarm_index){.mask = FIRST_SLOTS - 1};
    x->slot = calloc(FIRST_SLOTS, sizeof *x->slot);
    return x->slot != NULL ? 0 : -1;
}

void index_fini(struct alarm_index *x) {
    free(x->slot);
    x->slot = NULL;
}

static void put(struct alarm_index *x, struct index_slot s) {
    uint32_t at = s.tag;
    while (x->slot[at & x->mask].entry != 0)
        at++;
    x->slot[at & x->mask] = s;
}

static int grow(struct alarm_index *x) {
    struct index_slot *old = x->slot;
    uint32_t slots = x->mask + 1;
    struct index_slot *fresh = calloc(slots * 2, sizeof *fresh);
    if (fresh == NULL)
        return -1;
    x->slot = fresh;
    x->mask = slots * 2 - 1;
    for (uint32_t i = 0; i < slots; i++)
        if (old[i].entry != 0)
            put(x, old[i]);
    free(old);
    return 0;
}

int index_insert(struct alarm_index *x, uint32_t tag, uint32_t entry) {
    if ((x->used + 1) * 4 > (x->mask + 1) * 3 && grow(x) != 0)
        return -1;
    put(x, (struct index_slot){tag, entry + 1});
    x->used++;
    return 0;
}

void index_remove(struct alarm_index *x, uint32_t tag, uint32_t entry) {
    uint32_t at = tag & x->mask;
    while (x->slot[at].entry != entry + 1 || x->slot[at].tag != tag) {
        if (x->slot[at].entry == 0)
            return;
        at = (at + 1) & x->mask;
    }
    x->used--;
    for (uint32_t next = (at + 1) & x->mask; x->slot[next].entry != 0;
         next = (next + 1) & x->mask) {
        uint32_t home = x->slot[next].tag & x->mask;
        if (((next - home) & x->mask) < ((next - at) & x->mask))
            continue; /* it stands between its home and the gap's other side */
        x->slot[at] = x->slot[next];
        at = next;
    }
    x->slot[at] = (struct index_slot){0, 0};
}
