/*
 * A checkpoint: a tracker that goes on from one says what the one that was saved would have said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/flow/tracker.h"
#include "tests/unit/flow_traffic.h"

enum { HOSTS = 2000, STEPS = 20000, LOG = 1 << 16, SCOPE = 5 };

/* Events, in short. */
struct log {
    struct line {
        uint64_t ts_ns, first_ns;
        uint32_t host, scope;
        uint8_t family, type, state[2], inferred;
    } line[LOG];
    size_t n;
};

struct file {
    uint8_t *data;
    size_t size, at, room;
};

static void sink(void *context, const struct event *e) {
    struct log *log = context;
    assert_true(log->n < LOG);
    struct line *l = &log->line[log->n++];
    *l = (struct line){.ts_ns = e->ts_ns,
                       .first_ns = e->flow.first_ns,
                       .host = traffic_host(e),
                       .scope = e->flow.scope,
                       .family = e->flow.family,
                       .type = e->type};
    const uint8_t *state = e->type == EVENT_TRANSITION ? e->transition.state : e->connection.state;
    memcpy(l->state, state, 2);
    l->inferred = e->type == EVENT_TRANSITION ? e->transition.inferred : e->connection.inferred;
}

static bool write_file(void *context, const void *data, size_t n) {
    struct file *f = context;
    if (f->size + n > f->room)
        return false;
    memcpy(f->data + f->size, data, n);
    f->size += n;
    return true;
}

static bool read_file(void *context, void *data, size_t n) {
    struct file *f = context;
    if (f->size - f->at < n)
        return false;
    memcpy(data, f->data + f->at, n);
    f->at += n;
    return true;
}

/* Half of the hosts, of either family. */
static unsigned half_of(uint32_t host) {
    return host / 2 % 2;
}

/* Where saved flows are read from, and go to. */
struct load {
    struct file *file;
    struct flow_tracker *tracker[2];
    uint32_t scope_more;
};

static bool read_load(void *context, void *data, size_t n) {
    return read_file(((struct load *)context)->file, data, n);
}

/* Of two trackers: by the host's last octet, and the server's, which is 0. */
static struct flow_tracker *place(void *context, uint8_t family, const uint8_t *a, const uint8_t *b,
                                  uint32_t *scope) {
    const struct load *load = context;
    *scope += load->scope_more;
    assert_true(family == 4 || family == 6);
    return load->tracker[load->tracker[1] != NULL ? half_of(a[3] + b[3]) : 0];
}

static int load_one(struct flow_tracker *t, struct file *file, uint32_t scope_more) {
    struct load load = {.file = file, .tracker = {t}, .scope_more = scope_more};
    return flow_load(load.tracker, 1, read_load, place, &load);
}

static struct flow_tracker *start(struct log *log, uint64_t seed, uint32_t max_flows) {
    struct flow_config config = {
        .timers = flow_timers_default(), .hash_seed = {seed, 2}, .max_flows = max_flows};
    struct flow_tracker *t = flow_new(&config, sink, log);
    assert_non_null(t);
    return t;
}

/* Odd hosts speak IPv6. */
static struct segment next(struct traffic *traffic, uint32_t host) {
    struct segment s = traffic_next(traffic, host);
    s.family = host % 2 ? 6 : 4;
    return s;
}

static void run(struct flow_tracker *a, struct flow_tracker *b, struct traffic *traffic,
                uint32_t scope) {
    for (unsigned n = 0; n < STEPS; n++) {
        traffic->ms += 2;
        struct segment s = next(traffic, (uint32_t)random_below(&traffic->random, HOSTS));
        s.scope = scope;
        segments_feed(a, traffic->ms, s);
        if (b != NULL)
            segments_feed(b, traffic->ms, s);
    }
}

struct fixture {
    struct log log[2];
    struct traffic traffic;
    struct flow_tracker *tracker[2];
    struct file file;
};

static struct fixture *begin(void) {
    struct fixture *x = calloc(1, sizeof *x);
    assert_non_null(x);
    x->file = (struct file){.data = malloc(8 << 20), .room = 8 << 20};
    x->tracker[0] = start(&x->log[0], 1, 0);
    run(x->tracker[0], NULL, &x->traffic, 0);
    return x;
}

static void finish(struct fixture *x) {
    flow_free(x->tracker[0]);
    flow_free(x->tracker[1]);
    free(x->file.data);
    free(x);
}

static void goes_on(void **state) {
    (void)state;
    struct fixture *x = begin();
    assert_int_equal(flow_save(x->tracker[0], write_file, &x->file), 0);
    x->tracker[1] = start(&x->log[1], 99, 0);
    assert_int_equal(load_one(x->tracker[1], &x->file, 0), 0);
    assert_int_equal(x->file.at, x->file.size);
    assert_int_equal(flow_counters(x->tracker[1])->flows_open,
                     flow_counters(x->tracker[0])->flows_open);
    assert_int_equal(flow_now(x->tracker[1]), flow_now(x->tracker[0]));
    x->log[0].n = 0;
    run(x->tracker[0], x->tracker[1], &x->traffic, 0);
    flow_finish(x->tracker[0], 120 * BASE_NS_PER_S);
    flow_finish(x->tracker[1], 120 * BASE_NS_PER_S);
    assert_true(x->log[0].n > STEPS / 2);
    assert_int_equal(x->log[1].n, x->log[0].n);
    assert_memory_equal(x->log[1].line, x->log[0].line, x->log[0].n * sizeof x->log[0].line[0]);
    finish(x);
}

/* Deadlines that have passed meanwhile run out at their own time. */
static void time_has_passed(void **state) {
    (void)state;
    struct fixture *x = begin();
    assert_int_equal(flow_save(x->tracker[0], write_file, &x->file), 0);
    x->tracker[1] = start(&x->log[1], 99, 0);
    assert_int_equal(load_one(x->tracker[1], &x->file, 0), 0);
    uint64_t saved_ns = flow_now(x->tracker[1]);
    flow_advance(x->tracker[1], saved_ns + 7200 * BASE_NS_PER_S);
    assert_true(x->log[1].n > 100);
    for (size_t i = 0; i < x->log[1].n; i++)
        assert_in_range(x->log[1].line[i].ts_ns, saved_ns, saved_ns + 200 * BASE_NS_PER_S);
    finish(x);
}

/* Scopes are numbered anew by each decoder. */
static void scopes(void **state) {
    (void)state;
    struct fixture *x = begin();
    assert_int_equal(flow_save(x->tracker[0], write_file, &x->file), 0);
    x->tracker[1] = start(&x->log[1], 99, 0);
    assert_int_equal(load_one(x->tracker[1], &x->file, SCOPE), 0);
    uint64_t open = flow_counters(x->tracker[1])->flows_open;
    assert_true(open > HOSTS / 4);
    run(x->tracker[1], NULL, &x->traffic, SCOPE);
    for (size_t i = 0; i < x->log[1].n; i++)
        assert_int_equal(x->log[1].line[i].scope, SCOPE);
    assert_in_range(flow_counters(x->tracker[1])->flows_open, 1, HOSTS);
    finish(x);
}

/* The events of one half of the hosts, or of the other. */
static void assert_half(const struct log *whole, const struct log *part, unsigned half) {
    size_t n = 0;
    for (size_t i = 0; i < whole->n; i++)
        if (half_of(whole->line[i].host) == half) {
            assert_true(n < part->n);
            assert_memory_equal(&part->line[n++], &whole->line[i], sizeof whole->line[i]);
        }
    assert_int_equal(n, part->n);
    assert_true(n > STEPS / 8);
}

/* One tracker's flows go on in two, and these in one again: each says what belongs to it. */
static void spread(void **state) {
    (void)state;
    struct fixture *x = begin();
    struct log *log = calloc(3, sizeof *log);
    struct load load = {.file = &x->file};
    assert_int_equal(flow_save(x->tracker[0], write_file, &x->file), 0);
    for (unsigned i = 0; i < 2; i++)
        load.tracker[i] = start(&log[i], i + 5, 0);
    assert_int_equal(flow_load(load.tracker, 2, read_load, place, &load), 0);
    x->log[0].n = 0;
    for (unsigned n = 0; n < STEPS; n++) {
        uint32_t host = (uint32_t)random_below(&x->traffic.random, HOSTS);
        x->traffic.ms += 2;
        struct segment s = next(&x->traffic, host);
        segments_feed(x->tracker[0], x->traffic.ms, s);
        segments_feed(load.tracker[half_of(host)], x->traffic.ms, s);
    }
    uint64_t now_ns = flow_now(x->tracker[0]);
    for (unsigned i = 0; i < 2; i++) {
        flow_advance(load.tracker[i], now_ns);
        assert_half(&x->log[0], &log[i], i);
    }
    x->file.size = x->file.at = 0;
    struct load again = {.file = &x->file, .tracker = {start(&log[2], 9, 0)}};
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(flow_save(load.tracker[i], write_file, &x->file), 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(flow_load(again.tracker, 1, read_load, place, &again), 0);
    assert_int_equal(flow_counters(again.tracker[0])->flows_open,
                     flow_counters(x->tracker[0])->flows_open);
    x->log[0].n = 0;
    run(x->tracker[0], again.tracker[0], &x->traffic, 0);
    assert_int_equal(log[2].n, x->log[0].n);
    assert_memory_equal(log[2].line, x->log[0].line, log[2].n * sizeof log[2].line[0]);
    for (unsigned i = 0; i < 2; i++)
        flow_free(load.tracker[i]);
    flow_free(again.tracker[0]);
    free(log);
    finish(x);
}

/* No room in the file, a file that ends early, one that holds the same twice, a lower cap. */
static void faults(void **state) {
    (void)state;
    struct fixture *x = begin();
    struct log *log = &x->log[1];
    struct file small = {.data = x->file.data, .room = 5000};
    assert_int_equal(flow_save(x->tracker[0], write_file, &small), -1);
    assert_int_equal(flow_save(x->tracker[0], write_file, &x->file), 0);

    struct file cut = x->file;
    cut.size -= 1;
    x->tracker[1] = start(log, 7, 0);
    assert_int_equal(load_one(x->tracker[1], &cut, 0), -1);
    flow_free(x->tracker[1]);

    uint64_t flows; /* the head's first number */
    memcpy(&flows, x->file.data, sizeof flows);
    size_t head = 5 * sizeof flows, entry = (x->file.size - head) / flows;
    memcpy(x->file.data + x->file.size - entry, x->file.data + head, entry);
    struct file twice = x->file;
    x->tracker[1] = start(log, 7, 0);
    assert_int_equal(load_one(x->tracker[1], &twice, 0), 0);
    assert_int_equal(x->tracker[1]->pool.flow.used, flows - 1);
    flow_free(x->tracker[1]);

    x->file.size = 0;
    assert_int_equal(flow_save(x->tracker[0], write_file, &x->file), 0);
    x->tracker[1] = start(log, 7, 100);
    assert_int_equal(load_one(x->tracker[1], &x->file, 0), 0);
    assert_int_equal(x->tracker[1]->pool.flow.used, 100);
    finish(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_on), cmocka_unit_test(time_has_passed), cmocka_unit_test(scopes),
        cmocka_unit_test(spread),  cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
