/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The export "checkpoint": the primary's colod writes a request into it, as
 * JSON like QMP's, and reads the disks' state from it.
 *
 *   {"execute": "seal", "arguments": {"epoch": 7, "session": "0123..."}}
 *   {"execute": "unseal", ...}
 *
 * at offset 0, padded with NUL to 512 to 4096 bytes.
 */
#ifndef COLO_PLUGIN_CHECKPOINT_H
#define COLO_PLUGIN_CHECKPOINT_H

#include "blockrep/plugin/disk.h"

enum { CHECKPOINT_SIZE = 4096, CHECKPOINT_MIN_WRITE = 512 };

typedef struct Checkpoint Checkpoint;

Checkpoint *checkpoint_new(DiskSet *set);
void checkpoint_free(Checkpoint *c);

/* From any thread.  An error's code is an errno. */
gboolean checkpoint_write(Checkpoint *c, const void *buf, guint32 len,
                          guint64 offset, GError **error);
void checkpoint_read(Checkpoint *c, void *buf, guint32 len, guint64 offset);

#endif
