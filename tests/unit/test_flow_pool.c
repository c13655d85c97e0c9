/*
 * The pools: indexes are given out once, entries never move, are zeroed, and are used again before
 * new ones are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/flow/tracker.h"

enum { MANY = POOL_CHUNK * 3 + 7 };

static void indexes_are_distinct_and_stay(void **state) {
    (void)state;
    struct pool p = {0};
    struct flow **where = calloc(MANY, sizeof *where);
    assert_non_null(where);
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t index = pool_take(&p);
        assert_int_equal(index, i);
        where[i] = pool_at(&p, index);
        where[i]->serial = i + 1;
    }
    assert_int_equal(p.used, MANY);
    assert_int_equal(p.chunks, 4);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_ptr_equal(pool_at(&p, i), where[i]);
        assert_true(where[i]->serial == i + 1);
        assert_int_equal((uintptr_t)where[i] % 64, 0); /* the cache's lines */
    }
    free(where);
    pool_free(&p);
}

static void a_fresh_entry_is_blank(void **state) {
    (void)state;
    struct pool p = {0};
    struct flow blank;
    memset(&blank, 0, sizeof blank);
    uint32_t index = pool_take(&p);
    struct flow *f = pool_at(&p, index);
    memset(f, 0xff, sizeof *f);
    pool_give(&p, index);
    assert_int_equal(pool_take(&p), index);
    assert_int_equal(f->flags, FLOW_USED);
    assert_int_equal(f->wheel_slot, WHEEL_OUT);
    assert_true(f->deadline_ns == BASE_NEVER_NS);
    f->flags = 0;
    f->wheel_slot = 0;
    f->deadline_ns = 0;
    assert_memory_equal(f, &blank, sizeof blank);
    pool_free(&p);
}

static void freed_entries_are_used_first(void **state) {
    (void)state;
    struct pool p = {0};
    for (uint32_t i = 0; i < 10; i++)
        pool_take(&p);
    pool_give(&p, 3);
    pool_give(&p, 7);
    pool_give(&p, 0);
    assert_int_equal(p.used, 7);
    assert_false(pool_at(&p, 7)->flags & FLOW_USED);
    assert_int_equal(pool_take(&p), 0); /* the last freed is still in the cache */
    assert_int_equal(pool_take(&p), 7);
    assert_int_equal(pool_take(&p), 3);
    assert_int_equal(pool_take(&p), 10);
    assert_int_equal(p.used, 11);
    pool_free(&p);
}

static void memory_follows_the_most_that_was_held(void **state) {
    (void)state;
    struct pool p = {0};
    for (unsigned round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < POOL_CHUNK; i++)
            pool_take(&p);
        for (uint32_t i = 0; i < POOL_CHUNK; i++)
            pool_give(&p, i);
    }
    assert_int_equal(p.chunks, 1);
    assert_int_equal(p.used, 0);
    pool_free(&p);
}

static void pairs_of_addresses(void **state) {
    (void)state;
    struct pool6 p = {0};
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t index = pool6_take(&p);
        assert_int_equal(index, i);
        memset(pool6_at(&p, index), (int)(i % 251), sizeof(struct pair6));
    }
    for (uint32_t i = 0; i < MANY; i += 2)
        pool6_give(&p, i);
    for (uint32_t i = 1; i < MANY; i += 2) /* the others keep what they hold */
        for (size_t at = 0; at < 16; at++)
            assert_int_equal(pool6_at(&p, i)->addr[1][at], i % 251);
    for (uint32_t i = 0; i < MANY; i += 2)
        assert_int_equal(pool6_take(&p) % 2, 0);
    assert_int_equal(pool6_take(&p), MANY);
    pool6_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indexes_are_distinct_and_stay),
        cmocka_unit_test(a_fresh_entry_is_blank),
        cmocka_unit_test(freed_entries_are_used_first),
        cmocka_unit_test(memory_follows_the_most_that_was_held),
        cmocka_unit_test(pairs_of_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
