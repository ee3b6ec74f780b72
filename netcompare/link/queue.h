/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes that wait to be sent, in blocks that are used again. */
#ifndef COLO_NET_QUEUE_H
#define COLO_NET_QUEUE_H

#include <glib.h>
#include <sys/uio.h>

#define NET_QUEUE_BLOCK (256 * 1024)

typedef struct NetQueueBlock {
    struct NetQueueBlock *next;
    gsize at, fill; /* of bytes: those in [at, fill) wait */
    guint8 bytes[];
} NetQueueBlock;

typedef struct NetQueue {
    NetQueueBlock *head, *tail;
    NetQueueBlock *spare; /* unused ones, a few */
    guint n_spare;
    gsize bytes; /* that wait */
} NetQueue;

void net_queue_init(NetQueue *q);
void net_queue_clear(NetQueue *q); /* and give the memory back */

void net_queue_add(NetQueue *q, const void *bytes, gsize len);
/* The first bytes, in at most n pieces; returns how many there are. */
guint net_queue_peek(const NetQueue *q, struct iovec *iov, guint n);
/* len of the first bytes are gone. */
void net_queue_skip(NetQueue *q, gsize len);

#endif
