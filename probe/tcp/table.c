/*
 * The state machine as data: RFC 9293 section 3.3.2 (figure 5) seen from beside the wire.
 *
 * tcp_sends[event][state]: what an endpoint that was in `state` is in now that it has sent a
 * segment with this event. tcp_receives[event][state]: what the endpoint that the segment is sent
 * to is in, if it receives it. An unlisted cell is impossible (TCP_IMPOSSIBLE): it changes nothing
 * and is counted as stray.
 */
#include "spanwatch/tcp.h"

#include <assert.h>

#define GO(to, why)                                                                                \
    { TCP_MOVE, TCP_##to, why }
#define KEEP(why)                                                                                  \
    { TCP_STAY, 0, why }
#define ALL_LIVE(cell)                                                                             \
    [TCP_SYN_SENT] = cell, [TCP_SYN_RECEIVED] = cell, [TCP_ESTABLISHED] = cell,                    \
    [TCP_FIN_WAIT_1] = cell, [TCP_FIN_WAIT_2] = cell, [TCP_CLOSE_WAIT] = cell,                     \
    [TCP_CLOSING] = cell, [TCP_LAST_ACK] = cell, [TCP_TIME_WAIT] = cell

/* clang-format off */
const struct tcp_cell tcp_sends[TCP_EVENTS][TCP_STATES] = {
    [TCP_EVENT_SYN] = {
        [TCP_CLOSED]       = GO(SYN_SENT,     "active open (RFC 9293 3.10.1)"),
        [TCP_LISTEN]       = GO(SYN_SENT,     "active open from LISTEN"),
        [TCP_SYN_SENT]     = KEEP("another try of the same open"),
        [TCP_SYN_RECEIVED] = KEEP("its SYN crossed the peer's"),
    },
    [TCP_EVENT_SYN_AGAIN] = {
        [TCP_CLOSED]       = GO(SYN_SENT, "it had not given up yet"),
        [TCP_SYN_SENT]     = KEEP("retransmission (3.8.1)"),
        [TCP_SYN_RECEIVED] = GO(SYN_SENT, "a bare SYN again: the peer's SYN did not arrive"),
        [TCP_ESTABLISHED]  = GO(SYN_SENT, "the SYN-ACK did not arrive"),
    },
    [TCP_EVENT_SYN_ACK] = {
        [TCP_CLOSED]       = GO(SYN_RECEIVED, "passive open (3.10.7.2)"),
        [TCP_LISTEN]       = GO(SYN_RECEIVED, "passive open (3.10.7.2)"),
        [TCP_SYN_SENT]     = GO(SYN_RECEIVED, "simultaneous open (3.5, figure 7)"),
        [TCP_SYN_RECEIVED] = KEEP("simultaneous open, or a retransmission"),
        [TCP_ESTABLISHED]  = KEEP("simultaneous open: it was sent before the peer's SYN-ACK arrived"),
    },
    [TCP_EVENT_SYN_ACK_AGAIN] = {
        [TCP_CLOSED]       = GO(SYN_RECEIVED, "it had not given up yet"),
        [TCP_SYN_RECEIVED] = KEEP("retransmission"),
        [TCP_ESTABLISHED]  = GO(SYN_RECEIVED, "the ACK did not arrive, or was ignored"),
        [TCP_CLOSE_WAIT]   = GO(SYN_RECEIVED, "neither the ACK nor the FIN arrived"),
        [TCP_FIN_WAIT_1]   = KEEP("Fast Open (RFC 7413): closed before its SYN was acknowledged"),
    },
    [TCP_EVENT_ACK] = {
        [TCP_CLOSED]       = GO(ESTABLISHED, "it speaks within a connection whose begin was not seen"),
        [TCP_LISTEN]       = GO(ESTABLISHED, "it speaks within a connection whose begin was not seen"),
        [TCP_SYN_SENT]     = GO(ESTABLISHED, "it acknowledges the peer's SYN"),
        [TCP_SYN_RECEIVED] = GO(ESTABLISHED, "only a synchronized endpoint sends this"),
        [TCP_ESTABLISHED]  = KEEP("synchronized"),
        [TCP_FIN_WAIT_1]   = KEEP("synchronized"),
        [TCP_FIN_WAIT_2]   = KEEP("synchronized"),
        [TCP_CLOSE_WAIT]   = KEEP("synchronized"),
        [TCP_CLOSING]      = KEEP("synchronized"),
        [TCP_LAST_ACK]     = KEEP("synchronized"),
        [TCP_TIME_WAIT]    = KEEP("it answers what comes late (3.10.7.4)"),
    },
    [TCP_EVENT_ACK_OF_FIN] = { /* it has received the peer's FIN, proven */
        [TCP_CLOSED]       = KEEP("late"),
        [TCP_SYN_RECEIVED] = GO(CLOSE_WAIT, "3.10.7.4, eighth"),
        [TCP_ESTABLISHED]  = GO(CLOSE_WAIT, "3.10.7.4, eighth"),
        [TCP_FIN_WAIT_1]   = GO(CLOSING,    "3.10.7.4, eighth"),
        [TCP_FIN_WAIT_2]   = GO(TIME_WAIT,  "3.10.7.4, eighth"),
        [TCP_CLOSE_WAIT]   = KEEP("as assumed"),
        [TCP_CLOSING]      = KEEP("as assumed"),
        [TCP_LAST_ACK]     = KEEP("as assumed"),
        [TCP_TIME_WAIT]    = KEEP("as assumed"),
    },
    [TCP_EVENT_ACK_BEFORE_FIN] = { /* it has not received the peer's FIN after all */
        [TCP_CLOSED]       = KEEP("late"),
        [TCP_ESTABLISHED]  = KEEP("nothing was assumed"),
        [TCP_FIN_WAIT_1]   = KEEP("nothing was assumed"),
        [TCP_FIN_WAIT_2]   = KEEP("nothing was assumed"),
        [TCP_SYN_RECEIVED] = KEEP("nothing was assumed"),
        [TCP_SYN_SENT]     = KEEP("nothing was assumed"),
        [TCP_CLOSE_WAIT]   = GO(ESTABLISHED, "the FIN was lost beyond the tap"),
        [TCP_CLOSING]      = GO(FIN_WAIT_1,  "the FIN was lost beyond the tap"),
        [TCP_LAST_ACK]     = GO(FIN_WAIT_1,  "the FIN was lost beyond the tap"),
        [TCP_TIME_WAIT]    = GO(FIN_WAIT_2,  "the FIN was lost beyond the tap"),
    },
    [TCP_EVENT_FIN] = {
        [TCP_SYN_RECEIVED] = GO(FIN_WAIT_1, "3.10.4; Fast Open closes here"),
        [TCP_ESTABLISHED]  = GO(FIN_WAIT_1, "active close (3.6, case 1)"),
        [TCP_CLOSE_WAIT]   = GO(LAST_ACK,   "passive close (3.6, case 2)"),
        [TCP_FIN_WAIT_1]   = KEEP("already sent"),
        [TCP_FIN_WAIT_2]   = KEEP("already sent"),
        [TCP_CLOSING]      = KEEP("already sent"),
        [TCP_LAST_ACK]     = KEEP("already sent"),
        [TCP_TIME_WAIT]    = KEEP("already sent"),
        [TCP_CLOSED]       = KEEP("late"),
    },
    [TCP_EVENT_FIN_CROSSING] = {
        [TCP_ESTABLISHED]  = GO(FIN_WAIT_1, "active close"),
        [TCP_CLOSE_WAIT]   = GO(FIN_WAIT_1, "the peer's FIN had not come when it sent this; it follows (3.6, case 3)"),
    },
    [TCP_EVENT_FIN_AGAIN] = {
        [TCP_FIN_WAIT_1]   = KEEP("retransmission"),
        [TCP_CLOSING]      = KEEP("retransmission"),
        [TCP_LAST_ACK]     = KEEP("retransmission"),
        [TCP_FIN_WAIT_2]   = GO(FIN_WAIT_1, "the ACK of its FIN did not arrive"),
        [TCP_TIME_WAIT]    = GO(CLOSING,    "the ACK of its FIN did not arrive"),
        [TCP_CLOSED]       = GO(LAST_ACK,   "the ACK of its FIN did not arrive"),
    },
    [TCP_EVENT_FIN_UNSENT] = {
        [TCP_FIN_WAIT_1]   = GO(ESTABLISHED, "it sends on: the FIN was not its own"),
        [TCP_FIN_WAIT_2]   = GO(ESTABLISHED, "it sends on: the FIN was not its own"),
        [TCP_CLOSING]      = GO(CLOSE_WAIT,  "it sends on: the FIN was not its own"),
        [TCP_LAST_ACK]     = GO(CLOSE_WAIT,  "it sends on: the FIN was not its own"),
        [TCP_TIME_WAIT]    = GO(CLOSE_WAIT,  "it sends on: the FIN was not its own"),
        [TCP_CLOSED]       = GO(CLOSE_WAIT,  "it sends on: the FIN was not its own"),
    },
    [TCP_EVENT_ALIVE] = {
        [TCP_CLOSED]       = GO(FIN_WAIT_2, "a process still reads: no orphan, whose time would have run out"),
    },
    [TCP_EVENT_RST] = {
        [TCP_CLOSED] = KEEP("3.10.7.1: the answer of a closed port"),
        [TCP_LISTEN] = KEEP("3.10.7.2"),
        ALL_LIVE(GO(CLOSED, "abort (3.10.5), or no such connection")),
    },
};

const struct tcp_cell tcp_receives[TCP_EVENTS][TCP_STATES] = {
    [TCP_EVENT_SYN] = {
        [TCP_CLOSED]       = KEEP("moves only its sender until it is answered (design 1.2)"),
        [TCP_LISTEN]       = KEEP("moves only its sender until it is answered (design 1.2)"),
        [TCP_SYN_SENT]     = GO(SYN_RECEIVED, "simultaneous open (3.5, figure 7)"),
        [TCP_SYN_RECEIVED] = KEEP("retransmission"),
        [TCP_ESTABLISHED]  = KEEP("challenge ACK (RFC 5961 section 4)"),
        [TCP_FIN_WAIT_1]   = KEEP("challenge ACK"),
        [TCP_FIN_WAIT_2]   = KEEP("challenge ACK"),
        [TCP_CLOSE_WAIT]   = KEEP("challenge ACK"),
        [TCP_CLOSING]      = KEEP("challenge ACK"),
        [TCP_LAST_ACK]     = KEEP("challenge ACK"),
        [TCP_TIME_WAIT]    = KEEP("its answer decides (3.10.7.4)"),
    },
    [TCP_EVENT_SYN_ACK] = {
        [TCP_CLOSED]       = KEEP("backscatter, or its SYN was not seen: its answer decides"),
        [TCP_LISTEN]       = KEEP("it will answer with a RST"),
        [TCP_SYN_SENT]     = GO(ESTABLISHED, "3.10.7.3, fourth"),
        [TCP_SYN_RECEIVED] = GO(ESTABLISHED, "simultaneous open"),
        [TCP_ESTABLISHED]  = KEEP("retransmission"),
        [TCP_FIN_WAIT_1]   = KEEP("retransmission"),
        [TCP_FIN_WAIT_2]   = KEEP("retransmission"),
        [TCP_CLOSE_WAIT]   = KEEP("retransmission"),
        [TCP_CLOSING]      = KEEP("retransmission"),
        [TCP_LAST_ACK]     = KEEP("retransmission"),
        [TCP_TIME_WAIT]    = KEEP("retransmission"),
    },
    [TCP_EVENT_ACK] = { /* the sender speaks as one that has this end's SYN */
        [TCP_CLOSED]       = GO(ESTABLISHED, "its part of the handshake was not seen"),
        [TCP_LISTEN]       = GO(ESTABLISHED, "its part of the handshake was not seen"),
        [TCP_SYN_SENT]     = KEEP("an ACK of its SYN says more"),
        [TCP_SYN_RECEIVED] = KEEP("an ACK of its SYN says more"),
        [TCP_ESTABLISHED]  = KEEP("synchronized"),
        [TCP_FIN_WAIT_1]   = KEEP("synchronized"),
        [TCP_FIN_WAIT_2]   = KEEP("synchronized"),
        [TCP_CLOSE_WAIT]   = KEEP("synchronized"),
        [TCP_CLOSING]      = KEEP("synchronized"),
        [TCP_LAST_ACK]     = KEEP("synchronized"),
        [TCP_TIME_WAIT]    = KEEP("synchronized"),
    },
    [TCP_EVENT_ACK_OF_SYN] = {
        [TCP_SYN_SENT]     = GO(ESTABLISHED, "the SYN-ACK was not seen, but the peer is synchronized"),
        [TCP_SYN_RECEIVED] = GO(ESTABLISHED, "3.10.7.4, fifth"),
        [TCP_CLOSED]       = KEEP("late"),
        [TCP_ESTABLISHED]  = KEEP("already acknowledged"),
        [TCP_FIN_WAIT_1]   = KEEP("already acknowledged"),
        [TCP_FIN_WAIT_2]   = KEEP("already acknowledged"),
        [TCP_CLOSE_WAIT]   = KEEP("already acknowledged"),
        [TCP_CLOSING]      = KEEP("already acknowledged"),
        [TCP_LAST_ACK]     = KEEP("already acknowledged"),
        [TCP_TIME_WAIT]    = KEEP("already acknowledged"),
    },
    [TCP_EVENT_ACK_OF_FIN] = {
        [TCP_CLOSED]       = KEEP("late"),
        [TCP_FIN_WAIT_1]   = GO(FIN_WAIT_2, "3.10.7.4, fifth"),
        [TCP_CLOSING]      = GO(TIME_WAIT,  "3.10.7.4, fifth"),
        [TCP_LAST_ACK]     = GO(CLOSED,     "3.10.7.4, fifth"),
        [TCP_FIN_WAIT_2]   = KEEP("already acknowledged"),
        [TCP_TIME_WAIT]    = KEEP("already acknowledged"),
    },
    [TCP_EVENT_FIN] = {
        [TCP_CLOSED]       = KEEP("it will answer with a RST"),
        [TCP_SYN_SENT]     = KEEP("3.10.7.3: not synchronized"),
        [TCP_SYN_RECEIVED] = GO(CLOSE_WAIT, "3.10.7.4, eighth"),
        [TCP_ESTABLISHED]  = GO(CLOSE_WAIT, "3.10.7.4, eighth"),
        [TCP_FIN_WAIT_1]   = GO(CLOSING,    "simultaneous close (3.6, case 3)"),
        [TCP_FIN_WAIT_2]   = GO(TIME_WAIT,  "3.10.7.4, eighth"),
        [TCP_CLOSE_WAIT]   = KEEP("retransmission"),
        [TCP_CLOSING]      = KEEP("retransmission"),
        [TCP_LAST_ACK]     = KEEP("retransmission"),
        [TCP_TIME_WAIT]    = KEEP("retransmission: TIME_WAIT begins anew"),
    },
    [TCP_EVENT_FIN_UNSENT] = {
        [TCP_CLOSED]       = KEEP("late"),
        [TCP_SYN_RECEIVED] = KEEP("nothing was assumed"),
        [TCP_ESTABLISHED]  = KEEP("nothing was assumed"),
        [TCP_FIN_WAIT_1]   = KEEP("nothing was assumed"),
        [TCP_FIN_WAIT_2]   = KEEP("nothing was assumed"),
        [TCP_CLOSE_WAIT]   = GO(ESTABLISHED, "the peer sends on: it has not closed"),
        [TCP_CLOSING]      = GO(FIN_WAIT_1,  "the peer sends on: it has not closed"),
        [TCP_LAST_ACK]     = GO(FIN_WAIT_1,  "the peer sends on: it has not closed"),
        [TCP_TIME_WAIT]    = GO(FIN_WAIT_2,  "the peer sends on: it has not closed"),
    },
    [TCP_EVENT_RST] = {
        [TCP_CLOSED] = KEEP("nothing to reset"),
        [TCP_LISTEN] = KEEP("3.10.7.2: ignored"),
        ALL_LIVE(GO(CLOSED, "3.10.7.4, second; in TIME_WAIT Linux yields too (RFC 1337 is off)")),
    },
};
/* clang-format on */

const char *tcp_event_name(enum tcp_event e) {
    static const char *const name[TCP_EVENTS] = {
        [TCP_EVENT_SYN] = "SYN",
        [TCP_EVENT_SYN_AGAIN] = "SYN again",
        [TCP_EVENT_SYN_ACK] = "SYN-ACK",
        [TCP_EVENT_SYN_ACK_AGAIN] = "SYN-ACK again",
        [TCP_EVENT_ACK] = "ACK",
        [TCP_EVENT_ACK_OF_SYN] = "ACK of SYN",
        [TCP_EVENT_ACK_OF_FIN] = "ACK of FIN",
        [TCP_EVENT_ACK_BEFORE_FIN] = "ACK before FIN",
        [TCP_EVENT_FIN] = "FIN",
        [TCP_EVENT_FIN_CROSSING] = "FIN crossing",
        [TCP_EVENT_FIN_AGAIN] = "FIN again",
        [TCP_EVENT_FIN_UNSENT] = "FIN unsent",
        [TCP_EVENT_ALIVE] = "alive",
        [TCP_EVENT_RST] = "RST",
    };
    assert(e < TCP_EVENTS);
    return name[e];
}
