/*
 * The path of a packet: filter, decode, track.
 *
 * Input: batches of packets, from files or from interfaces. Output: events to a sink, counters. A
 * batch goes through each stage in turn, so that each stage's code and tables stay in the cache.
 * Owner: one thread. Nothing is allocated for a packet.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "pipe.h"

enum {
    WINDOW_S = 10, /* of the alarms */
    FIRST_EPHEMERAL_PORT =
        32768 /* Linux's ip_local_port_range: names above it say nothing about roles */
};

/* flow_service_lookup: what is known of an endpoint that might be a server. */
static enum flow_service_evidence find_evidence(void *context, const struct base_addr *a,
                                                uint16_t port, uint32_t scope) {
    const struct cli_pipe *p = context;
    const struct decode_scope *layers = decode_scope(p->decoder, scope);
    int vlan = -1;
    for (unsigned i = 0; i < layers->layers; i++) /* the innermost VLAN decides */
        if (layers->layer[i].kind == DECODE_LAYER_VLAN)
            vlan = (int)layers->layer[i].id;
    if (service_configured(p->services, a, port, vlan) != NULL)
        return FLOW_SERVICE_CONFIGURED;
    if (port < FIRST_EPHEMERAL_PORT && service_port_known(p->services, port))
        return FLOW_SERVICE_PORT_KNOWN;
    return FLOW_SERVICE_NONE;
}

/* A word of the configuration, already checked. */
static enum decode_identity identity_of(const char *word) {
    if (strcmp(word, "strip") == 0)
        return DECODE_STRIP;
    return strcmp(word, "innermost") == 0 ? DECODE_INNERMOST : DECODE_KEEP;
}

int cli_pipe_init(struct cli_pipe *p, const char *filter, struct base_error *error) {
    *p = (struct cli_pipe){0};
    if (filter != NULL && cli_filter_new(&p->filter, filter, error) != 0)
        return -1;
    p->decoder = decode_new();
    if (p->decoder == NULL)
        return base_error_set(error, "decoder", "out of memory");
    return 0;
}

int cli_pipe_start(struct cli_pipe *p, const struct cli_config *config,
                   const struct service_table *services, event_sink *sink, void *context,
                   struct base_error *error) {
    struct flow_config flow = {
        .timers = config->timers,
        .hosts = config->hosts,
        .host_count = config->host_count,
        .max_flows = config->max_flows,
        .snapshot_ns = p->pictures.for_snapshots ? config->snapshot_period * BASE_NS_PER_S : 0,
        .window_ns = p->pictures.for_windows ? WINDOW_S * BASE_NS_PER_S : 0,
        .picture_at_once = p->pictures.at_once,
        .huge_pages = p->pictures.at_once, /* nobody waits for the packets of files */
        .service = find_evidence,
        .service_context = p};
    p->services = services;
    decode_identify(p->decoder, identity_of(config->vlan), identity_of(config->tunnel));
    if (getrandom(flow.hash_seed, sizeof flow.hash_seed, 0) != (ssize_t)sizeof flow.hash_seed)
        return base_error_set(error, "getrandom",
                              "the system gives no random octets for the flow table's seed");
    p->tracker = flow_new(&flow, sink, context);
    if (p->tracker == NULL)
        return base_error_set(error, "flow table",
                              "out of memory; a lower tracker.max_flows needs less");
    return 0;
}

/* Decode a packet into the next place of the batch. */
static inline void take_packet(struct cli_pipe *p, const struct packet *packet, size_t n) {
    enum decode_verdict verdict = decode_packet(p->decoder, packet, &p->segment[n]);
    p->verdict[n] = (uint8_t)verdict;
    p->verdicts[verdict]++;
    p->stats.bytes += packet->length;
    if (verdict == DECODE_UNKNOWN_LINK && p->verdicts[verdict] == 1)
        p->unknown_link = packet->link;
}

size_t cli_pipe_decode(struct cli_pipe *p, const struct packet *batch, size_t n) {
    size_t taken = 0;
    for (size_t i = 0; i < n; i++)
        if (p->filter == NULL || cli_filter_match(p->filter, &batch[i]))
            take_packet(p, &batch[i], taken++);
    if (taken > 0 && p->stats.packets == 0)
        p->first_ns = p->segment[0].ts_ns;
    p->stats.packets += taken;
    p->left_out += n - taken;
    return taken;
}

void cli_pipe_take(struct cli_pipe *p, const struct packet *batch, size_t n) {
    size_t taken = cli_pipe_decode(p, batch, n);
    if (taken > 0)
        flow_batch(p->tracker, p->segment, p->verdict, taken);
}

void cli_pipe_stats(const struct cli_pipe *p, struct record_stats *s) {
    const struct flow_counters *c = flow_counters(p->tracker);
    const uint64_t *verdicts = p->verdicts;
    *s = p->stats;
    s->tcp = verdicts[DECODE_TCP];
    s->fragments = verdicts[DECODE_FRAGMENT];
    s->truncated = verdicts[DECODE_TRUNCATED];
    s->malformed = verdicts[DECODE_MALFORMED];
    s->not_tcp = verdicts[DECODE_ICMP] + verdicts[DECODE_NOT_TCP] + verdicts[DECODE_UNKNOWN_LINK];
    s->duplicates = c->duplicates;
    s->reordered = c->reordered;
    s->time_jumps = c->time_jumps;
    s->stray = c->stray;
    s->missed_bytes = c->missed_bytes;
    s->flows_open = c->flows_open;
    s->flows_total = c->flows_total;
    s->flows_evicted = c->flows_evicted;
    s->transitions = c->transitions;
    s->connections = c->connections;
}

void cli_pipe_tell_bounds(const struct cli_pipe *p) {
    uint64_t lost = p->decoder != NULL ? decode_datagrams_lost(p->decoder) : 0;
    uint64_t crowded = p->decoder != NULL ? decode_scopes_full(p->decoder) : 0;
    if (lost > 0)
        base_warn("%llu datagrams in fragments were given up: others of their fragments did not "
                  "come, or not in time",
                  (unsigned long long)lost);
    if (crowded > 0)
        base_warn("%llu packets stood in VLANs and tunnels beyond the first %d combinations, and "
                  "were taken for one: capture.vlan or capture.tunnel \"strip\" needs fewer",
                  (unsigned long long)crowded, DECODE_MAX_SCOPES - 1);
}

void cli_pipe_fini(struct cli_pipe *p) {
    if (p->tracker != NULL)
        flow_free(p->tracker);
    if (p->decoder != NULL)
        decode_free(p->decoder);
    cli_filter_free(p->filter);
    *p = (struct cli_pipe){0};
}
