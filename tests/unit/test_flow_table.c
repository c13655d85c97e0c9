/*
 * The open-addressing table against a naive model: an array that says for each key which flow it
 * has. Hashes are given by the test, so that many keys share the low bits, or all 32.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/flow/tracker.h"
#include "tests/unit/flow_random.h"

enum { KEYS = 20000, OPERATIONS = 200000 };

struct fixture {
    struct pool pool;
    struct table table;
    uint32_t index[KEYS]; /* the model; FLOW_NONE: not in the table */
    uint32_t count;
};

static void start(struct fixture *x) {
    memset(x, 0, sizeof *x);
    memset(x->index, 0xff, sizeof x->index);
    assert_int_equal(pool_init(&x->pool, KEYS, true), 0);
    assert_int_equal(table_init(&x->table, &x->pool), 0);
}

static void stop(struct fixture *x) {
    table_fini(&x->table);
    pool_fini(&x->pool);
}

/* Every third key is IPv6; one in 64 has a hash that differs in the high bits only, one in eight
 * shares a whole one. */
static void key_of(uint32_t n, struct flow_key *k) {
    memset(k, 0, sizeof *k);
    k->family = n % 3 ? 4 : 6;
    for (unsigned side = 0; side < 2; side++) {
        uint8_t octets[16] = {(uint8_t)(10 + side), 0, (uint8_t)(n >> 8), (uint8_t)n};
        octets[15] = k->family == 6 ? (uint8_t)n : 0;
        memcpy(k->family == 6 ? (void *)k->v6[side] : &k->v4[side], octets,
               k->family == 6 ? 16 : 4);
        k->port[side] = (uint16_t)(1000 + side);
    }
    k->scope = n >> 16;
    uint64_t seed = n;
    k->hash = n % 64 == 0 ? n << 20 | 77 : n % 8 == 1 ? (n / 32) : (uint32_t)random_next(&seed);
}

static void insert(struct fixture *x, uint32_t n) {
    struct flow_key k;
    key_of(n, &k);
    uint32_t index = slab_take(&x->pool.flow);
    assert_int_not_equal(index, FLOW_NONE);
    struct flow *f = pool_at(&x->pool, index);
    *f = (struct flow){.flags = FLOW_USED};
    if (k.family == 6) {
        f->addr[0] = slab_take(&x->pool.pair);
        f->flags |= FLOW_IPV6;
        memcpy(pool_pair(&x->pool, f), k.v6, sizeof k.v6);
    } else {
        memcpy(f->addr, k.v4, sizeof f->addr);
    }
    memcpy(f->port, k.port, sizeof f->port);
    f->scope = k.scope;
    f->serial = k.hash; /* the table asks for it */
    assert_int_equal(table_insert(&x->table, k.hash, index), 0);
    x->index[n] = index;
    x->count++;
}

static void erase(struct fixture *x, uint32_t n) {
    uint32_t index = x->index[n];
    struct flow *f = pool_at(&x->pool, index);
    table_erase(&x->table, f->serial, index);
    if (f->flags & FLOW_IPV6)
        slab_give(&x->pool.pair, f->addr[0]);
    slab_give(&x->pool.flow, index);
    x->index[n] = FLOW_NONE;
    x->count--;
}

static void check_one(const struct fixture *x, uint32_t n) {
    struct flow_key k;
    key_of(n, &k);
    assert_int_equal(table_find(&x->table, &k), x->index[n]);
}

static void check_all(const struct fixture *x) {
    for (uint32_t n = 0; n < KEYS; n++)
        check_one(x, n);
    assert_int_equal(x->table.used, x->count);
}

static void as_the_model(void **state) {
    (void)state;
    static struct fixture x;
    uint64_t seed = 1;
    unsigned growing = 0;
    start(&x);
    for (unsigned i = 0; i < OPERATIONS; i++) {
        uint32_t n = (uint32_t)random_below(&seed, KEYS);
        check_one(&x, n);
        /* up to three quarters full, then down again, and up */
        bool fill = (i / (OPERATIONS / 4)) % 2 == 0;
        if (x.index[n] == FLOW_NONE && (fill || random_below(&seed, 4) == 0))
            insert(&x, n);
        else if (x.index[n] != FLOW_NONE && (!fill || random_below(&seed, 4) == 0))
            erase(&x, n);
        check_one(&x, n);
        growing += x.table.old != NULL;
        if (i % (OPERATIONS / 16) == 0 || (x.table.old && i % 499 == 0))
            check_all(&x);
    }
    check_all(&x);
    assert_true(growing > 100); /* much of it happened while slots were moving */
    assert_true(x.table.mask > 1023);
    stop(&x);
}

static void grows_with_what_it_holds(void **state) {
    (void)state;
    static struct fixture x;
    start(&x);
    uint32_t first = x.table.mask;
    for (uint32_t n = 0; n < KEYS; n++)
        insert(&x, n);
    assert_true(x.table.mask > first && x.table.mask * TABLE_SLOTS >= x.count);
    check_all(&x);
    for (uint32_t n = 0; n < KEYS; n++)
        erase(&x, n);
    check_all(&x);
    assert_int_equal(x.table.used, 0);
    for (uint32_t i = 0; i <= x.table.mask; i++)
        for (unsigned j = 0; j < TABLE_SLOTS; j++)
            assert_int_equal(x.table.bucket[i].index[j], 0); /* no tombstones */
    stop(&x);
}

/* Erased while its slot was still in the old array: it must not come back with the move. */
static void erased_while_growing(void **state) {
    (void)state;
    static struct fixture x;
    uint32_t n = 0;
    start(&x);
    while (x.table.old == NULL)
        insert(&x, n++);
    uint32_t filled = n;
    for (uint32_t i = 0; i < filled; i += 2)
        erase(&x, i);
    while (x.table.old != NULL)
        insert(&x, n++);
    check_all(&x);
    stop(&x);
}

/* What is prefetched is an entry, never another address; and nearly always the flow itself. (Keys
 * that share a whole hash are told apart by the look-up alone.) */
static void guess_is_of_the_same_tag(void **state) {
    (void)state;
    static struct fixture x;
    unsigned right = 0, asked = 0;
    start(&x);
    for (uint32_t n = 0; n < 1000; n++)
        insert(&x, n);
    for (uint32_t n = 0; n < 2000; n++) {
        struct flow_key k;
        key_of(n, &k);
        uint32_t index = table_guess(&x.table, k.hash);
        bool alone = n % 8 != 1;
        if (index != FLOW_NONE) {
            assert_true(index < x.pool.flow.top);
            if (alone)
                assert_int_equal(pool_at(&x.pool, index)->serial, k.hash);
        }
        asked += alone && n < 1000;
        right += alone && n < 1000 && index == x.index[n];
    }
    assert_true(right * 100 > asked * 95);
    stop(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_model),
        cmocka_unit_test(grows_with_what_it_holds),
        cmocka_unit_test(erased_while_growing),
        cmocka_unit_test(guess_is_of_the_same_tag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
