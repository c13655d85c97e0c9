/*
 * The tap itself: how much of the truth reaches it. Looked at before all else in a window, since
 * other kinds are doubted by it.
 *
 * capture_drop: packets that were dropped by the kernel or the interface, over all that came; or
 * acknowledgements of octets that never passed, over segments with payload. Raised above `raise` %,
 * critical above `critical` %, of at least `samples`; quiet below `clear` %.
 * mirror_duplicates: copies over segments. Raised above `raise` %, quiet below `clear` %.
 * mirror_one_sided: of the connections that had packets in the last three windows, those whose
 * other direction must exist (they acknowledge what was not seen) and had none. Floods, scans and
 * dead services prove nothing. Raised above `raise` % of at least `samples`, quiet below `clear` %.
 * capture_silent: no packets for `raise` seconds where each of the windows before had some; cleared
 * with the first packet.
 */
#include "engine.h"

enum { FEW_GAPS = 3, STEADY_WINDOWS = 3 };

static double percent(double part, double whole) {
    return whole > 0 ? 100 * part / whole : 0;
}

static void judge_tap(struct alarm_engine *a, enum alarm_kind kind, double value, double samples,
                      double least, enum level at_least) {
    struct judgement j;
    if ((value <= 0 && !alarm_is_known(a, kind, NONE, NULL)) ||
        !judgement_begin(a, &j, kind, NONE, NULL))
        return;
    double critical = rule_of(&j, ALARM_CRITICAL);
    bool enough = samples >= least;
    j.value = value;
    j.raise = rule_of(&j, ALARM_RAISE);
    j.clear = rule_of(&j, ALARM_CLEAR);
    j.samples = (uint64_t)samples;
    j.level = enough && value > critical /* never for NaN */ ? LEVEL_CRITICAL
              : enough && value > j.raise                    ? LEVEL_WARNING
              : value < j.clear                              ? LEVEL_QUIET
                                                             : LEVEL_BETWEEN;
    if (j.level < at_least)
        j.level = at_least;
    j.detail.count = value;
    j.detail.total = samples;
    alarm_judge(a, &j);
}

static double number_of(const struct alarm_engine *a, enum alarm_kind kind, enum alarm_number n) {
    return rules_find(a->rules, kind, NULL, NULL)->number[n];
}

static void look_for_drops(struct alarm_engine *a) {
    double laden = (double)(a->sum.laden - a->before.laden);
    double gaps = (double)(a->sum.gaps - a->before.gaps);
    const struct alarm_stats *s = &a->stats, *b = &a->stats_before;
    double packets = (double)(a->sum.packets - a->before.packets);
    double drops = (double)(s->kernel_drops - b->kernel_drops) +
                   (double)(s->interface_drops - b->interface_drops);
    double drop = percent(drops, packets + drops), gap = percent(gaps, laden + gaps);
    a->drop_ratio = drop / 100;
    a->gap_ratio = gap / 100;
    bool many = gaps >= FEW_GAPS;
    bool by_drops = drop >= gap || !many;
    judge_tap(a, ALARM_CAPTURE_DROP, by_drops ? drop : gap,
              by_drops ? packets + drops : laden + gaps,
              number_of(a, ALARM_CAPTURE_DROP, ALARM_SAMPLES), LEVEL_QUIET);
    double level = number_of(a, ALARM_CAPTURE_DROP, ALARM_RAISE);
    a->poor = drop > level || (many && gap > level);
}

static void look_for_sides(struct alarm_engine *a) {
    double one = 0, two = 0;
    for (int w = 0; w < 3; w++) {
        one += a->one_sided[w];
        two += a->two_sided[w];
    }
    double share = percent(one, one + two),
           least = number_of(a, ALARM_MIRROR_ONE_SIDED, ALARM_SAMPLES);
    a->one_sided_ratio = share / 100;
    judge_tap(a, ALARM_MIRROR_ONE_SIDED, share, one + two, least, LEVEL_QUIET);
    double now = a->one_sided[0], all = now + a->two_sided[0];
    double level = number_of(a, ALARM_MIRROR_ONE_SIDED, ALARM_RAISE);
    if (all >= FEW_GAPS && percent(now, all) > level)
        a->poor = true; /* already in the first window, whatever it takes to raise */
    memmove(a->one_sided + 1, a->one_sided, 2 * sizeof a->one_sided[0]);
    memmove(a->two_sided + 1, a->two_sided, 2 * sizeof a->two_sided[0]);
    a->one_sided[0] = a->two_sided[0] = 0;
}

static void look_for_copies(struct alarm_engine *a) {
    double segments = (double)(a->sum.tcp - a->before.tcp);
    double copies = (double)(a->sum.duplicates - a->before.duplicates);
    a->copy_ratio = percent(copies, segments) / 100;
    judge_tap(a, ALARM_MIRROR_DUPLICATES, a->copy_ratio * 100, segments,
              number_of(a, ALARM_MIRROR_DUPLICATES, ALARM_SAMPLES), LEVEL_QUIET);
}

static void look_for_silence(struct alarm_engine *a) {
    struct judgement j;
    uint64_t packets = a->sum.packets - a->before.packets;
    uint64_t window_ns = a->window_ns != 0 ? a->now_ns - a->window_ns : ALARM_WINDOW_NS;
    bool active = alarm_is_active(a, ALARM_CAPTURE_SILENT, NONE, NULL);
    if (packets > 0 && !active) {
        a->steady = window_ns <= ALARM_WINDOW_NS ? a->steady + 1 : 1;
        a->last_packets_ns = a->now_ns;
        a->silent_now_ns = 0;
        return;
    }
    if (packets == 0) {
        a->silent_ns += window_ns;
        a->silent_now_ns += window_ns;
        a->gap_from_ns = a->now_ns;
        if (a->steady >= STEADY_WINDOWS && a->silent_now_ns > ALARM_WINDOW_NS)
            a->poor = true;
    }
    if ((a->steady < STEADY_WINDOWS && !active) ||
        !judgement_begin(a, &j, ALARM_CAPTURE_SILENT, NONE, NULL))
        return;
    j.value = (double)engine_ago(a, a->last_packets_ns) / (double)BASE_NS_PER_S;
    j.raise = rule_of(&j, ALARM_RAISE);
    j.clear = 0;
    j.since_ns = a->last_packets_ns;
    j.level = packets == 0 && j.value >= j.raise ? LEVEL_WARNING : LEVEL_BETWEEN;
    j.over = packets > 0;
    j.detail.age_s = j.value;
    alarm_judge(a, &j);
    if (packets > 0) {
        a->last_packets_ns = a->now_ns;
        a->silent_now_ns = 0;
        a->steady = 1;
        a->poor = true;
    }
}

void detect_tap(struct alarm_engine *a) {
    look_for_drops(a);
    look_for_sides(a);
    look_for_copies(a);
    look_for_silence(a);
    if (a->poor) {
        a->poor_ns = a->now_ns;
        a->gap_from_ns = a->now_ns;
    }
}
