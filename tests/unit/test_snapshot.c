/*
 * Snapshots out of pictures: groups, keyframes, several workers, and what makes none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "spanwatch/snapshot.h"
#include "spanwatch/tcp_state.h"

#define SECOND BASE_NS_PER_S

struct fixture {
    struct snapshot_maker *maker;
    const struct snapshot *made; /* by the last event; NULL */
    uint64_t made_count;
};

/* Scope 1 and 2 have services of their own; 3 the same as 0. */
static void name_service(void *context, size_t worker, const struct event_flow *f,
                         char out[SNAPSHOT_SERVICE_TEXT]) {
    (void)context;
    (void)worker;
    snprintf(out, SNAPSHOT_SERVICE_TEXT, "port-%u%s", f->server_port,
             f->scope == 1   ? "-a"
             : f->scope == 2 ? "-b"
                             : "");
}

static void start(struct fixture *x, size_t workers, bool always) {
    struct snapshot_config config = {
        .workers = workers, .members_always = always, .service = name_service, .seed = {3, 4}};
    *x = (struct fixture){.maker = snapshot_new(&config)};
    assert_non_null(x->maker);
}

static void give(struct fixture *x, size_t worker, const struct event *e) {
    x->made = snapshot_take(x->maker, worker, e);
    x->made_count += x->made != NULL;
}

static void frame(struct fixture *x, size_t worker, enum event_type type, uint64_t s,
                  struct event_picture picture) {
    picture.purpose = picture.purpose ? picture.purpose : EVENT_FOR_SNAPSHOT;
    give(x, worker, &(struct event){.ts_ns = s * SECOND, .type = type, .picture = picture});
}

static void begin(struct fixture *x, size_t worker, uint64_t s, bool quiet) {
    frame(x, worker, EVENT_PICTURE, s, (struct event_picture){.quiet = quiet});
}

static void end(struct fixture *x, size_t worker, uint64_t s) {
    frame(x, worker, EVENT_PICTURE_END, s, (struct event_picture){0});
}

static void member(struct fixture *x, size_t worker, uint64_t s, uint32_t client, uint16_t port,
                   uint32_t scope, enum tcp_state state) {
    struct event e = {.ts_ns = s * SECOND, .type = EVENT_MEMBER};
    e.flow = (struct event_flow){
        .family = 4, .client_port = 40000, .server_port = port, .scope = scope, .server = {10, 9}};
    memcpy(e.flow.client, &client, sizeof client);
    e.member = (struct event_member){.state = {(uint8_t)state, (uint8_t)state},
                                     .since_ns = {s * SECOND - 5, s * SECOND - 9}};
    give(x, worker, &e);
}

static void transitions(struct fixture *x, unsigned n) {
    for (; n > 0; n--)
        give(x, 0, &(struct event){.type = EVENT_TRANSITION});
}

/* A whole picture of `n` members. */
static void picture(struct fixture *x, uint64_t s, bool quiet, unsigned n) {
    begin(x, 0, s, quiet);
    for (unsigned i = 0; i < n; i++)
        member(x, 0, s, i, 80, 0, TCP_ESTABLISHED);
    end(x, 0, s);
}

static uint64_t missed(struct fixture *x) {
    uint64_t ts_ns;
    return snapshot_missed(x->maker, &ts_ns);
}

static void groups(void **state) {
    (void)state;
    struct fixture x;
    start(&x, 1, false);
    begin(&x, 0, 10, false);
    member(&x, 0, 10, 1, 443, 0, TCP_ESTABLISHED);
    member(&x, 0, 10, 2, 80, 0, TCP_ESTABLISHED);
    member(&x, 0, 10, 3, 443, 0, TCP_CLOSE_WAIT);
    member(&x, 0, 10, 4, 443, 3, TCP_ESTABLISHED); /* another VLAN, the same service */
    member(&x, 0, 10, 5, 443, 1, TCP_ESTABLISHED);
    member(&x, 0, 10, 6, 443, 2, TCP_ESTABLISHED);
    member(&x, 0, 10, 7, 443, 1, TCP_ESTABLISHED);
    assert_null(x.made);
    end(&x, 0, 10);
    assert_non_null(x.made);
    assert_true(x.made->keyframe && x.made->lists_members);
    assert_int_equal(x.made->flows, 7);
    assert_int_equal(x.made->groups, 5);
    static const struct {
        const char *service;
        uint8_t state, count;
        uint32_t client[2];
    } expected[] = {{"port-80", TCP_ESTABLISHED, 1, {2}},
                    {"port-443", TCP_ESTABLISHED, 2, {1, 4}},
                    {"port-443", TCP_CLOSE_WAIT, 1, {3}},
                    {"port-443-a", TCP_ESTABLISHED, 2, {5, 7}},
                    {"port-443-b", TCP_ESTABLISHED, 1, {6}}};
    for (size_t i = 0; i < 5; i++) {
        const struct snapshot_group *g = &x.made->group[i];
        const struct snapshot_member *m = snapshot_first(x.made, g);
        assert_string_equal(g->service, expected[i].service);
        assert_int_equal(g->state[0], expected[i].state);
        assert_int_equal(g->count, expected[i].count);
        for (unsigned n = 0; n < g->count; n++, m = snapshot_next(x.made, m)) {
            uint32_t client;
            memcpy(&client, m->flow.client, sizeof client);
            assert_int_equal(client, expected[i].client[n]);
            assert_int_equal(m->since_ns, 10 * SECOND - 5);
        }
        assert_null(m);
    }
    snapshot_free(x.maker);
}

/* Many groups, so that the table grows: each is found again. */
static void many_groups(void **state) {
    (void)state;
    struct fixture x;
    enum { PORTS = 5000 };
    start(&x, 1, false);
    begin(&x, 0, 10, false);
    for (unsigned n = 0; n < 3 * PORTS; n++)
        member(&x, 0, 10, n, (uint16_t)(1 + n % PORTS), 0, TCP_ESTABLISHED);
    end(&x, 0, 10);
    assert_int_equal(x.made->groups, PORTS);
    for (unsigned i = 0; i < PORTS; i++) {
        assert_int_equal(x.made->group[i].count, 3);
        assert_int_equal(x.made->group[i].flow.server_port, 1 + i);
    }
    snapshot_free(x.maker);
}

/* The first; when transitions outnumber connections; each ten minutes. */
static void keyframes(void **state) {
    (void)state;
    struct fixture x;
    start(&x, 1, false);
    picture(&x, 10, false, 5);
    assert_true(x.made->keyframe);
    transitions(&x, 5);
    picture(&x, 20, false, 5);
    assert_false(x.made->keyframe);
    transitions(&x, 1);
    picture(&x, 30, false, 5);
    assert_true(x.made->keyframe);
    picture(&x, 40, false, 5);
    assert_false(x.made->keyframe);
    picture(&x, 629, false, 5);
    assert_false(x.made->keyframe);
    picture(&x, 630, false, 5);
    assert_true(x.made->keyframe);
    /* what comes while the picture is given is later than it */
    begin(&x, 0, 640, false);
    transitions(&x, 100);
    end(&x, 0, 640);
    assert_false(x.made->keyframe);
    picture(&x, 650, false, 5);
    assert_true(x.made->keyframe);
    picture(&x, 660, false, 5);
    assert_false(x.made->keyframe);
    snapshot_want_keyframe(x.maker);
    picture(&x, 670, false, 5);
    assert_true(x.made->keyframe);
    snapshot_free(x.maker);
}

static void members_listed(void **state) {
    (void)state;
    struct fixture x;
    for (int always = 0; always < 2; always++) {
        start(&x, 1, always);
        picture(&x, 10, false, 10000);
        assert_true(x.made->lists_members);
        picture(&x, 20, false, 10000);
        assert_int_equal(x.made->lists_members, always);
        picture(&x, 30, false, 9999);
        assert_true(x.made->lists_members);
        snapshot_free(x.maker);
    }
}

/* One equal to the one before is left out while no packets come, but never the first, nor one after
 * a miss. */
static void quiet(void **state) {
    (void)state;
    struct fixture x;
    start(&x, 1, false);
    picture(&x, 10, true, 3);
    assert_non_null(x.made);
    picture(&x, 20, true, 3);
    assert_null(x.made);
    picture(&x, 1000, true, 3); /* also when a keyframe is due */
    assert_null(x.made);
    picture(&x, 1010, false, 3);
    assert_non_null(x.made);
    frame(&x, 0, EVENT_PICTURE, 1020, (struct event_picture){.quiet = true});
    frame(&x, 0, EVENT_PICTURE_END, 1020, (struct event_picture){.torn = true});
    assert_null(x.made);
    picture(&x, 1030, true, 3);
    assert_non_null(x.made);
    assert_int_equal(x.made->flows, 3);
    snapshot_free(x.maker);
}

static void several_workers(void **state) {
    (void)state;
    struct fixture x;
    start(&x, 2, false);
    begin(&x, 1, 10, false);
    member(&x, 1, 10, 1, 80, 0, TCP_ESTABLISHED);
    begin(&x, 0, 10, true);
    end(&x, 1, 10);
    assert_null(x.made);
    member(&x, 0, 10, 2, 80, 0, TCP_ESTABLISHED);
    end(&x, 0, 10);
    assert_non_null(x.made);
    assert_int_equal(x.made->flows, 2);
    assert_int_equal(snapshot_first(x.made, x.made->group)->worker, 1);
    /* worker 1 goes on before worker 0 has given its part: the picture is lost, and said so */
    begin(&x, 0, 20, false);
    end(&x, 0, 20);
    begin(&x, 0, 30, false);
    assert_int_equal(missed(&x), 1);
    begin(&x, 1, 20, false); /* late */
    member(&x, 1, 20, 7, 80, 0, TCP_ESTABLISHED);
    end(&x, 1, 20);
    end(&x, 0, 30);
    assert_null(x.made);
    begin(&x, 1, 30, false);
    member(&x, 1, 30, 8, 80, 0, TCP_ESTABLISHED);
    end(&x, 1, 30);
    assert_non_null(x.made);
    assert_int_equal(x.made->flows, 1);
    assert_int_equal(missed(&x), 0);
    snapshot_free(x.maker);
}

static void no_snapshot(void **state) {
    (void)state;
    struct fixture x;
    start(&x, 1, false);
    /* torn; without its end; without its begin; for the alarms alone; left out by the tracker */
    begin(&x, 0, 10, false);
    frame(&x, 0, EVENT_PICTURE_END, 10, (struct event_picture){.torn = true});
    assert_int_equal(missed(&x), 1);
    begin(&x, 0, 20, false);
    member(&x, 0, 20, 1, 80, 0, TCP_ESTABLISHED);
    begin(&x, 0, 30, false);
    assert_int_equal(missed(&x), 1);
    end(&x, 0, 30);
    assert_int_equal(x.made->flows, 0);
    end(&x, 0, 40);
    assert_null(x.made);
    assert_int_equal(missed(&x), 1);
    frame(&x, 0, EVENT_PICTURE, 50, (struct event_picture){.purpose = EVENT_FOR_WINDOW});
    member(&x, 0, 50, 1, 80, 0, TCP_ESTABLISHED);
    frame(&x, 0, EVENT_PICTURE_END, 50, (struct event_picture){.purpose = EVENT_FOR_WINDOW});
    assert_int_equal(missed(&x), 0);
    frame(&x, 0, EVENT_PICTURE, 60, (struct event_picture){.missed = 3});
    assert_int_equal(missed(&x), 3);
    assert_int_equal(x.made_count, 1);
    snapshot_free(x.maker);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups),      cmocka_unit_test(many_groups),
        cmocka_unit_test(keyframes),   cmocka_unit_test(members_listed),
        cmocka_unit_test(quiet),       cmocka_unit_test(several_workers),
        cmocka_unit_test(no_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
