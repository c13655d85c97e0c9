/*
 * Files: what cannot be opened, the merge of several by time, the read buffer's edges, standard
 * input.
 */
#include "tests/unit/capture_build.h"

#include <sys/stat.h>

enum { WINDOW = 1 << 20 /* octets of the read buffer, as capture.h promises */ };

/* ---- what cannot be opened ---- */

static void assert_not_opened(const char *path, const char *what, const char *part) {
    struct capture *c = NULL;
    struct base_error error = {"", ""};
    assert_int_equal(capture_open_files(&c, &path, 1, &error), -1);
    assert_null(c);
    assert_string_equal(error.what, what);
    assert_says(&error, part);
}

static void test_missing_folder_empty(void **state) {
    (void)state;
    struct build nothing = {0};
    struct temporary t = write_file(&nothing);
    assert_not_opened(t.path, t.path, "is empty (0 octets)");
    remove_file(&t);
    assert_not_opened(t.path, t.path, "no such file: check the name");
    assert_not_opened(".", ".", "is a folder: name the capture files in it");
}

static void test_unreadable(void **state) {
    (void)state;
    struct build b = {0};
    put_simple_pcap(&b, 1000, 1, 10);
    struct temporary t = write_file(&b);
    uid_t user = geteuid();
    assert_int_equal(chmod(t.path, 0), 0);
    if (user == 0) /* root reads everything: be nobody for a moment */
        assert_int_equal(seteuid(65534), 0);
    assert_not_opened(t.path, t.path, "may not be read: check the permissions");
    assert_int_equal(seteuid(user), 0);
    remove_file(&t);
    build_free(&b);
}

static void test_no_files_and_standard_input_twice(void **state) {
    (void)state;
    struct capture *c;
    struct base_error error;
    assert_int_equal(capture_open_files(&c, NULL, 0, &error), -1);
    assert_says(&error, "no capture file is named");
    assert_int_equal(capture_open_files(&c, (const char *const[]){"-", "-"}, 2, &error), -1);
    assert_string_equal(error.what, "-");
    assert_says(&error, "only once");
}

static void test_one_bad_file_of_several(void **state) {
    (void)state;
    struct build good = {0}, bad = {0};
    struct capture *c;
    struct base_error error;
    put_simple_pcap(&good, 1000, 1, 10);
    put(&bad, "text", 4);
    struct temporary a = write_file(&good), b = write_file(&bad);
    assert_int_equal(capture_open_files(&c, (const char *const[]){a.path, b.path}, 2, &error), -1);
    assert_string_equal(error.what, b.path);
    assert_null(c);
    remove_file(&a);
    remove_file(&b);
    build_free(&good);
    build_free(&bad);
}

/* ---- merge ---- */

struct stamp {
    uint32_t seconds, seed;
};

static struct temporary stamped(const struct stamp *stamps, size_t n, size_t cut) {
    struct build b = {0};
    put_pcap_header(&b, PCAP_US, 65535, 1);
    for (size_t i = 0; i < n; i++)
        put_record(&b, stamps[i].seconds, 0, 8, stamps[i].seed);
    b.n -= cut;
    struct temporary t = write_file(&b);
    build_free(&b);
    return t;
}

static void assert_seeds(const struct seen *s, const uint32_t *seeds, size_t n) {
    assert_whole(s, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(s->seed[i], seeds[i]);
}

static void test_merge_by_time_ties_to_the_first_named(void **state) {
    (void)state;
    struct temporary a = stamped((struct stamp[]){{1, 10}, {3, 11}, {3, 12}, {9, 13}}, 4, 0);
    struct temporary b = stamped((struct stamp[]){{1, 20}, {2, 21}, {3, 22}}, 3, 0);
    struct temporary c = stamped((struct stamp[]){{0, 30}, {3, 31}, {10, 32}, {11, 33}}, 4, 0);
    struct seen s = see_files((const char *const[]){a.path, b.path, c.path}, 3);
    assert_seeds(&s, (uint32_t[]){30, 10, 20, 21, 11, 12, 22, 31, 13, 32, 33}, 11);
    seen_free(&s);
    s = see_files((const char *const[]){c.path, b.path, a.path}, 3);
    assert_seeds(&s, (uint32_t[]){30, 20, 10, 21, 31, 22, 11, 12, 13, 32, 33}, 11);
    assert_int_equal(s.packet[0].iface, 0); /* interfaces are numbered in the order of the files */
    assert_int_equal(s.packet[1].iface, 1);
    assert_int_equal(s.packet[2].iface, 2);
    seen_free(&s);
    remove_file(&a);
    remove_file(&b);
    remove_file(&c);
}

/* A packet whose time goes back is placed with the latest before it in its file, and keeps its own
 * time. */
static void test_order_within_a_file_stays(void **state) {
    (void)state;
    struct temporary a = stamped((struct stamp[]){{5, 10}, {1, 11}, {2, 12}, {8, 13}}, 4, 0);
    struct temporary b =
        stamped((struct stamp[]){{4, 20}, {5, 21}, {6, 22}, {0, 23}, {9, 24}}, 5, 0);
    struct seen s = see_files((const char *const[]){a.path, b.path}, 2);
    assert_seeds(&s, (uint32_t[]){20, 10, 11, 12, 21, 22, 23, 13, 24}, 9);
    assert_int_equal(s.packet[2].ts_ns, BASE_NS_PER_S);
    seen_free(&s);
    remove_file(&a);
    remove_file(&b);
}

static void test_a_fault_ends_one_file_only(void **state) {
    (void)state;
    struct temporary a = stamped((struct stamp[]){{1, 10}, {4, 11}, {6, 12}}, 3, 1);
    struct temporary b = stamped((struct stamp[]){{2, 20}, {5, 21}, {7, 22}, {8, 23}}, 4, 0);
    struct temporary c = stamped((struct stamp[]){{3, 30}}, 1, 3);
    struct seen s = see_files((const char *const[]){a.path, b.path, c.path}, 3);
    assert_int_equal(s.faults, 2);
    assert_string_equal(s.fault.what, c.path); /* met first: it has no packet at all */
    assert_says(&s.fault, "after packet 0");
    s.faults = 0;
    assert_seeds(&s, (uint32_t[]){10, 20, 11, 21, 22, 23}, 6);
    seen_free(&s);
    remove_file(&a);
    remove_file(&b);
    remove_file(&c);
}

/* Files of several windows each: every batch is checked after it is complete, so a window that is
 * moved under packets handed out would show. */
static void test_merge_over_many_windows(void **state) {
    (void)state;
    enum { FILES = 3, EACH = 4000, OCTETS = 1000 };
    struct temporary t[FILES];
    const char *path[FILES];
    for (uint32_t f = 0; f < FILES; f++) {
        struct build b = {0};
        put_pcap_header(&b, PCAP_NS, 65535, 1);
        for (uint32_t i = 0; i < EACH; i++)
            put_record(&b, 1 + i / 100, i % 100 * 10 + f, OCTETS - f, i);
        t[f] = write_file(&b);
        path[f] = t[f].path;
        build_free(&b);
    }
    struct seen s = see_files(path, FILES);
    assert_whole(&s, FILES * EACH);
    for (size_t i = 0; i < s.n; i++) {
        size_t k = i / FILES, f = i % FILES;
        assert_packet(&s, i, (1 + k / 100) * BASE_NS_PER_S + k % 100 * 10 + f, (uint32_t)k);
        assert_int_equal(s.packet[i].captured, OCTETS - f);
        assert_int_equal(s.packet[i].iface, f);
    }
    seen_free(&s);
    for (size_t f = 0; f < FILES; f++)
        remove_file(&t[f]);
}

/* ---- the read buffer ---- */

/* Shifts the records by one octet at a time, so that the end of the buffer falls on every place of
 * one. */
static void test_records_across_the_end_of_the_window(void **state) {
    (void)state;
    enum { OCTETS = 40, RECORD = 16 + OCTETS };
    struct build b = {0};
    put_pcap_header(&b, PCAP_US, 65535, 1);
    put_record(&b, 0, 0, WINDOW / 8, 99);
    size_t rest = b.n;
    for (uint32_t shift = 0; shift < RECORD; shift++) {
        /* A record that ends `shift` octets before a whole number of records from the window's end.
         */
        b.n = 24;
        put_record(&b, 0, 0, WINDOW / 8 + (WINDOW - (uint32_t)rest) % RECORD + RECORD - shift, 99);
        uint32_t n = (uint32_t)((WINDOW - b.n) / RECORD) + 100;
        for (uint32_t i = 0; i < n; i++)
            put_record(&b, i, 0, OCTETS, i);
        struct seen s = see_memory(&b);
        assert_whole(&s, n + 1);
        for (uint32_t i = 0; i < n; i++)
            assert_packet(&s, i + 1, i * BASE_NS_PER_S, i);
        seen_free(&s);
    }
    build_free(&b);
}

static void test_records_larger_than_the_window(void **state) {
    (void)state;
    struct build b = {0};
    put_pcap_header(&b, PCAP_US, 0, 1);
    put_record(&b, 1, 0, 50, 1);
    put_record(&b, 2, 0, 5 * WINDOW + 3, 2);
    put_record(&b, 3, 0, 60, 3);
    put_record(&b, 4, 0, WINDOW, 4);
    put_record(&b, 5, 0, 0, 0);
    struct temporary t = write_file(&b);
    struct seen s = see_files((const char *const[]){t.path}, 1);
    assert_whole(&s, 5);
    for (uint32_t i = 0; i < 4; i++)
        assert_packet(&s, i, (1 + i) * BASE_NS_PER_S, 1 + i);
    assert_int_equal(s.packet[1].captured, 5 * WINDOW + 3);
    seen_free(&s);
    remove_file(&t);
    build_free(&b);
}

static void test_blocks_larger_than_the_window(void **state) {
    (void)state;
    struct build b = {0};
    put_section(&b);
    size_t at = block_begin(&b, 10); /* secrets, as decryption blocks hold */
    put_pattern(&b, 1, 2 * WINDOW);
    block_end(&b, at);
    put_interface(&b, 1, 0, -1, 0);
    put_packet(&b, 0, 1, 3 * WINDOW + 1, 3 * WINDOW + 1, 2);
    put_packet(&b, 0, 2, 7, 7, 3);
    struct seen s = see_memory(&b);
    assert_whole(&s, 2);
    assert_packet(&s, 0, 1000, 2);
    assert_packet(&s, 1, 2000, 3);
    seen_free(&s);
    build_free(&b);
}

static void test_progress(void **state) {
    (void)state;
    struct build b = {0};
    struct capture *c;
    uint64_t done, total;
    put_simple_pcap(&b, 1000, 3000, 1000);
    struct temporary t = write_file(&b), u = write_file(&b);
    assert_int_equal(capture_open_files(&c, (const char *const[]){t.path, u.path}, 2, NULL), 0);
    capture_progress(c, &done, &total);
    assert_int_equal(total, 2 * b.n);
    assert_true(done < b.n);
    struct seen s = see_all(c);
    assert_whole(&s, 6000);
    capture_progress(c, &done, &total);
    assert_int_equal(done, 2 * b.n);
    capture_free(c);
    seen_free(&s);
    remove_file(&t);
    remove_file(&u);
    build_free(&b);
}

/* ---- standard input ---- */

static void test_standard_input_through_a_pipe(void **state) {
    (void)state;
    struct build b = {0};
    put_simple_pcap(&b, 1000, 3000, 1000);
    struct seen s = see_standard_input(&b, 100000);
    assert_whole(&s, 3000);
    for (uint32_t i = 0; i < 3000; i++)
        assert_packet(&s, i, (1000 + i) * BASE_NS_PER_S, i);
    seen_free(&s);
    build_free(&b);
}

static void test_standard_input_in_single_octets(void **state) {
    (void)state;
    struct build b = {0};
    put_simple_pcap(&b, 1000, 20, 33);
    struct seen s = see_standard_input(&b, 1);
    assert_whole(&s, 20);
    assert_packet(&s, 19, 1019 * BASE_NS_PER_S, 19);
    seen_free(&s);
    build_free(&b);
}

static void test_standard_input_cut_short(void **state) {
    (void)state;
    struct build b = {0};
    put_simple_pcap(&b, 1000, 20, 33);
    b.n -= 1;
    struct seen s = see_standard_input(&b, 50);
    assert_int_equal(s.n, 19);
    assert_int_equal(s.faults, 1);
    assert_string_equal(s.fault.what, "standard input");
    seen_free(&s);
    build_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_folder_empty),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_no_files_and_standard_input_twice),
        cmocka_unit_test(test_one_bad_file_of_several),
        cmocka_unit_test(test_merge_by_time_ties_to_the_first_named),
        cmocka_unit_test(test_order_within_a_file_stays),
        cmocka_unit_test(test_a_fault_ends_one_file_only),
        cmocka_unit_test(test_merge_over_many_windows),
        cmocka_unit_test(test_records_across_the_end_of_the_window),
        cmocka_unit_test(test_records_larger_than_the_window),
        cmocka_unit_test(test_blocks_larger_than_the_window),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_standard_input_through_a_pipe),
        cmocka_unit_test(test_standard_input_in_single_octets),
        cmocka_unit_test(test_standard_input_cut_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
