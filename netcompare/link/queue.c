/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes that wait to be sent. */
#include "netcompare/link/queue.h"

#include <string.h>

/* Memory that was full once is kept up to here: 4 MiB. */
enum { MAX_SPARE = 16 };

void net_queue_init(NetQueue *q)
{
    memset(q, 0, sizeof(*q));
}

static void free_list(NetQueueBlock *b)
{
    while (b) {
        NetQueueBlock *next = b->next;

        g_free(b);
        b = next;
    }
}

void net_queue_clear(NetQueue *q)
{
    free_list(q->head);
    free_list(q->spare);
    net_queue_init(q);
}

static NetQueueBlock *get_block(NetQueue *q)
{
    NetQueueBlock *b = q->spare;

    if (b) {
        q->spare = b->next;
        q->n_spare--;
    } else {
        b = g_malloc(sizeof(*b) + NET_QUEUE_BLOCK);
    }
    b->next = NULL;
    b->at = b->fill = 0;
    return b;
}

void net_queue_add(NetQueue *q, const void *bytes, gsize len)
{
    const guint8 *from = bytes;

    q->bytes += len;
    while (len) {
        gsize n;

        if (!q->tail || q->tail->fill == NET_QUEUE_BLOCK) {
            NetQueueBlock *b = get_block(q);

            if (q->tail) {
                q->tail->next = b;
            } else {
                q->head = b;
            }
            q->tail = b;
        }
        n = MIN(len, NET_QUEUE_BLOCK - q->tail->fill);
        memcpy(q->tail->bytes + q->tail->fill, from, n);
        q->tail->fill += n;
        from += n;
        len -= n;
    }
}

guint net_queue_peek(const NetQueue *q, struct iovec *iov, guint n)
{
    guint i = 0;

    for (NetQueueBlock *b = q->head; b && i < n; b = b->next) {
        iov[i].iov_base = b->bytes + b->at;
        iov[i].iov_len = b->fill - b->at;
        i++;
    }
    return i;
}

void net_queue_skip(NetQueue *q, gsize len)
{
    g_assert(len <= q->bytes);
    q->bytes -= len;
    while (len) {
        NetQueueBlock *b = q->head;
        gsize n = MIN(len, b->fill - b->at);

        b->at += n;
        len -= n;
        if (b->at < b->fill) {
            return;
        }
        q->head = b->next;
        if (!q->head) {
            q->tail = NULL;
        }
        if (q->n_spare < MAX_SPARE) {
            b->next = q->spare;
            q->spare = b;
            q->n_spare++;
        } else {
            g_free(b);
        }
    }
}
