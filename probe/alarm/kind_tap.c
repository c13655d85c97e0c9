/*
 * The tap itself: how much of the truth reaches it. Looked at before all else in a window, since
 * other kinds are doubted by it.
 *
 * capture_drop: packets that were dropped by the kernel or the interface, over all that came; or
 * acknowledgements of octets that never passed, over segments with payload. Raised above `raise` %,
 * critical above `critical` %, of at least `samples`; quiet below `clear` %.
 * mirror_duplicates: copies over segments. Raised above `raise` %, quiet below `clear` %.
 * mirror_one_sided: for an interface and VLAN: of the connections that had packets in the last
 * three windows, those whose other direction must exist (they acknowledge what was not seen) and
 * had none. Floods, scans and dead services prove nothing. Raised above `raise` % of at least
 * `samples`, quiet below `clear` %. capture_silent: for an interface: no packets for `raise`
 * seconds where each of the windows before had some; cleared with the first packet. Where it is all
 * of them, clients are not absent. Of files one may follow another, with an interface of another
 * name: what begins when an interface was seen for the last time, or later, has taken its place.
 */
#include "engine.h"

enum {
    FEW_GAPS = 3,
    STEADY_WINDOWS = 3,
    FEW_SIDED = 10 /* one-sided connections of one VLAN: too few to doubt all others */
};

static double percent(double part, double whole) {
    return whole > 0 ? 100 * part / whole : 0;
}

static void judge_tap(struct alarm_engine *a, enum alarm_kind kind, int64_t key, double value,
                      double samples) {
    struct judgement j;
    if ((value <= 0 && !alarm_is_known(a, kind, key, NULL)) ||
        !judgement_begin(a, &j, kind, key, NULL))
        return;
    double critical = rule_of(&j, ALARM_CRITICAL);
    bool enough = samples >= rule_of(&j, ALARM_SAMPLES);
    j.value = value;
    j.raise = rule_of(&j, ALARM_RAISE);
    j.clear = rule_of(&j, ALARM_CLEAR);
    j.samples = (uint64_t)samples;
    j.level = enough && value > critical /* never for NaN */ ? LEVEL_CRITICAL
              : enough && value > j.raise                    ? LEVEL_WARNING
              : value < j.clear                              ? LEVEL_QUIET
                                                             : LEVEL_BETWEEN;
    j.detail.count = value;
    j.detail.total = samples;
    alarm_judge(a, &j);
}

static double number_of(const struct alarm_engine *a, enum alarm_kind kind, enum alarm_number n) {
    return rules_find(a->rules, kind, NULL, NULL)->number[n];
}

static void look_for_drops(struct alarm_engine *a) {
    double laden = (double)engine_grown(a->sum.laden, a->before.laden);
    double gaps = (double)engine_grown(a->sum.gaps, a->before.gaps);
    const struct alarm_stats *s = &a->stats, *b = &a->stats_before;
    double packets = (double)engine_grown(a->sum.packets, a->before.packets);
    double drops = (double)engine_grown(s->kernel_drops, b->kernel_drops) +
                   (double)engine_grown(s->interface_drops, b->interface_drops);
    double drop = percent(drops, packets + drops), gap = percent(gaps, laden + gaps);
    a->drop_ratio = drop / 100;
    a->gap_ratio = gap / 100;
    bool many = gaps >= FEW_GAPS;
    bool by_drops = drop >= gap || !many;
    judge_tap(a, ALARM_CAPTURE_DROP, NONE, by_drops ? drop : gap,
              by_drops ? packets + drops : laden + gaps);
    double level = number_of(a, ALARM_CAPTURE_DROP, ALARM_RAISE);
    a->poor = drop > level || (many && gap > level);
}

static uint32_t sum_of(const uint32_t n[3]) {
    return n[0] + n[1] + n[2];
}

static void turn(uint32_t n[3]) {
    memmove(n + 1, n, 2 * sizeof n[0]);
    n[0] = 0;
}

static void look_for_sides(struct alarm_engine *a) {
    double level = number_of(a, ALARM_MIRROR_ONE_SIDED, ALARM_RAISE);
    double one = 0, two = 0, now = 0, all = 0;
    for (uint32_t i = 0; i < a->taps; i++) {
        struct tap *t = &a->tap[i];
        double mine = sum_of(t->one_sided), others = sum_of(t->two_sided);
        one += mine;
        two += others;
        now += t->one_sided[0];
        all += t->one_sided[0] + t->two_sided[0];
        judge_tap(a, ALARM_MIRROR_ONE_SIDED, tap_key(i), percent(mine, mine + others),
                  mine + others);
        if (t->one_sided[0] >= FEW_SIDED &&
            percent(t->one_sided[0], (double)t->one_sided[0] + t->two_sided[0]) > level)
            a->poor = true;
        turn(t->one_sided);
        turn(t->two_sided);
    }
    a->one_sided_ratio = percent(one, one + two) / 100;
    if (all >= FEW_GAPS && percent(now, all) > level)
        a->poor = true; /* already in the first window, whatever it takes to raise */
}

static void look_for_copies(struct alarm_engine *a) {
    double segments = (double)engine_grown(a->sum.tcp, a->before.tcp);
    double copies = (double)engine_grown(a->sum.duplicates, a->before.duplicates);
    a->copy_ratio = percent(copies, segments) / 100;
    judge_tap(a, ALARM_MIRROR_DUPLICATES, NONE, a->copy_ratio * 100, segments);
}

static bool is_followed(const struct alarm_engine *a, uint32_t i) {
    bool followed = false;
    for (uint32_t k = 0; k < a->taps && a->config.files; k++)
        followed = followed || (k != i && a->tap[k].first_packets_ns >= a->tap[i].last_packets_ns &&
                                a->tap[k].first_packets_ns != 0);
    return followed;
}

static void judge_silence(struct alarm_engine *a, uint32_t i) {
    const struct tap *t = &a->tap[i];
    struct judgement j;
    if (!judgement_begin(a, &j, ALARM_CAPTURE_SILENT, tap_key(i), NULL))
        return;
    j.value = (double)engine_ago(a, t->last_packets_ns) / (double)BASE_NS_PER_S;
    j.raise = rule_of(&j, ALARM_RAISE);
    j.clear = 0;
    j.since_ns = t->last_packets_ns;
    j.over = t->packets > 0 || is_followed(a, i);
    j.level = !j.over && j.value >= j.raise ? LEVEL_WARNING : LEVEL_BETWEEN;
    j.detail.age_s = j.value;
    alarm_judge(a, &j);
}

static void turn_interface(struct alarm_engine *a, uint32_t i, uint64_t window_ns) {
    struct tap *t = &a->tap[i];
    bool active = alarm_is_active(a, ALARM_CAPTURE_SILENT, tap_key(i), NULL);
    if ((t->packets == 0 && t->steady >= STEADY_WINDOWS) || active)
        judge_silence(a, i);
    if (t->packets == 0)
        return;
    t->last_packets_ns = a->now_ns;
    t->steady = active || window_ns > ALARM_WINDOW_NS ? 1 : t->steady + 1;
    t->packets = 0;
}

/* Of all interfaces together: nothing was seen of anyone. */
static void note_silence(struct alarm_engine *a, uint64_t packets, uint64_t window_ns) {
    double raise_s = number_of(a, ALARM_CAPTURE_SILENT, ALARM_RAISE);
    bool steady = a->steady >= STEADY_WINDOWS;
    bool long_enough = (double)a->silent_now_ns >= raise_s * (double)BASE_NS_PER_S;
    if (packets == 0) {
        a->silent_ns += window_ns;
        a->silent_now_ns += window_ns;
        a->gap_from_ns = a->now_ns;
        a->poor = a->poor || (steady && a->silent_now_ns > ALARM_WINDOW_NS);
        return;
    }
    a->poor = a->poor || (steady && long_enough);
    a->steady = (steady && long_enough) || window_ns > ALARM_WINDOW_NS ? 1 : a->steady + 1;
    a->silent_now_ns = 0;
}

static void count_packets(struct alarm_engine *a, uint8_t iface) {
    struct tap *t = &a->tap[tap_of(a, iface, 0)];
    t->packets += engine_grown(a->sum.passed[iface], a->before.passed[iface]);
    if (t->packets > 0 && t->first_packets_ns == 0)
        t->first_packets_ns = a->now_ns;
}

static void look_for_silence(struct alarm_engine *a) {
    uint64_t window_ns = a->window_ns != 0 ? a->now_ns - a->window_ns : ALARM_WINDOW_NS;
    for (unsigned i = 0; i < EVENT_IFACES; i++)
        if (a->sum.passed[i] > 0)
            count_packets(a, (uint8_t)i);
    for (uint32_t i = 0; i < a->taps; i++)
        turn_interface(a, i, window_ns);
    note_silence(a, engine_grown(a->sum.packets, a->before.packets), window_ns);
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
