/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device state as bytes.
 *
 * Theory of operation: QEMU loads device state only as part of a snapshot
 * (xen-load-devices-state aborts).  So the secondary's QEMU keeps a small
 * qcow2 image open, in memory, with one internal snapshot; to load a state,
 * the bytes of the snapshot's stream are replaced in place and the snapshot
 * is loaded.  The metadata that QEMU has cached stays true, because no
 * cluster moves.
 *
 * The image is made here rather than with snapshot-save: it needs no
 * template with its detour over migration capabilities, has as much room as
 * we want, and the stream lies in one piece.  It is in the state that
 * loading leaves behind: the active L1 table has what the snapshot's has,
 * and each cluster of the stream two references.  Formats: QEMU's
 * docs/interop/qcow2.txt and docs/devel/migration.
 */
#include "colo/vm/vm-vmstate.h"
#include "colo/vm/vm-sections.h"
#include "colo/vm/vm.h"

#include <string.h>

enum {
    CLUSTER_BITS = 14,
    CLUSTER = 1 << CLUSTER_BITS,
    PER_L2 = CLUSTER / 8,
    DATA_CLUSTERS = COLO_VMSTATE_ROOM / CLUSTER,
    HEADER_BYTES = 104,
    SNAPSHOT_BYTES = 40,
    SNAPSHOT_EXTRA = 24,
    REFCOUNT_ORDER = 4, /* 16 bits each */
};

/* What each cluster of the file holds. */
enum {
    C_HEADER,
    C_REFCOUNT_TABLE,
    C_REFCOUNTS,
    C_L1,
    C_SNAPSHOTS,
    C_SNAPSHOT_L1,
    C_L2, /* from here on with two references */
    C_DATA,
    C_END = C_DATA + DATA_CLUSTERS,
};

/*
 * The disk of the image is one cluster; QEMU puts the stream behind the
 * part of the disk that the first L2 table would cover.
 */
enum { DISK_BYTES = CLUSTER, L1_ENTRIES = 2, STREAM_L1_INDEX = 1 };

G_STATIC_ASSERT(DATA_CLUSTERS <= PER_L2);
G_STATIC_ASSERT(C_END <= CLUSTER / 2); /* one block of refcounts will do */

#define QCOW2_MAGIC         0x514649fbu /* "QFI\xfb" */
#define STREAM_MAGIC        0x5145564du /* "QEVM" */
#define STREAM_VERSION      3
#define STREAM_HEADER_BYTES 8
#define CONFIGURATION_BYTES 5 /* before the name */

static const guint8 empty_description[] = {
    SECTION_VMDESCRIPTION, 0, 0, 0, 2, '{', '}'};

static void put(guint8 *p, int n, guint64 v)
{
    while (n--) {
        p[n] = v;
        v >>= 8;
    }
}

static guint64 get(const guint8 *p, int n)
{
    guint64 v = 0;

    while (n--) {
        v = v << 8 | *p++;
    }
    return v;
}

static guint64 at(gsize cluster)
{
    return (guint64)cluster * CLUSTER;
}

static void put_header(guint8 *h)
{
    put(h, 4, QCOW2_MAGIC);
    put(h + 4, 4, 3); /* version */
    put(h + 20, 4, CLUSTER_BITS);
    put(h + 24, 8, DISK_BYTES);
    put(h + 36, 4, L1_ENTRIES);
    put(h + 40, 8, at(C_L1));
    put(h + 48, 8, at(C_REFCOUNT_TABLE));
    put(h + 56, 4, 1); /* clusters of the refcount table */
    put(h + 60, 4, 1); /* snapshots */
    put(h + 64, 8, at(C_SNAPSHOTS));
    put(h + 96, 4, REFCOUNT_ORDER);
    put(h + 100, 4, HEADER_BYTES);
}

static void put_snapshot(guint8 *s)
{
    static const char id[] = "1", tag[] = COLO_VMSTATE_TAG;
    guint8 *extra = s + SNAPSHOT_BYTES;

    put(s, 8, at(C_SNAPSHOT_L1));
    put(s + 8, 4, L1_ENTRIES);
    put(s + 12, 2, strlen(id));
    put(s + 14, 2, strlen(tag));
    put(s + 32, 4, COLO_VMSTATE_ROOM);
    put(s + 36, 4, SNAPSHOT_EXTRA);
    put(extra, 8, COLO_VMSTATE_ROOM);
    put(extra + 8, 8, DISK_BYTES);
    put(extra + 16, 8, G_MAXUINT64); /* no instruction count */
    memcpy(extra + SNAPSHOT_EXTRA, id, strlen(id));
    memcpy(extra + SNAPSHOT_EXTRA + strlen(id), tag, strlen(tag));
}

GByteArray *colo_vmstate_image(gsize *offset, gsize *size)
{
    GByteArray *image = g_byte_array_sized_new(at(C_DATA));
    guint8 *d;

    g_byte_array_set_size(image, at(C_DATA));
    d = image->data;
    memset(d, 0, image->len);
    put_header(d);
    put(d + at(C_REFCOUNT_TABLE), 8, at(C_REFCOUNTS));
    for (gsize i = 0; i < C_END; i++) {
        put(d + at(C_REFCOUNTS) + 2 * i, 2, i < C_L2 ? 1 : 2);
    }
    put_snapshot(d + at(C_SNAPSHOTS));
    put(d + at(C_L1) + 8 * STREAM_L1_INDEX, 8, at(C_L2));
    put(d + at(C_SNAPSHOT_L1) + 8 * STREAM_L1_INDEX, 8, at(C_L2));
    for (gsize i = 0; i < DATA_CLUSTERS; i++) {
        put(d + at(C_L2) + 8 * i, 8, at(C_DATA + i));
    }
    *offset = at(C_DATA);
    *size = at(C_END);
    return image;
}

static gboolean bad_state(GError **error, const char *why)
{
    g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                "not a device state of QEMU: %s", why);
    return FALSE;
}

gboolean colo_vmstate_check(const guint8 *state, gsize len, GError **error)
{
    if (len < STREAM_HEADER_BYTES + 2 || get(state, 4) != STREAM_MAGIC) {
        return bad_state(error, "it does not start with QEVM");
    }
    if (get(state + 4, 4) != STREAM_VERSION) {
        return bad_state(error, "unknown stream version");
    }
    if (state[STREAM_HEADER_BYTES] != SECTION_FULL) {
        return bad_state(error, "it does not go on with a device's section");
    }
    if (state[len - 1] != SECTION_EOF) {
        return bad_state(error, "it has no end");
    }
    return TRUE;
}

static gsize overhead(const char *machine)
{
    return CONFIGURATION_BYTES + strlen(machine) + sizeof(empty_description);
}

gsize colo_vmstate_max(const char *machine)
{
    gsize more = overhead(machine);

    return more < COLO_VMSTATE_ROOM ? COLO_VMSTATE_ROOM - more : 0;
}

gboolean colo_vmstate_timer(const guint8 *state, gsize len, ColoVmTimer *t)
{
    return len > STREAM_HEADER_BYTES &&
           colo_vm_timer_get(state + STREAM_HEADER_BYTES,
                             len - STREAM_HEADER_BYTES, t);
}

gboolean colo_vmstate_build(const guint8 *state, gsize len, const char *machine,
                            const ColoVmTimer *timer, GByteArray *out,
                            GError **error)
{
    guint8 config[CONFIGURATION_BYTES] = {SECTION_CONFIGURATION};
    guint sections;

    if (!colo_vmstate_check(state, len, error)) {
        return FALSE;
    }
    if (len > colo_vmstate_max(machine)) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "a device state of %" G_GSIZE_FORMAT " bytes is larger "
                    "than the %" G_GSIZE_FORMAT " that can be loaded",
                    len, colo_vmstate_max(machine));
        return FALSE;
    }
    put(config + 1, 4, strlen(machine));
    g_byte_array_set_size(out, 0);
    g_byte_array_append(out, state, STREAM_HEADER_BYTES);
    g_byte_array_append(out, config, sizeof(config));
    g_byte_array_append(out, (const guint8 *)machine, strlen(machine));
    sections = out->len;
    g_byte_array_append(out, state + STREAM_HEADER_BYTES,
                        len - STREAM_HEADER_BYTES);
    if (timer) {
        colo_vm_timer_put(out->data + sections, out->len - sections, timer);
    }
    g_byte_array_append(out, empty_description, sizeof(empty_description));
    return TRUE;
}
