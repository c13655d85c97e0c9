/*
 * spanwatch-bench-alarms: what share of the packet path's processor time the alarms take.
 *
 *   spanwatch-bench-alarms FILE [RUNS]
 *
 * `spanwatch read FILE --format none`, RUNS times (default 9) as it is and, in turn, without its
 * alarms: no event comes to them, no pictures are made for their windows, no signals sent. Each run
 * is a process of its own, forked before anything was done.
 *
 * Output: one JSON object: user seconds with and without (median and least of the runs), and the
 * share of those with alarms that the alarms are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe/cli/alarms.h"
#include "probe/cli/cli.h"
#include "probe/cli/read.h"

enum { MOST_RUNS = 999 };

/* Called by read.c in the place of others: see tests.cmake. */
void bench_alarms_take(struct cli_alarms *a, size_t source, const struct event *e);
int bench_pipe_start(struct read_pipe *p, const struct cli_config *config,
                     const struct service_table *services, event_sink *sink, void *context,
                     struct base_error *error);

static bool without;

void bench_alarms_take(struct cli_alarms *a, size_t source, const struct event *e) {
    if (!without)
        cli_alarms_take(a, source, e);
}

int bench_pipe_start(struct read_pipe *p, const struct cli_config *config,
                     const struct service_table *services, event_sink *sink, void *context,
                     struct base_error *error) {
    p->path.pictures.for_windows = !without;
    return read_pipe_start(p, config, services, sink, context, error);
}

/* User seconds of one run. */
static double run(char *file) {
    struct rusage usage;
    int status;
    pid_t child = fork();
    if (child == 0) {
        char *arguments[] = {"spanwatch", "read", "--format", "none", file, NULL};
        exit(cli_main(5, arguments));
    }
    if (child < 0 || wait4(child, &status, 0, &usage) != child || status != 0) {
        fprintf(stderr, "spanwatch-bench-alarms: %s: a run failed\n", file);
        exit(1);
    }
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6;
}

static int by_size(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

int main(int argc, char **argv) {
    static double seconds[2][MOST_RUNS];
    int runs = argc > 2 ? atoi(argv[2]) : 9;
    if (argc < 2 || runs < 1 || runs > MOST_RUNS) {
        fprintf(stderr, "usage: spanwatch-bench-alarms FILE [RUNS]\n");
        return 2;
    }
    for (int i = 0; i < runs; i++)
        for (int k = 0; k < 2; k++) {
            without = k == 1;
            seconds[k][i] = run(argv[1]);
        }
    for (int k = 0; k < 2; k++)
        qsort(seconds[k], (size_t)runs, sizeof seconds[k][0], by_size);
    double with_median = seconds[0][runs / 2], without_median = seconds[1][runs / 2];
    printf("{\"runs\":%d,\"with\":%.3f,\"without\":%.3f,\"share\":%.3f,\"least_with\":%.3f,"
           "\"least_without\":%.3f,\"share_of_least\":%.3f}\n",
           runs, with_median, without_median, 1 - without_median / with_median, seconds[0][0],
           seconds[1][0], 1 - seconds[1][0] / seconds[0][0]);
    return 0;
}
