/*
 * zeek: Zeek's view of a connection: its `history` letters and its `conn_state`, kept up as
 * segments pass.
 *
 * The alphabet is the one that Zeek's conn.log documents. Sides are the flow's own (0 and 1, fixed
 * by its key); a letter keeps the side and not the case, and who is the originator is asked only
 * when a text is made, so that a role corrected late corrects all of it. Zeek's timers are left
 * out: the tracker decides where a connection ends. Pure; owned by the flow that embeds it; all
 * zero octets are a fresh view.
 */
#ifndef SPANWATCH_FLOW_ZEEK_H
#define SPANWATCH_FLOW_ZEEK_H

#include <assert.h>

#include "spanwatch/base.h"
#include "spanwatch/event.h"

/* Letters kept: with a '^' and the NUL they fill the text. */
enum { ZEEK_LETTERS = EVENT_HISTORY_TEXT - 2 };

/*
 * One segment that is not a copy. Two facts come from the tracker, which holds the sequence space:
 *
 * `late`: the segment has payload, and all of it lies at or below what its side has sent before:
 * END <= HIGHEST, where END is seq + payload + SYN + FIN (with RST: seq + SYN + FIN) and HIGHEST
 * the greatest END of this side's earlier segments. ACKs of the other side do not raise HIGHEST,
 * nor does a SYN or RST that lies a MiB or more away. False for a side's first segment. Reordered
 * segments count too: Zeek does not tell them from retransmissions.
 *
 * `gap`: the ACK covers octets of the other side that never passed the tap and that no ACK covered
 * before: ACK > CONTIGUOUS, the end of that side's data as far as it has no hole (at first ISN + 1;
 * of a side without SYN, the seq of its first segment). Once its FIN has passed, the ACK is first
 * cut to the end of its data. A gap moves CONTIGUOUS to the ACK and on over what follows without a
 * hole. False while the other side has sent nothing. Whether the states of both sides make it a gap
 * to Zeek is judged here.
 */
struct zeek_segment {
    uint32_t seq, payload;
    uint16_t window; /* as it stands in the header */
    uint8_t flags;   /* of enum segment_flag */
    bool late, gap;
};

struct zeek_side {
    uint16_t seen : 7;           /* letters of this side that stand already */
    uint16_t state : 3, was : 3; /* of enum zeek_state */
    uint16_t payload : 1;        /* this side has sent payload */
};

struct zeek_faults {
    uint16_t fin_seq, rst_seq; /* low bits: where the last FIN, the last RST stood */
    uint16_t late, zero, gaps; /* how often T, W and G happened; they stay at their greatest */
};

struct zeek_core {
    uint32_t sender; /* bit i: the side that sent letter i */
    struct zeek_side side[2];
    uint8_t letters;
    uint8_t letter[(ZEEK_LETTERS + 1) / 2]; /* four bits each */
};

/* Of a connection without faults the core says all. */
struct zeek_view {
    struct zeek_core core;
    struct zeek_faults faults[2];
};

static_assert(sizeof(struct zeek_core) == 24 && sizeof(struct zeek_view) <= 48,
              "a part of every flow");

/* Take one segment sent by `dir` (0 or 1). A usual one, whose letter stands already, costs a few
 * instructions. */
void zeek_take(struct zeek_view *v, int dir, const struct zeek_segment *s);

/* The same for a side's first SYN, its first FIN, or a segment with neither; without RST, with a
 * window, neither late nor behind a gap. (Where a FIN stood is left to the caller: zeek_faults.) */
void zeek_take_usual(struct zeek_core *c, int dir, uint8_t flags, bool payload);

/* The letters, in upper case what side `originator` sent; '^' before them when the other side was
 * seen first. */
void zeek_history(const struct zeek_view *v, int originator, char out[EVENT_HISTORY_TEXT]);

/* S0 S1 S2 S3 SF SH SHR REJ RSTO RSTR RSTOS0 RSTRH or OTH: a constant text. */
const char *zeek_conn_state(const struct zeek_view *v, int originator);

#endif
