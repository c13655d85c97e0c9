/*
 * checkpoint: flows from one run of the program to the next.
 *
 * Head and body are saved as they lie in memory, with the pair of addresses of an IPv6 flow behind
 * them; links (wheel, slabs, table) are made anew. So a checkpoint is good for one build only; what
 * else would have to be written field by field changes too often to be kept compatible.
 */
#include "tracker.h"

#include <string.h>

struct saved_head {
    uint64_t flows, now_ns, data_segments, gaps;
    uint32_t serial, zero;
};

struct saved_flow {
    struct flow flow;
    struct body body;
    struct pair6 pair; /* zero for IPv4 */
};

/* Sizes and places that change with the layout. */
uint64_t flow_checkpoint_layout(void) {
    static const uint64_t key[2] = {1, 1};
    const uint64_t layout[] = {sizeof(struct saved_head),
                               sizeof(struct saved_flow),
                               offsetof(struct flow, first_ns),
                               offsetof(struct body, tcp.detail),
                               offsetof(struct body, zeek),
                               sizeof(struct tcp_endpoint),
                               sizeof(struct tcp_detail),
                               offsetof(struct tcp_detail, fin),
                               TCP_STATES,
                               TCP_EVENTS};
    return base_siphash(key, layout, sizeof layout);
}

/* What was never confirmed is not worth a restart. */
static bool is_kept(const struct flow *f) {
    return (f->flags & FLOW_USED) && !(f->flags & FLOW_TENTATIVE);
}

int flow_save(const struct flow_tracker *t, flow_write *write, void *context) {
    struct saved_head head = {.now_ns = t->now_ns,
                              .serial = t->serial,
                              .data_segments = flow_laden_lately(t),
                              .gaps = t->gaps};
    for (uint32_t i = 0; i < t->pool.flow.top; i++)
        head.flows += is_kept(pool_at(&t->pool, i));
    if (!write(context, &head, sizeof head))
        return -1;
    for (uint32_t i = 0; i < t->pool.flow.top; i++) {
        struct flow *f = pool_at(&t->pool, i);
        struct body scratch;
        if (!is_kept(f))
            continue;
        struct saved_flow s = {.flow = *f, .body = *form_view(t, f, &scratch)};
        s.flow.last_ns = flow_last_ns(f);
        s.body.flow = NULL;
        if (f->flags & FLOW_IPV6)
            s.pair = *pool_pair(&t->pool, f);
        if (!write(context, &s, sizeof s))
            return -1;
    }
    return 0;
}

/* The key as a segment of side 0 would make it. */
static void key_of(const struct flow_tracker *t, const struct saved_flow *s, uint32_t scope,
                   struct flow_key *k) {
    struct segment segment = {.family = s->flow.flags & FLOW_IPV6 ? 6 : 4,
                              .scope = scope,
                              .src_port = s->flow.port[0],
                              .dst_port = s->flow.port[1]};
    if (segment.family == 6) {
        memcpy(segment.src, s->pair.addr[0], sizeof segment.src);
        memcpy(segment.dst, s->pair.addr[1], sizeof segment.dst);
    } else {
        memcpy(segment.src, &s->flow.addr[0], sizeof s->flow.addr[0]);
        memcpy(segment.dst, &s->flow.addr[1], sizeof s->flow.addr[1]);
    }
    flow_key_make(t->config.hash_seed, &segment, k);
}

/* Everything but what flow_enter has filled in, and the links. */
static void adopt(struct flow_tracker *t, const struct saved_flow *s, uint32_t index) {
    struct flow *f = pool_at(&t->pool, index);
    struct body *b = form_open(t, index);
    *b = s->body;
    b->flow = f;
    f->flags = (s->flow.flags & ~(uint32_t)FLOW_PICTURED) | t->picture.parity;
    f->first_ns = s->flow.first_ns;
    f->last_ns = s->flow.last_ns;
    f->serial = s->flow.serial;
    f->ordinal = s->flow.ordinal;
    t->unsure += (f->flags & FLOW_UNSURE) != 0;
    t->counters.flows_open += (f->flags & FLOW_COUNTED) != 0;
    flow_rest(t, index, b);
}

void flow_resume(struct flow_tracker *t, uint64_t now_ns) {
    t->picture.next_ns = BASE_NEVER_NS;
    flow_advance(t, now_ns);
    picture_init(t);
}

static int load_flow(const struct saved_flow *s, flow_place *place, void *context) {
    bool six = (s->flow.flags & FLOW_IPV6) != 0;
    const void *a = six ? (const void *)s->pair.addr[0] : &s->flow.addr[0];
    const void *b = six ? (const void *)s->pair.addr[1] : &s->flow.addr[1];
    uint32_t scope = s->flow.scope;
    struct flow_tracker *t = place(context, six ? 6 : 4, a, b, &scope);
    struct flow_key k;
    if (t->pool.flow.used >= t->config.max_flows)
        return 0; /* the cap is lower now: what comes last is left out */
    key_of(t, s, scope, &k);
    if (k.from != 0)
        return -1; /* nothing that flow_save has written */
    if (table_find(&t->table, &k) != FLOW_NONE)
        return 0;
    uint32_t index = flow_enter(t, &k);
    if (index == FLOW_NONE)
        return -1;
    adopt(t, s, index);
    return 0;
}

static void take_head(struct flow_tracker *t, const struct saved_head *head) {
    if ((int32_t)(t->serial - head->serial) < 0)
        t->serial = head->serial;
    t->laden_from = t->counters.laden - head->data_segments;
    t->gaps = head->gaps;
    if (t->now_ns == 0)
        flow_advance(t, head->now_ns);
}

int flow_load(struct flow_tracker *const *t, size_t n, flow_read *read, flow_place *place,
              void *context) {
    struct saved_head head;
    if (!read(context, &head, sizeof head))
        return -1;
    for (size_t i = 0; i < n; i++)
        take_head(t[i], &head);
    for (uint64_t i = 0; i < head.flows; i++) {
        struct saved_flow s;
        if (!read(context, &s, sizeof s) || load_flow(&s, place, context) != 0)
            return -1;
    }
    return 0;
}
