/*
 * Fuzz target: decode_packet on any octets, one packet or several.
 *
 * Input: packets, each of two octets of choice, where there are several two of length, and its
 * octets. The low 9 bits of the choice are the link type, the next says that another packet
 * follows, the 6 above how many octets the snaplen cut off (in steps of 16). A packet lies in a
 * heap block of exactly its size, so that the address sanitizer sees a read beyond it; what the
 * header promises of the result is asserted. Several packets are how fragments meet.
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
        uint8_t kind = scope->layer[i].kind;
        assert(kind <= DECODE_LAYER_CAPWAP);
        assert(kind != DECODE_LAYER_VLAN ||
               (scope->layer[i].id >= 1 && scope->layer[i].id <= 0xfff));
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

/* The same packet must give the same answer, whatever the segment held before; but for a fragment
 * that completed its datagram, which is a copy the second time, and one that holds a fragment of the
 * same id, which overlaps itself then. */
static void check_again(struct decoder *d, const struct packet *p, enum decode_verdict verdict,
                        const struct segment *first) {
    struct segment s;
    memset(&s, 0xa5, sizeof s);
    enum decode_verdict again = decode_packet(d, p, &s);
    if (again == DECODE_FRAGMENT || (verdict == DECODE_FRAGMENT && again == DECODE_MALFORMED))
        return;
    assert(again == verdict);
    if (verdict != DECODE_TCP)
        return;
    assert(s.scope == first->scope && s.payload == first->payload && s.options == first->options);
    assert(s.checksum_state == first->checksum_state && s.seq == first->seq);
}

/* One packet of n octets, in a block of its own. */
static void decode_one(struct decoder *d, uint64_t now_ns, uint32_t choice, const uint8_t *data,
                       uint32_t n) {
    enum { LINK = 0x1ff, STEP = 16 };
    uint8_t *octets = malloc(n);
    if (octets == NULL)
        return;
    memcpy(octets, data, n);
    struct packet p = {.ts_ns = now_ns,
                       .data = octets,
                       .captured = n,
                       .length = n + (choice >> 10) * STEP,
                       .link = choice & LINK};
    struct segment s;
    memset(&s, 0, sizeof s);
    enum decode_verdict verdict = decode_packet(d, &p, &s);
    check(d, &p, verdict, &s);
    check_again(d, &p, verdict, &s);
    free(octets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { ANOTHER = 0x200, HOUR_S = 3600 };
    static struct decoder *decoder; /* reachable to the end: its tables fill over many inputs */
    static uint64_t now_ns;         /* an input's fragments are long history for the next one */
    now_ns += HOUR_S * BASE_NS_PER_S;
    if (decoder == NULL && (decoder = decode_new()) == NULL)
        return 0;
    for (bool another = true; another && size >= 4;) {
        uint32_t choice = (uint32_t)data[0] << 8 | data[1], n = (uint32_t)size - 2;
        uint32_t stated = (uint32_t)data[2] << 8 | data[3];
        another = (choice & ANOTHER) != 0;
        data += another ? 4 : 2;
        size -= another ? 4 : 2;
        if (another)
            n = stated < size ? stated : (uint32_t)size;
        decode_one(decoder, now_ns, choice, data, n);
        data += n;
        size -= n;
    }
    return 0;
}
