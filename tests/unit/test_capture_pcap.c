/*
 * Classic pcap: magics, byte orders, times, lengths, and files that are damaged or cut short.
 */
#include "tests/unit/capture_build.h"

static const uint64_t T0 = UINT64_C(1700000000) * BASE_NS_PER_S;

/* Two records, 0.000005 and 1.25 s after T0 (in the ticks of the magic), in one of the forms. */
static struct build two_records(uint32_t magic, bool big) {
    struct build b = {.big = big};
    uint32_t second = magic == PCAP_NS ? 1000000000 : 1000000;
    put_pcap_header(&b, magic, 65535, 1);
    for (uint32_t i = 0; i < 2; i++) {
        put_u32(&b, 1700000000 + i);
        put_u32(&b, i == 0 ? second / 200000 : second / 4);
        put_u32(&b, 60 + i);
        put_u32(&b, 1500 + i);
        if (magic == PCAP_MODIFIED)
            put_u64(&b, UINT64_C(0x1122334455667788)); /* interface index, protocol, kind */
        put_pattern(&b, 7 + i, 60 + i);
    }
    return b;
}

static void test_magics_and_byte_orders(void **state) {
    (void)state;
    static const uint32_t magic[] = {PCAP_US, PCAP_NS, PCAP_MODIFIED};
    for (size_t i = 0; i < 6; i++) {
        struct build b = two_records(magic[i / 2], i % 2 == 1);
        struct seen s = see_memory(&b);
        assert_whole(&s, 2);
        assert_packet(&s, 0, T0 + 5000, 7);
        assert_packet(&s, 1, T0 + 1250 * BASE_NS_PER_MS, 8);
        assert_int_equal(s.packet[1].captured, 61);
        assert_int_equal(s.packet[1].length, 1501);
        assert_int_equal(s.packet[1].link, 1);
        assert_int_equal(s.packet[1].iface, 0);
        seen_free(&s);
        build_free(&b);
    }
}

static void test_upper_bits_of_link_are_not_the_link(void **state) {
    (void)state;
    struct build b = {0};
    put_pcap_header(&b, PCAP_US, 65535,
                    0x54000071); /* frame check sequence of 4 octets, LINUX_SLL */
    put_record(&b, 1, 0, 20, 1);
    struct seen s = see_memory(&b);
    assert_whole(&s, 1);
    assert_int_equal(s.packet[0].link, 113);
    seen_free(&s);
    build_free(&b);
}

static void test_absurd_fractions_carry_over(void **state) {
    (void)state;
    struct build b = {0};
    put_pcap_header(&b, PCAP_US, 65535, 1);
    put_record(&b, 10, 2500000, 1, 1);
    put_record(&b, UINT32_MAX, UINT32_MAX, 1, 2);
    struct seen s = see_memory(&b);
    assert_whole(&s, 2);
    assert_packet(&s, 0, 12500 * BASE_NS_PER_MS, 1);
    assert_packet(&s, 1, UINT32_MAX * BASE_NS_PER_S + UINT32_MAX * UINT64_C(1000), 2);
    seen_free(&s);
    build_free(&b);
}

static void put_lengths(struct build *b, uint32_t captured, uint32_t length, uint32_t octets) {
    put_u64(b, 0);
    put_u32(b, captured);
    put_u32(b, length);
    put_pattern(b, 3, octets);
}

static void test_length_is_never_below_captured(void **state) {
    (void)state;
    struct build b = {0};
    put_pcap_header(&b, PCAP_US, 65535, 1);
    put_lengths(&b, 40, 12, 40);
    put_lengths(&b, 0, 0, 0);
    struct seen s = see_memory(&b);
    assert_whole(&s, 2);
    assert_packet(&s, 0, 0, 3);
    assert_int_equal(s.packet[0].captured, 40);
    assert_int_equal(s.packet[0].length, 40);
    assert_int_equal(s.packet[1].captured, 0);
    seen_free(&s);
    build_free(&b);
}

static void test_lengths_of_old_versions_stand_the_other_way_round(void **state) {
    (void)state;
    struct build b = {0};
    put_pcap_header(&b, PCAP_US, 65535, 1);
    b.data[6] = 2; /* version 2.2 */
    put_lengths(&b, 1500, 96, 96);
    put_lengths(&b, 60, 60, 60);
    struct seen s = see_memory(&b);
    assert_whole(&s, 2);
    assert_int_equal(s.packet[0].captured, 96);
    assert_int_equal(s.packet[0].length, 1500);
    assert_packet(&s, 1, 0, 3);
    seen_free(&s);
    build_free(&b);
}

static void test_unknown_version_is_refused(void **state) {
    (void)state;
    struct build b = {0};
    put_simple_pcap(&b, 0, 1, 10);
    b.data[4] = 3;
    assert_refused(&b, "version 3.4");
    build_free(&b);
}

static void test_no_packets_is_no_fault(void **state) {
    (void)state;
    struct build b = {0};
    put_simple_pcap(&b, 0, 0, 0);
    struct seen s = see_memory(&b);
    assert_whole(&s, 0);
    build_free(&b);
}

/* How many records of 16 + 10 octets, and octets of one more, a file of n octets has. */
static void check_cut(const struct build *whole, size_t n) {
    struct build cut = {.data = whole->data, .n = n};
    if (n == 0) {
        assert_refused(&cut, "is empty");
    } else if (n < 4) {
        assert_refused(&cut, "is not a capture");
    } else if (n < 24) {
        assert_refused(&cut, "cut short in its file header");
    } else {
        struct seen s = see_memory(&cut);
        assert_int_equal(s.n, (n - 24) / 26);
        for (size_t i = 0; i < s.n; i++)
            assert_packet(&s, i, (1000 + i) * BASE_NS_PER_S, (uint32_t)i);
        assert_int_equal(s.faults, (n - 24) % 26 != 0);
        if (s.faults > 0)
            assert_says(&s.fault, "cut short after packet");
        seen_free(&s);
    }
}

static void test_cut_at_every_octet(void **state) {
    (void)state;
    struct build b = {0};
    put_simple_pcap(&b, 1000, 5, 10);
    for (size_t n = 0; n <= b.n; n++)
        check_cut(&b, n);
    build_free(&b);
}

static void test_cut_tells_packet_octet_and_size(void **state) {
    (void)state;
    struct build b = {0};
    put_simple_pcap(&b, 1000, 3, 10);
    b.n -= 4;
    struct seen s = see_memory(&b);
    assert_int_equal(s.faults, 1);
    assert_string_equal(s.fault.what, "memory");
    assert_says(&s.fault,
                "after packet 2: at octet 76 begins a record of at least 26 octets, of which 22");
    assert_says(&s.fault, "copy the file again");
    seen_free(&s);
    build_free(&b);
}

/* `octets` of the absurd record are there: it is a fault even when all are. */
static void check_absurd(uint32_t snaplen, uint32_t captured, uint32_t octets, const char *most) {
    struct build b = {0};
    put_pcap_header(&b, PCAP_US, snaplen, 1);
    put_record(&b, 0, 0, 100000,
               0); /* more than is read at opening: the read after it takes in all */
    for (uint32_t i = 1; i < 40; i++)
        put_record(&b, i, 0, 10, i);
    put_lengths(&b, captured, captured, octets);
    struct seen s = see_memory(&b);
    assert_int_equal(s.n, 40);
    assert_packet(&s, 39, 39 * BASE_NS_PER_S, 39);
    assert_int_equal(s.faults, 1);
    assert_says(&s.fault, "damaged after packet 40: what begins at octet 101054");
    assert_says(&s.fault, most);
    seen_free(&s);
    build_free(&b);
}

static void test_absurd_captured_length_is_a_fault(void **state) {
    (void)state;
    check_absurd(65535, (256 << 10) + 1, (256 << 10) + 1, "262144 are the most");
    check_absurd(65535, UINT32_MAX, 500, "262144 are the most");
    check_absurd(1 << 20, (1 << 20) + 1, 0, "1048576 are the most");
    check_absurd(0, CAPTURE_MAX_RECORD + 1, 500, "67108864 are the most");
    check_absurd(UINT32_MAX, CAPTURE_MAX_RECORD + 1, 500, "67108864 are the most");
}

static void test_captured_beyond_a_small_snaplen_is_believed(void **state) {
    (void)state;
    struct build b = {0};
    put_pcap_header(&b, PCAP_US, 96, 1);
    put_record(&b, 1, 0, 9000, 4);
    struct seen s = see_memory(&b);
    assert_whole(&s, 1);
    assert_packet(&s, 0, BASE_NS_PER_S, 4);
    assert_int_equal(s.packet[0].captured, 9000);
    seen_free(&s);
    build_free(&b);
}

static void test_what_is_no_capture_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *octets, *part;
    } cases[] = {
        {"ts,src,dst\n1,2,3\n", "is not a capture (it begins with 74 73 2c 73)"},
        {"BZh91AY&SY", "bzip2"},
        {"\x04\x22\x4d\x18zzzz", "LZ4"},
        {"PK\x03\x04zzzz", "ZIP"},
        {"snoop...", "snoop"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct build b = {0};
        put(&b, cases[i].octets, strlen(cases[i].octets));
        assert_refused(&b, cases[i].part);
        build_free(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_magics_and_byte_orders),
        cmocka_unit_test(test_upper_bits_of_link_are_not_the_link),
        cmocka_unit_test(test_absurd_fractions_carry_over),
        cmocka_unit_test(test_length_is_never_below_captured),
        cmocka_unit_test(test_lengths_of_old_versions_stand_the_other_way_round),
        cmocka_unit_test(test_unknown_version_is_refused),
        cmocka_unit_test(test_no_packets_is_no_fault),
        cmocka_unit_test(test_cut_at_every_octet),
        cmocka_unit_test(test_cut_tells_packet_octet_and_size),
        cmocka_unit_test(test_absurd_captured_length_is_a_fault),
        cmocka_unit_test(test_captured_beyond_a_small_snaplen_is_believed),
        cmocka_unit_test(test_what_is_no_capture_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
