/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The secondary's NBD server, as the primary reaches it. */
#ifndef COLO_DISK_PEER_H
#define COLO_DISK_PEER_H

#include "colo/sockaddr.h"

#define COLO_DISK_HANG_US      (2 * G_USEC_PER_SEC)
#define COLO_DISK_RECONNECT_US (2 * G_USEC_PER_SEC)

#define COLO_DISK_ERROR (colo_disk_error_quark())
GQuark colo_disk_error_quark(void);
typedef enum {
    COLO_DISK_ERROR_GONE,    /* the server cannot be reached */
    COLO_DISK_ERROR_REFUSED, /* it answered, with an error */
    COLO_DISK_ERROR_TIMEOUT, /* it did not answer in time */
    COLO_DISK_ERROR_FULL,    /* it answered that there is no room */
} ColoDiskErrorCode;

typedef struct ColoDiskPeer {
    const ColoAddr *addr;
    /*
     * TLS, at most one: a folder with ca-cert.pem, client-cert.pem and
     * client-key.pem; or a file of pre-shared keys, which QEMU wants to be
     * called keys.psk.  Its first line names the user.
     */
    const char *tls_certificates;
    const char *tls_psk;
    /*
     * How long a server may be silent before it counts as lost, and how long
     * QEMU's writes then wait for it to come back; 0: the defaults above.
     * --qmp-timeout must be longer than both together, for QEMU's monitor may
     * be blocked as long.  QEMU takes reconnect_us in whole seconds.
     */
    gint64 hang_us;
    gint64 reconnect_us;
} ColoDiskPeer;

#endif
