/*
 * --filter: a BPF expression applied to packets of files, in user space.
 *
 * Input: an expression of pcap-filter(7), and packets of any link types. Output: whether a packet
 * matches. A program is compiled for each link type when its first packet comes. Owner: the reader;
 * one thread.
 *
 * On an interface the kernel applies the expression, when it has taken the outer VLAN tag off a
 * frame: "tcp" matches TCP in a VLAN, too. So it is here, unless the expression itself speaks of
 * VLANs, as libpcap then looks for the tag in both places.
 */
#ifndef CLI_FILTER_H
#define CLI_FILTER_H

#include "spanwatch/capture.h"

struct cli_filter;

/* 0 and *out, or -1 with `error` when no link type at all can have this expression. The expression
 * is borrowed. */
int cli_filter_new(struct cli_filter **out, const char *expression, struct base_error *error);

/* Does the packet match? False, and a fault, on a link type for which the expression cannot be
 * compiled. */
bool cli_filter_match(struct cli_filter *f, const struct packet *p);

/* How many link types met could not be filtered; the first is told in `first`. */
size_t cli_filter_faults(const struct cli_filter *f, struct base_error *first);

void cli_filter_free(struct cli_filter *f);

#endif
