/*
 * The spool's files (redis_segment.h).
 */
#include "redis_segment.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { RECORD_OCTETS_MOST = 16 << 20, FORMAT = 1 };

static const char magic[8] = "spwspool";
#define RECORD_MAGIC UINT32_C(0x73707772)

struct spool_head {
    char magic[8];
    uint32_t format, partitions;
};

struct spool_record_head {
    uint32_t magic, crc; /* of all that follows, data included */
    uint16_t kind, partition;
    uint32_t entries, octets, unused;
    struct store_id first, last;
    uint64_t from_ns, to_ns;
};
static_assert(sizeof(struct spool_record_head) == 72, "as it lies in the file");
static_assert(sizeof(struct spool_head) == STORE_SEGMENT_HEAD, "as it lies in the file");

uint32_t store_crc32(uint32_t crc, const void *data, size_t n) {
    static uint32_t table[256];
    if (table[1] == 0)
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int bit = 0; bit < 8; bit++)
                c = c & 1 ? UINT32_C(0xedb88320) ^ c >> 1 : c >> 1; /* IEEE 802.3's */
            table[i] = c;
        }
    const uint8_t *p = data;
    crc = ~crc;
    while (n-- > 0)
        crc = table[(crc ^ *p++) & 255] ^ crc >> 8;
    return ~crc;
}

static uint32_t record_crc(const struct spool_record_head *h, const void *data) {
    size_t skipped = offsetof(struct spool_record_head, crc) + sizeof h->crc;
    uint32_t crc = store_crc32(0, (const char *)h + skipped, sizeof *h - skipped);
    return store_crc32(crc, data, h->octets);
}

static bool write_all(int fd, const struct iovec *iov, int n, uint64_t at) {
    size_t octets = 0;
    for (int i = 0; i < n; i++)
        octets += iov[i].iov_len;
    ssize_t written = pwritev(fd, iov, n, (off_t)at);
    if (written >= 0 && (size_t)written == octets)
        return true;
    int fault = written < 0 ? errno : ENOSPC;
    if (ftruncate(fd, (off_t)at) != 0)
        fault = errno;
    errno = fault;
    return false;
}

int store_segment_create(const char *path, unsigned partitions) {
    struct spool_head head = {.format = FORMAT, .partitions = partitions};
    const struct iovec iov = {.iov_base = &head, .iov_len = sizeof head};
    memcpy(head.magic, magic, sizeof magic);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write_all(fd, &iov, 1, 0))
        return fd;
    int fault = errno;
    close(fd);
    unlink(path);
    errno = fault;
    return -1;
}

bool store_segment_check(const char *path, uint32_t *partitions, uint64_t *octets) {
    struct spool_head head;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && fstat(fd, &st) == 0 && read(fd, &head, sizeof head) == sizeof head &&
                memcmp(head.magic, magic, sizeof magic) == 0 && head.format == FORMAT;
    if (fd >= 0)
        close(fd);
    if (!good)
        return false;
    *partitions = head.partitions;
    *octets = (uint64_t)st.st_size;
    return true;
}

uint64_t store_segment_cost(const struct store_chunk *c) {
    return sizeof(struct spool_record_head) + c->used;
}

bool store_segment_append(int fd, uint64_t at, const struct store_stream *st,
                          const struct store_chunk *c) {
    struct spool_record_head head = {.magic = RECORD_MAGIC,
                                     .kind = (uint16_t)st->kind,
                                     .partition = (uint16_t)st->partition,
                                     .entries = c->entries,
                                     .octets = c->used,
                                     .first = c->first,
                                     .last = c->last,
                                     .from_ns = c->from_ns,
                                     .to_ns = c->to_ns};
    head.crc = record_crc(&head, c->data);
    const struct iovec iov[] = {{.iov_base = &head, .iov_len = sizeof head},
                                {.iov_base = (void *)c->data, .iov_len = c->used}};
    return write_all(fd, iov, 2, at);
}

enum store_segment_read store_segment_read(int fd, uint64_t *at, struct store_segment_record *r) {
    struct spool_record_head head;
    ssize_t n = pread(fd, &head, sizeof head, (off_t)*at);
    if (n == 0)
        return STORE_SEGMENT_END;
    if (n != sizeof head || head.magic != RECORD_MAGIC || head.octets > RECORD_OCTETS_MOST ||
        head.octets == 0 || head.kind >= STORE_KINDS)
        return STORE_SEGMENT_BROKEN;
    struct store_chunk *c = store_chunk_new(head.octets);
    if (c == NULL)
        return STORE_SEGMENT_BROKEN;
    n = pread(fd, c->data, head.octets, (off_t)(*at + sizeof head));
    if (n != (ssize_t)head.octets || record_crc(&head, c->data) != head.crc) {
        store_chunk_free(c);
        return STORE_SEGMENT_BROKEN;
    }
    c->used = head.octets;
    c->entries = head.entries;
    c->first = head.first;
    c->last = head.last;
    c->from_ns = head.from_ns;
    c->to_ns = head.to_ns;
    *r = (struct store_segment_record){head.kind, head.partition, c};
    *at += sizeof head + head.octets;
    return STORE_SEGMENT_RECORD;
}
