/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the primary asks for.  See fetcher.h. */
#include "netcompare/proxy/fetcher.h"

enum { DONE_AT_ONCE = 64 };

typedef struct Numbers {
    guint n;
    guint64 le[DONE_AT_ONCE];
} Numbers;

struct Fetcher {
    Proxy *proxy;
    NetCompare *compare;
    GSource *settle;
    gboolean timed; /* settle has a time */
    Numbers *done;  /* of each interface */
};

static gboolean on_settle(gpointer user)
{
    Fetcher *f = user;

    f->timed = FALSE;
    g_source_set_ready_time(f->settle, -1);
    fetcher_turn(f);
    proxy_flush(f->proxy);
    return G_SOURCE_CONTINUE;
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer user)
{
    return callback(user);
}

Fetcher *fetcher_new(Proxy *p, NetCompare *compare)
{
    static GSourceFuncs funcs = {.dispatch = dispatch};
    Fetcher *f = g_new0(Fetcher, 1);

    f->proxy = p;
    f->compare = compare;
    f->done = g_new0(Numbers, p->config->n_taps);
    f->settle = g_source_new(&funcs, sizeof(GSource));
    g_source_set_callback(f->settle, on_settle, f, NULL);
    g_source_attach(f->settle, NULL);
    return f;
}

void fetcher_free(Fetcher *f)
{
    if (f) {
        g_source_destroy(f->settle);
        g_source_unref(f->settle);
        g_free(f->done);
        g_free(f);
    }
}

void fetcher_ask(Fetcher *f, guint8 iface, guint64 number)
{
    const NetWireHead h = {
        .type = NET_WIRE_FETCH, .iface = iface, .number = number};

    proxy_send(f->proxy, &h, NULL);
}

static void say_done(Fetcher *f, guint iface)
{
    Numbers *d = &f->done[iface];
    const NetWireHead h = {.type = NET_WIRE_DONE,
                           .iface = (guint8)iface,
                           .len = (guint32)(d->n * sizeof(d->le[0]))};
    const struct iovec iov = {.iov_base = d->le, .iov_len = h.len};

    d->n = 0;
    proxy_send(f->proxy, &h, &iov);
}

void fetcher_done(Fetcher *f, guint8 iface, guint64 number)
{
    Numbers *d = &f->done[iface];

    d->le[d->n++] = GUINT64_TO_LE(number);
    /* Some at a time: it wakes the other side. */
    if (d->n == DONE_AT_ONCE) {
        say_done(f, iface);
    }
}

void fetcher_turn(Fetcher *f)
{
    gint64 due;

    /* To change the time of a source costs more than to look again. */
    if (f->timed) {
        return;
    }
    due = net_compare_settle(f->compare, g_get_monotonic_time());
    if (due < G_MAXINT64) {
        f->timed = TRUE;
        g_source_set_ready_time(f->settle, due);
    }
}
