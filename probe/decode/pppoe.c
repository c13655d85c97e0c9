/*
 * PPP over Ethernet sessions (RFC 2516 section 4).
 *
 * Input: a walk at a PPPoE header. Output: PPP, bounded by the header's length where the frame is
 * longer (short frames are padded). The session id is part of the flow's identity.
 */
#include "walk.h"

enum layer decode_pppoe(struct walk *w, struct segment *s) {
    enum { HEADER = 6, VERSION_AND_TYPE = 0x11, CODE_SESSION = 0 };
    (void)s;
    if (!walk_has(w, HEADER))
        return LAYER_END;
    const uint8_t *h = w->at;
    if (h[0] != VERSION_AND_TYPE || h[1] != CODE_SESSION)
        return walk_end(w, DECODE_NOT_TCP);
    uint16_t session = walk_u16(h + 2), length = walk_u16(h + 4);
    walk_skip(w, HEADER);
    walk_bound_frame(w, length);
    return walk_into(w, DECODE_LAYER_PPPOE, session, LAYER_PPP);
}
