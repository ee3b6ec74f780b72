/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disks that are served, and what happens to all of them together.
 *
 * Theory of operation.  A checkpoint's epoch goes through these steps:
 *
 *   seal     said by the primary's colod, through the export "checkpoint",
 *            while its guest stands still: all disks or none
 *   unseal   takes that back, when the capture is thrown away
 *   commit   said by the secondary's colod before it acknowledges: the epoch
 *            is never taken back from now on
 *   load     the secondary's guest is put to that epoch
 *
 * Which epochs are committed is not kept on the disk, but an epoch that is
 * loaded was; after a restart the secondary's colod says again what it holds.
 *
 * The session tells a primary of the past from the one that is protected now.
 */
#ifndef COLO_PLUGIN_DISK_H
#define COLO_PLUGIN_DISK_H

#include "blockrep/plugin/writer.h"
#include "blockrep/store/store.h"

/* Codes are errno values. */
#define COLO_PLUGIN_ERROR (colo_plugin_error_quark())
GQuark colo_plugin_error_quark(void);

typedef struct DiskSet DiskSet;

typedef struct Disk {
    DiskSet *set;
    char *name, *base;
    ColoStore *store;
    gboolean fast_zero; /* of base: zeroes take no longer than data */
    Writer writer;
    gint64 told_us; /* when a failed request was told last; atomic access */
} Disk;

/* What takes time and has a thread of its own: see takeover.c. */
typedef struct DiskWork DiskWork;

/* What the owner hears of a disk, from any thread; data is transfer full. */
typedef void (*DiskEventFunc)(const char *event, JsonObject *data,
                              gpointer user);

struct DiskSet {
    GPtrArray *disks; /* Disk, in the order of the command line */
    ColoDurability durability;
    DiskEventFunc event;
    gpointer user;

    GMutex lock;       /* one step at a time; the fields below */
    char *session;     /* NULL: none yet */
    guint64 committed; /* and all before; 0: none */
    gint64 cut;        /* last of the session; 0: none */
    /* The last one of each, or NULL.  Neither waits for the other. */
    DiskWork *promotion, *flush;
};

DiskSet *disk_set_new(void);
void disk_set_free(DiskSet *set);

/* name: see colo_name_is_valid(); words with a meaning of their own are not. */
gboolean disk_set_add(DiskSet *set, const char *name, const char *base,
                      GError **error);
/* folder: of the folders of all of them; NULL: beside each image */
gboolean disk_set_open(DiskSet *set, const char *folder, GError **error);
/* Ends what is under way; events are not told any more after. */
void disk_set_close(DiskSet *set);
Disk *disk_set_find(DiskSet *set, const char *name, gsize len);

/* Is this cut younger than those before it in the session? */
gboolean disk_set_is_next_cut(DiskSet *set, const char *session, gint64 cut,
                              GError **error);

/* The steps: TRUE, or an error that names the disk. */
gboolean disk_set_seal(DiskSet *set, const char *session, guint64 epoch,
                       GError **error);
gboolean disk_set_unseal(DiskSet *set, const char *session, guint64 epoch,
                         GError **error);
gboolean disk_set_commit(DiskSet *set, guint64 epoch, GError **error);
gboolean disk_set_load(DiskSet *set, guint64 epoch, GError **error);

/* A new session: the disks are empty again; or the same disks go on. */
gboolean disk_set_session(DiskSet *set, const char *session, gboolean reset,
                          GError **error);
/* As the owner of the session, which needs no name. */
gboolean disk_set_take_back(DiskSet *set, guint64 epoch, GError **error);

/*
 * The takeover.  On return the guest may go on; COLO_DISK_PROMOTED tells when
 * all is durable, or why it cannot be.
 */
gboolean disk_set_promote(DiskSet *set, GError **error);
/* Bring to the disk what the guest's view shows; told by COLO_DISK_FLUSHED. */
gboolean disk_set_flush(DiskSet *set, GError **error);
/* Waits for its end, and forgets it. */
void disk_work_join(DiskWork *w);

/* For query-disks */
JsonNode *disk_set_query(DiskSet *set);
/* For readers of "checkpoint": a short one of at most max bytes */
char *disk_set_summary(DiskSet *set, gsize max);

/* COLO_DISK */
void disk_tell(Disk *d, const char *what, const char *detail);

/* 32 hex digits */
gboolean disk_session_is_valid(const char *session);

#endif
