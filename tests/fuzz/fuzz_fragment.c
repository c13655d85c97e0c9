/*
 * Fuzz target: datagrams in fragments, through decode_packet.
 *
 * Input: eight octets a train of fragments: which datagram, time and variant, offset, length, how
 * much the snaplen left, and how many more follow on. So overlaps, copies, holes, late ones and ids
 * that come round are a few octets away. fuzz_fragment_model.h says what each one must give. Of the
 * 64 datagrams of an input a quarter hold IP in IP whose inner packet is itself a fragment: what
 * they give when whole is not told beforehand.
 */
#include <stdlib.h>

#include "tests/fuzz/fuzz_fragment_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    DATAGRAMS = 64,
    PACKETS = 2000, /* of one input: none of its datagrams has to make room for another */
    HEADERS = 14 + 4 + 40 + 8,
    SHOWN = 600, /* octets of a fragment that are captured, at most */
    LENGTH_MAX = 65500,
    IPIP = 4,
    TCP = 6
};

struct fuzz {
    struct decoder *decoder;
    uint64_t now_ns;
    uint32_t round;   /* of the inputs: part of the addresses */
    uint32_t packets; /* of this input */
    struct model_datagram datagram[DATAGRAMS];
};

static bool is_ipv6(unsigned number) {
    return (number & 1) != 0;
}

static uint8_t *put_u16(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

static uint8_t *put_u32(uint8_t *at, uint32_t value) {
    return put_u16(put_u16(at, value >> 16), value);
}

static uint8_t *put_ipv4(uint8_t *at, const struct model_piece *p, uint32_t round) {
    *at++ = 0x45;
    *at++ = 0;
    at = put_u16(at, 20 + p->length);
    at = put_u16(at, p->number >> 2);
    at = put_u16(at, (p->more ? 0x2000u : 0) | p->offset / 8);
    *at++ = 64;
    *at++ = model_is_nested(p->number) ? IPIP : TCP;
    at = put_u16(at, 0);
    at = put_u32(at, round);
    return put_u32(at, 0x0a000001);
}

static uint8_t *put_ipv6(uint8_t *at, const struct model_piece *p, uint32_t round) {
    enum { FRAGMENT = 44 };
    at = put_u32(at, 0x60000000);
    at = put_u16(at, 8 + p->length);
    *at++ = FRAGMENT;
    *at++ = 64;
    memset(at, 0xfd, 32);
    put_u32(at, round);
    at += 32;
    *at++ = model_is_nested(p->number) ? IPIP : TCP;
    *at++ = 0;
    at = put_u16(at, p->offset | p->more);
    return put_u32(at, p->number >> 2);
}

/* The frame as captured, in a block of exactly its size, so that a read beyond it shows. */
static uint8_t *frame(const struct fuzz *f, const struct model_piece *p, struct packet *packet) {
    uint8_t head[HEADERS] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}, *at = head + 12;
    if (p->number & 2)
        at = put_u16(put_u16(at, 0x8100), 20);
    at = put_u16(at, is_ipv6(p->number) ? 0x86dd : 0x0800);
    at = is_ipv6(p->number) ? put_ipv6(at, p, f->round) : put_ipv4(at, p, f->round);
    uint32_t headers = (uint32_t)(at - head);
    uint8_t *octets = malloc(headers + p->captured);
    if (octets == NULL)
        return NULL;
    memcpy(octets, head, headers);
    for (uint32_t i = 0; i < p->captured; i++)
        octets[headers + i] = model_octet(p->number, p->variant, p->offset + i);
    *packet = (struct packet){.ts_ns = f->now_ns,
                              .data = octets,
                              .captured = headers + p->captured,
                              .length = headers + p->length,
                              .link = 1};
    return octets;
}

/* A whole datagram of so many octets, the first `front` of which were captured. */
static void check_whole(unsigned number, uint32_t length, uint32_t front, enum decode_verdict v,
                        const struct segment *s) {
    if (length < MODEL_TCP_HEADER || front < MODEL_TCP_HEADER) {
        assert(v == DECODE_MALFORMED || v == DECODE_TRUNCATED);
        return;
    }
    assert(v == DECODE_TCP);
    assert(s->family == (is_ipv6(number) ? 6 : 4));
    assert(s->src_port == (0x8000u | number) && s->dst_port == (0x4000u | number));
    assert(s->seq == 0x01020304 && s->flags == SEGMENT_ACK);
    assert(s->payload == length - MODEL_TCP_HEADER);
}

static void send(struct fuzz *f, const struct model_piece *p) {
    struct packet packet;
    struct segment s;
    struct model_datagram *g = &f->datagram[p->number];
    uint8_t *octets = frame(f, p, &packet);
    if (octets == NULL)
        return;
    uint64_t lost = decode_datagrams_lost(f->decoder);
    memset(&s, 0xa5, sizeof s);
    enum decode_verdict v = decode_packet(f->decoder, &packet, &s);
    free(octets);
    f->packets++;
    uint64_t newly = decode_datagrams_lost(f->decoder) - lost;
    assert(newly <= 4); /* history and the ring's oldest, for it and for what is nested in it */
    if (p->offset == 0 && !p->more) { /* no fragment at all */
        if (!model_is_nested(p->number))
            check_whole(p->number, p->length, p->captured, v, &s);
        return;
    }
    enum model_answer answer = model_take(g, p, f->now_ns);
    if (answer == MODEL_WAITS)
        assert(v == DECODE_FRAGMENT);
    else if (answer == MODEL_MALFORMED)
        assert(v == DECODE_MALFORMED);
    else if (!model_is_nested(p->number))
        check_whole(p->number, model_length(g), model_front(g), v, &s);
}

/* Eight octets of the input: the first fragment of the train, and how many follow. */
static unsigned read_train(struct fuzz *f, const uint8_t *at, struct model_piece *p) {
    static const uint32_t step_ms[8] = {0, 0, 1, 49, 51, 1000, 29000, 31000};
    enum { MORE = 0x08, VARIANT = 0x10, LONG = 0x20, SHORT_CUT = 0x40 };
    f->now_ns += step_ms[at[1] & 7] * BASE_NS_PER_MS;
    uint32_t length = (uint32_t)at[4] << 8 | at[5];
    *p = (struct model_piece){.number = at[0] % DATAGRAMS,
                              .variant = (at[1] & VARIANT) != 0,
                              .more = (at[1] & MORE) != 0,
                              .offset = (((uint32_t)at[2] << 8 | at[3]) & 0x1fff) * 8,
                              .length = at[1] & LONG ? length : (length & 0x7f) * 8};
    if (p->length > LENGTH_MAX)
        p->length = LENGTH_MAX;
    p->captured = p->length < SHOWN ? p->length : SHOWN;
    if ((at[1] & SHORT_CUT) && at[6] < p->captured)
        p->captured = at[6];
    return at[7];
}

static void run_train(struct fuzz *f, struct model_piece p, unsigned follow) {
    send(f, &p);
    while (follow-- > 0 && f->packets < PACKETS && p.more && p.length % 8 == 0) {
        p.offset += p.length;
        if (p.offset > 0xfff8)
            return;
        send(f, &p);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { TRAIN = 8, HOUR_S = 3600 };
    static struct fuzz fuzz; /* reachable to the end: its tables fill over many inputs */
    if (fuzz.decoder == NULL && (fuzz.decoder = decode_new()) == NULL)
        return 0;
    fuzz.now_ns += HOUR_S * BASE_NS_PER_S;
    fuzz.round++;
    fuzz.packets = 0;
    for (unsigned i = 0; i < DATAGRAMS; i++)
        fuzz.datagram[i].state = MODEL_UNKNOWN;
    for (; size >= TRAIN && fuzz.packets < PACKETS; data += TRAIN, size -= TRAIN) {
        struct model_piece p;
        unsigned follow = read_train(&fuzz, data, &p);
        run_train(&fuzz, p, follow);
    }
    return 0;
}
