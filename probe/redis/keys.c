/*
 * The names of keys and the partition of a client (design 1.4). Pure.
 */
#include "spanwatch/redis.h"

#include <stdio.h>
#include <string.h>

bool redis_prefix_is_valid(const char *prefix) {
    size_t n = strlen(prefix);
    for (const char *p = prefix; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f || *p == '{' || *p == '}')
            return false; /* a brace would begin or end the hash tag at the wrong place */
    return n > 0 && n <= REDIS_PREFIX_MOST;
}

size_t redis_key(char out[REDIS_KEY_TEXT], const char *prefix, const char *what) {
    return (size_t)snprintf(out, REDIS_KEY_TEXT, "%s:%s", prefix, what);
}

size_t redis_key_of(char out[REDIS_KEY_TEXT], const char *prefix, const char *name,
                    const char *what) {
    return (size_t)snprintf(out, REDIS_KEY_TEXT, "%s:{%s}:%s", prefix, name, what);
}

size_t redis_key_in(char out[REDIS_KEY_TEXT], const char *prefix, const char *name,
                    unsigned partition, const char *what) {
    return (size_t)snprintf(out, REDIS_KEY_TEXT, "%s:{%s/%u}:%s", prefix, name, partition, what);
}

uint16_t redis_crc16(const void *data, size_t n) {
    /* Four bits at a time: the remainders of the sixteen values of a nibble. */
    static const uint16_t table[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5,
                                       0x60c6, 0x70e7, 0x8108, 0x9129, 0xa14a, 0xb16b,
                                       0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};
    const uint8_t *p = data;
    uint16_t crc = 0;
    for (size_t i = 0; i < n; i++) {
        crc = (uint16_t)(crc << 4 ^ table[crc >> 12 ^ p[i] >> 4]);
        crc = (uint16_t)(crc << 4 ^ table[crc >> 12 ^ (p[i] & 15)]);
    }
    return crc;
}

unsigned redis_partition(const struct base_addr *client, unsigned partitions) {
    char text[BASE_ADDR_TEXT];
    size_t n = base_addr_format(client, text);
    return redis_crc16(text, n) % partitions;
}
