/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames that came lately. */
#include "netcompare/proxy/recent.h"

typedef struct Recent {
    NetFrame frame; /* buf NULL: forgotten */
    guint64 number;
    gint64 at;
} Recent;

/* A ring: the oldest is at first. */
struct RecentFrames {
    guint max_frames, first, n;
    gsize max_bytes, bytes;
    Recent *frames;
};

RecentFrames *recent_new(guint max_frames, gsize max_bytes)
{
    RecentFrames *r = g_new0(RecentFrames, 1);

    r->max_frames = max_frames;
    r->max_bytes = max_bytes;
    r->frames = g_new(Recent, max_frames);
    return r;
}

static Recent *nth(const RecentFrames *r, guint i)
{
    return &r->frames[(r->first + i) % r->max_frames];
}

static void forget(RecentFrames *r, Recent *f)
{
    if (f->frame.buf) {
        r->bytes -= f->frame.len;
        g_clear_pointer(&f->frame.buf, net_buf_unref);
    }
}

static void drop_oldest(RecentFrames *r)
{
    forget(r, nth(r, 0));
    r->first = (r->first + 1) % r->max_frames;
    r->n--;
}

void recent_clear(RecentFrames *r)
{
    while (r->n) {
        drop_oldest(r);
    }
}

void recent_free(RecentFrames *r)
{
    if (r) {
        recent_clear(r);
        g_free(r->frames);
        g_free(r);
    }
}

gboolean recent_has_room(const RecentFrames *r, gsize len)
{
    return r->n < r->max_frames && r->bytes + len <= r->max_bytes;
}

void recent_expire(RecentFrames *r, gint64 before_us)
{
    while (r->n && nth(r, 0)->at < before_us) {
        drop_oldest(r);
    }
}

const NetFrame *recent_add(RecentFrames *r, const NetFrame *frame,
                           guint64 number, gint64 now_us)
{
    Recent *f;

    /* The newest is kept in any case. */
    while (r->n && !recent_has_room(r, frame->len)) {
        drop_oldest(r);
    }
    f = nth(r, r->n++);
    *f = (Recent){.frame = *frame, .number = number, .at = now_us};
    f->frame.buf = net_buf_keep(frame->buf, &f->frame.data, frame->len);
    r->bytes += frame->len;
    return &f->frame;
}

static Recent *find(const RecentFrames *r, guint64 number)
{
    guint low = 0, high = r->n;

    while (low < high) {
        guint middle = low + (high - low) / 2;

        if (nth(r, middle)->number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < r->n && nth(r, low)->number == number ? nth(r, low) : NULL;
}

const NetFrame *recent_find(const RecentFrames *r, guint64 number)
{
    const Recent *f = find(r, number);

    return f && f->frame.buf ? &f->frame : NULL;
}

void recent_forget(RecentFrames *r, guint64 number)
{
    Recent *f = find(r, number);

    if (f) {
        forget(r, f);
    }
    while (r->n && !nth(r, 0)->frame.buf) {
        drop_oldest(r);
    }
}

void recent_foreach(const RecentFrames *r, gint64 since_us, RecentFunc func,
                    gpointer user)
{
    for (guint i = 0; i < r->n; i++) {
        const Recent *f = nth(r, i);

        if (f->frame.buf && f->at >= since_us) {
            func(&f->frame, user);
        }
    }
}
