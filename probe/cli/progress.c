/*
 * The progress line of `read`: octets done, share, rate.
 *
 * Input: capture_progress and the machine's clock, which is right here: the line tells a person how
 * fast work goes, and never becomes data. Output: one line on a terminal, wiped at the end. Nothing
 * anywhere else.
 */
#include "progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 30 /* columns */, INTERVAL_NS = 100000000 };

static uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * BASE_NS_PER_S + (uint64_t)t.tv_nsec;
}

void cli_progress_start(struct cli_progress *p) {
    *p = (struct cli_progress){.shown = isatty(STDERR_FILENO) == 1};
    if (p->shown) {
        p->start_ns = clock_ns();
        p->next_ns = p->start_ns + INTERVAL_NS;
    }
}

static void draw(uint64_t done, uint64_t total, uint64_t elapsed_ns) {
    static const char full[] = "##############################";
    double mib = (double)done / (1 << 20), seconds = (double)elapsed_ns / (double)BASE_NS_PER_S;
    double rate = seconds > 0 ? mib / seconds : 0;
    if (total == 0) {
        fprintf(stderr, "\r\033[K%.1f MiB, %.1f MiB/s", mib, rate);
        return;
    }
    double share = done < total ? (double)done / (double)total : 1;
    fprintf(stderr, "\r\033[K[%-*.*s] %3.0f%% of %.1f MiB, %.1f MiB/s", BAR, (int)(share * BAR),
            full, share * 100, (double)total / (1 << 20), rate);
}

void cli_progress_update(struct cli_progress *p, const struct capture *c) {
    uint64_t done, total, now;
    if (!p->shown || (now = clock_ns()) < p->next_ns)
        return;
    p->next_ns = now + INTERVAL_NS;
    p->drawn = true;
    capture_progress(c, &done, &total);
    draw(done, total, now - p->start_ns);
    fflush(stderr);
}

void cli_progress_stop(struct cli_progress *p) {
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}
