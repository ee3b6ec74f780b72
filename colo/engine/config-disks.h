/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of colod's configuration that is about disks. */
#ifndef COLO_CONFIG_DISKS_H
#define COLO_CONFIG_DISKS_H

#include "colo/sockaddr.h"

#define COLO_DEFAULT_NBD_PORT 8889
#define COLO_MAX_DISKS        16
#define COLO_MAX_DISK_NAME    22 /* QEMU's names have 31, ours are a part */

/*
 * One --disk: NAME=PATH on the secondary, NAME or NAME=NODE on the primary; or
 * one --serve-disk: NAME=PATH.
 */
typedef struct ColoDiskName {
    char *name;
    char *what; /* absolute path, or QEMU's node or device */
} ColoDiskName;

typedef struct ColoDiskConfig {
    GPtrArray *list;        /* ColoDiskName; empty: none is replicated */
    ColoAddr *nbd;          /* where nbdkit listens; NULL: not said, no disk */
    /*
     * Served here: on the secondary the list itself, at nbd; on the primary
     * --serve-disk, the survivor's own, at --serve-nbd
     */
    GPtrArray *served;
    ColoAddr *serve_nbd;
    char *folder;           /* of the stores; NULL: each beside its image */
    gboolean flush;         /* --durability flush */
    char *tls_certificates; /* folder, or NULL */
    char *tls_psk;          /* file, or NULL */
} ColoDiskConfig;

/*
 * Check what was given and fill in the rest.  disks, serve: the options --disk
 * and --serve-disk; socket: --nbd-socket; peer: the primary's, NULL on the
 * secondary.
 */
gboolean colo_config_disks(ColoDiskConfig *d, char **disks, char **serve,
                           const char *socket, const ColoAddr *peer,
                           GError **error);
void colo_config_disks_clear(ColoDiskConfig *d);

#endif
