/*
 * Fuzz target: decode_packet on any octets.
 *
 * Input: two octets, then a packet. The low 9 bits of the two choose the link type, the 7 above how
 * many octets the snaplen cut off (in steps of 16). The packet lies in a heap block of exactly its
 * size, so that the address sanitizer sees a read beyond it; what the header promises of the result
 * is asserted.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "spanwatch/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_segment(const struct decoder *d, const struct segment *s) {
    assert(s->family == 4 || s->family == 6);
    assert(s->scope < DECODE_MAX_SCOPES);
    const struct decode_scope *scope = decode_scope(d, s->scope);
    assert(scope->layers <= DECODE_MAX_LAYERS);
    assert((scope->layers == 0) == (s->scope == 0 || s->scope == DECODE_MAX_SCOPES - 1));
    for (unsigned i = 0; i < scope->layers; i++) {
        assert(scope->layer[i].kind == DECODE_LAYER_VLAN);
        assert(scope->layer[i].id >= 1 && scope->layer[i].id <= 0xfff);
    }
}

static void check_tcp(const struct segment *s) {
    const unsigned closing = SEGMENT_SYN | SEGMENT_FIN | SEGMENT_RST;
    assert(s->payload <= CAPTURE_MAX_RECORD);
    assert(s->checksum_state <= SEGMENT_CHECKSUM_BAD);
    assert(s->checksum_state == SEGMENT_CHECKSUM_UNKNOWN || (s->flags & closing) != 0);
    assert((s->options & 0x80) == 0);
    assert((s->options & SEGMENT_OPT_COOKIE) == 0 || (s->options & SEGMENT_OPT_FASTOPEN) != 0);
}

static void check(const struct decoder *d, const struct packet *p, enum decode_verdict verdict,
                  const struct segment *s) {
    assert(verdict >= DECODE_TCP && verdict <= DECODE_UNKNOWN_LINK);
    assert((verdict == DECODE_UNKNOWN_LINK) == !decode_knows_link(p->link));
    assert(s->ts_ns == p->ts_ns);
    if (verdict == DECODE_TCP || verdict == DECODE_ICMP)
        check_segment(d, s);
    if (verdict == DECODE_TCP)
        check_tcp(s);
}

/* The same packet must give the same answer, whatever the segment held before. */
static void check_again(struct decoder *d, const struct packet *p, enum decode_verdict verdict,
                        const struct segment *first) {
    struct segment s;
    memset(&s, 0xa5, sizeof s);
    enum decode_verdict again = decode_packet(d, p, &s);
    assert(again == verdict);
    if (verdict != DECODE_TCP)
        return;
    assert(s.scope == first->scope && s.payload == first->payload && s.options == first->options);
    assert(s.checksum_state == first->checksum_state && s.seq == first->seq);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct decoder *decoder; /* reachable to the end: its table fills over many inputs */
    if (decoder == NULL)
        decoder = decode_new();
    if (decoder == NULL || size < 2)
        return 0;
    uint32_t choice = (uint32_t)data[0] << 8 | data[1], captured = (uint32_t)(size - 2);
    uint8_t *octets = malloc(captured);
    if (octets == NULL)
        return 0;
    memcpy(octets, data + 2, captured);
    struct packet p = {.ts_ns = 1,
                       .data = octets,
                       .captured = captured,
                       .length = captured + (choice >> 9) * 16,
                       .link = choice & 0x1ff};
    struct segment s;
    memset(&s, 0, sizeof s);
    enum decode_verdict verdict = decode_packet(decoder, &p, &s);
    check(decoder, &p, verdict, &s);
    check_again(decoder, &p, verdict, &s);
    free(octets);
    return 0;
}
