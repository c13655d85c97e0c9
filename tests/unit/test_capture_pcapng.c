/*
 * pcapng: sections, interfaces, options, the kinds of blocks, times, and files that are damaged or
 * cut.
 */
#include "tests/unit/capture_build.h"

static const uint64_t T0_US = UINT64_C(1700000000000000);
static const uint64_t T0 = UINT64_C(1700000000000000000);

/* Interfaces of two link types, snaplens and resolutions, in one section. */
static void put_two_interfaces(struct build *b) {
    put_section(b);
    put_interface(b, 1, 0, -1, 0);
    put_interface(b, 113, 96, 9, 0);
    put_packet(b, 0, T0_US, 60, 60, 1);
    put_packet(b, 1, T0 + 7, 33, 1500, 2);
}

static void test_interfaces_and_byte_orders(void **state) {
    (void)state;
    for (int big = 0; big < 2; big++) {
        struct build b = {.big = big};
        put_two_interfaces(&b);
        struct seen s = see_memory(&b);
        assert_whole(&s, 2);
        assert_packet(&s, 0, T0, 1);
        assert_packet(&s, 1, T0 + 7, 2);
        assert_int_equal(s.packet[0].link, 1);
        assert_int_equal(s.packet[0].iface, 0);
        assert_int_equal(s.packet[1].link, 113);
        assert_int_equal(s.packet[1].iface, 1);
        assert_int_equal(s.packet[1].captured, 33);
        assert_int_equal(s.packet[1].length, 1500);
        seen_free(&s);
        build_free(&b);
    }
}

static void test_sections_of_both_byte_orders(void **state) {
    (void)state;
    struct build b = {0};
    put_two_interfaces(&b);
    b.big = true;
    put_section(&b);
    put_interface(&b, 101, 0, 3, 0); /* milliseconds */
    put_packet(&b, 0, T0_US / 1000 + 5, 20, 20, 3);
    struct seen s = see_memory(&b);
    assert_whole(&s, 3);
    assert_packet(&s, 2, T0 + 5 * BASE_NS_PER_MS, 3);
    assert_int_equal(s.packet[2].link, 101);
    assert_int_equal(s.packet[2].iface, 2); /* interfaces are counted on over sections */
    seen_free(&s);
    build_free(&b);
}

static void test_a_section_forgets_the_interfaces_before_it(void **state) {
    (void)state;
    struct build b = {0};
    put_two_interfaces(&b);
    put_section(&b);
    put_packet(&b, 0, T0_US, 20, 20, 3);
    struct seen s = see_memory(&b);
    assert_int_equal(s.n, 2);
    assert_int_equal(s.faults, 1);
    assert_says(&s.fault, "damaged after packet 2");
    assert_says(&s.fault, "names interface 0, and the section describes 0");
    seen_free(&s);
    build_free(&b);
}

static void put_named(struct build *b, const char *name, size_t n) {
    size_t at = block_begin(b, NG_INTERFACE);
    put_u16(b, 1);
    put_u16(b, 0);
    put_u32(b, 0);
    if (name != NULL)
        put_option(b, 2, name, n);
    put_option(b, 0, NULL, 0);
    block_end(b, at);
}

static void test_names_of_interfaces(void **state) {
    (void)state;
    char longest[CAPTURE_NAME_TEXT + 9];
    struct build b = {0};
    struct capture *c;
    memset(longest, 'x', sizeof longest);
    put_section(&b);
    put_named(&b, "eth0", 4);
    put_named(&b, NULL, 0);
    put_named(&b, "padded\0\0", 8);
    put_packet(&b, 0, T0_US, 4, 4, 1);
    put_section(&b); /* its interfaces are others */
    put_named(&b, longest, sizeof longest);
    put_named(&b, "", 0);
    for (int i = 0; i < CAPTURE_NAMED; i++) /* more than are told apart */
        put_named(&b, "more", 4);
    assert_int_equal(capture_open_memory(&c, b.data, b.n, NULL), 0);
    struct seen s = see_all(c);
    assert_whole(&s, 1);
    assert_string_equal(capture_interface_name(c, 0), "eth0");
    assert_null(capture_interface_name(c, 1));
    assert_string_equal(capture_interface_name(c, 2), "padded");
    assert_int_equal(strlen(capture_interface_name(c, 3)), CAPTURE_NAME_TEXT - 1);
    assert_null(capture_interface_name(c, 4));
    assert_string_equal(capture_interface_name(c, CAPTURE_NAMED - 1), "more");
    assert_null(capture_interface_name(c, CAPTURE_NAMED));
    capture_free(c);
    seen_free(&s);
    build_free(&b);
}

static uint64_t time_of(int resolution, int64_t offset_s, uint64_t ticks) {
    struct build b = {0};
    put_section(&b);
    put_interface(&b, 1, 0, resolution, offset_s);
    put_packet(&b, 0, ticks, 4, 4, 1);
    struct seen s = see_memory(&b);
    assert_whole(&s, 1);
    uint64_t ts_ns = s.packet[0].ts_ns;
    seen_free(&s);
    build_free(&b);
    return ts_ns;
}

static void test_time_resolutions(void **state) {
    (void)state;
    assert_int_equal(time_of(0, 0, 1700000000), T0);
    assert_int_equal(time_of(6, 0, T0_US + 1), T0 + 1000);
    assert_int_equal(time_of(9, 0, T0 + 1), T0 + 1);
    assert_int_equal(time_of(10, 0, UINT64_C(17000000000000000019)), T0 + 1);
    assert_int_equal(time_of(12, 0, 5999), 5);
    assert_int_equal(time_of(28, 0, UINT64_MAX), 1);
    assert_int_equal(time_of(29, 0, UINT64_MAX), 0);
    assert_int_equal(time_of(127, 0, UINT64_MAX), 0);
    assert_int_equal(time_of(0x80 | 1, 0, 3), 1500 * BASE_NS_PER_MS);
    assert_int_equal(time_of(0x80 | 32, 0, UINT64_C(1700000000) << 32 | 1 << 30),
                     T0 + 250 * BASE_NS_PER_MS);
    assert_int_equal(time_of(0x80 | 64, 0, UINT64_C(1) << 63), 500 * BASE_NS_PER_MS);
    assert_int_equal(time_of(0x80 | 127, 0, UINT64_MAX), 0);
}

static void test_time_offsets_and_clamps(void **state) {
    (void)state;
    assert_int_equal(time_of(6, 1700000000, 5), T0 + 5000);
    assert_int_equal(time_of(9, -3, 4 * BASE_NS_PER_S + 9), BASE_NS_PER_S + 9);
    assert_int_equal(time_of(9, -5, 4 * BASE_NS_PER_S), 0);
    assert_int_equal(time_of(9, 0, UINT64_MAX), BASE_NEVER_NS - 1);
    assert_int_equal(time_of(6, 0, UINT64_MAX), BASE_NEVER_NS - 1);
    assert_int_equal(time_of(0, INT64_MAX, UINT64_MAX), BASE_NEVER_NS - 1);
    assert_int_equal(time_of(0x80, INT64_MIN, UINT64_MAX), (uint64_t)(BASE_NEVER_NS - 1));
    assert_int_equal(time_of(6, INT64_MIN, UINT64_MAX), 0);
}

static void test_simple_and_obsolete_packets(void **state) {
    (void)state;
    struct build b = {0};
    put_section(&b);
    put_interface(&b, 1, 24, 6, 0);
    put_packet(&b, 0, T0_US, 10, 10, 1);
    size_t at = block_begin(&b, NG_SIMPLE);
    put_u32(&b, 1400); /* cut at the interface's 24 */
    put_pattern(&b, 2, 24);
    block_end(&b, at);
    at = block_begin(&b, NG_OLD_PACKET);
    put_u16(&b, 0);
    put_u16(&b, 9); /* drops since the last one */
    put_u32(&b, (uint32_t)((T0_US + 2) >> 32));
    put_u32(&b, (uint32_t)(T0_US + 2));
    put_u32(&b, 5);
    put_u32(&b, 77);
    put_pattern(&b, 3, 5);
    block_end(&b, at);
    struct seen s = see_memory(&b);
    assert_whole(&s, 3);
    assert_packet(&s, 1, T0, 2); /* without a time of its own: that of the packet before */
    assert_int_equal(s.packet[1].captured, 24);
    assert_int_equal(s.packet[1].length, 1400);
    assert_packet(&s, 2, T0 + 2000, 3);
    assert_int_equal(s.packet[2].captured, 5);
    assert_int_equal(s.packet[2].length, 77);
    seen_free(&s);
    build_free(&b);
}

static void put_statistics(struct build *b, uint32_t interface, uint64_t ifdrop, uint64_t osdrop) {
    size_t at = block_begin(b, NG_STATISTICS);
    put_u32(b, interface);
    put_u64(b, 0);
    put_option(b, 1, "a comment", 9);
    put_u16(b, 5); /* isb_ifdrop */
    put_u16(b, 8);
    put_u64(b, ifdrop);
    put_u16(b, 7); /* isb_osdrop */
    put_u16(b, 8);
    put_u64(b, osdrop);
    put_option(b, 0, NULL, 0);
    block_end(b, at);
}

static void test_statistics_are_totals_of_their_interface(void **state) {
    (void)state;
    struct build b = {0};
    struct capture *c;
    uint64_t kernel = 1, interface = 1;
    put_two_interfaces(&b);
    put_statistics(&b, 0, 3, 10);
    put_statistics(&b, 1, 100, 200);
    put_statistics(&b, 0, 5, 11); /* stands for the first */
    assert_int_equal(capture_open_memory(&c, b.data, b.n, NULL), 0);
    capture_drops(c, &kernel, &interface);
    assert_int_equal(kernel, 0);
    assert_int_equal(interface, 0);
    struct seen s = see_all(c);
    assert_whole(&s, 2);
    capture_drops(c, &kernel, &interface);
    assert_int_equal(kernel, 211);
    assert_int_equal(interface, 105);
    capture_free(c);
    seen_free(&s);
    build_free(&b);
}

static void test_unknown_blocks_and_broken_options_are_stepped_over(void **state) {
    (void)state;
    struct build b = {0};
    put_section(&b);
    size_t at = block_begin(&b, 0x0bad);
    put_pattern(&b, 9, 400);
    block_end(&b, at);
    at = block_begin(&b, NG_INTERFACE);
    put_u32(&b, 1);
    put_u32(&b, 0);
    put_u16(&b, 9); /* if_tsresol that claims more octets than there are */
    put_u16(&b, 60000);
    block_end(&b, at);
    at = block_begin(&b, 0x80000bad);
    block_end(&b, at); /* without a body */
    put_packet(&b, 0, T0_US, 4, 4, 1);
    struct seen s = see_memory(&b);
    assert_whole(&s, 1);
    assert_packet(&s, 0, T0, 1);
    seen_free(&s);
    build_free(&b);
}

/* After put_two_interfaces comes a block that is broken in one way. */
static void check_broken(const struct build *b, const char *part) {
    struct seen s = see_memory(b);
    assert_int_equal(s.n, 2);
    assert_int_equal(s.faults, 1);
    assert_says(&s.fault, "damaged after packet 2: what begins at octet 260");
    assert_says(&s.fault, part);
    seen_free(&s);
}

static void test_broken_blocks_are_faults(void **state) {
    (void)state;
    static const struct {
        uint32_t value;
        size_t at; /* in the block that follows */
        const char *part;
    } cases[] = {
        {0, 4, "absurd length 0"},
        {11, 4, "absurd length 11"},
        {38, 4, "absurd length 38"},
        {0xfffffffc, 4, "absurd length"},
        {CAPTURE_MAX_RECORD + 4, 4, "absurd length 67108868"},
        {44, 36, "two lengths disagree: 40 in front, 44 behind"},
        {2, 8, "names interface 2, and the section describes 2"},
        {9, 20, "claims 9 captured octets in a block with room for 8"},
        {UINT32_MAX, 20, "claims 4294967295 captured octets"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct build b = {0};
        put_two_interfaces(&b);
        size_t at = b.n;
        put_packet(&b, 0, T0_US, 8, 8, 3);
        put_packet(&b, 0, T0_US, 8, 8, 4);
        size_t end = b.n;
        b.n = at + cases[i].at;
        put_u32(&b, cases[i].value);
        b.n = end;
        check_broken(&b, cases[i].part);
        build_free(&b);
    }
}

static void test_short_bodies_are_faults(void **state) {
    (void)state;
    static const uint32_t type[] = {NG_INTERFACE, NG_OLD_PACKET, NG_SIMPLE, NG_STATISTICS,
                                    NG_PACKET};
    for (size_t i = 0; i < sizeof type / sizeof *type; i++) {
        struct build b = {0};
        put_two_interfaces(&b);
        block_end(&b, block_begin(&b, type[i]));
        check_broken(&b, "a body of 0 octets");
        build_free(&b);
    }
}

static void test_broken_sections(void **state) {
    (void)state;
    struct build b = {0};
    put_section(&b);
    b.data[12] = 2; /* version 2.0 */
    assert_refused(&b, "pcapng version 2.0");
    b.data[12] = 1;
    b.data[8] = 0; /* byte-order magic */
    assert_refused(&b, "byte-order magic");
    build_free(&b);

    put_two_interfaces(&b);
    size_t at = b.n;
    put_section(&b);
    b.data[at + 8] = 0;
    check_broken(&b, "byte-order magic");
    build_free(&b);
}

static void test_cut_at_every_octet(void **state) {
    (void)state;
    struct build b = {0};
    size_t section_end, end[3];
    put_section(&b);
    section_end = b.n;
    put_interface(&b, 1, 0, 6, 0);
    size_t interface_end = b.n;
    for (uint32_t i = 0; i < 3; i++) {
        put_packet(&b, 0, T0_US + i, 10 + i, 10 + i, i);
        end[i] = b.n;
    }
    for (size_t n = 1; n <= b.n; n++) {
        struct build cut = {.data = b.data, .n = n};
        if (n < section_end) {
            assert_refused(&cut,
                           n < 4 ? "is not a capture" : "cut short in its first section header");
            continue;
        }
        struct seen s = see_memory(&cut);
        assert_int_equal(s.n, (n >= end[0]) + (n >= end[1]) + (n >= end[2]));
        for (uint32_t i = 0; i < s.n; i++)
            assert_packet(&s, i, T0 + i * 1000, i);
        bool between =
            n == section_end || n == interface_end || n == end[0] || n == end[1] || n == end[2];
        assert_int_equal(s.faults, !between);
        seen_free(&s);
    }
    build_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interfaces_and_byte_orders),
        cmocka_unit_test(test_sections_of_both_byte_orders),
        cmocka_unit_test(test_a_section_forgets_the_interfaces_before_it),
        cmocka_unit_test(test_names_of_interfaces),
        cmocka_unit_test(test_time_resolutions),
        cmocka_unit_test(test_time_offsets_and_clamps),
        cmocka_unit_test(test_simple_and_obsolete_packets),
        cmocka_unit_test(test_statistics_are_totals_of_their_interface),
        cmocka_unit_test(test_unknown_blocks_and_broken_options_are_stepped_over),
        cmocka_unit_test(test_broken_blocks_are_faults),
        cmocka_unit_test(test_short_bodies_are_faults),
        cmocka_unit_test(test_broken_sections),
        cmocka_unit_test(test_cut_at_every_octet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
