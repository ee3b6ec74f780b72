/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One interface of the primary's: what its guest gets is sent to the other
 * guest, too; and the only way for parts of what it sends.
 */
#ifndef COLO_PROXY_MIRROR_H
#define COLO_PROXY_MIRROR_H

#include <json-glib/json-glib.h>

#include "netcompare/proxy/backlog.h"
#include "netcompare/proxy/partial.h"
#include "netcompare/proxy/proxy.h"

typedef struct Mirror {
    Proxy *proxy;
    guint iface;
    NetTap *tap;
    guint64 number;  /* of the last frame */
    guint64 refused; /* not sent, for want of room or peer */
    Partial *partial;
    guint64 parts; /* of segments that were sent */
    Backlog backlog;
} Mirror;

/* m: zeros.  What was opened is closed by mirror_close(), on failure too. */
gboolean mirror_open(Mirror *m, Proxy *p, guint iface, GError **error);
void mirror_close(Mirror *m);

/*
 * Frames that were mirrored, but that QEMU has not read from the tap.  To be
 * called now and then, for the backlog's measure.
 */
guint64 mirror_waiting(Mirror *m);

/* See partial_send(). */
gboolean mirror_send_part(Mirror *m, const NetPacket *segment, guint32 at,
                          guint32 len, guint16 window, guint mss);

/* Of query-colo-proxy-stats. */
JsonObject *mirror_stats(const Mirror *m);

#endif
