/*
 * Live capture: opening interfaces, and opening them again.
 *
 * Input: names and options. Output: activated libpcap handles, and what was really obtained of
 * each. Everything here may wait and allocate: it runs before the first packet, or in the opener's
 * thread.
 */
#include "live.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

enum {
    LINKTYPE_RAW = 101,     /* the one link type of interfaces whose DLT_ value differs in files */
    QUEUE_OCTETS = 4 << 20, /* of one source, where the snaplen is long */
    QUEUE_LEAST = CAPTURE_BATCH
};

uint64_t live_wall_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * BASE_NS_PER_S + (uint64_t)t.tv_nsec;
}

/* ---- one interface ---- */

static int refuse(const struct live_source *s, pcap_t *p, int status, struct base_error *error) {
    const char *detail = p != NULL ? pcap_geterr(p) : "";
    switch (status) {
    case PCAP_ERROR_NO_SUCH_DEVICE:
        return base_error_set(error, s->name, "no such interface; 'ip link' lists those there are");
    case PCAP_ERROR_PERM_DENIED:
    case PCAP_ERROR_PROMISC_PERM_DENIED:
        return base_error_set(error, s->name,
                              "no permission to capture; start as root, or with CAP_NET_RAW");
    case PCAP_ERROR_IFACE_NOT_UP:
        return base_error_set(error, s->name, "the interface is down; 'ip link set %s up' mends it",
                              s->name);
    default:
        return base_error_set(error, s->name, "cannot capture: %s",
                              *detail != '\0' ? detail : pcap_statustostr(status));
    }
}

/* Cooked captures in their newer form, which tells each packet's interface; else as it is. */
static void choose_link(pcap_t *p) {
    if (pcap_datalink(p) == DLT_LINUX_SLL)
        pcap_set_datalink(p, DLT_LINUX_SLL2);
}

/*
 * The filter is compiled once: an interface that comes back gets the same program, so that the
 * opener needs no look-ups of names.
 */
static int set_filter(const struct capture_live *c, struct live_source *s, pcap_t *p,
                      struct base_error *error) {
    if (c->options.filter == NULL)
        return 0;
    if (s->filtered && pcap_datalink(p) != s->dlt)
        return base_error_set(error, s->name, "came back with another link type");
    if (!s->filtered && pcap_compile(p, &s->code, c->options.filter, 1, PCAP_NETMASK_UNKNOWN) != 0)
        return base_error_set(error, "--filter", "\"%.150s\" does not fit %s: %s",
                              c->options.filter, s->name, pcap_geterr(p));
    s->filtered = true;
    if (pcap_setfilter(p, &s->code) != 0)
        return base_error_set(error, "--filter", "%s: %s", s->name, pcap_geterr(p));
    return 0;
}

/*
 * packet(7): the first socket makes the group, with a number that the kernel chooses, and brings
 * the program. Until it is there the first worker gets all.
 */
static int join_group(const struct capture_live *c, struct live_source *s, int fd,
                      struct base_error *error) {
    struct live_group *g = s->group;
    if (g == NULL)
        return 0;
    bool fresh = !g->made;
    unsigned kind = PACKET_FANOUT_CBPF;
    int value = (int)(fresh ? (kind | PACKET_FANOUT_FLAG_UNIQUEID) << 16 : g->id | kind << 16);
    socklen_t length = sizeof value;
    if (setsockopt(fd, SOL_PACKET, PACKET_FANOUT, &value, sizeof value) != 0 ||
        getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &value, &length) != 0 ||
        (fresh &&
         setsockopt(fd, SOL_PACKET, PACKET_FANOUT_DATA, &c->program, sizeof c->program) != 0))
        return base_error_set(error, s->name, "cannot share packets among workers: %s",
                              strerror(errno));
    g->made = true;
    g->id = (uint16_t)value;
    return 0;
}

static int configure(const struct capture_live *c, pcap_t *p) {
    const struct capture_live_options *o = &c->options;
    pcap_set_snaplen(p, (int)o->snaplen);
    pcap_set_promisc(p, o->promiscuous);
    pcap_set_timeout(p, (int)o->timeout_ms);
    pcap_set_buffer_size(p, (int)(o->ring_mib << 20));
    pcap_set_tstamp_precision(p, PCAP_TSTAMP_PRECISION_NANO);
    return pcap_activate(p);
}

int live_activate(const struct capture_live *c, struct live_source *s, struct base_error *error) {
    char why[PCAP_ERRBUF_SIZE] = "";
    pcap_t *p = pcap_create(s->name, why);
    if (p == NULL)
        return base_error_set(error, s->name, "cannot capture: %s", why);
    int status = configure(c, p), result = 0;
    s->promiscuous = c->options.promiscuous && strcmp(s->name, "any") != 0 &&
                     status != PCAP_WARNING_PROMISC_NOTSUP;
    if (status < 0)
        result = refuse(s, p, status, error);
    else
        choose_link(p);
    if (result == 0 && pcap_setnonblock(p, 1, why) != 0)
        result = base_error_set(error, s->name, "cannot capture without waiting: %s", why);
    if (result == 0)
        result = set_filter(c, s, p, error);
    if (result == 0)
        result = join_group(c, s, pcap_fileno(p), error);
    if (result != 0) {
        pcap_close(p);
        return -1;
    }
    s->kernel_seen = s->interface_seen = 0;
    s->dlt = pcap_datalink(p);
    s->link = s->dlt == DLT_RAW ? LINKTYPE_RAW : (uint16_t)s->dlt;
    s->pcap = p;
    return 0;
}

/* ---- what was obtained ---- */

/*
 * libpcap shrinks the ring silently when memory is short, and does not tell. The ring is the
 * mapping of the socket, which the system names by the socket's inode.
 */
static uint64_t mapped_octets(int fd) {
    struct stat st;
    char name[48], line[512];
    uint64_t octets = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    if (maps == NULL || fstat(fd, &st) != 0) {
        if (maps != NULL)
            fclose(maps);
        return 0;
    }
    snprintf(name, sizeof name, "socket:[%llu]", (unsigned long long)st.st_ino);
    while (fgets(line, sizeof line, maps) != NULL) {
        char *end; /* "7f00-7f10 ... socket:[inode]", in hexadecimal */
        unsigned long long from = strtoull(line, &end, 16);
        if (strstr(line, name) != NULL && *end == '-')
            octets += strtoull(end + 1, NULL, 16) - from;
    }
    fclose(maps);
    return octets;
}

/* packet(7): versions are numbered from 0. */
static unsigned ring_version(int fd) {
    int version = -1;
    socklen_t length = sizeof version;
    getsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, &length);
    return (unsigned)(version + 1);
}

void capture_live_obtained(const struct capture_live *c, size_t interface,
                           struct capture_live_obtained *out) {
    const struct live_source *s = &c->source[interface];
    const char *link = pcap_datalink_val_to_name(s->dlt);
    *out = (struct capture_live_obtained){.interface = s->name,
                                          .link = link != NULL ? link : "unknown",
                                          .ring_octets = mapped_octets(pcap_fileno(s->pcap)),
                                          .snaplen = (uint32_t)pcap_snapshot(s->pcap),
                                          .link_type = s->link,
                                          .tpacket = ring_version(pcap_fileno(s->pcap)),
                                          .promiscuous = s->promiscuous,
                                          .nanoseconds = pcap_get_tstamp_precision(s->pcap) ==
                                                         PCAP_TSTAMP_PRECISION_NANO};
}

/* ---- all of a worker's ---- */

static int check_names(const struct capture_live_options *o, struct base_error *error) {
    if (o->count == 0 || o->count > CAPTURE_MAX_INTERFACES)
        return base_error_set(error, "-i", "found %zu interfaces, allowed are 1 to %d", o->count,
                              CAPTURE_MAX_INTERFACES);
    for (size_t i = 0; i < o->count; i++) {
        if (o->count > 1 && strcmp(o->interfaces[i], "any") == 0)
            return base_error_set(error, "-i", "any has the packets of all others; name it alone");
        for (size_t k = 0; k < i; k++)
            if (strcmp(o->interfaces[i], o->interfaces[k]) == 0)
                return base_error_set(error, "-i", "%s is named twice", o->interfaces[i]);
    }
    return 0;
}

static struct capture_live *new_worker(const struct capture_live_options *o) {
    struct capture_live *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->options = *o;
    c->stride = (sizeof(struct live_slot) + o->snaplen + 63) / 64 * 64;
    c->slots = QUEUE_OCTETS / c->stride;
    if (c->slots > LIVE_QUEUE)
        c->slots = LIVE_QUEUE;
    if (c->slots < QUEUE_LEAST)
        c->slots = QUEUE_LEAST;
    c->source = calloc(o->count, sizeof *c->source);
    c->poll = calloc(o->count, sizeof *c->poll);
    bool good = c->source != NULL && c->poll != NULL;
    for (size_t i = 0; good && i < o->count; i++) {
        c->source[i].name = o->interfaces[i];
        c->source[i].queue = aligned_alloc(64, c->slots * c->stride);
        good = c->source[i].queue != NULL;
    }
    if (!good)
        capture_live_free(&c, 1);
    return good ? c : NULL;
}

/* What the first worker has for all. */
static int prepare_groups(struct capture_live *c, struct base_error *error) {
    const struct capture_live_options *o = &c->options;
    c->groups = calloc(o->count, sizeof *c->groups);
    c->program.filter = calloc(CAPTURE_SHARE_MOST, sizeof *c->program.filter);
    if (c->program.filter != NULL)
        c->program.len = (uint16_t)capture_share_program(o->share, c->program.filter);
    return c->groups != NULL && c->program.len > 0
               ? 0
               : base_error_set(error, o->interfaces[0], "out of memory");
}

static int open_worker(struct capture_live **out, size_t worker, size_t workers,
                       const struct capture_live_options *o, struct base_error *error) {
    struct capture_live *c = out[worker] = new_worker(o);
    if (c == NULL)
        return base_error_set(error, o->interfaces[0], "out of memory");
    c->first = worker == 0;
    if (c->first && workers > 1 && prepare_groups(c, error) != 0)
        return -1;
    c->program = out[0]->program;
    for (size_t i = 0; i < o->count; i++) {
        c->source[i].group = workers > 1 ? &out[0]->groups[i] : NULL;
        if (live_activate(c, &c->source[i], error) != 0)
            return -1;
    }
    return 0;
}

/* Until now an interface's packets were shared out among too few. */
static void begin_together(struct capture_live *const *captures, size_t workers, size_t i) {
    uint64_t now_ns = workers > 1 ? live_wall_ns() : 0;
    for (size_t w = 0; w < workers; w++)
        captures[w]->source[i].from_ns = now_ns;
}

int capture_live_open(struct capture_live **out, size_t workers,
                      const struct capture_live_options *o, struct base_error *error) {
    int result = check_names(o, error);
    size_t opened = 0;
    for (; opened < workers && result == 0; opened++)
        result = open_worker(out, opened, workers, o, error);
    if (result != 0) {
        capture_live_free(out, opened);
        return -1;
    }
    for (size_t i = 0; i < o->count; i++)
        begin_together(out, workers, i);
    return 0;
}

/* How many workers have given an interface up. */
static size_t count_wanted(struct capture_live *const *captures, size_t workers, size_t i) {
    size_t wanted = 0;
    for (size_t w = 0; w < workers; w++)
        wanted += atomic_load_explicit(&captures[w]->source[i].owner, memory_order_acquire) ==
                  LIVE_WANTED;
    return wanted;
}

/* All of them, in their order, or none. */
static bool reopen(struct capture_live *const *captures, size_t workers, size_t i) {
    struct live_group *g = captures[0]->source[i].group;
    size_t opened = 0;
    if (g != NULL)
        g->made = false;
    while (opened < workers &&
           live_activate(captures[opened], &captures[opened]->source[i], NULL) == 0)
        opened++;
    if (opened == workers)
        return true;
    while (opened-- > 0) {
        pcap_close(captures[opened]->source[i].pcap);
        captures[opened]->source[i].pcap = NULL;
    }
    return false;
}

size_t capture_live_reopen(struct capture_live *const *captures, size_t workers) {
    size_t gone = 0;
    for (size_t i = 0; i < captures[0]->options.count; i++) {
        size_t wanted = count_wanted(captures, workers, i);
        if (wanted == 0)
            continue;
        if (wanted < workers || !reopen(captures, workers, i)) {
            gone++;
            continue;
        }
        begin_together(captures, workers, i);
        if (captures[0]->source[i].group != NULL)
            atomic_store_explicit(&captures[0]->source[i].group->broken, false,
                                  memory_order_relaxed);
        for (size_t w = 0; w < workers; w++)
            atomic_store_explicit(&captures[w]->source[i].owner, LIVE_BACK, memory_order_release);
    }
    return gone;
}

void capture_live_free(struct capture_live **captures, size_t workers) {
    for (size_t w = 0; w < workers; w++) {
        struct capture_live *c = captures[w];
        captures[w] = NULL;
        if (c == NULL)
            continue;
        for (size_t i = 0; c->source != NULL && i < c->options.count; i++) {
            struct live_source *s = &c->source[i];
            if (s->pcap != NULL)
                pcap_close(s->pcap);
            if (s->filtered)
                pcap_freecode(&s->code);
            free(s->queue);
        }
        free(c->source);
        if (c->first)
            free(c->program.filter);
        free(c->groups);
        free(c->poll);
        free(c);
    }
}
