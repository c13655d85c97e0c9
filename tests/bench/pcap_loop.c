/*
 * spanwatch-bench-pcap-loop: how fast bare libpcap reads a file, or what it costs to listen with
 * it: the floor that every reader of captures stands on.
 *
 *   spanwatch-bench-pcap-loop FILE
 *   spanwatch-bench-pcap-loop DEVICE SNAPLEN RING_MIB       until SIGINT
 *
 * Output: one line, "PACKETS SECONDS DROPPED"; the last of a device only.
 */
#include <pcap/pcap.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TIMEOUT_MS = 100 };

static pcap_t *pcap;

static void stop(int number) {
    (void)number;
    pcap_breakloop(pcap);
}

static void count(u_char *user, const struct pcap_pkthdr *header, const u_char *octets) {
    uint64_t *packets = (uint64_t *)(void *)user;
    (void)header;
    (void)octets;
    ++*packets;
}

static pcap_t *open_device(char **argument, char *error) {
    pcap_t *p = pcap_create(argument[0], error);
    if (p == NULL)
        return NULL;
    pcap_set_snaplen(p, atoi(argument[1]));
    pcap_set_buffer_size(p, atoi(argument[2]) << 20);
    pcap_set_timeout(p, TIMEOUT_MS);
    pcap_set_promisc(p, 1);
    if (pcap_activate(p) >= 0)
        return p;
    snprintf(error, PCAP_ERRBUF_SIZE, "%s", pcap_geterr(p));
    pcap_close(p);
    return NULL;
}

/* What is in the kernel's ring when the end comes is read as well. */
static int read_all(uint64_t *packets, bool live) {
    char error[PCAP_ERRBUF_SIZE];
    int status = pcap_loop(pcap, -1, count, (u_char *)packets);
    if (live && pcap_setnonblock(pcap, 1, error) != 0)
        return PCAP_ERROR;
    while (live && status == PCAP_ERROR_BREAK &&
           pcap_dispatch(pcap, -1, count, (u_char *)packets) > 0)
        ;
    return live && status == PCAP_ERROR_BREAK ? 0 : status;
}

int main(int argc, char **argv) {
    char error[PCAP_ERRBUF_SIZE];
    struct timespec begin, end;
    struct pcap_stat stat = {0};
    uint64_t packets = 0;
    bool live = argc == 4;
    if (argc != 2 && !live) {
        fputs("usage: spanwatch-bench-pcap-loop FILE | DEVICE SNAPLEN RING_MIB\n", stderr);
        return 2;
    }
    clock_gettime(CLOCK_MONOTONIC, &begin);
    pcap = live ? open_device(argv + 1, error) : pcap_open_offline(argv[1], error);
    if (pcap == NULL) {
        fprintf(stderr, "spanwatch-bench-pcap-loop: %s\n", error);
        return 1;
    }
    signal(SIGINT, stop);
    int status = read_all(&packets, live);
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (status != 0)
        fprintf(stderr, "spanwatch-bench-pcap-loop: %s: %s\n", argv[1], pcap_geterr(pcap));
    if (live)
        pcap_stats(pcap, &stat);
    pcap_close(pcap);
    double seconds =
        (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    printf("%llu %.6f", (unsigned long long)packets, seconds);
    printf(live ? " %u\n" : "\n", stat.ps_drop);
    return status == 0 ? 0 : 1;
}
