/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames for the secondary's guest. */
#include "netcompare/proxy/inbound.h"

/* Captures that may still be committed, and the last that was. */
#define MARKS 4

typedef struct Mark {
    guint64 epoch, consumed;
} Mark;

struct Inbound {
    guint max_frames;
    gsize max_bytes;
    /*
     * A ring of frames in the order of their numbers: ring[(head + i) & mask].
     * The first `next` of them are done with, in this pass.
     */
    InboundFrame *ring;
    guint mask, head, len, next;
    guint64 injections;  /* so far */
    guint64 skip_after;  /* frames injected after this still wait in the tap */
    guint64 last;        /* number of the last frame pushed; 0: none */
    Mark marks[MARKS];   /* ring of the last captures */
    guint n_marks;
    gboolean periodic;   /* nothing is injected before inbound_run() */
    gboolean paused;     /* a load is under way */
    guint64 loading;     /* consumed, of the checkpoint being loaded */
    gboolean marked;     /* loading is known */
    InboundStats stats;
};

Inbound *inbound_new(guint max_frames, gsize max_bytes)
{
    Inbound *in = g_new0(Inbound, 1);
    guint size = 1;

    while (size < max_frames) {
        size *= 2;
    }
    in->max_frames = max_frames;
    in->max_bytes = max_bytes;
    in->ring = g_new0(InboundFrame, size);
    in->mask = size - 1;
    in->skip_after = G_MAXUINT64;
    in->paused = TRUE; /* until a guest is loaded that wants them */
    return in;
}

static InboundFrame *at(Inbound *in, guint i)
{
    return &in->ring[(in->head + i) & in->mask];
}

static void drop_first(Inbound *in)
{
    InboundFrame *f = at(in, 0);

    in->stats.kept_bytes -= f->len;
    g_clear_pointer(&f->buf, net_buf_unref);
    in->head = (in->head + 1) & in->mask;
    in->len--;
    if (in->next) {
        in->next--;
    }
}

/* One that gives way to newer ones. */
static void evict(Inbound *in)
{
    if (!in->next && !at(in, 0)->injected) {
        in->stats.dropped++;
    }
    drop_first(in);
}

void inbound_free(Inbound *in)
{
    if (in) {
        inbound_restart(in);
        g_free(in->ring);
        g_free(in);
    }
}

void inbound_restart(Inbound *in)
{
    while (in->len) {
        drop_first(in);
    }
    in->last = 0;
    in->n_marks = 0;
    in->skip_after = G_MAXUINT64;
}

void inbound_push(Inbound *in, guint64 number,
                  const struct virtio_net_hdr *vnet, const guint8 *data,
                  gsize len, NetBuf *buf)
{
    InboundFrame *f;

    if (number <= in->last) {
        return; /* the stream is ordered: the peer is wrong, or restarted */
    }
    if (in->last) {
        in->stats.lost += number - in->last - 1;
    }
    in->last = number;
    while (in->len && (in->len >= in->max_frames ||
                       in->stats.kept_bytes + len > in->max_bytes)) {
        evict(in);
    }
    f = at(in, in->len++);
    f->number = number;
    f->vnet = *vnet;
    f->buf = net_buf_keep(buf, &data, len);
    f->data = data;
    f->len = len;
    f->injected = 0;
    in->stats.kept_bytes += len;
    in->stats.frames++;
}

const InboundFrame *inbound_next(Inbound *in)
{
    if (in->paused || in->periodic) {
        return NULL;
    }
    while (in->next < in->len) {
        InboundFrame *f = at(in, in->next++);

        if (f->injected > in->skip_after) {
            continue; /* it waits in the tap already */
        }
        in->stats.again += f->injected > 0;
        in->stats.injected++;
        f->injected = ++in->injections;
        if (in->next == in->len) {
            in->skip_after = G_MAXUINT64; /* this pass is over */
        }
        return f;
    }
    in->skip_after = G_MAXUINT64;
    return NULL;
}

void inbound_capture(Inbound *in, guint64 epoch, guint64 consumed,
                     gboolean periodic)
{
    Mark *m = &in->marks[in->n_marks++ % MARKS];

    m->epoch = epoch;
    m->consumed = consumed;
    in->periodic = periodic;
}

/* The last capture of this epoch: one that failed was made again. */
static const Mark *find_mark(const Inbound *in, guint64 epoch)
{
    for (guint i = in->n_marks; i > 0 && in->n_marks - i < MARKS; i--) {
        const Mark *m = &in->marks[(i - 1) % MARKS];

        if (m->epoch == epoch) {
            return m;
        }
    }
    return NULL;
}

void inbound_load(Inbound *in, guint64 epoch)
{
    const Mark *m = find_mark(in, epoch);

    in->paused = TRUE;
    in->marked = m != NULL;
    if (!m) {
        in->stats.unmarked++;
        return;
    }
    in->loading = m->consumed;
    while (in->len && at(in, 0)->number <= m->consumed) {
        drop_first(in);
    }
}

void inbound_run(Inbound *in, guint64 waiting)
{
    guint64 first_waiting = in->injections - MIN(waiting, in->injections);
    guint64 seen = 0;

    in->paused = in->periodic = FALSE;
    if (!in->marked) {
        return; /* go on where we were */
    }
    for (guint i = 0; i < in->len; i++) {
        seen += at(in, i)->injected > first_waiting;
    }
    in->stats.doubled += MIN(waiting, in->injections) - seen;
    in->skip_after = first_waiting;
    in->next = 0;
}

void inbound_stats(const Inbound *in, InboundStats *s)
{
    *s = in->stats;
    s->kept = in->len;
}
