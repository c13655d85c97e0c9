/*
 * Zeek's history and conn_state: see zeek.h for the contract.
 *
 * Two things advance with each segment: the letters (what was seen, in order) and one small state a
 * side (what Zeek would call the endpoint). Zeek asks in many places whether the sender is the
 * originator; here a SYN's sender is taken for it, which is what Zeek's own roles amount to once
 * they are right, so that nothing in the state depends on a guess.
 */
#include "zeek.h"

#include "spanwatch/decode.h"

enum zeek_state {
    ZEEK_INACTIVE,
    ZEEK_PARTIAL, /* sends, but its SYN was not seen */
    ZEEK_SYN_SENT,
    ZEEK_ESTABLISHED,
    ZEEK_CLOSED, /* has sent a FIN */
    ZEEK_RESET   /* has sent a RST */
};

enum letter {
    SYN,
    SYN_ACK,
    ACK,
    DATA,
    FIN,
    RST,
    LATE,
    ZERO_WINDOW,
    GAP,
    FIN_AND_RST,
    SYN_AND_MORE
};
static const char letter_upper[] = "SHADFRTWGIQ";
static const char letter_lower[] = "shadfrtwgiq";

enum seen { /* SYN and SYN-ACK share one: a side sends the one or the other */
            SEEN_SYN = 0x01,
            SEEN_ACK = 0x02,
            SEEN_DATA = 0x04,
            SEEN_FIN = 0x08,
            SEEN_RST = 0x10,
            SEEN_FIN_AND_RST = 0x20,
            SEEN_SYN_AND_MORE = 0x40
};

static const uint8_t control = SEGMENT_SYN | SEGMENT_FIN | SEGMENT_RST;

static enum letter letter_at(const struct zeek_core *c, unsigned i) {
    return (enum letter)(c->letter[i / 2] >> (i % 2 * 4) & 0x0f);
}

static int sender_at(const struct zeek_core *c, unsigned i) {
    return (int)(c->sender >> i & 1);
}

/* Letters past the last that is kept are dropped: the beginning tells more than the end. */
static void add(struct zeek_core *c, int dir, enum letter l) {
    if (c->letters == ZEEK_LETTERS)
        return;
    unsigned i = c->letters++;
    c->letter[i / 2] |= (uint8_t)(l << (i % 2 * 4));
    c->sender |= (uint32_t)dir << i;
}

/* True when the letter was new for this side. */
static bool add_once(struct zeek_core *c, int dir, enum letter l, uint16_t bit) {
    if (c->side[dir].seen & bit)
        return false;
    c->side[dir].seen |= bit;
    add(c, dir, l);
    return true;
}

/* One letter more each time another FIN or RST stands at another place: a repeated one is no news.
 */
static void add_by_place(struct zeek_core *c, int dir, enum letter l, uint16_t bit, uint16_t *last,
                         uint16_t now) {
    if (!add_once(c, dir, l, bit) && *last != now)
        add(c, dir, l);
    *last = now;
}

/* A letter at the 1st, 10th, 100th ... time. */
static void add_counted(struct zeek_core *c, int dir, enum letter l, uint16_t *count) {
    if (*count == UINT16_MAX)
        return;
    ++*count;
    for (unsigned power = 1; power <= *count; power *= 10)
        if (power == *count)
            add(c, dir, l);
}

/* The one letter for what kind of segment this is; SYN, FIN and RST go before data, and data before
 * ACK. */
static void add_kind(struct zeek_view *v, int dir, const struct zeek_segment *s) {
    struct zeek_core *c = &v->core;
    struct zeek_faults *faults = &v->faults[dir];
    switch (s->flags & control) {
    case 0:
        if (s->payload)
            add_once(c, dir, DATA, SEEN_DATA);
        else if (s->flags & SEGMENT_ACK)
            add_once(c, dir, ACK, SEEN_ACK);
        break;
    case SEGMENT_SYN:
        add_once(c, dir, s->flags & SEGMENT_ACK ? SYN_ACK : SYN, SEEN_SYN);
        break;
    case SEGMENT_FIN:
        add_by_place(c, dir, FIN, SEEN_FIN, &faults->fin_seq, (uint16_t)(s->seq + s->payload));
        break;
    case SEGMENT_RST:
        add_by_place(c, dir, RST, SEEN_RST, &faults->rst_seq, (uint16_t)s->seq);
        break;
    case SEGMENT_FIN | SEGMENT_RST:
    case SEGMENT_SYN | SEGMENT_FIN | SEGMENT_RST:
        add_once(c, dir, FIN_AND_RST, SEEN_FIN_AND_RST);
        break;
    default:
        add_once(c, dir, SYN_AND_MORE, SEEN_SYN_AND_MORE);
    }
}

static void set_state(struct zeek_side *side, enum zeek_state state) {
    if (side->state == state)
        return;
    side->was = side->state;
    side->state = state;
}

/* A side's first SYN: alone it asks, after one of the other side (or as a SYN-ACK) it answers. */
static void take_first_syn(struct zeek_side *side, struct zeek_side *peer, uint8_t flags) {
    bool answers =
        flags & SEGMENT_ACK || peer->state == ZEEK_SYN_SENT || peer->state == ZEEK_ESTABLISHED;
    if (!answers) {
        set_state(side, ZEEK_SYN_SENT);
        return;
    }
    if (peer->state == ZEEK_SYN_SENT)
        set_state(peer, ZEEK_ESTABLISHED);
    set_state(side, ZEEK_ESTABLISHED);
}

/* A side's first segment, and it is neither SYN nor FIN nor RST. */
static void take_first_plain(struct zeek_side *side, const struct zeek_side *peer,
                             const struct zeek_segment *s) {
    if (!s->payload && peer->state == ZEEK_SYN_SENT)
        return; /* a bare ACK of a SYN: the SYN-ACK may yet come */
    if (s->flags & SEGMENT_ACK && peer->state == ZEEK_ESTABLISHED)
        set_state(side, ZEEK_ESTABLISHED); /* only its SYN was missed: the SYN-ACK speaks for it */
    else
        set_state(side, ZEEK_PARTIAL);
}

static void take_inactive(struct zeek_side *side, struct zeek_side *peer,
                          const struct zeek_segment *s) {
    if (s->flags & SEGMENT_SYN)
        take_first_syn(side, peer, s->flags);
    if (s->flags & SEGMENT_FIN)
        set_state(side, ZEEK_CLOSED);
    if (s->flags & SEGMENT_RST)
        set_state(side, ZEEK_RESET);
    if (!(s->flags & control))
        take_first_plain(side, peer, s);
}

static void take_open(struct zeek_side *side, struct zeek_side *peer, uint8_t flags) {
    bool lone_syn = (flags & (SEGMENT_SYN | SEGMENT_ACK)) == SEGMENT_SYN;
    if (lone_syn && side->state == ZEEK_PARTIAL && peer->state == ZEEK_INACTIVE)
        set_state(side, ZEEK_SYN_SENT);
    if (flags & SEGMENT_FIN && !(flags & SEGMENT_RST)) {
        set_state(side, ZEEK_CLOSED);
        if (peer->state == ZEEK_RESET && peer->was == ZEEK_CLOSED)
            set_state(peer, ZEEK_CLOSED); /* FIN, RST, and now our FIN: it did end in good order */
    }
    if (flags & SEGMENT_RST)
        set_state(side, ZEEK_RESET);
}

static void advance(struct zeek_side *side, struct zeek_side *peer, const struct zeek_segment *s) {
    switch ((enum zeek_state)side->state) {
    case ZEEK_INACTIVE:
        take_inactive(side, peer, s);
        break;
    case ZEEK_SYN_SENT:
        if (s->flags & SEGMENT_FIN)
            set_state(side, ZEEK_CLOSED);
        if (s->flags & SEGMENT_RST)
            set_state(side, ZEEK_RESET);
        break;
    case ZEEK_PARTIAL:
    case ZEEK_ESTABLISHED:
        take_open(side, peer, s->flags);
        break;
    case ZEEK_CLOSED:
        if (s->flags & SEGMENT_RST && peer->state != ZEEK_CLOSED)
            set_state(side, ZEEK_RESET); /* after two FINs a RST changes nothing */
        break;
    case ZEEK_RESET:
        break;
    }
}

/* Sequence numbers of a RST, or of a side never seen to open, are no ground to speak of a gap. */
static bool is_clean(const struct zeek_side *side) {
    return side->state == ZEEK_ESTABLISHED ||
           (side->state == ZEEK_CLOSED && side->was == ZEEK_ESTABLISHED);
}

/* Nothing is new: a letter that stands, in a state that such a segment does not change. */
static bool is_usual(const struct zeek_side *side, const struct zeek_segment *s) {
    uint16_t bit = s->payload ? SEEN_DATA : SEEN_ACK;
    return !(s->flags & control) && s->window && !s->late && !s->gap && side->seen & bit &&
           side->state != ZEEK_INACTIVE;
}

void zeek_take(struct zeek_view *v, int dir, const struct zeek_segment *s) {
    struct zeek_side *side = &v->core.side[dir], *peer = &v->core.side[!dir];
    if (is_usual(side, s))
        return;

    add_kind(v, dir, s);
    /* A window says nothing with a RST, after it, or to a side that has sent its FIN. */
    if (!s->window && !(s->flags & SEGMENT_RST) && peer->state != ZEEK_CLOSED &&
        side->state != ZEEK_RESET)
        add_counted(&v->core, dir, ZERO_WINDOW, &v->faults[dir].zero);
    if (s->late && side->state != ZEEK_RESET)
        add_counted(&v->core, dir, LATE, &v->faults[dir].late);
    if (s->payload && !(s->flags & SEGMENT_RST))
        side->payload = 1;

    advance(side, peer, s);
    if (s->gap && is_clean(side) && is_clean(peer))
        add_counted(&v->core, !dir, GAP,
                    &v->faults[!dir].gaps); /* the gap is in what the other side sent */
}

/* The side is worked on as a whole: what was stored in part would have to be waited for. Its state
 * moves with a SYN, with a FIN and with its first segment, and peer's only with a SYN. */
void zeek_take_usual(struct zeek_core *c, int dir, uint8_t flags, bool payload) {
    const struct zeek_segment s = {.flags = flags, .window = 1, .payload = payload};
    struct zeek_side side = c->side[dir];
    if (is_usual(&side, &s))
        return;
    unsigned kind = flags & SEGMENT_SYN   ? flags & SEGMENT_ACK ? SYN_ACK : SYN
                    : flags & SEGMENT_FIN ? FIN
                    : payload             ? DATA
                                          : ACK;
    static const uint8_t bit[] = {[SYN] = SEEN_SYN,
                                  [SYN_ACK] = SEEN_SYN,
                                  [ACK] = SEEN_ACK,
                                  [DATA] = SEEN_DATA,
                                  [FIN] = SEEN_FIN};
    if (!(side.seen & bit[kind]))
        add(c, dir, (enum letter)kind);
    side.seen |= bit[kind];
    side.payload |= payload;
    if ((flags & control) || side.state == ZEEK_INACTIVE)
        advance(&side, &c->side[!dir], &s);
    c->side[dir] = side;
}

void zeek_history(const struct zeek_view *v, int originator, char out[EVENT_HISTORY_TEXT]) {
    const struct zeek_core *c = &v->core;
    if (c->letters && sender_at(c, 0) != originator)
        *out++ = '^';
    for (unsigned i = 0; i < c->letters; i++)
        *out++ = (sender_at(c, i) == originator ? letter_upper : letter_lower)[letter_at(c, i)];
    *out = '\0';
}

/* The originator's SYN came first, and its RST before anything but data and repetitions of its own.
 */
static bool gave_up_its_syn(const struct zeek_core *c, int originator) {
    const unsigned others =
        1U << SYN_ACK | 1U << ACK | 1U << FIN | 1U << FIN_AND_RST | 1U << SYN_AND_MORE;
    for (unsigned i = 0; i < c->letters; i++) {
        if (sender_at(c, i) != originator) {
            if (i == 0)
                return false;
            continue;
        }
        enum letter l = letter_at(c, i);
        if (i == 0 ? l != SYN : others >> l & 1)
            return false;
        if (l == RST)
            return true;
    }
    return false;
}

static const char *state_after_reset(const struct zeek_core *c, int originator) {
    const struct zeek_side *o = &c->side[originator], *r = &c->side[!originator];
    bool o_unopened = o->state == ZEEK_INACTIVE || o->state == ZEEK_PARTIAL;
    bool r_unopened = r->state == ZEEK_INACTIVE || r->state == ZEEK_PARTIAL;

    if (r->state == ZEEK_RESET) {
        if (o->state == ZEEK_SYN_SENT || (o->state == ZEEK_RESET && !o->payload && !r->payload))
            return "REJ";
        return o_unopened ? "RSTRH" : "RSTR";
    }
    if (!r_unopened)
        return "RSTO";
    return gave_up_its_syn(c, originator) ? "RSTOS0" : "OTH";
}

const char *zeek_conn_state(const struct zeek_view *v, int originator) {
    enum zeek_state o = (enum zeek_state)v->core.side[originator].state;
    enum zeek_state r = (enum zeek_state)v->core.side[!originator].state;

    if (o == ZEEK_RESET || r == ZEEK_RESET)
        return state_after_reset(&v->core, originator);
    if (o == ZEEK_CLOSED && r == ZEEK_CLOSED)
        return "SF";
    if (o == ZEEK_CLOSED)
        return r == ZEEK_INACTIVE || r == ZEEK_PARTIAL ? "SH" : "S2";
    if (r == ZEEK_CLOSED)
        return o == ZEEK_INACTIVE || o == ZEEK_PARTIAL ? "SHR" : "S3";
    if (o == ZEEK_SYN_SENT && r == ZEEK_INACTIVE)
        return "S0";
    return o == ZEEK_ESTABLISHED && r == ZEEK_ESTABLISHED ? "S1" : "OTH";
}
