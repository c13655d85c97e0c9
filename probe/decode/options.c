/*
 * TCP options (RFC 9293 section 3.1).
 *
 * Input: the octets of the options that were captured. Output: the option fields of the segment. An
 * option of a known kind but another length than its own is passed over, as hosts do; a length that
 * cannot be ends the walk.
 */
#include "walk.h"

enum option_kind {
    OPTION_END = 0,
    OPTION_NOP = 1,
    OPTION_MSS = 2,
    OPTION_WSCALE = 3,
    OPTION_SACK_OK = 4,
    OPTION_SACK = 5,
    OPTION_TIMESTAMP = 8,
    OPTION_FASTOPEN = 34,
    OPTION_EXPERIMENT = 254 /* shared by a 16-bit identifier: RFC 6994 */
};

enum {
    FASTOPEN_MAGIC = 0xf989 /* of experiments before kind 34 was assigned: RFC 7413 appendix A */
};

/* `bare` is the length of the option without a cookie. */
static void note_fastopen(struct segment *s, uint32_t length, uint32_t bare) {
    s->options |= SEGMENT_OPT_FASTOPEN;
    if (length > bare)
        s->options |= SEGMENT_OPT_COOKIE;
}

/* One option with its kind and length octets at `o`, all `length` octets of it there. */
static void read_option(const uint8_t *o, uint32_t length, struct segment *s) {
    switch (o[0]) {
    case OPTION_MSS:
        if (length == 4) {
            s->options |= SEGMENT_OPT_MSS;
            s->mss = walk_u16(o + 2);
        }
        break;
    case OPTION_WSCALE:
        if (length == 3) {
            s->options |= SEGMENT_OPT_WSCALE;
            s->wscale = o[2];
        }
        break;
    case OPTION_SACK_OK:
        if (length == 2)
            s->options |= SEGMENT_OPT_SACK_OK;
        break;
    case OPTION_SACK:
        if (length >= 10 && (length - 2) % 8 == 0) {
            s->options |= SEGMENT_OPT_SACK;
            s->sack_left = walk_u32(o + 2);
            s->sack_right = walk_u32(o + 6);
        }
        break;
    case OPTION_TIMESTAMP:
        if (length == 10) {
            s->options |= SEGMENT_OPT_TIMESTAMP;
            s->tsval = walk_u32(o + 2);
            s->tsecr = walk_u32(o + 6);
        }
        break;
    case OPTION_FASTOPEN:
        note_fastopen(s, length, 2);
        break;
    case OPTION_EXPERIMENT:
        if (length >= 4 && walk_u16(o + 2) == FASTOPEN_MAGIC)
            note_fastopen(s, length, 4);
        break;
    default:
        break;
    }
}

void decode_options(const uint8_t *at, uint32_t n, struct segment *s) {
    for (uint32_t i = 0; i < n && at[i] != OPTION_END;) {
        if (at[i] == OPTION_NOP) {
            i++;
            continue;
        }
        if (n - i < 2)
            return;
        uint32_t length = at[i + 1];
        if (length < 2 || length > n - i)
            return;
        read_option(at + i, length, s);
        i += length;
    }
}
