/*
 * The writer's parts that need no server: IDs, entries, the spool's files, and what a kill or a bad
 * disk leaves of them.
 */
#include "test_record_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/store/redis_spool.h"

#define MS(ts_ns) ((ts_ns) / BASE_NS_PER_MS)

static void test_ids(void **state) {
    struct store_id id, last = {0};
    (void)state;
    assert_true(store_id_next(last, T0, UINT64_MAX, 2000, &id));
    assert_int_equal(id.ms, MS(T0));
    assert_int_equal(id.seq, 0);
    /* time stands still, or goes back a little: just above the last */
    assert_true(store_id_next(id, T0, UINT64_MAX, 2000, &id));
    assert_true(id.ms == MS(T0) && id.seq == 1);
    assert_true(store_id_next(id, T0 - 2000 * BASE_NS_PER_MS, UINT64_MAX, 2000, &id));
    assert_true(id.ms == MS(T0) && id.seq == 2);
    /* more than the skew above the entry's time */
    assert_false(store_id_next(id, T0 - 2001 * BASE_NS_PER_MS, UINT64_MAX, 2000, &id));
    last = (struct store_id){.ms = UINT64_C(99999999999999)};
    assert_false(store_id_next(last, T0, UINT64_MAX, 2000, &id));
    /* never above the limit; a capture clock that is ahead is held back */
    assert_true(store_id_next((struct store_id){0}, T0, MS(T0) - 5000, 2000, &id));
    assert_int_equal(id.ms, MS(T0) - 5000);
    last = (struct store_id){.ms = MS(T0) - 4999};
    assert_false(store_id_next(last, T0, MS(T0) - 5000, 2000, &id));
    /* 0-0 is no ID; a sequence that is used up carries over */
    assert_true(store_id_next((struct store_id){0}, 0, UINT64_MAX, 2000, &id));
    assert_true(id.ms == 0 && id.seq == 1);
    assert_true(store_id_next((struct store_id){.ms = 7, .seq = UINT64_MAX}, 7 * BASE_NS_PER_MS,
                              UINT64_MAX, 2000, &id));
    assert_true(id.ms == 8 && id.seq == 0);
}

static void test_id_texts(void **state) {
    static const char *const wrong[] = {
        "", "-", "1", "1-", "-1", "1-2x", "x1-2", "1--2", "18446744073709551616-0"};
    struct store_id id = {.ms = UINT64_MAX, .seq = UINT64_MAX}, back;
    char text[STORE_ID_TEXT];
    (void)state;
    assert_int_equal(store_id_format(id, text), 41);
    assert_string_equal(text, "18446744073709551615-18446744073709551615");
    assert_true(store_id_parse(text, strlen(text), &back));
    assert_int_equal(store_id_compare(id, back), 0);
    assert_int_equal(store_id_compare((struct store_id){1, 2}, (struct store_id){1, 3}), -1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(store_id_parse(wrong[i], strlen(wrong[i]), &back));
}

/* A chunk of transitions, as the writer makes them. */
static struct store_chunk *make_chunk(struct fixture *x, uint64_t ts_ns, unsigned entries) {
    struct store_chunk *c = store_chunk_new((size_t)entries * RECORD_MAX);
    assert_non_null(c);
    for (unsigned i = 0; i < entries; i++) {
        struct event e = {.ts_ns = ts_ns + i,
                          .flow = fixture_flow("10.0.0.1", 40000, "10.0.0.2", 50443),
                          .type = EVENT_TRANSITION};
        struct store_id id = {.ms = MS(ts_ns), .seq = i};
        char text[STORE_ID_TEXT];
        e.transition.state[EVENT_CLIENT] = TCP_SYN_SENT;
        char *p = record_put_bulk(c->data + c->used, text, store_id_format(id, text));
        p += record_transition_entry(&x->context, &e, p);
        c->used = (uint32_t)(p - c->data);
        if (i == 0)
            c->first = id;
        c->last = id;
    }
    c->entries = entries;
    c->from_ns = ts_ns;
    c->to_ns = ts_ns + entries - 1;
    return c;
}

static void test_entries(void **state) {
    struct fixture *x = *state;
    struct store_chunk *c = make_chunk(x, T0, 3);
    struct store_entry e;
    const char *value;
    size_t length;
    uint32_t at = 0;
    for (unsigned i = 0; i < 3; i++, at += (uint32_t)e.octets) {
        assert_true(store_entry_parse(c->data + at, c->used - at, RECORD_TRANSITION_FIELDS, 0, &e));
        assert_int_equal(e.ts_ns, T0 + i);
        assert_true(e.id.ms == MS(T0) && e.id.seq == i);
        assert_true(store_bulk_parse(e.values, 64, &value, &length) > 0);
        assert_int_equal(length, 20); /* the ts */
    }
    assert_int_equal(at, c->used);
    for (size_t n = 0; n < e.octets; n++) /* a part of one is none */
        assert_false(store_entry_parse(c->data, n, RECORD_TRANSITION_FIELDS, 0, &e));
    store_chunk_free(c);
}

static void test_crc32(void **state) {
    (void)state;
    assert_int_equal(store_crc32(0, "123456789", 9), 0xcbf43926);
    assert_int_equal(store_crc32(store_crc32(0, "12345", 5), "6789", 4), 0xcbf43926);
}

/* ---- the spool ---- */

struct spooled {
    struct fixture *x;
    char folder[64];
    struct store_redis s;
    struct store_stream streams[2 * STORE_KINDS_PARTITIONED + 2];
    uv_loop_t loop;
};

static void begin(struct spooled *p, struct fixture *x) {
    memset(p, 0, sizeof *p);
    p->x = x;
    snprintf(p->folder, sizeof p->folder, "/tmp/spanwatch-spool-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    assert_int_equal(uv_loop_init(&p->loop), 0);
    p->s.loop = &p->loop;
    p->s.stream = p->streams;
    p->s.streams = 8;
    p->s.options.partitions = 2;
    p->s.options.queue_mib = 0; /* no room in memory */
    for (size_t i = 0; i < 8; i++) {
        p->streams[i].store = &p->s;
        p->streams[i].kind = i < 6 ? (enum store_kind)(i % 3) : (enum store_kind)(i - 3);
        p->streams[i].partition = (unsigned)(i < 6 ? i / 3 : 0);
    }
}

static void open_spool(struct spooled *p, uint64_t most) {
    struct base_error error;
    p->s.spool = store_spool_new(p->folder, 2, most, &error);
    if (p->s.spool == NULL)
        fail_msg("%s: %s", error.what, error.why);
}

static size_t files(const struct spooled *p) {
    DIR *d = opendir(p->folder);
    size_t n = 0;
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        n += strstr(e->d_name, ".seg") != NULL;
    closedir(d);
    return n;
}

static void end(struct spooled *p) {
    char path[400];
    store_spool_free(p->s.spool);
    DIR *d = opendir(p->folder);
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", p->folder, e->d_name);
        unlink(path);
    }
    closedir(d);
    rmdir(p->folder);
    for (size_t i = 0; i < 8; i++)
        while (p->streams[i].oldest != NULL) {
            struct store_chunk *next = p->streams[i].oldest->next;
            store_chunk_free(p->streams[i].oldest);
            p->streams[i].oldest = next;
        }
    uv_loop_close(&p->loop);
}

static void count_found(void *context, const struct store_segment_record *r) {
    unsigned *n = context;
    assert_true(r->kind == STORE_KIND_TRANSITIONS && r->partition < 2);
    *n += r->chunk->entries;
}

/* What a process leaves, the next one finds, in order; what is acknowledged goes. */
static void test_spool_comes_back(void **state) {
    struct spooled p;
    unsigned found = 0;
    begin(&p, *state);
    open_spool(&p, 64 << 20);
    for (unsigned i = 0; i < 100; i++)
        assert_true(store_spool_takes(p.s.spool, &p.streams[i % 2 * 3],
                                      make_chunk(p.x, T0 + i * BASE_NS_PER_MS, 5)));
    assert_int_equal(store_spool_backlog(p.s.spool), 500);
    store_spool_free(p.s.spool); /* as a kill: nothing more is written */
    open_spool(&p, 64 << 20);
    store_spool_each(p.s.spool, count_found, &found);
    assert_int_equal(found, 500);
    p.s.options.queue_mib = 64;
    while (store_spool_replay(p.s.spool, &p.s))
        ;
    assert_int_equal(store_spool_backlog(p.s.spool), 0);
    for (size_t i = 0; i < 6; i += 3) {
        unsigned entries = 0;
        struct store_id last = {0};
        for (struct store_chunk *c = p.streams[i].oldest; c != NULL; c = c->next) {
            assert_true(store_id_compare(c->first, last) > 0);
            last = c->last;
            entries += c->entries;
            assert_int_not_equal(c->segment, 0);
        }
        assert_int_equal(entries, 250);
        for (struct store_chunk *c = p.streams[i].oldest; c != NULL; c = c->next)
            store_spool_release(p.s.spool, c->segment);
    }
    assert_int_equal(files(&p), 0);
    end(&p);
}

/* A record that was cut, or damaged, ends its segment; those before it are whole. */
static void test_spool_damaged(void **state) {
    for (int damage = 0; damage < 2; damage++) {
        struct spooled p;
        unsigned found = 0;
        char path[128];
        begin(&p, *state);
        open_spool(&p, 64 << 20);
        for (unsigned i = 0; i < 10; i++)
            assert_true(store_spool_takes(p.s.spool, &p.streams[0],
                                          make_chunk(p.x, T0 + i * BASE_NS_PER_MS, 3)));
        uint64_t octets = store_spool_octets(p.s.spool);
        store_spool_free(p.s.spool);
        snprintf(path, sizeof path, "%s/0000000001.seg", p.folder);
        int fd = open(path, O_RDWR);
        assert_true(fd >= 0);
        if (damage == 0)
            assert_int_equal(ftruncate(fd, (off_t)octets - 7), 0);
        else
            assert_int_equal(pwrite(fd, "XX", 2, (off_t)octets - 100), 2);
        close(fd);
        open_spool(&p, 64 << 20);
        store_spool_each(p.s.spool, count_found, &found);
        assert_int_equal(found, 27);
        end(&p);
    }
}

/* Full: what finds no room is counted, and nothing is stored behind it out of order. */
static void test_spool_full(void **state) {
    struct spooled p;
    begin(&p, *state);
    open_spool(&p, 64 << 10);
    assert_true(store_spool_has_room(p.s.spool, 12));
    for (unsigned i = 0; i < 200; i++)
        assert_true(store_spool_takes(p.s.spool, &p.streams[0],
                                      make_chunk(p.x, T0 + i * BASE_NS_PER_MS, 5)));
    assert_false(store_spool_has_room(p.s.spool, 15));
    assert_true(store_spool_octets(p.s.spool) <= 64 << 10);
    uint64_t kept = store_spool_backlog(p.s.spool);
    assert_true(kept > 0 && p.s.shed[STORE_KIND_TRANSITIONS].lost == 1000 - kept);
    assert_true(p.s.shed[STORE_KIND_TRANSITIONS].to_ns >= T0 + 199 * BASE_NS_PER_MS);
    end(&p);
}

static void test_spool_refused(void **state) {
    struct spooled p;
    struct base_error error;
    begin(&p, *state);
    open_spool(&p, 64 << 20);
    assert_true(store_spool_takes(p.s.spool, &p.streams[0], make_chunk(p.x, T0, 3)));
    store_spool_free(p.s.spool);
    p.s.spool = NULL;
    assert_null(store_spool_new(p.folder, 3, 64 << 20, &error));
    assert_non_null(strstr(error.why, "store.partitions=2"));
    assert_null(store_spool_new("/nonexistent/spool", 2, 64 << 20, &error));
    assert_non_null(strstr(error.why, "cannot be made"));
    end(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_id_texts),
        cmocka_unit_test_setup_teardown(test_entries, fixture_setup, fixture_teardown),
        cmocka_unit_test(test_crc32),
        cmocka_unit_test_setup_teardown(test_spool_comes_back, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_spool_damaged, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_spool_full, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_spool_refused, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
