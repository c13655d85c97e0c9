/*
 * timers: the hosts' settings in the units of the state machine.
 */
#include "tracker.h"

struct flow_timers flow_timers_default(void) {
    return (struct flow_timers){.tcp_fin_timeout = 60,
                                .tcp_syn_retries = 6,
                                .tcp_syn_linear_timeouts = 4,
                                .tcp_synack_retries = 5,
                                .tcp_retries2 = 15,
                                .tcp_orphan_retries = 0,
                                .tcp_rto_max_ms = 120000,
                                .tcp_keepalive_time = 7200,
                                .tcp_keepalive_intvl = 75,
                                .tcp_keepalive_probes = 9,
                                /* Linux's timer wheel rounds TCP_TIMEWAIT_LEN, 60 s, up to a tick
                                 * of the level that it falls into (kernel/time/timer.c,
                                 * calc_index): 2.05 s apart with HZ=250, so that TIME_WAIT ends
                                 * after 60.0 to 62.05 s, and nothing on the wire tells when. The
                                 * mean misses by least. */
                                .time_wait = 61};
}

static uint8_t small(uint32_t n) {
    return n > UINT8_MAX ? UINT8_MAX : (uint8_t)n;
}

void timers_convert(const struct flow_timers *in, struct tcp_timers *out) {
    *out = (struct tcp_timers){.fin_timeout_ns = in->tcp_fin_timeout * BASE_NS_PER_S,
                               .time_wait_ns = in->time_wait * BASE_NS_PER_S,
                               .rto_max_ns = in->tcp_rto_max_ms * BASE_NS_PER_MS,
                               .keepalive_intvl_ns = in->tcp_keepalive_intvl * BASE_NS_PER_S,
                               .syn_retries = small(in->tcp_syn_retries),
                               .syn_linear = small(in->tcp_syn_linear_timeouts),
                               .synack_retries = small(in->tcp_synack_retries),
                               .retries2 = small(in->tcp_retries2),
                               /* Linux tcp_orphan_retries(): 0 means 8 */
                               .orphan_retries =
                                   small(in->tcp_orphan_retries ? in->tcp_orphan_retries : 8),
                               .keepalive_probes = small(in->tcp_keepalive_probes)};
}

static uint64_t least_ns(const struct tcp_timers *t, uint64_t least) {
    uint64_t shorter = t->fin_timeout_ns < t->time_wait_ns ? t->fin_timeout_ns : t->time_wait_ns;
    return shorter < least ? shorter : least;
}

uint64_t timers_least_ns(const struct flow_tracker *t) {
    uint64_t ns = least_ns(&t->timers, FLOW_CHECK_MS * BASE_NS_PER_MS);
    for (size_t i = 0; i < t->config.host_count; i++)
        ns = least_ns(&t->host_timers[i], ns);
    return ns;
}

void rules_of_hosts(const struct flow_tracker *t, const struct flow *f, struct tcp_rules *rules) {
    for (unsigned side = 0; side < 2; side++) {
        struct base_addr a;
        flow_addr(t, f, side, &a);
        for (size_t i = 0; i < t->config.host_count; i++)
            if (base_addr_in(&a, &t->config.hosts[i].address, t->config.hosts[i].prefix_length)) {
                rules->timers[side] = &t->host_timers[i];
                break;
            }
    }
}
