/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bounded pool of the sender's buffers. */
#include "colo/ft/ft-sender.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

struct FtPool {
    GMutex lock;        /* guards all below */
    GCond freed;
    GQueue unused;      /* FtBuf: most recently used first, for the cache */
    gsize made, max;
    gsize wake_at;      /* wake when so few are in use; G_MAXSIZE: no need */
    int wake;
};

FtPool *ft_pool_new(gsize max_bytes, int wake)
{
    FtPool *p = g_new0(FtPool, 1);

    g_mutex_init(&p->lock);
    g_cond_init(&p->freed);
    g_queue_init(&p->unused);
    p->max = MAX(max_bytes / (FT_CHUNK_DATA + sizeof(FtBuf)), 4);
    p->wake = wake;
    p->wake_at = G_MAXSIZE;
    return p;
}

static void buf_free(FtBuf *b)
{
    munmap(b->data, FT_CHUNK_DATA);
    g_free(b);
}

void ft_pool_free(FtPool *p)
{
    FtBuf *b;

    if (p) {
        while ((b = g_queue_pop_head(&p->unused))) {
            buf_free(b);
            p->made--;
        }
        g_assert(p->made == 0);
        g_mutex_clear(&p->lock);
        g_cond_clear(&p->freed);
        g_free(p);
    }
}

static gboolean none_free(FtPool *p)
{
    return g_queue_is_empty(&p->unused) && p->made == p->max;
}

static FtBuf *buf_new(void)
{
    FtBuf *b = g_new(FtBuf, 1);

    b->data = mmap(NULL, FT_CHUNK_DATA, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->data == MAP_FAILED) {
        g_error("out of memory for a buffer of %d bytes", FT_CHUNK_DATA);
    }
    return b;
}

static gsize in_use(const FtPool *p)
{
    return p->made - p->unused.length;
}

FtBuf *ft_pool_get_below(FtPool *p, gsize limit)
{
    FtBuf *b = NULL;

    g_mutex_lock(&p->lock);
    limit = MIN(limit, p->max);
    if (in_use(p) < limit) {
        b = g_queue_pop_head(&p->unused);
        if (!b) {
            b = buf_new();
            p->made++;
        }
    }
    /* Not for each one that comes back: a wake costs more than a copy. */
    p->wake_at = b ? G_MAXSIZE : limit / 2;
    g_mutex_unlock(&p->lock);
    if (b) {
        b->type = FT_CHUNK_PAGES;
        b->n_runs = 0;
        b->offset = 0;
        b->len = 0;
        b->summed = FALSE;
    }
    return b;
}

FtBuf *ft_pool_get(FtPool *p)
{
    return ft_pool_get_below(p, p->max);
}

void ft_pool_put(FtPool *p, FtBuf *b)
{
    guint64 one = 1;
    gboolean wake;

    g_mutex_lock(&p->lock);
    g_queue_push_head(&p->unused, b);
    wake = p->wake_at != G_MAXSIZE && in_use(p) <= p->wake_at;
    if (wake) {
        p->wake_at = G_MAXSIZE;
    }
    g_cond_signal(&p->freed);
    g_mutex_unlock(&p->lock);
    if (wake && write(p->wake, &one, sizeof(one)) < 0) {
        g_assert(errno == EAGAIN); /* it will wake anyway */
    }
}

gboolean ft_pool_wait(FtPool *p, gint64 deadline_us)
{
    gboolean found;

    g_mutex_lock(&p->lock);
    while (none_free(p) &&
           g_cond_wait_until(&p->freed, &p->lock, deadline_us)) {
    }
    found = !none_free(p);
    g_mutex_unlock(&p->lock);
    return found;
}

gboolean ft_pool_is_empty(FtPool *p)
{
    gboolean empty;

    g_mutex_lock(&p->lock);
    empty = none_free(p);
    g_mutex_unlock(&p->lock);
    return empty;
}
