/*
 * share: what the files that write the kernel's program of capture_share.h share.
 *
 * The program follows what the decode room follows, step by step as it does (the sections of the
 * standards are told there), but believes more: what turns out not to be TCP may go to any worker.
 * Classic BPF has no loops. So there is one copy of the steps for each level; a header that carries
 * another one goes on in the next level, and behind the last one the hash is taken of what is
 * known. A program has its bound: the inner levels do without the rare steps. X is the place in the
 * packet, A the value that the next step goes by. A load beyond the packet's end gives 0 to the
 * kernel: such a packet is cut for the decoder too.
 */
#ifndef CAPTURE_SHARE_INTERNAL_H
#define CAPTURE_SHARE_INTERNAL_H

#include "spanwatch/capture_share.h"

#include "assemble.h"

enum { SHARE_FULL_LEVELS = 4 };

/* Where a level's steps begin, in the order in which they may follow each other. */
enum share_place {
    AT_ETHERNET, /* X: a frame */
    AT_TYPE,     /* A: an EtherType or a length; X: what follows it */
    AT_VLAN,
    AT_PBB,
    AT_MACSEC,
    AT_WIFI,
    AT_LLC,
    AT_PPPOE,
    AT_PPP,
    AT_MPLS,
    AT_IP, /* of the version that its first octet says */
    AT_IPV4,
    AT_IPV6,
    AT_PROTOCOL, /* A: what follows at X */
    AT_EXTENSION,
    AT_GRE,
    AT_UDP,
    AT_PLACES
};

/* Scratch cells: places of the addresses, their family (0: none yet), and what steps keep. */
enum share_cell { CELL_SOURCE, CELL_DESTINATION, CELL_FAMILY, CELL_KEPT, CELL_OTHER, CELL_SUM };

struct share {
    struct assemble a;
    uint16_t label[CAPTURE_SHARE_LEVELS + 1][AT_PLACES];
    uint16_t hash;
};

static inline void share_load8(struct share *p, uint32_t k) {
    assemble_add(&p->a, BPF_LD | BPF_B | BPF_IND, k);
}

static inline void share_load16(struct share *p, uint32_t k) {
    assemble_add(&p->a, BPF_LD | BPF_H | BPF_IND, k);
}

static inline void share_load32(struct share *p, uint32_t k) {
    assemble_add(&p->a, BPF_LD | BPF_W | BPF_IND, k);
}

static inline void share_alu(struct share *p, uint16_t op, uint32_t k) {
    assemble_add(&p->a, (uint16_t)(BPF_ALU | BPF_K | op), k);
}

static inline void share_keep(struct share *p, enum share_cell cell) {
    assemble_add(&p->a, BPF_ST, cell);
}

static inline void share_recall(struct share *p, enum share_cell cell) {
    assemble_add(&p->a, BPF_LD | BPF_MEM, cell);
}

static inline void share_number(struct share *p, uint32_t k) {
    assemble_add(&p->a, BPF_LD | BPF_IMM, k);
}

static inline void share_here(struct share *p, unsigned level, enum share_place place) {
    assemble_here(&p->a, p->label[level][place]);
}

static inline void share_go(struct share *p, unsigned level, enum share_place place) {
    assemble_go(&p->a, p->label[level][place]);
}

static inline void share_is(struct share *p, uint32_t k, unsigned level, enum share_place place) {
    assemble_if(&p->a, BPF_JEQ, k, p->label[level][place]);
}

static inline bool share_is_full(unsigned level) {
    return level < SHARE_FULL_LEVELS;
}

static inline void share_enough(struct share *p) {
    assemble_go(&p->a, p->hash);
}

/* X moves by A, or by n; A is lost. */
static inline void share_skip_a(struct share *p) {
    assemble_add(&p->a, BPF_ALU | BPF_ADD | BPF_X, 0);
    assemble_add(&p->a, BPF_MISC | BPF_TAX, 0);
}

static inline void share_skip(struct share *p, uint32_t n) {
    share_number(p, n);
    share_skip_a(p);
}

/* Skip n octets and go by the value that is kept. */
static inline void share_skip_and_recall(struct share *p, uint32_t n) {
    share_skip(p, n);
    share_recall(p, CELL_KEPT);
}

/* Cell = X + n. */
static inline void share_note_place(struct share *p, enum share_cell cell, uint32_t n) {
    assemble_add(&p->a, BPF_MISC | BPF_TXA, 0);
    share_alu(p, BPF_ADD, n);
    share_keep(p, cell);
}

static inline void share_note_addresses(struct share *p, unsigned family, uint32_t source,
                                        uint32_t destination) {
    share_note_place(p, CELL_SOURCE, source);
    share_note_place(p, CELL_DESTINATION, destination);
    share_number(p, family);
    share_keep(p, CELL_FAMILY);
}

/* Skip the n octets that are there only if a bit of the value is set. */
static inline void share_skip_if(struct share *p, enum share_cell cell, uint32_t bit, uint32_t n) {
    uint16_t there = assemble_label(&p->a), over = assemble_label(&p->a);
    share_recall(p, cell);
    assemble_if(&p->a, BPF_JSET, bit, there);
    assemble_go(&p->a, over);
    assemble_here(&p->a, there);
    share_skip(p, n);
    assemble_here(&p->a, over);
}

/* Each writes the steps of a level. share_link.c: */
void share_write_type(struct share *p, unsigned level);
void share_write_bridges(struct share *p, unsigned level);
void share_write_wifi(struct share *p, unsigned level);
void share_write_llc(struct share *p, unsigned level);
void share_write_ppp(struct share *p, unsigned level);
void share_write_mpls(struct share *p, unsigned level);

/* share_ip.c */
void share_write_ip(struct share *p, unsigned level);
void share_write_protocol(struct share *p, unsigned level);
void share_write_extension(struct share *p, unsigned level);

/* share_tunnel.c */
void share_write_gre(struct share *p, unsigned level);
void share_write_udp(struct share *p, unsigned level);

#endif
