/*
 * cli: the main configuration file and --set.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/cli/settings.h"

/* Apply a file's text and up to two settings. */
static int apply(struct cli_config *c, const char *text, const char *set0, const char *set1,
                 struct base_error *error) {
    struct config_document d;
    const char *set[2] = {set0, set1};
    assert_int_equal(config_load_text(&d, "t.json", text, strlen(text), error), 0);
    int result = cli_config_apply(c, &d, set, set1 != NULL ? 2 : set0 != NULL, error);
    config_free(&d);
    return result;
}

static void accept(struct cli_config *c, const char *text, const char *set0, const char *set1) {
    struct base_error error = {0};
    if (apply(c, text, set0, set1, &error) != 0)
        fail_msg("%s: %s", error.what, error.why);
}

static void refuse(const char *text, const char *set, const char *what, const char *why) {
    struct cli_config c;
    struct base_error error = {0};
    assert_int_equal(apply(&c, text, set, NULL, &error), -1);
    assert_string_equal(error.what, what);
    if (strstr(error.why, why) == NULL)
        fail_msg("\"%s\" has no \"%s\"", error.why, why);
    cli_config_free(&c);
}

/* The table of keys and the struct's defaults are Linux's, as the flow room has them. */
static void test_defaults(void **state) {
    (void)state;
    struct cli_config c;
    struct flow_timers linux_timers = flow_timers_default();
    accept(&c, "", NULL, NULL);
    assert_memory_equal(&c.timers, &linux_timers, sizeof linux_timers);
    assert_int_equal(c.max_flows, 8000000);
    assert_int_equal(c.host_count, 0);
    assert_int_equal(c.snapshot_period, 10);
    assert_string_equal(c.snapshot_members, "auto");
    assert_string_equal(c.vlan, "keep");
    assert_string_equal(c.tunnel, "keep");
    assert_string_equal(c.store_prefix, "spanwatch");
    assert_int_equal(c.snaplen, 256);
    assert_int_equal(c.promiscuous, 1);
    assert_int_equal(c.given, 0);
    cli_config_free(&c);
}

/* conf/spanwatch.json documents the defaults: each key that can stand there does, at its default.
 */
static void test_shipped_file(void **state) {
    (void)state;
    struct cli_config file, defaults;
    struct base_error error = {0};
    size_t n;
    const struct cli_key *keys = cli_keys(&n);
    if (cli_config_load(&file, "conf/spanwatch.json", NULL, 0, &error) != 0)
        fail_msg("%s: %s", error.what, error.why);
    cli_config_init(&defaults);
    for (size_t i = 0; i < n; i++) {
        const char *is = (const char *)&file + keys[i].offset,
                   *expected = (const char *)&defaults + keys[i].offset;
        /* the folders' defaults depend on the machine */
        assert_int_equal(file.given >> i & 1, strstr(keys[i].path, "_folder") == NULL);
        if (keys[i].type == CLI_KEY_NUMBER || keys[i].type == CLI_KEY_SWITCH)
            assert_memory_equal(is, expected, sizeof(uint32_t));
        else if (keys[i].type != CLI_KEY_HOSTS)
            assert_string_equal(is, expected);
    }
    assert_int_equal(file.host_count, 0);
    cli_config_free(&file);
}

static void test_switch(void **state) {
    (void)state;
    struct cli_config c;
    accept(&c, "{\"capture\":{\"promiscuous\":false}}", NULL, NULL);
    assert_int_equal(c.promiscuous, 0);
    cli_config_free(&c);
    accept(&c, "{\"capture\":{\"promiscuous\":false}}", "capture.promiscuous=true", NULL);
    assert_int_equal(c.promiscuous, 1);
    cli_config_free(&c);
}

/* Every number of the table: its bounds are accepted and stored where they belong, the values
 * beside them are refused. */
static void test_bounds_of_every_number(void **state) {
    (void)state;
    size_t n, numbers = 0;
    const struct cli_key *keys = cli_keys(&n);
    for (size_t i = 0; i < n; i++) {
        if (keys[i].type != CLI_KEY_NUMBER)
            continue;
        const int64_t good[] = {keys[i].low, keys[i].high};
        const int64_t bad[] = {(int64_t)keys[i].low - 1, (int64_t)keys[i].high + 1};
        for (int k = 0; k < 2; k++) {
            struct cli_config c;
            char set[96], what[112];
            uint32_t stored;
            snprintf(set, sizeof set, "%s=%lld", keys[i].path, (long long)good[k]);
            accept(&c, "", set, NULL);
            memcpy(&stored, (const char *)&c + keys[i].offset, sizeof stored);
            assert_int_equal(stored, good[k]);
            assert_int_equal(c.given, UINT64_C(1) << i);
            cli_config_free(&c);
            snprintf(set, sizeof set, "%s=%lld", keys[i].path, (long long)bad[k]);
            snprintf(what, sizeof what, "--set %s", set);
            refuse("", set, what, "allowed is a whole number from");
        }
        numbers++;
    }
    assert_int_equal(numbers, 24);
}

static void test_set_overrides_the_file(void **state) {
    (void)state;
    struct cli_config c;
    accept(&c, "{\"tracker\":{\"time_wait\":30,\"tcp_retries2\":3}}", "tracker.time_wait=20",
           "store.prefix=probe one");
    assert_int_equal(c.timers.time_wait, 20);
    assert_int_equal(c.timers.tcp_retries2, 3);
    assert_string_equal(c.store_prefix, "probe one");
    cli_config_free(&c);
    accept(&c, "", "tracker={\"time_wait\":7,\"tcp_retries2\":8}", "tracker.time_wait=9");
    assert_int_equal(c.timers.time_wait, 9);
    assert_int_equal(c.timers.tcp_retries2, 8);
    cli_config_free(&c);
    accept(&c, "", "snapshot.members=\"always\"", "state_folder=a=b");
    assert_string_equal(c.snapshot_members, "always");
    assert_string_equal(c.state_folder, "a=b");
    cli_config_free(&c);
}

/* Hosts start from the general timers, those of --set too, and stand longest prefix first. */
static void test_hosts(void **state) {
    (void)state;
    struct cli_config c;
    struct base_addr one;
    accept(&c,
           "{\"tracker\":{\"hosts\":[{\"address\":\"10.0.0.0/8\",\"tcp_fin_timeout\":5},"
           "{\"time_wait\":1,\"address\":\"10.0.0.1\"},{\"address\":\"2001:db8::/"
           "32\"}],\"tcp_retries2\":4}}",
           "tracker.time_wait=20", NULL);
    assert_int_equal(c.host_count, 3);
    assert_int_equal(c.hosts[0].prefix_length, 32);
    assert_int_equal(c.hosts[0].timers.time_wait, 1);
    assert_int_equal(c.hosts[1].prefix_length, 32);
    assert_int_equal(c.hosts[2].prefix_length, 8);
    assert_int_equal(c.hosts[2].timers.tcp_fin_timeout, 5);
    assert_int_equal(c.hosts[2].timers.time_wait, 20);
    assert_int_equal(c.hosts[2].timers.tcp_retries2, 4);
    assert_int_equal(c.hosts[1].timers.tcp_fin_timeout, 60);
    assert_true(base_addr_parse("10.0.0.1", &one));
    assert_memory_equal(&c.hosts[0].address, &one, sizeof one);
    cli_config_free(&c);
    accept(&c, "{\"tracker\":{\"hosts\":[{\"address\":\"10.0.0.0/8\"}]}}", "tracker.hosts=[]",
           NULL);
    assert_int_equal(c.host_count, 0);
    cli_config_free(&c);
}

static void test_faults_of_files(void **state) {
    (void)state;
    refuse("{\n\"traker\":{}}", NULL, "t.json:2",
           "traker: unknown key; allowed in the file are capture, tracker");
    refuse("{\"tracker.time_wait\":3}", NULL, "t.json:1", "tracker.time_wait: unknown key");
    refuse("{\"tracker\":{\n\n\"timewait\":3}}", NULL, "t.json:3",
           "tracker.timewait: unknown key; allowed in tracker are");
    refuse("{\"serve\":{\"port\":1}}", NULL, "t.json:1",
           "serve.port: unknown key; serve has none yet");
    refuse("{\"tracker\":[]}", NULL, "t.json:1", "tracker: found an array, allowed is an object");
    refuse("{\"tracker\":{\"time_wait\":\"60\"}}", NULL, "t.json:1",
           "tracker.time_wait: found \"60\" (a string)");
    refuse("{\"tracker\":{\"time_wait\":null}}", NULL, "t.json:1", "tracker.time_wait: found null");
    refuse("{\"tracker\":{\"time_wait\":60.0}}", NULL, "t.json:1",
           "tracker.time_wait: found 60.0 (a number with");
    refuse("{\"tracker\":{\"time_wait\":9223372036854775807}}", NULL, "t.json:1",
           "found 9223372036854775807");
    refuse("{\"store\":{\"prefix\":\"a{b}\"}}", NULL, "t.json:1",
           "store.prefix: found \"a{b}\" (a string)");
    refuse("{\"store\":{\"prefix\":\"\"}}", NULL, "t.json:1", "store.prefix: found \"\"");
    refuse("{\"store\":{\"prefix\":7}}", NULL, "t.json:1", "store.prefix: found 7");
    refuse("{\"snapshot\":{\"members\":\"aut\"}}", NULL, "t.json:1", "allowed is auto|always");
    refuse("{\"capture\":{\"vlan\":\"all\"}}", NULL, "t.json:1",
           "capture.vlan: found \"all\" (a string), allowed is keep|strip|innermost");
    refuse("", "capture.tunnel=7", "--set capture.tunnel=7",
           "capture.tunnel: found 7 (a whole number), allowed is keep|strip|innermost");
    refuse("{\"capture\":{\"promiscuous\":1}}", NULL, "t.json:1",
           "capture.promiscuous: found 1 (a whole number), allowed is true or false");
    refuse("", "capture.promiscuous=yes", "--set capture.promiscuous=yes",
           "allowed is true or false");
    refuse("{\"snapshot\":{\"members\":\"\"}}", NULL, "t.json:1", "allowed is auto|always");
    refuse("{\"snapshot\":{\"members\":\"auto|always\"}}", NULL, "t.json:1",
           "allowed is auto|always");
}

static void test_faults_of_hosts(void **state) {
    (void)state;
#define HOSTS(x) "{\"tracker\":{\"hosts\":[\n{\"address\":\"10.0.0.0/8\"},\n" x "]}}"
    refuse("{\"tracker\":{\"hosts\":{}}}", NULL, "t.json:1",
           "tracker.hosts: found an object, allowed is an array");
    refuse(HOSTS("3"), NULL, "t.json:3", "tracker.hosts[1]: found 3");
    refuse(HOSTS("{\"time_wait\":5}"), NULL, "t.json:3",
           "tracker.hosts[1]: the key \"address\" is missing");
    refuse(HOSTS("{\"address\":\"10.0.0.1/8\"}"), NULL, "t.json:3",
           "tracker.hosts[1].address: found \"10.0.0.1/8\"");
    refuse(HOSTS("{\"address\":7}"), NULL, "t.json:3", "tracker.hosts[1].address: found 7");
    refuse(HOSTS("{\"max_flows\":7}"), NULL, "t.json:3", "tracker.hosts[1].max_flows: unknown key");
    refuse(HOSTS("{\"time_wait\":0}"), NULL, "t.json:3", "tracker.hosts[1].time_wait: found 0");
    refuse(HOSTS("{\"address\":\"10.0.0.0/8\"}"), NULL, "t.json:3",
           "tracker.hosts[1]: the same address");
    refuse("", "tracker.hosts=[{}]", "--set tracker.hosts=[{}]",
           "tracker.hosts[0]: the key \"address\" is missing");
}

static void test_faults_of_set(void **state) {
    (void)state;
    refuse("", "tracker.time_wait=soon", "--set tracker.time_wait=soon",
           "tracker.time_wait: found \"soon\" (a string)");
    refuse("", "tracker.time_wait", "--set tracker.time_wait", "allowed is KEY.PATH=VALUE");
    refuse("", "=1", "--set =1", "allowed is KEY.PATH=VALUE");
    refuse("", "tracker..time_wait=1", "--set tracker..time_wait=1", "empty part");
    refuse("", "tracker.=1", "--set tracker.=1", "empty part");
    refuse("", "a.b.c.d.e.f.g.h.i=1", "--set a.b.c.d.e.f.g.h.i=1", "too many");
    refuse("", "tracker.time_wait.x=1", "--set tracker.time_wait.x=1",
           "unknown key; allowed in tracker are");
    refuse("", "a.b=1", "--set a.b=1", "unknown key; allowed in the file are");
    refuse("", "store.prefix=\xff", "--set store.prefix=\xff", "not UTF-8");
    refuse("", "tracker.time_wait=", "--set tracker.time_wait=", "found \"\" (a string)");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_shipped_file),
        cmocka_unit_test(test_switch),
        cmocka_unit_test(test_bounds_of_every_number),
        cmocka_unit_test(test_set_overrides_the_file),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_faults_of_files),
        cmocka_unit_test(test_faults_of_hosts),
        cmocka_unit_test(test_faults_of_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
