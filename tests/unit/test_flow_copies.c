/*
 * Copies of a packet: told from retransmissions by what a copy keeps, and by time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flow_segments.h"
#include "probe/flow/tracker.h"

#define MS BASE_NS_PER_MS

static const struct segment first = {.ts_ns = 1000 * MS,
                                     .family = 4,
                                     .src = {10, 0, 0, 1},
                                     .dst = {10, 0, 0, 2},
                                     .src_port = 40000,
                                     .dst_port = 443,
                                     .seq = 1000,
                                     .ack = 5000,
                                     .payload = 100,
                                     .window = 500,
                                     .ip_id = 77,
                                     .checksum = 4242,
                                     .flags = SEGMENT_ACK,
                                     .ttl = 64,
                                     .hops = 64};

static const struct flow_key key = {
    .v4 = {0x0100000a, 0x0200000a}, .port = {40000, 443}, .family = 4};

/* Is `second` taken for a copy of `one`? */
static bool copy_of(struct segment one, struct segment second) {
    static const uint64_t seed[2] = {1, 2};
    struct copies *c = copies_new();
    struct flow_key k[2];
    assert_non_null(c);
    flow_key_make(seed, &one, &k[0]);
    flow_key_make(seed, &second, &k[1]);
    assert_false(copies_is_copy(c, &one, copies_signature(&one, &k[0])));
    bool copy = copies_is_copy(c, &second, copies_signature(&second, &k[1]));
    copies_free(c);
    return copy;
}

static struct segment later(uint64_t ns) {
    struct segment s = first;
    s.ts_ns += ns;
    return s;
}

static void the_same_octets_soon_after(void **state) {
    (void)state;
    assert_true(copy_of(first, later(0)));
    assert_true(copy_of(first, later(1000)));
    assert_true(copy_of(first, later(50 * MS)));
}

/* A router lowers the TTL, and nothing else. */
static void behind_a_router(void **state) {
    (void)state;
    struct segment s = later(MS);
    s.ttl = s.hops = 63;
    assert_true(copy_of(first, s));
}

static void too_late_for_a_copy(void **state) {
    (void)state;
    assert_false(copy_of(first, later(51 * MS)));
    assert_false(copy_of(first, later(200 * MS))); /* Linux's least RTO */
}

/* What any retransmission, or any other segment, changes. */
static void another_segment(void **state) {
    (void)state;
    struct segment s = later(MS);
#define DIFFERS(field, value)                                                                      \
    s = later(MS);                                                                                 \
    s.field = value;                                                                               \
    assert_false(copy_of(first, s))
    DIFFERS(ip_id, 78);
    DIFFERS(checksum, 4243);
    DIFFERS(seq, 1001);
    DIFFERS(ack, 5001);
    DIFFERS(payload, 99);
    DIFFERS(window, 501);
    DIFFERS(flags, SEGMENT_ACK | SEGMENT_FIN);
#undef DIFFERS
    s = later(MS);
    s.src_port = first.dst_port;
    s.dst_port = first.src_port;
    memcpy(s.src, first.dst, sizeof s.src);
    memcpy(s.dst, first.src, sizeof s.dst);
    assert_false(copy_of(first, s)); /* the other direction */
}

static void of_another_connection(void **state) {
    (void)state;
    struct flow_key other = key;
    other.v4[0]++;
    struct copies *c = copies_new();
    struct segment s = later(1);
    assert_non_null(c);
    assert_false(copies_is_copy(c, &first, copies_signature(&first, &key)));
    assert_false(copies_is_copy(c, &s, copies_signature(&s, &other)));
    other = key;
    other.scope = s.scope = 1; /* another VLAN */
    assert_false(copies_is_copy(c, &s, copies_signature(&s, &other)));
    copies_free(c);
}

/* Without identification and timestamps a fast retransmission looks the same: only what follows at
 * once is a copy. */
static void nothing_to_tell_them_apart(void **state) {
    (void)state;
    struct segment one = first, s = later(3 * MS);
    one.ip_id = s.ip_id = 0;
    assert_true(copy_of(one, s));
    s.ts_ns += MS;
    assert_false(copy_of(one, s));
    one.options = s.options = SEGMENT_OPT_TIMESTAMP;
    assert_true(copy_of(one, s));
}

/* ... unless a router has lowered the TTL in between, which nothing that is sent again shows. */
static void nothing_but_the_hop_limit(void **state) {
    (void)state;
    struct segment one = first, s = later(50 * MS);
    one.ip_id = s.ip_id = 0;
    s.hops--;
    assert_true(copy_of(one, s));
    s.ts_ns += MS;
    assert_false(copy_of(one, s));
}

/* A copy has the timestamps of the first, and a segment sent again has not. The checksum tells it
 * too, but for one that the sender's kernel left to a card. */
static void by_the_timestamps(void **state) {
    (void)state;
    struct segment one = first, s = later(MS);
    one.ip_id = s.ip_id = 0;
    one.options = s.options = SEGMENT_OPT_TIMESTAMP;
    one.tsval = s.tsval = 100000;
    one.tsecr = s.tsecr = 200000;
    assert_true(copy_of(one, s));
    s.tsval++;
    assert_false(copy_of(one, s));
    s.tsval--;
    s.tsecr++;
    assert_false(copy_of(one, s));
    one.options = s.options = 0; /* they are whatever was there */
    assert_true(copy_of(one, s));
}

/* How many copies are missed, of segments so far apart. */
static unsigned copies_missed(unsigned segments, uint64_t apart_ns, uint64_t delay_ns) {
    struct copies *c = copies_new();
    assert_non_null(c);
    unsigned copies = 0, noted = 0;
    for (uint32_t i = 0; i < segments; i++) {
        struct segment s = later(i * apart_ns);
        s.seq += i;
        for (; later(noted * apart_ns + delay_ns).ts_ns < s.ts_ns; noted++) {
            struct segment copy = later(noted * apart_ns + delay_ns);
            copy.seq += noted;
            copies += copies_is_copy(c, &copy, copies_signature(&copy, &key));
        }
        assert_false(copies_is_copy(c, &s, copies_signature(&s, &key)));
    }
    copies_free(c);
    return noted - copies;
}

/* Packets in between do not hide a copy, as long as their number is small to the table's room. */
static void many_in_between(void **state) {
    (void)state;
    assert_int_equal(copies_missed(10000, 20000, 20 * MS), 0);       /* 50,000 a second */
    assert_int_equal(copies_missed(100000, 4000, 20 * MS), 0);       /* 250,000 */
    assert_in_range(copies_missed(1000000, 1000, 20 * MS), 0, 1960); /* a million: one in 500 */
}

/* The time that counts is the first one's: copies do not follow one another for ever. */
static void a_row_of_copies(void **state) {
    (void)state;
    struct copies *c = copies_new();
    assert_non_null(c);
    unsigned copies = 0;
    for (uint64_t i = 0; i < 10; i++) {
        struct segment s = later(i * 20 * MS);
        copies += copies_is_copy(c, &s, copies_signature(&s, &key));
    }
    assert_int_equal(copies, 6); /* at 0, 60, 120 and 180 ms it is new */
    copies_free(c);
}

/* Each segment of a connection as it comes and, a while later, its copy. */
static uint64_t copies_counted(struct segment *s, size_t n, size_t copies_behind) {
    struct segments_seen seen = {0};
    const struct flow_config config = {0};
    struct flow_tracker *t = flow_new(&config, segments_sink, &seen);
    const uint8_t verdict = DECODE_TCP;
    uint64_t now_ns = SEGMENTS_EPOCH_NS;
    assert_non_null(t);
    for (size_t i = 0; i < n + copies_behind; i++, now_ns += MS) {
        if (i < n) {
            s[i].ip_id = (uint16_t)(i + 1);
            s[i].ts_ns = now_ns;
            flow_batch(t, &s[i], &verdict, 1);
        }
        if (i >= copies_behind) {
            struct segment copy = s[i - copies_behind];
            copy.ts_ns = now_ns + MS / 2;
            copy.hops--;
            flow_batch(t, &copy, &verdict, 1);
        }
    }
    uint64_t duplicates = flow_counters(t)->duplicates;
    assert_int_equal(flow_counters(t)->tcp, 2 * n);
    flow_free(t);
    return duplicates;
}

static struct segment client(uint32_t seq, uint32_t ack, uint8_t flags, uint32_t payload) {
    struct segment s = segments_make(1, 40000, 2, 443, flags, seq, ack);
    s.payload = payload;
    s.ttl = s.hops = 64;
    return s;
}

static struct segment server(uint32_t seq, uint32_t ack, uint8_t flags, uint32_t payload) {
    struct segment s = segments_make(2, 443, 1, 40000, flags, seq, ack);
    s.payload = payload;
    s.ttl = s.hops = 64;
    return s;
}

/* An acknowledgement of octets that the tap has not seen is not believed at once, but by what
 * follows; its copy is no news then, nor is it any that came in between. */
static void of_an_acknowledgement_ahead(void **state) {
    (void)state;
    struct segment s[] = {
        client(1000, 0, SEGMENT_SYN, 0),
        server(5000, 1001, SEGMENT_SYN | SEGMENT_ACK, 0),
        client(1001, 5001, SEGMENT_ACK, 0),
        client(1001, 5001, SEGMENT_ACK, 100),
        server(5001, 1101, SEGMENT_ACK, 0),
        server(5001, 1101, SEGMENT_ACK, 500),
        client(1101, 5501, SEGMENT_ACK, 0),
        client(1101, 6001, SEGMENT_ACK, 0), /* 5501 to 6001 is missing */
        server(6001, 1101, SEGMENT_ACK, 500),
        client(1101, 6501, SEGMENT_ACK, 0),
    };
    enum { SEGMENTS = sizeof s / sizeof s[0] };
    for (size_t behind = 0; behind < 5; behind++)
        assert_int_equal(copies_counted(s, SEGMENTS, behind), SEGMENTS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_octets_soon_after),
        cmocka_unit_test(behind_a_router),
        cmocka_unit_test(too_late_for_a_copy),
        cmocka_unit_test(another_segment),
        cmocka_unit_test(of_another_connection),
        cmocka_unit_test(nothing_to_tell_them_apart),
        cmocka_unit_test(nothing_but_the_hop_limit),
        cmocka_unit_test(by_the_timestamps),
        cmocka_unit_test(many_in_between),
        cmocka_unit_test(a_row_of_copies),
        cmocka_unit_test(of_an_acknowledgement_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
