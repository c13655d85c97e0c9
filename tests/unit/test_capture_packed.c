/*
 * Compressed captures: what comes out equals the plain one, and a stream that is cut short or
 * damaged gives the packets before the fault and says so.
 */
#include "tests/unit/capture_build.h"

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

enum { PACKETS = 20000, OCTETS = 90 };

typedef void pack(const uint8_t *octets, size_t n, struct build *out);

static void pack_gzip(const uint8_t *octets, size_t n, struct build *out) {
    z_stream z = {0};
    size_t room = n + n / 100 + 1000;
    uint8_t *to = malloc(room);
    assert_non_null(to);
    assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)octets;
    z.avail_in = (uInt)n;
    z.next_out = to;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    put(out, to, z.total_out);
    deflateEnd(&z);
    free(to);
}

static void pack_zstd(const uint8_t *octets, size_t n, struct build *out) {
    size_t room = ZSTD_compressBound(n);
    uint8_t *to = malloc(room);
    assert_non_null(to);
    size_t length = ZSTD_compress(to, room, octets, n, 1);
    assert_false(ZSTD_isError(length));
    put(out, to, length);
    free(to);
}

static void pack_xz(const uint8_t *octets, size_t n, struct build *out) {
    size_t room = lzma_stream_buffer_bound(n), length = 0;
    uint8_t *to = malloc(room);
    assert_non_null(to);
    assert_int_equal(
        lzma_easy_buffer_encode(0, LZMA_CHECK_CRC32, NULL, octets, n, to, &length, room), LZMA_OK);
    put(out, to, length);
    free(to);
}

static const struct {
    pack *pack;
    const char *name;
} packings[] = {{pack_gzip, "gzip"}, {pack_zstd, "Zstandard"}, {pack_xz, "xz"}};

enum { PACKINGS = sizeof packings / sizeof *packings };

static void assert_same(const struct seen *a, const struct seen *b, size_t packets) {
    assert_true(packets <= a->n && packets <= b->n);
    for (size_t i = 0; i < packets; i++) {
        assert_int_equal(a->packet[i].ts_ns, b->packet[i].ts_ns);
        assert_int_equal(a->packet[i].captured, b->packet[i].captured);
        assert_int_equal(a->packet[i].length, b->packet[i].length);
        assert_int_equal(a->seed[i], b->seed[i]);
    }
}

static void test_unpacked_equals_plain(void **state) {
    (void)state;
    struct build plain = {0};
    put_simple_pcap(&plain, 1000, PACKETS, OCTETS);
    struct seen want = see_memory(&plain);
    assert_whole(&want, PACKETS);
    for (size_t i = 0; i < PACKINGS; i++) {
        struct build packed = {0};
        packings[i].pack(plain.data, plain.n, &packed);
        struct seen got = see_memory(&packed);
        assert_whole(&got, PACKETS);
        assert_same(&want, &got, PACKETS);
        seen_free(&got);
        build_free(&packed);
    }
    seen_free(&want);
    build_free(&plain);
}

/* One capture in three members, cut within records, with padding behind. */
static void test_members_follow_each_other(void **state) {
    (void)state;
    struct build plain = {0};
    put_simple_pcap(&plain, 1000, PACKETS, OCTETS);
    for (size_t i = 0; i < PACKINGS; i++) {
        struct build packed = {0};
        size_t a = 10, b = plain.n / 2 + 3;
        packings[i].pack(plain.data, a, &packed);
        packings[i].pack(plain.data + a, b - a, &packed);
        packings[i].pack(plain.data + b, plain.n - b, &packed);
        put(&packed, "\0\0\0\0\0\0\0", 8);
        struct seen got = see_memory(&packed);
        assert_whole(&got, PACKETS);
        assert_packet(&got, PACKETS - 1, (1000 + PACKETS - 1) * BASE_NS_PER_S, PACKETS - 1);
        seen_free(&got);
        build_free(&packed);
    }
    build_free(&plain);
}

static void check_cut(const struct build *packed, size_t n, const char *name,
                      const struct seen *want) {
    struct build cut = {.data = packed->data, .n = n};
    struct seen got = see_memory(&cut);
    assert_true(got.n <= want->n);
    assert_same(want, &got, got.n);
    assert_int_equal(got.faults, 1);
    assert_string_equal(got.fault.what, "memory");
    assert_says(&got.fault, name);
    assert_says(&got.fault, "it ends early");
    seen_free(&got);
}

static void test_cut_streams_are_faults(void **state) {
    (void)state;
    struct build plain = {0};
    put_simple_pcap(&plain, 1000, PACKETS, OCTETS);
    struct seen want = see_memory(&plain);
    for (size_t i = 0; i < PACKINGS; i++) {
        struct build packed = {0};
        packings[i].pack(plain.data, plain.n, &packed);
        check_cut(&packed, packed.n - 1, packings[i].name, &want);
        for (size_t part = 1; part < 5; part++)
            check_cut(&packed, packed.n - part * (packed.n / 20), packings[i].name, &want);
        build_free(&packed);
    }
    seen_free(&want);
    build_free(&plain);
}

/* All packets that the stream still gives are delivered: the cut stream is of a whole capture's
 * octets, flushed, so that every one of them can be decompressed. */
static void test_no_packet_before_a_cut_is_lost(void **state) {
    (void)state;
    struct build plain = {0}, packed = {0};
    put_simple_pcap(&plain, 1000, PACKETS, OCTETS);
    pack_gzip(plain.data, plain.n, &packed);
    packed.n -= 8; /* the member's checksum and length only */
    struct seen s = see_memory(&packed);
    assert_int_equal(s.n, PACKETS);
    assert_int_equal(s.faults, 1);
    seen_free(&s);
    build_free(&packed);
    build_free(&plain);
}

static void test_garbage_behind_a_member_is_a_fault(void **state) {
    (void)state;
    struct build plain = {0};
    put_simple_pcap(&plain, 1000, 100, OCTETS);
    for (size_t i = 0; i < PACKINGS; i++) {
        struct build packed = {0};
        packings[i].pack(plain.data, plain.n, &packed);
        put(&packed, "this is not compressed", 22);
        struct seen s = see_memory(&packed);
        assert_int_equal(s.n, 100);
        assert_int_equal(s.faults, 1);
        assert_says(&s.fault, packings[i].name);
        assert_says(&s.fault, "damaged");
        seen_free(&s);
        build_free(&packed);
    }
    build_free(&plain);
}

static void test_damaged_header_is_refused(void **state) {
    (void)state;
    struct build b = {0};
    put(&b, "\x1f\x8b\x08\xff\xff\xff\xff\xff\xff\xff", 10);
    assert_refused(&b, "gzip data are damaged");
    build_free(&b);
    put(&b,
        "\xfd"
        "7zXZ\0\0\0\0\0\0\0",
        12);
    assert_refused(&b, "xz data are damaged");
    build_free(&b);
}

static void test_packed_nothing_and_packed_text_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < PACKINGS; i++) {
        struct build packed = {0};
        packings[i].pack((const uint8_t *)"", 0, &packed);
        assert_refused(&packed, "empty once decompressed");
        packed.n = 0;
        packings[i].pack((const uint8_t *)"plain text", 10, &packed);
        assert_refused(&packed, "is not a capture");
        build_free(&packed);
    }
}

static void test_packed_twice_is_refused(void **state) {
    (void)state;
    struct build plain = {0}, once = {0}, twice = {0};
    put_simple_pcap(&plain, 1000, 1, OCTETS);
    pack_gzip(plain.data, plain.n, &once);
    pack_gzip(once.data, once.n, &twice);
    assert_refused(&twice, "compressed twice");
    build_free(&twice);
    build_free(&once);
    build_free(&plain);
}

/* Progress counts the octets of the compressed file. */
static void test_progress_is_of_the_stored_octets(void **state) {
    (void)state;
    struct build plain = {0}, packed = {0};
    struct capture *c;
    uint64_t done, total;
    put_simple_pcap(&plain, 1000, PACKETS, OCTETS);
    pack_gzip(plain.data, plain.n, &packed);
    assert_true(packed.n < plain.n / 2);
    struct temporary t = write_file(&packed);
    assert_int_equal(capture_open_files(&c, (const char *const[]){t.path}, 1, NULL), 0);
    capture_progress(c, &done, &total);
    assert_int_equal(total, packed.n);
    assert_true(done <= total);
    struct seen s = see_all(c);
    assert_whole(&s, PACKETS);
    capture_progress(c, &done, &total);
    assert_int_equal(done, packed.n);
    assert_int_equal(total, packed.n);
    capture_free(c);
    remove_file(&t);
    seen_free(&s);
    build_free(&packed);
    build_free(&plain);
}

/* The magic comes in pieces, too. */
static void test_standard_input_in_single_octets(void **state) {
    (void)state;
    struct build plain = {0};
    put_simple_pcap(&plain, 1000, 10, OCTETS);
    for (size_t i = 0; i < PACKINGS; i++) {
        struct build packed = {0};
        packings[i].pack(plain.data, plain.n, &packed);
        struct seen s = see_standard_input(&packed, 1);
        assert_whole(&s, 10);
        assert_packet(&s, 9, 1009 * BASE_NS_PER_S, 9);
        seen_free(&s);
        build_free(&packed);
    }
    build_free(&plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unpacked_equals_plain),
        cmocka_unit_test(test_members_follow_each_other),
        cmocka_unit_test(test_cut_streams_are_faults),
        cmocka_unit_test(test_no_packet_before_a_cut_is_lost),
        cmocka_unit_test(test_garbage_behind_a_member_is_a_fault),
        cmocka_unit_test(test_damaged_header_is_refused),
        cmocka_unit_test(test_packed_nothing_and_packed_text_are_refused),
        cmocka_unit_test(test_packed_twice_is_refused),
        cmocka_unit_test(test_standard_input_in_single_octets),
        cmocka_unit_test(test_progress_is_of_the_stored_octets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
