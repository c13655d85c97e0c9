/*
 * config: documents, key paths, and the lines that errors name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "spanwatch/config.h"

static struct config_document load(const char *text) {
    struct config_document d;
    struct base_error error = {0};
    if (config_load_text(&d, "t.json", text, strlen(text), &error) != 0)
        fail_msg("%s: %s", error.what, error.why);
    return d;
}

/* The text must be refused, with these in the subject and the reason. */
static void refuse(const char *text, size_t n, const char *what, const char *why) {
    struct config_document d;
    struct base_error error = {0};
    assert_int_equal(config_load_text(&d, "t.json", text, n, &error), -1);
    assert_null(d.root);
    assert_string_equal(error.what, what);
    if (strstr(error.why, why) == NULL)
        fail_msg("\"%s\" has no \"%s\"", error.why, why);
}

static const struct config_path root;

static void test_lines_of_members_and_elements(void **state) {
    (void)state;
    struct config_document d = load("{\n"                                     /* 1 */
                                    " \"x\": [1, {\"b\": \"}]\\\"\"}, []],\n" /* 2 */
                                    " \"b\" : {\"c\"\n"                       /* 3 */
                                    "   : [ 10,\n"                            /* 4 */
                                    "  {\"b\": null,\n"                       /* 5 */
                                    "   \"\\u0064\\u00e9\": true},\n"         /* 6 */
                                    "  -1e5 ] },\n"                           /* 7 */
                                    " \"c\": 1}");                            /* 8 */
    struct config_path b = config_member(&root, "b"), c = config_member(&b, "c");
    struct config_path c1 = config_element(&c, 1), c2 = config_element(&c, 2),
                       c3 = config_element(&c, 3);
    struct config_path de = config_member(&c1, "d\xc3\xa9"), none = config_member(&b, "x");
    struct config_path last = config_member(&root, "c"), wrong = config_element(&root, 0);
    assert_int_equal(config_line(&d, &root), 1);
    assert_int_equal(config_line(&d, &b), 3);
    assert_int_equal(config_line(&d, &c), 3);
    assert_int_equal(config_line(&d, &c1), 5);
    assert_int_equal(config_line(&d, &de), 6);
    assert_int_equal(config_line(&d, &c2), 7);
    assert_int_equal(config_line(&d, &last), 8);
    assert_int_equal(config_line(&d, &c3), 0);
    assert_int_equal(config_line(&d, &none), 0);
    assert_int_equal(config_line(&d, &wrong), 0);
    config_free(&d);
}

/* Every member of a generated document is found on its own line. */
static void test_lines_of_many(void **state) {
    (void)state;
    enum { MEMBERS = 200 };
    char text[MEMBERS * 64], key[16];
    size_t n = (size_t)snprintf(text, sizeof text, "{");
    for (unsigned i = 0; i < MEMBERS; i++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "%s\n\"k%u\": [{\"k%u\": [[], {}, \"k0\"]}]", i > 0 ? "," : "", i,
                              i + 1);
    snprintf(text + n, sizeof text - n, "}");
    struct config_document d = load(text);
    for (unsigned i = 0; i < MEMBERS; i++) {
        snprintf(key, sizeof key, "k%u", i);
        struct config_path p = config_member(&root, key);
        assert_int_equal(config_line(&d, &p), i + 2);
    }
    config_free(&d);
}

static void test_path_text(void **state) {
    (void)state;
    char out[CONFIG_PATH_TEXT], key[400];
    struct config_path a = config_member(&root, "tracker"), b = config_member(&a, "hosts");
    struct config_path c = config_element(&b, 12), e = config_member(&c, "address");
    assert_string_equal(config_path_format(&root, out), "the file");
    assert_string_equal(config_path_format(&e, out), "tracker.hosts[12].address");
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    struct config_path longest = config_member(&a, key);
    assert_int_equal(strlen(config_path_format(&longest, out)), CONFIG_PATH_TEXT - 1);
    for (int i = 0; i < 2 * CONFIG_MAX_DEPTH; i++)
        e = config_element(&e, 1);
    assert_int_equal(e.depth, CONFIG_MAX_DEPTH);
}

static void test_empty_is_an_object(void **state) {
    (void)state;
    struct config_document marked = load("\xef\xbb\xbf{\"a\":1}"), empty = load("\xef\xbb\xbf");
    assert_int_equal(json_integer_value(json_object_get(marked.root, "a")), 1);
    assert_int_equal(json_object_size(empty.root), 0);
    config_free(&marked);
    config_free(&empty);
    static const char *const texts[] = {"", " \t\r\n", "{}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct config_document d = load(texts[i]);
        assert_true(json_is_object(d.root));
        assert_int_equal(json_object_size(d.root), 0);
        config_free(&d);
    }
}

static void test_refused(void **state) {
    (void)state;
    refuse("{\"a\":1,\n\"a\":2}", 14, "t.json:2", "duplicate");
    refuse("{\n\n\"a\" 1}", 9, "t.json:3", "not valid JSON");
    refuse("{\"a\":\"\xff\"}", 9, "t.json:1", "not valid JSON");
    refuse("{\"a\":\"\\u0000\"}", 14, "t.json:1", "not valid JSON");
    refuse("{\n}\0", 4, "t.json:2", "octet 0");
    refuse("{\"a\":1\0\n}", 9, "t.json:1", "octet 0"); /* jansson alone would accept this one */
    refuse("\n[1]", 4, "t.json:2", "found an array, allowed is an object");
    refuse("3", 1, "t.json:1", "found 3 (a whole number)");
    refuse("\0", 1, "t.json:1", "not valid JSON");
}

static void test_found(void **state) {
    (void)state;
    char out[CONFIG_FOUND_TEXT];
    static const struct {
        const char *json, *found;
    } cases[] = {
        {"7", "7 (a whole number)"},
        {"\"a\\nb\"", "\"a\\nb\" (a string)"},
        {"false", "false (a truth value)"},
        {"null", "null"},
        {"[1,2]", "an array"},
        {"{}", "an object"},
        {"\"0123456789012345678901234567890123456789\"",
         "\"012345678901234567890123456789012345678... (a string)"},
        {"\"012345678901234567890123456789012345678\xc3\xa9\"",
         "\"012345678901234567890123456789012345678... (a string)"},
        {"\"01234567890123456789012345678901234567\xc3\xa9yz\"",
         "\"01234567890123456789012345678901234567... (a string)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *value = json_loads(cases[i].json, JSON_DECODE_ANY, NULL);
        assert_non_null(value);
        assert_string_equal(config_found(value, out), cases[i].found);
        json_decref(value);
    }
}

/* A file of `n` octets without a name in any folder; its path while `*fd` is open. */
static void make_file(size_t n, int *fd, char path[64]) {
    *fd = memfd_create("config", MFD_CLOEXEC);
    assert_true(*fd >= 0);
    assert_int_equal(ftruncate(*fd, (off_t)n), 0);
    snprintf(path, 64, "/proc/self/fd/%d", *fd);
}

static void test_files(void **state) {
    (void)state;
    struct config_document d;
    struct base_error error;
    char path[64];
    int fd;
    assert_int_equal(config_load(&d, "no/such/file.json", &error), -1);
    assert_string_equal(error.what, "no/such/file.json");
    assert_int_equal(config_load(&d, ".", &error), -1);
    assert_non_null(strstr(error.why, "directory"));
    make_file(CONFIG_MAX_FILE + 1, &fd, path);
    assert_int_equal(config_load(&d, path, &error), -1);
    assert_non_null(strstr(error.why, "larger than 16 MiB"));
    close(fd);
    assert_int_equal(config_load(&d, "/dev/zero", &error), -1); /* tells no size, never ends */
    assert_non_null(strstr(error.why, "larger than 16 MiB"));
    make_file(0, &fd, path);
    assert_int_equal(config_load(&d, path, &error), 0);
    config_free(&d);
    close(fd);
}

/* A file's long name keeps its end, and the line, in the error. */
static void test_long_name(void **state) {
    (void)state;
    char name[600];
    struct config_document d;
    struct base_error error;
    memset(name, 'd', sizeof name);
    snprintf(name + sizeof name - 8, 8, "/x.json");
    assert_int_equal(config_load_text(&d, name, "{\n,", 3, &error), -1);
    assert_non_null(strstr(error.what, "dd/x.json:2"));
}

/* Where a text is broken, whatever follows: each case's fault stands at the octet '!'. */
static void test_places_of_faults(void **state) {
    (void)state;
    static const struct {
        const char *text, *place;
    } cases[] = {
        {"!", ""},
        {"{!", ""},
        {"{\"a\"!", "a"},
        {"{\"a\":!", "a"},
        {"{\"a\":{\"b\":[1,{\"c\":\"x\"!", "a.b[1].c"},
        {"{\"a\":{\"b\":[1,{\"c\":\"x\"}, !", "a.b[2]"},
        {"{\"a\":{\"b\":[[],[]],\"d\":1!", "a.d"},
        {"{\"a\":{\"b\":\"]},{\\\"\"},\"d\":\"x!", "d"},
        {"[[[[[[[[[[[[!", "[0][0][0][0][0][0][0][0]"},
        {"]]}}!", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64], place[CONFIG_PATH_TEXT];
        struct config_document d = {.text = text};
        snprintf(text, sizeof text, "%s", cases[i].text);
        assert_string_equal(config_place(&d, strcspn(text, "!"), place), cases[i].place);
        assert_string_equal(config_place(&d, strcspn(text, "!") + 1, place), cases[i].place);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_of_members_and_elements),
        cmocka_unit_test(test_lines_of_many),
        cmocka_unit_test(test_places_of_faults),
        cmocka_unit_test(test_path_text),
        cmocka_unit_test(test_empty_is_an_object),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_long_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
