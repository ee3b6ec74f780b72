/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What clients sent while nobody heard them.
 *
 * Theory of operation.  When the primary's host is gone, a switch that sees
 * its port go down forgets which addresses were there, and sends what is for
 * them to all its ports.  So what clients send until the takeover arrives at
 * the secondary's host, where nobody wants it.  Here it is kept, and given to
 * the guest when that runs alone: nothing has to be sent again, and no timer
 * of a client's, which doubles with each try, has to expire.
 *
 * Only TCP, which recognises what it has already: the primary's last frames
 * may have come this way, too.  As long as the primary lives the network does
 * not bring what is for its guest to this host, and the kernel's filter lets
 * nothing else in; what clients on this host itself send is kept, too, and
 * forgotten as soon as the primary was heard.
 */
#ifndef COLO_PROXY_UNHEARD_H
#define COLO_PROXY_UNHEARD_H

#include "netcompare/proxy/proxy.h"
#include "netcompare/proxy/recent.h"

typedef struct Unheard Unheard;

/* Of one interface's guest, by the ports of the bridge that it would get. */
Unheard *unheard_new(Proxy *p, const char *bridge, GError **error);
void unheard_free(Unheard *u);

/* The guest's addresses, at most NET_TAP_DESTINATIONS. */
void unheard_set_macs(Unheard *u, const guint8 (*macs)[6], guint n);

/* What came before is not needed: the primary was heard later. */
void unheard_expire(Unheard *u, gint64 before_us);

/* What comes from now on the guest gets by the bridge. */
void unheard_stop(Unheard *u);

/* Frames that came at or after since_us, oldest first. */
void unheard_foreach(Unheard *u, gint64 since_us, RecentFunc func,
                     gpointer user);

/* For which there was no room. */
guint64 unheard_lost(const Unheard *u);

#endif
