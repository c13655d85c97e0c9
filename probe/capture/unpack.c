/*
 * Streaming decompression: gzip (RFC 1952), Zstandard (RFC 8878) and xz, told apart by their magic.
 * Input: stored octets, in pieces. Output: octets of the capture, as room allows. Owner: stored.c.
 *
 * A file may be several members (frames, streams) one after the other, as `cat a.gz b.gz` makes it;
 * they give their contents one after the other. Octets of zero between or after them are padding.
 * Memory: a window of at most 128 MiB (Zstandard) or 256 MiB (xz); data that ask for more are
 * refused.
 */
#include "internal.h"

#define ZLIB_CONST /* zlib then takes input that is const */
#include <lzma.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

enum { XZ_MEMORY = 256 << 20 };

enum packing { PACKING_GZIP, PACKING_ZSTD, PACKING_XZ };

struct capture_unpack {
    enum packing packing;
    bool between; /* at the end of a member; the next octet that is not zero begins another */
    union {
        z_stream gzip;
        ZSTD_DStream *zstd;
        lzma_stream xz;
    };
};

static bool begins(struct capture_in head, const char *magic, size_t n) {
    return head.left >= n && memcmp(head.at, magic, n) == 0;
}

static bool packing_of(struct capture_in head, enum packing *packing) {
    /* A Zstandard file may begin with a skippable frame: parallel compressors write one. */
    bool skippable = head.left >= 4 && (head.at[0] & 0xf0) == 0x50 &&
                     memcmp(head.at + 1, "\x2a\x4d\x18", 3) == 0;
    if (begins(head, "\x1f\x8b", 2))
        *packing = PACKING_GZIP;
    else if (begins(head, "\x28\xb5\x2f\xfd", 4) || skippable)
        *packing = PACKING_ZSTD;
    else if (begins(head,
                    "\xfd"
                    "7zXZ",
                    6))
        *packing = PACKING_XZ;
    else
        return false;
    return true;
}

static bool start(struct capture_unpack *u) {
    switch (u->packing) {
    case PACKING_GZIP:
        return inflateInit2(&u->gzip, 16 + MAX_WBITS) == Z_OK; /* 16: with gzip's header */
    case PACKING_ZSTD:
        u->zstd = ZSTD_createDStream();
        return u->zstd != NULL;
    default:
        return lzma_stream_decoder(&u->xz, XZ_MEMORY, 0) == LZMA_OK;
    }
}

int capture_unpack_new(struct capture_unpack **out, struct capture_in head) {
    enum packing packing;
    *out = NULL;
    if (!packing_of(head, &packing))
        return 0;
    struct capture_unpack *u = calloc(1, sizeof *u);
    if (u == NULL)
        return -1;
    u->packing = packing;
    if (!start(u)) {
        free(u);
        return -1;
    }
    *out = u;
    return 0;
}

void capture_unpack_free(struct capture_unpack *u) {
    if (u == NULL)
        return;
    if (u->packing == PACKING_GZIP)
        inflateEnd(&u->gzip);
    else if (u->packing == PACKING_ZSTD)
        ZSTD_freeDStream(u->zstd);
    else
        lzma_end(&u->xz);
    free(u);
}

static const char *step_gzip(struct capture_unpack *u, struct capture_in *in,
                             struct capture_out *out) {
    z_stream *z = &u->gzip;
    z->next_in = in->at;
    z->avail_in = (uInt)in->left;
    z->next_out = out->at;
    z->avail_out = (uInt)out->left;
    int rc = inflate(z, Z_NO_FLUSH);
    *in = (struct capture_in){z->next_in, z->avail_in};
    *out = (struct capture_out){z->next_out, z->avail_out};
    u->between = rc == Z_STREAM_END;
    if (rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR)
        return NULL;
    if (rc == Z_MEM_ERROR)
        return "out of memory";
    return z->msg != NULL ? z->msg : "damaged";
}

static const char *step_zstd(struct capture_unpack *u, struct capture_in *in,
                             struct capture_out *out) {
    ZSTD_inBuffer from = {in->at, in->left, 0};
    ZSTD_outBuffer to = {out->at, out->left, 0};
    size_t rc = ZSTD_decompressStream(u->zstd, &to, &from);
    *in = (struct capture_in){in->at + from.pos, in->left - from.pos};
    *out = (struct capture_out){out->at + to.pos, out->left - to.pos};
    if (ZSTD_isError(rc))
        return ZSTD_getErrorName(rc);
    u->between = rc == 0;
    return NULL;
}

static const char *step_xz(struct capture_unpack *u, struct capture_in *in,
                           struct capture_out *out) {
    lzma_stream *x = &u->xz;
    x->next_in = in->at;
    x->avail_in = in->left;
    x->next_out = out->at;
    x->avail_out = out->left;
    lzma_ret rc = lzma_code(x, LZMA_RUN);
    *in = (struct capture_in){x->next_in, x->avail_in};
    *out = (struct capture_out){x->next_out, x->avail_out};
    u->between = rc == LZMA_STREAM_END;
    switch (rc) {
    case LZMA_OK:
    case LZMA_STREAM_END:
    case LZMA_BUF_ERROR: /* no progress: more input is wanted */
        return NULL;
    case LZMA_MEM_ERROR:
        return "out of memory";
    case LZMA_MEMLIMIT_ERROR:
        return "needs more than 256 MiB of memory";
    case LZMA_FORMAT_ERROR:
        return "unknown header";
    case LZMA_OPTIONS_ERROR:
        return "unknown options";
    default:
        return "damaged";
    }
}

/* Zstandard begins a new frame by itself; the others are set back. */
static bool restart(struct capture_unpack *u) {
    u->between = false;
    if (u->packing == PACKING_GZIP)
        return inflateReset(&u->gzip) == Z_OK;
    if (u->packing == PACKING_XZ)
        return start(u);
    return true;
}

const char *capture_unpack_step(struct capture_unpack *u, struct capture_in *in,
                                struct capture_out *out) {
    if (u->between) {
        while (in->left > 0 && *in->at == 0) {
            in->at++;
            in->left--;
        }
        if (in->left == 0)
            return NULL;
        if (!restart(u))
            return "out of memory";
    }
    if (u->packing == PACKING_GZIP)
        return step_gzip(u, in, out);
    if (u->packing == PACKING_ZSTD)
        return step_zstd(u, in, out);
    return step_xz(u, in, out);
}

bool capture_unpack_at_end(const struct capture_unpack *u) {
    return u->between;
}

const char *capture_unpack_name(const struct capture_unpack *u) {
    static const char *const name[] = {"gzip", "Zstandard", "xz"};
    return name[u->packing];
}
