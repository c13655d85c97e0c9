/*
 * pcapng (draft-ietf-opsawg-pcapng): blocks, each with its length in front and behind.
 * Input: the window of a file. Output: packets that point into it; drops of statistics blocks go to
 * the tally. Owner: struct capture_file.
 *
 * A section header sets the byte order and forgets the interfaces before it. Blocks that are not
 * known here are stepped over. A block must lie in the window as a whole before it is looked at.
 */
#include "internal.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    BLOCK_SECTION = 0x0a0d0d0a, /* reads the same in both byte orders */
    BLOCK_INTERFACE = 1,
    BLOCK_PACKET = 2, /* obsolete */
    BLOCK_SIMPLE_PACKET = 3,
    BLOCK_STATISTICS = 5,
    BLOCK_ENHANCED_PACKET = 6,

    BLOCK_HEADER = 8,    /* type, total length */
    BLOCK_SMALLEST = 12, /* and the total length again */
    BYTE_ORDER_MAGIC = 0x1a2b3c4d
};

enum {
    OPTION_END = 0,
    OPTION_NAME = 2,
    OPTION_TSRESOL = 9,
    OPTION_TSOFFSET = 14,
    OPTION_IFDROP = 5,
    OPTION_OSDROP = 7
};

/* The body of a block: what lies between its two lengths. */
struct body {
    uint32_t type;
    const uint8_t *at;
    size_t n;
};

struct option {
    uint16_t code, length;
    const uint8_t *value;
};

/* The option at *at within the body, which then moves on. False at the last one, or where they are
 * broken: options are extras, and what they qualify is good without them. */
static bool next_option(const struct body *b, size_t *at, bool swapped, struct option *o) {
    if (*at > b->n || b->n - *at < 4)
        return false;
    o->code = capture_u16(b->at + *at, swapped);
    o->length = capture_u16(b->at + *at + 2, swapped);
    o->value = b->at + *at + 4;
    if (o->code == OPTION_END || b->n - *at - 4 < o->length)
        return false;
    *at += 4 + (((size_t)o->length + 3) & ~(size_t)3);
    return true;
}

bool capture_pcapng_is(const uint8_t magic[4]) {
    return capture_u32(magic, false) == BLOCK_SECTION;
}

/* The byte order of a section, from its magic; false when that is neither. */
static bool section_order(const uint8_t *block, bool *swapped) {
    uint32_t magic = capture_u32(block + BLOCK_HEADER, false);
    *swapped = magic != BYTE_ORDER_MAGIC;
    return magic == BYTE_ORDER_MAGIC || magic == __builtin_bswap32(BYTE_ORDER_MAGIC);
}

/*
 * The block at the window's front: 1 when it is whole, 0 when f->need octets are wanted, -1 after a
 * fault. A section header's lengths are in the byte order that it announces itself.
 */
static int whole_block(struct capture_file *f, struct body *b) {
    struct capture_pcapng *g = &f->pcapng;
    const uint8_t *at = capture_window_at(&f->window);
    size_t left = capture_window_left(&f->window);
    f->need = BLOCK_SMALLEST;
    if (left < BLOCK_SMALLEST)
        return 0;
    b->type = capture_u32(at, g->swapped);
    if (b->type == BLOCK_SECTION && !section_order(at, &g->swapped)) {
        capture_file_fault(f, "is a section header without its byte-order magic");
        return -1;
    }
    uint32_t total = capture_u32(at + 4, g->swapped);
    if (total < BLOCK_SMALLEST || total % 4 != 0 || total > CAPTURE_MAX_RECORD) {
        capture_file_fault(f, "is a block (type %" PRIu32 ") with the absurd length %" PRIu32,
                           b->type, total);
        return -1;
    }
    f->need = total;
    if (left < total)
        return 0;
    uint32_t again = capture_u32(at + total - 4, g->swapped);
    if (again != total) {
        capture_file_fault(f,
                           "is a block (type %" PRIu32 ") whose two lengths disagree: %" PRIu32
                           " in front, %" PRIu32 " behind",
                           b->type, total, again);
        return -1;
    }
    b->at = at + BLOCK_HEADER;
    b->n = total - BLOCK_SMALLEST;
    return 1;
}

static bool too_short(struct capture_file *f, const struct body *b, size_t least) {
    if (b->n >= least)
        return false;
    capture_file_fault(
        f, "is a block (type %" PRIu32 ") with a body of %zu octets, where %zu are the least",
        b->type, b->n, least);
    return true;
}

static void section(struct capture_file *f, const struct body *b) {
    if (too_short(f, b, 16))
        return;
    uint16_t major = capture_u16(b->at + 4, f->pcapng.swapped);
    uint16_t minor = capture_u16(b->at + 6, f->pcapng.swapped);
    if (major != 1)
        capture_file_fault(f, "is a section of pcapng version %u.%u; only version 1 is known",
                           major, minor);
    f->pcapng.n = 0;
}

/* Room for one more interface; NULL after a fault. */
static struct capture_interface *new_interface(struct capture_file *f) {
    struct capture_pcapng *g = &f->pcapng;
    if (g->n == CAPTURE_MAX_INTERFACES) {
        capture_file_fault(f, "describes one more than %d interfaces", CAPTURE_MAX_INTERFACES);
        return NULL;
    }
    if (g->n == g->room) {
        size_t room = g->room == 0 ? 4 : g->room * 2;
        struct capture_interface *more = realloc(g->interfaces, room * sizeof *more);
        if (more == NULL) {
            capture_file_fault(f, "describes one more interface, and memory is short");
            return NULL;
        }
        g->interfaces = more;
        g->room = room;
    }
    return &g->interfaces[g->n++];
}

/* Cut to what there is room for; where it is padded with NULs it ends at the first. */
static void note_name(struct capture_file *f, uint16_t iface, const struct option *o) {
    if (iface >= CAPTURE_NAMED)
        return;
    size_t n = strnlen((const char *)o->value, o->length);
    if (n >= CAPTURE_NAME_TEXT)
        n = CAPTURE_NAME_TEXT - 1;
    memcpy(f->tally->name[iface], o->value, n);
    f->tally->name[iface][n] = '\0';
}

static void interface(struct capture_file *f, const struct body *b) {
    bool swapped = f->pcapng.swapped;
    if (too_short(f, b, 8))
        return;
    struct capture_interface *i = new_interface(f);
    if (i == NULL)
        return;
    *i = (struct capture_interface){.link = capture_u16(b->at, swapped),
                                    .snaplen = capture_u32(b->at + 4, swapped),
                                    .iface = capture_file_interface(f)};
    uint8_t resolution = 6; /* microseconds, where nothing else is said */
    int64_t offset_s = 0;
    struct option o;
    for (size_t at = 8; next_option(b, &at, swapped, &o);) {
        if (o.code == OPTION_TSRESOL && o.length == 1)
            resolution = *o.value;
        else if (o.code == OPTION_TSOFFSET && o.length == 8)
            offset_s = (int64_t)capture_u64(o.value, swapped);
        else if (o.code == OPTION_NAME)
            note_name(f, i->iface, &o);
    }
    capture_clock_init(&i->clock, resolution, offset_s);
}

static struct capture_interface *described(struct capture_file *f, uint32_t id) {
    if (id < f->pcapng.n)
        return &f->pcapng.interfaces[id];
    capture_file_fault(f, "names interface %" PRIu32 ", and the section describes %zu so far", id,
                       f->pcapng.n);
    return NULL;
}

/* Statistics are totals since the interface was opened: the newest block stands for those before
 * it. */
static void statistics(struct capture_file *f, const struct body *b) {
    bool swapped = f->pcapng.swapped;
    if (too_short(f, b, 12))
        return;
    struct capture_interface *i = described(f, capture_u32(b->at, swapped));
    struct option o;
    for (size_t at = 12; i != NULL && next_option(b, &at, swapped, &o);) {
        if (o.length != 8)
            continue;
        uint64_t count = capture_u64(o.value, swapped);
        if (o.code == OPTION_IFDROP) {
            f->tally->interface_drops += count - i->interface_drops;
            i->interface_drops = count;
        } else if (o.code == OPTION_OSDROP) {
            f->tally->kernel_drops += count - i->kernel_drops;
            i->kernel_drops = count;
        }
    }
}

/* A block with a time and two lengths: an Enhanced Packet Block, or the obsolete one before it,
 * which differs in the first word only. Both have 20 octets in front of the data. */
static bool timed_packet(struct capture_file *f, const struct body *b, struct packet *p) {
    struct capture_pcapng *g = &f->pcapng;
    bool swapped = g->swapped;
    if (too_short(f, b, 20))
        return false;
    uint32_t id =
        b->type == BLOCK_PACKET ? capture_u16(b->at, swapped) : capture_u32(b->at, swapped);
    const struct capture_interface *i = described(f, id);
    if (i == NULL)
        return false;
    uint64_t ticks =
        (uint64_t)capture_u32(b->at + 4, swapped) << 32 | capture_u32(b->at + 8, swapped);
    uint32_t captured = capture_u32(b->at + 12, swapped), length = capture_u32(b->at + 16, swapped);
    if (captured > b->n - 20) {
        capture_file_fault(f, "claims %" PRIu32 " captured octets in a block with room for %zu",
                           captured, b->n - 20);
        return false;
    }
    g->last_ns = capture_clock_ns(&i->clock, ticks);
    *p = (struct packet){.ts_ns = g->last_ns,
                         .data = b->at + 20,
                         .captured = captured,
                         .length = length > captured ? length : captured,
                         .link = i->link,
                         .iface = i->iface};
    return true;
}

/* A Simple Packet Block: of interface 0, cut at its snaplen, without a time: it takes that of the
 * packet before it. */
static bool simple_packet(struct capture_file *f, const struct body *b, struct packet *p) {
    if (too_short(f, b, 4))
        return false;
    const struct capture_interface *i = described(f, 0);
    if (i == NULL)
        return false;
    uint32_t length = capture_u32(b->at, f->pcapng.swapped);
    uint32_t captured = i->snaplen != 0 && i->snaplen < length ? i->snaplen : length;
    if (captured > b->n - 4) {
        capture_file_fault(f, "claims %" PRIu32 " captured octets in a block with room for %zu",
                           captured, b->n - 4);
        return false;
    }
    *p = (struct packet){.ts_ns = f->pcapng.last_ns,
                         .data = b->at + 4,
                         .captured = captured,
                         .length = length,
                         .link = i->link,
                         .iface = i->iface};
    return true;
}

/* Take in one block. True when it gave a packet. */
static bool take(struct capture_file *f, const struct body *b, struct packet *p) {
    switch (b->type) {
    case BLOCK_ENHANCED_PACKET:
    case BLOCK_PACKET:
        return timed_packet(f, b, p);
    case BLOCK_SIMPLE_PACKET:
        return simple_packet(f, b, p);
    case BLOCK_SECTION:
        section(f, b);
        return false;
    case BLOCK_INTERFACE:
        interface(f, b);
        return false;
    case BLOCK_STATISTICS:
        statistics(f, b);
        return false;
    default:
        return false;
    }
}

static size_t read_blocks(struct capture_file *f, struct packet *batch, size_t max) {
    size_t n = 0;
    struct body b;
    while (n < max && !f->ended && whole_block(f, &b) > 0) {
        if (take(f, &b, &batch[n])) {
            f->packets++;
            n++;
        }
        if (!f->ended)
            f->window.begin += b.n + BLOCK_SMALLEST;
    }
    return n;
}

int capture_pcapng_begin(struct capture_file *f, struct base_error *error) {
    struct body b;
    int whole;
    f->read = read_blocks;
    while ((whole = whole_block(f, &b)) == 0) {
        if (!capture_window_fill(&f->window, &f->stored, f->need))
            return base_error_set(error, f->name,
                                  "is cut short in its first section header: copy the file again");
    }
    if (whole > 0)
        section(f, &b);
    if (f->faulty) {
        capture_error_copy(error, &f->error);
        return -1;
    }
    f->window.begin += b.n + BLOCK_SMALLEST;
    return 0;
}

void capture_pcapng_fini(struct capture_pcapng *g) {
    free(g->interfaces);
    *g = (struct capture_pcapng){0};
}
