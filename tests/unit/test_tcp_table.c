/*
 * Every cell of the two tables of the state machine, against a statement of its own, and the laws
 * that hold for any such table.
 *
 * The statement is written from RFC 9293 (figure 5 and section 3.10) and design 1.2, not from
 * table.c: a row an event, a column a state. `..` is impossible, `==` stays, else the state that is
 * entered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "spanwatch/tcp.h"

static const char *const codes[TCP_STATES] = {
    [TCP_CLOSED] = "CL",       [TCP_LISTEN] = "LI",      [TCP_SYN_SENT] = "SS",
    [TCP_SYN_RECEIVED] = "SR", [TCP_ESTABLISHED] = "ES", [TCP_FIN_WAIT_1] = "F1",
    [TCP_FIN_WAIT_2] = "F2",   [TCP_CLOSE_WAIT] = "CW",  [TCP_CLOSING] = "CG",
    [TCP_LAST_ACK] = "LA",     [TCP_TIME_WAIT] = "TW"};

struct row {
    enum tcp_event event;
    const char *cells; /* in the order of enum tcp_state */
};

/* clang-format off */
static const struct row sends[] = {
    /*                           CL LI SS SR ES F1 F2 CW CG LA TW */
    {TCP_EVENT_SYN,            "SS SS == == .. .. .. .. .. .. .."},
    {TCP_EVENT_SYN_AGAIN,      "SS .. == SS SS .. .. .. .. .. .."},
    {TCP_EVENT_SYN_ACK,        "SR SR SR == == .. .. .. .. .. .."},
    {TCP_EVENT_SYN_ACK_AGAIN,  "SR .. .. == SR == .. SR .. .. .."},
    {TCP_EVENT_ACK,            "ES ES ES ES == == == == == == =="},
    {TCP_EVENT_ACK_OF_SYN,     ".. .. .. .. .. .. .. .. .. .. .."},
    {TCP_EVENT_ACK_OF_FIN,     "== .. .. CW CW CG TW == == == =="},
    {TCP_EVENT_ACK_BEFORE_FIN, "== .. == == == == == ES F1 F1 F2"},
    {TCP_EVENT_FIN,            "== .. .. F1 F1 == == LA == == =="},
    {TCP_EVENT_FIN_CROSSING,   ".. .. .. .. F1 .. .. F1 .. .. .."},
    {TCP_EVENT_FIN_AGAIN,      "LA .. .. .. .. == F1 .. == == CG"},
    {TCP_EVENT_FIN_UNSENT,     "CW .. .. .. .. ES ES .. CW CW CW"},
    {TCP_EVENT_ALIVE,          "F2 .. .. .. .. .. .. .. .. .. .."},
    {TCP_EVENT_RST,            "== == CL CL CL CL CL CL CL CL CL"},
};

static const struct row receives[] = {
    /*                           CL LI SS SR ES F1 F2 CW CG LA TW */
    {TCP_EVENT_SYN,            "== == SR == == == == == == == =="},
    {TCP_EVENT_SYN_AGAIN,      ".. .. .. .. .. .. .. .. .. .. .."},
    {TCP_EVENT_SYN_ACK,        "== == ES ES == == == == == == =="},
    {TCP_EVENT_SYN_ACK_AGAIN,  ".. .. .. .. .. .. .. .. .. .. .."},
    {TCP_EVENT_ACK,            "ES ES == == == == == == == == =="},
    {TCP_EVENT_ACK_OF_SYN,     "== .. ES ES == == == == == == =="},
    {TCP_EVENT_ACK_OF_FIN,     "== .. .. .. .. F2 == .. TW CL =="},
    {TCP_EVENT_ACK_BEFORE_FIN, ".. .. .. .. .. .. .. .. .. .. .."},
    {TCP_EVENT_FIN,            "== .. == CW CW CG TW == == == =="},
    {TCP_EVENT_FIN_CROSSING,   ".. .. .. .. .. .. .. .. .. .. .."},
    {TCP_EVENT_FIN_AGAIN,      ".. .. .. .. .. .. .. .. .. .. .."},
    {TCP_EVENT_FIN_UNSENT,     "== .. .. == == == == ES F1 F1 F2"},
    {TCP_EVENT_ALIVE,          ".. .. .. .. .. .. .. .. .. .. .."},
    {TCP_EVENT_RST,            "== == CL CL CL CL CL CL CL CL CL"},
};
/* clang-format on */

static const char *code_of(const struct tcp_cell *cell) {
    switch (cell->verdict) {
    case TCP_IMPOSSIBLE:
        return "..";
    case TCP_STAY:
        return "==";
    case TCP_MOVE:
        return cell->next < TCP_STATES ? codes[cell->next] : "??";
    default:
        return "??";
    }
}

static void check_cells(const char *name, const struct tcp_cell table[TCP_EVENTS][TCP_STATES],
                        const struct row *rows, size_t n) {
    assert_int_equal(n, TCP_EVENTS);
    for (unsigned e = 0; e < TCP_EVENTS; e++) {
        assert_int_equal(rows[e].event, e);
        assert_int_equal(strlen(rows[e].cells), TCP_STATES * 3 - 1);
        for (unsigned s = 0; s < TCP_STATES; s++) {
            const char *expected = rows[e].cells + s * 3, *found = code_of(&table[e][s]);
            if (strncmp(expected, found, 2) != 0)
                fail_msg("%s[%s][%s]: expected %.2s, found %s", name,
                         tcp_event_name((enum tcp_event)e), codes[s], expected, found);
        }
    }
}

static void each_cell_of_sends(void **state) {
    (void)state;
    check_cells("sends", tcp_sends, sends, sizeof sends / sizeof *sends);
}

static void each_cell_of_receives(void **state) {
    (void)state;
    check_cells("receives", tcp_receives, receives, sizeof receives / sizeof *receives);
}

typedef void cell_law(const struct tcp_cell *cell, enum tcp_event e, enum tcp_state s, bool sender);

static void for_each_cell(cell_law *check) {
    for (unsigned e = 0; e < TCP_EVENTS; e++)
        for (unsigned s = 0; s < TCP_STATES; s++) {
            check(&tcp_sends[e][s], (enum tcp_event)e, (enum tcp_state)s, true);
            check(&tcp_receives[e][s], (enum tcp_event)e, (enum tcp_state)s, false);
        }
}

static void reason_law(const struct tcp_cell *cell, enum tcp_event e, enum tcp_state s,
                       bool sender) {
    (void)e;
    (void)s;
    (void)sender;
    if (cell->verdict == TCP_IMPOSSIBLE) {
        assert_null(cell->reason);
    } else {
        assert_non_null(cell->reason);
        assert_true(strlen(cell->reason) > 3);
    }
}

/* A listed cell says why; an unlisted one has nothing to say. */
static void each_listed_cell_has_a_reason(void **state) {
    (void)state;
    for_each_cell(reason_law);
}

static void target_law(const struct tcp_cell *cell, enum tcp_event e, enum tcp_state s,
                       bool sender) {
    (void)e;
    (void)sender;
    assert_true(cell->verdict <= TCP_MOVE);
    if (cell->verdict != TCP_MOVE)
        return;
    assert_true(cell->next < TCP_STATES);
    assert_int_not_equal(cell->next, TCP_LISTEN);
    assert_int_not_equal(cell->next, s);
}

static void no_move_to_listen_or_to_the_same_state(void **state) {
    (void)state;
    for_each_cell(target_law);
}

static void rst_law(const struct tcp_cell *cell, enum tcp_event e, enum tcp_state s, bool sender) {
    bool open = s != TCP_CLOSED && s != TCP_LISTEN;
    if (e == TCP_EVENT_RST) {
        assert_int_equal(cell->verdict, open ? TCP_MOVE : TCP_STAY);
        assert_true(!open || cell->next == TCP_CLOSED);
    } else if (cell->verdict == TCP_MOVE && cell->next == TCP_CLOSED) {
        /* but for a RST, only the ACK of the last FIN closes; all else are timers */
        assert_true(!sender && e == TCP_EVENT_ACK_OF_FIN && s == TCP_LAST_ACK);
    }
}

static void only_a_rst_or_the_last_ack_closes(void **state) {
    (void)state;
    for_each_cell(rst_law);
}

/* What a state says of the two FINs: has this end sent its own, and has it received the peer's? */
static bool has_sent(enum tcp_state s) {
    return s == TCP_FIN_WAIT_1 || s == TCP_FIN_WAIT_2 || s == TCP_CLOSING || s == TCP_LAST_ACK ||
           s == TCP_TIME_WAIT;
}

static bool has_received(enum tcp_state s) {
    return s == TCP_CLOSE_WAIT || s == TCP_CLOSING || s == TCP_LAST_ACK || s == TCP_TIME_WAIT;
}

/* -1: as before, 0: not, 1: yes. */
struct fin_law {
    int sent, received;
};

static struct fin_law fin_law_of(enum tcp_event e, bool sender) {
    switch (e) {
    case TCP_EVENT_FIN:
        return sender ? (struct fin_law){1, -1} : (struct fin_law){-1, 1};
    case TCP_EVENT_FIN_AGAIN:
        return (struct fin_law){1, -1};
    case TCP_EVENT_FIN_UNSENT:
        return sender ? (struct fin_law){0, -1} : (struct fin_law){-1, 0};
    case TCP_EVENT_ACK_OF_FIN:
        return sender ? (struct fin_law){-1, 1} : (struct fin_law){1, -1};
    case TCP_EVENT_ACK_BEFORE_FIN:
        return (struct fin_law){-1, 0};
    case TCP_EVENT_FIN_CROSSING:
        return (struct fin_law){1, 0};
    default:
        return (struct fin_law){-1, -1};
    }
}

static void check_fins(const struct tcp_cell *cell, enum tcp_event e, enum tcp_state s,
                       bool sender) {
    struct fin_law law = fin_law_of(e, sender);
    bool synchronized = s > TCP_SYN_SENT && cell->next > TCP_SYN_SENT;
    bool opens_again =
        e == TCP_EVENT_SYN_ACK_AGAIN; /* from CLOSE_WAIT: nothing that was assumed has arrived */
    if (cell->verdict != TCP_MOVE || !synchronized || opens_again)
        return;
    enum tcp_state next = cell->next;
    assert_int_equal(has_sent(next), law.sent == -1 ? has_sent(s) : law.sent);
    assert_int_equal(has_received(next), law.received == -1 ? has_received(s) : law.received);
}

/* An event about a FIN changes what it is about, and nothing else does. */
static void fins_are_neither_lost_nor_made_up(void **state) {
    (void)state;
    for_each_cell(check_fins);
}

static void each_state_but_listen_can_be_reached(void **state) {
    (void)state;
    bool reached[TCP_STATES] = {[TCP_CLOSED] = true};
    for (unsigned round = 0; round < TCP_STATES; round++)
        for (unsigned e = 0; e < TCP_EVENTS; e++)
            for (unsigned s = 0; s < TCP_STATES; s++) {
                if (reached[s] && tcp_sends[e][s].verdict == TCP_MOVE)
                    reached[tcp_sends[e][s].next] = true;
                if (reached[s] && tcp_receives[e][s].verdict == TCP_MOVE)
                    reached[tcp_receives[e][s].next] = true;
            }
    for (unsigned s = 0; s < TCP_STATES; s++)
        assert_int_equal(reached[s], s != TCP_LISTEN);
}

static void names_are_there_and_differ(void **state) {
    (void)state;
    for (unsigned a = 0; a < TCP_EVENTS; a++) {
        assert_true(strlen(tcp_event_name((enum tcp_event)a)) > 0);
        for (unsigned b = 0; b < a; b++)
            assert_string_not_equal(tcp_event_name((enum tcp_event)a),
                                    tcp_event_name((enum tcp_event)b));
    }
}

/* Design 1.2 and 1.3: the words that users see. */
static void words_of_the_contract(void **state) {
    (void)state;
    static const char *const states[] = {"CLOSED",      "LISTEN",     "SYN_SENT",   "SYN_RECEIVED",
                                         "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT",
                                         "CLOSING",     "LAST_ACK",   "TIME_WAIT"};
    static const char *const causes[] = {"syn",
                                         "syn_ack",
                                         "ack",
                                         "data",
                                         "fin",
                                         "rst",
                                         "icmp",
                                         "roles",
                                         "moved",
                                         "evict",
                                         "timeout:syn_sent",
                                         "timeout:syn_received",
                                         "timeout:retransmit",
                                         "timeout:keepalive",
                                         "timeout:fin_wait_2",
                                         "timeout:time_wait",
                                         "timeout:idle"};
    static const char *const reasons[] = {"", "midstream", "gap", "one_sided", "timer"};
    assert_int_equal(sizeof states / sizeof *states, TCP_STATES);
    assert_int_equal(sizeof causes / sizeof *causes, TCP_CAUSES);
    assert_int_equal(sizeof reasons / sizeof *reasons, TCP_INFERRED_REASONS);
    for (unsigned i = 0; i < TCP_STATES; i++)
        assert_string_equal(tcp_state_name((enum tcp_state)i), states[i]);
    for (unsigned i = 0; i < TCP_CAUSES; i++)
        assert_string_equal(tcp_cause_name((enum tcp_cause)i), causes[i]);
    for (unsigned i = 0; i < TCP_INFERRED_REASONS; i++)
        assert_string_equal(tcp_inferred_name((enum tcp_inferred)i), reasons[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_cell_of_sends),
        cmocka_unit_test(each_cell_of_receives),
        cmocka_unit_test(each_listed_cell_has_a_reason),
        cmocka_unit_test(no_move_to_listen_or_to_the_same_state),
        cmocka_unit_test(only_a_rst_or_the_last_ack_closes),
        cmocka_unit_test(fins_are_neither_lost_nor_made_up),
        cmocka_unit_test(each_state_but_listen_can_be_reached),
        cmocka_unit_test(names_are_there_and_differ),
        cmocka_unit_test(words_of_the_contract),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
