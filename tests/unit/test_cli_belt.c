/*
 * The belt between two threads: blocks in order, whoever is ahead, and the end of them. With the
 * thread sanitizer the last test also proves that a block is seen whole.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "probe/cli/belt.h"

enum { BLOCKS = 3, WORDS = 100, ROUNDS = 5000 };

static void give(struct cli_belt *b, uint64_t number) {
    uint64_t *block = cli_belt_open(b);
    for (unsigned i = 0; i < WORDS; i++)
        block[i] = number * WORDS + i;
    cli_belt_give(b);
}

static void take(struct cli_belt *b, uint64_t number) {
    const uint64_t *block = cli_belt_first(b, 60000);
    assert_non_null(block);
    for (unsigned i = 0; i < WORDS; i++)
        assert_int_equal(block[i], number * WORDS + i);
    cli_belt_drop(b);
}

static void test_nothing_comes_in_time(void **state) {
    (void)state;
    struct cli_belt *b = cli_belt_new(BLOCKS, WORDS * sizeof(uint64_t));
    assert_non_null(b);
    assert_null(cli_belt_first(b, 0));
    assert_null(cli_belt_first(b, 2));
    assert_false(cli_belt_is_over(b));
    cli_belt_free(b);
}

static void test_blocks_come_in_order_and_end(void **state) {
    (void)state;
    struct cli_belt *b = cli_belt_new(BLOCKS, WORDS * sizeof(uint64_t));
    for (uint64_t n = 0; n < BLOCKS; n++)
        give(b, n);
    take(b, 0);
    give(b, BLOCKS);
    cli_belt_end(b);
    for (uint64_t n = 1; n <= BLOCKS; n++) {
        assert_false(cli_belt_is_over(b));
        take(b, n);
    }
    assert_true(cli_belt_is_over(b));
    assert_null(cli_belt_first(b, 60000)); /* at once: nothing will come */
    cli_belt_free(b);
}

static void *give_all(void *belt) {
    for (uint64_t n = 0; n < ROUNDS; n++) {
        if (n % 1000 == 0)
            sched_yield();
        give(belt, n);
    }
    cli_belt_end(belt);
    return NULL;
}

static void test_each_waits_for_the_other(void **state) {
    (void)state;
    pthread_t giver;
    struct cli_belt *b = cli_belt_new(BLOCKS, WORDS * sizeof(uint64_t));
    assert_int_equal(pthread_create(&giver, NULL, give_all, b), 0);
    for (uint64_t n = 0; n < ROUNDS; n++) {
        if (n % 700 == 0)
            sched_yield();
        take(b, n);
    }
    assert_null(cli_belt_first(b, 60000));
    assert_true(cli_belt_is_over(b));
    pthread_join(giver, NULL);
    cli_belt_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_comes_in_time),
        cmocka_unit_test(test_blocks_come_in_order_and_end),
        cmocka_unit_test(test_each_waits_for_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
