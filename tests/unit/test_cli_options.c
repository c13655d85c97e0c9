/*
 * cli: options, probes' names, suggestions, and the filter of packets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/cli/cli.h"
#include "probe/cli/filter.h"

enum { WORDS = 8 };

/* Parse up to WORDS words as the arguments of a verb. */
static int parse(struct cli_options *o, enum cli_verb_bit verb, const char *const *words,
                 struct base_error *error) {
    static char copy[WORDS + 1][128];
    static char *argv[WORDS + 2]; /* static: options borrow from it */
    int argc = 1;
    snprintf(copy[0], sizeof copy[0], "verb");
    argv[0] = copy[0];
    for (; argc <= WORDS && words[argc - 1] != NULL; argc++) {
        snprintf(copy[argc], sizeof copy[argc], "%s", words[argc - 1]);
        argv[argc] = copy[argc];
    }
    argv[argc] = NULL;
    return cli_options_parse(o, argc, argv, verb, error);
}

#define PARSE(o, error, ...) parse(o, CLI_READ, (const char *const[]){__VA_ARGS__, NULL}, error)

static void refuse(const char *word, const char *what, const char *why) {
    struct cli_options o;
    struct base_error error = {0};
    assert_int_equal(PARSE(&o, &error, "a.pcap", word), -1);
    assert_string_equal(error.what, what);
    if (strstr(error.why, why) == NULL)
        fail_msg("%s: \"%s\" has no \"%s\"", word, error.why, why);
    cli_options_free(&o);
}

static void test_defaults(void **state) {
    (void)state;
    struct cli_options o;
    struct base_error error;
    assert_int_equal(PARSE(&o, &error, "a.pcap"), 0);
    assert_int_equal(o.format, CLI_REPORT);
    assert_int_equal(o.records, STORE_ALL);
    assert_int_equal(o.workers, 1);
    assert_int_equal(o.linger_ns, 120 * BASE_NS_PER_S);
    assert_string_equal(o.output, "-");
    assert_int_equal(o.at.kind, CLI_AT_NONE);
    assert_null(o.name);
    assert_null(o.config);
    assert_int_equal(o.set_count, 0);
    assert_int_equal(o.file_count, 1);
    cli_options_free(&o);
}

static void test_both_styles_and_any_order(void **state) {
    (void)state;
    struct cli_options o;
    struct base_error error;
    assert_int_equal(
        PARSE(&o, &error, "--set", "a=1", "x.pcap", "--set=b=2", "--format=none", "-", "--", "--y"),
        0);
    assert_int_equal(o.format, CLI_NONE);
    assert_int_equal(o.set_count, 2);
    assert_string_equal(o.set[0], "a=1");
    assert_string_equal(o.set[1], "b=2");
    assert_int_equal(o.file_count, 3);
    assert_string_equal(o.files[0], "x.pcap");
    assert_string_equal(o.files[1], "-");
    assert_string_equal(o.files[2], "--y");
    cli_options_free(&o);
    assert_int_equal(PARSE(&o, &error, "--at", "-5m", "--name", "-n-", "f"), 0);
    assert_int_equal(o.at.kind, CLI_AT_BEFORE_END);
    assert_int_equal(o.at.ns, 300 * BASE_NS_PER_S);
    assert_string_equal(o.name, "-n-");
    assert_int_equal(o.file_count, 1);
    cli_options_free(&o);
}

static void test_refused_options(void **state) {
    (void)state;
    refuse("--fromat=none", "--fromat", "the nearest is --format");
    refuse("--servces=x", "--servces", "the nearest is --services");
    refuse("--qqqqqqqqqqqq", "--qqqqqqqqqqqq", "unknown option; see --help");
    refuse("--al=x", "--al", "beginning of several");
    refuse("-z", "-z", "unknown option");
    refuse("--workers", "--workers", "needs a value");
    refuse("--help=yes", "--help", "takes no value");
    refuse("--workers=0", "--workers", "found \"0\"");
    refuse("--workers=65", "--workers", "1 to 64");
    refuse("--workers=2x", "--workers", "found \"2x\"");
    refuse("--format=xml", "--format", "allowed are report, jsonl, none");
    refuse("--redis=rediss://u:secret@h", "--redis", "later version");
    refuse("--name=a b", "--name", "found \"a b\"");
    refuse("--records=stats,gap", "--records", "found \"stats,gap\"");
    refuse("--at=tomorrow", "--at", "found \"tomorrow\"");
    refuse("--linger=-1", "--linger", "found \"-1\"");
    refuse("--config=", "--config", "empty");
}

/* What one verb knows another may not. */
static void test_options_of_verbs(void **state) {
    (void)state;
    struct cli_options o;
    struct base_error error;
    const char *const filter[] = {"--filter=tcp", NULL}, *const config[] = {"--config=c", NULL};
    assert_int_equal(parse(&o, CLI_CHECK, filter, &error), -1);
    assert_string_equal(error.what, "--filter");
    assert_int_equal(parse(&o, CLI_CHECK, config, &error), 0);
    assert_string_equal(o.config, "c");
}

#define PARSE_PROBE(o, error, ...)                                                                 \
    parse(o, CLI_PROBE, (const char *const[]){__VA_ARGS__, NULL}, error)

static void test_probe(void **state) {
    (void)state;
    struct cli_options o;
    struct base_error error;
    assert_int_equal(PARSE_PROBE(&o, &error, "-i", "eth0", "-ieth1", "--interface=any",
                                 "--no-promisc", "--duration", "1.5"),
                     0);
    assert_int_equal(o.interface_count, 3);
    assert_string_equal(o.interfaces[0], "eth0");
    assert_string_equal(o.interfaces[1], "eth1");
    assert_string_equal(o.interfaces[2], "any");
    assert_int_equal(o.format, CLI_NONE); /* the store has it all */
    assert_int_equal(o.duration_ns, 1500000000);
    assert_true(o.no_promisc);
    assert_false(o.no_reopen);
    assert_int_equal(o.snaplen, 0);
    assert_null(o.user);
    cli_options_free(&o);
    assert_int_equal(PARSE_PROBE(&o, &error, "-i", "eth0", "--redis=none"), 0);
    assert_int_equal(o.format, CLI_JSONL);
    cli_options_free(&o);
    assert_int_equal(o.interface_count, 0);
    assert_int_equal(
        PARSE_PROBE(&o, &error, "--snaplen", "96", "--ring-mib", "8", "--user", "u", "--no-reopen"),
        0);
    assert_int_equal(o.snaplen, 96);
    assert_int_equal(o.ring_mib, 8);
    assert_string_equal(o.user, "u");
    assert_true(o.no_reopen);
    cli_options_free(&o);
}

static void refuse_probe(const char *option, const char *value, const char *what, const char *why) {
    struct cli_options o;
    struct base_error error = {0};
    assert_int_equal(PARSE_PROBE(&o, &error, option, value), -1);
    assert_string_equal(error.what, what);
    if (strstr(error.why, why) == NULL)
        fail_msg("%s: \"%s\" has no \"%s\"", option, error.why, why);
    cli_options_free(&o);
}

static void test_probe_refuses(void **state) {
    (void)state;
    refuse_probe("-i", NULL, "--interface", "needs a value");
    refuse_probe("-i", "", "--interface", "empty");
    refuse_probe("-x", NULL, "-x", "unknown option");
    refuse_probe("--snaplen", "63", "--snaplen", "from 64 to 262144");
    refuse_probe("--snaplen", "262145", "--snaplen", "from 64 to 262144");
    refuse_probe("--ring-mib", "0", "--ring-mib", "from 1 to 2047");
    refuse_probe("--workers", "65", "--workers", "from 1 to 64");
    refuse_probe("--duration", "soon", "--duration", "seconds");
    refuse_probe("--linger", "5", "--linger", "unknown option");
    refuse_probe("--at", "now", "--at", "unknown option");
    refuse("-i", "-i", "unknown option");
}

static void test_records(void **state) {
    (void)state;
    unsigned records;
    assert_true(cli_records_parse("transitions", &records));
    assert_int_equal(records, STORE_TRANSITIONS);
    assert_true(cli_records_parse("stats,gaps,alarms,snapshots,connections,stats", &records));
    assert_int_equal(records, STORE_ALL & ~(unsigned)STORE_TRANSITIONS);
    static const char *const bad[] = {"",       ",",           "stats,", ",stats", "stat",
                                      "statss", "stats,,gaps", "Stats",  " stats"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(cli_records_parse(bad[i], &records));
}

static void test_linger(void **state) {
    (void)state;
    uint64_t ns;
    assert_true(cli_linger_parse("0", &ns));
    assert_int_equal(ns, 0);
    assert_true(cli_linger_parse("0.000000001", &ns));
    assert_int_equal(ns, 1);
    assert_true(cli_linger_parse("1000000000", &ns));
    static const char *const bad[] = {
        "", "-1", "1e3", "1000000000.1", ".", "1.", "0.0000000001", "2023-11-14T22:13:20Z", " 1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(cli_linger_parse(bad[i], &ns));
}

static void test_at(void **state) {
    (void)state;
    struct cli_at at;
    assert_true(cli_at_parse("now", &at));
    assert_int_equal(at.kind, CLI_AT_BEFORE_END);
    assert_int_equal(at.ns, 0);
    assert_true(cli_at_parse("-2d", &at));
    assert_int_equal(at.ns, 172800 * BASE_NS_PER_S);
    assert_true(cli_at_parse("-100000000d", &at)); /* longer than clocks go: before everything */
    assert_true(at.ns == UINT64_MAX);
    assert_true(cli_at_parse("1700000000.5", &at));
    assert_int_equal(at.kind, CLI_AT_MOMENT);
    assert_int_equal(at.ns, UINT64_C(1700000000500000000));
    assert_true(cli_at_parse("2023-11-14T22:13:20Z", &at));
    assert_int_equal(at.ns, UINT64_C(1700000000000000000));
    static const char *const bad[] = {"",   "-",    "-m",    "-5",  "-5w",
                                      "5m", "--5m", "-5.5m", "Now", "-12345678901234567m"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(cli_at_parse(bad[i], &at));
}

static void test_names(void **state) {
    (void)state;
    static const struct {
        const char *path, *name;
    } cases[] = {
        {"edge1.pcap", "edge1.pcap"},
        {"/var/x/edge 1.pcap.gz", "edge_1.pcap"},
        {"a.zst", "a"},
        {"../b.pcapng.xz", "b.pcapng"},
        {"c.gz.xz", "c.gz"},
        {".gz", ".gz"},
        {"-", "-"},
        {"caf\xc3\xa9\xe2\x82\xac.pcap", "caf__.pcap"},
        {"x\xff\xfey", "x__y"},
        {"\xa9\xa9", "_"},
        {"a:b(c)", "a_b_c_"},
        {"d.GZ", "d.GZ"},
    };
    char name[CLI_NAME_MAX + 1], path[200];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cli_name_from_path(cases[i].path, name);
        assert_string_equal(name, cases[i].name);
        assert_true(cli_name_is_valid(name));
    }
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    cli_name_from_path(path, name);
    assert_int_equal(strlen(name), CLI_NAME_MAX);
    assert_true(cli_name_is_valid(name));
    path[CLI_NAME_MAX + 1] = '\0';
    assert_false(cli_name_is_valid(path));
    assert_false(cli_name_is_valid(""));
    assert_false(cli_name_is_valid("a/b"));
    assert_false(cli_name_is_valid("a{b"));
}

static void test_nearest(void **state) {
    (void)state;
    static const char *const names[] = {"read", "check", "version"};
    assert_string_equal(cli_nearest("red", names, 3), "read");
    assert_string_equal(cli_nearest("chekc", names, 3), "check");
    assert_string_equal(cli_nearest("versoin", names, 3), "version");
    assert_null(cli_nearest("query", names, 3));
    assert_null(cli_nearest("", names, 3));
    assert_null(cli_nearest("readreadreadreadreadreadreadreadread", names, 3));
}

/* An Ethernet frame, or (from octet 14 on) a raw IP packet: IPv4, TCP, port 1234 to 80. */
static const uint8_t frame[] = {
    2,    0,    0, 0,  0, 1, 2, 0, 0,  0, 0, 2, 8,    0,                          /* Ethernet */
    0x45, 0,    0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 10,   0, 0,    1,    10, 0, 0, 2, /* IPv4 */
    4,    0xd2, 0, 80, 0, 0, 0, 1, 0,  0, 0, 0, 0x50, 2, 0xff, 0xff, 0,  0, 0, 0, /* TCP */
};

static struct packet make_packet(uint16_t link) {
    size_t skip = link == 1 ? 0 : 14;
    return (struct packet){.data = frame + skip,
                           .captured = (uint32_t)(sizeof frame - skip),
                           .length = (uint32_t)(sizeof frame - skip),
                           .link = link};
}

static bool matches(const char *expression, uint16_t link, size_t faults) {
    struct cli_filter *f;
    struct base_error error = {0};
    struct packet p = make_packet(link);
    if (cli_filter_new(&f, expression, &error) != 0)
        fail_msg("%s: %s", error.what, error.why);
    bool match = cli_filter_match(f, &p), again = cli_filter_match(f, &p);
    assert_int_equal(match, again);
    assert_int_equal(cli_filter_faults(f, &error), faults);
    cli_filter_free(f);
    return match;
}

static void test_filter(void **state) {
    (void)state;
    struct cli_filter *f;
    struct base_error error;
    assert_true(matches("tcp dst port 80", 1, 0));
    assert_true(
        matches("tcp dst port 80", 101, 0)); /* LINKTYPE_RAW, which is not DLT_RAW's number */
    assert_true(matches("tcp dst port 80", 228, 0));
    assert_false(matches("tcp dst port 81", 1, 0));
    assert_false(matches("vlan 5", 1, 0));
    assert_false(matches("ether host 02:00:00:00:00:01", 101,
                         1)); /* no such thing on this link: said, not matched */
    assert_false(matches("tcp", 65000, 1));
    assert_int_equal(cli_filter_new(&f, "tcp port port", &error), -1);
    assert_string_equal(error.what, "--filter");
    assert_non_null(strstr(error.why, "tcp port port"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_both_styles_and_any_order),
        cmocka_unit_test(test_refused_options),
        cmocka_unit_test(test_options_of_verbs),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_probe_refuses),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_linger),
        cmocka_unit_test(test_at),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_filter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
