/*
 * The state machine through the real tracker, between opening and closing: what is repeated,
 * probed, lost, seen in one direction only, out of order, or stamped with the wrong time. The
 * notation is told in notation.h.
 */
#include "tests/unit/notation.h"
#include "tests/unit/situations.h"

static void keepalive_answered(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"600 c>s A 1000 5001", "ESTABLISHED/ESTABLISHED"},
                  {"600.01 s>c A 5001 1001", "ESTABLISHED/ESTABLISHED"},
                  {"1200 c>s A 1000 5001", "ESTABLISHED/ESTABLISHED"},
                  {"1200.01 s>c A 5001 1001", "ESTABLISHED/ESTABLISHED"},
                  {"1800 c>s A 1000 5001", "ESTABLISHED/ESTABLISHED"},
                  {"1800.01 s>c A 5001 1001", "ESTABLISHED/ESTABLISHED"},
                  {"3000 tick", "ESTABLISHED/ESTABLISHED"});
}

/* Three probes without an answer, then silence for their interval (75 s) and its slack (a
 * thirty-second, 200 ms). */
static void keepalive_dies(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"600 c>s A 1000 5001", "ESTABLISHED/ESTABLISHED"},
                  {"675 c>s A 1000 5001", "ESTABLISHED/ESTABLISHED"},
                  {"750 c>s A 1000 5001", "ESTABLISHED/ESTABLISHED"},
                  {"900 tick", "@827.54375 CLOSED/ESTABLISHED timeout:keepalive inferred=timer"},
                  {"901 s>c A 5001 1001 +10", "CLOSED/ESTABLISHED"},
                  {"901.01 c>s R 1001", "CLOSED/CLOSED rst, end:rst"});
}

static void keepalive_dies_with_a_reset(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"600 c>s A 1000 5001", "ESTABLISHED/ESTABLISHED"},
                  {"675 c>s A 1000 5001", "ESTABLISHED/ESTABLISHED"},
                  {"750 c>s A 1000 5001", "ESTABLISHED/ESTABLISHED"},
                  {"825 c>s RA 1001 5001", "CLOSED/ESTABLISHED rst"});
}

static void zero_window_is_patient(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 s>c A 5001 1001 w0", "ESTABLISHED/ESTABLISHED"},
                  {"1.2 c>s A 1000 5001", "ESTABLISHED/ESTABLISHED"},
                  {"1.21 s>c A 5001 1001 w0", "ESTABLISHED/ESTABLISHED"},
                  {"1.6 c>s A 1000 5001", "ESTABLISHED/ESTABLISHED"},
                  {"1.61 s>c A 5001 1001 w0", "ESTABLISHED/ESTABLISHED"},
                  {"2.4 c>s A 1000 5001", "ESTABLISHED/ESTABLISHED"},
                  {"2.41 s>c A 5001 1001 w0", "ESTABLISHED/ESTABLISHED"},
                  {"4 c>s A 1000 5001", "ESTABLISHED/ESTABLISHED"},
                  {"4.01 s>c A 5001 1001", "ESTABLISHED/ESTABLISHED"},
                  {"4.02 c>s A 1001 5001 +100", "ESTABLISHED/ESTABLISHED"},
                  {"3000 tick", "ESTABLISHED/ESTABLISHED"});
}

/* Repeated after 0.4 and 0.8 s; the next is due after 1.6 s and its slack. */
static void data_given_up(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s A 1001 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"1.2 c>s A 1001 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"1.6 c>s A 1001 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"2.4 c>s A 1001 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"9 tick", "@4.25 CLOSED/ESTABLISHED timeout:retransmit inferred=timer"});
}

/* A window's worth sent again at once is one try, not three. */
static void a_round_of_repetitions(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s A 1001 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"1.001 c>s A 1011 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"1.002 c>s A 1021 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"1.003 c>s A 1031 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"1.3 c>s A 1001 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"1.301 c>s A 1011 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"1.302 c>s A 1021 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"1.303 c>s A 1031 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"3000 tick", "ESTABLISHED/ESTABLISHED"});
}

static void data_repeated_then_acknowledged(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s A 1001 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"1.2 c>s A 1001 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"1.6 c>s A 1001 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"2.4 c>s A 1001 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"2.41 s>c A 5001 1011", "ESTABLISHED/ESTABLISHED"},
                  {"3000 tick", "ESTABLISHED/ESTABLISHED"});
}

/* A FIN to one that has left two repetitions unanswered is not assumed to arrive. */
static void fin_to_one_that_is_out_of_reach(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s A 1001 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"1.3 c>s A 1001 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"1.9 c>s A 1001 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"2 c>s FA 1011 5001", "FIN_WAIT_1/ESTABLISHED fin"},
                  {"2.5 s>c A 5001 1012", "FIN_WAIT_2/CLOSE_WAIT ack"});
}

static void acknowledgement_of_what_was_never_sent(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 s>c A 5001 9001", "ESTABLISHED/ESTABLISHED"},
                  {"1.1 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT fin"},
                  {"1.11 s>c A 5001 1002", "FIN_WAIT_2/CLOSE_WAIT ack"});
}

/* Without window scaling a segment far beyond the window is not taken; a second one that agrees is.
 */
static void beyond_the_window(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 s>c A 5001 1001 w1000", "ESTABLISHED/ESTABLISHED"},
                  {"1.1 c>s FA 50000 5001", "ESTABLISHED/ESTABLISHED"},
                  {"1.2 c>s A 50000 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"1.3 c>s FA 50010 5001", "FIN_WAIT_1/ESTABLISHED fin"});
}

static void scaled_window(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000 sc7", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c SA 5000 1001 sc7", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"0.02 c>s A 1001 5001", "ESTABLISHED/ESTABLISHED ack"},
                  {"1 s>c A 5001 1001 w1000", "ESTABLISHED/ESTABLISHED"},
                  {"1.1 c>s FA 50000 5001", "FIN_WAIT_1/ESTABLISHED fin"});
}

/* RFC 7323 section 2.2: scaled only when both SYNs say so. */
static void scaling_offered_by_one_end(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c SA 5000 1001 sc7", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"0.02 c>s A 1001 5001", "ESTABLISHED/ESTABLISHED ack"},
                  {"1 s>c A 5001 1001 w1000", "ESTABLISHED/ESTABLISHED"},
                  {"1.1 c>s FA 50000 5001", "ESTABLISHED/ESTABLISHED"});
}

/* Mid-stream the scale is not known: the widest window that could be meant counts. */
static void scaling_unknown(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s A 1000 5000 +100", "ESTABLISHED/ESTABLISHED data inferred=midstream"},
                  {"0.01 s>c A 5000 1100 w10", "ESTABLISHED/ESTABLISHED"},
                  {"0.02 c>s FA 100000 5000", "FIN_WAIT_1/ESTABLISHED fin"});
}

static void sequence_numbers_wrap(void **state) {
    (void)state;
    struct notation n;
    static const struct notation_line lines[] = {
        {"0 c>s S 4294967290", "SYN_SENT/CLOSED syn"},
        {"0.01 s>c SA 4294967295 4294967291", "ESTABLISHED/SYN_RECEIVED syn_ack"},
        {"0.02 c>s A 4294967291 0", "ESTABLISHED/ESTABLISHED ack"},
        {"0.03 c>s A 4294967291 0 +100", "ESTABLISHED/ESTABLISHED"},
        {"0.04 s>c A 0 95 +10", "ESTABLISHED/ESTABLISHED"},
        {"1 c>s FA 95 10", "FIN_WAIT_1/CLOSE_WAIT fin"},
        {"1.01 s>c FA 10 96", "FIN_WAIT_2/CLOSE_WAIT ack, TIME_WAIT/LAST_ACK fin"},
        {"1.02 c>s A 96 11", "TIME_WAIT/CLOSED ack"},
        {"end", "@61.01 CLOSED/CLOSED timeout:time_wait inferred=timer, end:fin"}};
    notation_start(&n, NULL);
    notation_lines(&n, lines, sizeof lines / sizeof *lines);
    assert_int_equal(n.record.side[EVENT_CLIENT].bytes, 100);
    assert_int_equal(n.record.side[EVENT_SERVER].bytes, 10);
    assert_int_equal(n.record.missed_bytes, 0);
    notation_stop(&n);
}

/* The close, with each pair of packets changed over: the states come to the same. */
static void close_in_the_wrong_order(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s FA 1101 5001", "FIN_WAIT_1/ESTABLISHED fin"},
                  {"1.0001 c>s A 1001 5001 +100", "FIN_WAIT_1/CLOSE_WAIT data"},
                  {"1.1 s>c FA 5001 1102", "FIN_WAIT_2/CLOSE_WAIT ack, TIME_WAIT/LAST_ACK fin"},
                  {"1.1001 s>c A 5001 1102", "TIME_WAIT/LAST_ACK"},
                  {"1.11 c>s A 1102 5002", "TIME_WAIT/CLOSED ack"});
}

/* A mirror port that delivers each packet twice changes nothing. */
static void copies(void **state) {
    (void)state;
    struct notation n;
    static const struct notation_line lines[] = {
        {"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
        {"0.0001 copy", "SYN_SENT/CLOSED"},
        {"0.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"},
        {"0.0101 copy", "ESTABLISHED/SYN_RECEIVED"},
        {"0.02 c>s A 1001 5001", "ESTABLISHED/ESTABLISHED ack"},
        {"0.0201 copy", "ESTABLISHED/ESTABLISHED"},
        {"1 c>s FA 1001 5001 +50", "FIN_WAIT_1/CLOSE_WAIT fin"},
        {"1.001 copy", "FIN_WAIT_1/CLOSE_WAIT"},
        {"1.01 s>c FA 5001 1052", "FIN_WAIT_2/CLOSE_WAIT ack, TIME_WAIT/LAST_ACK fin"},
        {"1.0101 copy", "TIME_WAIT/LAST_ACK"},
        {"1.02 c>s A 1052 5002", "TIME_WAIT/CLOSED ack"},
        {"1.0201 copy", "TIME_WAIT/CLOSED"},
        {"end", "@61.01 CLOSED/CLOSED timeout:time_wait inferred=timer, end:fin"}};
    notation_start(&n, NULL);
    notation_lines(&n, lines, sizeof lines / sizeof *lines);
    assert_int_equal(flow_counters(n.tracker)->duplicates, 6);
    assert_int_equal(n.record.side[EVENT_CLIENT].packets, 4);
    assert_int_equal(n.record.side[EVENT_SERVER].packets, 2);
    assert_int_equal(n.record.side[EVENT_CLIENT].retransmits, 0);
    notation_stop(&n);
}

static void only_the_client_is_seen(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.02 c>s A 1001 5001", "ESTABLISHED/ESTABLISHED ack inferred=one_sided"},
                  {"0.03 c>s A 1001 5001 +100", "ESTABLISHED/ESTABLISHED"},
                  {"0.05 c>s A 1101 6001", "ESTABLISHED/ESTABLISHED"},
                  {"1 c>s FA 1101 6001", "FIN_WAIT_1/CLOSE_WAIT fin"});
}

static void only_the_server_is_seen(void **state) {
    (void)state;
    NOTATION_CASE({"0 s>c SA 5000 1001", "CLOSED/SYN_RECEIVED syn_ack"},
                  {"0.1 s>c A 5001 1101 +500", "ESTABLISHED/ESTABLISHED data inferred=one_sided"},
                  {"1 s>c FA 5501 1101", "CLOSE_WAIT/FIN_WAIT_1 fin"});
}

static void midstream(void **state) {
    (void)state;
    NOTATION_CASE({"0 s>c A 5000 1000 +100", "ESTABLISHED/ESTABLISHED data inferred=midstream"},
                  {"0.01 c>s A 1000 5100", "ESTABLISHED/ESTABLISHED"},
                  {"1 c>s FA 1000 5100", "FIN_WAIT_1/CLOSE_WAIT fin"});
}

/* A bare ACK of an unknown connection may be anything: it waits for a second witness. */
static void bare_ack_alone(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s A 1000 5000", "CLOSED/CLOSED"}, {"0.1 s>c R 5000", "CLOSED/CLOSED"},
                  {"100 tick", "CLOSED/CLOSED"}, {"end", "CLOSED/CLOSED"});
}

static void bare_ack_confirmed(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s A 1000 5000", "CLOSED/CLOSED"},
                  {"1 s>c A 5000 1000", "ESTABLISHED/ESTABLISHED ack inferred=midstream"});
}

/* The second witness comes in time at 59 s, and too late at 61 s. */
static void bare_ack_forgotten(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s A 1000 5000", "CLOSED/CLOSED"},
                  {"59 s>c A 5000 1000", "ESTABLISHED/ESTABLISHED ack inferred=midstream"});
    NOTATION_CASE({"0 c>s A 1000 5000", "CLOSED/CLOSED"}, {"61 s>c A 5000 1000", "CLOSED/CLOSED"},
                  {"62 c>s A 1000 5000", "ESTABLISHED/ESTABLISHED ack inferred=midstream"});
}

/* Once three holes have told that the tap misses packets: a FIN is taken in spite of a hole before
 * it, and the absence of its repetition after the first RTO (1 s and slack) tells that its ACK was
 * missed. */
static void a_tap_that_loses_packets(void **state) {
    (void)state;
    NOTATION_CASE({"0 d>s S 1", "d:SYN_SENT/CLOSED syn"},
                  {"0.01 s>d SA 9 2", "d:ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"0.02 d>s A 2 10", "d:ESTABLISHED/ESTABLISHED ack"},
                  {"0.1 d>s A 102 10 +10", "CLOSED/CLOSED"}, {"0.11 s>d A 10 112", "CLOSED/CLOSED"},
                  {"0.2 d>s A 212 10 +10", "CLOSED/CLOSED"}, {"0.21 s>d A 10 222", "CLOSED/CLOSED"},
                  {"0.3 d>s A 322 10 +10", "CLOSED/CLOSED"}, {"0.31 s>d A 10 332", "CLOSED/CLOSED"},
                  {"1 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"1.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"1.02 c>s A 1001 5001", "ESTABLISHED/ESTABLISHED ack"},
                  {"2 c>s FA 1101 5001", "FIN_WAIT_1/CLOSE_WAIT fin"},
                  {"4 tick", "@3.23125 FIN_WAIT_2/CLOSE_WAIT ack inferred=gap"});
}

/* Design 1.3: a packet stamped earlier than one before it takes that one's time. */
static void time_goes_back(void **state) {
    (void)state;
    struct notation n;
    static const struct notation_line lines[] = {
        {"5 c>s S 1000", "SYN_SENT/CLOSED syn"},
        {"4 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"}, /* at 5 s */
        {"5.1 c>s A 1001 5001", "ESTABLISHED/ESTABLISHED ack"}};
    notation_start(&n, NULL);
    notation_lines(&n, lines, sizeof lines / sizeof *lines);
    assert_int_equal(flow_counters(n.tracker)->reordered, 1);
    assert_int_equal(flow_counters(n.tracker)->time_jumps, 0);
    notation_stop(&n);
}

/* A jump ahead of more than an hour is believed at the third packet in a row that agrees; the two
 * before it take the time that was, and what they began runs from the time that they were stamped
 * with. */
static void time_leaps(void **state) {
    (void)state;
    struct notation n;
    static const struct notation_line lines[] = {{"0 c>s S 1000", "SYN_SENT/CLOSED syn"}};
    static const struct notation_line leap[] = {
        {"90000 d>s S 1", "@0 d:SYN_SENT/CLOSED syn"},
        {"90001 s>d SA 9 2", "@0 d:ESTABLISHED/SYN_RECEIVED syn_ack"},
        {"90002 d>s A 2 10", "@131 CLOSED/CLOSED timeout:syn_sent inferred=timer, @131 "
                             "end:timeout, d:ESTABLISHED/ESTABLISHED ack"},
        {"90003 d>s FA 2 10", "d:FIN_WAIT_1/CLOSE_WAIT fin"}};
    notation_start(&n, NULL);
    notation_lines(&n, lines, 1);
    notation_lines(&n, leap, 4);
    assert_int_equal(flow_counters(n.tracker)->time_jumps, 2);
    notation_stop(&n);
}

static void one_wild_timestamp(void **state) {
    (void)state;
    struct notation n;
    static const struct notation_line lines[] = {
        {"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
        {"90000 s>c SA 5000 1001", "@0 ESTABLISHED/SYN_RECEIVED syn_ack"},
        {"0.02 c>s A 1001 5001", "ESTABLISHED/ESTABLISHED ack"},
        {"80000 c>s A 1001 5001 +10", "ESTABLISHED/ESTABLISHED"},
        {"0.03 s>c A 5001 1011", "ESTABLISHED/ESTABLISHED"},
        {"70000 s>c A 5001 1011 +10", "ESTABLISHED/ESTABLISHED"},
        {"0.04 c>s FA 1011 5011", "FIN_WAIT_1/CLOSE_WAIT fin"}};
    notation_start(&n, NULL);
    notation_lines(&n, lines, sizeof lines / sizeof *lines);
    assert_int_equal(flow_counters(n.tracker)->time_jumps, 3);
    notation_stop(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keepalive_answered),
        cmocka_unit_test(keepalive_dies),
        cmocka_unit_test(keepalive_dies_with_a_reset),
        cmocka_unit_test(zero_window_is_patient),
        cmocka_unit_test(data_given_up),
        cmocka_unit_test(a_round_of_repetitions),
        cmocka_unit_test(data_repeated_then_acknowledged),
        cmocka_unit_test(fin_to_one_that_is_out_of_reach),
        cmocka_unit_test(acknowledgement_of_what_was_never_sent),
        cmocka_unit_test(beyond_the_window),
        cmocka_unit_test(scaled_window),
        cmocka_unit_test(scaling_offered_by_one_end),
        cmocka_unit_test(scaling_unknown),
        cmocka_unit_test(sequence_numbers_wrap),
        cmocka_unit_test(close_in_the_wrong_order),
        cmocka_unit_test(copies),
        cmocka_unit_test(only_the_client_is_seen),
        cmocka_unit_test(only_the_server_is_seen),
        cmocka_unit_test(midstream),
        cmocka_unit_test(bare_ack_alone),
        cmocka_unit_test(bare_ack_confirmed),
        cmocka_unit_test(bare_ack_forgotten),
        cmocka_unit_test(a_tap_that_loses_packets),
        cmocka_unit_test(time_goes_back),
        cmocka_unit_test(time_leaps),
        cmocka_unit_test(one_wild_timestamp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
