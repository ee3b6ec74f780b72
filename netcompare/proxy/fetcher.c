/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the primary asks for.  See fetcher.h. */
#include "netcompare/proxy/fetcher.h"

#include <sys/timerfd.h>
#include <unistd.h>

enum { DONE_AT_ONCE = 64 };

typedef struct Numbers {
    guint n;
    guint64 le[DONE_AT_ONCE];
} Numbers;

struct Fetcher {
    Proxy *proxy;
    NetCompare *compare;
    int timer; /* GLib's have whole milliseconds */
    guint source;
    gboolean timed; /* the timer runs */
    Numbers *done;  /* of each interface */
};

static gboolean on_timer(gpointer user, GError **error)
{
    Fetcher *f = user;
    guint64 n;

    if (read(f->timer, &n, sizeof(n)) == sizeof(n)) {
        f->timed = FALSE;
        fetcher_turn(f);
    }
    return TRUE;
}

Fetcher *fetcher_new(Proxy *p, NetCompare *compare)
{
    Fetcher *f = g_new0(Fetcher, 1);

    f->proxy = p;
    f->compare = compare;
    f->done = g_new0(Numbers, p->config->n_taps);
    f->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (f->timer < 0) {
        g_error("cannot make a timer: %s", g_strerror(errno));
    }
    f->source = proxy_add_fd(p, f->timer, on_timer, f);
    return f;
}

void fetcher_free(Fetcher *f)
{
    if (f) {
        g_source_remove(f->source);
        close(f->timer);
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
        const struct itimerspec at = {
            .it_value = {.tv_sec = due / G_USEC_PER_SEC,
                         .tv_nsec = due % G_USEC_PER_SEC * 1000}};

        f->timed = !timerfd_settime(f->timer, TFD_TIMER_ABSTIME, &at, NULL);
    }
}
