/*
 * The shares of workers (capture_share.h): the hash, and the begin and the end of the program with
 * which the kernel finds it.
 */
#include "share.h"

#include <linux/if_arp.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

/* ---- the hash ---- */

/* Odd numbers with many bits (of MurmurHash3 and of xxHash). */
static const uint32_t mix[3] = {0x85ebca6b, 0xc2b2ae35, 0x9e3779b1};

enum { SHIFT = 15 };

static uint32_t stir(uint32_t h, unsigned round) {
    h *= mix[round];
    return h ^ h >> SHIFT;
}

static uint32_t word_at(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t hash_address(const struct capture_share *s, const uint8_t *at, unsigned words) {
    uint32_t h = s->key[0];
    for (unsigned i = 0; i < words; i++)
        h = stir(h ^ word_at(at + 4 * (size_t)i), 0);
    return stir(h ^ s->key[1], 1);
}

size_t capture_share_worker(const struct capture_share *s, uint8_t family, const uint8_t *a,
                            const uint8_t *b) {
    unsigned words = family == 4 ? 1 : 4;
    uint32_t sum = hash_address(s, a, words) + hash_address(s, b, words); /* either way round */
    return stir(sum, 2) % s->workers;
}

void capture_share_init(struct capture_share *s, size_t workers) {
    *s = (struct capture_share){.workers = (uint32_t)workers};
    if (getrandom(s->key, sizeof s->key, 0) != (ssize_t)sizeof s->key)
        s->key[0] = (uint32_t)clock(); /* guessed more easily, and as even */
}

/* ---- begin and end ---- */

/*
 * The kernel shares packets out before it restores their link header: what was received begins
 * behind it, and skb->protocol is its type (a VLAN's tag, the outer one, is already beside the
 * packet). What is sent begins with it, where the device has one.
 */
static void write_begin(struct share *p) {
    uint16_t sent = assemble_label(&p->a), typed = assemble_label(&p->a);
    share_number(p, 0);
    share_keep(p, CELL_FAMILY);
    share_keep(p, CELL_SOURCE);
    share_keep(p, CELL_DESTINATION);
    share_keep(p, CELL_KEPT);
    share_keep(p, CELL_OTHER);
    assemble_add(&p->a, BPF_MISC | BPF_TAX, 0);
    assemble_add(&p->a, BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE));
    assemble_if(&p->a, BPF_JEQ, PACKET_OUTGOING, sent);
    assemble_go(&p->a, typed);
    assemble_here(&p->a, sent);
    assemble_add(&p->a, BPF_LD | BPF_H | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_HATYPE));
    share_is(p, ARPHRD_ETHER, 0, AT_ETHERNET);
    share_is(p, ARPHRD_LOOPBACK, 0, AT_ETHERNET);
    assemble_here(&p->a, typed);
    assemble_add(&p->a, BPF_LD | BPF_H | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL));
    share_go(p, 0, AT_TYPE);
}

static void write_stir(struct share *p, unsigned round) {
    share_alu(p, BPF_MUL, mix[round]);
    assemble_add(&p->a, BPF_MISC | BPF_TAX, 0);
    share_alu(p, BPF_RSH, SHIFT);
    assemble_add(&p->a, BPF_ALU | BPF_XOR | BPF_X, 0);
}

/* hash_address(): of what a cell tells the place. */
static void write_address(struct share *p, const struct capture_share *s, enum share_cell cell,
                          unsigned words) {
    share_number(p, s->key[0]);
    share_keep(p, CELL_KEPT);
    for (unsigned i = 0; i < words; i++) {
        assemble_add(&p->a, BPF_LDX | BPF_MEM, cell);
        share_load32(p, 4 * i);
        assemble_add(&p->a, BPF_LDX | BPF_MEM, CELL_KEPT);
        assemble_add(&p->a, BPF_ALU | BPF_XOR | BPF_X, 0);
        write_stir(p, 0);
        share_keep(p, CELL_KEPT);
    }
    share_alu(p, BPF_XOR, s->key[1]);
    write_stir(p, 1);
}

static void write_pair(struct share *p, const struct capture_share *s, unsigned words) {
    write_address(p, s, CELL_SOURCE, words);
    share_keep(p, CELL_SUM);
    write_address(p, s, CELL_DESTINATION, words);
    assemble_add(&p->a, BPF_LDX | BPF_MEM, CELL_SUM);
    assemble_add(&p->a, BPF_ALU | BPF_ADD | BPF_X, 0);
    write_stir(p, 2);
    assemble_add(&p->a, BPF_RET | BPF_A, 0);
}

static void write_end(struct share *p, const struct capture_share *s) {
    uint16_t four = assemble_label(&p->a), six = assemble_label(&p->a);
    assemble_rest_here(&p->a); /* steps that a level does without, and all behind the last one */
    assemble_here(&p->a, p->hash);
    share_recall(p, CELL_FAMILY);
    assemble_if(&p->a, BPF_JEQ, 6, six);
    assemble_if(&p->a, BPF_JEQ, 4, four);
    assemble_add(&p->a, BPF_RET | BPF_K, 0); /* no IP: any worker */
    assemble_here(&p->a, four);
    write_pair(p, s, 1);
    assemble_here(&p->a, six);
    write_pair(p, s, 4);
}

size_t capture_share_program(const struct capture_share *s,
                             struct sock_filter code[CAPTURE_SHARE_MOST]) {
    struct share *p = calloc(1, sizeof *p);
    if (p == NULL)
        return 0;
    p->hash = assemble_label(&p->a);
    for (int level = 0; level <= CAPTURE_SHARE_LEVELS; level++)
        for (int place = 0; place < AT_PLACES; place++)
            p->label[level][place] = assemble_label(&p->a);
    write_begin(p);
    for (unsigned level = 0; level < CAPTURE_SHARE_LEVELS; level++) {
        share_write_type(p, level);
        share_write_bridges(p, level);
        if (share_is_full(level)) {
            share_write_wifi(p, level);
            share_write_llc(p, level);
            share_write_ppp(p, level);
        }
        share_write_mpls(p, level);
        share_write_ip(p, level);
        share_write_protocol(p, level);
        if (share_is_full(level))
            share_write_extension(p, level);
        share_write_gre(p, level);
        share_write_udp(p, level);
    }
    write_end(p, s);
    size_t n = assemble_finish(&p->a, code, CAPTURE_SHARE_MOST);
    free(p);
    return n;
}
