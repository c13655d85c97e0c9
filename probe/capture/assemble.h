/*
 * assemble: programs of classic BPF from instructions and labels (bpf(4), and Linux's
 * networking/filter). Jumps go forward only, over any distance: a condition reaches 255
 * instructions, so that one with a far label gets a jump of its own beside it.
 */
#ifndef CAPTURE_ASSEMBLE_H
#define CAPTURE_ASSEMBLE_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ASSEMBLE_MOST = 8192, ASSEMBLE_LABELS = 2048 };

/* An instruction as it was asked for. */
struct assemble_item {
    uint16_t code, label; /* label: of a jump, where to when the condition holds */
    uint32_t k;
};

struct assemble {
    size_t n, labels;
    struct assemble_item item[ASSEMBLE_MOST];
    uint16_t at[ASSEMBLE_LABELS];      /* the item at which a label stands */
    uint16_t place[ASSEMBLE_MOST + 1]; /* of an item in the program */
    bool far[ASSEMBLE_MOST];
};

/* A label that is still to be placed, and placing it here. */
uint16_t assemble_label(struct assemble *a);
void assemble_here(struct assemble *a, uint16_t label);
void assemble_rest_here(struct assemble *a); /* all that are placed nowhere */

void assemble_add(struct assemble *a, uint16_t code, uint32_t k);
/* Jump if the accumulator (code: BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET) holds with k; or always. */
void assemble_if(struct assemble *a, uint16_t code, uint32_t k, uint16_t label);
void assemble_go(struct assemble *a, uint16_t label);

/* Write the program; returns its length, or 0 when it does not fit `room`. */
size_t assemble_finish(struct assemble *a, struct sock_filter *code, size_t room);

#endif
