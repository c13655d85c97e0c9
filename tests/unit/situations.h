/*
 * Beginnings and ends that many cases share, in the notation of notation.h. ISNs are 1000 and 5000,
 * round trips from the tap 10 ms to either end.
 */
#ifndef TESTS_UNIT_SITUATIONS_H
#define TESTS_UNIT_SITUATIONS_H

#define HANDSHAKE                                                                                  \
    {"0 c>s S 1000", "SYN_SENT/CLOSED syn"},                                                       \
        {"0.01 s>c SA 5000 1001", "ESTABLISHED/SYN_RECEIVED syn_ack"}, {                           \
        "0.02 c>s A 1001 5001", "ESTABLISHED/ESTABLISHED ack"                                      \
    }

/* From HANDSHAKE; TIME_WAIT begins at 1.5 s. */
#define CLOSED_BY_CLIENT                                                                           \
    {"1 c>s FA 1001 5001", "FIN_WAIT_1/CLOSE_WAIT fin"},                                           \
        {"1.01 s>c A 5001 1002", "FIN_WAIT_2/CLOSE_WAIT ack"},                                     \
        {"1.5 s>c FA 5001 1002", "TIME_WAIT/LAST_ACK fin"}, {                                      \
        "1.51 c>s A 1002 5002", "TIME_WAIT/CLOSED ack"                                             \
    }

#define CLOSED_BY_SERVER                                                                           \
    {"1 s>c FA 5001 1001", "CLOSE_WAIT/FIN_WAIT_1 fin"},                                           \
        {"1.01 c>s A 1001 5002", "CLOSE_WAIT/FIN_WAIT_2 ack"},                                     \
        {"1.5 c>s FA 1001 5002", "LAST_ACK/TIME_WAIT fin"}, {                                      \
        "1.51 s>c A 5002 1002", "CLOSED/TIME_WAIT ack"                                             \
    }

#endif
