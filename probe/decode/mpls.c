/*
 * MPLS label stacks (RFC 3032) and what lies below them: IP, or Ethernet of a pseudowire (RFC
 * 4448).
 *
 * Input: a walk at a label. Output: the layer below the stack, which no header names: it is told by
 * its first octets, as routers do that balance load (RFC 4928 section 2). Labels are no part of the
 * identity; see decode.h.
 */
#include "walk.h"

enum {
    MAX_LABELS = 16, /* far beyond what routers can push */
    LABEL = 4,
    CONTROL_WORD = 4,
    ETHERNET_TYPE_AT = 12,
    ETHERNET_HEADER = 14
};

/* Is there a frame, by its type, `at` so many octets? One with a length there is not told from
 * chance. */
static bool is_frame(const struct walk *w, uint32_t at) {
    if (w->captured < at + ETHERNET_HEADER)
        return false;
    switch (walk_u16(w->at + at + ETHERNET_TYPE_AT)) {
    case TYPE_IPV4:
    case TYPE_IPV6:
    case 0x8100:
    case 0x88a8:
    case 0x8847:
    case 0x8864:
        return true;
    default:
        return false;
    }
}

/* A control word begins with four bits of zero (RFC 4385 section 3); so do many addresses, so that
 * a frame has to show its type. */
static enum layer pseudowire(struct walk *w) {
    if (w->at[0] >> 4 == 0 && is_frame(w, CONTROL_WORD)) {
        walk_skip(w, CONTROL_WORD);
        return LAYER_ETHERNET;
    }
    return is_frame(w, 0) ? LAYER_ETHERNET : walk_end(w, DECODE_NOT_TCP);
}

enum layer decode_mpls(struct walk *w, struct segment *s) {
    (void)s;
    bool bottom = false;
    for (int n = 0; n < MAX_LABELS && !bottom; n++) {
        if (!walk_has(w, LABEL))
            return LAYER_END;
        bottom = (w->at[2] & 1) != 0;
        walk_skip(w, LABEL);
    }
    if (!bottom)
        return walk_end(w, DECODE_NOT_TCP);
    if (!walk_has(w, 1))
        return LAYER_END;
    switch (w->at[0] >> 4) {
    case 4:
        return LAYER_IPV4;
    case 6:
        return LAYER_IPV6;
    default:
        return pseudowire(w);
    }
}
