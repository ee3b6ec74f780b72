/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device state as bytes.
 *
 * Theory of operation: QEMU loads device state only as part of a snapshot
 * (xen-load-devices-state aborts).  So the secondary's QEMU keeps a small
 * qcow2 image open whose one internal snapshot was made once, as a
 * template; to load another state, the bytes in the template's vmstate
 * clusters are replaced in place.  The metadata that QEMU has cached stays
 * true, because no cluster moves.  Formats: QEMU's docs/interop/qcow2.txt
 * and docs/devel/migration.
 */
#include "colo/vm/vm-vmstate.h"
#include "colo/vm/vm.h"

#include <string.h>

#define QCOW2_MAGIC 0x514649fbu /* "QFI\xfb" */
#define QCOW2_HEADER_BYTES 72
#define QCOW2_SNAPSHOT_BYTES 40
#define QCOW2_OFFSET_MASK G_GUINT64_CONSTANT(0x00fffffffffffe00)
#define QCOW2_COMPRESSED (G_GUINT64_CONSTANT(1) << 62)
#define QCOW2_ZERO G_GUINT64_CONSTANT(1)
#define QCOW2_INCOMPAT_KNOWN 3u /* dirty, corrupt: neither moves a field */
#define MAX_VMSTATE_BYTES (64u * 1024 * 1024)

#define STREAM_MAGIC 0x5145564du /* "QEVM" */
#define STREAM_VERSION 3
#define STREAM_HEADER_BYTES 8
#define SECTION_EOF 0x00
#define SECTION_FULL 0x04
#define SECTION_VMDESCRIPTION 0x06
#define SECTION_CONFIGURATION 0x07
#define MAX_MACHINE_NAME 255

static const guint8 empty_description[] = {SECTION_VMDESCRIPTION, 0, 0, 0, 2,
                                           '{', '}'};

/* The n bytes at off, or NULL where the image ends before. */
static const guint8 *bytes_at(const guint8 *data, gsize len, guint64 off,
                              gsize n)
{
    return off <= len && n <= len - off ? data + off : NULL;
}

static guint64 be(const guint8 *p, int n)
{
    guint64 v = 0;

    while (n--) {
        v = v << 8 | *p++;
    }
    return v;
}

static gboolean bad_image(GError **error, const char *why)
{
    g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                "cannot use the snapshot image that QEMU wrote: %s", why);
    return FALSE;
}

void colo_vmstate_map_clear(ColoVmstateMap *map)
{
    g_clear_pointer(&map->offsets, g_free);
    map->n = 0;
    map->cluster_bytes = 0;
}

/* Follow the table entry at off; 0 when it points nowhere usable. */
static guint64 follow(const guint8 *image, gsize len, guint64 off,
                      gsize cluster_bytes)
{
    const guint8 *p = bytes_at(image, len, off, 8);
    guint64 entry, target;

    if (!p) {
        return 0;
    }
    entry = be(p, 8);
    target = entry & QCOW2_OFFSET_MASK;
    if ((entry & (QCOW2_COMPRESSED | QCOW2_ZERO)) || target % cluster_bytes) {
        return 0;
    }
    return target;
}

gboolean colo_vmstate_parse_qcow2(const guint8 *image, gsize len,
                                  ColoVmstateMap *map, GError **error)
{
    const guint8 *h = bytes_at(image, len, 0, QCOW2_HEADER_BYTES), *s, *p;
    guint64 disk_bytes, l1, l1_entries, vm_bytes, first, per_l2, snapshot;
    guint32 version, bits, extra;
    gsize cluster, n;

    memset(map, 0, sizeof(*map));
    if (!h || be(h, 4) != QCOW2_MAGIC) {
        return bad_image(error, "it is not qcow2");
    }
    version = be(h + 4, 4);
    bits = be(h + 20, 4);
    disk_bytes = be(h + 24, 8);
    if ((version != 2 && version != 3) || bits < 9 || bits > 21) {
        return bad_image(error, "unknown version or cluster size");
    }
    if (version == 3) {
        p = bytes_at(image, len, QCOW2_HEADER_BYTES, 8);
        if (!p || (be(p, 8) & ~(guint64)QCOW2_INCOMPAT_KNOWN)) {
            return bad_image(error, "it has unknown features");
        }
    }
    if (be(h + 60, 4) != 1) {
        return bad_image(error, "it does not hold exactly one snapshot");
    }
    cluster = (gsize)1 << bits;
    snapshot = be(h + 64, 8);
    s = bytes_at(image, len, snapshot, QCOW2_SNAPSHOT_BYTES);
    if (!s) {
        return bad_image(error, "its snapshot table is outside");
    }
    l1 = be(s, 8);
    l1_entries = be(s + 8, 4);
    vm_bytes = be(s + 32, 4);
    extra = be(s + 36, 4);
    if (extra >= 8) {
        p = bytes_at(image, len, snapshot + QCOW2_SNAPSHOT_BYTES, 8);
        if (!p) {
            return bad_image(error, "its snapshot table is cut off");
        }
        vm_bytes = be(p, 8);
    }
    if (vm_bytes == 0 || vm_bytes > MAX_VMSTATE_BYTES) {
        return bad_image(error, "its vmstate is empty or too large");
    }

    /* The vmstate follows the disk, from the next whole L2 table on. */
    per_l2 = cluster / 8;
    first = disk_bytes / (cluster * per_l2) +
            (disk_bytes % (cluster * per_l2) != 0);
    n = (vm_bytes + cluster - 1) / cluster;
    map->cluster_bytes = cluster;
    map->offsets = g_new0(guint64, n);
    for (gsize i = 0; i < n; i++) {
        guint64 l1_index = first + i / per_l2, l2;

        if (l1_index >= l1_entries) {
            colo_vmstate_map_clear(map);
            return bad_image(error, "its L1 table is too short");
        }
        l2 = l1 > len ? 0 : follow(image, len, l1 + 8 * l1_index, cluster);
        if (l2) {
            map->offsets[i] =
                follow(image, len, l2 + 8 * (i % per_l2), cluster);
        }
        /* The last cluster of a file may be short: it grows when written. */
        if (!map->offsets[i] || map->offsets[i] >= len) {
            colo_vmstate_map_clear(map);
            return bad_image(error, "a cluster of its vmstate is missing");
        }
    }
    map->n = n;
    return TRUE;
}

static gboolean bad_state(GError **error, const char *why)
{
    g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                "not a device state of QEMU: %s", why);
    return FALSE;
}

static gboolean check_header(const guint8 *stream, gsize len, GError **error)
{
    if (len < STREAM_HEADER_BYTES + 2 || be(stream, 4) != STREAM_MAGIC) {
        return bad_state(error, "it does not start with QEVM");
    }
    if (be(stream + 4, 4) != STREAM_VERSION) {
        return bad_state(error, "unknown stream version");
    }
    return TRUE;
}

/* Bytes of the configuration section at STREAM_HEADER_BYTES; 0: none. */
static gsize config_bytes(const guint8 *stream, gsize len)
{
    const guint8 *p = bytes_at(stream, len, STREAM_HEADER_BYTES, 5);
    guint64 name;

    if (!p || p[0] != SECTION_CONFIGURATION) {
        return 0;
    }
    name = be(p + 1, 4);
    if (name == 0 || name > MAX_MACHINE_NAME ||
        !bytes_at(stream, len, STREAM_HEADER_BYTES + 5, name)) {
        return 0;
    }
    return 5 + name;
}

GByteArray *colo_vmstate_get_config(const guint8 *stream, gsize len,
                                    GError **error)
{
    gsize n;

    if (!check_header(stream, len, error)) {
        return NULL;
    }
    n = config_bytes(stream, len);
    if (!n) {
        bad_state(error, "it has no configuration section");
        return NULL;
    }
    return g_byte_array_append(g_byte_array_sized_new(n),
                               stream + STREAM_HEADER_BYTES, n);
}

gboolean colo_vmstate_check(const guint8 *state, gsize len, GError **error)
{
    if (!check_header(state, len, error)) {
        return FALSE;
    }
    if (state[STREAM_HEADER_BYTES] != SECTION_FULL) {
        return bad_state(error, "it does not go on with a device's section");
    }
    if (state[len - 1] != SECTION_EOF) {
        return bad_state(error, "it has no end");
    }
    return TRUE;
}

gboolean colo_vmstate_build(const guint8 *state, gsize len,
                            const GByteArray *config, GByteArray *out,
                            GError **error)
{
    if (!colo_vmstate_check(state, len, error)) {
        return FALSE;
    }
    g_byte_array_set_size(out, 0);
    g_byte_array_append(out, state, STREAM_HEADER_BYTES);
    g_byte_array_append(out, config->data, config->len);
    g_byte_array_append(out, state + STREAM_HEADER_BYTES,
                        len - STREAM_HEADER_BYTES);
    g_byte_array_append(out, empty_description, sizeof(empty_description));
    return TRUE;
}

gsize colo_vmstate_overhead(const GByteArray *config)
{
    return config->len + sizeof(empty_description);
}
