/*
 * ahead: memory that is there before it is touched.
 *
 * The kernel clears a page when it is touched first, and the packet that does it waits: while a
 * table of millions of connections grows, a third of the time. So a thread of its own has it
 * cleared before. It is asked, not waited for: what it has not come to is cleared as ever.
 */
#ifndef SPANWATCH_FLOW_AHEAD_H
#define SPANWATCH_FLOW_AHEAD_H

#include <stddef.h>

struct ahead;

struct ahead *ahead_new(void); /* NULL: memory is short; the thread begins when it is first asked */
void ahead_free(struct ahead *a);

/* These octets are soon to be touched. Where too much is asked for already, nothing is done; nor is
 * it by a NULL, nor by kernels without MADV_POPULATE_WRITE (Linux 5.14). They may be unmapped
 * meanwhile. */
void ahead_fetch(struct ahead *a, void *at, size_t octets);

#endif
