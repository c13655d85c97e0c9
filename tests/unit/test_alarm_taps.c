/*
 * Where packets reach the probe: alarms about one interface, or one VLAN on it, beside others that
 * are well.
 */
#include "alarm_bench.h"

#include <stdio.h>

enum { VLAN_20 = 20, VLAN_30 = 30, CONNECTIONS = 60, MANY_VLANS = 600 };

static const char *interface_of(void *context, unsigned iface) {
    static const char *const name[] = {"eth0", "eth1"};
    (void)context;
    return iface < 2 ? name[iface] : NULL;
}

/* The scope's number is the VLAN's. */
static void vlan_of(void *context, uint32_t scope, char out[ALARM_VLAN_TEXT]) {
    (void)context;
    snprintf(out, ALARM_VLAN_TEXT, "%u", (unsigned)scope);
}

static void begin_from(struct bench *b, bool files) {
    struct alarm_config config = {.rules = b->rules,
                                  .service = name_of,
                                  .vlan = vlan_of,
                                  .interface = interface_of,
                                  .sink = keep,
                                  .context = b,
                                  .files = files};
    b->engine = alarm_new(&config);
    b->now_s = START_S + WINDOW_S;
    assert_non_null(b->engine);
}

static void begin_with_names(struct bench *b) {
    begin_from(b, false);
}

/* `n` connections that had packets in the window; of one-sided ones the client alone was seen, and
 * acknowledged. */
static void pass(struct bench *b, uint8_t iface, uint32_t scope, unsigned n, bool one_sided) {
    for (unsigned i = 0; i < n; i++) {
        struct event_flow f = flow(b, i + 1, 40000, 443);
        f.scope = scope;
        struct event e = {.ts_ns = b->now_s * BASE_NS_PER_S, .flow = f, .type = EVENT_SIGNAL};
        e.signal.kind = EVENT_OVER;
        e.signal.fresh = (struct event_fresh){
            .iface = iface, .packets = {3, one_sided ? 0 : 3}, .unseen = {one_sided, false}};
        alarm_event(b->engine, &e);
    }
}

static void window_of_both(struct bench *b, bool second) {
    b->sum.packets += second ? 500 : 0;
    b->sum.passed[1] += second ? 500 : 0;
    window(b);
}

static void test_one_of_two_interfaces_is_silent(void **state) {
    struct bench *b = *state;
    begin_with_names(b);
    for (int i = 0; i < 5; i++)
        window_of_both(b, true);
    for (int i = 0; i < 3; i++) {
        assert_null(last_of(b, ALARM_CAPTURE_SILENT));
        window_of_both(b, false);
    }
    const struct alarm *a = last_of(b, ALARM_CAPTURE_SILENT);
    assert_int_equal(a->status, ALARM_RAISED);
    assert_string_equal(a->interface, "eth1");
    assert_null(a->vlan);
    assert_int_equal(b->n, 1);
    refuse(b, 7, 12);
    half_open(b, &(struct event_flow){.family = 4, .server_port = 443});
    window_of_both(b, true);
    assert_int_equal(last_of(b, ALARM_CAPTURE_SILENT)->status, ALARM_CLEARED);
    assert_false(last_of(b, ALARM_CONN_REFUSED)->doubtful);
}

static void window_of_one(struct bench *b, unsigned iface) {
    b->sum.passed[iface] += 1000;
    b->sum.passed[0] -= 1000; /* which every window has */
    window(b);
}

/* Two files, one after the other, with a while between them: the second is of another interface. */
static void test_a_file_after_another(void **state) {
    struct bench *b = *state;
    for (int files = 0; files < 2; files++) {
        b->n = 0;
        alarm_free(b->engine);
        b->sum = (struct event_picture){0};
        begin_from(b, files == 1);
        for (int i = 0; i < 5; i++)
            window(b);
        for (int i = 0; i < 8; i++)
            window_of_one(b, 1);
        assert_int_equal(b->n, files == 1 ? 0 : 1); /* live it is a silence */
    }
}

/* Of two that were there together one is silent, from files too. */
static void test_a_file_beside_another(void **state) {
    struct bench *b = *state;
    begin_from(b, true);
    for (int i = 0; i < 5; i++)
        window_of_both(b, true);
    for (int i = 0; i < 3; i++)
        window_of_both(b, false);
    assert_int_equal(b->n, 1);
    assert_string_equal(last_of(b, ALARM_CAPTURE_SILENT)->interface, "eth1");
}

static void test_one_vlan_is_one_sided(void **state) {
    struct bench *b = *state;
    begin_with_names(b);
    for (int i = 0; i < 4; i++) {
        pass(b, 0, VLAN_20, CONNECTIONS, true);
        pass(b, 0, VLAN_30, CONNECTIONS * 10, false);
        pass(b, 1, VLAN_20, CONNECTIONS, false);
        window(b);
    }
    const struct alarm *a = last_of(b, ALARM_MIRROR_ONE_SIDED);
    assert_int_equal(b->n, 1); /* in the whole they are one in twelve */
    assert_string_equal(a->interface, "eth0");
    assert_string_equal(a->vlan, "20");
    assert_true(a->value > 99);
    for (int i = 0; i < 12; i++) {
        pass(b, 0, VLAN_20, CONNECTIONS, false);
        window(b);
    }
    assert_int_equal(last_of(b, ALARM_MIRROR_ONE_SIDED)->status, ALARM_CLEARED);
}

/* Each of two VLANs has too few connections to judge by, though both together have enough. */
static void test_vlans_are_not_added_up(void **state) {
    struct bench *b = *state;
    begin_with_names(b);
    for (int i = 0; i < 6; i++) {
        pass(b, 0, VLAN_20, 10, true);
        pass(b, 0, VLAN_30, 10, true);
        window(b);
    }
    assert_null(last_of(b, ALARM_MIRROR_ONE_SIDED));
}

static void test_without_names_all_is_one(void **state) {
    struct bench *b = *state;
    begin(b);
    for (int i = 0; i < 3; i++) {
        pass(b, 0, VLAN_20, CONNECTIONS / 2, true);
        pass(b, 5, VLAN_30, CONNECTIONS / 2, true);
        window(b);
    }
    const struct alarm *a = last_of(b, ALARM_MIRROR_ONE_SIDED);
    assert_int_equal(b->n, 1);
    assert_null(a->interface);
    assert_null(a->vlan);
}

/* Of more VLANs than there is room for the rest count for their interface; memory does not grow. */
static void test_many_vlans(void **state) {
    struct bench *b = *state;
    begin_with_names(b);
    uint64_t before = alarm_memory(b->engine);
    for (int i = 0; i < 3; i++) {
        for (uint32_t vlan = 1; vlan <= MANY_VLANS; vlan++)
            pass(b, 0, vlan, 1, true);
        window(b);
    }
    const struct alarm *a = last_of(b, ALARM_MIRROR_ONE_SIDED);
    assert_int_equal(b->n, 1);
    assert_string_equal(a->interface, "eth0");
    assert_null(a->vlan);
    assert_true(alarm_memory(b->engine) - before < 1 << 20);
}

/* A silence that began before a restart goes on, and ends. */
static void test_a_silence_outlasts_a_restart(void **state) {
    struct bench *b = *state;
    begin_with_names(b);
    alarm_restore(b->engine, &(struct alarm){.kind = ALARM_CAPTURE_SILENT,
                                             .severity = ALARM_WARNING,
                                             .since_ns = START_S * BASE_NS_PER_S,
                                             .id = 77,
                                             .interface = "eth1"});
    window_of_both(b, false);
    window_of_both(b, false);
    window_of_both(b, false);
    assert_int_equal(b->n, 1);
    assert_int_equal(b->told[0].status, ALARM_UPDATED);
    assert_int_equal((int)b->told[0].value, 3 * WINDOW_S);
    window_of_both(b, true);
    assert_int_equal(b->n, 2);
    assert_int_equal(b->told[1].status, ALARM_CLEARED);
    assert_int_equal(b->told[1].id, 77);
    assert_string_equal(b->told[1].interface, "eth1");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* The other source's totals: in its first minute much passed it by. */
static void other_source_ends(struct bench *b) {
    struct event e = {.ts_ns = b->now_s * BASE_NS_PER_S, .type = EVENT_PICTURE_END};
    e.picture = (struct event_picture){
        .purpose = EVENT_FOR_WINDOW, .packets = 9000, .tcp = 9000, .laden = 200, .gaps = 100};
    alarm_event(b->engine, &e);
}

static void test_a_source_that_leaves_its_part_out_is_no_loss(void **state) {
    struct bench *b = *state;
    unsigned raised = 0;
    b->sources = 2;
    begin(b);
    for (int w = 0; w < 20; w++) {
        picture_begins(b);
        if (w < 8 || w % 3 != 0)
            other_source_ends(b);
        picture_ends(b);
    }
    for (size_t i = 0; i < b->n; i++)
        raised += b->told[i].status == ALARM_RAISED;
    assert_int_equal(raised, 1); /* the first window's loss, and no other */
    assert_int_equal(last_of(b, ALARM_CAPTURE_DROP)->status, ALARM_CLEARED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_one_of_two_interfaces_is_silent),
        TEST(test_a_file_after_another),
        TEST(test_a_file_beside_another),
        TEST(test_one_vlan_is_one_sided),
        TEST(test_vlans_are_not_added_up),
        TEST(test_without_names_all_is_one),
        TEST(test_many_vlans),
        TEST(test_a_silence_outlasts_a_restart),
        TEST(test_a_source_that_leaves_its_part_out_is_no_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
