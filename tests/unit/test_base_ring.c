/*
 * The ring between two threads: order, bounds, and nothing lost or doubled while both sides run.
 * With the thread sanitizer the last test also proves that what is put is seen whole.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "spanwatch/ring.h"

struct item {
    uint64_t number;
    uint64_t words[5]; /* each is derived from number: a torn item shows */
};

static struct item make(uint64_t number) {
    struct item i = {.number = number};
    for (unsigned k = 0; k < 5; k++)
        i.words[k] = number * 31 + k;
    return i;
}

static bool is_whole(const struct item *i) {
    struct item same = make(i->number);
    for (unsigned k = 0; k < 5; k++)
        if (i->words[k] != same.words[k])
            return false;
    return true;
}

static void test_empty_ring_gives_nothing(void **state) {
    (void)state;
    struct base_ring *r = base_ring_new(4, sizeof(struct item));
    assert_non_null(r);
    assert_null(base_ring_first(r));
    assert_int_equal(base_ring_room(r), 4);
    assert_int_equal(base_ring_free_items(r), 4);
    base_ring_free(r);
}

static void test_room_is_rounded_up(void **state) {
    (void)state;
    struct base_ring *r = base_ring_new(5, 1);
    assert_int_equal(base_ring_room(r), 8);
    base_ring_free(r);
}

static void test_full_ring_refuses_and_keeps(void **state) {
    (void)state;
    struct base_ring *r = base_ring_new(4, sizeof(struct item));
    for (uint64_t n = 0; n < 4; n++) {
        struct item i = make(n);
        assert_true(base_ring_put(r, &i));
    }
    struct item extra = make(99);
    assert_false(base_ring_put(r, &extra));
    assert_int_equal(base_ring_free_items(r), 0);
    const struct item *first = base_ring_first(r);
    assert_int_equal(first->number, 0);
    base_ring_drop(r);
    assert_true(base_ring_put(r, &extra));
    for (uint64_t n = 1; n < 4; n++, base_ring_drop(r)) {
        first = base_ring_first(r);
        assert_int_equal(first->number, n);
    }
    first = base_ring_first(r);
    assert_int_equal(first->number, 99);
    base_ring_drop(r);
    assert_null(base_ring_first(r));
    base_ring_free(r);
}

static void test_first_stays_until_dropped(void **state) {
    (void)state;
    struct base_ring *r = base_ring_new(2, sizeof(struct item));
    struct item i = make(7);
    assert_true(base_ring_put(r, &i));
    assert_ptr_equal(base_ring_first(r), base_ring_first(r));
    assert_int_equal(base_ring_free_items(r), 1);
    base_ring_free(r);
}

/* In two steps: what is not put yet is not there, and the spare room stays. */
static void test_what_is_placed_is_there_once_it_is_put(void **state) {
    (void)state;
    struct base_ring *r = base_ring_new(4, sizeof(struct item));
    for (uint64_t n = 0; n < 3; n++) {
        struct item *i = base_ring_place(r, 1);
        assert_non_null(i);
        assert_int_equal((uintptr_t)base_ring_place(r, 1), (uintptr_t)i);
        *i = make(n);
        assert_int_equal(base_ring_free_items(r), 4 - n);
        base_ring_put_placed(r);
    }
    assert_null(base_ring_place(r, 1));
    assert_non_null(base_ring_place(r, 0));
    for (uint64_t n = 0; n < 3; n++, base_ring_drop(r)) {
        const struct item *first = base_ring_first(r);
        assert_true(first->number == n && is_whole(first));
    }
    assert_null(base_ring_first(r));
    base_ring_free(r);
}

enum { MANY = 200000 };

static void *put_all(void *ring) {
    for (uint64_t n = 0; n < MANY;) {
        struct item i = make(n);
        if (base_ring_put(ring, &i))
            n++;
        else
            sched_yield();
    }
    return NULL;
}

static void test_two_threads_lose_nothing(void **state) {
    (void)state;
    struct base_ring *r = base_ring_new(64, sizeof(struct item));
    pthread_t putter;
    assert_int_equal(pthread_create(&putter, NULL, put_all, r), 0);
    uint64_t next = 0;
    bool good = true;
    while (next < MANY) {
        const struct item *i = base_ring_first(r);
        if (i == NULL) {
            sched_yield();
            continue;
        }
        good = good && i->number == next && is_whole(i);
        base_ring_drop(r);
        next++;
    }
    pthread_join(putter, NULL);
    assert_true(good);
    assert_null(base_ring_first(r));
    base_ring_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_ring_gives_nothing),
        cmocka_unit_test(test_room_is_rounded_up),
        cmocka_unit_test(test_full_ring_refuses_and_keeps),
        cmocka_unit_test(test_first_stays_until_dropped),
        cmocka_unit_test(test_what_is_placed_is_there_once_it_is_put),
        cmocka_unit_test(test_two_threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
