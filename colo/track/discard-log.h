/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The discard log: what libcolotrack.so tells the tracker of one range of
 * guest RAM.
 *
 * Punching a hole into shared memory (a balloon, free page reporting,
 * virtio-mem) turns pages into zeros without any write, and the kernel keeps
 * them write-protected meanwhile: neither userfaultfd nor soft-dirty reports
 * them.  libcolotrack.so sees the calls that do it and sets a bit for each
 * page, after the kernel did it; the tracker takes the bits at each collect.
 *
 * The log is a sealed memfd of the tracked process, named COLO_DISCARD_NAME:
 * one page of header, then the bits, 64 to a word, in the machine's byte
 * order.  Bits are only changed with atomic operations.  The seals forbid
 * resizing, so that a reader cannot be made to fault.
 */
#ifndef COLO_TRACK_DISCARD_LOG_H
#define COLO_TRACK_DISCARD_LOG_H

#include <stddef.h>
#include <stdint.h>

#define COLO_DISCARD_NAME   "colotrack"
#define COLO_DISCARD_MAGIC  "COLOTRK1"
#define COLO_DISCARD_HEADER 4096u /* the bits start here */
#define COLO_DISCARD_REASON 200

typedef struct ColoDiscardHeader {
    char magic[8];
    uint64_t addr;    /* of the range, in the tracked process */
    uint64_t n_pages; /* of 4096 bytes */
    uint64_t armable; /* 1: registered with userfaultfd */
    char reason[COLO_DISCARD_REASON]; /* if not: why, as text */
} ColoDiscardHeader;

static inline size_t colo_discard_bytes(uint64_t n_pages)
{
    return COLO_DISCARD_HEADER + (size_t)((n_pages + 63) / 64) * 8;
}

#endif
