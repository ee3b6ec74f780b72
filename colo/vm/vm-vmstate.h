/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of a device state: the migration stream that QEMU writes, and
 * the qcow2 image out of which it loads one.  Pure functions on memory;
 * nothing given is trusted.
 */
#ifndef COLO_VM_VMSTATE_H
#define COLO_VM_VMSTATE_H

#include "colo/vm/vm-timer.h"

/* The image's only snapshot. */
#define COLO_VMSTATE_TAG "colo"

/* The largest stream that the image has room for. */
#define COLO_VMSTATE_ROOM (4u * 1024 * 1024)

/*
 * The start of a qcow2 image with one internal snapshot, all metadata.
 * *offset: where in the file the snapshot's stream lies, in one piece of
 * COLO_VMSTATE_ROOM bytes up to the end of the file, *size.
 */
GByteArray *colo_vmstate_image(gsize *offset, gsize *size);

/* Is this a stream as xen-save-devices-state writes it? */
gboolean colo_vmstate_check(const guint8 *state, gsize len, GError **error);

/* The guest's clocks in it.  FALSE: it has none where they are known to be. */
gboolean colo_vmstate_timer(const guint8 *state, gsize len, ColoVmTimer *t);

/*
 * Write to out the stream that snapshot-load takes: state with a
 * configuration section, which names the machine type, and an empty
 * description.  timer: what its clocks are to show instead, where
 * colo_vmstate_timer() finds them, or NULL.
 */
gboolean colo_vmstate_build(const guint8 *state, gsize len,
                            const char *machine, const ColoVmTimer *timer,
                            GByteArray *out, GError **error);

/* The largest state of which colo_vmstate_build() makes one that fits. */
gsize colo_vmstate_max(const char *machine);

#endif
