/*
 * `read --workers N`, N of 2 or more: the work of one thread, cut into three stages.
 *
 *   decoder thread               tracker thread               main thread
 *   capture, filter, decode      connections, timers          records, alarms, report, store
 *        |       segments in blocks   ^    |    events in blocks    ^
 *        +----------------------------+    +-------------------------+
 *
 * Each stage does what the one thread would do, to the same segments and events in the same order,
 * so that the output is the same to the octet. Connections are not shared out among trackers, as
 * live workers do it: what a tracker takes a segment for hangs on all segments before it (how much
 * the tap loses, which servers are known, what was a copy, which of two timers is first), and
 * trackers that tell each other all that in time would go no faster than one. A tracker's work is
 * about half of all, so that two cores are well used, and further ones are not. A belt between two
 * stages holds little (belt.h): memory is the same however large the captures are.
 *
 * Threads: read_stages_run is called by the main thread and ends both others; before and after it,
 * all is the main thread's, and what read_stages_take gets goes to the sink at once.
 */
#ifndef CLI_READ_STAGES_H
#define CLI_READ_STAGES_H

#include "read.h"

struct read_stages;

/* NULL when memory is short. `p` is open, and not started yet: its events are to go to
 * read_stages_take. What comes out goes to `sink`, by the main thread. */
struct read_stages *read_stages_new(struct read_pipe *p, event_sink *sink, void *context);
void read_stages_take(void *stages, const struct event *e); /* an event_sink */

/* All packets through all stages. `idle` is called while there are no events for some time. -1 with
 * `error` when there can be no threads. */
int read_stages_run(struct read_stages *s, void (*idle)(void *), void *idle_context,
                    struct base_error *error);

void read_stages_free(struct read_stages *s);

#endif
