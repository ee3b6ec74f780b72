/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections of our own to the secondary's NBD server, by libnbd, with
 * deadlines.  Resolving the server's name is not bounded: for threads that
 * nobody waits for.
 */
#ifndef COLO_NBD_LINK_H
#define COLO_NBD_LINK_H

#include "blockrep/attach/peer.h"

#include <libnbd.h>

/* A copy of a ColoDiskPeer. */
typedef struct NbdPeer {
    ColoAddr *addr;
    char *text;         /* the address, for messages */
    char *certificates; /* or NULL */
    char *psk, *psk_user;
    gint64 hang_us, reconnect_us;
} NbdPeer;

NbdPeer *nbd_peer_new(const ColoDiskPeer *peer);
void nbd_peer_free(NbdPeer *p);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NbdPeer, nbd_peer_free)

/* Can QEMU use its TLS options?  COLO_DISK_ERROR_REFUSED says what to do. */
gboolean nbd_peer_check(const NbdPeer *p, GError **error);

/* COLO_DISK_ERROR_GONE with libnbd's last words; always FALSE. */
gboolean nbd_link_error(const NbdPeer *p, struct nbd_handle *h,
                        const char *what, GError **error);

#define NBD_RETRY_US   (200 * 1000)         /* between attempts to connect */
#define NBD_REFUSED_US (2 * G_USEC_PER_SEC) /* after _REFUSED: both sides log */

/*
 * Of a connection that broke before an export was open: what may be wrong with
 * TLS, of which a server tells nothing; then it is _REFUSED.
 */
void nbd_link_explain(const NbdPeer *p, GError **error);

/* How long to wait after this failure. */
gint64 nbd_link_pause(const GError *error);

/*
 * Connect until the server takes options.  Here and below: wake is an
 * eventfd that ends the waiting, as the deadline does (_TIMEOUT).
 */
struct nbd_handle *nbd_link_open(const NbdPeer *p, int wake, gint64 deadline_us,
                                 GError **error);

/* The size of an export, which must be writable. */
gboolean nbd_link_info(const NbdPeer *p, struct nbd_handle *h, int wake,
                       const char *export, gint64 deadline_us, guint64 *size,
                       GError **error);

/* Use this export from now on. */
gboolean nbd_link_go(const NbdPeer *p, struct nbd_handle *h, int wake,
                     const char *export, gint64 deadline_us, GError **error);

/*
 * Wait for the connection, for wake (-1: none) or for the deadline, and do
 * what the connection has to do.  FALSE: it broke.
 */
gboolean nbd_link_step(struct nbd_handle *h, int wake, gint64 deadline_us,
                       gboolean *woken);

#endif
