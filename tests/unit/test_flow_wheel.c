/*
 * The wheel against a naive model: the least deadline, then the least serial, of those that are
 * set.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/flow/tracker.h"
#include "tests/unit/flow_random.h"

enum { FLOWS = 300 };

#define YEAR_NS (UINT64_C(31557600) * BASE_NS_PER_S)
#define TODAY   UINT64_C(1700000000000000000)

struct fixture {
    struct pool pool;
    struct wheel wheel;
    uint64_t deadline[FLOWS]; /* the model */
    uint64_t now_ns;
};

static void start(struct fixture *x, uint64_t now_ns) {
    memset(x, 0, sizeof *x);
    x->now_ns = now_ns;
    assert_int_equal(pool_init(&x->pool, FLOWS, true), 0);
    wheel_init(&x->wheel, &x->pool);
    x->wheel.tick = now_ns >> WHEEL_TICK_BITS;
    for (uint32_t i = 0; i < FLOWS; i++) {
        uint32_t index = slab_take(&x->pool.flow);
        assert_int_equal(index, i);
        *pool_at(&x->pool, index) =
            (struct flow){.serial = FLOWS - i, /* so that serial and index differ in order */
                          .deadline_ns = BASE_NEVER_NS,
                          .wheel_slot = WHEEL_OUT};
        x->deadline[i] = BASE_NEVER_NS;
    }
}

static void stop(struct fixture *x) {
    wheel_fini(&x->wheel);
    pool_fini(&x->pool);
}

static void set(struct fixture *x, uint32_t i, uint64_t deadline_ns) {
    assert_int_equal(wheel_set(&x->wheel, i, deadline_ns), 0);
    x->deadline[i] = deadline_ns;
    assert_true(pool_at(&x->pool, i)->deadline_ns == deadline_ns);
}

static uint32_t model_next(const struct fixture *x, uint64_t now_ns) {
    uint32_t best = FLOW_NONE;
    for (uint32_t i = FLOWS; i-- > 0;) /* by serial */
        if (x->deadline[i] <= now_ns && (best == FLOW_NONE || x->deadline[i] < x->deadline[best]))
            best = i;
    return best;
}

/* All that is due until now_ns, in the order of the model. */
static unsigned run(struct fixture *x, uint64_t now_ns) {
    unsigned n = 0;
    x->now_ns = now_ns;
    for (;; n++) {
        uint64_t deadline_ns = 0;
        uint32_t expected = model_next(x, now_ns),
                 found = wheel_next(&x->wheel, now_ns, &deadline_ns);
        assert_int_equal(found, expected);
        if (found == FLOW_NONE)
            return n;
        assert_true(deadline_ns == x->deadline[found]);
        assert_true(pool_at(&x->pool, found)->deadline_ns == BASE_NEVER_NS);
        x->deadline[found] = BASE_NEVER_NS;
    }
}

/* Most deadlines are near, as timers are; some lie hours or years ahead, some in the past. */
static uint64_t some_time(uint64_t *seed, uint64_t now_ns) {
    static const uint64_t spans[] = {1000,
                                     1000000,
                                     20000000,
                                     3 * BASE_NS_PER_S,
                                     130 * BASE_NS_PER_S,
                                     86400 * BASE_NS_PER_S,
                                     3 * YEAR_NS};
    uint64_t ahead = random_below(seed, spans[random_below(seed, sizeof spans / sizeof *spans)]);
    return random_below(seed, 20) == 0 && now_ns > ahead ? now_ns - ahead : now_ns + ahead;
}

static void play(uint64_t now_ns) {
    static struct fixture x;
    uint64_t seed = now_ns;
    unsigned fired = 0;
    start(&x, now_ns);
    for (unsigned step = 0; step < 20000; step++) {
        uint32_t i = (uint32_t)random_below(&seed, FLOWS);
        unsigned what = (unsigned)random_below(&seed, 10);
        if (what < 6) {
            set(&x, i, some_time(&seed, x.now_ns));
        } else if (what < 7) {
            wheel_remove(&x.wheel, i);
            x.deadline[i] = BASE_NEVER_NS;
        } else {
            uint64_t t = some_time(&seed, x.now_ns);
            fired += run(&x, t > x.now_ns && t - x.now_ns < 3600 * BASE_NS_PER_S ? t : x.now_ns);
        }
    }
    fired += run(&x, x.now_ns + 4 * YEAR_NS);
    assert_true(fired > 1000);
    assert_int_equal(x.wheel.due, 0);
    stop(&x);
}

static void as_the_model_today(void **state) {
    (void)state;
    play(TODAY);
}

static void as_the_model_at_the_epoch(void **state) {
    (void)state;
    play(1);
}

/* 14 July 2006: the 2^60th nanosecond, where the highest levels of the wheel turn over; 20 January
 * 2043 is another. */
static void as_the_model_where_the_highest_level_turns(void **state) {
    (void)state;
    play((UINT64_C(1) << 60) - 50 * BASE_NS_PER_S);
    play((UINT64_C(1) << 61) - 50 * BASE_NS_PER_S);
}

static void ties_go_by_serial(void **state) {
    (void)state;
    static struct fixture x;
    uint64_t deadline_ns;
    start(&x, TODAY);
    for (uint32_t i = 0; i < FLOWS; i++)
        set(&x, i, TODAY + 60 * BASE_NS_PER_S);
    for (uint32_t i = FLOWS; i-- > 0;)
        assert_int_equal(wheel_next(&x.wheel, TODAY + 60 * BASE_NS_PER_S, &deadline_ns), i);
    stop(&x);
}

/* Not a nanosecond early, and at its own nanosecond. */
static void exact_to_the_nanosecond(void **state) {
    (void)state;
    static struct fixture x;
    start(&x, TODAY);
    set(&x, 7, TODAY + 60 * BASE_NS_PER_S);
    assert_int_equal(run(&x, TODAY + 60 * BASE_NS_PER_S - 1), 0);
    assert_int_equal(run(&x, TODAY + 60 * BASE_NS_PER_S), 1);
    stop(&x);
}

static void set_anew(void **state) {
    (void)state;
    static struct fixture x;
    start(&x, TODAY);
    set(&x, 1, TODAY + 60 * BASE_NS_PER_S);
    set(&x, 1, TODAY + 5 * BASE_NS_PER_S); /* earlier */
    set(&x, 2, TODAY + 5 * BASE_NS_PER_S);
    set(&x, 2, TODAY + 60 * BASE_NS_PER_S); /* later */
    assert_int_equal(run(&x, TODAY + 30 * BASE_NS_PER_S), 1);
    set(&x, 2, BASE_NEVER_NS);
    assert_int_equal(run(&x, TODAY + YEAR_NS), 0);
    stop(&x);
}

static void far_ahead(void **state) {
    (void)state;
    static struct fixture x;
    start(&x, TODAY);
    set(&x, 1, TODAY + 100 * YEAR_NS);
    set(&x, 2, TODAY + 40 * YEAR_NS);
    set(&x, 3, TODAY + 2 * YEAR_NS);
    assert_int_equal(run(&x, TODAY + YEAR_NS), 0);
    assert_int_equal(run(&x, TODAY + 3 * YEAR_NS), 1);
    assert_int_equal(run(&x, TODAY + 50 * YEAR_NS), 1);
    assert_int_equal(run(&x, TODAY + 101 * YEAR_NS), 1);
    stop(&x);
}

/* ---- how much one step moves: packets wait for it ---- */

enum { TICKS_A_MINUTE = 3576 /* of 2^24 ns, rounded down */, CROWD = 2 * TICKS_A_MINUTE };
#define TICK_NS (UINT64_C(1) << WHEEL_TICK_BITS)

struct crowd {
    struct pool pool;
    struct wheel wheel;
    uint32_t flows;
    uint16_t slot[CROWD]; /* as it was at the last step */
};

static void gather(struct crowd *x, uint32_t flows) {
    memset(x, 0, sizeof *x);
    x->flows = flows;
    assert_int_equal(pool_init(&x->pool, flows, true), 0);
    wheel_init(&x->wheel, &x->pool);
    x->wheel.tick = TODAY >> WHEEL_TICK_BITS;
    for (uint32_t i = 0; i < flows; i++) {
        assert_int_equal(slab_take(&x->pool.flow), i);
        *pool_at(&x->pool, i) =
            (struct flow){.serial = i, .deadline_ns = BASE_NEVER_NS, .wheel_slot = WHEEL_OUT};
    }
}

static void disperse(struct crowd *x) {
    wheel_fini(&x->wheel);
    pool_fini(&x->pool);
}

static void note_slots(struct crowd *x) {
    for (uint32_t i = 0; i < x->flows; i++)
        x->slot[i] = pool_at(&x->pool, i)->wheel_slot;
}

/* How many flows change their place while time goes on to now_ns; of those that fire `fired`. */
static unsigned moved(struct crowd *x, uint64_t now_ns, unsigned *fired) {
    unsigned n = 0;
    uint64_t deadline_ns;
    note_slots(x);
    for (*fired = 0; wheel_next(&x->wheel, now_ns, &deadline_ns) != FLOW_NONE; (*fired)++)
        assert_true(deadline_ns <= now_ns);
    for (uint32_t i = 0; i < x->flows; i++)
        n += pool_at(&x->pool, i)->wheel_slot != x->slot[i];
    return n;
}

/* TIME_WAIT: as many a second, each for a minute. What moves in a tick is what runs out in it, and
 * the like: not all of them, nor a second's worth. */
static void a_minute_of_time_wait_never_moves_at_once(void **state) {
    (void)state;
    static struct crowd x;
    enum { A_TICK = CROWD / TICKS_A_MINUTE };
    uint32_t next = 0;
    unsigned fired, all = 0, most = 0;
    gather(&x, CROWD);
    for (uint64_t tick = 1; tick < 3 * TICKS_A_MINUTE; tick++) {
        uint64_t now_ns = TODAY + tick * TICK_NS;
        unsigned n = moved(&x, now_ns, &fired);
        most = n > most ? n : most;
        all += fired;
        for (unsigned i = 0; i < A_TICK; i++, next = (next + 1) % CROWD)
            assert_int_equal(wheel_set(&x.wheel, next, now_ns + TICKS_A_MINUTE * TICK_NS), 0);
    }
    assert_true(all >= (2 * TICKS_A_MINUTE - 2) * A_TICK);
    assert_in_range(most, A_TICK, 8 * A_TICK);
    disperse(&x);
}

/* Connections opened in one half minute, and silent since: on the way to their deadlines they never
 * move as a whole. */
static void come_nearer_bit_by_bit(uint64_t ahead_ns, uint64_t step_ns) {
    enum { FEW = 1500 };
    static struct crowd x;
    uint64_t now_ns = TODAY, end_ns = TODAY + ahead_ns + 31 * BASE_NS_PER_S;
    unsigned fired, all = 0, most = 0;
    gather(&x, FEW);
    for (uint32_t i = 0; i < FEW; i++) {
        uint64_t begin_ns = i * (30 * BASE_NS_PER_S / FEW);
        assert_int_equal(wheel_set(&x.wheel, i, TODAY + begin_ns + ahead_ns), 0);
    }
    while (now_ns < end_ns) {
        now_ns += step_ns;
        unsigned n = moved(&x, now_ns, &fired), still = n - fired;
        most = still > most ? still : most;
        all += fired;
    }
    assert_int_equal(all, FEW);
    assert_in_range(most, 1, FEW / 5);
    disperse(&x);
}

static void a_crowd_two_hours_ahead(void **state) {
    (void)state;
    come_nearer_bit_by_bit(7200 * BASE_NS_PER_S, 2 * BASE_NS_PER_S);
}

static void a_crowd_five_days_ahead(void **state) {
    (void)state;
    come_nearer_bit_by_bit(5 * 86400 * BASE_NS_PER_S, 5 * BASE_NS_PER_S);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_minute_of_time_wait_never_moves_at_once),
        cmocka_unit_test(a_crowd_two_hours_ahead),
        cmocka_unit_test(a_crowd_five_days_ahead),
        cmocka_unit_test(as_the_model_today),
        cmocka_unit_test(as_the_model_at_the_epoch),
        cmocka_unit_test(as_the_model_where_the_highest_level_turns),
        cmocka_unit_test(ties_go_by_serial),
        cmocka_unit_test(exact_to_the_nanosecond),
        cmocka_unit_test(set_anew),
        cmocka_unit_test(far_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
