/*
 * The assembler (assemble.h). All jumps are taken for far ones first; what is near even then stays
 * near, since distances only shrink.
 */
#include "assemble.h"

#include <assert.h>

enum { FAR = 255 };

static bool is_jump(const struct assemble_item *i) {
    return BPF_CLASS(i->code) == BPF_JMP;
}

static bool is_condition(const struct assemble_item *i) {
    return is_jump(i) && BPF_OP(i->code) != BPF_JA;
}

uint16_t assemble_label(struct assemble *a) {
    assert(a->labels < ASSEMBLE_LABELS);
    a->at[a->labels] = UINT16_MAX;
    return (uint16_t)a->labels++;
}

void assemble_here(struct assemble *a, uint16_t label) {
    a->at[label] = (uint16_t)a->n;
}

void assemble_rest_here(struct assemble *a) {
    for (size_t i = 0; i < a->labels; i++)
        if (a->at[i] == UINT16_MAX)
            a->at[i] = (uint16_t)a->n;
}

static void put(struct assemble *a, uint16_t code, uint32_t k, uint16_t label) {
    assert(a->n < ASSEMBLE_MOST);
    a->item[a->n++] = (struct assemble_item){.code = code, .label = label, .k = k};
}

void assemble_add(struct assemble *a, uint16_t code, uint32_t k) {
    put(a, code, k, 0);
}

void assemble_if(struct assemble *a, uint16_t code, uint32_t k, uint16_t label) {
    put(a, (uint16_t)(BPF_JMP | BPF_K | code), k, label);
}

void assemble_go(struct assemble *a, uint16_t label) {
    put(a, BPF_JMP | BPF_JA, 0, label);
}

/* Where each item begins; the program's length. */
static size_t lay_out(struct assemble *a) {
    size_t place = 0;
    for (size_t i = 0; i < a->n; i++) {
        a->place[i] = (uint16_t)place;
        place += is_condition(&a->item[i]) && a->far[i] ? 2 : 1;
    }
    a->place[a->n] = (uint16_t)place;
    return place;
}

static uint32_t distance(const struct assemble *a, size_t from) {
    uint16_t to = a->at[a->item[from].label];
    assert(to > from && to <= a->n);
    return (uint32_t)a->place[to] - a->place[from + 1];
}

static void write_jump(const struct assemble *a, size_t i, struct sock_filter *out) {
    const struct assemble_item *item = &a->item[i];
    uint32_t over = distance(a, i);
    if (!is_condition(item)) {
        *out = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, over);
        return;
    }
    *out = (struct sock_filter)BPF_JUMP(item->code, item->k, a->far[i] ? 0 : (uint8_t)over,
                                        a->far[i] ? 1 : 0);
    if (a->far[i])
        out[1] = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, over);
}

size_t assemble_finish(struct assemble *a, struct sock_filter *code, size_t room) {
    for (size_t i = 0; i < a->n; i++)
        a->far[i] = true;
    lay_out(a);
    for (size_t i = 0; i < a->n; i++)
        a->far[i] = is_condition(&a->item[i]) && distance(a, i) > FAR;
    size_t length = lay_out(a);
    if (length > room)
        return 0;
    for (size_t i = 0; i < a->n; i++) {
        struct sock_filter *out = &code[a->place[i]];
        if (is_jump(&a->item[i]))
            write_jump(a, i, out);
        else
            *out = (struct sock_filter)BPF_STMT(a->item[i].code, a->item[i].k);
    }
    return length;
}
