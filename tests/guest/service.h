/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guest serves, as both ends know it, so that a client can prove
 * that no byte was lost, doubled or altered.
 *
 * HTTP/1.1 on SERVICE_HTTP_PORT, keep-alive, no header that depends on time:
 *
 *   GET /N            N bytes of the pattern, from its offset 0
 *   GET /tiny         "tiny\n"
 *   GET /counter      how often it was asked for, as 16 hex digits and "\n"
 *   GET /random?n=K   K lines (1 when left out) "ID CHAIN\n", each 16 hex
 *                     digits: ID differs in each guest, CHAIN is
 *                     service_chain() of the last one on this connection
 *                     (0 at first) and ID: the guest that answers next has to
 *                     know what was answered before
 *   POST /            a body of the pattern: "N ok\n" or "N wrong\n"
 *   GET /dial?host=ADDRESS&port=PORT&n=K&as=http|echo
 *                     "dial\n", and K connections to there, on which the
 *                     guest serves the same
 *
 * Lines on SERVICE_ECHO_PORT: each is answered with "NUMBER HASH\n", counted
 * from 1, HASH being service_hash() over all lines so far.  UDP there: the
 * same datagram comes back.
 *
 * Lines on SERVICE_DISK_PORT of a guest with a disk (colo.disk=1), each
 * answered with one line when what it says is on the disk; "error: ..." when
 * it cannot be:
 *
 *   new ID        empty file ID of records: "0 HASH", HASH being
 *                 SERVICE_HASH_START
 *   + ID TEXT     append this line to file ID: "COUNT HASH", HASH being
 *                 service_hash() over all its lines
 *   check ID      the same, if what is read past the page cache and what is
 *                 known in memory agree; else "wrong: ..."
 *   fsync N       write and sync 4 KiB N times: "N"
 *   write BYTES   write a file of so many and sync it: "BYTES"
 */
#ifndef COLO_GUEST_SERVICE_H
#define COLO_GUEST_SERVICE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SERVICE_HTTP_PORT 80
#define SERVICE_ECHO_PORT 7
#define SERVICE_DISK_PORT 90
#define SERVICE_FILES     64u         /* of records */
#define SERVICE_LINE_MAX  1024u       /* of echo, newline included */
#define SERVICE_PERIOD    1048573u    /* a prime: no power of two fits it */
#define SERVICE_SIZE_MAX  (1ull << 44)
#define SERVICE_TINY      "tiny\n"

/* The pattern's byte at offset o is block[o % SERVICE_PERIOD]. */
static inline void service_pattern(unsigned char *block)
{
    uint64_t x = 0x9e3779b97f4a7c15u;

    for (size_t i = 0; i < SERVICE_PERIOD; i += 8) {
        size_t n = SERVICE_PERIOD - i < 8 ? SERVICE_PERIOD - i : 8;

        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(block + i, &x, n);
    }
}

/* How many bytes of the pattern from offset o on lie in one piece. */
static inline size_t service_piece(uint64_t o, uint64_t want)
{
    uint64_t left = SERVICE_PERIOD - o % SERVICE_PERIOD;

    return (size_t)(want < left ? want : left);
}

#define SERVICE_HASH_START 0xcbf29ce484222325u /* FNV-1a, 64 bits */

static inline uint64_t service_hash(uint64_t h, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)data[i]) * 0x100000001b3u;
    return h;
}

static inline uint64_t service_chain(uint64_t chain, uint64_t id)
{
    uint64_t x = (chain ^ id) + 0x9e3779b97f4a7c15u;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

#endif
