/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QEMU with one disk, an nbdkit, and the library between them.  The guest's
 * writes are made through its disk's device, by QEMU's own qemu-io.
 */
#ifndef TESTS_ATTACH_BED_H
#define TESTS_ATTACH_BED_H

#include "blockrep/attach/attach.h"
#include "blockrep/attach/cut.h"
#include "tests/vm/pair.h"

#define BED_BYTES     (64 << 20)
#define BED_DEVICE    "/machine/peripheral/disk0/virtio-backend"
#define BED_WAIT      (30 * G_USEC_PER_SEC)
#define BED_HANG      G_USEC_PER_SEC
#define BED_RECONNECT G_USEC_PER_SEC

typedef struct Bed {
    char *dir, *source, *target, *socket, *log, *psk;
    guint16 port;        /* 0: the unix socket */
    const char *plugin;  /* nbdkit's arguments; NULL: the plugin file */
    const char *filters; /* more of them, before the plugin */
    const char *params;  /* of these */
    GPid nbdkit;         /* 0: not running */
    TestQemu *qemu;
    ColoVm *vm;
    ColoAddr addr;
    ColoDiskPeer peer;
    ColoDiskAttach *a;
} Bed;

/* Images (the source has data), no process yet; tcp: nbdkit listens there. */
Bed *bed_new(gboolean tcp);
void bed_free(Bed *b);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Bed, bed_free)

/* QEMU with this disk (NULL: the source as node vda), and ColoVm on it. */
void bed_start_qemu(Bed *b, const char *blockdevs);
void bed_start_nbdkit(Bed *b);
void bed_kill_nbdkit(Bed *b, int sig);

/* It is silent until it gets a SIGCONT. */
void bed_stop_nbdkit(Bed *b);

/* ColoDiskAttach for disk vda at node (NULL: vda). */
void bed_attach(Bed *b, const char *node);

/* Stop using QEMU as a colod does that is killed. */
void bed_forget(Bed *b);

/* Run until the disk has that state; the test fails when it does not come. */
void bed_wait(Bed *b, ColoDiskState state);

/* ... until it is synced, and the server answers. */
void bed_wait_synced(Bed *b);

/* Run for so long. */
void bed_run(Bed *b, gint64 us);
ColoDiskInfo bed_info(Bed *b);

/* One QMP command that must succeed; args: JSON text or NULL. */
JsonNode *bed_call(Bed *b, const char *command, const char *args);

/* "write -P 7 0 64k" as the guest, while it waits; how long, in us. */
gint64 bed_io(Bed *b, const char *what);

/* The first bytes of an image are all this. */
gboolean bed_holds(const char *path, goffset offset, gsize len, guint8 byte);
void bed_assert_same(Bed *b);

/* What nbdkit was sent by writes and zeroes in this log, in bytes. */
guint64 bed_written(Bed *b, guint64 *zeroed);
void bed_forget_log(Bed *b);

/* Nothing of ours is in QEMU. */
void bed_assert_clean(Bed *b);

#endif
