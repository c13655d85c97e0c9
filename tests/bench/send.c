/*
 * Sends frames on a device as fast as the kernel takes them, for so many seconds: those of a pcap
 * file over and over, or SYNs from addresses that nobody has.
 *
 *   spanwatch-bench-send DEVICE SECONDS FILE.pcap [RATE [once]]
 *   spanwatch-bench-send DEVICE SECONDS flood ADDRESS PORT MAC [RATE]
 *
 * Input: a classic pcap file in this machine's byte order, Ethernet; or where the SYNs go to. At
 * most RATE packets a second (0: as many as there can be), and each frame of a file `once` at most.
 * Output: one line of JSON. A raw socket past the queueing discipline,
 * many frames a call: what the receiver's side of a virtual cable costs is part of each call.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 256,
    SYN_FRAME = 14 + 20 + 20 + 4,
    FILE_HEAD = 24,
    RECORD_HEAD = 16,
    LONGEST = 2048
};

static const uint64_t second_ns = 1000000000;

struct frames { /* of a file: one after the other in one block */
    uint8_t *octets;
    size_t n;
    struct iovec *frame;
};

struct flood {
    uint8_t frame[BATCH][SYN_FRAME];
    struct iovec vector[BATCH];
    uint64_t random;
};

static int fail(const char *what) {
    fprintf(stderr, "spanwatch-bench-send: %s: %s\n", what, strerror(errno));
    return 1;
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * second_ns + (uint64_t)t.tv_nsec;
}

static int open_device(const char *device) {
    int fd = socket(AF_PACKET, SOCK_RAW, 0), yes = 1;
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_ALL),
                             .sll_ifindex = (int)if_nametoindex(device)};
    if (fd < 0 || to.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&to, sizeof to) != 0)
        return -1;
    if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes) != 0)
        return -1;
    return fd;
}

/* All frames of the file. False with errno. */
static bool load(const char *path, struct frames *f) {
    FILE *file = fopen(path, "rb");
    long size = -1;
    if (file == NULL)
        return false;
    if (fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) >= FILE_HEAD)
        f->octets = malloc((size_t)size);
    rewind(file);
    if (f->octets == NULL || fread(f->octets, 1, (size_t)size, file) != (size_t)size) {
        fclose(file);
        return false;
    }
    fclose(file);
    f->frame = calloc((size_t)size / RECORD_HEAD, sizeof *f->frame);
    for (size_t at = FILE_HEAD; f->frame != NULL && at + RECORD_HEAD <= (size_t)size;) {
        uint32_t captured;
        memcpy(&captured, f->octets + at + 8, sizeof captured);
        at += RECORD_HEAD;
        if (captured > LONGEST || captured > (size_t)size - at)
            break;
        f->frame[f->n++] = (struct iovec){f->octets + at, captured};
        at += captured;
    }
    if (f->n == 0)
        errno = EINVAL;
    return f->n > 0;
}

static uint16_t fold(uint64_t sum) {
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static uint64_t sum_of(const uint8_t *octets, size_t n) {
    uint64_t sum = 0;
    for (size_t i = 0; i + 1 < n; i += 2)
        sum += (uint32_t)octets[i] << 8 | octets[i + 1];
    return sum;
}

static void put_u16(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* The frame of a SYN, but for the source's address and port, the number and the sums. */
static bool flood_init(struct flood *f, char **argument) {
    uint8_t frame[SYN_FRAME] = {[6] = 2, [12] = 8, [14] = 0x45, [22] = 64, [23] = IPPROTO_TCP};
    unsigned mac[6];
    if (inet_pton(AF_INET, argument[0], frame + 30) != 1 ||
        sscanf(argument[2], "%2x:%2x:%2x:%2x:%2x:%2x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
               &mac[5]) != 6)
        return false;
    for (int i = 0; i < 6; i++)
        frame[i] = (uint8_t)mac[i];
    put_u16(frame + 16, SYN_FRAME - 14);
    put_u16(frame + 36, (uint32_t)strtoul(argument[1], NULL, 10));
    frame[46] = 0x60;
    frame[47] = 2; /* SYN */
    put_u16(frame + 48, 64240);
    frame[54] = 2; /* MSS */
    frame[55] = 4;
    put_u16(frame + 56, 1460);
    f->random = 88172645463325252u;
    for (int i = 0; i < BATCH; i++) {
        memcpy(f->frame[i], frame, sizeof frame);
        f->vector[i] = (struct iovec){f->frame[i], sizeof frame};
    }
    return true;
}

/* xorshift64 (Marsaglia 2003) */
static uint64_t next_random(struct flood *f) {
    f->random ^= f->random << 13;
    f->random ^= f->random >> 7;
    return f->random ^= f->random << 17;
}

/* From anywhere in 172.16.0.0/12: addresses that nobody has. */
static void flood_renew(struct flood *f) {
    for (int i = 0; i < BATCH; i++) {
        uint8_t *frame = f->frame[i];
        uint64_t r = next_random(f);
        frame[26] = 172;
        frame[27] = (uint8_t)(16 + (r & 15));
        memcpy(frame + 28, (uint8_t *)&r + 1, 2);
        put_u16(frame + 34, 1024 + (uint32_t)(r >> 24) % 64000);
        r = next_random(f);
        memcpy(frame + 38, &r, 4);
        put_u16(frame + 18, (uint32_t)(r >> 32)); /* identification */
        put_u16(frame + 24, 0);
        put_u16(frame + 24, fold(sum_of(frame + 14, 20)));
        put_u16(frame + 50, 0);
        put_u16(frame + 50,
                fold(sum_of(frame + 26, 8) + IPPROTO_TCP + 24 + sum_of(frame + 34, 24)));
    }
}

static void wait_until(uint64_t ns) {
    uint64_t now = now_ns();
    if (now >= ns)
        return;
    struct timespec t = {(time_t)((ns - now) / second_ns), (long)((ns - now) % second_ns)};
    nanosleep(&t, NULL);
}

int main(int argc, char **argv) {
    struct frames file = {0};
    static struct flood flood;
    struct mmsghdr message[BATCH];
    bool flooding = argc >= 7 && strcmp(argv[3], "flood") == 0;
    if (argc < 4 || (argc > 6 && !flooding)) {
        fprintf(stderr, "usage: spanwatch-bench-send DEVICE SECONDS FILE.pcap [RATE [once]] | "
                        "flood ADDRESS PORT MAC [RATE]\n");
        return 2;
    }
    int fd = open_device(argv[1]);
    if (fd < 0)
        return fail(argv[1]);
    if (flooding ? !flood_init(&flood, argv + 4) : !load(argv[3], &file))
        return fail(argv[3]);
    int rate_at = flooding ? 7 : 4;
    uint64_t rate = argc > rate_at ? strtoull(argv[rate_at], NULL, 10) : 0, packets = 0, octets = 0,
             refused = 0;
    bool once = !flooding && argc == 6;
    uint64_t begin = now_ns(), end = begin + (uint64_t)(strtod(argv[2], NULL) * (double)second_ns);
    size_t at = 0;
    while (now_ns() < end && !(once && at + BATCH > file.n)) {
        if (flooding)
            flood_renew(&flood);
        memset(message, 0, sizeof message);
        for (int i = 0; i < BATCH; i++) {
            message[i].msg_hdr.msg_iov = flooding ? &flood.vector[i] : &file.frame[at++ % file.n];
            message[i].msg_hdr.msg_iovlen = 1;
        }
        for (int sent = 0; sent < BATCH;) {
            int n = sendmmsg(fd, message + sent, (unsigned)(BATCH - sent), 0);
            refused += n < 0;
            if (n < 0 && errno != ENOBUFS && errno != EAGAIN)
                return fail(argv[1]);
            for (int i = sent; i < sent + n; i++)
                octets += message[i].msg_hdr.msg_iov->iov_len;
            sent += n > 0 ? n : 0;
        }
        packets += BATCH;
        if (rate > 0)
            wait_until(begin + packets * second_ns / rate);
    }
    printf("{\"packets\":%" PRIu64 ",\"octets\":%" PRIu64 ",\"refused\":%" PRIu64
           ",\"seconds\":%.6f}\n",
           packets, octets, refused, (double)(now_ns() - begin) / (double)second_ns);
    free(file.frame);
    free(file.octets);
    close(fd);
    return 0;
}
