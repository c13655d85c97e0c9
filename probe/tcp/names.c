/*
 * The texts of states, causes and reasons (design 1.2, 1.3).
 */
#include "spanwatch/tcp_state.h"

#include <assert.h>
#include <stddef.h>

const char *tcp_state_name(enum tcp_state s) {
    static const char *const name[TCP_STATES] = {
        [TCP_CLOSED] = "CLOSED",           [TCP_LISTEN] = "LISTEN",
        [TCP_SYN_SENT] = "SYN_SENT",       [TCP_SYN_RECEIVED] = "SYN_RECEIVED",
        [TCP_ESTABLISHED] = "ESTABLISHED", [TCP_FIN_WAIT_1] = "FIN_WAIT_1",
        [TCP_FIN_WAIT_2] = "FIN_WAIT_2",   [TCP_CLOSE_WAIT] = "CLOSE_WAIT",
        [TCP_CLOSING] = "CLOSING",         [TCP_LAST_ACK] = "LAST_ACK",
        [TCP_TIME_WAIT] = "TIME_WAIT",
    };
    assert(s < TCP_STATES);
    return name[s];
}

const char *tcp_cause_name(enum tcp_cause c) {
    static const char *const name[TCP_CAUSES] = {
        [TCP_CAUSE_SYN] = "syn",
        [TCP_CAUSE_SYN_ACK] = "syn_ack",
        [TCP_CAUSE_ACK] = "ack",
        [TCP_CAUSE_DATA] = "data",
        [TCP_CAUSE_FIN] = "fin",
        [TCP_CAUSE_RST] = "rst",
        [TCP_CAUSE_ICMP] = "icmp",
        [TCP_CAUSE_ROLES] = "roles",
        [TCP_CAUSE_MOVED] = "moved",
        [TCP_CAUSE_EVICT] = "evict",
        [TCP_CAUSE_TIMEOUT_SYN_SENT] = "timeout:syn_sent",
        [TCP_CAUSE_TIMEOUT_SYN_RECEIVED] = "timeout:syn_received",
        [TCP_CAUSE_TIMEOUT_RETRANSMIT] = "timeout:retransmit",
        [TCP_CAUSE_TIMEOUT_KEEPALIVE] = "timeout:keepalive",
        [TCP_CAUSE_TIMEOUT_FIN_WAIT_2] = "timeout:fin_wait_2",
        [TCP_CAUSE_TIMEOUT_TIME_WAIT] = "timeout:time_wait",
        [TCP_CAUSE_TIMEOUT_IDLE] = "timeout:idle",
    };
    assert(c < TCP_CAUSES);
    return name[c];
}

const char *tcp_inferred_name(enum tcp_inferred r) {
    static const char *const name[TCP_INFERRED_REASONS] = {
        [TCP_PROVEN] = "",
        [TCP_INFERRED_MIDSTREAM] = "midstream",
        [TCP_INFERRED_GAP] = "gap",
        [TCP_INFERRED_ONE_SIDED] = "one_sided",
        [TCP_INFERRED_TIMER] = "timer",
    };
    assert(r < TCP_INFERRED_REASONS);
    return name[r];
}
