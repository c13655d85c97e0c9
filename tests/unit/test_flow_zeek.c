/*
 * Zeek's history and conn_state from short sequences of segments.
 *
 * A segment is written DIRECTION FLAGS SEQ [+PAYLOAD] [MARKS], e.g. ">S100 <SA300 >A101 >A101+50":
 * '>' is sent by side 0; flags of S A F R, '.' is none; marks: 'z' zero window, '!' late, '?' its
 * ACK covers a gap. Side 0 is the originator where the case does not say otherwise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/flow/zeek.h"
#include "spanwatch/decode.h"

static uint8_t flag_of(char c) {
    switch (c) {
    case 'S':
        return SEGMENT_SYN;
    case 'A':
        return SEGMENT_ACK;
    case 'F':
        return SEGMENT_FIN;
    case 'R':
        return SEGMENT_RST;
    default:
        return 0;
    }
}

static void feed(struct zeek_view *v, const char *p) {
    for (; *p; p++) {
        if (*p == ' ')
            continue;
        assert_non_null(strchr("<>", *p));
        int dir = *p++ == '<';
        struct zeek_segment s = {.window = 1000};
        for (; strchr("SAFR.", *p); p++)
            s.flags |= flag_of(*p);
        char *end;
        s.seq = (uint32_t)strtoul(p, &end, 10);
        if (*end == '+')
            s.payload = (uint32_t)strtoul(end + 1, &end, 10);
        for (p = end; *p && strchr("z!?", *p); p++) {
            if (*p == 'z')
                s.window = 0;
            s.late |= *p == '!';
            s.gap |= *p == '?';
        }
        zeek_take(v, dir, &s);
        if (!*p)
            break;
    }
}

static void check(const char *segments, int originator, const char *state, const char *history) {
    struct zeek_view v = {0};
    char text[EVENT_HISTORY_TEXT];
    feed(&v, segments);
    zeek_history(&v, originator, text);
    if (strcmp(text, history) != 0 || strcmp(zeek_conn_state(&v, originator), state) != 0)
        print_error("%s\n", segments);
    assert_string_equal(text, history);
    assert_string_equal(zeek_conn_state(&v, originator), state);
}

#define OPEN ">S100 <SA300 >A101 "

static void test_whole_connections(void **state) {
    (void)state;
    check(OPEN ">A101+9 <A301 <A301+20 >A110 >FA110 <FA321 >A111", 0, "SF", "ShADadFf");
    check(OPEN "<A301+20 >A101 >A101+9 <A321 <FA321 >FA110 <A322", 0, "SF", "ShAdDafF");
    check(OPEN ">FA101 <A301 <FA301 >A102", 0, "SF", "ShAFaf");
    check(OPEN ">FA101+9 <FA301", 0, "SF", "ShAFf"); /* data under a FIN has no letter of its own */
    check(OPEN ">FA101 <FA301", 0, "SF", "ShAFf");
}

static void test_open_and_half_closed(void **state) {
    (void)state;
    check("", 0, "OTH", "");
    check(">S100", 0, "S0", "S");
    check(">S100 >S100 >S100", 0, "S0", "S");
    check(">S100 <SA300", 0, "S1", "Sh");
    check(OPEN ">A101+9", 0, "S1", "ShAD");
    check(OPEN ">FA101 <A301", 0, "S2", "ShAFa");
    check(OPEN "<FA301 >A101", 0, "S3", "ShAf");
    check(">S100 >A101 >A101+9", 0, "S0", "SAD"); /* the answers take another way */
    check(">S100 >A101 >FA101", 0, "SH", "SAF");
    check("<SA300 <A301 <FA301", 0, "SHR", "^haf");
    check("<SA300", 0, "OTH", "^h");
}

static void test_resets(void **state) {
    (void)state;
    check(">S100 <RA0", 0, "REJ", "Sr");
    check(">S100 <SA300 >R101", 0, "RSTO", "ShR");
    check(OPEN ">A101+9 >R110", 0, "RSTO", "ShADR");
    check(OPEN ">A101+9 <RA301", 0, "RSTR", "ShADr");
    check(">S100 >R101", 0, "RSTOS0", "SR");
    check(">S100 >A101+9 >R110", 0, "RSTOS0", "SDR");
    check("<SA300 <R301", 0, "RSTRH", "^hr");
    check(">S100 >A101 >R101", 0, "OTH", "SAR");
    check(">R101", 0, "OTH", "R");
    check("<R301", 0, "RSTRH", "^r");
    check(">A101+9 <R301", 0, "RSTRH", "Dr");
    check(OPEN "<R301 >R101", 0, "REJ", "ShArR"); /* reset by both, and no octet ever sent */
    check(OPEN "<A301+1 <R302 >R101", 0, "RSTR", "ShAdrR");
    check(OPEN ">R101+5 <R301", 0, "REJ", "ShARr"); /* what a RST carries is no data */
}

static void test_reset_after_fin(void **state) {
    (void)state;
    check(OPEN ">FA101 <FA301 <R302", 0, "SF", "ShAFfr"); /* two FINs: a RST changes nothing */
    check(OPEN ">FA101 >R102", 0, "RSTO", "ShAFR");
    check(OPEN ">FA101 >R102 <FA301", 0, "SF",
          "ShAFRf"); /* FIN, RST, then the other FIN: in good order */
    check(OPEN "<FA301 >R101", 0, "RSTO", "ShAfR");
    check(OPEN ">R101 <FA301", 0, "RSTO", "ShARf");
    check(OPEN ">FR101 <FA301", 0, "RSTO", "ShAIf");
}

static void test_letters_repeat_only_at_another_place(void **state) {
    (void)state;
    check(OPEN ">FA101 >FA101 >FA101", 0, "S2", "ShAF");
    check(OPEN ">FA101 >FA91+10!", 0, "S2", "ShAFT"); /* the FIN again, with its last data */
    check(OPEN ">FA101 >FA105", 0, "S2", "ShAFF");
    check(OPEN ">R101 >R101 >R105 >R105 >R101", 0, "RSTO", "ShARRR");
    check(OPEN "<SA300 <SA300 <SA300", 0, "S1", "ShA");
    check(">S100 <S300 <SA300 >A101", 0, "S1",
          "SsA"); /* simultaneous open: one letter a side for its SYN */
}

static void test_odd_flags(void **state) {
    (void)state;
    check(">SF100", 0, "SH", "Q");
    check(">SF100 >SF100", 0, "SH", "Q");
    check(">SR100", 0, "OTH", "Q");
    check(OPEN ">FR101", 0, "RSTO", "ShAI");
    check(OPEN ">FR101 >FR101", 0, "RSTO", "ShAI");
    check(">SFR100", 0, "OTH", "I");
    check(">.100", 0, "OTH", "");
    check(">.100+5", 0, "OTH", "D");
}

static void test_midstream(void **state) {
    (void)state;
    check(">A101+9 <A301", 0, "OTH", "Da");
    check(">A101+9 <A301 >FA110 <FA301", 0, "SF", "DaFf");
    check("<A301+9 >A101", 0, "OTH", "^dA");
    check("<FA301 >A101", 0, "SHR", "^fA");
    check(">FA301 <A101", 0, "SH", "Fa");
    check("<SA300 >A101 >A101+9 <A301+9", 0, "S1", "^hADd"); /* only the SYN was missed */
    check("<SA300 >S100 >A101", 0, "S1", "^hSA");            /* two taps, in the wrong order */
    check(">A50 >S100 <SA300 >A101", 0, "S1", "ASh");
    check(">S100 <A55 <SA300", 0, "S1", "Sah"); /* an ACK first, then the SYN-ACK */
    check(">S100 <A55+5", 0, "OTH", "Sd");
    check(">S100 <A55 >F101 <A55 <SA300", 0, "SH", "SaFh"); /* too late to open */
}

static void test_counted_letters(void **state) {
    (void)state;
    struct zeek_view v = {0};
    char text[EVENT_HISTORY_TEXT];
    feed(&v, OPEN ">A101+9");
    for (int i = 1; i <= 100000; i++) {
        feed(&v, ">A101+9!");
        if (i == 9) {
            zeek_history(&v, 0, text);
            assert_string_equal(text, "ShADT");
        }
        if (i == 10) {
            zeek_history(&v, 0, text);
            assert_string_equal(text, "ShADTT");
        }
    }
    zeek_history(&v, 0, text);
    assert_string_equal(text, "ShADTTTTT"); /* at 1, 10, 100, 1000 and 10000; no wrap, no sixth */
}

static void test_zero_window(void **state) {
    (void)state;
    check(OPEN "<A301z", 0, "S1", "ShAaw");
    check(OPEN "<A301 <A301z", 0, "S1", "ShAaw");
    check(OPEN "<A301z <A301z <A301", 0, "S1", "ShAaw");
    check(OPEN ">FA101 <A301z", 0, "S2",
          "ShAFa"); /* nothing more will come: its window says nothing */
    check(OPEN "<FA301 <A302z", 0, "S3", "ShAfaw");
    check(OPEN "<R301z", 0, "RSTR", "ShAr");
    check(OPEN "<R301 <A301z", 0, "RSTR", "ShAra");
}

static void test_late_and_gap(void **state) {
    (void)state;
    check(OPEN ">A101+9 >A101+9!", 0, "S1", "ShADT");
    check(OPEN "<A301+9 <A301+9! <A301+9!", 0, "S1", "ShAdt");
    check(OPEN ">R101 >A90+5!", 0, "RSTO", "ShARD"); /* after a RST numbers are not believed */
    check(OPEN "<A301+9 >A320?", 0, "S1", "ShAdg");  /* >A320 says that more of < was sent */
    check(OPEN ">A101+9 <A320?", 0, "S1", "ShADaG");
    check(OPEN "<A301+9 <FA330 >A331?", 0, "S3", "ShAdfg");
    check(OPEN "<A301+9 >R101?", 0, "RSTO", "ShAdR"); /* nor the ACK of a RST */
    check(">A101+9 <A301?", 0, "OTH", "Da");          /* nor of a side never seen to open */
}

static void test_roles_are_asked_last(void **state) {
    (void)state;
    check(OPEN ">A101+9 <A301+9 >R110", 1, "RSTR", "^sHadDr");
    check(">S100 <RA0", 1, "RSTO", "^sR");
    check("<S100 >SA300 <A101 <FA101", 1, "S2", "ShAF");
    check("<A301+9", 1, "OTH", "D");
}

/* RSTOS0 asks that nothing but SYN and data came from the originator before its RST. */
static void test_reset_before_any_answer(void **state) {
    (void)state;
    check(">S100 >S100 >R101", 0, "RSTOS0", "SR");
    check(">S100 >A101+5 >A101+5! >R106", 0, "RSTOS0", "SDTR");
    check(">S100 <A55 >R101", 0, "RSTOS0", "SaR");
    check(">S100 >FR101", 0, "OTH", "SI");
    check(">S100 >FR101 >R101", 0, "OTH", "SIR");
    check(">S100 >SR100 >R105", 0, "OTH", "SQR");
    check("<A301 >S100 >R101", 0, "OTH", "^aSR");
}

static void test_long_history_keeps_its_beginning(void **state) {
    (void)state;
    struct zeek_view v = {0};
    char text[EVENT_HISTORY_TEXT];
    memset(text, 'x', sizeof text);
    feed(&v, OPEN);
    for (unsigned i = 0; i < 100; i++) {
        struct zeek_segment s = {.seq = 1000 + i, .window = 1, .flags = SEGMENT_RST};
        zeek_take(&v, (int)(i & 1), &s);
    }
    zeek_history(&v, 0, text);
    assert_string_equal(text, "ShARrRrRrRrRrRrRrRrRrRrRrRrRrR");
    zeek_history(&v, 1, text);
    assert_int_equal(strlen(text), EVENT_HISTORY_TEXT - 1);
    assert_memory_equal(text, "^sHarR", 6);
}

static const char *without_flip(const char *text) {
    return *text == '^' ? text + 1 : text;
}

/* One segment of anything; the generator is fixed, so that each run is the same. */
static void take_any(struct zeek_view *v, uint32_t *random) {
    *random = *random * 1664525 + 1013904223;
    struct zeek_segment s = {.seq = *random >> 28, .payload = *random >> 12 & 1};
    s.flags = *random >> 24 & 0x17;
    s.window = *random >> 13 & 1;
    s.late = *random >> 14 & 1;
    s.gap = *random >> 15 & 1;
    zeek_take(v, (int)(*random >> 16 & 1), &s);
}

/* The text keeps its bounds, and both originators read the same letters, each in the other case. */
static void test_any_segments(void **state) {
    (void)state;
    static const char *const states = " S0 S1 S2 S3 SF SH SHR REJ RSTO RSTR RSTOS0 RSTRH OTH ";
    uint32_t random = 1;
    for (unsigned run = 0; run < 20000; run++) {
        struct zeek_view v = {0};
        for (unsigned i = 0; i < run % 40; i++)
            take_any(&v, &random);
        char text[2][EVENT_HISTORY_TEXT], word[16];
        for (int originator = 0; originator < 2; originator++) {
            zeek_history(&v, originator, text[originator]);
            assert_true(strlen(text[originator]) < EVENT_HISTORY_TEXT);
            snprintf(word, sizeof word, " %s ", zeek_conn_state(&v, originator));
            assert_non_null(strstr(states, word));
        }
        const char *a = without_flip(text[0]), *b = without_flip(text[1]);
        assert_int_equal(strlen(a), strlen(b));
        for (; *a; a++, b++) {
            assert_non_null(strchr("SHADFRTWGIQshadfrtwgiq", *a));
            assert_int_equal(*a ^ 0x20, *b);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_connections),
        cmocka_unit_test(test_open_and_half_closed),
        cmocka_unit_test(test_resets),
        cmocka_unit_test(test_reset_after_fin),
        cmocka_unit_test(test_letters_repeat_only_at_another_place),
        cmocka_unit_test(test_odd_flags),
        cmocka_unit_test(test_midstream),
        cmocka_unit_test(test_counted_letters),
        cmocka_unit_test(test_zero_window),
        cmocka_unit_test(test_late_and_gap),
        cmocka_unit_test(test_roles_are_asked_last),
        cmocka_unit_test(test_reset_before_any_answer),
        cmocka_unit_test(test_long_history_keeps_its_beginning),
        cmocka_unit_test(test_any_segments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
