/*
 * The state machine through the real tracker, closing: FINs in every order, lost, repeated,
 * half-close, TIME_WAIT and what ends it, resets. The notation is told in notation.h.
 */
#include "tests/unit/notation.h"
#include "tests/unit/situations.h"

static void close_by_the_server(void **state) {
    (void)state;
    NOTATION_CASE(
        HANDSHAKE, CLOSED_BY_SERVER,
        {"90 tick", "@61.5 CLOSED/CLOSED timeout:time_wait inferred=timer, @61.5 end:fin"});
}

/* Design 1.3: a segment that takes one side through two states gives two records, the ACK's first.
 */
static void fin_that_acknowledges_the_fin(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT fin"},
                  {"1.01 s>c FA 5001 1002", "FIN_WAIT_2/CLOSE_WAIT ack, TIME_WAIT/LAST_ACK fin"},
                  {"1.02 c>s A 1002 5002", "TIME_WAIT/CLOSED ack"});
}

static void half_close_by_the_client(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s FA 1001 5001 +100", "FIN_WAIT_1/CLOSE_WAIT fin"},
                  {"1.01 s>c A 5001 1102", "FIN_WAIT_2/CLOSE_WAIT ack"},
                  {"30 s>c A 5001 1102 +1000", "FIN_WAIT_2/CLOSE_WAIT"},
                  {"30.01 c>s A 1102 6001", "FIN_WAIT_2/CLOSE_WAIT"},
                  {"200 s>c A 6001 1102 +1000", "FIN_WAIT_2/CLOSE_WAIT"},
                  {"200.01 c>s A 1102 7001", "FIN_WAIT_2/CLOSE_WAIT"},
                  {"201 s>c FA 7001 1102", "TIME_WAIT/LAST_ACK fin"},
                  {"201.01 c>s A 1102 7002", "TIME_WAIT/CLOSED ack"});
}

static void half_close_by_the_server(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 s>c FA 5001 1001 +100", "CLOSE_WAIT/FIN_WAIT_1 fin"},
                  {"1.01 c>s A 1001 5102", "CLOSE_WAIT/FIN_WAIT_2 ack"},
                  {"2 c>s A 1001 5102 +700", "CLOSE_WAIT/FIN_WAIT_2"},
                  {"2.01 s>c A 5102 1701", "CLOSE_WAIT/FIN_WAIT_2"},
                  {"3 c>s FA 1701 5102", "LAST_ACK/TIME_WAIT fin"},
                  {"3.01 s>c A 5102 1702", "CLOSED/TIME_WAIT ack"});
}

/* Both ACKs pass the tap and are lost; both ends repeat their FINs at once, and each of the two
 * brings the other what it lacks. */
static void fins_repeated_at_once(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT fin"},
                  {"1.002 s>c FA 5001 1001", "FIN_WAIT_1/FIN_WAIT_1 ack, CLOSING/CLOSING fin"},
                  {"1.011 c>s A 1002 5002", "CLOSING/TIME_WAIT ack"},
                  {"1.012 s>c A 5002 1002", "TIME_WAIT/TIME_WAIT ack"},
                  {"1.25 c>s FA 1001 5002", "CLOSING/TIME_WAIT fin"},
                  {"1.251 s>c FA 5001 1002", "TIME_WAIT/TIME_WAIT fin"},
                  {"1.65 c>s FA 1001 5002", "CLOSING/TIME_WAIT fin"},
                  {"1.651 s>c FA 5001 1002", "TIME_WAIT/TIME_WAIT fin"});
}

/* Its FIN is missed; what it says next comes from behind it, and only then answers the peer's FIN:
 * the two have crossed. */
static void fin_missed_that_crossed(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT fin"},
                  {"1.01 s>c A 5002 1002", "FIN_WAIT_2/FIN_WAIT_1 ack inferred=gap, "
                                           "TIME_WAIT/CLOSING ack inferred=gap"},
                  {"1.02 c>s A 1002 5002", "TIME_WAIT/TIME_WAIT ack"});
}

/* The FIN that was missed bore the ACK of the peer's, which had to repeat its own: no crossing. */
static void fin_missed_with_its_ack(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT fin"},
                  {"1.25 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT"},
                  {"1.26 s>c A 5002 1002", "FIN_WAIT_2/LAST_ACK ack inferred=gap, "
                                           "TIME_WAIT/LAST_ACK ack inferred=gap"},
                  {"1.27 c>s A 1002 5002", "TIME_WAIT/CLOSED ack"});
}

static void simultaneous_close(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT fin"},
                  {"1.002 s>c FA 5001 1001", "FIN_WAIT_1/FIN_WAIT_1 ack, CLOSING/CLOSING fin"},
                  {"1.011 c>s A 1002 5002", "CLOSING/TIME_WAIT ack"},
                  {"1.012 s>c A 5002 1002", "TIME_WAIT/TIME_WAIT ack"},
                  {"90 tick",
                   "@61.011 TIME_WAIT/CLOSED timeout:time_wait inferred=timer, "
                   "@61.012 CLOSED/CLOSED timeout:time_wait inferred=timer, @61.012 end:fin"});
}

/* RFC 9293 section 3.10.7.4, eighth: the FIN is taken when all before it has come. */
static void fin_behind_a_hole(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s FA 1101 5001", "FIN_WAIT_1/ESTABLISHED fin"},
                  {"1.01 s>c A 5001 1001", "FIN_WAIT_1/ESTABLISHED"},
                  {"1.02 c>s A 1001 5001 +100", "FIN_WAIT_1/CLOSE_WAIT data"},
                  {"1.03 s>c A 5001 1102", "FIN_WAIT_2/CLOSE_WAIT ack"});
}

/* The FIN is repeated at 0.25, 0.7 and 1.6 s; the second time in vain tells that it does not
 * arrive, and silence after the third, of twice the last interval, that it was given up. */
static void fin_retransmitted_in_vain(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT fin"},
                  {"1.25 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT"},
                  {"1.7 c>s FA 1001 5001", "FIN_WAIT_1/ESTABLISHED fin inferred=gap"},
                  {"2.6 c>s FA 1001 5001", "FIN_WAIT_1/ESTABLISHED"},
                  {"20 tick", "@4.65625 CLOSED/ESTABLISHED timeout:retransmit inferred=timer"});
}

static void fin_retransmitted_then_answered(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT fin"},
                  {"1.25 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT"},
                  {"1.26 s>c A 5001 1002", "FIN_WAIT_2/CLOSE_WAIT ack"});
}

/* The server goes on as one that has not seen the FIN. */
static void fin_lost_beyond_the_tap(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT fin"},
                  {"1.15 s>c A 5001 1001 +100", "FIN_WAIT_1/ESTABLISHED data"},
                  {"1.25 c>s FA 1001 5101", "FIN_WAIT_1/CLOSE_WAIT fin"},
                  {"1.26 s>c A 5101 1002", "FIN_WAIT_2/CLOSE_WAIT ack"});
}

static void ack_of_the_fin_lost_beyond_the_tap(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT fin"},
                  {"1.01 s>c A 5001 1002", "FIN_WAIT_2/CLOSE_WAIT ack"},
                  {"1.25 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT fin"},
                  {"1.26 s>c A 5001 1002", "FIN_WAIT_2/CLOSE_WAIT ack"});
}

/* No ACK, but no retransmission either, in the ten seconds of patience and its slack: it was missed
 * by the tap. */
static void ack_of_the_fin_missed(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT fin"},
                  {"12 tick", "@11.5125 FIN_WAIT_2/CLOSE_WAIT ack inferred=gap"});
}

static void fin_missed(void **state) {
    (void)state;
    NOTATION_CASE(
        HANDSHAKE,
        {"1 s>c A 5001 1002",
         "FIN_WAIT_1/CLOSE_WAIT ack inferred=gap, FIN_WAIT_2/CLOSE_WAIT ack inferred=gap"},
        {"1.5 s>c FA 5001 1002", "TIME_WAIT/LAST_ACK fin"},
        {"1.51 c>s A 1002 5002", "TIME_WAIT/CLOSED ack"});
}

/* The same, but the FIN comes after all: packets in the wrong order. */
static void fin_after_its_ack(void **state) {
    (void)state;
    NOTATION_CASE(
        HANDSHAKE,
        {"1 s>c A 5001 1002",
         "FIN_WAIT_1/CLOSE_WAIT ack inferred=gap, FIN_WAIT_2/CLOSE_WAIT ack inferred=gap"},
        {"1.0001 c>s FA 1001 5001", "FIN_WAIT_2/CLOSE_WAIT"});
}

/* Only a process that has let go of its socket is orphaned; after tcp_fin_timeout (60 s) the kernel
 * forgets it. */
static void orphaned_fin_wait_2(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT fin"},
                  {"1.01 s>c A 5001 1002", "FIN_WAIT_2/CLOSE_WAIT ack"},
                  {"61 tick", "FIN_WAIT_2/CLOSE_WAIT"},
                  {"62 tick", "@61.01 CLOSED/CLOSE_WAIT timeout:fin_wait_2 inferred=timer"},
                  {"70 s>c FA 5001 1002", "CLOSED/LAST_ACK fin"},
                  {"70.01 c>s R 1002", "CLOSED/CLOSED rst, end:rst"});
}

static void fin_wait_2_of_one_who_still_reads(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT fin"},
                  {"1.01 s>c A 5001 1002", "FIN_WAIT_2/CLOSE_WAIT ack"},
                  {"2 s>c A 5001 1002 +10", "FIN_WAIT_2/CLOSE_WAIT"},
                  {"2.01 c>s A 1002 5011", "FIN_WAIT_2/CLOSE_WAIT"},
                  {"3000 tick", "FIN_WAIT_2/CLOSE_WAIT"});
}

/* It acknowledges after its time should have run out: a process still reads. */
static void fin_wait_2_that_was_no_orphan(void **state) {
    (void)state;
    NOTATION_CASE(
        HANDSHAKE, {"1 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT fin"},
        {"1.01 s>c A 5001 1002", "FIN_WAIT_2/CLOSE_WAIT ack"},
        {"70 s>c A 5001 1002 +10", "@61.01 CLOSED/CLOSE_WAIT timeout:fin_wait_2 inferred=timer"},
        {"70.01 c>s A 1002 5011", "FIN_WAIT_2/CLOSE_WAIT ack"},
        {"3000 tick", "FIN_WAIT_2/CLOSE_WAIT"});
}

static void reset_by_an_orphan_that_is_sent_data(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT fin"},
                  {"1.01 s>c A 5001 1002", "FIN_WAIT_2/CLOSE_WAIT ack"},
                  {"2 s>c A 5001 1002 +10", "FIN_WAIT_2/CLOSE_WAIT"},
                  {"2.01 c>s R 1002", "CLOSED/CLOSED rst, end:rst"});
}

static void time_wait_begins_anew_with_a_late_fin(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, CLOSED_BY_CLIENT, {"30 s>c FA 5001 1002", "TIME_WAIT/LAST_ACK fin"},
                  {"30.01 c>s A 1002 5002", "TIME_WAIT/CLOSED ack"},
                  {"89.9 tick", "TIME_WAIT/CLOSED"},
                  {"91 tick", "@90 CLOSED/CLOSED timeout:time_wait inferred=timer, @90 end:fin"});
}

static void time_wait_reused_by_its_own_end(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, CLOSED_BY_CLIENT,
                  {"10 c>s S 500", "CLOSED/CLOSED syn, end:fin, SYN_SENT/CLOSED syn"},
                  {"10.01 s>c SA 9000 501", "ESTABLISHED/SYN_RECEIVED syn_ack"});
}

/* RFC 9293 section 3.10.7.4, RFC 6191: the end in TIME_WAIT takes a SYN above what it has received.
 */
static void time_wait_reused_by_a_higher_isn(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, CLOSED_BY_SERVER,
                  {"10 c>s S 2000000", "CLOSED/CLOSED syn, end:fin, SYN_SENT/CLOSED syn"},
                  {"10.01 s>c SA 9000 2000001", "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"10.02 c>s A 2000001 9001", "ESTABLISHED/ESTABLISHED ack"});
}

static void time_wait_refuses_a_lower_isn(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, CLOSED_BY_SERVER, {"10 c>s S 500", "CLOSED/TIME_WAIT"},
                  {"10.01 s>c A 5002 1002", "CLOSED/TIME_WAIT"},
                  {"10.02 c>s R 1002", "CLOSED/CLOSED rst, end:rst"},
                  {"11 c>s S 500", "SYN_SENT/CLOSED syn"});
}

/* The end in TIME_WAIT has taken it after all: its SYN-ACK says so, and the SYN counts from then.
 */
static void time_wait_reused_by_a_lower_isn(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, CLOSED_BY_SERVER, {"10 c>s S 500", "CLOSED/TIME_WAIT"},
                  {"10.01 s>c SA 9000 501", "CLOSED/CLOSED syn_ack, end:fin, SYN_SENT/CLOSED syn, "
                                            "ESTABLISHED/SYN_RECEIVED syn_ack"},
                  {"10.02 c>s A 501 9001", "ESTABLISHED/ESTABLISHED ack"});
}

/* RFC 6191: with timestamps the number does not matter. */
static void time_wait_reused_by_timestamps(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, CLOSED_BY_SERVER,
                  {"10 c>s S 500 ts", "CLOSED/CLOSED syn, end:fin, SYN_SENT/CLOSED syn"});
}

static void rst_exact(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s RA 1001 5001", "CLOSED/CLOSED rst, end:rst"},
                  {"1.01 s>c A 5001 1001 +10", "CLOSED/CLOSED"});
}

/* RFC 5961 section 3.2: in the window but not exact, the receiver challenges it, and lives. */
static void rst_in_the_window_challenged(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s R 1050", "ESTABLISHED/ESTABLISHED"},
                  {"1.01 s>c A 5001 1001", "ESTABLISHED/ESTABLISHED"},
                  {"5 tick", "ESTABLISHED/ESTABLISHED"},
                  {"5.1 c>s A 1001 5001 +10", "ESTABLISHED/ESTABLISHED"});
}

/* Nothing contradicts it within a second: what lies before it was missed by the tap. */
static void rst_in_the_window_believed(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s R 1050", "ESTABLISHED/ESTABLISHED"},
                  {"5 tick", "@2 CLOSED/CLOSED rst inferred=gap, @2 end:rst"});
}

static void rst_stray(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s R 900", "ESTABLISHED/ESTABLISHED"},
                  {"1.1 c>s R 900000", "ESTABLISHED/ESTABLISHED"},
                  {"1.2 s>c R 4000", "ESTABLISHED/ESTABLISHED"},
                  {"5 tick", "ESTABLISHED/ESTABLISHED"});
}

static void rst_repeated(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s R 1001", "CLOSED/CLOSED rst, end:rst"},
                  {"1.2 c>s R 1001", "CLOSED/CLOSED"}, {"1.6 c>s R 1001", "CLOSED/CLOSED"});
}

static void rst_to_one_that_is_out_of_reach(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s A 1001 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"1.3 c>s A 1001 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"1.9 c>s A 1001 5001 +10", "ESTABLISHED/ESTABLISHED"},
                  {"2 c>s RA 1011 5001", "CLOSED/ESTABLISHED rst"},
                  {"3 s>c A 5001 1001 +10", "CLOSED/ESTABLISHED"},
                  {"3.01 c>s R 1001", "CLOSED/CLOSED rst, end:rst"});
}

static void port_reused_after_a_reset(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"1 c>s R 1001", "CLOSED/CLOSED rst, end:rst"},
                  {"2 c>s S 80000", "SYN_SENT/CLOSED syn"},
                  {"2.01 s>c SA 600 80001", "ESTABLISHED/SYN_RECEIVED syn_ack"});
}

/* One end has lost its memory and opens again; the other challenges, is reset, and answers the
 * repeated SYN (RFC 9293 figure 10). */
static void half_open_found_out(void **state) {
    (void)state;
    NOTATION_CASE(HANDSHAKE, {"100 c>s S 90000", "ESTABLISHED/ESTABLISHED"},
                  {"100.01 s>c A 5001 1001", "ESTABLISHED/ESTABLISHED"},
                  {"100.02 c>s R 1001", "CLOSED/CLOSED rst, end:rst"},
                  {"101 c>s S 90000", "SYN_SENT/CLOSED syn"},
                  {"101.01 s>c SA 7000 90001", "ESTABLISHED/SYN_RECEIVED syn_ack"});
}

/* TIME_WAIT that waits out the linger; what is open is told as it was at the last packet. */
static void end_of_a_capture(void **state) {
    (void)state;
    NOTATION_CASE(
        HANDSHAKE, CLOSED_BY_CLIENT, {"2 d>s S 1", "d:SYN_SENT/CLOSED syn"},
        {"end", "@61.5 CLOSED/CLOSED timeout:time_wait inferred=timer, end:fin, d:end:open"});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(close_by_the_server),
        cmocka_unit_test(fin_that_acknowledges_the_fin),
        cmocka_unit_test(half_close_by_the_client),
        cmocka_unit_test(half_close_by_the_server),
        cmocka_unit_test(fins_repeated_at_once),
        cmocka_unit_test(fin_missed_that_crossed),
        cmocka_unit_test(fin_missed_with_its_ack),
        cmocka_unit_test(simultaneous_close),
        cmocka_unit_test(fin_behind_a_hole),
        cmocka_unit_test(fin_retransmitted_in_vain),
        cmocka_unit_test(fin_retransmitted_then_answered),
        cmocka_unit_test(fin_lost_beyond_the_tap),
        cmocka_unit_test(ack_of_the_fin_lost_beyond_the_tap),
        cmocka_unit_test(ack_of_the_fin_missed),
        cmocka_unit_test(fin_missed),
        cmocka_unit_test(fin_after_its_ack),
        cmocka_unit_test(orphaned_fin_wait_2),
        cmocka_unit_test(fin_wait_2_of_one_who_still_reads),
        cmocka_unit_test(fin_wait_2_that_was_no_orphan),
        cmocka_unit_test(reset_by_an_orphan_that_is_sent_data),
        cmocka_unit_test(time_wait_begins_anew_with_a_late_fin),
        cmocka_unit_test(time_wait_reused_by_its_own_end),
        cmocka_unit_test(time_wait_reused_by_a_higher_isn),
        cmocka_unit_test(time_wait_refuses_a_lower_isn),
        cmocka_unit_test(time_wait_reused_by_a_lower_isn),
        cmocka_unit_test(time_wait_reused_by_timestamps),
        cmocka_unit_test(rst_exact),
        cmocka_unit_test(rst_in_the_window_challenged),
        cmocka_unit_test(rst_in_the_window_believed),
        cmocka_unit_test(rst_stray),
        cmocka_unit_test(rst_repeated),
        cmocka_unit_test(rst_to_one_that_is_out_of_reach),
        cmocka_unit_test(port_reused_after_a_reset),
        cmocka_unit_test(half_open_found_out),
        cmocka_unit_test(end_of_a_capture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
