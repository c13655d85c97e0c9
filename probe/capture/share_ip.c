/*
 * The program that shares packets among workers (share.h): IP, its extension headers, ICMP errors.
 */
#include "share.h"

void share_write_ip(struct share *p, unsigned level) {
    share_here(p, level, AT_IP);
    share_load8(p, 0);
    share_alu(p, BPF_AND, 0xf0);
    share_is(p, 0x60, level, AT_IPV6);
    share_here(p, level, AT_IPV4);
    share_note_addresses(p, 4, 12, 16);
    share_load16(p, 6);
    assemble_if(&p->a, BPF_JSET, 0x3fff, p->hash); /* a fragment */
    share_load8(p, 9);
    share_keep(p, CELL_KEPT);
    share_load8(p, 0);
    share_alu(p, BPF_AND, 0x0f);
    share_alu(p, BPF_LSH, 2);
    share_skip_a(p);
    share_recall(p, CELL_KEPT);
    share_go(p, level, AT_PROTOCOL);
    share_here(p, level, AT_IPV6);
    share_note_addresses(p, 6, 8, 24);
    share_load8(p, 6);
    share_keep(p, CELL_KEPT);
    share_skip_and_recall(p, 40);
}

/* Errors quote a packet, whose addresses count: those of routers say nothing. */
static void write_icmp(struct share *p, uint16_t icmp, uint16_t icmp6) {
    uint16_t quoted = assemble_label(&p->a), quoted6 = assemble_label(&p->a);
    assemble_here(&p->a, icmp);
    share_load8(p, 0);
    assemble_if(&p->a, BPF_JEQ, 3, quoted);
    assemble_if(&p->a, BPF_JEQ, 11, quoted);
    assemble_if(&p->a, BPF_JEQ, 12, quoted);
    share_enough(p);
    assemble_here(&p->a, quoted);
    share_note_addresses(p, 4, 8 + 12, 8 + 16);
    share_enough(p);
    assemble_here(&p->a, icmp6);
    share_load8(p, 0);
    assemble_if(&p->a, BPF_JGT, 4, p->hash);
    assemble_if(&p->a, BPF_JGT, 0, quoted6);
    share_enough(p);
    assemble_here(&p->a, quoted6);
    share_note_addresses(p, 6, 8 + 8, 8 + 24);
    share_enough(p);
}

void share_write_protocol(struct share *p, unsigned level) {
    static const uint8_t extension[] = {0, 43, 44, 51, 60, 135, 139, 140};
    uint16_t icmp = assemble_label(&p->a), icmp6 = assemble_label(&p->a);
    share_here(p, level, AT_PROTOCOL);
    assemble_if(&p->a, BPF_JEQ, 6, p->hash);
    share_is(p, 17, level, AT_UDP);
    share_is(p, 47, level, AT_GRE);
    share_is(p, 4, level + 1, AT_IPV4);
    share_is(p, 41, level + 1, AT_IPV6);
    share_is(p, 137, level + 1, AT_MPLS);
    assemble_if(&p->a, BPF_JEQ, 1, icmp);
    assemble_if(&p->a, BPF_JEQ, 58, icmp6);
    share_keep(p, CELL_KEPT);
    for (size_t i = 0; i < sizeof extension / sizeof extension[0]; i++)
        share_is(p, extension[i], level, AT_EXTENSION);
    share_enough(p);
    write_icmp(p, icmp, icmp6);
}

/* A waypoint's address is not the end's: the last one of the list is. */
static void write_route(struct share *p) {
    uint16_t over = assemble_label(&p->a), source = assemble_label(&p->a);
    uint16_t segments = assemble_label(&p->a);
    share_load8(p, 3);
    assemble_if(&p->a, BPF_JEQ, 0, over); /* none is left */
    share_load8(p, 1);
    share_keep(p, CELL_OTHER);
    assemble_if(&p->a, BPF_JEQ, 0, over);
    assemble_if(&p->a, BPF_JEQ, 1, over); /* too short for an address */
    share_load8(p, 2);
    assemble_if(&p->a, BPF_JEQ, 0, source);
    assemble_if(&p->a, BPF_JEQ, 2, source);
    assemble_if(&p->a, BPF_JEQ, 4, segments);
    assemble_go(&p->a, over);
    assemble_here(&p->a, source);
    share_recall(p, CELL_OTHER);
    share_alu(p, BPF_LSH, 3);
    share_alu(p, BPF_SUB, 8); /* (n + 1) * 8 - 16 */
    assemble_add(&p->a, BPF_ALU | BPF_ADD | BPF_X, 0);
    share_keep(p, CELL_DESTINATION);
    assemble_go(&p->a, over);
    assemble_here(&p->a, segments);
    share_note_place(p, CELL_DESTINATION, 8);
    assemble_here(&p->a, over);
}

/* A home address, right at the start or behind the padding that aligns it (RFC 6275, 6.3). */
static void write_home(struct share *p) {
    uint16_t over = assemble_label(&p->a), padded = assemble_label(&p->a);
    uint16_t first = assemble_label(&p->a);
    share_load16(p, 2);
    assemble_if(&p->a, BPF_JEQ, 0xc910, first);
    share_load16(p, 6);
    assemble_if(&p->a, BPF_JEQ, 0xc910, padded);
    assemble_go(&p->a, over);
    assemble_here(&p->a, first);
    share_note_place(p, CELL_SOURCE, 4);
    assemble_go(&p->a, over);
    assemble_here(&p->a, padded);
    share_note_place(p, CELL_SOURCE, 8);
    assemble_here(&p->a, over);
}

void share_write_extension(struct share *p, unsigned level) {
    uint16_t signature = assemble_label(&p->a), fragment = assemble_label(&p->a);
    uint16_t route = assemble_label(&p->a), home = assemble_label(&p->a);
    uint16_t other = assemble_label(&p->a), skip_it = assemble_label(&p->a);
    share_here(p, level, AT_EXTENSION);
    assemble_if(&p->a, BPF_JEQ, 51, signature);
    assemble_if(&p->a, BPF_JEQ, 44, fragment);
    assemble_if(&p->a, BPF_JEQ, 43, route);
    assemble_if(&p->a, BPF_JEQ, 60, home);
    assemble_go(&p->a, other);
    assemble_here(&p->a, fragment);
    share_load16(p, 2);
    assemble_if(&p->a, BPF_JSET, 0xfff9, p->hash);
    share_number(p, 8);
    assemble_go(&p->a, skip_it);
    assemble_here(&p->a, signature);
    share_load8(p, 1);
    share_alu(p, BPF_ADD, 2);
    share_alu(p, BPF_LSH, 2);
    assemble_go(&p->a, skip_it);
    assemble_here(&p->a, route);
    write_route(p);
    assemble_go(&p->a, other);
    assemble_here(&p->a, home);
    write_home(p);
    assemble_here(&p->a, other);
    share_load8(p, 1);
    share_alu(p, BPF_ADD, 1);
    share_alu(p, BPF_LSH, 3);
    assemble_here(&p->a, skip_it);
    share_keep(p, CELL_OTHER);
    share_load8(p, 0);
    share_keep(p, CELL_KEPT);
    share_recall(p, CELL_OTHER);
    share_skip_a(p);
    share_recall(p, CELL_KEPT);
    share_go(p, level + 1, AT_PROTOCOL);
}
