/*
 * sha1: the Secure Hash Algorithm 1 (RFC 3174), for the Community ID only, which asks for it. Not
 * for secrets.
 */
#ifndef SPANWATCH_RECORD_SHA1_H
#define SPANWATCH_RECORD_SHA1_H

#include <stddef.h>
#include <stdint.h>

enum { RECORD_SHA1_OCTETS = 20 };

void record_sha1(const void *data, size_t n, uint8_t digest[RECORD_SHA1_OCTETS]);

#endif
