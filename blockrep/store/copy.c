/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Merging's copying: what a group of layers shows goes to base. */
#include "blockrep/store/store-priv.h"
#include "blockrep/store/file-io.h"

#include <errno.h>

#define BUFFER STORE_MAX_RECORD

typedef struct Copy {
    ColoStore *s;
    guint8 *buf;
    guint64 off, len; /* what buf holds, of the disk */
    gint64 started;
    guint64 done;
    gboolean hurry;
} Copy;

/* As slow as was asked for.  -ECANCELED: somebody cannot wait for the rest. */
static int pace(Copy *c, guint64 bytes)
{
    ColoStore *s = c->s;
    gint64 due = 0;
    int r = 0;

    c->done += bytes;
    if (s->o.merge_bytes_per_s && !c->hurry) {
        due = c->started + (gint64)((double)c->done * G_USEC_PER_SEC /
                                    (double)s->o.merge_bytes_per_s);
    }
    g_mutex_lock(&s->lock);
    s->merged_bytes += bytes;
    if (s->may_reach) {
        s->may_reach += bytes / 2;
        g_cond_broadcast(&s->changed);
    }
    while (!r) {
        if (s->quit || s->merge_hold) {
            r = -ECANCELED;
        } else if (s->merge_now || due <= g_get_monotonic_time()) {
            break;
        } else {
            g_cond_wait_until(&s->changed, &s->lock, due);
        }
    }
    g_mutex_unlock(&s->lock);
    return r;
}

static int put(Copy *c)
{
    guint64 len = c->len;
    int r;

    if (!len) {
        return 0;
    }
    r = store_pwrite(c->s->base.fd, c->buf, len, c->off);
    c->len = 0;
    return r ? r : pace(c, len);
}

guint64 store_copy_cost(const StorePiece *p)
{
    return p->run.kind == STORE_DATA ? p->end - p->off : COLO_STORE_BLOCK;
}

static int copy_zeroes(Copy *c, const StorePiece *p)
{
    int r = put(c);

    r = r ? r
          : store_base_zero(&c->s->base, p->off, p->end - p->off,
                            p->run.kind == STORE_PUNCH);
    return r ? r : pace(c, store_copy_cost(p));
}

static int copy_data(Copy *c, const StorePiece *p)
{
    guint64 off = p->off;
    int r = 0;

    if (c->len && (c->off + c->len != off || c->len == BUFFER)) {
        r = put(c);
    }
    while (off < p->end && !r) {
        guint64 n = MIN(p->end - off, BUFFER - c->len);
        StorePiece part = {off, off + n, p->layer,
                           store_run_part(&p->run, off, off + n)};

        if (!c->len) {
            c->off = off;
        }
        r = store_piece_read(c->s, &part, c->buf + c->len);
        if (r) {
            break;
        }
        c->len += n;
        off += n;
        if (c->len == BUFFER) {
            r = put(c);
        }
    }
    return r;
}

int store_copy_to_base(ColoStore *s, StoreLayer **layers, guint n,
                       gboolean hurry)
{
    g_autofree guint8 *buf = g_malloc(BUFFER);
    Copy c = {
        .s = s, .buf = buf, .hurry = hurry, .started = g_get_monotonic_time()};
    guint64 off = 0;
    int r = 0;

    while (off < s->base.size && !r) {
        guint64 end = s->base.size;
        StorePiece p;

        /* The layers are frozen, and we hold them: no lock. */
        if (!store_layers_find(layers, n, off, &end, &p)) {
            off = end;
            continue;
        }
        r = p.run.kind == STORE_DATA ? copy_data(&c, &p) : copy_zeroes(&c, &p);
        off = p.end;
    }
    return r ? r : put(&c);
}
