/*
 * time_wait_ports: a client runs out of ports towards a service. Of a pair that opened many
 * connections in the last minute: different client ports that are live or were closed within `age`
 * seconds, as a share of `limit` (28,232 ports: Linux's ip_local_port_range). Raised at `raise` %,
 * critical at `critical` %, quiet below `clear` %. Raised too when ports are used again within
 * `age` seconds: at least `samples` times, and `factor` times as often as chance gives at this rate
 * and range (half of it: Linux prefers one parity for connect). In the last minute, or in this
 * window alone: where a small range is used up at a high rate, no port comes again until it is
 * used up, and then each does.
 */
#include "engine.h"

enum { MAP_FROM = 100 /* connections in a minute */ };

void ports_forget(struct pair *p) {
    if (p->ports != NULL)
        p->ports->pair = UINT32_MAX;
    p->ports = NULL;
}

static struct port_map *take_map(struct alarm_engine *a, uint32_t pair) {
    struct port_map *m = NULL;
    for (uint32_t i = 0; i < a->port_maps && m == NULL; i++)
        if (a->port_map[i]->pair == UINT32_MAX)
            m = a->port_map[i];
    if (m == NULL && a->port_maps < MOST_PORT_MAPS) {
        m = malloc(sizeof *m);
        if (m != NULL)
            a->port_map[a->port_maps++] = m;
    }
    if (m == NULL)
        return NULL;
    memset(m, 0, sizeof *m);
    m->pair = pair;
    return m;
}

void ports_note(struct alarm_engine *a, struct pair *p, uint16_t port, uint64_t ts_ns, bool opens) {
    uint32_t second = (uint32_t)(ts_ns / BASE_NS_PER_S);
    if (p->ports == NULL) {
        if (!opens || minute_sum(p->minute_opened) < MAP_FROM)
            return;
        p->ports = take_map(a, (uint32_t)(p - a->pair));
        if (p->ports == NULL)
            return;
    }
    struct port_map *m = p->ports;
    if (opens) {
        m->opened[0]++;
        m->reused[0] +=
            m->second[port] != 0 && second - m->second[port] < a->age_s[ALARM_TIME_WAIT_PORTS];
    }
    m->second[port] = second;
}

static uint32_t ports_in_use(const struct port_map *m, uint32_t since) {
    uint32_t n = 0;
    for (uint32_t port = 0; port < 65536; port++)
        n += m->second[port] >= since && m->second[port] != 0;
    return n;
}

/* More ports came again than chance brings, of `opened` while `used` were taken. */
static bool beyond_chance(const struct judgement *j, double reused, double opened, double used) {
    double chance = opened * used / (rule_of(j, ALARM_LIMIT) / 2);
    return reused >= rule_of(j, ALARM_SAMPLES) && reused > rule_of(j, ALARM_FACTOR) * chance;
}

void detect_ports(struct alarm_engine *a, struct pair *p) {
    struct judgement j;
    struct port_map *m = p->ports;
    if ((m == NULL && !alarm_is_known(a, ALARM_TIME_WAIT_PORTS, p->service, &p->client)) ||
        !judgement_begin(a, &j, ALARM_TIME_WAIT_PORTS, p->service, &p->client))
        return;
    double range = rule_of(&j, ALARM_LIMIT), used = 0, reused = 0, opened = 0;
    bool again = false;
    if (m != NULL) {
        uint64_t age = (uint64_t)rule_of(&j, ALARM_AGE);
        used = ports_in_use(m, (uint32_t)(a->now_ns / BASE_NS_PER_S - age));
        reused = minute_sum(m->reused);
        opened = minute_sum(m->opened);
        again = beyond_chance(&j, reused, opened, used) ||
                beyond_chance(&j, m->reused[0], m->opened[0], used);
    }
    j.value = 100 * used / range;
    j.raise = rule_of(&j, ALARM_RAISE);
    j.clear = rule_of(&j, ALARM_CLEAR);
    j.span_ns = 60 * BASE_NS_PER_S;
    j.samples = p->opened;
    j.level = j.value >= rule_of(&j, ALARM_CRITICAL)                     ? LEVEL_CRITICAL
              : j.value >= j.raise || again                              ? LEVEL_WARNING
              : j.value < j.clear && reused < rule_of(&j, ALARM_SAMPLES) ? LEVEL_QUIET
                                                                         : LEVEL_BETWEEN;
    j.detail.count = used;
    j.detail.total = range;
    j.detail.rate = opened / 60;
    j.detail.median = reused;
    if (j.value >= j.clear && opened > 0 && used < range) {
        j.limit = range; /* each connection keeps its port for a minute after its end */
        j.forecast_ns = a->now_ns + (uint64_t)((range - used) / (opened / 60) * 1e9);
    }
    j.trouble = TROUBLE_SORTS;
    alarm_judge(a, &j);
    if (m == NULL)
        return;
    minute_turn(m->reused);
    minute_turn(m->opened);
    if (used == 0)
        ports_forget(p);
}
