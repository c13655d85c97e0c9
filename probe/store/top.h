/*
 * top: the first few of many, kept in order while they are offered one by one.
 *
 * The items lie in an array of the caller's with room for `max`; an item is copied in. Equals keep
 * the order in which they came, so that the same capture gives the same list.
 */
#ifndef SPANWATCH_STORE_TOP_H
#define SPANWATCH_STORE_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True when item `a` stands before item `b`. */
typedef bool store_before(const void *a, const void *b);

struct store_top {
    void *items;
    size_t size; /* of an item, in octets */
    size_t max, count;
    uint64_t offered; /* of which `count` are kept */
    store_before *before;
};

void store_top_offer(struct store_top *t, const void *item);

#endif
