/*
 * engine: events in, counters; at the end of each window the detectors.
 *
 * A window ends with the picture at its end: when every source has given it whole. Where a picture
 * was torn or left out, what is counted by pictures is unknown for that window, and only that
 * which events count is judged.
 */
#include "engine.h"

enum { HISTORY_HOURS = 24 };

struct alarm_engine *alarm_new(const struct alarm_config *config) {
    struct alarm_engine *a = aligned_alloc(_Alignof(struct alarm_engine), sizeof *a);
    if (a == NULL)
        return NULL;
    memset(a, 0, sizeof *a);
    a->config = *config;
    if (a->config.sources == 0)
        a->config.sources = 1;
    if (a->config.history_hours <= 0)
        a->config.history_hours = HISTORY_HOURS;
    a->seq = config->first_seq != 0 ? config->first_seq : 1;
    a->drop_ratio = a->gap_ratio = a->one_sided_ratio = a->copy_ratio = NAN;
    a->trouble = calloc(TROUBLE_SORTS, sizeof *a->trouble);
    a->near = aligned_alloc(64, NEAR * sizeof *a->near);
    if (a->near != NULL)
        memset(a->near, 0, NEAR * sizeof *a->near);
    a->sketch = aligned_alloc(_Alignof(struct pair_sketch), sizeof *a->sketch);
    if (a->sketch != NULL)
        memset(a->sketch, 0, sizeof *a->sketch);
    if (a->trouble == NULL || a->near == NULL || a->sketch == NULL ||
        index_init(&a->service_names) != 0 || index_init(&a->endpoint_index) != 0 ||
        index_init(&a->pair_index) != 0 || index_init(&a->client_index) != 0 ||
        index_init(&a->entry_index) != 0 || index_init(&a->baselines.index) != 0) {
        alarm_free(a);
        return NULL;
    }
    wait_init(a);
    alarm_use_rules(a, config->rules);
    return a;
}

void alarm_free(struct alarm_engine *a) {
    if (a == NULL)
        return;
    tables_fini(a);
    baselines_fini(&a->baselines);
    free(a);
}

void alarm_use_rules(struct alarm_engine *a, const struct alarm_rules *rules) {
    alarm_catch_up(a);
    a->rules = rules;
    a->allows = rules_allow_some(rules);
    a->idle_limits = rules_limit_idle(rules);
    a->least_silent_s = rules_least(rules, ALARM_CLIENT_SILENT, ALARM_RAISE);
    for (uint32_t i = 0; i < a->pairs; i++)
        a->watch[i].due_s = 0;
    for (int kind = 0; kind < ALARM_KINDS; kind++)
        a->age_s[kind] = rules_find(rules, (enum alarm_kind)kind, NULL, NULL)->number[ALARM_AGE];
    for (uint32_t i = 0; i < a->entries; i++) /* the rule's name dies with the old rules */
        if (a->entry[i].used && a->entry[i].active)
            a->entry[i].last.rule =
                rules_find(rules, (enum alarm_kind)a->entry[i].kind,
                           service_word(a, a->entry[i].service),
                           a->entry[i].client.family != 0 ? &a->entry[i].client : NULL)
                    ->source;
}

void alarm_stats(struct alarm_engine *a, const struct alarm_stats *s) {
    a->stats = *s;
}

const struct alarm_counters *alarm_counters(const struct alarm_engine *a) {
    return &a->counters;
}

/* All tables full; each index has twice as many slots as entries at most, after it has grown. */
static_assert(MOST_SERVICES * (sizeof(struct service) + 3 * sizeof(struct histogram) +
                               sizeof(struct closers)) +
                      MOST_ENDPOINTS * sizeof(struct endpoint) +
                      MOST_PAIRS * (sizeof(struct pair) + sizeof(struct pair_watch)) +
                      MOST_CLIENTS * sizeof(struct client) + MOST_SCANS * sizeof(struct scan) +
                      MOST_PORT_MAPS * sizeof(struct port_map) +
                      MOST_ALARMS * sizeof(struct entry) + MOST_SERIES * sizeof(struct baseline) +
                      MOST_CELLS * sizeof(struct baseline_cell) + sizeof(struct alarm_engine) +
                      sizeof(struct pair_sketch) + NEAR * sizeof(struct endpoint_near) +
                      TROUBLE_SORTS * sizeof(struct troubles) +
                      2 * sizeof(struct index_slot) *
                          (2 * MOST_SERVICES + MOST_ENDPOINTS + MOST_PAIRS + MOST_CLIENTS +
                           MOST_ALARMS + MOST_SERIES) <=
                  ALARM_MEMORY_MOST,
              "what alarm.h promises");

uint64_t alarm_memory(const struct alarm_engine *a) {
    uint64_t octets = sizeof *a + NEAR * sizeof *a->near + sizeof *a->sketch +
                      TROUBLE_SORTS * sizeof *a->trouble + a->services_room * sizeof *a->service +
                      a->endpoints_room * sizeof *a->endpoint + a->pairs_room * sizeof *a->pair +
                      a->watch_room * sizeof *a->watch + a->clients_room * sizeof *a->client +
                      a->scans * sizeof **a->scan + a->port_maps * sizeof *a->port_map[0] +
                      a->entries_room * sizeof *a->entry +
                      a->baselines.count * sizeof **a->baselines.series +
                      a->baselines.cells * sizeof(struct baseline_cell);
    const struct alarm_index *indexes[] = {&a->service_names, &a->endpoint_index,
                                           &a->pair_index,    &a->client_index,
                                           &a->entry_index,   &a->baselines.index};
    for (size_t i = 0; i < sizeof indexes / sizeof indexes[0]; i++)
        octets += (indexes[i]->mask + 1ull) * sizeof *indexes[i]->slot;
    for (uint32_t i = 0; i < a->services; i++) {
        for (int k = 0; k < 3; k++)
            octets += a->service[i].latency[k] != NULL ? sizeof(struct histogram) : 0;
        octets += a->service[i].closers != NULL ? sizeof(struct closers) : 0;
    }
    return octets;
}

/* ---- windows ---- */

static void detect_service(struct alarm_engine *a, int64_t i) {
    detect_half_open(a, i);
    detect_refused(a, i);
    detect_unreachable(a, i);
    detect_abort(a, i);
    detect_mass_close(a, i);
    detect_forged(a, i);
    detect_latency(a, i);
    if (!a->whole)
        return;
    detect_leak(a, i);
    detect_retrans(a, i);
    detect_stall(a, i);
    detect_drop(a, i);
    detect_idle(a, i);
}

/* Of one that was quiet for a minute nothing is asked but whether it is absent: an alarm that it
 * still has is settled without it. */
static void detect_pair(struct alarm_engine *a, uint32_t i) {
    struct pair *p = &a->pair[i];
    bool stirs = pair_stirs(a, i);
    if (stirs) {
        detect_timeout(a, p);
        detect_ports(a, p);
        detect_churn(a, p);
        if (a->whole)
            detect_pair_retrans(a, p);
    }
    if (a->whole)
        detect_silent(a, i, stirs && p->established > 0);
}

static void detect_client(struct alarm_engine *a, struct client *c) {
    detect_scan(a, c);
    detect_client_forged(a, c);
    if (!a->whole)
        return;
    detect_client_leak(a, c);
    detect_client_stall(a, c);
    detect_dead(a, c);
}

/* What was counted in this window joins the last minute's. */
static void fill_minute(struct service *s) {
    s->minute_closes[0] = s->closes;
    s->minute_aborts[0][0] = s->aborts[0];
    s->minute_aborts[0][1] = s->aborts[1];
    s->minute_odd[0] = s->odd_rst;
}

/* The picture is what was; the gauges were kept by what changed. */
static void set_gauges(struct alarm_engine *a) {
    for (uint32_t i = 0; i < a->services && a->whole; i++) {
        a->service[i].open = (int32_t)a->service[i].seen_open;
        a->service[i].half_open = (int32_t)a->service[i].seen_half_open;
    }
}

static void keep_most(uint64_t *most, uint64_t now) {
    *most = now > *most ? now : *most;
}

/* Totals only grow: where a source left its part out, the next window tells what both had. */
static void keep_totals(struct event_picture *before, const struct event_picture *sum) {
    keep_most(&before->packets, sum->packets);
    keep_most(&before->tcp, sum->tcp);
    keep_most(&before->duplicates, sum->duplicates);
    keep_most(&before->laden, sum->laden);
    keep_most(&before->gaps, sum->gaps);
    keep_most(&before->evicted, sum->evicted);
    for (unsigned i = 0; i < EVENT_IFACES; i++)
        keep_most(&before->passed[i], sum->passed[i]);
}

static void end_window(struct alarm_engine *a) {
    a->now_ns = a->picture_ns;
    a->picturing = false;
    if (a->first_ns == 0)
        a->first_ns = a->now_ns;
    if (a->baselines.since_ns == 0)
        a->baselines.since_ns = a->now_ns;
    set_gauges(a);
    detect_tap(a);
    for (uint32_t i = 0; i < a->services; i++) {
        if (!a->service[i].used)
            continue;
        fill_minute(&a->service[i]);
        detect_service(a, i);
    }
    for (uint32_t i = 0; i < a->pairs; i++)
        if (a->watch[i].used)
            detect_pair(a, i);
    for (uint32_t i = 0; i < a->clients; i++)
        if (a->client[i].used)
            detect_client(a, &a->client[i]);
    detect_self(a);
    alarm_settle(a);
    tables_turn(a);
    keep_totals(&a->before, &a->sum);
    a->sum = (struct event_picture){0};
    a->stats_before = a->stats;
    a->window_ns = a->now_ns;
}

static void begin_picture(struct alarm_engine *a, const struct event *e) {
    if (a->picturing && a->picture_ns == e->ts_ns)
        return;         /* another source's */
    if (a->picturing) { /* some source never ended the one before */
        feed_members(a);
        a->whole = false;
        end_window(a);
    }
    a->picturing = true;
    a->whole = true;
    a->picture_ns = e->ts_ns;
    a->ended = 0;
}

static void end_picture(struct alarm_engine *a, const struct event *e) {
    const struct event_picture *p = &e->picture;
    if (!a->picturing || e->ts_ns != a->picture_ns)
        return;
    feed_members(a);
    a->whole = a->whole && !p->torn;
    a->sum.packets += p->packets;
    a->sum.tcp += p->tcp;
    a->sum.duplicates += p->duplicates;
    a->sum.laden += p->laden;
    a->sum.gaps += p->gaps;
    a->sum.evicted += p->evicted;
    a->sum.flows += p->flows;
    for (unsigned i = 0; i < EVENT_IFACES; i++)
        a->sum.passed[i] += p->passed[i];
    if (++a->ended >= a->config.sources)
        end_window(a);
}

static void take_picture(struct alarm_engine *a, const struct event *e) {
    if (e->type == EVENT_MEMBER) {
        if (a->picturing && e->ts_ns == a->picture_ns)
            feed_member(a, e);
        return;
    }
    if (!(e->picture.purpose & EVENT_FOR_WINDOW))
        return;
    if (e->ts_ns > a->now_ns)
        a->now_ns = e->ts_ns;
    if (e->type == EVENT_PICTURE)
        begin_picture(a, e);
    else
        end_picture(a, e);
}

/* ---- events ---- */

__attribute__((noinline)) void engine_take(struct alarm_engine *a, const struct event *e) {
    alarm_catch_up(a);
    if (e->ts_ns > a->now_ns)
        a->now_ns = e->ts_ns;
    if (e->type == EVENT_TRANSITION)
        feed_transition(a, e);
    else if (e->type == EVENT_CONNECTION)
        feed_connection(a, e);
    else if (e->type == EVENT_SIGNAL)
        feed_signal(a, e);
    else
        take_picture(a, e);
}
