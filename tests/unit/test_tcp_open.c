/*
 * The state machine through the real tracker, opening: handshakes in every order, refused, retried,
 * given up. The notation is told in notation.h. Closing is in test_tcp_close.c, what goes wrong
 * between in test_tcp_faults.c.
 */
#include "tests/unit/notation.h"
#include "tests/unit/situations.h"

static void handshake_and_close_by_the_client(void **state) {
    (void)state;
    NOTATION_CASE(
        HANDSHAKE, {"0.5 c>s A 1001 5001 +100", "ESTABLISHED/ESTABLISHED"},
        {"0.51 s>c A 5001 1101 +1000", "ESTABLISHED/ESTABLISHED"},
        {"0.52 c>s A 1101 6001", "ESTABLISHED/ESTABLISHED"},
        {"1 c>s FA 1101 6001", "FIN_WAIT_1/CLOSE_WAIT fin"},
        {"1.01 s>c A 6001 1102", "FIN_WAIT_2/CLOSE_WAIT ack"},
        {"1.5 s>c FA 6001 1102", "TIME_WAIT/LAST_ACK fin"},
        {"1.51 c>s A 1102 6002", "TIME_WAIT/CLOSED ack"}, {"61.4 tick", "TIME_WAIT/CLOSED"},
        {"62 tick", "@61.5 CLOSED/CLOSED timeout:time_wait inferred=timer, @61.5 end:fin"});
}

static void syn_ack_before_syn(void **state) {
    (void)state;
    NOTATION_CASE({"0 s>c SA 5000 1001", "CLOSED/SYN_RECEIVED syn_ack"},
                  {"0.0001 c>s S 1000", "SYN_SENT/SYN_RECEIVED syn, ESTABLISHED/SYN_RECEIVED syn"},
                  {"0.01 c>s A 1001 5001", "ESTABLISHED/ESTABLISHED ack"});
}

static void ack_before_syn_ack(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.01 c>s A 1001 5001", "ESTABLISHED/ESTABLISHED ack inferred=one_sided"},
                  {"0.0101 s>c SA 5000 1001", "ESTABLISHED/ESTABLISHED"},
                  {"0.02 s>c A 5001 1001 +10", "ESTABLISHED/ESTABLISHED"});
}

static void syn_missed(void **state) {
    (void)state;
    NOTATION_CASE({"0 s>c SA 5000 1001", "CLOSED/SYN_RECEIVED syn_ack"},
                  {"0.01 c>s A 1001 5001", "ESTABLISHED/ESTABLISHED ack"});
}

static void syn_ack_missed(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c A 5001 1001 +10", "ESTABLISHED/ESTABLISHED data inferred=gap"},
                  {"0.02 c>s A 1001 5011", "ESTABLISHED/ESTABLISHED"});
}

static void third_segment_missed(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"0.1 c>s A 1001 5001 +100", "ESTABLISHED/ESTABLISHED data"});
}

static void server_speaks_first_without_the_third_segment(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"0.1 s>c A 5001 1001 +100", "ESTABLISHED/ESTABLISHED data"});
}

static void simultaneous_open(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.001 s>c S 5000", "SYN_RECEIVED/SYN_SENT syn, SYN_RECEIVED/SYN_RECEIVED syn"},
                  {"0.02 c>s SA 1000 5001", "SYN_RECEIVED/ESTABLISHED syn_ack"},
                  {"0.021 s>c SA 5000 1001", "ESTABLISHED/ESTABLISHED syn_ack"},
                  {"0.04 c>s A 1001 5001 +10", "ESTABLISHED/ESTABLISHED"});
}

/* The server answers the SYN with a SYN of its own, and the client acts as in a simultaneous open.
 */
static void split_handshake(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c S 5000", "SYN_RECEIVED/SYN_SENT syn, SYN_RECEIVED/SYN_RECEIVED syn"},
                  {"0.02 c>s SA 1000 5001", "SYN_RECEIVED/ESTABLISHED syn_ack"},
                  {"0.03 s>c A 5001 1001", "ESTABLISHED/ESTABLISHED ack"});
}

static void fast_open(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000 +100", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c SA 5000 1101", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"0.011 s>c A 5001 1101 +50", "ESTABLISHED/SYN_RECEIVED"},
                  {"0.02 c>s A 1101 5051", "ESTABLISHED/ESTABLISHED ack"});
}

/* RFC 7413 section 4.2.2: a server that does not take the data acknowledges the SYN alone; the
 * client sends them again. */
static void fast_open_data_not_accepted(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000 +100", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"0.02 c>s A 1001 5001 +100", "ESTABLISHED/ESTABLISHED data"},
                  {"0.03 s>c A 5001 1101", "ESTABLISHED/ESTABLISHED"});
}

static void fast_open_server_closes_before_the_ack(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000 +100", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c SA 5000 1101", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"0.011 s>c FA 5001 1101 +50", "CLOSE_WAIT/FIN_WAIT_1 fin"},
                  {"0.02 c>s A 1101 5052", "CLOSE_WAIT/FIN_WAIT_2 ack"});
}

/* A server that keeps no state does not repeat its SYN-ACK: overdue at 1 s, with the slack of
 * retry.c 1.23125 s. */
static void syn_cookies(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"2 tick", "@1.24125 ESTABLISHED/CLOSED timeout:syn_received inferred=timer"},
                  {"3 c>s A 1001 5001", "ESTABLISHED/CLOSED"},
                  {"3.01 s>c A 5001 1001 +10", "ESTABLISHED/ESTABLISHED data"});
}

/* A SYN flood: the SYN-ACK goes to an address that never speaks. The client is assumed to have it,
 * for 64 s and their slack (retry.c). */
static void client_that_was_never_there(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"100 tick",
                   "@1.24125 ESTABLISHED/CLOSED timeout:syn_received inferred=timer, "
                   "@66.21 CLOSED/CLOSED timeout:idle inferred=timer, @66.21 end:timeout"});
}

static void refused(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c RA 0 1001", "CLOSED/CLOSED rst, end:refused"});
}

/* RFC 9293 section 3.10.7.3: in SYN-SENT a RST counts only when it acknowledges the SYN. */
static void rst_that_does_not_acknowledge_the_syn(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"}, {"0.01 s>c R 0", "SYN_SENT/CLOSED"},
                  {"0.02 s>c RA 0 1000", "SYN_SENT/CLOSED"},
                  {"0.03 s>c RA 0 1002", "SYN_SENT/CLOSED"},
                  {"0.04 s>c RA 0 1001", "CLOSED/CLOSED rst, end:refused"});
}

/* tcp_syn_linear_timeouts (4) of one second each, then 1 + 2 + ... + 64 s for tcp_syn_retries (6).
 */
static void syn_ignored(void **state) {
    (void)state;
    NOTATION_CASE(
        {"0 c>s S 1000", "SYN_SENT/CLOSED syn"}, {"130.99 tick", "SYN_SENT/CLOSED"},
        {"140 tick", "@131 CLOSED/CLOSED timeout:syn_sent inferred=timer, @131 end:timeout"});
}

static void syn_retried_is_one_attempt(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"}, {"1 c>s S 1000", "SYN_SENT/CLOSED"},
                  {"3 c>s S 1000", "SYN_SENT/CLOSED"},
                  {"3.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"3.02 c>s A 1001 5001", "ESTABLISHED/ESTABLISHED ack"});
}

/* Tries at 1 s and 3 s: the next is due 4 s later, and a thirty-second of it and 200 ms of slack.
 */
static void syn_retried_then_given_up(void **state) {
    (void)state;
    NOTATION_CASE(
        {"0 c>s S 1000", "SYN_SENT/CLOSED syn"}, {"1 c>s S 1000", "SYN_SENT/CLOSED"},
        {"3 c>s S 1000", "SYN_SENT/CLOSED"},
        {"20 tick", "@7.325 CLOSED/CLOSED timeout:syn_sent inferred=timer, @7.325 end:timeout"});
}

/* Two within one round (a copy that was not recognised, two paths) are no back-off: the timers stay
 * as they were. */
static void syn_twice_at_once(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"}, {"0.001 c>s S 1000", "SYN_SENT/CLOSED"},
                  {"1 tick", "SYN_SENT/CLOSED"},
                  {"1.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"});
}

static void syn_ack_twice_at_once(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"0.013 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED"},
                  {"0.9 c>s A 1001 5001", "ESTABLISHED/ESTABLISHED ack"});
}

static void another_syn_is_another_attempt(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"1 c>s S 900000", "CLOSED/CLOSED syn, end:timeout, SYN_SENT/CLOSED syn"},
                  {"1.01 s>c SA 5000 900001", "ESTABLISHED/SYN_RECEIVED syn_ack"});
}

static void syn_again_in_spite_of_the_syn_ack(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"1 c>s S 1000", "SYN_SENT/SYN_RECEIVED syn"},
                  {"1.01 s>c SA 5000 1001", "SYN_SENT/SYN_RECEIVED"},
                  {"1.02 c>s A 1001 5001", "ESTABLISHED/ESTABLISHED ack"});
}

static void syn_ack_retransmitted(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"1.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED"},
                  {"3.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED"},
                  {"3.02 c>s A 1001 5001", "ESTABLISHED/ESTABLISHED ack"});
}

/* Design 1.2: what was assumed to have arrived did not; the server speaks as one that never got the
 * ACK. */
static void syn_ack_retransmitted_after_the_ack(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1.02 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"1.03 c>s A 1001 5001", "ESTABLISHED/SYN_RECEIVED"},
                  {"1.1 s>c A 5001 1001", "ESTABLISHED/ESTABLISHED ack"});
}

/* The next SYN-ACK is overdue after twice the interval seen (1.01 s): the ACK was taken after all.
 */
static void syn_ack_not_repeated_any_more(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1.02 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"1.03 c>s A 1001 5001", "ESTABLISHED/SYN_RECEIVED"},
                  {"9 tick", "@3.303125 ESTABLISHED/ESTABLISHED ack inferred=gap"});
}

static void syn_ack_given_up(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"1.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED"},
                  {"3.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED"},
                  {"20 tick", "@7.335 ESTABLISHED/CLOSED timeout:syn_received inferred=timer"});
}

static void second_syn_ack_with_another_isn(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"0.011 s>c SA 7000 1001", "ESTABLISHED/SYN_RECEIVED"},
                  {"0.02 c>s A 1001 7001", "ESTABLISHED/ESTABLISHED ack"},
                  {"0.03 s>c FA 7001 1001", "CLOSE_WAIT/FIN_WAIT_1 fin"});
}

static void second_syn_ack_not_chosen(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"0.011 s>c SA 7000 1001", "ESTABLISHED/SYN_RECEIVED"},
                  {"0.02 c>s A 1001 5001", "ESTABLISHED/ESTABLISHED ack"},
                  {"0.03 s>c FA 5001 1001", "CLOSE_WAIT/FIN_WAIT_1 fin"});
}

/* The server has forgotten the request, takes the repeated SYN for another one, and repeats its
 * answer to that as often as it did the first. */
static void second_syn_ack_repeated(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"1.02 c>s S 1000", "SYN_SENT/SYN_RECEIVED syn"},
                  {"1.03 s>c SA 7000 1001", "SYN_SENT/SYN_RECEIVED"},
                  {"2.05 s>c SA 7000 1001", "SYN_SENT/SYN_RECEIVED"},
                  {"3.06 c>s S 1000", "SYN_SENT/SYN_RECEIVED"},
                  {"4.05 s>c SA 7000 1001", "SYN_SENT/SYN_RECEIVED"},
                  {"9 tick", "@7.4675 CLOSED/SYN_RECEIVED timeout:syn_sent inferred=timer, "
                             "@8.375 CLOSED/CLOSED timeout:syn_received inferred=timer, "
                             "@8.375 end:timeout"});
}

static void syn_ack_of_something_never_sent(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c SA 5000 9001", "SYN_SENT/CLOSED"},
                  {"0.02 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"});
}

static void icmp_unreachable(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.01 c>s ICMP 1000 3 1", "CLOSED/CLOSED icmp, end:refused"});
}

/* RFC 5927 section 4: the quoted sequence number must be outstanding. RFC 1191: a smaller segment
 * follows a 3/4. */
static void icmp_that_ends_nothing(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000", "SYN_SENT/CLOSED syn"},
                  {"0.01 c>s ICMP 999 3 1", "SYN_SENT/CLOSED"},
                  {"0.02 c>s ICMP 1000 3 4", "SYN_SENT/CLOSED"},
                  {"0.03 c>s ICMP 1000 8 0", "SYN_SENT/CLOSED"},
                  {"0.04 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"0.05 c>s A 1001 5001", "ESTABLISHED/ESTABLISHED ack"},
                  {"0.06 c>s ICMP 1000 3 1", "ESTABLISHED/ESTABLISHED"},
                  {"0.07 c>s ICMP 1001 3 1", "ESTABLISHED/ESTABLISHED"});
}

static void lone_segments_make_no_client(void **state) {
    (void)state;
    struct notation n;
    static const struct notation_line lines[] = {
        {"0 s>c R 5000", "CLOSED/CLOSED"},    {"0.1 s>c RA 5000 1001", "CLOSED/CLOSED"},
        {"0.2 c>s F 1000", "CLOSED/CLOSED"},  {"0.3 c>s - 1000", "CLOSED/CLOSED"},
        {"0.4 c>s SF 1000", "CLOSED/CLOSED"}, {"end", "CLOSED/CLOSED"}};
    notation_start(&n, NULL);
    notation_lines(&n, lines, sizeof lines / sizeof *lines);
    assert_int_equal(flow_counters(n.tracker)->stray, 5);
    assert_int_equal(flow_counters(n.tracker)->flows_total, 0);
    notation_stop(&n);
}

static void backscatter(void **state) {
    (void)state;
    NOTATION_CASE({"0 s>c SA 5000 1001", "CLOSED/SYN_RECEIVED syn_ack"},
                  {"0.01 c>s R 1001", "CLOSED/CLOSED rst, end:rst"});
}

static void checksum_of_a_forged_syn_ack(void **state) {
    (void)state;
    NOTATION_CASE({"0 c>s S 1000 good", "SYN_SENT/CLOSED syn"},
                  {"0.01 s>c SA 5000 1001 good", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"0.02 c>s A 1001 5001", "ESTABLISHED/ESTABLISHED ack"},
                  {"0.03 s>c RA 5001 1001 bad", "ESTABLISHED/ESTABLISHED"},
                  {"0.04 s>c RA 5001 1001 good", "CLOSED/CLOSED rst, end:rst"});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshake_and_close_by_the_client),
        cmocka_unit_test(syn_ack_before_syn),
        cmocka_unit_test(ack_before_syn_ack),
        cmocka_unit_test(syn_missed),
        cmocka_unit_test(syn_ack_missed),
        cmocka_unit_test(third_segment_missed),
        cmocka_unit_test(server_speaks_first_without_the_third_segment),
        cmocka_unit_test(simultaneous_open),
        cmocka_unit_test(split_handshake),
        cmocka_unit_test(fast_open),
        cmocka_unit_test(fast_open_data_not_accepted),
        cmocka_unit_test(fast_open_server_closes_before_the_ack),
        cmocka_unit_test(syn_cookies),
        cmocka_unit_test(client_that_was_never_there),
        cmocka_unit_test(refused),
        cmocka_unit_test(rst_that_does_not_acknowledge_the_syn),
        cmocka_unit_test(syn_ignored),
        cmocka_unit_test(syn_retried_is_one_attempt),
        cmocka_unit_test(syn_retried_then_given_up),
        cmocka_unit_test(syn_twice_at_once),
        cmocka_unit_test(syn_ack_twice_at_once),
        cmocka_unit_test(another_syn_is_another_attempt),
        cmocka_unit_test(syn_again_in_spite_of_the_syn_ack),
        cmocka_unit_test(syn_ack_retransmitted),
        cmocka_unit_test(syn_ack_retransmitted_after_the_ack),
        cmocka_unit_test(syn_ack_not_repeated_any_more),
        cmocka_unit_test(syn_ack_given_up),
        cmocka_unit_test(second_syn_ack_with_another_isn),
        cmocka_unit_test(second_syn_ack_not_chosen),
        cmocka_unit_test(second_syn_ack_repeated),
        cmocka_unit_test(syn_ack_of_something_never_sent),
        cmocka_unit_test(icmp_unreachable),
        cmocka_unit_test(icmp_that_ends_nothing),
        cmocka_unit_test(lone_segments_make_no_client),
        cmocka_unit_test(backscatter),
        cmocka_unit_test(checksum_of_a_forged_syn_ack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
