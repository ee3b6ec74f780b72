/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the secondary's guest sent lately. */
#include "netcompare/proxy/recent.h"

typedef struct Recent {
    NetFrame frame;
    gint64 at;
} Recent;

struct RecentFrames {
    guint max_frames;
    gsize max_bytes, bytes;
    GQueue frames; /* Recent, oldest first */
};

static void recent_drop(Recent *f)
{
    net_buf_unref(f->frame.buf);
    g_free(f);
}

RecentFrames *recent_new(guint max_frames, gsize max_bytes)
{
    RecentFrames *r = g_new0(RecentFrames, 1);

    r->max_frames = max_frames;
    r->max_bytes = max_bytes;
    g_queue_init(&r->frames);
    return r;
}

void recent_clear(RecentFrames *r)
{
    Recent *f;

    while ((f = g_queue_pop_head(&r->frames))) {
        recent_drop(f);
    }
    r->bytes = 0;
}

void recent_free(RecentFrames *r)
{
    if (r) {
        recent_clear(r);
        g_free(r);
    }
}

void recent_add(RecentFrames *r, const NetFrame *frame, gint64 now_us)
{
    Recent *f = g_new(Recent, 1);

    *f = (Recent){.frame = *frame, .at = now_us};
    f->frame.buf = net_buf_keep(frame->buf, &f->frame.data, frame->len);
    g_queue_push_tail(&r->frames, f);
    r->bytes += frame->len;
    while (r->frames.length > r->max_frames || r->bytes > r->max_bytes) {
        f = g_queue_pop_head(&r->frames);
        r->bytes -= f->frame.len;
        recent_drop(f);
    }
}

void recent_foreach(const RecentFrames *r, gint64 since_us, RecentFunc func,
                    gpointer user)
{
    for (const GList *l = r->frames.head; l; l = l->next) {
        const Recent *f = l->data;

        if (f->at >= since_us) {
            func(&f->frame, user);
        }
    }
}
