/*
 * The words of the contract (design 1.2, 1.3): states, causes, reasons. Shared by all rooms that
 * speak of them; numbers stay inside the program, the texts are what users see.
 */
#ifndef SPANWATCH_TCP_STATE_H
#define SPANWATCH_TCP_STATE_H

#include <stdint.h>

enum tcp_state { /* RFC 9293 section 3.3.2 */
                 TCP_CLOSED,
                 TCP_LISTEN,
                 TCP_SYN_SENT,
                 TCP_SYN_RECEIVED,
                 TCP_ESTABLISHED,
                 TCP_FIN_WAIT_1,
                 TCP_FIN_WAIT_2,
                 TCP_CLOSE_WAIT,
                 TCP_CLOSING,
                 TCP_LAST_ACK,
                 TCP_TIME_WAIT,
                 TCP_STATES
};

enum tcp_cause { /* what changed a state */
                 TCP_CAUSE_SYN,
                 TCP_CAUSE_SYN_ACK,
                 TCP_CAUSE_ACK,
                 TCP_CAUSE_DATA,
                 TCP_CAUSE_FIN,
                 TCP_CAUSE_RST,
                 TCP_CAUSE_ICMP,
                 TCP_CAUSE_ROLES,
                 TCP_CAUSE_MOVED,
                 TCP_CAUSE_EVICT,
                 TCP_CAUSE_TIMEOUT_SYN_SENT,
                 TCP_CAUSE_TIMEOUT_SYN_RECEIVED,
                 TCP_CAUSE_TIMEOUT_RETRANSMIT,
                 TCP_CAUSE_TIMEOUT_KEEPALIVE,
                 TCP_CAUSE_TIMEOUT_FIN_WAIT_2,
                 TCP_CAUSE_TIMEOUT_TIME_WAIT,
                 TCP_CAUSE_TIMEOUT_IDLE,
                 TCP_CAUSES
};

enum tcp_inferred { /* why a change is not proven by a packet; the first that applies */
                    TCP_PROVEN,
                    TCP_INFERRED_MIDSTREAM,
                    TCP_INFERRED_GAP,
                    TCP_INFERRED_ONE_SIDED,
                    TCP_INFERRED_TIMER,
                    TCP_INFERRED_REASONS
};

/* "ESTABLISHED", "timeout:time_wait", "midstream"; TCP_PROVEN is the empty string. */
const char *tcp_state_name(enum tcp_state s);
const char *tcp_cause_name(enum tcp_cause c);
const char *tcp_inferred_name(enum tcp_inferred r);

#endif
