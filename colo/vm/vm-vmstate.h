/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of a device state: the migration stream that QEMU writes, and
 * where a qcow2 image keeps the one of its internal snapshot.  Pure
 * functions on memory; nothing read is trusted.
 */
#ifndef COLO_VM_VMSTATE_H
#define COLO_VM_VMSTATE_H

#include <glib.h>

/* Where the vmstate of an image's only snapshot lies. */
typedef struct ColoVmstateMap {
    gsize cluster_bytes;
    gsize n;            /* clusters */
    guint64 *offsets;   /* of each in the file */
} ColoVmstateMap;

void colo_vmstate_map_clear(ColoVmstateMap *map);

/*
 * Parse a qcow2 image that holds exactly one snapshot.  Fails unless every
 * cluster of its vmstate is allocated, uncompressed and inside the image.
 */
gboolean colo_vmstate_parse_qcow2(const guint8 *image, gsize len,
                                  ColoVmstateMap *map, GError **error);

/*
 * The QEMU_VM_CONFIGURATION section of a stream without its subsections
 * (they name capabilities that were on when the template was made), to be
 * put into streams that have none.
 */
GByteArray *colo_vmstate_get_config(const guint8 *stream, gsize len,
                                    GError **error);

/* Is this a stream as xen-save-devices-state writes it? */
gboolean colo_vmstate_check(const guint8 *state, gsize len, GError **error);

/*
 * Write to out the stream that snapshot-load takes: state with the
 * configuration section config and an empty description.
 */
gboolean colo_vmstate_build(const guint8 *state, gsize len,
                            const GByteArray *config, GByteArray *out,
                            GError **error);

/* How much longer than the state colo_vmstate_build() makes it. */
gsize colo_vmstate_overhead(const GByteArray *config);

#endif
