/*
 * BPF programs by link type.
 *
 * Input: LINKTYPE_ values, which are what files hold; libpcap's compiler wants this system's DLT_
 * values, which differ for a few old ones. Output: matches. Programs are few (a file seldom has
 * more than two link types), so that a list does.
 */
#include "filter.h"

#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROGRAMS = 64, /* link types at once; packets of further ones do not match */
    ETHERNET = 1,
    ADDRESSES = 12, /* octets before a VLAN tag */
    TAG = 4,
    FRAME = 1 << 17 /* octets of a frame whose tag is taken off; the rest counts as not captured */
};

struct link_program {
    uint16_t link;
    bool usable;
    struct bpf_program code; /* valid when usable */
};

struct cli_filter {
    const char *expression;
    struct link_program program[PROGRAMS];
    size_t count, faults;
    struct base_error first_fault;
    bool untags; /* the expression does not speak of VLANs */
    uint8_t frame[FRAME];
};

/* https://www.tcpdump.org/linktypes.html: LINKTYPE_ values that are not DLT_ values. */
static int dlt_of(uint16_t link) {
    switch (link) {
    case 100:
        return DLT_ATM_RFC1483;
    case 101:
        return DLT_RAW;
    case 102:
        return DLT_SLIP_BSDOS;
    case 103:
        return DLT_PPP_BSDOS;
    default:
        return link;
    }
}

/* Compile for one link type; on failure libpcap's reason is copied to `why`. */
static bool compile(const char *expression, int dlt, struct bpf_program *code,
                    char why[PCAP_ERRBUF_SIZE]) {
    pcap_t *dead = pcap_open_dead(dlt, CAPTURE_MAX_RECORD);
    if (dead == NULL) {
        snprintf(why, PCAP_ERRBUF_SIZE, "out of memory");
        return false;
    }
    bool good = pcap_compile(dead, code, expression, 1, PCAP_NETMASK_UNKNOWN) == 0;
    if (!good)
        snprintf(why, PCAP_ERRBUF_SIZE, "%s", pcap_geterr(dead));
    pcap_close(dead);
    return good;
}

/* An expression may fit one kind of link only ("inbound"), so that it is wrong only when it fits
 * none. */
static bool fits_somewhere(const char *expression, char why[PCAP_ERRBUF_SIZE]) {
    static const int common[] = {DLT_RAW, DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_IEEE802_11, DLT_PPP};
    char other[PCAP_ERRBUF_SIZE];
    struct bpf_program code;
    bool good = compile(expression, DLT_EN10MB, &code, why);
    for (size_t i = 0; !good && i < sizeof common / sizeof common[0]; i++)
        good = compile(expression, common[i], &code, other);
    if (good)
        pcap_freecode(&code);
    return good;
}

int cli_filter_new(struct cli_filter **out, const char *expression, struct base_error *error) {
    char why[PCAP_ERRBUF_SIZE] = "";
    *out = NULL;
    if (!fits_somewhere(expression, why))
        return base_error_set(error, "--filter",
                              "\"%.150s\": %s; pcap-filter(7) tells what is allowed", expression,
                              why);
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return base_error_set(error, "--filter", "out of memory");
    (*out)->expression = expression;
    (*out)->untags = strstr(expression, "vlan") == NULL;
    return 0;
}

static struct link_program *add_program(struct cli_filter *f, uint16_t link) {
    char why[PCAP_ERRBUF_SIZE];
    if (f->count == PROGRAMS)
        return NULL;
    struct link_program *p = &f->program[f->count++];
    p->link = link;
    p->usable = compile(f->expression, dlt_of(link), &p->code, why);
    if (!p->usable && f->faults++ == 0)
        base_error_set(&f->first_fault, "--filter",
                       "cannot be applied to packets of link type %u, which are left out: %s", link,
                       why);
    return p;
}

/* Has it a tag that the kernel would take off? */
static bool is_tagged(const struct packet *p) {
    if (p->link != ETHERNET || p->captured < ADDRESSES + TAG)
        return false;
    unsigned type = (unsigned)p->data[ADDRESSES] << 8 | p->data[ADDRESSES + 1];
    return type == 0x8100 || type == 0x88a8;
}

static struct packet without_tag(struct cli_filter *f, const struct packet *p) {
    struct packet bare = *p;
    bare.data = f->frame;
    bare.length -= TAG;
    bare.captured = p->captured - TAG < FRAME ? p->captured - TAG : FRAME;
    memcpy(f->frame, p->data, ADDRESSES);
    memcpy(f->frame + ADDRESSES, p->data + ADDRESSES + TAG, bare.captured - ADDRESSES);
    return bare;
}

bool cli_filter_match(struct cli_filter *f, const struct packet *p) {
    struct link_program *found = NULL;
    for (size_t i = 0; i < f->count && found == NULL; i++)
        if (f->program[i].link == p->link)
            found = &f->program[i];
    if (found == NULL)
        found = add_program(f, p->link);
    if (found == NULL || !found->usable)
        return false;
    struct packet seen = f->untags && is_tagged(p) ? without_tag(f, p) : *p;
    return bpf_filter(found->code.bf_insns, seen.data, seen.length, seen.captured) != 0;
}

size_t cli_filter_faults(const struct cli_filter *f, struct base_error *first) {
    if (f->faults > 0 && first != NULL)
        *first = f->first_fault;
    return f->faults;
}

void cli_filter_free(struct cli_filter *f) {
    if (f == NULL)
        return;
    for (size_t i = 0; i < f->count; i++)
        if (f->program[i].usable)
            pcap_freecode(&f->program[i].code);
    free(f);
}
