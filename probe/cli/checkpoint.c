/*
 * The checkpoint file (checkpoint.h): buffered, checked as a whole before anything of it is used.
 */
#include "checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 1 << 16 };

struct head {
    char magic[8];
    uint64_t layout, octets, sum;
};

static const char magic[8] = "SPWFLOW2";

struct file {
    FILE *stream;
    uint64_t octets, sum;
    size_t used; /* of block */
    char block[BLOCK];
    /* loading: */
    const struct cli_pipes *pipes;
    const struct capture_share *share;
    struct decode_scope *scope; /* by the saved number */
    uint32_t scopes;
};

/* Behind the head. */
struct tables {
    uint64_t n, now_ns;
};

/* Each block's sum is part of the next one's key. */
static uint64_t chain(uint64_t sum, const void *data, size_t n) {
    const uint64_t key[2] = {sum, UINT64_C(0x7370616e77617463)};
    return base_siphash(key, data, n);
}

static uint64_t layout(void) {
    return flow_checkpoint_layout() ^ sizeof(struct decode_scope);
}

static bool flush(struct file *f) {
    f->octets += f->used;
    f->sum = chain(f->sum, f->block, f->used);
    bool good = fwrite(f->block, 1, f->used, f->stream) == f->used;
    f->used = 0;
    return good;
}

/* Saved pieces are gathered to whole blocks, which is how they are summed. */
static bool put(void *file, const void *data, size_t n) {
    struct file *f = file;
    for (const char *from = data; n > 0;) {
        size_t part = sizeof f->block - f->used < n ? sizeof f->block - f->used : n;
        memcpy(f->block + f->used, from, part);
        f->used += part;
        from += part;
        n -= part;
        if (f->used == sizeof f->block && !flush(f))
            return false;
    }
    return true;
}

static bool get(void *file, void *data, size_t n) {
    struct file *f = file;
    return fread(data, 1, n, f->stream) == n;
}

static bool put_scopes(struct file *f, const struct decoder *d) {
    uint32_t n = decode_scopes(d);
    bool good = put(f, &n, sizeof n);
    for (uint32_t id = 0; good && id < n; id++)
        good = put(f, decode_scope(d, id), sizeof(struct decode_scope));
    return good;
}

static bool get_scopes(struct file *f) {
    if (!get(f, &f->scopes, sizeof f->scopes) || f->scopes > DECODE_MAX_SCOPES)
        return false;
    free(f->scope);
    f->scope = calloc(f->scopes + 1, sizeof *f->scope);
    bool good = f->scope != NULL;
    for (uint32_t id = 0; good && id < f->scopes; id++)
        good = get(f, &f->scope[id], sizeof *f->scope) && f->scope[id].layers <= DECODE_MAX_LAYERS;
    return good;
}

/* A flow_place. */
static struct flow_tracker *place(void *file, uint8_t family, const uint8_t *a, const uint8_t *b,
                                  uint32_t *scope) {
    const struct file *f = file;
    const struct cli_pipe *p = f->pipes->pipe[capture_share_worker(f->share, family, a, b)];
    bool has_scope = *scope < f->scopes && f->scope[*scope].layers > 0;
    *scope = has_scope ? decode_scope_id(p->decoder, &f->scope[*scope]) : 0;
    return p->tracker;
}

static bool put_tables(struct file *f, const struct cli_pipes *p) {
    struct tables tables = {.n = p->n};
    for (size_t i = 0; i < p->n; i++)
        if (flow_now(p->pipe[i]->tracker) > tables.now_ns)
            tables.now_ns = flow_now(p->pipe[i]->tracker);
    bool good = put(f, &tables, sizeof tables);
    for (size_t i = 0; good && i < p->n; i++)
        good = put_scopes(f, p->pipe[i]->decoder) && flow_save(p->pipe[i]->tracker, put, f) == 0;
    return good;
}

/* All clocks begin with the latest: which table a flow comes from says nothing. */
static bool get_tables(struct file *f) {
    struct flow_tracker *tracker[CLI_WORKERS_MOST];
    struct tables tables;
    bool good = get(f, &tables, sizeof tables);
    for (size_t i = 0; i < f->pipes->n; i++) {
        tracker[i] = f->pipes->pipe[i]->tracker;
        if (good)
            flow_advance(tracker[i], tables.now_ns);
    }
    for (uint64_t i = 0; good && i < tables.n; i++)
        good = get_scopes(f) && flow_load(tracker, f->pipes->n, get, place, f) == 0;
    return good;
}

static bool write_all(struct file *f, const struct cli_pipes *p) {
    struct head head = {.layout = layout()};
    if (fwrite(&head, 1, sizeof head, f->stream) != sizeof head || !put_tables(f, p) || !flush(f) ||
        fflush(f->stream) != 0)
        return false;
    memcpy(head.magic, magic, sizeof head.magic);
    head.octets = f->octets;
    head.sum = f->sum;
    return fsync(fileno(f->stream)) == 0 && fseek(f->stream, 0, SEEK_SET) == 0 &&
           fwrite(&head, 1, sizeof head, f->stream) == sizeof head && fflush(f->stream) == 0 &&
           fsync(fileno(f->stream)) == 0;
}

int cli_checkpoint_save(const struct cli_pipes *p, const char *path, struct base_error *error) {
    struct file f = {.stream = fopen(path, "we")};
    if (f.stream == NULL)
        return base_error_set(error, path, "the checkpoint cannot be written: %s", strerror(errno));
    bool good = write_all(&f, p);
    int fault = errno;
    if (fclose(f.stream) != 0 && good) {
        good = false;
        fault = errno;
    }
    if (!good)
        base_error_set(error, path, "the checkpoint cannot be written: %s", strerror(fault));
    return good ? 0 : -1;
}

/* Whole, unharmed, and of this build? The stream then stands behind the head. */
static int check(struct file *f, const char *path, struct base_error *error) {
    struct head head;
    uint64_t octets = 0;
    size_t n;
    if (!get(f, &head, sizeof head) || memcmp(head.magic, magic, sizeof magic) != 0)
        return base_error_set(error, path, "the checkpoint is not complete");
    if (head.layout != layout())
        return base_error_set(error, path, "the checkpoint is of another build of spanwatch");
    do {
        n = fread(f->block, 1, sizeof f->block, f->stream);
        f->sum = chain(f->sum, f->block, n);
        octets += n;
    } while (n == sizeof f->block);
    if (octets != head.octets || f->sum != head.sum)
        return base_error_set(error, path, "the checkpoint is damaged");
    return fseek(f->stream, sizeof head, SEEK_SET);
}

int cli_checkpoint_load(const struct cli_pipes *p, const struct capture_share *share,
                        const char *path, struct base_error *error) {
    struct file f = {.stream = fopen(path, "re"), .pipes = p, .share = share};
    if (f.stream == NULL && errno == ENOENT)
        return CLI_CHECKPOINT_NONE;
    if (f.stream == NULL) {
        base_error_set(error, path, "cannot be opened: %s", strerror(errno));
        return CLI_CHECKPOINT_USELESS;
    }
    int result = check(&f, path, error) == 0 ? CLI_CHECKPOINT_LOADED : CLI_CHECKPOINT_USELESS;
    if (result == CLI_CHECKPOINT_LOADED && !get_tables(&f))
        result = base_error_set(error, path, "the checkpoint cannot be loaded: out of memory");
    free(f.scope);
    fclose(f.stream);
    unlink(path); /* it is good once: what follows changes the flows */
    return result;
}
