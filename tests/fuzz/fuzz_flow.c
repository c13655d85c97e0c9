/*
 * Fuzz target: the tracker, on sequences of segments.
 *
 * Input: one octet of set-up (fuzz_flow_build.h), then five octets a segment. Numbers are relative
 * to what the two ends have sent so far, so that handshakes, closes and their faults are a few
 * octets away. Each sequence runs twice, in batches of another size, and must give the same events
 * both times. fuzz_flow_model.h says what is asserted of them.
 */
#include <assert.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz_flow_build.h"
#include "tests/fuzz/fuzz_flow_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINGER_S = 120 };

struct run {
    struct flow_tracker *tracker;
    struct model model;
    struct segment batch[CAPTURE_BATCH];
    uint8_t verdict[CAPTURE_BATCH];
    size_t waiting;
    uint64_t memory; /* the most that a capped tracker may hold */
};

static enum flow_service_evidence service(void *context, const struct base_addr *a, uint16_t port,
                                          uint32_t scope) {
    (void)context;
    (void)a;
    (void)scope;
    return port == 443     ? FLOW_SERVICE_CONFIGURED
           : port == 50000 ? FLOW_SERVICE_PORT_KNOWN
                           : FLOW_SERVICE_NONE;
}

static void flush(struct run *r) {
    flow_batch(r->tracker, r->batch, r->verdict, r->waiting);
    r->waiting = 0;
    model_check(&r->model, r->tracker);
    if (r->memory)
        assert(flow_memory(r->tracker) <= r->memory);
}

/* What the octets of a segment ask for besides the segment. */
static void aside(struct run *r, enum build_aside what) {
    if (what == BUILD_ASIDE_NONE)
        return;
    flush(r);
    if (what == BUILD_ASIDE_TICK)
        flow_advance(r->tracker, flow_now(r->tracker) + 700 * BASE_NS_PER_MS);
    else
        model_check_open(&r->model, r->tracker);
    model_check(&r->model, r->tracker);
}

/* The whole sequence; the digest of its events. */
static uint64_t play(const uint8_t *data, size_t size, size_t batch) {
    static struct run run; /* large */
    struct run *r = &run;
    struct build b;
    build_start(&b, data[0]);
    struct flow_config config = {.timers = flow_timers_default(),
                                 .max_flows = b.max_flows,
                                 .hash_seed = {1, 2},
                                 .service = service};
    model_start(&r->model);
    r->waiting = 0;
    r->tracker = flow_new(&config, model_take, &r->model);
    if (r->tracker == NULL)
        return 0;
    /* one chunk of each slab, and deadlines no more than flows */
    r->memory = b.max_flows ? flow_memory(r->tracker) +
                                  SLAB_CHUNK * (sizeof(struct flow) + sizeof(struct lean) +
                                                sizeof(struct body) + sizeof(struct pair6)) +
                                  64 * sizeof(struct wheel_due)
                            : 0;
    for (size_t i = 1; i + BUILD_OCTETS <= size && i <= BUILD_OCTETS * BUILD_MAX;
         i += BUILD_OCTETS) {
        aside(r, build_aside(data + i));
        r->verdict[r->waiting] = build_segment(&b, data + i, &r->batch[r->waiting]);
        if (++r->waiting == batch)
            flush(r);
    }
    flush(r);
    model_check_open(&r->model, r->tracker);
    model_finish(&r->model);
    flow_finish(r->tracker, LINGER_S * BASE_NS_PER_S);
    model_check_end(&r->model);
    assert(flow_counters(r->tracker)->transitions == r->model.transitions);
    assert(flow_counters(r->tracker)->connections == r->model.connections);
    flow_free(r->tracker);
    return r->model.digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 + BUILD_OCTETS)
        return 0;
    size_t batch = 1 + size % CAPTURE_BATCH;
    uint64_t digest = play(data, size, batch);
    assert(play(data, size, batch == 1 ? CAPTURE_BATCH : 1) == digest);
    return 0;
}
