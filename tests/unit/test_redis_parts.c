/*
 * What the writer and the readers of the store share: URLs, keys, partitions, folders.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "spanwatch/redis.h"

static void test_urls(void **state) {
    static const struct {
        const char *text, *host, *path, *user, *password, *shown;
        uint16_t port;
        uint32_t db;
        bool auth;
    } cases[] = {
        {"redis://localhost", "localhost", "", "", "", "redis://localhost:6379", 6379, 0, false},
        {"redis://10.0.0.1:7000/3", "10.0.0.1", "", "", "", "redis://10.0.0.1:7000/3", 7000, 3,
         false},
        {"redis://:s%40cret@h/", "h", "", "", "s@cret", "redis://h:6379", 6379, 0, true},
        {"redis://u:p:q@h:1", "h", "", "u", "p:q", "redis://h:1", 1, 0, true},
        {"redis://u:p@q@h", "h", "", "u", "p@q", "redis://h:6379", 6379, 0, true},
        {"redis://u@h", "h", "", "u", "", "redis://h:6379", 6379, 0, true},
        {"redis://[2001:db8::1]:7001", "2001:db8::1", "", "", "", "redis://[2001:db8::1]:7001",
         7001, 0, false},
        {"redis://[::1]", "::1", "", "", "", "redis://[::1]:6379", 6379, 0, false},
        {"unix:///run/r.sock", "", "/run/r.sock", "", "", "unix:///run/r.sock", 0, 0, false},
        {"unix://u:p@/r?db=12", "", "/r", "u", "p", "unix:///r?db=12", 0, 12, true},
    };
    struct redis_url u;
    struct base_error error;
    char shown[REDIS_SHOWN_TEXT];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (redis_url_parse(&u, cases[i].text, &error) != 0)
            fail_msg("%s: %s", cases[i].text, error.why);
        assert_string_equal(u.host, cases[i].host);
        assert_string_equal(u.path, cases[i].path);
        assert_string_equal(u.user, cases[i].user);
        assert_string_equal(u.password, cases[i].password);
        assert_int_equal(u.port, cases[i].port);
        assert_int_equal(u.db, cases[i].db);
        assert_int_equal(u.auth, cases[i].auth);
        assert_string_equal(redis_url_shown(&u, shown), cases[i].shown);
    }
}

static void test_wrong_urls_show_no_secret(void **state) {
    static const char *const cases[] = {
        "",
        "localhost:6379",
        "http://u:hush@h",
        "redis://",
        "redis://u:hush@",
        "redis://u:hush@h:",
        "redis://u:hush@h:0",
        "redis://u:hush@h:65536",
        "redis://u:hush@h:12x",
        "redis://u:hush@h/x",
        "redis://u:hush@h/1/2",
        "redis://u:hush@h?db=1",
        "redis://u:hush%4@h",
        "redis://u:hush%00@h",
        "redis://u:hush@[::1",
        "redis://u:hush@[10.0.0.1]",
        "redis://u:hush@[::1]x",
        "redis://u:hush@a b",
        "unix://u:hush@run/r.sock",
        "unix://u:hush@/",
        "unix://u:hush@/r?x=1",
        "unix://u:hush@/r?db=",
        ("unix:///0123456789012345678901234567890123456789012345678901234567890123456789012345678901"
         "23456789012345678901234567890"),
    };
    struct redis_url u;
    struct base_error error;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (redis_url_parse(&u, cases[i], &error) == 0)
            fail_msg("%s was taken", cases[i]);
        assert_string_equal(error.what, "--redis");
        assert_null(strstr(error.why, "hush"));
        assert_non_null(strstr(error.why, "allowed is redis://"));
    }
}

static void test_what_comes_later(void **state) {
    static const char *const cases[] = {
        "rediss://u:hush@h",          "redis+sentinel://u:hush@h/mymaster", "sentinel://h",
        "redis-cluster://u:hush@h:1", "redis://u:hush@h1:1,h2:2",
    };
    struct redis_url u;
    struct base_error error;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(redis_url_parse(&u, cases[i], &error), -1);
        assert_non_null(strstr(error.why, "later version"));
        assert_null(strstr(error.why, "hush"));
    }
}

static void test_keys(void **state) {
    char key[REDIS_KEY_TEXT], prefix[REDIS_PREFIX_MOST + 2];
    (void)state;
    assert_int_equal(redis_key(key, "spanwatch", "probes"), 16);
    assert_string_equal(key, "spanwatch:probes");
    redis_key_of(key, "spanwatch", "edge1", "alarms");
    assert_string_equal(key, "spanwatch:{edge1}:alarms");
    assert_int_equal(redis_key_in(key, "s", "edge1", 1023, "transitions"), 26);
    assert_string_equal(key, "s:{edge1/1023}:transitions");
    memset(prefix, 'p', sizeof prefix);
    prefix[REDIS_PREFIX_MOST + 1] = '\0';
    assert_false(redis_prefix_is_valid(prefix));
    prefix[REDIS_PREFIX_MOST] = '\0';
    assert_true(redis_prefix_is_valid(prefix));
    assert_false(redis_prefix_is_valid(""));
    assert_false(redis_prefix_is_valid("a{b"));
    assert_false(redis_prefix_is_valid("a}"));
    assert_false(redis_prefix_is_valid("a\n"));
    /* the longest key fits */
    assert_true(redis_key_in(key, prefix,
                             "0123456789012345678901234567890123456789012345678901234567890123",
                             1023, "transitions") < REDIS_KEY_TEXT);
}

/* Known answers: the catalogue's check value, and what Redis's CLUSTER KEYSLOT gives, modulo. */
static void test_partitions(void **state) {
    struct base_addr a;
    (void)state;
    assert_int_equal(redis_crc16("123456789", 9), 0x31c3);
    assert_int_equal(redis_crc16("", 0), 0);
    assert_int_equal(redis_crc16("foo", 3) % 16384, 12182);
    assert_true(base_addr_parse("10.0.0.1", &a));
    assert_int_equal(redis_partition(&a, 1024), redis_crc16("10.0.0.1", 8) % 1024);
    assert_true(base_addr_parse("2001:db8:0:0::1", &a));
    assert_int_equal(redis_partition(&a, 7), redis_crc16("2001:db8::1", 11) % 7);
    assert_int_equal(redis_partition(&a, 1), 0);
}

static void make_socket(const char *path) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&name, sizeof name), 0);
    close(fd);
}

static void test_folder(void **state) {
    char root[] = "/tmp/spanwatch-folder-XXXXXX", folder[64], out[REDIS_FOLDER_TEXT];
    char path[REDIS_PATH_TEXT];
    struct redis_url u;
    struct base_error error;
    struct stat st;
    (void)state;
    assert_non_null(mkdtemp(root));
    snprintf(folder, sizeof folder, "%s/a/b", root);
    assert_int_equal(redis_embedded_find(folder, &u, &error), -1);
    assert_int_equal(redis_state_folder(folder, out, &error), 0);
    assert_string_equal(out, folder);
    assert_int_equal(stat(folder, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(redis_embedded_path(folder, path, &error), 0);
    assert_int_equal(redis_embedded_find(folder, &u, &error), -1);
    make_socket(path);
    assert_int_equal(redis_embedded_find(folder, &u, &error), 0);
    assert_string_equal(u.path, path);
    assert_int_equal(redis_state_folder(path, out, &error), -1); /* no folder */
    unlink(path);
    rmdir(folder);
    snprintf(folder, sizeof folder, "%s/a", root);
    rmdir(folder);
    rmdir(root);
}

static void test_nobody_there(void **state) {
    struct redis_url u;
    struct base_error error;
    (void)state;
    assert_int_equal(redis_url_parse(&u, "unix://u:hush@/nonexistent/redis.sock", &error), 0);
    assert_null(redis_open(&u, 1000, &error));
    assert_string_equal(error.what, "unix:///nonexistent/redis.sock");
    assert_null(strstr(error.why, "hush"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_wrong_urls_show_no_secret),
        cmocka_unit_test(test_what_comes_later),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_partitions),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_nobody_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
