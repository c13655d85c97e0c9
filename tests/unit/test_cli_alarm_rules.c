/*
 * Files of alarm rules and allow lists: what is taken, and what is refused in which words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe/alarm/engine.h"
#include "probe/cli/alarms.h"

static char path[64];

static const char *file_of(const char *text) {
    strcpy(path, "/tmp/spanwatch-rules-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

static struct alarm_rules *load(const char *text, struct base_error *error) {
    *error = (struct base_error){.why = ""};
    struct alarm_rules *r = cli_load_rules(file_of(text), NULL, error);
    unlink(path);
    return r;
}

static double raise_of(const struct alarm_rules *r, const char *service, const char *client) {
    struct base_addr a;
    if (client != NULL)
        assert_true(base_addr_parse(client, &a));
    return rules_find(r, ALARM_SYN_FLOOD, service, client != NULL ? &a : NULL)->number[ALARM_RAISE];
}

static void test_defaults(void **state) {
    struct base_error error;
    struct alarm_rules *r = load("", &error);
    (void)state;
    assert_non_null(r);
    assert_true(raise_of(r, "api", NULL) == 256);
    assert_string_equal(rules_find(r, ALARM_SYN_FLOOD, NULL, NULL)->source, "default:syn_flood");
    alarm_rules_free(r);
    r = cli_load_rules(NULL, NULL, &error);
    assert_non_null(r);
    alarm_rules_free(r);
}

/* The parts stand in the order in which they must not be taken. */
static void test_who_wins(void **state) {
    struct base_error error;
    struct base_addr a;
    struct alarm_rules *r = load("{\"services\":{\"api\":{\"syn_flood\":{\"raise\":64}}},"
                                 "\"clients\":{\"10.7.0.0/16\":{\"syn_flood\":{\"raise\":10}},"
                                 "\"10.7.1.0/24\":{\"syn_flood\":{\"raise\":5}}},"
                                 "\"alarms\":{\"syn_flood\":{\"raise\":512,\"windows\":3}}}",
                                 &error);
    (void)state;
    assert_non_null(r);
    assert_true(raise_of(r, NULL, NULL) == 512);
    assert_true(raise_of(r, "web", "10.8.0.1") == 512);
    assert_true(raise_of(r, "web", "10.7.9.1") == 10);
    assert_true(raise_of(r, "web", "10.7.1.1") == 5);
    assert_true(raise_of(r, "api", "10.7.1.1") == 64);
    assert_true(base_addr_parse("10.7.1.1", &a));
    const struct alarm_rule *rule = rules_find(r, ALARM_SYN_FLOOD, "api", &a);
    assert_true(rule->number[ALARM_WINDOWS] == 3); /* what it does not say is as for all */
    assert_non_null(strstr(rule->source, ":services.api.syn_flood"));
    alarm_rules_free(r);
}

static void test_allow(void **state) {
    struct base_error error;
    struct base_addr a;
    struct alarm_rules *r = load("{\"allow\":{\"scanners\":[\"10.9.9.9\"],"
                                 "\"health_checkers\":[\"10.31.30.0/30\"],\"load_balancers\":[]}}",
                                 &error);
    (void)state;
    assert_non_null(r);
    assert_true(base_addr_parse("10.31.30.2", &a) && rules_allows(r, &a));
    assert_true(base_addr_parse("10.9.9.9", &a) && rules_allows(r, &a));
    assert_true(base_addr_parse("10.31.30.4", &a) && !rules_allows(r, &a));
    alarm_rules_free(r);
}

static void test_errors(void **state) {
    static const struct {
        const char *text, *line, *why;
    } cases[] = {
        {"{\n\"alarms\":{\n\"syn_flod\":{}}}", ":3",
         "alarms.syn_flod: no alarm has this name, is "
         "\"syn_flood\" meant"},
        {"{\"alarms\":{\"syn_flood\":{\"rise\":3}}}", ":1",
         "alarms.syn_flood.rise: unknown key; allowed in syn_flood are raise, clear, windows"},
        {"{\"alarms\":{\"syn_flood\":{\"age\":3}}}", ":1", "alarms.syn_flood.age: unknown key"},
        {"{\"alarms\":{\"syn_flood\":\n{\"raise\":\"many\"}}}", ":2",
         "alarms.syn_flood.raise: found \"many\" (a string), allowed is a number from 0 to "
         "1000000000"},
        {"{\"alarms\":{\"syn_flood\":{\"windows\":0}}}", ":1", "allowed is a number from 1 to 60"},
        {"{\"alarms\":{\"syn_flood\":{\"enabled\":1}}}", ":1", "allowed is true or false"},
        {"{\"clients\":{\"10.7.0.1/16\":{}}}", ":1", "clients.10.7.0.1/16: allowed is an address"},
        {"{\"allow\":{\"scaners\":[]}}", ":1", "allow.scaners: unknown key; allowed in allow are"},
        {"{\"allow\":{\"scanners\":[\"10.9.9.9\",\n\"10.0.0.1/8\"]}}", ":2",
         "allow.scanners[1]: found \"10.0.0.1/8\""},
        {"{\"alarm\":{}}", ":1",
         "alarm: unknown key; allowed in the file are alarms, services, "
         "clients, allow"},
        {"{\"alarms\":[]}", ":1", "allowed is an object of kinds"},
        {"[]", "", ""},
    };
    struct base_error error;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_null(load(cases[i].text, &error));
        if (strstr(error.what, cases[i].line) == NULL || strstr(error.why, cases[i].why) == NULL)
            fail_msg("case %zu: %s: %s", i, error.what, error.why);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_who_wins),
        cmocka_unit_test(test_allow),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
