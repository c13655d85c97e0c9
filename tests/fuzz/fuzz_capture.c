/*
 * Fuzzes the capture room over octets in memory, and the decode room with the packets that come
 * out. Input: any octets, taken for a capture file (plain or compressed). Checked: what capture.h
 * promises of every packet and of the end; every octet is touched, so that a sanitizer sees a
 * pointer that is wrong.
 */
#include "spanwatch/decode.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    MOST_PACKETS =
        1 << 16 /* a compressed input can hold millions of empty packets: enough is enough */
};

/* Where what was read goes, so that reading is not optimised away. */
static volatile uint8_t sink;

static void must(bool holds) {
    if (!holds)
        abort();
}

static void check_packet(const struct packet *p) {
    must(p->captured <= CAPTURE_MAX_RECORD);
    must(p->length >= p->captured);
    must(p->ts_ns < BASE_NEVER_NS);
    uint8_t all = 0;
    for (uint32_t i = 0; i < p->captured; i++)
        all ^= p->data[i];
    sink = all;
}

static size_t check_batch(struct decoder *d, const struct packet *batch, size_t n) {
    must(n <= CAPTURE_BATCH);
    for (size_t i = 0; i < n; i++) {
        struct segment segment;
        check_packet(&batch[i]);
        decode_packet(d, &batch[i], &segment);
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct base_error error = {"", ""};
    struct packet batch[CAPTURE_BATCH];
    struct capture *c;
    uint64_t done, total;
    if (capture_open_memory(&c, data, size, &error) < 0) {
        must(c == NULL && error.what[0] != 0 && error.why[0] != 0);
        return 0;
    }
    struct decoder *d = decode_new();
    must(d != NULL);
    size_t packets = 0, n;
    while ((n = capture_read(c, batch)) > 0 && packets < MOST_PACKETS)
        packets += check_batch(d, batch, n);
    size_t faults = capture_faults(c, &error);
    must(faults <= 1);
    must(faults == 0 || error.why[0] != 0);
    capture_progress(c, &done, &total);
    must(total == size && done <= total);
    must(n > 0 || capture_read(c, batch) == 0);
    decode_free(d);
    capture_free(c);
    return 0;
}
