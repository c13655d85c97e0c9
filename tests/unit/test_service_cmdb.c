/*
 * cmdb: what JSON and CSV files make of services and clients, and what is wrong in such files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "spanwatch/cmdb.h"

enum { PATH = 64 };

static char folder[PATH];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/test_cmdb_XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

/* Load octets as a file of this name. */
static int load_octets(struct cmdb *c, const char *name, const char *octets, size_t n,
                       struct base_error *error) {
    char path[2 * PATH];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(octets, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    int result = cmdb_load(c, path, error);
    unlink(path);
    return result;
}

static int load(struct cmdb *c, const char *name, const char *text, struct base_error *error) {
    return load_octets(c, name, text, strlen(text), error);
}

static struct cmdb *cmdb_of(const char *name, const char *text) {
    struct base_error error = {0};
    struct cmdb *c = cmdb_new();
    assert_non_null(c);
    if (load(c, name, text, &error) != 0)
        fail_msg("%s: %s", error.what, error.why);
    return c;
}

static const char *service(const struct cmdb *c, const char *name) {
    const char *json = cmdb_service(c, name);
    return json != NULL ? json : "-";
}

static const char *name_of(const struct cmdb *c, const char *address) {
    struct base_addr a;
    assert_true(base_addr_parse(address, &a));
    const char *name = cmdb_client_name(c, &a);
    return name != NULL ? name : "-";
}

static const char *json_of(const struct cmdb *c, const char *address) {
    struct base_addr a;
    struct cmdb_client found;
    assert_true(base_addr_parse(address, &a));
    return cmdb_client(c, &a, &found) ? found.json : "-";
}

static void test_json(void **state) {
    (void)state;
    struct cmdb *c = cmdb_of(
        "c.json", "{\"cmdb\":{\"https\":{\"owner\":\"web-team\",\"tier\":\"1\"},"
                  "\"db\":{\"tier\":2,\"cost\":0.1,\"critical\":true,\"note\":\"\"},\"bare\":{}},"
                  "\"clients\":[{\"site\":\"Ulm\",\"address\":\"10.7.0.17\",\"floor\":3,"
                  "\"name\":\"pos-terminal-17\"}]}");
    assert_string_equal(service(c, "https"), "{\"owner\":\"web-team\",\"tier\":\"1\"}");
    assert_string_equal(service(c, "db"),
                        "{\"tier\":2,\"cost\":0.1,\"critical\":true,\"note\":\"\"}");
    assert_string_equal(service(c, "bare"), "{}");
    assert_string_equal(service(c, "http"), "-");
    assert_string_equal(name_of(c, "10.7.0.17"), "pos-terminal-17");
    assert_string_equal(json_of(c, "10.7.0.17"),
                        "{\"name\":\"pos-terminal-17\",\"site\":\"Ulm\",\"floor\":3}");
    assert_string_equal(name_of(c, "10.7.0.18"), "-");
    assert_true(cmdb_has_services(c) && cmdb_has_clients(c));
    assert_int_equal(cmdb_services(c), 3);
    assert_int_equal(cmdb_clients(c), 1);
    cmdb_free(c);
}

static void test_empty(void **state) {
    (void)state;
    struct cmdb *c = cmdb_new(), *empty = cmdb_of("c.json", "");
    struct base_addr a;
    assert_true(base_addr_parse("10.0.0.1", &a));
    assert_false(cmdb_has_services(c) || cmdb_has_clients(c));        /* nothing was said */
    assert_true(cmdb_has_services(empty) && cmdb_has_clients(empty)); /* it was: none */
    assert_null(cmdb_service(c, "x"));
    assert_null(cmdb_client_name(c, &a));
    assert_null(cmdb_client_name(NULL, &a));
    cmdb_free(c);
    cmdb_free(empty);
}

static void test_longest_prefix(void **state) {
    (void)state;
    struct cmdb *c = cmdb_of("c.csv", "address,name\n0.0.0.0/0,any\n10.0.0.0/8,ten\n"
                                      "10.128.0.0/9,upper\n10.128.4.0/23,branch\n"
                                      "10.128.5.9,host\n2001:db8::/33,low\n2001:db8::5,five\n");
    assert_string_equal(name_of(c, "9.255.255.255"), "any");
    assert_string_equal(name_of(c, "10.127.255.255"), "ten");
    assert_string_equal(name_of(c, "10.128.0.0"), "upper");
    assert_string_equal(name_of(c, "10.128.3.255"), "upper");
    assert_string_equal(name_of(c, "10.128.4.0"), "branch");
    assert_string_equal(name_of(c, "10.128.5.255"), "branch");
    assert_string_equal(name_of(c, "10.128.6.0"), "upper");
    assert_string_equal(name_of(c, "10.128.5.9"), "host");
    assert_string_equal(name_of(c, "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff"), "low");
    assert_string_equal(name_of(c, "2001:db8:8000::"), "-");
    assert_string_equal(name_of(c, "2001:db8::5"), "five");
    assert_string_equal(name_of(c, "::ffff:10.0.0.1"), "-"); /* a mapped address is IPv6's */
    cmdb_free(c);
}

/* Every prefix length of both families: a search must agree with trying each entry. */
static void test_agrees_with_a_plain_search(void **state) {
    (void)state;
    enum { BITS = 128 };
    char text[64 << 8], address[BASE_ADDR_TEXT];
    size_t n = (size_t)snprintf(text, sizeof text, "address,name\n");
    struct base_addr base;
    assert_true(base_addr_parse("a5a5:5a5a:c3c3:3c3c:9696:6969:f0f0:0f0f", &base));
    for (unsigned length = 0; length <= BITS; length++) {
        struct base_addr net = base;
        for (unsigned bit = length; bit < BITS; bit++)
            net.octet[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
        base_addr_format(&net, address);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s/%u,n%u\n", address, length, length);
    }
    struct cmdb *c = cmdb_of("c.csv", text);
    for (unsigned bit = 0; bit < BITS; bit++) { /* what first differs at this bit */
        struct base_addr a = base;
        char expected[16];
        a.octet[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        snprintf(expected, sizeof expected, "n%u", bit);
        assert_string_equal(cmdb_client_name(c, &a), expected);
    }
    assert_string_equal(cmdb_client_name(c, &base), "n128");
    cmdb_free(c);
}

static void test_csv(void **state) {
    (void)state;
    struct cmdb *c = cmdb_of("C.CSV", "\xef\xbb\xbfowner,service,\"business, line\",note\r\n"
                                      "web-team,https,\"Shop \"\"A\"\"\",\r\n"
                                      "\r\n"
                                      ",\"db\",\"two\nlines\",\"\"\r\n"
                                      "\"M\xc3\xbcller\",tcp/80,0,1");
    assert_string_equal(service(c, "https"),
                        "{\"owner\":\"web-team\",\"business, line\":\"Shop \\\"A\\\"\"}");
    assert_string_equal(service(c, "db"), "{\"business, line\":\"two\\nlines\"}");
    assert_string_equal(service(c, "tcp/80"),
                        "{\"owner\":\"M\xc3\xbcller\",\"business, line\":\"0\","
                        "\"note\":\"1\"}");
    assert_true(cmdb_has_services(c));
    assert_false(cmdb_has_clients(c)); /* it does not speak of them */
    cmdb_free(c);
}

static void test_csv_clients(void **state) {
    (void)state;
    struct cmdb *c =
        cmdb_of("c.csv", "site,address,name\nUlm,10.7.0.17,pos-17\n,10.8.0.0/16,lab\n");
    assert_string_equal(json_of(c, "10.7.0.17"), "{\"name\":\"pos-17\",\"site\":\"Ulm\"}");
    assert_string_equal(json_of(c, "10.8.1.1"), "{\"name\":\"lab\"}");
    assert_false(cmdb_has_services(c));
    assert_true(cmdb_has_clients(c));
    cmdb_free(c);
}

struct refusal {
    const char *name, *text;
    unsigned line; /* 0: the file as a whole */
    const char *why;
};

static void check_refusal(const struct refusal *r, size_t n) {
    struct base_error error = {0};
    struct cmdb *c = cmdb_new();
    char place[PATH];
    assert_non_null(c);
    if (load_octets(c, r->name, r->text, n, &error) != -1)
        fail_msg("taken: %s", r->text);
    if (strstr(error.why, r->why) == NULL)
        fail_msg("\"%s\" has no \"%s\"", error.why, r->why);
    snprintf(place, sizeof place, r->line > 0 ? "/%s:%u" : "/%s", r->name, r->line);
    if (strlen(error.what) < strlen(place) ||
        strcmp(error.what + strlen(error.what) - strlen(place), place) != 0)
        fail_msg("\"%s\" does not end in \"%s\" (%s)", error.what, place, error.why);
    cmdb_free(c);
}

static void test_refused_json(void **state) {
    (void)state;
#define CLIENTS(x) "{\"clients\":[{\"address\":\"10.0.0.1\",\"name\":\"a\"},\n" x "]}"
    static const struct refusal cases[] = {
        {"c.json", "[]", 1, "the file: found an array"},
        {"c.json", "service,owner\nx,y\n", 1, "a CSV file has a name that ends in .csv"},
        {"c.json", "\"service\",\"owner\"\nx,y\n", 1, "a name that ends in .csv"},
        {"c.json", "{\n\"cmbd\":{}}", 2, "cmbd: unknown key; allowed here are cmdb, clients"},
        {"c.json", "{\"cmdb\":\n[]}", 1, "cmdb: found an array, allowed is an object"},
        {"c.json", "{\"cmdb\":{\n\"x\":\"y\"}}", 2, "cmdb.x: found \"y\" (a string), allowed is"},
        {"c.json", "{\"cmdb\":{\"x\":{\n\"a\":\n[1]}}}", 2,
         "cmdb.x.a: found an array, allowed is a"},
        {"c.json", "{\"cmdb\":{\"x\":{\"a\":null}}}", 1, "cmdb.x.a: found null, allowed is a text"},
        {"c.json", "{\"cmdb\":{\"x\":{\"\":1}}}", 1, "cmdb.x.: found an attribute's name of 0"},
        {"c.json", "{\"cmdb\":{\n\"\":{}}}", 2, "cmdb.: found a service's name of 0 octets"},
        {"c.json", "{\"cmdb\":{\n\"a\\u0001\":{}}}", 2, "without control characters"},
        {"c.json", "{\"cmdb\":{\"x\":{},\n\"x\":{}}}", 2, "cmdb.x: not valid JSON: duplicate"},
        {"c.json", "{\"cmdb\":{\"x\":{\"a\":\n\"\xc3(\"}}}", 2, "cmdb.x.a: not valid JSON: "},
        {"c.json", "{\"clients\":{}}", 1, "clients: found an object, allowed is an array"},
        {"c.json", CLIENTS("7"), 2, "clients[1]: found 7 (a whole number), allowed is an object"},
        {"c.json", CLIENTS("{\"name\":\"x\"}"), 2, "clients[1]: the key \"address\" is missing"},
        {"c.json", CLIENTS("{\"address\":\"10.0.0.2\"}"), 2, "the key \"name\" is missing"},
        {"c.json", CLIENTS("{\"address\":\"10.0.0.2/8\",\"name\":\"x\"}"), 2,
         "clients[1].address: found \"10.0.0.2/8\" (a string), allowed is an address"},
        {"c.json", CLIENTS("{\"address\":\"10.0.0.0/33\",\"name\":\"x\"}"), 2,
         "clients[1].address"},
        {"c.json", CLIENTS("{\"address\":1,\"name\":\"x\"}"), 2, "clients[1].address: found 1"},
        {"c.json", CLIENTS("{\"address\":\"10.0.0.2\",\"name\":\"\"}"), 2,
         "clients[1].name: found"},
        {"c.json", CLIENTS("{\"address\":\"10.0.0.2\",\"name\":true}"), 2, "found true"},
        {"c.json", CLIENTS("{\"address\":\"10.0.0.2\",\"name\":\"x\",\n\"site\":{}}"), 3,
         "clients[1].site: found an object, allowed is a text, a number or a truth value"},
        {"c.json", CLIENTS("{\"address\":\"10.0.0.1/32\",\"name\":\"b\"}"), 2,
         "clients[1]: the address 10.0.0.1 is in clients[0] in line 1 too"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_refusal(&cases[i], strlen(cases[i].text));
}

static void test_refused_csv(void **state) {
    (void)state;
    static const struct refusal cases[] = {
        {"c.csv", "", 0, "empty: a header row is needed"},
        {"c.csv", "\n\n", 0, "empty"},
        {"c.csv", "owner,tier\n", 1, "begins with \"owner\": it lacks a column \"service\""},
        {"c.csv", "service;owner\n", 1, "commas separate columns"},
        {"c.csv", "service,address,name\n", 1, "it has both, allowed is one of"},
        {"c.csv", "address,site\n", 1, "a column \"address\" but none \"name\""},
        {"c.csv", "service,a,a\n", 1, "the header names column \"a\" twice"},
        {"c.csv", "service,\n", 1, "column 2 of the header: found \"\""},
        {"c.csv", "service, owner\n", 1, "column 2 of the header: found \" owner\""},
        {"c.csv", "service,a\nx,1\ny\n", 3, "found 1 columns, the header has 2"},
        {"c.csv", "service,a\nx,1\ny,1,2\n", 3, "found 3 columns, the header has 2"},
        {"c.csv", "service,a\nx,\"1\n2\"\n,3\n", 4, "column \"service\": found \"\", allowed is"},
        {"c.csv", "service,a\nx,1\"\n", 2, "not valid CSV: a quote within a field"},
        {"c.csv", "service,a\nx,\"1\"2\n", 2, "not valid CSV: text behind a closing quote"},
        {"c.csv", "service,a\nx,\"1\ny,2\n", 2, "not valid CSV: a quote is opened here and never"},
        {"c.csv", "service,a\nx,\xff\n", 2, "column \"a\": found \"\xff\", which is not UTF-8"},
        {"c.csv", "service,a\nx\xff,1\n", 2, "column \"service\": found \"x\xff\", allowed is"},
        {"c.csv", "service,a\nx,1\ny,1\nx,2\n", 4, "column \"service\": \"x\" is in line 2 too"},
        {"c.csv", "address,name\n10.0.0.1/8,a\n", 2, "column \"address\": found \"10.0.0.1/8\""},
        {"c.csv", "address,name\n::1,\n", 2, "column \"name\": found \"\", allowed is"},
        {"c.csv", "address,name\n::1,a\n::2,b\n::1/128,c\n", 4,
         "column \"address\": \"::1\" is in line 2 too"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_refusal(&cases[i], strlen(cases[i].text));
    static const char utf16[] = "\xff\xfes\0e\0r\0";
    const struct refusal wide = {"c.csv", utf16, 1, "found UTF-16, allowed is UTF-8"};
    check_refusal(&wide, sizeof utf16 - 1);
    static const char nul[] = "service,a\nx,1\0002\n";
    const struct refusal with_nul = {"c.csv", nul, 2, "not valid CSV: an octet 0 stands in it"};
    check_refusal(&with_nul, sizeof nul - 1);
}

static void test_attributes_have_a_cap(void **state) {
    (void)state;
    char text[CMDB_JSON_MAX + 128], value[CMDB_JSON_MAX + 1];
    struct base_error error = {0};
    struct cmdb *c = cmdb_new();
    size_t most = CMDB_JSON_MAX - 1 - strlen("{\"a\":\"\"}");
    memset(value, 'v', sizeof value);
    snprintf(text, sizeof text, "service,a\nfull,%.*s\n", (int)most, value);
    assert_int_equal(load(c, "a.csv", text, &error), 0);
    assert_int_equal(strlen(service(c, "full")), CMDB_JSON_MAX - 1);
    snprintf(text, sizeof text, "service,a\nmore,%.*s\n", (int)most + 1, value);
    assert_int_equal(load(c, "b.csv", text, &error), -1);
    assert_non_null(strstr(error.why, "more than 2047 octets"));
    cmdb_free(c);
}

static void test_several_files(void **state) {
    (void)state;
    struct base_error error = {0};
    struct cmdb *c = cmdb_of("a.csv", "service,a\nx,1\n");
    assert_int_equal(load(c, "b.csv", "address,name\n10.0.0.1,one\n", &error), 0);
    assert_int_equal(load(c, "c.json", "{\"cmdb\":{\"w\":{}}}", &error), 0);
    assert_string_equal(service(c, "x"), "{\"a\":\"1\"}");
    assert_string_equal(service(c, "w"), "{}");
    assert_string_equal(name_of(c, "10.0.0.1"), "one");
    assert_int_equal(load(c, "d.json", "{\"cmdb\":{\n\"x\":{}}}", &error), -1);
    assert_non_null(strstr(error.what, "d.json:2"));
    assert_non_null(strstr(error.why, "cmdb.x: the service x is in"));
    assert_non_null(strstr(error.why, "a.csv too"));
    cmdb_free(c);
}

/* The reading side fills it from the store's hashes, in any order. */
static void test_put(void **state) {
    (void)state;
    struct cmdb *c = cmdb_new();
    assert_true(cmdb_put_service(c, "z", "{\"a\":1}"));
    assert_true(cmdb_put_service(c, "b", "{}"));
    assert_true(cmdb_put_client(c, "10.0.0.0/8", "{\"name\":\"net\"}"));
    assert_true(cmdb_put_client(c, "10.0.0.1", "{\"name\":\"one\",\"site\":\"Ulm\"}"));
    assert_true(cmdb_put_client(c, "10.0.0.1/32", "{\"name\":\"again\"}"));
    assert_false(cmdb_put_service(c, "", "{}"));
    assert_false(cmdb_put_service(c, "x", "[]"));
    assert_false(cmdb_put_service(c, "x", "{\"a\":{}}"));
    assert_false(cmdb_put_service(c, "x", "{"));
    assert_false(cmdb_put_client(c, "10.0.0.1", "{\"site\":\"x\"}"));
    assert_false(cmdb_put_client(c, "10.0.0.1/8", "{\"name\":\"x\"}"));
    cmdb_sort(c);
    assert_string_equal(service(c, "b"), "{}");
    assert_string_equal(service(c, "z"), "{\"a\":1}");
    assert_string_equal(name_of(c, "10.0.0.1"), "one");
    assert_string_equal(name_of(c, "10.0.0.2"), "net");
    assert_int_equal(cmdb_clients(c), 2);
    cmdb_free(c);
}

static void test_attribute(void **state) {
    (void)state;
    static const char json[] =
        "{\"owner\":\"web\",\"tier\":1,\"cost\":0.1,\"up\":true,\"no\":\"\"}";
    char out[8];
    assert_true(cmdb_attribute(json, "owner", out, sizeof out));
    assert_string_equal(out, "web");
    assert_true(cmdb_attribute(json, "tier", out, sizeof out));
    assert_string_equal(out, "1");
    assert_true(cmdb_attribute(json, "cost", out, sizeof out));
    assert_string_equal(out, "0.1");
    assert_true(cmdb_attribute(json, "up", out, sizeof out));
    assert_string_equal(out, "true");
    assert_true(cmdb_attribute(json, "no", out, sizeof out));
    assert_string_equal(out, "");
    assert_false(cmdb_attribute(json, "site", out, sizeof out));
    assert_false(cmdb_attribute(json, "owner", out, 3));
}

static void count_client(void *context, const struct cmdb_client *client) {
    static const char *const order[] = {"10.0.0.9", "10.0.0.0/8", "::1", "2001:db8::/32"};
    unsigned *count = context;
    char text[CMDB_CIDR_TEXT];
    assert_string_equal(cmdb_cidr_format(client, text), order[*count]);
    ++*count;
}

static void test_each_in_order_of_preference(void **state) {
    (void)state;
    unsigned count = 0;
    struct cmdb *c = cmdb_of("c.csv", "address,name\n2001:db8::/32,a\n10.0.0.0/8,b\n::1,c\n"
                                      "10.0.0.9/32,d\n");
    cmdb_each_client(c, count_client, &count);
    assert_int_equal(count, 4);
    cmdb_free(c);
}

static void test_example_file(void **state) {
    (void)state;
    struct base_error error = {0};
    struct cmdb *c = cmdb_new();
    if (cmdb_load(c, "conf/cmdb.json", &error) != 0)
        fail_msg("%s: %s", error.what, error.why);
    assert_non_null(cmdb_service(c, "https"));
    assert_string_equal(name_of(c, "10.7.0.17"), "pos-terminal-17");
    cmdb_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_longest_prefix),
        cmocka_unit_test(test_agrees_with_a_plain_search),
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_csv_clients),
        cmocka_unit_test(test_refused_json),
        cmocka_unit_test(test_refused_csv),
        cmocka_unit_test(test_attributes_have_a_cap),
        cmocka_unit_test(test_several_files),
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_attribute),
        cmocka_unit_test(test_each_in_order_of_preference),
        cmocka_unit_test(test_example_file),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
