/*
 * IEEE 802.11 data frames, as a monitoring card (with radiotap's header) or a tunnel of an access
 * point gives them.
 *
 * Input: a walk at such a header. Output: LLC. Encrypted frames and all that carry no data are not
 * TCP. Numbers are little endian here, unlike elsewhere.
 */
#include "walk.h"

static uint16_t little_u16(const uint8_t *at) {
    return __builtin_bswap16(walk_u16(at));
}

static uint32_t little_u32(const uint8_t *at) {
    return __builtin_bswap32(walk_u32(at));
}

/* Octets of the header of a data frame, whose control field is `type` and `flags` (IEEE 802.11
 * section 9.2.4.1): a fourth address between access points, QoS, and then perhaps more control. */
static uint32_t data_header(uint8_t type, uint8_t flags) {
    enum { QOS = 0x80, BETWEEN = 0x03, ORDER = 0x80 };
    uint32_t size = (flags & BETWEEN) == BETWEEN ? 30 : 24;
    if ((type & QOS) != 0)
        size += (flags & ORDER) != 0 ? 6 : 2;
    return size;
}

/* `pad`: drivers may pad the header to a multiple of four octets. Some access points swap the two
 * octets of all numbers on their way through a tunnel; the version, 0, shows it. What comes so
 * is no fragment of a frame any more. */
static enum layer data_frame(struct walk *w, bool pad) {
    enum { KIND = 0x0f, KIND_DATA = 0x08, WITHOUT_DATA = 0x40, ENCRYPTED = 0x40, SEQUENCE_AT = 22 };
    enum { VERSION = 0x03, QOS = 0x80, SEVERAL_IN_ONE = 0x80 };
    if (!walk_has(w, 2))
        return LAYER_END;
    bool swapped = (w->at[0] & VERSION) != 0;
    uint8_t type = w->at[swapped ? 1 : 0], flags = w->at[swapped ? 0 : 1];
    if ((type & KIND) != KIND_DATA || (type & WITHOUT_DATA) != 0 || (flags & ENCRYPTED) != 0)
        return walk_end(w, DECODE_NOT_TCP);
    uint32_t size = data_header(type, flags);
    if (!walk_has(w, size))
        return LAYER_END;
    if (!swapped && (little_u16(w->at + SEQUENCE_AT) & 0x0f) != 0)
        return walk_end(w, DECODE_FRAGMENT); /* the rest of a frame, rare: not joined */
    if ((type & QOS) != 0 && (w->at[(flags & 0x03) == 0x03 ? 30 : 24] & SEVERAL_IN_ONE) != 0)
        return walk_end(w, DECODE_NOT_TCP);
    if (pad)
        size = (size + 3) & ~UINT32_C(3);
    if (!walk_has(w, size))
        return LAYER_END;
    walk_skip(w, size);
    return LAYER_LLC;
}

enum layer decode_wifi(struct walk *w, struct segment *s) {
    (void)s;
    return data_frame(w, false);
}

/* Fields that are present stand behind the words of bits that say so, each aligned to its size;
 * only the second, one octet of flags, is of interest (https://www.radiotap.org). */
static bool radiotap_pads(const uint8_t *at, uint32_t size) {
    enum { MORE_WORDS = 31, HAS_TIMER = 1, HAS_FLAGS = 2, FLAG_PAD = 0x20, TIMER = 8 };
    uint32_t n = 4, present = little_u32(at + n), word = present;
    for (n += 4; word >> MORE_WORDS != 0 && n + 4 <= size; n += 4)
        word = little_u32(at + n);
    if ((present & HAS_TIMER) != 0)
        n = ((n + TIMER - 1) & ~UINT32_C(7)) + TIMER;
    return (present & HAS_FLAGS) != 0 && n < size && (at[n] & FLAG_PAD) != 0;
}

enum layer decode_radiotap(struct walk *w, struct segment *s) {
    enum { LEAST = 8 };
    (void)s;
    if (!walk_has(w, LEAST))
        return LAYER_END;
    uint32_t size = little_u16(w->at + 2);
    if (size < LEAST)
        return walk_end(w, DECODE_MALFORMED);
    if (!walk_has(w, size))
        return LAYER_END;
    bool pad = radiotap_pads(w->at, size);
    walk_skip(w, size);
    return data_frame(w, pad);
}
