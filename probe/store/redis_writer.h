/*
 * writer: what the files of the Redis writer share: streams, their chunks, the writer itself.
 *
 * A stream's entries stand in chunks, ready for the wire: the ID and then the values, each a bulk
 * string. A chunk is filled (open), sealed, sent, acknowledged, kept for some seconds more, freed:
 *
 *     oldest ... acknowledged ...| unacked: in flight ...| unsent: sealed ... newest |  open
 *
 * `acked`, `sent` and `assigned` are the IDs at these borders. One entry that is refused stops its
 * stream: later batches name a predecessor that is not there and are refused too. The stream is
 * then asked for its last ID (redis_resync.c), which says where to go on.
 *
 * Owner: the loop's thread owns everything here.
 */
#ifndef SPANWATCH_STORE_REDIS_WRITER_H
#define SPANWATCH_STORE_REDIS_WRITER_H

#include "redis_link.h"

#include "spanwatch/store_redis.h"

struct store_spool;

struct store_id {
    uint64_t ms, seq;
};

enum store_kind {
    STORE_KIND_TRANSITIONS,
    STORE_KIND_SNAPSHOTS,
    STORE_KIND_CONNECTIONS,
    STORE_KIND_ALARMS,
    STORE_KIND_GAPS,
    STORE_KINDS,
    STORE_KINDS_PARTITIONED = 3 /* those before it have a stream in each partition */
};

enum {
    STORE_BATCH_ENTRIES = 256, /* a script of so many takes the server less than a millisecond */
    STORE_BATCH_OCTETS = 512 << 10,
    STORE_CHUNK_OCTETS = 96 << 10, /* an open chunk of this size is sealed */
    STORE_ID_TEXT = 44,            /* "18446744073709551615-18446744073709551615", NUL */
    STORE_SHA_TEXT = 41,
    STORE_SKEW_MS = 2000,  /* an ID's time is at most so much above its entry's */
    STORE_AHEAD_MS = 1000, /* live: and at most so much ahead of the wall clock */
    STORE_LATE_MS = 60000  /* what comes later than this after others of its stream is left out */
};

struct store_chunk {
    struct store_chunk *next;
    struct store_id first, last;
    uint64_t from_ns, to_ns; /* the least and the greatest capture time in it */
    uint64_t done_ms;        /* when it was acknowledged, by uv_now() */
    uint32_t entries, used, room;
    uint32_t segment; /* of the spool, that holds a copy; 0: none does */
    bool again;       /* was acknowledged once, and is sent again: the store lost it */
    char *data;
};

enum store_stream_state {
    STORE_STREAM_UNKNOWN, /* its last ID must be asked for */
    STORE_STREAM_ASKED,
    STORE_STREAM_READY,
    STORE_STREAM_BROKEN, /* a batch was refused: others of it may still be on their way */
    STORE_STREAM_WEDGED  /* it ends with an ID that nothing of ours can be above */
};

struct store_stream {
    struct store_redis *store;
    enum store_kind kind;
    unsigned partition;
    enum store_stream_state state;
    struct store_chunk *oldest, *newest, *unacked, *unsent, *unspooled, *open;
    struct store_id base;     /* before the oldest chunk's first entry */
    struct store_id acked;    /* the newest that the store has acknowledged */
    struct store_id sent;     /* the newest on its way, or acked */
    struct store_id assigned; /* the newest given to an entry */
    uint64_t newest_ns;       /* the greatest capture time put */
    uint64_t length;          /* entries that the store should hold */
    uint64_t retry_ms;        /* not before, when broken or wedged */
    unsigned in_flight;       /* batches */
    unsigned refusals;        /* in a row */
    unsigned mends;           /* in vain, in a row */
    bool known;               /* base, acked and length come from the store */
    bool listed, dirty;       /* stands in the list of those to send; of those with an open chunk */
    struct store_stream *next_listed, *next_dirty;
    struct store_compare *compare; /* while its end is compared entry by entry */
    struct store_id resume;        /* read --resume: entries up to this one are there; 0-0: none */
    char *resume_values;           /* that entry's values as bulk strings; owned */
    size_t resume_octets;
};

/* A command with entries, on its way. */
struct store_batch {
    struct store_batch *next; /* in the list of free ones */
    struct store_stream *stream;
    struct store_chunk *last;
    uint32_t entries, octets;
};

/* What is missing of one kind, until a gap record says it. */
struct store_missing {
    uint64_t lost, from_ns, to_ns;
};

enum store_script {
    STORE_SCRIPT_APPEND, /* one for each kind */
    STORE_SCRIPT_ASK = STORE_KINDS,
    STORE_SCRIPT_LOCK,
    STORE_SCRIPT_UNLOCK,
    STORE_SCRIPT_MEND,
    STORE_SCRIPTS
};

struct store_redis {
    struct store_redis_options options;
    char prefix[REDIS_PREFIX_MOST + 1], name[65], token[33], host[65];
    struct record_context own; /* for records of the store's own */
    struct store_link link;
    uv_loop_t *loop;
    uv_timer_t flush, second;
    struct store_stream *stream; /* partitions * STORE_KINDS_PARTITIONED, alarms, gaps */
    size_t streams;
    struct store_stream *send_first, *send_last, *dirty; /* lists through next_* */
    struct store_batch *free_batch;
    size_t in_flight_octets, in_flight;
    size_t queued_octets, queued_entries; /* sealed or open, not acknowledged, in memory */
    size_t kept_octets;                   /* acknowledged ones */
    struct store_spool *spool;            /* NULL: none */
    char sha[STORE_SCRIPTS][STORE_SHA_TEXT];
    unsigned scripts_loaded;
    bool locked; /* the lock is ours, said in this connection */
    bool lost_lock, ending, finished, closing;
    bool conflict;                    /* read --resume: the store holds something else */
    uint64_t covered_ns, covering_ns; /* up to here all is stored or spooled; at the next tick */
    uint64_t down_ns; /* the run before this one told of nothing since then; 0: no such run */
    bool shed_since;  /* something was shed since a keyframe was asked for */
    uint64_t deadline_ms, last_ns;   /* of the end, by uv_now(), 0 none; the last capture time */
    unsigned ending_words;           /* answers that the end still waits for */
    unsigned retention_at, trimming; /* the next stream to be trimmed; commands on their way */
    uint64_t floor_ns;               /* what retention has cut off */
    size_t asking;                   /* streams in ASKED */
    struct store_missing missing[STORE_KINDS]; /* lost by the store */
    struct store_missing shed[STORE_KINDS];    /* lost by us */
    uint64_t lost;                             /* entries, ever */
    uint64_t alarm_seq;                        /* of the newest alarm */
    uint64_t newest_ns;                        /* capture time, of everything put */
    uint64_t stored_ns;                        /* of everything acknowledged, the newest */
    uint64_t first_ns, started_ns;             /* of NAME; wall clock of this run */
    uint64_t keyframe[64];                     /* begin times of complete ones, a ring */
    unsigned keyframes;
    uint64_t resent, refused;        /* entries sent again; batches refused */
    struct store_grouping *grouping; /* of the snapshot being taken; NULL: none yet */
    char *scratch;                   /* a command being built */
    size_t scratch_room;
    char refusal[96];           /* the last one told, so that it is told once */
    struct record_stats status; /* the newest; ts_ns 0: none yet */
    uint32_t skew_ms;
    uint64_t last_told_ns; /* what the hash of probes says */
    int covered_fd;        /* the file that says what was covered; -1 without */
};

/* ---- redis_id.c: pure ---- */

/*
 * The ID of an entry of `ts_ns` in a stream that ends with `last`: the time in milliseconds, but
 * not above `limit_ms` and always above `last`. False when that is more than `skew_ms` above the
 * entry's time, or above the limit: nothing may be appended then.
 */
bool store_id_next(struct store_id last, uint64_t ts_ns, uint64_t limit_ms, uint64_t skew_ms,
                   struct store_id *id);
int store_id_compare(struct store_id a, struct store_id b);
size_t store_id_format(struct store_id id, char out[STORE_ID_TEXT]);
bool store_id_parse(const char *text, size_t n, struct store_id *id);

/* Walk entries in a chunk's form. */
struct store_entry {
    const char *data; /* from the ID's bulk string on */
    size_t octets;
    struct store_id id;
    uint64_t ts_ns;
    const char *values; /* behind the ID */
};
/* The entry of `fields` fields at `data`; ts is field `ts_field`. False when these are no such
 * octets. */
bool store_entry_parse(const char *data, size_t n, unsigned fields, unsigned ts_field,
                       struct store_entry *e);
/* One bulk string: its value, and how many octets it takes; 0 when it is none. */
size_t store_bulk_parse(const char *data, size_t n, const char **value, size_t *length);

/* ---- redis_kind.c ---- */

unsigned store_kind_fields(enum store_kind kind);
unsigned store_kind_ts_field(enum store_kind kind);
const char *const *store_kind_field_names(enum store_kind kind);
const char *store_kind_name(enum store_kind kind); /* the key's last part */
enum record_gap_what store_kind_what(enum store_kind kind);

/* ---- redis_chunk.c ---- */

/* Where the next entry's values go (at most `room` octets), its ID already written; NULL when the
 * entry cannot be taken, which is counted. */
char *store_put_begin(struct store_stream *st, uint64_t ts_ns, size_t room);
void store_put_end(struct store_stream *st, uint64_t ts_ns, char *end);
void store_seal(struct store_stream *st);
void store_seal_all(struct store_redis *s);
/* Append a chunk to the stream's list: its own, or one that comes back from the spool. */
void store_chunk_link(struct store_stream *st, struct store_chunk *c);
struct store_chunk *store_chunk_new(size_t room);
void store_chunk_free(struct store_chunk *c);
/* The octets that a chunk takes of the bounds. */
size_t store_chunk_cost(const struct store_chunk *c);
/* Everything up to the entry `id` is stored. Splits the chunk that holds it. */
void store_acknowledge(struct store_stream *st, struct store_id id);
/* Everything after `id` is not, whatever was said before. Entries that this concerns. */
size_t store_unacknowledge(struct store_stream *st, struct store_id id);
/* Free what was acknowledged too long ago. */
void store_trim_kept(struct store_stream *st);
/* New IDs above `floor` for everything that is not acknowledged. False when that cannot be. */
bool store_restamp(struct store_stream *st, struct store_id floor);
void store_shed(struct store_stream *st, uint64_t ts_ns, uint64_t entries);
uint64_t store_wall_ms(void);
/* The highest ms that an ID may have now. */
uint64_t store_limit_ms(const struct store_redis *s);

/* ---- redis_send.c ---- */

void store_list(struct store_stream *st); /* it has something to send */
void store_pump(struct store_redis *s);
/* What the server says no to: is the stream to be asked again, and when. */
void store_refused(struct store_stream *st, const char *error);
/* A command of `words` words into the scratch; NULL without memory. */
const char *store_command(struct store_redis *s, const char *const *word, const size_t *length,
                          size_t words, size_t *n);
bool store_send_words(struct store_redis *s, const char *const *word, size_t words,
                      redisCallbackFn *reply, void *context);
const char *store_key(struct store_stream *st, char out[REDIS_KEY_TEXT]);

/* ---- redis_resync.c ---- */

void store_ask(struct store_stream *st);
void store_ask_those_due(struct store_redis *s);
void store_ask_all(struct store_redis *s);
void store_compare_free(struct store_stream *st);
/* What the store has at the place where read --resume begins to write is what comes now: false,
 * and s->conflict, when it is not. */
bool store_resume_skips(struct store_stream *st, struct store_id id, const char *values, size_t n);

/* ---- redis_script.c ---- */

void store_scripts_load(struct store_redis *s); /* then store_keeper_up */
size_t store_script_text(enum store_script which, char *out, size_t size);

/* ---- redis_keeper.c ---- */

void store_keeper_up(struct store_redis *s);     /* the scripts are there: take the lock */
void store_keeper_second(struct store_redis *s); /* once a second */
void store_keeper_end(struct store_redis *s);    /* the last words: probes, status, unlock */
size_t store_probe_json(const struct store_redis *s, uint64_t last_ns, char *out, size_t size);
void store_retention(struct store_redis *s);

/* ---- redis_snapshot.c ---- */

void store_grouping_free(struct store_redis *s);
/* An entry of a snapshot was lost: the one at hand does not get its end. */
void store_snapshot_torn(struct store_redis *s);

/* ---- redis_start.c ---- */

/* What the server says of the NAME before the loop runs: fills s, see store_redis_new. */
int store_inspect(struct store_redis *s, struct base_error *error);
int store_token(struct store_redis *s, struct base_error *error);

/* ---- redis.c ---- */

struct store_stream *store_stream_of(struct store_redis *s, enum store_kind kind,
                                     unsigned partition);
/* Gap records for what the store lost, and for what was shed and goes on no more. */
void store_tell_missing(struct store_redis *s);
/* Is all stored, after store_redis_finish? Then the last words, and the end. */
void store_look_for_end(struct store_redis *s);

#endif
