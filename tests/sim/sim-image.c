/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim-qemu: migration streams, and qcow2 images with one snapshot that holds
 * a stream as its vmstate (QEMU's docs/interop/qcow2.txt).
 */
#include "tests/sim/sim.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BITS = 16,
    CLUSTER = 1 << BITS,
    PER_L2 = CLUSTER / 8,
    /* Clusters of an empty image */
    REFCOUNT_TABLE = 1,
    REFCOUNT_BLOCK = 2,
    L1 = 3,
    FIRST_FREE = 4,
    L1_ENTRIES = 2,
    MAX_STATE = 16 << 20,
    DESCRIPTION_BYTES = 100000,
    SECTION_ID = 3,
};

static const char device_name[] = "sim-cpu";

static void put(GByteArray *a, guint64 value, int bytes)
{
    guint8 b[8];

    for (int i = 0; i < bytes; i++) {
        b[i] = value >> (8 * (bytes - 1 - i));
    }
    g_byte_array_append(a, b, bytes);
}

static void set(guint8 *p, guint64 value, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        p[i] = value >> (8 * (bytes - 1 - i));
    }
}

static guint64 get(const guint8 *p, int bytes)
{
    guint64 v = 0;

    while (bytes--) {
        v = v << 8 | *p++;
    }
    return v;
}

/* --- Streams --- */

GByteArray *sim_stream_wrap(GByteArray *section, gboolean whole)
{
    GByteArray *out = g_byte_array_new();
    g_autofree char *description = NULL;

    put(out, 0x5145564d, 4);
    put(out, 3, 4);
    if (whole) {
        put(out, 0x07, 1);
        put(out, strlen(sim_options.machine), 4);
        g_byte_array_append(out, (guint8 *)sim_options.machine,
                            strlen(sim_options.machine));
    }
    put(out, 0x04, 1);
    put(out, SECTION_ID, 4);
    put(out, strlen(device_name), 1);
    g_byte_array_append(out, (const guint8 *)device_name, strlen(device_name));
    put(out, 0, 4);
    put(out, 1, 4);
    put(out, section->len, 4);
    g_byte_array_append(out, section->data, section->len);
    put(out, 0x7e, 1);
    put(out, SECTION_ID, 4);
    put(out, 0x00, 1);
    if (whole) {
        description = g_strnfill(DESCRIPTION_BYTES, ' ');
        description[0] = '{';
        description[DESCRIPTION_BYTES - 1] = '}';
        put(out, 0x06, 1);
        put(out, DESCRIPTION_BYTES, 4);
        g_byte_array_append(out, (guint8 *)description, DESCRIPTION_BYTES);
    }
    g_byte_array_unref(section);
    return out;
}

typedef struct Cursor {
    const guint8 *p;
    gsize left;
} Cursor;

static const guint8 *take(Cursor *c, gsize n)
{
    const guint8 *p = c->p;

    if (n > c->left) {
        return NULL;
    }
    c->p += n;
    c->left -= n;
    return p;
}

/* The next big-endian number of n bytes must be value. */
static gboolean is(Cursor *c, int n, guint64 value)
{
    const guint8 *p = take(c, n);

    return p && get(p, n) == value;
}

static gboolean is_text(Cursor *c, int n, const char *text)
{
    const guint8 *p;

    if (!is(c, n, strlen(text))) {
        return FALSE;
    }
    p = take(c, strlen(text));
    return p && !memcmp(p, text, strlen(text));
}

gboolean sim_stream_load(GByteArray *stream, const char **why)
{
    Cursor c = {stream->data, stream->len};
    const guint8 *p, *section;
    gsize len;

    if (!is(&c, 4, 0x5145564d) || !is(&c, 4, 3)) {
        *why = "Not a migration stream";
        return FALSE;
    }
    if (!is(&c, 1, 0x07) || !is_text(&c, 4, sim_options.machine)) {
        *why = "Configuration section missing or of another machine";
        return FALSE;
    }
    if (!is(&c, 1, 0x04) || !is(&c, 4, SECTION_ID) ||
        !is_text(&c, 1, device_name) || !is(&c, 4, 0) || !is(&c, 4, 1) ||
        !(p = take(&c, 4))) {
        *why = "Unknown savevm section";
        return FALSE;
    }
    len = get(p, 4);
    section = take(&c, len);
    if (!section || !is(&c, 1, 0x7e) || !is(&c, 4, SECTION_ID) ||
        !is(&c, 1, 0x00)) {
        *why = "Missing section footer";
        return FALSE;
    }
    if (!is(&c, 1, 0x06) || !(p = take(&c, 4)) || !take(&c, get(p, 4))) {
        *why = "Missing vmdescription";
        return FALSE;
    }
    return sim_guest_load(section, len, why);
}

/* --- Images --- */

static gboolean write_cluster(int fd, guint64 cluster, const void *data,
                              gsize len)
{
    return pwrite(fd, data, len, cluster * CLUSTER) == (ssize_t)len;
}

static gboolean write_header(int fd, guint64 disk_bytes, guint64 snapshots)
{
    guint8 h[104] = {0};

    set(h, 0x514649fb, 4);
    set(h + 4, 3, 4);
    set(h + 20, BITS, 4);
    set(h + 24, disk_bytes, 8);
    set(h + 36, L1_ENTRIES - 1, 4);
    set(h + 40, (guint64)L1 * CLUSTER, 8);
    set(h + 48, (guint64)REFCOUNT_TABLE * CLUSTER, 8);
    set(h + 56, 1, 4);
    set(h + 60, snapshots != 0, 4);
    set(h + 64, snapshots * CLUSTER, 8);
    set(h + 96, 4, 4); /* 16 bit refcounts */
    set(h + 100, sizeof(h), 4);
    return write_cluster(fd, 0, h, sizeof(h));
}

static gboolean write_refcounts(int fd, guint64 clusters)
{
    g_autofree guint8 *block = g_malloc0(CLUSTER);
    guint8 entry[8];

    for (guint64 i = 0; i < clusters; i++) {
        set(block + 2 * i, 1, 2);
    }
    set(entry, (guint64)REFCOUNT_BLOCK * CLUSTER, 8);
    return write_cluster(fd, REFCOUNT_BLOCK, block, CLUSTER) &&
           write_cluster(fd, REFCOUNT_TABLE, entry, sizeof(entry));
}

gboolean sim_image_format(int fd, guint64 disk_bytes)
{
    return disk_bytes <= (guint64)PER_L2 * CLUSTER &&
           ftruncate(fd, 0) == 0 && write_refcounts(fd, FIRST_FREE) &&
           write_header(fd, disk_bytes, 0) &&
           ftruncate(fd, (off_t)FIRST_FREE * CLUSTER) == 0;
}

/* 40 bytes, extra data, id "1", tag; as QEMU 7.2 writes it. */
static gboolean write_snapshot(int fd, guint64 at, guint64 l1, const char *tag,
                               guint64 bytes, guint64 disk_bytes)
{
    g_autoptr(GByteArray) s = g_byte_array_new();

    put(s, l1 * CLUSTER, 8);
    put(s, L1_ENTRIES, 4);
    put(s, 1, 2);
    put(s, strlen(tag), 2);
    put(s, g_get_real_time() / G_USEC_PER_SEC, 4);
    put(s, 0, 4);
    put(s, 0, 8);
    put(s, bytes, 4);
    put(s, 24, 4);
    put(s, bytes, 8);
    put(s, disk_bytes, 8);
    put(s, G_MAXUINT64, 8);
    g_byte_array_append(s, (const guint8 *)"1", 1);
    g_byte_array_append(s, (const guint8 *)tag, strlen(tag));
    while (s->len % 8) {
        put(s, 0, 1);
    }
    return write_cluster(fd, at, s->data, s->len);
}

static gboolean read_header(int fd, guint8 h[104])
{
    return pread(fd, h, 104, 0) == 104 && get(h, 4) == 0x514649fb &&
           get(h + 4, 4) == 3 && get(h + 20, 4) >= 9 && get(h + 20, 4) <= 21;
}

gboolean sim_image_save(int fd, const char *tag, GByteArray *stream,
                        const char **why)
{
    guint64 n = (stream->len + CLUSTER - 1) / CLUSTER;
    guint64 l2 = FIRST_FREE + n, l1 = l2 + 1, table = l1 + 1, end = table + 1;
    g_autofree guint8 *entries = g_malloc0(CLUSTER);
    guint8 h[104], l1_entries[8 * L1_ENTRIES] = {0};

    if (!read_header(fd, h) || get(h + 20, 4) != BITS) {
        *why = "Image is not in qcow2 format";
        return FALSE;
    }
    if (get(h + 60, 4)) {
        *why = "Snapshot already exists in one or more devices";
        return FALSE;
    }
    for (guint64 i = 0; i < n; i++) {
        gsize from = i * CLUSTER;

        set(entries + 8 * i, (FIRST_FREE + i) * CLUSTER, 8);
        if (!write_cluster(fd, FIRST_FREE + i, stream->data + from,
                           MIN(CLUSTER, stream->len - from))) {
            *why = "Error while writing VM state: No space left on device";
            return FALSE;
        }
    }
    /* The disk has no clusters; the vmstate starts at the second L2 table. */
    set(l1_entries + 8, l2 * CLUSTER, 8);
    if (!write_cluster(fd, l2, entries, CLUSTER) ||
        !write_cluster(fd, l1, l1_entries, sizeof(l1_entries)) ||
        !write_snapshot(fd, table, l1, tag, stream->len, get(h + 24, 8)) ||
        !write_refcounts(fd, end) ||
        ftruncate(fd, (off_t)end * CLUSTER) < 0 ||
        !write_header(fd, get(h + 24, 8), table)) {
        *why = "Error while creating snapshot: No space left on device";
        return FALSE;
    }
    return TRUE;
}

static guint64 read_be(int fd, guint64 at, int bytes)
{
    guint8 b[8];

    return pread(fd, b, bytes, at) == bytes ? get(b, bytes) : 0;
}

GByteArray *sim_image_load(int fd, const char *tag, const char **why)
{
    const guint64 mask = G_GUINT64_CONSTANT(0x00fffffffffffe00);
    guint64 table, l1, l2, bytes, cluster;
    char name[64] = "";
    GByteArray *out;
    guint8 h[104];

    table = read_header(fd, h) && get(h + 60, 4) ? get(h + 64, 8) : 0;
    if (table) {
        guint64 len = MIN(read_be(fd, table + 14, 2), sizeof(name) - 1);

        if (pread(fd, name, len, table + 40 + 24 + 1) < 0) {
            name[0] = '\0';
        }
    }
    if (!table || strcmp(name, tag)) {
        *why = "Snapshot does not exist in one or more devices";
        return NULL;
    }
    l1 = read_be(fd, table, 8);
    bytes = read_be(fd, table + 40, 8);
    l2 = read_be(fd, l1 + 8, 8) & mask;
    if (bytes > MAX_STATE || !l2) {
        *why = "Error while reading VM state";
        return NULL;
    }
    out = g_byte_array_sized_new(bytes);
    g_byte_array_set_size(out, bytes);
    cluster = G_GUINT64_CONSTANT(1) << get(h + 20, 4);
    for (guint64 i = 0; i * cluster < bytes; i++) {
        guint64 at = read_be(fd, l2 + 8 * i, 8) & mask;
        gsize n = MIN(cluster, bytes - i * cluster);

        if (!at || pread(fd, out->data + i * cluster, n, at) != (ssize_t)n) {
            *why = "Error while reading VM state: Input/output error";
            g_byte_array_unref(out);
            return NULL;
        }
    }
    return out;
}
