/*
 * The program that shares packets among workers (share.h): tunnels in GRE and UDP.
 */
#include "share.h"

/* Version 1, whose flags are kept. */
static void write_gre_1(struct share *p, unsigned level) {
    share_skip_if(p, CELL_KEPT, 0x1000, 4);
    share_skip_if(p, CELL_KEPT, 0x0080, 4);
    share_skip(p, 8);
    share_recall(p, CELL_OTHER);
    share_is(p, 0x880b, level + 1, AT_PPP);
    share_is(p, 0x6400, level + 1, AT_ETHERNET);
    share_enough(p);
}

/* The type is kept in OTHER. */
static void write_erspan(struct share *p, unsigned level, uint16_t erspan, uint16_t erspan_3) {
    assemble_here(&p->a, erspan);
    share_skip_if(p, CELL_KEPT, 0x1000, 8);
    share_go(p, level + 1, AT_ETHERNET);
    assemble_here(&p->a, erspan_3);
    share_load8(p, 11);
    share_keep(p, CELL_KEPT);
    share_load8(p, 10);
    share_alu(p, BPF_AND, 0x7c);
    share_keep(p, CELL_OTHER);
    share_skip_if(p, CELL_KEPT, 1, 8);
    share_skip(p, 12);
    share_recall(p, CELL_OTHER);
    share_is(p, 0, level + 1, AT_ETHERNET);
    share_is(p, 2 << 2, level + 1, AT_IP);
    share_enough(p);
}

void share_write_gre(struct share *p, unsigned level) {
    uint16_t version_0 = assemble_label(&p->a);
    uint16_t erspan = assemble_label(&p->a), erspan_3 = assemble_label(&p->a);
    share_here(p, level, AT_GRE);
    share_load16(p, 2);
    share_keep(p, CELL_OTHER);
    share_load16(p, 0);
    share_keep(p, CELL_KEPT);
    share_alu(p, BPF_AND, 0x0007);
    assemble_if(&p->a, BPF_JEQ, 0, version_0);
    assemble_if(&p->a, BPF_JGT, share_is_full(level) ? 1 : 0, p->hash);
    if (share_is_full(level))
        write_gre_1(p, level);
    assemble_here(&p->a, version_0);
    share_skip_if(p, CELL_KEPT, 0x8000, 4);
    share_skip_if(p, CELL_KEPT, 0x2000, 4);
    share_skip_if(p, CELL_KEPT, 0x1000, 4);
    share_skip(p, 4);
    if (share_is_full(level)) {
        share_recall(p, CELL_OTHER);
        assemble_if(&p->a, BPF_JEQ, 0x88be, erspan);
        assemble_if(&p->a, BPF_JEQ, 0x22eb, erspan_3);
        share_alu(p, BPF_AND, 0xfff0);
        share_is(p, 0x8200, level + 1, AT_WIFI);
        share_is(p, 0x9000, level + 1, AT_WIFI);
    }
    share_recall(p, CELL_OTHER);
    share_go(p, level + 1, AT_TYPE);
    if (share_is_full(level))
        write_erspan(p, level, erspan, erspan_3);
}

/* VXLAN whose header names what follows; X is still at the UDP header, as for the others below. */
static void write_gpe(struct share *p, unsigned level) {
    uint16_t named = assemble_label(&p->a);
    share_load8(p, 8);
    assemble_if(&p->a, BPF_JSET, 0x04, named);
    share_skip(p, 16);
    share_go(p, level + 1, AT_ETHERNET);
    assemble_here(&p->a, named);
    share_load8(p, 11);
    share_keep(p, CELL_KEPT);
    share_skip_and_recall(p, 16);
    share_is(p, 1, level + 1, AT_IPV4);
    share_is(p, 2, level + 1, AT_IPV6);
    share_is(p, 3, level + 1, AT_ETHERNET);
    share_enough(p);
}

static void write_geneve(struct share *p, unsigned level) {
    share_load16(p, 10);
    share_keep(p, CELL_KEPT);
    share_load8(p, 8);
    share_alu(p, BPF_AND, 0x3f);
    share_alu(p, BPF_LSH, 2);
    share_skip_a(p);
    share_skip_and_recall(p, 16);
    share_go(p, level + 1, AT_TYPE);
}

/* User data, with as many extension headers as are in use together. */
static void write_gtp(struct share *p, unsigned level) {
    enum { EXTENSIONS = 3 };
    uint16_t user_data = assemble_label(&p->a), carried = assemble_label(&p->a);
    share_load8(p, 1);
    assemble_if(&p->a, BPF_JEQ, 255, user_data);
    share_enough(p);
    assemble_here(&p->a, user_data);
    uint16_t optional = assemble_label(&p->a);
    share_load8(p, 0);
    share_keep(p, CELL_OTHER);
    share_skip(p, 8);
    share_recall(p, CELL_OTHER);
    assemble_if(&p->a, BPF_JSET, 0x07, optional);
    assemble_go(&p->a, carried);
    assemble_here(&p->a, optional);
    share_skip(p, 4);
    share_recall(p, CELL_OTHER);
    share_alu(p, BPF_AND, 0x04);
    assemble_if(&p->a, BPF_JEQ, 0, carried);
    for (int i = 0; i < EXTENSIONS; i++) { /* the octet before says whether there is one */
        assemble_add(&p->a, BPF_MISC | BPF_TXA, 0);
        share_alu(p, BPF_SUB, 1);
        assemble_add(&p->a, BPF_MISC | BPF_TAX, 0);
        share_load8(p, 0);
        share_keep(p, CELL_KEPT);
        share_skip_and_recall(p, 1);
        assemble_if(&p->a, BPF_JEQ, 0, carried);
        share_load8(p, 0);
        share_alu(p, BPF_LSH, 2);
        share_skip_a(p);
    }
    assemble_here(&p->a, carried);
    share_go(p, level + 1, AT_IP);
}

/* IPv6, behind what may stand before it. */
static void write_teredo(struct share *p, unsigned level) {
    uint16_t plain = assemble_label(&p->a), origin = assemble_label(&p->a);
    share_load16(p, 0);
    assemble_if(&p->a, BPF_JEQ, 0, origin);
    assemble_if(&p->a, BPF_JGT, 1, plain);
    share_load8(p, 2);
    share_keep(p, CELL_OTHER);
    share_load8(p, 3);
    share_skip_a(p);
    share_recall(p, CELL_OTHER);
    share_skip_a(p);
    share_skip(p, 13);
    share_load16(p, 0);
    assemble_if(&p->a, BPF_JGT, 0, plain);
    assemble_here(&p->a, origin);
    share_skip(p, 8);
    assemble_here(&p->a, plain);
    share_go(p, level + 1, AT_IPV6);
}

/* On any port: IPv6 to or from Teredo's prefix. X is still at the UDP header. */
static void write_teredo_elsewhere(struct share *p, unsigned level) {
    enum { PREFIX = 0x20010000, LEAST = 48 };
    uint16_t found = assemble_label(&p->a), long_enough = assemble_label(&p->a);
    uint16_t version_6 = assemble_label(&p->a);
    share_load16(p, 4);
    assemble_if(&p->a, BPF_JGE, LEAST, long_enough);
    share_enough(p);
    assemble_here(&p->a, long_enough);
    share_load8(p, 8);
    share_alu(p, BPF_AND, 0xf0);
    assemble_if(&p->a, BPF_JEQ, 0x60, version_6);
    share_enough(p);
    assemble_here(&p->a, version_6);
    share_load32(p, 16);
    assemble_if(&p->a, BPF_JEQ, PREFIX, found);
    share_load32(p, 32);
    assemble_if(&p->a, BPF_JEQ, PREFIX, found);
    share_enough(p);
    assemble_here(&p->a, found);
    share_skip(p, 8);
    share_go(p, level + 1, AT_IPV6);
}

static void write_capwap(struct share *p, unsigned level) {
    share_load32(p, 0);
    share_keep(p, CELL_KEPT);
    assemble_if(&p->a, BPF_JSET, 0xff000080, p->hash);
    share_alu(p, BPF_RSH, 19);
    share_alu(p, BPF_AND, 0x1f);
    share_alu(p, BPF_LSH, 2);
    share_skip_a(p);
    share_recall(p, CELL_KEPT);
    assemble_if(&p->a, BPF_JSET, 0x0100, p->label[level + 1][AT_WIFI]);
    share_go(p, level + 1, AT_ETHERNET);
}

enum carried { VXLAN, GENEVE, GPE, GTP, TEREDO, CAPWAP, GRE_IN, MPLS_IN, CARRIED };

/* What the inner levels do without. */
static void write_rare_udp(struct share *p, unsigned level, const uint16_t kind[CARRIED]) {
    write_teredo_elsewhere(p, level);
    assemble_here(&p->a, kind[GPE]);
    write_gpe(p, level);
    assemble_here(&p->a, kind[GTP]);
    share_skip(p, 8);
    write_gtp(p, level);
    assemble_here(&p->a, kind[TEREDO]);
    share_skip(p, 8);
    write_teredo(p, level);
    assemble_here(&p->a, kind[CAPWAP]);
    share_skip(p, 8);
    write_capwap(p, level);
    assemble_here(&p->a, kind[GRE_IN]);
    share_skip(p, 8);
    share_go(p, level + 1, AT_GRE);
    assemble_here(&p->a, kind[MPLS_IN]);
    share_skip(p, 8);
    share_go(p, level + 1, AT_MPLS);
}

/* The kinds of a port, the destination's (at 2) or the source's (at 0). */
static void is_port(struct share *p, unsigned level, uint32_t at, const uint16_t kind[CARRIED]) {
    static const struct {
        uint16_t port;
        uint8_t kind;
        bool either;
    } known[] = {{4789, VXLAN, false},  {8472, VXLAN, false},  {4790, GPE, false},
                 {6081, GENEVE, false}, {4754, GRE_IN, false}, {6635, MPLS_IN, false},
                 {2152, GTP, true},     {5247, CAPWAP, true},  {3544, TEREDO, true}};
    share_load16(p, at);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if ((share_is_full(level) || known[i].kind <= GENEVE) && (at == 2 || known[i].either))
            assemble_if(&p->a, BPF_JEQ, known[i].port, kind[known[i].kind]);
}

void share_write_udp(struct share *p, unsigned level) {
    uint16_t kind[CARRIED];
    for (int i = 0; i < CARRIED; i++)
        kind[i] = assemble_label(&p->a);
    share_here(p, level, AT_UDP);
    is_port(p, level, 2, kind);
    if (share_is_full(level)) {
        is_port(p, level, 0, kind);
        write_rare_udp(p, level, kind);
    } else {
        share_enough(p);
    }
    assemble_here(&p->a, kind[GENEVE]);
    write_geneve(p, level);
    assemble_here(&p->a, kind[VXLAN]);
    share_skip(p, 16);
    share_go(p, level + 1, AT_ETHERNET);
}
