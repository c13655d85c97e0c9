/*
 * service: what a services file makes of servers, and what is wrong in such a file.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "spanwatch/service.h"

/* Load `text` from a file without a name in any folder. */
static int load(struct service_table *t, const char *text, struct base_error *error) {
    char path[64];
    int fd = memfd_create("services", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int result = service_load(t, path, error);
    close(fd);
    return result;
}

static struct service_table *table(const char *text) {
    struct base_error error = {0};
    struct service_table *t = service_new();
    assert_non_null(t);
    if (load(t, text, &error) != 0)
        fail_msg("%s: %s", error.what, error.why);
    return t;
}

static const char *find(const struct service_table *t, const char *address, uint16_t port,
                        int vlan) {
    struct base_addr a;
    assert_true(base_addr_parse(address, &a));
    const char *name = service_configured(t, &a, port, vlan);
    return name != NULL ? name : "-";
}

static void test_order_of_preference(void **state) {
    (void)state;
    struct service_table *t =
        table("{\"services\":[{\"server\":\"0.0.0.0/0\",\"port\":\"0-65535\",\"name\":\"any\"},"
              "{\"server\":\"10.0.0.0/8\",\"port\":80,\"name\":\"wide\"},"
              "{\"server\":\"10.1.0.0/16\",\"port\":\"80-89\",\"name\":\"ten\"},"
              "{\"server\":\"10.1.0.0/16\",\"port\":\"80-81\",\"name\":\"two\"},"
              "{\"server\":\"10.1.0.0/16\",\"port\":\"80-81\",\"vlan\":20,\"name\":\"two-20\"},"
              "{\"server\":\"10.1.0.0/16\",\"port\":\"80-99\",\"vlan\":30,\"name\":\"twenty-30\"},"
              "{\"server\":\"10.1.2.3\",\"port\":81,\"vlan\":0,\"name\":\"host-0\"},"
              "{\"server\":\"::/0\",\"port\":443,\"name\":\"six\"},"
              "{\"server\":\"2001:db8:0:1::/64\",\"port\":443,\"name\":\"net\"},"
              "{\"server\":\"2001:db8:0:1::5\",\"port\":443,\"name\":\"five\"}]}");
    assert_string_equal(find(t, "10.2.0.1", 80, -1),
                        "wide"); /* the longest prefix that holds the port */
    assert_string_equal(find(t, "10.1.0.1", 80, -1), "two");       /* the narrowest range */
    assert_string_equal(find(t, "10.1.0.1", 82, -1), "ten");       /* the next wider one */
    assert_string_equal(find(t, "10.1.0.1", 80, 20), "two-20");    /* the entry with the VLAN */
    assert_string_equal(find(t, "10.1.0.1", 80, 21), "two");       /* another VLAN */
    assert_string_equal(find(t, "10.1.0.1", 80, 30), "two");       /* narrow beats VLAN */
    assert_string_equal(find(t, "10.1.0.1", 95, 30), "twenty-30"); /* only the wide one holds it */
    assert_string_equal(find(t, "10.1.0.1", 95, -1), "any");       /* needs the VLAN: fall back */
    assert_string_equal(find(t, "10.1.2.3", 81, 0), "host-0");     /* VLAN 0 is a VLAN */
    assert_string_equal(find(t, "10.1.2.3", 81, -1), "two");       /* none is not VLAN 0 */
    assert_string_equal(find(t, "255.255.255.255", 65535, -1), "any");
    assert_string_equal(find(t, "0.0.0.0", 0, -1), "any");
    assert_string_equal(find(t, "2001:db8:0:1::5", 443, -1), "five");
    assert_string_equal(find(t, "2001:db8:0:1::6", 443, 7), "net");
    assert_string_equal(find(t, "2001:db8:0:2::5", 443, -1), "six");
    assert_string_equal(find(t, "2001:db8:0:1::5", 80, -1), "-");
    assert_string_equal(find(t, "::ffff:10.1.0.1", 80, -1), "-"); /* a mapped address is IPv6's */
    service_free(t);
}

/* A model that tries every entry: what the search must agree with. */
struct model_entry {
    uint32_t network;
    unsigned prefix_length, low, high;
    int vlan;
};

static uint32_t mask_of(unsigned prefix_length) {
    return prefix_length == 0 ? 0 : UINT32_MAX << (32 - prefix_length);
}

static bool model_better(const struct model_entry *a, const struct model_entry *b) {
    if (a->prefix_length != b->prefix_length)
        return a->prefix_length > b->prefix_length;
    if (a->high - a->low != b->high - b->low)
        return a->high - a->low < b->high - b->low;
    return a->vlan >= 0 && b->vlan < 0;
}

static int model_find(const struct model_entry *e, size_t n, uint32_t address, unsigned port,
                      int vlan) {
    int best = -1;
    for (size_t i = 0; i < n; i++) {
        bool holds = (address & mask_of(e[i].prefix_length)) == e[i].network && port >= e[i].low &&
                     port <= e[i].high && (e[i].vlan < 0 || e[i].vlan == vlan);
        if (holds && (best < 0 || model_better(&e[i], &e[best])))
            best = (int)i;
    }
    return best;
}

static uint32_t next_random(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33);
}

/* A small world, so that entries and questions meet: 16 hosts, 24 ports, 3 VLANs. */
static uint32_t random_address(uint64_t *seed) {
    return UINT32_C(0x0a000000) | next_random(seed) % 16;
}

static bool clashes(const struct model_entry *e, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (e[i].network == e[n].network && e[i].prefix_length == e[n].prefix_length &&
            e[i].vlan == e[n].vlan && e[i].high - e[i].low == e[n].high - e[n].low &&
            e[i].low <= e[n].high && e[n].low <= e[i].high)
            return true;
    return false;
}

static size_t random_entries(struct model_entry *e, size_t n, uint64_t *seed) {
    size_t made = 0;
    for (size_t i = 0; i < n; i++) {
        struct model_entry *new = &e[made];
        new->prefix_length = 28 + next_random(seed) % 5;
        new->network = random_address(seed) & mask_of(new->prefix_length);
        new->low = next_random(seed) % 24;
        new->high = new->low + next_random(seed) % 4;
        new->vlan = (int)(next_random(seed) % 4) - 1;
        made += !clashes(e, made);
    }
    return made;
}

static struct service_table *table_of(const struct model_entry *e, size_t n) {
    enum { ENTRY = 128 };
    char *text = malloc(n * ENTRY + ENTRY), address[BASE_ADDR_TEXT], vlan[32];
    assert_non_null(text);
    size_t used = (size_t)sprintf(text, "{\"services\":[");
    for (size_t i = 0; i < n; i++) {
        struct base_addr a = {.family = 4, .octet = {10, 0, 0, (uint8_t)e[i].network}};
        base_addr_format(&a, address);
        snprintf(vlan, sizeof vlan, ",\"vlan\":%d", e[i].vlan);
        used += (size_t)snprintf(text + used, ENTRY,
                                 "%s{\"server\":\"%s/%u\",\"port\":\"%u-%u\"%s,\"name\":\"%zu\"}",
                                 i > 0 ? "," : "", address, e[i].prefix_length, e[i].low, e[i].high,
                                 e[i].vlan >= 0 ? vlan : "", i);
    }
    snprintf(text + used, ENTRY, "]}");
    struct service_table *t = table(text);
    free(text);
    return t;
}

static void test_agrees_with_a_plain_search(void **state) {
    (void)state;
    enum { ROUNDS = 20, ENTRIES = 150, QUESTIONS = 2000 };
    struct model_entry e[ENTRIES + 1];
    uint64_t seed = 1;
    unsigned hits = 0;
    for (int round = 0; round < ROUNDS; round++) {
        size_t n = random_entries(e, ENTRIES, &seed);
        struct service_table *t = table_of(e, n);
        for (int i = 0; i < QUESTIONS; i++) {
            uint32_t address = random_address(&seed);
            struct base_addr a = {.family = 4, .octet = {10, 0, 0, (uint8_t)address}};
            uint16_t port = (uint16_t)(next_random(&seed) % 28);
            int vlan = (int)(next_random(&seed) % 4) - 1,
                expected = model_find(e, n, address, port, vlan);
            const char *name = service_configured(t, &a, port, vlan);
            assert_int_equal(name != NULL ? atoi(name) : -1, expected);
            hits += name != NULL;
        }
        service_free(t);
    }
    assert_true(hits > ROUNDS * QUESTIONS / 2); /* else the questions asked little */
}

static void test_names_fall_back(void **state) {
    (void)state;
    static const uint16_t ports[] = {0, 1, 22, 80, 443, 5432, 6379, 8080, 11211, 49152, 65535};
    struct service_table *t =
        table("{\"services\":[{\"server\":\"10.0.0.2\",\"port\":443,\"name\":\"shop\"}]}");
    struct base_addr a, b;
    char buffer[SERVICE_NAME_MAX], expected[SERVICE_NAME_MAX];
    assert_true(base_addr_parse("10.0.0.2", &a) && base_addr_parse("10.0.0.3", &b));
    assert_string_equal(service_name(t, &a, 443, -1, buffer), "shop");
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++) {
        const struct servent *known = getservbyport(htons(ports[i]), "tcp");
        snprintf(expected, sizeof expected, "tcp/%u", ports[i]);
        assert_int_equal(service_port_known(t, ports[i]), known != NULL);
        assert_string_equal(service_name(t, &b, ports[i], -1, buffer),
                            known != NULL ? known->s_name : expected);
    }
    service_free(t);
}

static void count_entry(void *context, const struct service_entry *e) {
    unsigned *count = context;
    static const char *const names[] = {"host", "net-20", "net", "six"};
    assert_string_equal(e->name, names[*count]);
    if (*count == 1) {
        struct base_addr net;
        assert_true(base_addr_parse("10.1.0.0", &net));
        assert_memory_equal(&e->address, &net, sizeof net);
        assert_int_equal(e->prefix_length, 16);
        assert_int_equal(e->low, 8000);
        assert_int_equal(e->high, 8099);
        assert_int_equal(e->vlan, 20);
    }
    if (*count == 3) {
        struct base_addr net;
        assert_true(base_addr_parse("2001:db8::1:0:0:5", &net));
        assert_memory_equal(&e->address, &net, sizeof net);
        assert_int_equal(e->vlan, -1);
    }
    ++*count;
}

static void test_each_in_order_of_preference(void **state) {
    (void)state;
    unsigned count = 0;
    struct service_table *t =
        table("{\"services\":[{\"server\":\"2001:db8::1:0:0:5\",\"port\":1,\"name\":\"six\"},"
              "{\"server\":\"10.1.0.0/16\",\"port\":\"8000-8099\",\"name\":\"net\"},"
              "{\"server\":\"10.1.0.0/16\",\"port\":\"8000-8099\",\"vlan\":20,\"name\":\"net-20\"},"
              "{\"server\":\"10.9.9.9\",\"port\":1,\"name\":\"host\"}]}");
    service_each(t, count_entry, &count);
    assert_int_equal(count, 4);
    service_free(t);
}

static void test_refused_files(void **state) {
    (void)state;
#define ENTRY(x) "{\"services\":[\n{\"server\":\"10.0.0.1\",\"port\":1,\"name\":\"a\"},\n" x "\n]}"
    static const struct {
        const char *text;
        unsigned line;
        const char *why;
    } cases[] = {
        {"{\"service\":[]}", 1, "service: unknown key; allowed here is services"},
        {"{\n\"services\":{}}", 2, "services: found an object, allowed is an array"},
        {ENTRY("7"), 3, "services[1]: found 7 (a whole number), allowed is an object"},
        {ENTRY("{\"server\":\"10.0.0.2\",\n\"port\":1,\"nam\":\"x\"}"), 4,
         "services[1].nam: unknown key"},
        {ENTRY("{\"port\":1,\"name\":\"x\"}"), 3, "services[1]: the key \"server\" is missing"},
        {ENTRY("{\"server\":\"10.0.0.2\",\"name\":\"x\"}"), 3,
         "services[1]: the key \"port\" is missing"},
        {ENTRY("{\"server\":\"10.0.0.2\",\"port\":1}"), 3,
         "services[1]: the key \"name\" is missing"},
        {ENTRY("{\"server\":\"10.0.0.1/8\"}"), 3,
         "services[1].server: found \"10.0.0.1/8\" (a string), allowed"},
        {ENTRY("{\"server\":\"host\"}"), 3, "services[1].server: found \"host\""},
        {ENTRY("{\"server\":\"10.0.0.0/33\"}"), 3, "services[1].server: found"},
        {ENTRY("{\"server\":10}"), 3, "services[1].server: found 10 (a whole number)"},
        {ENTRY("{\"port\":65536}"), 3, "services[1].port: found 65536"},
        {ENTRY("{\"port\":-1}"), 3, "services[1].port: found -1"},
        {ENTRY("{\"port\":80.0}"), 3, "services[1].port: found 80.0 (a number with a fraction"},
        {ENTRY("{\"port\":\"80\"}"), 3,
         "services[1].port: found \"80\" (a string), allowed is a number"},
        {ENTRY("{\"port\":\"90-80\"}"), 3, "services[1].port: found \"90-80\""},
        {ENTRY("{\"port\":\"80-65536\"}"), 3, "services[1].port: found \"80-65536\""},
        {ENTRY("{\"port\":\"-80\"}"), 3, "services[1].port: found \"-80\""},
        {ENTRY("{\"port\":\"1-2-3\"}"), 3, "services[1].port: found \"1-2-3\""},
        {ENTRY("{\"port\":\"000000000001-2\"}"), 3, "services[1].port: found"},
        {ENTRY("{\"vlan\":4095}"), 3, "services[1].vlan: found 4095"},
        {ENTRY("{\"vlan\":\"20\"}"), 3, "services[1].vlan: found \"20\""},
        {ENTRY("{\"name\":\"\"}"), 3, "services[1].name: found \"\""},
        {ENTRY("{\"name\":\"a\\u0007\"}"), 3, "services[1].name: found"},
        {ENTRY("{\"name\":\"0123456789012345678901234567890123456789012345678901234567890123\"}"),
         3, "services[1].name: found"},
        {ENTRY("{\"name\":\"\xc3\x28\"}"), 3, "services[1].name: not valid JSON"},
        {ENTRY("{\"server\":\"10.0.0.1\",\"port\":1,\"name\":\"b\"}"), 3,
         "services[1]: the same server, port and vlan as services[0] in line 2"},
        {ENTRY("{\"server\":\"10.0.0.1/32\",\"port\":\"1-1\",\"name\":\"b\"}"), 3,
         "services[1]: the same server"},
        {ENTRY("{\"server\":\"10.9.0.0/16\",\"port\":\"10-19\",\"name\":\"b\"},\n"
               "{\"server\":\"10.9.0.0/16\",\"port\":\"1-10\",\"name\":\"c\"}"),
         4,
         "services[2]: its port range overlaps, with equal length, that of services[1] in line 3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct base_error error = {0};
        char line[16];
        struct service_table *t = service_new();
        assert_non_null(t);
        assert_int_equal(load(t, cases[i].text, &error), -1);
        snprintf(line, sizeof line, ":%u", cases[i].line);
        if (strncmp(error.why, cases[i].why, strlen(cases[i].why)) != 0)
            fail_msg("case %zu: \"%s\" does not begin with \"%s\"", i, error.why, cases[i].why);
        assert_string_equal(strrchr(error.what, ':'), line);
        assert_string_equal(find(t, "10.0.0.1", 1, -1), "-"); /* nothing of it was taken */
        service_free(t);
    }
}

/* Ranges of equal length that only VLANs tell apart, and overlaps of unequal length, have an order:
 * not refused. */
static void test_accepted_overlaps(void **state) {
    (void)state;
    struct service_table *t =
        table("{\"services\":[{\"server\":\"10.0.0.0/"
              "8\",\"port\":\"10-19\",\"vlan\":5,\"name\":\"five\"},"
              "{\"server\":\"10.0.0.0/8\",\"port\":\"15-24\",\"name\":\"none\"},"
              "{\"server\":\"10.0.0.0/8\",\"port\":\"15-24\",\"vlan\":6,\"name\":\"six\"},"
              "{\"server\":\"10.0.0.0/8\",\"port\":\"20-25\",\"name\":\"narrow\"}]}");
    assert_string_equal(find(t, "10.0.0.1", 16, 5), "five");
    assert_string_equal(find(t, "10.0.0.1", 16, 6), "six");
    assert_string_equal(find(t, "10.0.0.1", 16, -1), "none");
    assert_string_equal(find(t, "10.0.0.1", 20, 6), "narrow");
    service_free(t);
}

static void test_second_file(void **state) {
    (void)state;
    struct base_error error = {0};
    struct service_table *t =
        table("{\"services\":[{\"server\":\"10.0.0.1\",\"port\":1,\"name\":\"a\"}]}");
    assert_int_equal(
        load(t, "{\"services\":[{\"server\":\"10.0.0.1\",\"port\":2,\"name\":\"b\"}]}", &error), 0);
    assert_int_equal(load(t, "", &error), 0); /* an empty file adds nothing */
    assert_int_equal(
        load(t, "{\"services\":[{\"server\":\"10.0.0.1\",\"port\":2,\"name\":\"c\"}]}", &error),
        -1);
    assert_non_null(strstr(
        error.why, "services[0]: the same server, port and vlan as an entry of a services file "
                   "read before"));
    assert_string_equal(find(t, "10.0.0.1", 1, -1), "a");
    assert_string_equal(find(t, "10.0.0.1", 2, -1), "b");
    service_free(t);
}

static void test_example_file(void **state) {
    (void)state;
    struct base_error error = {0};
    struct service_table *t = service_new();
    assert_non_null(t);
    if (service_load(t, "conf/services.json", &error) != 0)
        fail_msg("%s: %s", error.what, error.why);
    assert_string_equal(find(t, "10.0.0.2", 443, -1), "https");
    assert_string_equal(find(t, "10.1.2.3", 8042, 20), "api");
    assert_string_equal(find(t, "10.1.2.3", 8042, -1), "batch");
    service_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_preference),
        cmocka_unit_test(test_agrees_with_a_plain_search),
        cmocka_unit_test(test_names_fall_back),
        cmocka_unit_test(test_each_in_order_of_preference),
        cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_accepted_overlaps),
        cmocka_unit_test(test_second_file),
        cmocka_unit_test(test_example_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
