/*
 * capture_share: which of several workers gets a packet.
 *
 * Whatever belongs to one connection has to come to one worker: both directions, copies, fragments,
 * ICMP errors that routers send about it, and all of that in tunnels, whose outer headers may
 * differ by direction or be shared by all. So workers are chosen by the pair of addresses in the
 * innermost IP header that a segment's endpoints are read from (of an ICMP error: in the quoted
 * header), whichever comes first. Ports are left out: fragments behind the first do not have them,
 * and what cannot be told of one packet of a connection must not be used for another. The price:
 * all connections between two addresses are one worker's.
 *
 * The choice is made twice, with the same result: by the kernel, through a program of classic BPF
 * that walks a packet's headers (PACKET_FANOUT_CBPF), and here, by the addresses alone. The hash is
 * keyed: strangers choose addresses. What the program does not follow (more than
 * CAPTURE_SHARE_LEVELS headers that carry others, and rare ones among the inner of them) it shares
 * by the innermost addresses that it knows; so it does with the fragments of a tunnel's packets, of
 * which only the first may show more. All fragments of a packet come to one worker then, which is
 * perhaps not the connection's: who decodes them has to hand the segment on. (The kernel would join
 * fragments before, PACKET_FANOUT_FLAG_DEFRAG, but of IPv4 in untagged frames only, in memory that
 * the host's own traffic needs, and copies of fragments make it join wrong ones.)
 */
#ifndef SPANWATCH_CAPTURE_SHARE_H
#define SPANWATCH_CAPTURE_SHARE_H

#include "spanwatch/base.h"

#include <linux/filter.h>

enum { CAPTURE_SHARE_LEVELS = 10, CAPTURE_SHARE_MOST = 4096 /* BPF_MAXINSNS */ };

struct capture_share {
    uint32_t key[2]; /* secret; of this run */
    uint32_t workers;
};

/* A new key. */
void capture_share_init(struct capture_share *s, size_t workers);

/* The worker, from 0, of a connection between two addresses (family 4 or 6; network order). */
size_t capture_share_worker(const struct capture_share *s, uint8_t family, const uint8_t *a,
                            const uint8_t *b);

/* The program, whose value modulo the number of workers is the worker. Returns its length. */
size_t capture_share_program(const struct capture_share *s,
                             struct sock_filter code[CAPTURE_SHARE_MOST]);

#endif
