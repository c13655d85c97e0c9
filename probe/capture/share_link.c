/*
 * The program that shares packets among workers (share.h): links, bridges, sessions, label stacks.
 */
#include "share.h"

void share_write_type(struct share *p, unsigned level) {
    static const struct {
        uint16_t type;
        uint8_t place;
    } type[] = {{0x0800, AT_IPV4},  {0x86dd, AT_IPV6}, {0x8100, AT_VLAN}, {0x88a8, AT_VLAN},
                {0x9100, AT_VLAN},  {0x9200, AT_VLAN}, {0x8847, AT_MPLS}, {0x8848, AT_MPLS},
                {0x8864, AT_PPPOE}, {0x880b, AT_PPP},  {0x88e7, AT_PBB},  {0x88e5, AT_MACSEC}};
    uint16_t is_type = assemble_label(&p->a);
    share_here(p, level, AT_ETHERNET);
    share_load16(p, 12);
    share_keep(p, CELL_KEPT);
    share_skip_and_recall(p, 14);
    share_here(p, level, AT_TYPE);
    for (size_t i = 0; i < sizeof type / sizeof type[0]; i++)
        share_is(p, type[i].type, level, (enum share_place)type[i].place);
    share_is(p, 0x6558, level + 1, AT_ETHERNET);
    assemble_if(&p->a, BPF_JGT, 1500, is_type);
    share_go(p, level, AT_LLC);
    assemble_here(&p->a, is_type);
    share_enough(p);
}

void share_write_bridges(struct share *p, unsigned level) {
    share_here(p, level, AT_VLAN);
    share_load16(p, 2);
    share_keep(p, CELL_KEPT);
    share_skip_and_recall(p, 4);
    share_go(p, level + 1, AT_TYPE);
    if (!share_is_full(level))
        return;
    share_here(p, level, AT_PBB);
    share_skip(p, 4);
    share_go(p, level + 1, AT_ETHERNET);
    share_here(p, level, AT_MACSEC);
    share_load8(p, 0);
    share_keep(p, CELL_OTHER);
    assemble_if(&p->a, BPF_JSET, 0x8c, p->hash);
    share_skip_if(p, CELL_OTHER, 0x20, 8); /* the sender's id */
    share_load16(p, 6);
    share_keep(p, CELL_KEPT);
    share_skip_and_recall(p, 8);
    share_go(p, level + 1, AT_TYPE);
}

/* A data frame, in the order of octets that its version, 0, shows. */
void share_write_wifi(struct share *p, unsigned level) {
    uint16_t swapped = assemble_label(&p->a), known = assemble_label(&p->a);
    uint16_t data = assemble_label(&p->a), between = assemble_label(&p->a);
    uint16_t three = assemble_label(&p->a), quality = assemble_label(&p->a);
    uint16_t plain = assemble_label(&p->a);
    share_here(p, level, AT_WIFI);
    share_load8(p, 0);
    assemble_if(&p->a, BPF_JSET, 0x03, swapped);
    share_keep(p, CELL_KEPT);
    share_load8(p, 1);
    share_keep(p, CELL_OTHER);
    assemble_go(&p->a, known);
    assemble_here(&p->a, swapped);
    share_keep(p, CELL_OTHER);
    share_load8(p, 1);
    share_keep(p, CELL_KEPT);
    assemble_here(&p->a, known);
    share_recall(p, CELL_KEPT);
    share_alu(p, BPF_AND, 0x4f);
    assemble_if(&p->a, BPF_JEQ, 0x08, data);
    share_enough(p);
    assemble_here(&p->a, data);
    share_recall(p, CELL_OTHER);
    assemble_if(&p->a, BPF_JSET, 0x40, p->hash); /* encrypted */
    share_alu(p, BPF_AND, 0x03);
    assemble_if(&p->a, BPF_JEQ, 0x03, between);
    assemble_go(&p->a, three);
    assemble_here(&p->a, between);
    share_skip(p, 6);
    assemble_here(&p->a, three);
    share_recall(p, CELL_KEPT);
    assemble_if(&p->a, BPF_JSET, 0x80, quality);
    assemble_go(&p->a, plain);
    assemble_here(&p->a, quality);
    share_skip(p, 2);
    share_skip_if(p, CELL_OTHER, 0x80, 4);
    assemble_here(&p->a, plain);
    share_skip(p, 24);
}

/* Right behind a frame of 802.11, too. */
void share_write_llc(struct share *p, unsigned level) {
    uint16_t snap = assemble_label(&p->a);
    share_here(p, level, AT_LLC);
    share_load32(p, 0);
    share_alu(p, BPF_RSH, 8);
    assemble_if(&p->a, BPF_JEQ, 0xaaaa03, snap);
    share_keep(p, CELL_KEPT);
    share_skip_and_recall(p, 3);
    share_is(p, 0x060603, level, AT_IPV4);
    share_enough(p);
    assemble_here(&p->a, snap);
    share_load16(p, 6);
    share_keep(p, CELL_KEPT);
    share_skip_and_recall(p, 8);
    share_go(p, level + 1, AT_TYPE);
}

void share_write_ppp(struct share *p, unsigned level) {
    uint16_t bare = assemble_label(&p->a), framed = assemble_label(&p->a);
    uint16_t one = assemble_label(&p->a);
    share_here(p, level, AT_PPPOE);
    share_skip(p, 6);
    share_here(p, level, AT_PPP);
    share_load16(p, 0);
    assemble_if(&p->a, BPF_JEQ, 0xff03, framed);
    assemble_go(&p->a, bare);
    assemble_here(&p->a, framed);
    share_skip(p, 2);
    assemble_here(&p->a, bare);
    share_load8(p, 0);
    share_keep(p, CELL_KEPT);
    assemble_if(&p->a, BPF_JSET, 1, one);
    share_load16(p, 0);
    share_keep(p, CELL_KEPT);
    share_skip(p, 1);
    assemble_here(&p->a, one);
    share_skip(p, 1);
    share_recall(p, CELL_KEPT);
    share_is(p, 0x21, level, AT_IPV4);
    share_is(p, 0x57, level, AT_IPV6);
    share_is(p, 0x281, level, AT_MPLS);
    share_enough(p);
}

/* ---- MPLS ---- */

/* A frame `at` so many octets, by its type, is next; else go on behind. */
static void frame_if(struct share *p, unsigned level, uint32_t at) {
    static const uint16_t type[] = {0x0800, 0x86dd, 0x8100, 0x88a8, 0x8847, 0x8864};
    uint16_t is_frame = assemble_label(&p->a), over = assemble_label(&p->a);
    share_load16(p, at + 12);
    for (size_t i = 0; i < sizeof type / sizeof type[0]; i++)
        assemble_if(&p->a, BPF_JEQ, type[i], is_frame);
    assemble_go(&p->a, over);
    assemble_here(&p->a, is_frame);
    if (at > 0)
        share_skip(p, at);
    share_go(p, level + 1, AT_ETHERNET);
    assemble_here(&p->a, over);
}

void share_write_mpls(struct share *p, unsigned level) {
    enum { LABELS_OF_A_LEVEL = 4 };
    uint16_t bottom = assemble_label(&p->a), word = assemble_label(&p->a);
    share_here(p, level, AT_MPLS);
    for (int i = 0; i < LABELS_OF_A_LEVEL; i++) {
        share_load8(p, 2);
        share_keep(p, CELL_KEPT);
        share_skip_and_recall(p, 4);
        assemble_if(&p->a, BPF_JSET, 1, bottom);
    }
    share_go(p, level + 1, AT_MPLS);
    assemble_here(&p->a, bottom);
    share_load8(p, 0);
    share_alu(p, BPF_AND, 0xf0);
    share_is(p, 0x40, level, AT_IPV4);
    share_is(p, 0x60, level, AT_IPV6);
    assemble_if(&p->a, BPF_JGT, 0, word);
    if (share_is_full(level))
        frame_if(p, level, 4); /* behind a control word */
    assemble_here(&p->a, word);
    frame_if(p, level, 0);
    share_enough(p);
}
