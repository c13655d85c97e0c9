/*
 * What the report is made of: short lists, capped tables, readable numbers, aligned columns.
 */
#include "test_record_fixture.h"

#include "probe/store/output.h"
#include "probe/store/tally.h"
#include "probe/store/top.h"
#include "spanwatch/readable.h"

struct item {
    int rank, name;
};

static bool lower_rank(const void *a, const void *b) {
    return ((const struct item *)a)->rank < ((const struct item *)b)->rank;
}

static void test_top_keeps_the_first(void **state) {
    (void)state;
    static const struct item offered[] = {{5, 0}, {3, 1}, {9, 2}, {3, 3}, {1, 4}, {5, 5}, {3, 6}};
    static const int expected[] = {4, 1, 3, 6}; /* equals in the order in which they came */
    struct item kept[4];
    struct store_top top = {.items = kept, .size = sizeof *kept, .max = 4, .before = lower_rank};
    for (size_t i = 0; i < sizeof offered / sizeof *offered; i++)
        store_top_offer(&top, &offered[i]);
    assert_int_equal(top.count, 4);
    assert_int_equal(top.offered, 7);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(kept[i].name, expected[i]);
}

static struct store_host *host(struct store_hosts *h, uint32_t number) {
    uint8_t octet[16] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
                         (uint8_t)number};
    struct store_host *x = store_hosts_entry(h, 4, octet);
    assert_non_null(x);
    return x;
}

/* The cap holds; who has something to tell stays. */
static void test_least_troubled_hosts_make_room(void **state) {
    (void)state;
    struct store_hosts h = {.seed = {1, 2}};
    host(&h, 1)->refused = 3;
    host(&h, 2)->resets_sent = 1;
    for (uint32_t i = 10; i < 10 + 2 * STORE_HOSTS_MAX; i++)
        host(&h, i);
    assert_true(HASH_COUNT(h.table) <= STORE_HOSTS_MAX);
    assert_int_equal(h.made_room, 2 + 2 * STORE_HOSTS_MAX - HASH_COUNT(h.table));
    assert_int_equal(h.unkept, 0);
    assert_int_equal(host(&h, 1)->refused, 3);
    assert_int_equal(host(&h, 2)->resets_sent, 1);
    store_hosts_fini(&h);
}

static void test_hosts_of_both_families_differ(void **state) {
    (void)state;
    struct store_hosts h = {.seed = {1, 2}};
    uint8_t octet[16] = {10, 0, 0, 1};
    struct store_host *four = store_hosts_entry(&h, 4, octet),
                      *six = store_hosts_entry(&h, 6, octet);
    assert_ptr_not_equal(four, six);
    assert_ptr_equal(store_hosts_entry(&h, 4, octet), four);
    assert_int_equal(HASH_COUNT(h.table), 2);
    store_hosts_fini(&h);
}

static void test_pairs_are_capped(void **state) {
    (void)state;
    struct store_pairs p = {.seed = {1, 2}};
    struct event_connection n = {.side = {{.bytes = 2}, {.bytes = 3}}};
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < STORE_PAIRS_MAX + 5; i++) {
            char service[SERVICE_NAME_MAX];
            snprintf(service, sizeof service, "service-%d", i);
            store_pairs_add(&p, service, &n);
        }
    }
    assert_int_equal(HASH_COUNT(p.table), STORE_PAIRS_MAX);
    assert_int_equal(p.unlisted, 10);
    assert_int_equal(p.table->connections, 2);
    assert_int_equal(p.table->client_bytes, 4);
    assert_int_equal(p.table->server_bytes, 6);
    store_pairs_fini(&p);
}

static void test_numbers_are_readable(void **state) {
    (void)state;
    assert_string_equal(base_readable_count(0).text, "0");
    assert_string_equal(base_readable_count(99999).text, "99999");
    assert_string_equal(base_readable_count(100000).text, "100 k");
    assert_string_equal(base_readable_count(999499).text, "999 k");
    assert_string_equal(base_readable_count(999500).text, "1.0 M");
    assert_string_equal(base_readable_count(1234567).text, "1.2 M");
    assert_string_equal(base_readable_count(UINT64_MAX).text, "18.4 E");
    assert_string_equal(base_readable_bytes(999).text, "999 B");
    assert_string_equal(base_readable_bytes(1000).text, "1.0 kB");
    assert_string_equal(base_readable_bytes(UINT64_C(3400000000)).text, "3.4 GB");
    assert_string_equal(base_readable_percent(1, 3).text, "33.3 %");
    assert_string_equal(base_readable_percent(1, 1000000).text, "<0.1 %");
    assert_string_equal(base_readable_percent(0, 5).text, "0.0 %");
    assert_string_equal(base_readable_percent(0, 0).text, "-");
}

static void test_times_are_readable(void **state) {
    (void)state;
    assert_string_equal(base_readable_span(0).text, "0 ns");
    assert_string_equal(base_readable_span(12300).text, "12.3 us");
    assert_string_equal(base_readable_span(12300000).text, "12.3 ms");
    assert_string_equal(base_readable_span(2 * BASE_NS_PER_S).text, "2.00 s");
    assert_string_equal(base_readable_span(245 * BASE_NS_PER_S).text, "4 min 05 s");
    assert_string_equal(base_readable_span(7380 * BASE_NS_PER_S).text, "2 h 03 min");
    assert_string_equal(base_readable_span(183600 * BASE_NS_PER_S).text, "2 d 03 h");
    assert_string_equal(base_readable_moment(T0 + 7000000, T0).text, "22:13:20.007");
    assert_string_equal(base_readable_moment(T0, T0 + 7200 * BASE_NS_PER_S).text,
                        "2023-11-14 22:13:20.000");
}

static void test_columns_give_way(void **state) {
    (void)state;
    static struct store_columns t;
    char page[512];
    FILE *out = fmemopen(page, sizeof page, "w");
    assert_non_null(out);
    store_columns_init(&t, 0x2, 0);
    store_columns_cell(&t, "name");
    store_columns_cell(&t, "count");
    store_columns_end_row(&t);
    store_columns_cell(&t, "a-name-that-is-longer-than-there-is-room");
    store_columns_cell(&t, "7");
    store_columns_end_row(&t);
    store_columns_cell(&t, "日本日本日本日本日本日本");
    store_columns_cell(&t, "\x1b");
    store_columns_end_row(&t);
    store_columns_print(&t, out, 25);
    fclose(out);
    assert_string_equal(page, "  name              count\n"
                              "  a-name-that-is-~      7\n"
                              "  日本日本日本日~    \\x1b\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_top_keeps_the_first),
        cmocka_unit_test(test_least_troubled_hosts_make_room),
        cmocka_unit_test(test_hosts_of_both_families_differ),
        cmocka_unit_test(test_pairs_are_capped),
        cmocka_unit_test(test_numbers_are_readable),
        cmocka_unit_test(test_times_are_readable),
        cmocka_unit_test(test_columns_give_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
