/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The payload of INIT: who speaks, what it can do, and where it stands.
 *
 * A sum (ft_sum_part) and JSON, at most FT_MAX_HELLO bytes.  The sender
 * offers; the receiver answers with what it chose, or with a NACK.
 */
#ifndef COLO_FT_HELLO_H
#define COLO_FT_HELLO_H

#include "colo/ft/ft-proto.h"

#define FT_HELLO_LEN 8  /* before the JSON */
#define FT_ID_LEN 32 /* hex digits of an instance's or session's identity */
#define FT_MAX_DISKS 16
#define FT_DISK_NAME 22 /* bytes of a disk's name, at most */

/* A disk that is part of the checkpoints. */
typedef struct FtDisk {
    char name[FT_DISK_NAME + 1];
    guint64 size;           /* bytes */
} FtDisk;

typedef struct FtHello {
    guint version_min, version_max; /* receiver: both the one it chose */
    char *name;             /* the VM's name on that side */
    char *instance;         /* identity of that colod's run */
    guint codings;          /* bit 1 << FtCoding: understood; NONE always */
    gboolean periodic;      /* sender: --mode periodic */
    char *description;      /* the machine, colo_vm_description() */
    guint n_disks;          /* 0: the member is left out */
    FtDisk disks[FT_MAX_DISKS];

    /* The sender: the session that it wants to go on with, or NULL.
     * The receiver: the session from now on. */
    char *session;

    /* The receiver only */
    gboolean resumed;       /* session goes on: no full copy */
    guint64 heartbeat_key;  /* must be in each heartbeat of the session */
    guint64 epoch;          /* last committed, 0: none */
    gboolean open;          /* it holds a part of a transaction */
    guint16 open_id;        /* whose id that is */
    guint32 open_good;      /* payloads of it that were right */
} FtHello;

void ft_hello_free(FtHello *h);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FtHello, ft_hello_free)

/*
 * The payload of an INIT frame (transfer full), its length in *len; id and
 * seq of the frame are 0.
 */
char *ft_hello_put(const FtHello *h, gsize *len);

/* Take such a payload; nothing in it is trusted. */
FtHello *ft_hello_get(const char *payload, gsize len, GError **error);

#endif
