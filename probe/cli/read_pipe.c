/*
 * The pipeline of `read`: capture files into the path of packets.
 *
 * Input: capture files. Output: events to a sink, counters. Owner: one thread.
 */
#include "read.h"

void read_ignore_event(void *context, const struct event *e) {
    (void)context;
    (void)e;
}

int read_pipe_open(struct read_pipe *p, const struct cli_options *o, struct base_error *error) {
    *p = (struct read_pipe){0};
    if (cli_pipe_init(&p->path, o->filter, error) != 0)
        return -1;
    return capture_open_files(&p->capture, o->files, o->file_count, error);
}

int read_pipe_start(struct read_pipe *p, const struct cli_config *config,
                    const struct service_table *services, event_sink *sink, void *context,
                    struct base_error *error) {
    if (cli_pipe_start(&p->path, config, services, sink, context, error) != 0)
        return -1;
    cli_progress_start(&p->progress);
    return 0;
}

size_t read_pipe_next(struct read_pipe *p) {
    struct packet batch[CAPTURE_BATCH];
    size_t n = 0, read;
    while (n == 0 && (read = capture_read(p->capture, batch)) > 0) {
        cli_progress_update(&p->progress, p->capture);
        n = cli_pipe_decode(&p->path, batch, read);
    }
    return n;
}

void read_pipe_run(struct read_pipe *p) {
    size_t n;
    while ((n = read_pipe_next(p)) > 0)
        flow_batch(p->path.tracker, p->path.segment, p->path.verdict, n);
}

void read_pipe_stats(const struct read_pipe *p, struct record_stats *s) {
    cli_pipe_stats(&p->path, s);
    capture_drops(p->capture, &s->kernel_drops, &s->interface_drops);
}

void read_pipe_close(struct read_pipe *p) {
    cli_progress_stop(&p->progress);
    if (p->capture != NULL)
        capture_free(p->capture);
    cli_pipe_fini(&p->path);
    *p = (struct read_pipe){0};
}
