/*
 * spanwatch-bench-pcap-loop: how fast bare libpcap reads a file: the floor that every reader of
 * captures stands on.
 *
 * Input: a capture file. Output: one line, "PACKETS SECONDS".
 */
#include <pcap/pcap.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

static void count(u_char *user, const struct pcap_pkthdr *header, const u_char *octets) {
    uint64_t *packets = (uint64_t *)(void *)user;
    (void)header;
    (void)octets;
    ++*packets;
}

int main(int argc, char **argv) {
    char error[PCAP_ERRBUF_SIZE];
    struct timespec begin, end;
    uint64_t packets = 0;
    if (argc != 2) {
        fputs("usage: spanwatch-bench-pcap-loop FILE\n", stderr);
        return 2;
    }
    clock_gettime(CLOCK_MONOTONIC, &begin);
    pcap_t *pcap = pcap_open_offline(argv[1], error);
    if (pcap == NULL) {
        fprintf(stderr, "spanwatch-bench-pcap-loop: %s\n", error);
        return 1;
    }
    int status = pcap_loop(pcap, -1, count, (u_char *)&packets);
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (status != 0) {
        fprintf(stderr, "spanwatch-bench-pcap-loop: %s: %s\n", argv[1], pcap_geterr(pcap));
    }
    pcap_close(pcap);
    double seconds =
        (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    printf("%llu %.6f\n", (unsigned long long)packets, seconds);
    return status == 0 ? 0 : 1;
}
