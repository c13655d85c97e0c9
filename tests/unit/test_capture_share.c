/*
 * Tests of capture: which worker gets a packet. The kernel's program says the same as the function,
 * of all that the decode room knows: of every capture in pcaps/, of tunnels in tunnels, of ICMP
 * errors and extension headers. The program runs as in the kernel, on packets that are sent and on
 * packets that are received.
 */
#include <glob.h>
#include <stdio.h>

#include "decode_tunnels.h"
#include "share_run.h"
#include "spanwatch/capture.h"

enum { WORKERS = 7, ETHERNET_HEADER = 14 };

struct shares {
    struct capture_share share;
    struct decoder *decoder;
    struct sock_filter code[CAPTURE_SHARE_MOST];
    size_t n;
};

static int set_up(void **state) {
    struct shares *s = calloc(1, sizeof *s);
    capture_share_init(&s->share, WORKERS);
    s->n = capture_share_program(&s->share, s->code);
    s->decoder = decode_new();
    *state = s;
    return s->n > 0 && s->decoder != NULL ? 0 : -1;
}

static int tear_down(void **state) {
    struct shares *s = *state;
    decode_free(s->decoder);
    free(s);
    return 0;
}

/* ---- what the kernel would do ---- */

static size_t worker_of_sent(const struct shares *s, const uint8_t *frame, uint32_t n) {
    struct share_packet p = {
        .data = frame, .n = n, .kind = PACKET_OUTGOING, .hardware = ARPHRD_ETHER};
    return share_run(s->code, s->n, &p) % WORKERS;
}

/* Received: the link header is off, and so is a VLAN's tag, the outermost. */
static size_t worker_of_received(const struct shares *s, const uint8_t *frame, uint32_t n) {
    uint32_t at = ETHERNET_HEADER;
    uint16_t type = (uint16_t)(frame[12] << 8 | frame[13]);
    if ((type == TYPE_VLAN || type == TYPE_QINQ) && n >= at + 4) {
        type = (uint16_t)(frame[16] << 8 | frame[17]);
        at += 4;
    }
    if (type <= 1500)
        type = 4; /* ETH_P_802_2 */
    struct share_packet p = {.data = frame + at,
                             .n = n - at,
                             .kind = PACKET_HOST,
                             .hardware = ARPHRD_ETHER,
                             .protocol = type};
    return share_run(s->code, s->n, &p) % WORKERS;
}

static size_t worker_of_segment(const struct shares *s, const struct segment *segment) {
    return capture_share_worker(&s->share, segment->family, segment->src, segment->dst);
}

static bool is_right(const struct shares *s, const uint8_t *frame, uint32_t n,
                     const struct segment *segment) {
    size_t worker = worker_of_segment(s, segment);
    return worker_of_sent(s, frame, n) == worker && worker_of_received(s, frame, n) == worker;
}

static void check_frame(const struct shares *s, const uint8_t *frame, uint32_t n,
                        const struct segment *segment, const char *what) {
    if (!is_right(s, frame, n, segment))
        fail_msg("%s: sent to worker %zu, received by %zu, not %zu", what,
                 worker_of_sent(s, frame, n), worker_of_received(s, frame, n),
                 worker_of_segment(s, segment));
}

/* ---- the hash ---- */

static void test_both_directions(void **state) {
    const struct shares *s = *state;
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t a[16] = {10, (uint8_t)i, (uint8_t)(i >> 8)}, b[16] = {192, (uint8_t)(i * 7), 1};
        assert_int_equal(capture_share_worker(&s->share, 4, a, b),
                         capture_share_worker(&s->share, 4, b, a));
        assert_int_equal(capture_share_worker(&s->share, 6, a, b),
                         capture_share_worker(&s->share, 6, b, a));
    }
}

/* Neighbours that talk to one server, and to each other's mirror image, are spread evenly. */
static void test_spread(void **state) {
    const struct shares *s = *state;
    enum { PAIRS = 7000 };
    for (unsigned kind = 0; kind < 4; kind++) {
        unsigned count[WORKERS] = {0};
        for (unsigned i = 0; i < PAIRS; i++) {
            uint8_t a[16] = {10, 0, (uint8_t)(i >> 8), (uint8_t)i}, b[16] = {10, 0, 0, 1};
            uint8_t family = kind < 2 ? 4 : 6, *last = &a[family == 4 ? 0 : 12];
            last[2] = (uint8_t)(i >> 8);
            last[3] = (uint8_t)i;
            if (kind % 2 == 1)
                memcpy(b, a, sizeof b), b[0] = 11;
            count[capture_share_worker(&s->share, family, a, b)]++;
        }
        for (unsigned w = 0; w < WORKERS; w++)
            assert_in_range(count[w], PAIRS / WORKERS * 3 / 4, PAIRS / WORKERS * 5 / 4);
    }
}

/* ---- the program: captures ---- */

/* Workers of fragments that wait for others. */
struct waiting {
    size_t worker[CAPTURE_BATCH], n;
};

struct checked {
    unsigned right, handed_over;
};

static bool is_fragment(const struct packet *p) {
    struct decoder *fresh = decode_new();
    struct segment segment;
    enum decode_verdict verdict = decode_packet(fresh, p, &segment);
    decode_free(fresh);
    return verdict == DECODE_FRAGMENT;
}

/* A packet belongs to its segment's worker, and so do the fragments before it. A tunnel's packet in
 * fragments does not show that: it may be another's, who hands it over. */
static void check_packet(const struct shares *s, const struct packet *p,
                         const struct segment *segment, struct waiting *waiting,
                         struct checked *checked) {
    if (!is_right(s, p->data, p->captured, segment) && is_fragment(p)) {
        checked->handed_over++;
        waiting->n = 0;
        return;
    }
    check_frame(s, p->data, p->captured, segment, "a packet of a capture");
    while (waiting->n > 0)
        assert_int_equal(waiting->worker[--waiting->n], worker_of_segment(s, segment));
    checked->right++;
}

static struct checked check_capture(const struct shares *s, const char *path) {
    struct capture *c;
    struct base_error error;
    struct packet batch[CAPTURE_BATCH];
    struct segment segment;
    struct waiting waiting = {.n = 0};
    struct checked checked = {0};
    if (capture_open_files(&c, &path, 1, &error) != 0)
        return checked; /* not a capture */
    for (size_t n; (n = capture_read(c, batch)) > 0;)
        for (size_t i = 0; i < n; i++) {
            const struct packet *p = &batch[i];
            if (p->link != LINK_ETHERNET || p->captured < ETHERNET_HEADER)
                continue;
            enum decode_verdict verdict = decode_packet(s->decoder, p, &segment);
            if (verdict == DECODE_FRAGMENT && waiting.n < CAPTURE_BATCH)
                waiting.worker[waiting.n++] = worker_of_sent(s, p->data, p->captured);
            if (verdict == DECODE_TCP || verdict == DECODE_ICMP)
                check_packet(s, p, &segment, &waiting, &checked);
        }
    capture_free(c);
    return checked;
}

/* How many captures of a pattern have packets of connections. A new decoder takes them for no
 * copies of what it has seen. */
static unsigned check_captures(struct shares *s, const char *pattern, struct checked *sum) {
    glob_t found;
    unsigned captures = 0;
    *sum = (struct checked){0};
    decode_free(s->decoder);
    s->decoder = decode_new();
    if (glob(pattern, 0, NULL, &found) != 0)
        return 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct checked one = check_capture(s, found.gl_pathv[i]);
        sum->right += one.right;
        sum->handed_over += one.handed_over;
        captures += one.right + one.handed_over > 0;
    }
    globfree(&found);
    return captures;
}

static void test_captures(void **state) {
    struct checked sum;
    assert_true(check_captures(*state, "pcaps/*.pcap", &sum) > 60);
    assert_true(sum.right > 500);
    assert_true(check_captures(*state, "pcaps/encap_*.pcap", &sum) >= 28);
    assert_true(check_captures(*state, "pcaps/encap_vxlan_fragments.pcap", &sum) == 1);
    assert_in_range(sum.right + sum.handed_over, 10, 10);
}

static void test_shared_captures(void **state) {
    struct checked sum;
    if (check_captures(*state, "../shared/corpus/encapsulation/*.pcap*", &sum) == 0)
        skip(); /* not beside this checkout */
    assert_true(sum.right > 1000);
    assert_true(sum.handed_over < sum.right / 20);
}

/* ---- the program: packets of its own ---- */

static void check_build(void **state, const struct build *b, const char *what) {
    struct shares *s = *state;
    struct segment segment;
    enum decode_verdict verdict = decode_build(s->decoder, LINK_ETHERNET, b, &segment);
    if (verdict != DECODE_TCP && verdict != DECODE_ICMP)
        fail_msg("%s: not decoded", what);
    check_frame(s, b->octet, b->n, &segment, what);
}

/* The errors of a router, whose address differs from those in the quote; in a tunnel, too. */
static void put_error(struct build *b, uint8_t family, uint8_t type) {
    uint32_t quoted = (family == 4 ? 20 : 40) + 8, icmp = 8 + quoted;
    if (family == 4)
        put_ipv4(b, PROTOCOL_ICMP, icmp);
    else
        put_ipv6(b, PROTOCOL_ICMPV6, icmp);
    b->octet[b->ip + (family == 4 ? 12 : 8)] ^= 0x55;
    put_u8(b, type);
    put_fill(b, 0, 7);
    if (family == 4)
        put_ipv4(b, PROTOCOL_TCP, 1480);
    else
        put_ipv6(b, PROTOCOL_TCP, 1440);
    put_tcp(b, SEGMENT_SYN);
    b->n = b->tcp + 8;
}

static void test_icmp_errors(void **state) {
    static const uint8_t type[] = {3, 11, 12, 1, 2, 3, 4};
    for (unsigned i = 0; i < sizeof type; i++) {
        uint8_t family = i < 3 ? 4 : 6;
        struct build b = {.n = 0};
        put_ethernet(&b, family == 4 ? TYPE_IPV4 : TYPE_IPV6);
        put_error(&b, family, type[i]);
        check_build(state, &b, "an ICMP error");
        b.n = 0;
        put_ethernet(&b, TYPE_IPV4);
        put_ipv4(&b, GRE, 4 + (family == 4 ? 20 + 36 : 40 + 56));
        put_u16(&b, 0);
        put_u16(&b, family == 4 ? TYPE_IPV4 : TYPE_IPV6);
        put_error(&b, family, type[i]);
        check_build(state, &b, "an ICMP error in GRE");
    }
}

static void check_extension(void **state, uint8_t kind, const uint8_t *extension, uint32_t n,
                            const char *what) {
    struct build b = {.n = 0};
    put_ethernet(&b, TYPE_IPV6);
    put_ipv6(&b, kind, n + 20);
    put(&b, extension, n);
    put_tcp(&b, SEGMENT_ACK);
    check_build(state, &b, what);
}

/* An IPv6 header may be followed by some that carry addresses which count instead. */
static void test_extension_headers(void **state) {
    static const uint8_t options[8] = {6, 0, 1, 4};
    static const uint8_t atomic[8] = {6, 0, 0, 0, 1, 2, 3, 4};
    static const uint8_t signature[16] = {6, 2};
    static const uint8_t source[40] = {6, 4, 0, 2, [8] = 9, [39] = 77};
    static const uint8_t home_route[24] = {6, 2, 2, 1, [23] = 78};
    static const uint8_t segments[40] = {6, 4, 4, 1, 1, [23] = 79, [39] = 80};
    static const uint8_t passed[24] = {6, 2, 2, 0, [23] = 81};
    static const uint8_t home[24] = {6, 2, 1, 2, 0, 0, 0xc9, 16, [23] = 82};
    static const uint8_t home_first[24] = {6, 2, 0xc9, 16, [19] = 83, 1, 2};
    static const uint8_t chain[24] = {60, 0, 1, 4, 0, 0, 0, 0, 44, 0, 1, 4, [16] = 6};
    static const uint8_t simple[] = {0, 60, 135, 139, 140};
    for (unsigned i = 0; i < sizeof simple; i++)
        check_extension(state, simple[i], options, sizeof options, "options");
    check_extension(state, 44, atomic, sizeof atomic, "a fragment that is whole");
    check_extension(state, 51, signature, sizeof signature, "AH");
    check_extension(state, 43, source, sizeof source, "a source route");
    check_extension(state, 43, home_route, sizeof home_route, "a route home");
    check_extension(state, 43, segments, sizeof segments, "a segment route");
    check_extension(state, 43, passed, sizeof passed, "a route that has been gone");
    check_extension(state, 60, home, sizeof home, "a home address, aligned");
    check_extension(state, 60, home_first, sizeof home_first, "a home address");
    check_extension(state, 0, chain, sizeof chain, "a chain");
}

/* Every octet of a packet may be missing or wrong: there is an answer, and no endless run. */
static void test_any_octets(void **state) {
    const struct shares *s = *state;
    uint32_t random = 1;
    for (unsigned round = 0; round < 20000; round++) {
        struct build b = {.n = 0};
        put_ethernet(&b, round % 2 == 0 ? TYPE_IPV4 : TYPE_VLAN);
        put_ipv4(&b, round % 3 == 0 ? GRE : UDP, 60);
        put_fill(&b, 8, 60);
        for (unsigned i = 0; i < 6; i++) {
            random = random * 1664525 + 1013904223;
            b.octet[12 + (random >> 16) % (b.n - 12)] = (uint8_t)(random >> 8);
        }
        uint32_t n = ETHERNET_HEADER + (random >> 8) % (b.n - ETHERNET_HEADER);
        assert_in_range(worker_of_sent(s, b.octet, n), 0, WORKERS - 1);
        assert_in_range(worker_of_received(s, b.octet, n), 0, WORKERS - 1);
    }
}

/* Nothing jumps beyond the end, and no cell is read before it was written: the kernel refuses that.
 */
static void test_program_is_sound(void **state) {
    const struct shares *s = *state;
    static uint16_t written[CAPTURE_SHARE_MOST + 1];
    memset(written, 0xff, sizeof written);
    written[0] = 0;
    for (size_t at = 0; at < s->n; at++) {
        const struct sock_filter *i = &s->code[at];
        uint16_t cells = written[at], class = BPF_CLASS(i->code);
        size_t next[2] = {at + 1, at + 1};
        if (class == BPF_ST)
            cells |= (uint16_t)(1u << i->k);
        if ((class == BPF_LD || class == BPF_LDX) && BPF_MODE(i->code) == BPF_MEM)
            assert_true(cells & 1u << i->k);
        if (class == BPF_RET)
            continue;
        if (i->code == (BPF_JMP | BPF_JA))
            next[0] = next[1] = at + 1 + i->k;
        else if (class == BPF_JMP)
            next[0] += i->jt, next[1] += i->jf;
        for (unsigned n = 0; n < 2; n++) {
            assert_true(next[n] < s->n);
            written[next[n]] &= cells;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_directions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_spread, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_program_is_sound, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_captures, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shared_captures, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_icmp_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_extension_headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_any_octets, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
