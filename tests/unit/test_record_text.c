/*
 * Digits, addresses and strings in JSON; text for a terminal.
 */
#include "test_record_fixture.h"

#include "probe/record/text.h"

static const char *ended(char *buffer, char *end) {
    *end = '\0';
    return buffer;
}

static void test_numbers(void **state) {
    (void)state;
    static const struct {
        uint64_t v;
        const char *text;
    } cases[] = {
        {0, "0"},     {9, "9"},         {10, "10"},           {99, "99"},
        {100, "100"}, {65535, "65535"}, {1000000, "1000000"}, {UINT64_MAX, "18446744073709551615"}};
    char b[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(ended(b, record_put_uint(b, cases[i].v)), cases[i].text);
    assert_string_equal(ended(b, record_put_hex(b, 0)), "0000000000000000");
    assert_string_equal(ended(b, record_put_hex(b, UINT64_C(0x0123456789abcdef))),
                        "0123456789abcdef");
}

static void test_times(void **state) {
    (void)state;
    char b[64];
    assert_string_equal(ended(b, record_put_time(b, 0)), "0.000000000");
    assert_string_equal(ended(b, record_put_time(b, 1)), "0.000000001");
    assert_string_equal(ended(b, record_put_time(b, 1000)), "0.000001000");
    assert_string_equal(ended(b, record_put_time(b, 999999999)), "0.999999999");
    assert_string_equal(ended(b, record_put_time(b, T0 + 123456789)), "1700000000.123456789");
    assert_string_equal(ended(b, record_put_time(b, UINT64_MAX)), "18446744073.709551615");
}

static const char *endpoint(char b[64], const char *address, uint16_t port) {
    struct base_addr a;
    assert_true(base_addr_parse(address, &a));
    return ended(b, record_put_endpoint(b, a.family, a.octet, port));
}

/* The examples of RFC 5952 section 4, and of addresses that embed IPv4. */
static void test_endpoints(void **state) {
    (void)state;
    char b[64];
    assert_string_equal(endpoint(b, "0.0.0.0", 0), "0.0.0.0:0\"");
    assert_string_equal(endpoint(b, "255.100.10.9", 65535), "255.100.10.9:65535\"");
    assert_string_equal(endpoint(b, "2001:0DB8::0001", 443), "[2001:db8::1]:443\"");
    assert_string_equal(endpoint(b, "2001:db8:0:1:1:1:1:1", 1), "[2001:db8:0:1:1:1:1:1]:1\"");
    assert_string_equal(endpoint(b, "2001:0:0:1:0:0:0:1", 1), "[2001:0:0:1::1]:1\"");
    assert_string_equal(endpoint(b, "2001:db8:0:0:1:0:0:1", 1), "[2001:db8::1:0:0:1]:1\"");
    assert_string_equal(endpoint(b, "::", 1), "[::]:1\"");
    assert_string_equal(endpoint(b, "::1", 1), "[::1]:1\"");
    assert_string_equal(endpoint(b, "fe80::", 1), "[fe80::]:1\"");
    assert_string_equal(endpoint(b, "::ffff:192.0.2.1", 1), "[::ffff:192.0.2.1]:1\"");
}

/* The same text as base_addr_format gives, whichever of the words are zero. */
static void test_endpoints_agree_with_base(void **state) {
    (void)state;
    static const unsigned words[] = {0x1, 0xab, 0xcde, 0xffff};
    for (unsigned zeros = 0; zeros < 256; zeros++) {
        for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
            struct base_addr a = {.family = 6};
            char b[64], expected[BASE_ENDPOINT_TEXT];
            for (unsigned i = 0; i < 8; i++) {
                unsigned v = zeros >> i & 1 ? 0 : words[w];
                a.octet[2 * i] = (uint8_t)(v >> 8);
                a.octet[2 * i + 1] = (uint8_t)v;
            }
            base_endpoint_format(&a, 8080, expected);
            char *end = record_put_endpoint(b, 6, a.octet, 8080);
            assert_string_equal(ended(b, end - 1), expected);
        }
    }
}

static const char *json(char b[128], const char *text, size_t max) {
    return ended(b, record_put_text(b, text, max));
}

static void test_strings_are_escaped(void **state) {
    (void)state;
    char b[128];
    assert_string_equal(json(b, "", 64), "\"");
    assert_string_equal(json(b, "plain text", 64), "plain text\"");
    assert_string_equal(json(b, "a\"b\\c/d", 64), "a\\\"b\\\\c/d\"");
    assert_string_equal(json(b, "\b\t\n\f\r", 64), "\\b\\t\\n\\f\\r\"");
    assert_string_equal(json(b, "\x01\x1b\x1f\x7f", 64), "\\u0001\\u001b\\u001f\\u007f\"");
    assert_string_equal(json(b, "Bücher 日本 \xf0\x9f\x90\x9f", 64),
                        "Bücher 日本 \xf0\x9f\x90\x9f\"");
}

/* What is not UTF-8 (RFC 3629) must not reach a reader that believes it is. */
static void test_broken_utf8_is_replaced(void **state) {
    (void)state;
    static const char *const broken[] = {"\x80", "\xff", "\xc0", "\xe4", "\xf5"};
    char b[128];
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        assert_string_equal(json(b, broken[i], 64), "\\ufffd\"");
    assert_string_equal(json(b, "\xc3(", 64), "\\ufffd(\"");                     /* cut short */
    assert_string_equal(json(b, "\xc0\xaf", 64), "\\ufffd\\ufffd\"");            /* overlong */
    assert_string_equal(json(b, "\xe0\x80\xaf", 64), "\\ufffd\\ufffd\\ufffd\""); /* overlong */
    assert_string_equal(json(b, "\xed\xa0\x80", 64), "\\ufffd\\ufffd\\ufffd\""); /* surrogate */
    assert_string_equal(json(b, "\xf4\x90\x80\x80", 64),
                        "\\ufffd\\ufffd\\ufffd\\ufffd\""); /* too high */
}

static void test_long_strings_are_cut_between_characters(void **state) {
    (void)state;
    char b[128];
    assert_string_equal(json(b, "abcdef", 3), "abc\"");
    assert_string_equal(json(b, "ab\xc3\xbc", 3), "ab\"");
    assert_string_equal(json(b, "ab\n", 3), "ab\"");
    assert_string_equal(json(b, "ab\n", 4), "ab\\n\"");
}

static void test_text_for_a_terminal(void **state) {
    (void)state;
    char b[32];
    assert_int_equal(record_text_printable("Bücher \"x\"", b, sizeof b), 11);
    assert_string_equal(b, "Bücher \"x\"");
    record_text_printable("\x1b[2J\n\x7f", b, sizeof b);
    assert_string_equal(b, "\\x1b[2J\\x0a\\x7f");
    record_text_printable("\xc2\x9b"
                          "2J \xff",
                          b, sizeof b); /* C1's control sequence introducer */
    assert_string_equal(b, "\\xc2\\x9b2J \\xff");
    assert_int_equal(record_text_printable("ab\xc3\xbc", b, 4), 2);
    assert_string_equal(b, "ab");
    assert_int_equal(record_text_printable("ab\xc3\xbc", b, 5), 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_endpoints_agree_with_base),
        cmocka_unit_test(test_strings_are_escaped),
        cmocka_unit_test(test_broken_utf8_is_replaced),
        cmocka_unit_test(test_long_strings_are_cut_between_characters),
        cmocka_unit_test(test_text_for_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
