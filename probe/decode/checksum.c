/*
 * The TCP checksum over pseudo header and segment (RFC 9293 section 3.1, RFC 8200 section 8.1, RFC
 * 1071).
 *
 * Input: a segment that was captured whole, and the IP header's addresses. Output: good, bad, or
 * unfinished. Sums are taken in the machine's order of octets: the ones' complement sum does not
 * mind, its result only needs swapping.
 */
#include "walk.h"

/* n up to 64 MiB gives 2^24 words of 32 bits: far from a carry out of 64 bits. */
static uint64_t sum_octets(const uint8_t *at, uint32_t n) {
    uint64_t sum = 0;
    uint32_t word, i = 0;
    for (; n - i >= sizeof word; i += 4) {
        memcpy(&word, at + i, sizeof word);
        sum += word;
    }
    word = 0;
    memcpy(&word, at + i, n - i);
    return sum + word;
}

/* To 16 bits with end-around carry. */
static uint16_t fold(uint64_t sum) {
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static uint64_t sum_pseudo_header(const struct ip *ip, uint32_t n) {
    uint32_t octets = ip->family == 4 ? 4 : 16;
    return sum_octets(ip->src, octets) + sum_octets(ip->dst, octets) + htobe32(n) + htobe32(IP_TCP);
}

/*
 * A host that leaves the sum to its card stores the folded sum of the pseudo header, not
 * complemented, for the card to add the segment to (Linux: CHECKSUM_PARTIAL); so it stands in
 * captures made on that host, or between its guests.
 */
enum segment_checksum decode_checksum(const struct ip *ip, const uint8_t *segment, uint32_t n) {
    uint64_t pseudo = sum_pseudo_header(ip, n);
    if (fold(pseudo + sum_octets(segment, n)) == 0xffff)
        return SEGMENT_CHECKSUM_GOOD;
    if (walk_u16(segment + 16) == be16toh(fold(pseudo)))
        return SEGMENT_CHECKSUM_UNFINISHED;
    return SEGMENT_CHECKSUM_BAD;
}
