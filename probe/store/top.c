/*
 * The first few of many (top.h), by insertion into a short sorted array.
 */
#include "top.h"

#include <string.h>

void store_top_offer(struct store_top *t, const void *item) {
    char *first = t->items;
    size_t at = t->count;
    t->offered++;
    while (at > 0 && t->before(item, first + (at - 1) * t->size))
        at--;
    if (at == t->max)
        return;
    if (t->count < t->max)
        t->count++;
    char *place = first + at * t->size;
    memmove(place + t->size, place, (t->count - 1 - at) * t->size);
    memcpy(place, item, t->size);
}
