/*
 * Slabs: indexes are given out once, entries never move, and are used again before new ones are;
 * memory that is fetched ahead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe/flow/tracker.h"

enum { MANY = SLAB_CHUNK * 3 + 7 };

static void indexes_are_distinct_and_stay(void **state) {
    (void)state;
    struct ahead *a = ahead_new();
    struct slab s;
    assert_non_null(a);
    assert_int_equal(slab_init(&s, sizeof(struct lean), 3 * MANY, a), 0);
    struct lean **where = calloc(MANY, sizeof *where);
    assert_non_null(where);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_int_equal(slab_take(&s), i);
        where[i] = slab_at(&s, i);
        where[i]->first[0] = i + 1;
    }
    assert_int_equal(s.used, MANY);
    assert_int_equal(slab_memory(&s), 2 * PAGES_HUGE); /* what four chunks take; the next */
    for (uint32_t i = 0; i < MANY; i++) {
        assert_ptr_equal(slab_at(&s, i), where[i]);
        assert_int_equal(where[i]->first[0], i + 1);
        assert_int_equal((uintptr_t)where[i] % 64, 0); /* the cache's lines */
    }
    free(where);
    ahead_free(a);
    slab_free(&s);
}

static void freed_entries_are_used_first(void **state) {
    (void)state;
    struct slab s;
    assert_int_equal(slab_init(&s, 32, MANY, NULL), 0);
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
    struct ahead *a = ahead_new();
    struct slab s;
    assert_non_null(a);
    assert_int_equal(slab_init(&s, 64, MANY, a), 0);
    for (unsigned round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < SLAB_CHUNK; i++)
            slab_take(&s);
        for (uint32_t i = 0; i < SLAB_CHUNK; i++)
            slab_give(&s, i);
    }
    assert_int_equal(slab_memory(&s), SLAB_CHUNK * 64); /* few take little: no huge page yet */
    assert_int_equal(s.used, 0);
    ahead_free(a);
    slab_free(&s);
}

static void others_keep_what_they_hold(void **state) {
    (void)state;
    struct slab s;
    assert_int_equal(slab_init(&s, sizeof(struct pair6), MANY, NULL), 0);
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

static void more_than_was_asked_for_is_refused(void **state) {
    (void)state;
    enum { ROOM = 2 * SLAB_CHUNK, ENTRY = 640 };
    struct slab s;
    assert_int_equal(slab_init(&s, ENTRY, 1, NULL), 0);
    for (uint32_t i = 0; i < ROOM; i++)
        memset(slab_at(&s, slab_take(&s)), 1, ENTRY);
    assert_int_equal(slab_take(&s), FLOW_NONE);
    assert_int_equal(s.used, ROOM);
    slab_give(&s, 5);
    assert_int_equal(slab_take(&s), 5);
    assert_int_equal(slab_take(&s), FLOW_NONE);
    slab_free(&s);
}

static size_t addresses_in_use(void) {
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%zu", &pages), 1);
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* A process that may have no more addresses (ulimit -v) holds fewer flows, and goes on. */
static void few_addresses_hold_fewer(void **state) {
    (void)state;
    enum { GIB = 1 << 30 };
    struct rlimit before, few;
    struct slab s;
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    few = (struct rlimit){.rlim_cur = addresses_in_use() + GIB, .rlim_max = before.rlim_max};
    if (setrlimit(RLIMIT_AS, &few) != 0)
        skip();
    int made = slab_init(&s, sizeof(struct body), 100000000, NULL);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_int_equal(made, 0);
    assert_in_range(s.reserved, 1, GIB);
    assert_int_equal(slab_take(&s), 0);
    slab_free(&s);
}

enum { PAGE = 4096 };

static bool is_there(char *at, size_t octets) {
    unsigned char page[2 * PAGES_HUGE / PAGE];
    assert_in_range(octets, PAGE, sizeof page * PAGE);
    assert_int_equal(mincore(at, octets, page), 0);
    for (size_t i = 0; i < octets / PAGE; i++)
        if (!(page[i] & 1))
            return false;
    return true;
}

/* Nothing is touched here: another thread has the kernel bring it. What was unmapped meanwhile, and
 * what nobody has mapped, does no harm. */
static void pages_are_there_before_they_are_touched(void **state) {
    (void)state;
    enum { OCTETS = PAGES_HUGE + 3 * PAGE };
    struct ahead *a = ahead_new();
    char *gone = pages_take(PAGES_HUGE, false), *at = pages_take(OCTETS, false);
    assert_non_null(a);
    assert_non_null(gone);
    assert_non_null(at);
    if (madvise(at, PAGE, MADV_POPULATE_WRITE) != 0)
        skip(); /* a kernel before 5.14 */
    assert_false(is_there(at, OCTETS));
    pages_give(gone, PAGES_HUGE);
    for (unsigned i = 0; i < 20; i++)
        ahead_fetch(a, gone, PAGES_HUGE); /* more than it takes down */
    for (unsigned i = 0; i < 5000 && !is_there(at, OCTETS); i++) {
        ahead_fetch(a, at, OCTETS);
        usleep(2000);
    }
    assert_true(is_there(at, OCTETS));
    ahead_free(a);
    pages_give(at, OCTETS);
}

static void who_never_asked_ends_as_well(void **state) {
    (void)state;
    struct ahead *a = ahead_new();
    assert_non_null(a);
    ahead_free(a);
    ahead_free(NULL);
    ahead_fetch(NULL, state, PAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indexes_are_distinct_and_stay),
        cmocka_unit_test(freed_entries_are_used_first),
        cmocka_unit_test(memory_follows_the_most_that_was_held),
        cmocka_unit_test(others_keep_what_they_hold),
        cmocka_unit_test(more_than_was_asked_for_is_refused),
        cmocka_unit_test(few_addresses_hold_fewer),
        cmocka_unit_test(pages_are_there_before_they_are_touched),
        cmocka_unit_test(who_never_asked_ends_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
