/*
 * What a kernel's fanout does with a packet, for tests: classic BPF as the kernel defines it
 * (linux/filter.h), with what it knows of the packet beside its octets.
 */
#ifndef TESTS_UNIT_SHARE_RUN_H
#define TESTS_UNIT_SHARE_RUN_H

#include <linux/if_arp.h>
#include <linux/if_packet.h>
#include <string.h>

#include "spanwatch/capture_share.h"

struct share_packet {
    const uint8_t *data;
    uint32_t n;
    uint8_t kind; /* PACKET_OUTGOING, ... */
    uint16_t hardware, protocol;
};

/* The `size` octets at `at`; false beyond the packet. */
static inline bool share_load(const struct share_packet *p, uint32_t at, unsigned size,
                              uint32_t *value) {
    if (at == (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE))
        return *value = p->kind, true;
    if (at == (uint32_t)(SKF_AD_OFF + SKF_AD_HATYPE))
        return *value = p->hardware, true;
    if (at == (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL))
        return *value = p->protocol, true;
    if (at > p->n || p->n - at < size)
        return false;
    *value = 0;
    for (unsigned i = 0; i < size; i++)
        *value = *value << 8 | p->data[at + i];
    return true;
}

static inline uint32_t share_alu(uint16_t op, uint32_t a, uint32_t b) {
    switch (op) {
    case BPF_ADD:
        return a + b;
    case BPF_SUB:
        return a - b;
    case BPF_MUL:
        return a * b;
    case BPF_AND:
        return a & b;
    case BPF_XOR:
        return a ^ b;
    case BPF_LSH:
        return a << b;
    case BPF_RSH:
        return a >> b;
    default:
        fail_msg("an operation that the program does not need: %x", op);
        return 0;
    }
}

static inline bool share_holds(uint16_t op, uint32_t a, uint32_t k) {
    switch (op) {
    case BPF_JEQ:
        return a == k;
    case BPF_JGT:
        return a > k;
    case BPF_JGE:
        return a >= k;
    case BPF_JSET:
        return (a & k) != 0;
    default:
        fail_msg("a condition that the program does not need: %x", op);
        return false;
    }
}

struct share_machine {
    uint32_t a, x, cell[BPF_MEMWORDS];
};

/* One instruction that is neither jump nor return; false at a load beyond the packet. */
static inline bool share_step(struct share_machine *m, const struct sock_filter *i,
                              const struct share_packet *p) {
    unsigned size = BPF_SIZE(i->code) == BPF_W ? 4 : BPF_SIZE(i->code) == BPF_H ? 2 : 1;
    switch (BPF_CLASS(i->code)) {
    case BPF_LD:
        if (BPF_MODE(i->code) == BPF_IMM)
            m->a = i->k;
        else if (BPF_MODE(i->code) == BPF_MEM)
            m->a = m->cell[i->k];
        else
            return share_load(p, i->k + (BPF_MODE(i->code) == BPF_IND ? m->x : 0), size, &m->a);
        return true;
    case BPF_LDX:
        assert_int_equal(BPF_MODE(i->code), BPF_MEM);
        m->x = m->cell[i->k];
        return true;
    case BPF_ST:
        m->cell[i->k] = m->a;
        return true;
    case BPF_ALU:
        m->a = share_alu(BPF_OP(i->code), m->a, BPF_SRC(i->code) == BPF_X ? m->x : i->k);
        return true;
    case BPF_MISC:
        if (BPF_MISCOP(i->code) == BPF_TAX)
            m->x = m->a;
        else
            m->a = m->x;
        return true;
    default:
        fail_msg("an instruction that the program does not need: %x", i->code);
        return false;
    }
}

static inline uint32_t share_run(const struct sock_filter *code, size_t n,
                                 const struct share_packet *p) {
    struct share_machine m = {0};
    for (size_t at = 0; at < n; at++) {
        const struct sock_filter *i = &code[at];
        if (BPF_CLASS(i->code) == BPF_RET)
            return BPF_RVAL(i->code) == BPF_A ? m.a : i->k;
        if (i->code == (BPF_JMP | BPF_JA))
            at += i->k;
        else if (BPF_CLASS(i->code) == BPF_JMP)
            at += share_holds(BPF_OP(i->code), m.a, i->k) ? i->jt : i->jf;
        else if (!share_step(&m, i, p))
            return 0;
    }
    fail_msg("the program has no end");
    return 0;
}

#endif
