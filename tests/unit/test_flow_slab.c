/*
 * Slabs: indexes are given out once, entries never move, and are used again before new ones are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/flow/tracker.h"

enum { MANY = SLAB_CHUNK * 3 + 7 };

static void indexes_are_distinct_and_stay(void **state) {
    (void)state;
    struct slab s = {.octets = sizeof(struct lean), .huge = true};
    struct lean **where = calloc(MANY, sizeof *where);
    assert_non_null(where);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_int_equal(slab_take(&s), i);
        where[i] = slab_at(&s, i);
        where[i]->first[0] = i + 1;
    }
    assert_int_equal(s.used, MANY);
    assert_int_equal(s.chunks, 4);
    uint64_t chunk = SLAB_CHUNK * sizeof(struct lean);
    assert_int_equal(slab_memory(&s), chunk + PAGES_HUGE); /* one, and a huge page of them */
    for (uint32_t i = 0; i < MANY; i++) {
        assert_ptr_equal(slab_at(&s, i), where[i]);
        assert_int_equal(where[i]->first[0], i + 1);
        assert_int_equal((uintptr_t)where[i] % 64, 0); /* the cache's lines */
    }
    free(where);
    slab_free(&s);
}

static void freed_entries_are_used_first(void **state) {
    (void)state;
    struct slab s = {.octets = 32};
    for (uint32_t i = 0; i < 10; i++)
        slab_take(&s);
    slab_give(&s, 3);
    slab_give(&s, 7);
    slab_give(&s, 0);
    assert_int_equal(s.used, 7);
    assert_int_equal(slab_take(&s), 0); /* the last freed is still in the cache */
    assert_int_equal(slab_take(&s), 7);
    assert_int_equal(slab_take(&s), 3);
    assert_int_equal(slab_take(&s), 10);
    assert_int_equal(s.used, 11);
    slab_free(&s);
}

static void memory_follows_the_most_that_was_held(void **state) {
    (void)state;
    struct slab s = {.octets = 64};
    for (unsigned round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < SLAB_CHUNK; i++)
            slab_take(&s);
        for (uint32_t i = 0; i < SLAB_CHUNK; i++)
            slab_give(&s, i);
    }
    assert_int_equal(s.chunks, 1);
    assert_int_equal(s.used, 0);
    slab_free(&s);
}

static void others_keep_what_they_hold(void **state) {
    (void)state;
    struct slab s = {.octets = sizeof(struct pair6)};
    for (uint32_t i = 0; i < MANY; i++)
        memset(slab_at(&s, slab_take(&s)), (int)(i % 251), sizeof(struct pair6));
    for (uint32_t i = 0; i < MANY; i += 2)
        slab_give(&s, i);
    for (uint32_t i = 1; i < MANY; i += 2)
        for (size_t at = 0; at < sizeof(struct pair6); at++)
            assert_int_equal(((uint8_t *)slab_at(&s, i))[at], i % 251);
    for (uint32_t i = 0; i < MANY; i += 2)
        assert_int_equal(slab_take(&s) % 2, 0);
    assert_int_equal(slab_take(&s), MANY);
    slab_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indexes_are_distinct_and_stay),
        cmocka_unit_test(freed_entries_are_used_first),
        cmocka_unit_test(memory_follows_the_most_that_was_held),
        cmocka_unit_test(others_keep_what_they_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
