/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim-qemu: migration streams, and reading one as the vmstate of a snapshot
 * in a qcow2 image (QEMU's docs/interop/qcow2.txt).
 */
#include "tests/sim/sim.h"

#include <string.h>
#include <unistd.h>

enum { MAX_STATE = 16 << 20, SECTION_ID = 3 };

static const char device_name[] = "sim-cpu";

static void put(GByteArray *a, guint64 value, int bytes)
{
    guint8 b[8];

    for (int i = 0; i < bytes; i++) {
        b[i] = value >> (8 * (bytes - 1 - i));
    }
    g_byte_array_append(a, b, bytes);
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

GByteArray *sim_stream_wrap(GByteArray *section)
{
    GByteArray *out = g_byte_array_new();

    put(out, 0x5145564d, 4);
    put(out, 3, 4);
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

static guint64 read_be(int fd, guint64 at, int bytes)
{
    guint8 b[8];

    return pread(fd, b, bytes, at) == bytes ? get(b, bytes) : 0;
}

/* Where the image's only snapshot is described, if it is that one; or 0. */
static guint64 find_snapshot(int fd, const char *tag)
{
    guint64 at = read_be(fd, 64, 8), id_len, tag_len;
    char name[64] = "";

    if (read_be(fd, 0, 4) != 0x514649fb || read_be(fd, 4, 4) != 3 ||
        read_be(fd, 60, 4) != 1) {
        return 0;
    }
    id_len = read_be(fd, at + 12, 2);
    tag_len = read_be(fd, at + 14, 2);
    if (tag_len >= sizeof(name) ||
        pread(fd, name, tag_len, at + 40 + read_be(fd, at + 36, 4) + id_len) !=
            (ssize_t)tag_len ||
        strcmp(name, tag)) {
        return 0;
    }
    return at;
}

GByteArray *sim_image_load(int fd, const char *tag, const char **why)
{
    const guint64 mask = G_GUINT64_CONSTANT(0x00fffffffffffe00);
    guint64 snapshot = find_snapshot(fd, tag), bits = read_be(fd, 20, 4);
    guint64 l1, bytes, cluster, per_l2, first;
    GByteArray *out;

    if (!snapshot || bits < 9 || bits > 21) {
        *why = "Snapshot does not exist in one or more devices";
        return NULL;
    }
    l1 = read_be(fd, snapshot, 8);
    bytes = read_be(fd, snapshot + 40, 8);
    cluster = (guint64)1 << bits;
    per_l2 = cluster / 8;
    /* The stream follows the disk, from the next whole L2 table on. */
    first = (read_be(fd, 24, 8) + cluster * per_l2 - 1) / (cluster * per_l2);
    if (bytes > MAX_STATE) {
        *why = "Error while reading VM state";
        return NULL;
    }
    out = g_byte_array_sized_new(bytes);
    g_byte_array_set_size(out, bytes);
    for (guint64 i = 0; i * cluster < bytes; i++) {
        guint64 l2 = read_be(fd, l1 + 8 * (first + i / per_l2), 8) & mask;
        guint64 at = l2 ? read_be(fd, l2 + 8 * (i % per_l2), 8) & mask : 0;
        gsize n = MIN(cluster, bytes - i * cluster);
        ssize_t got = at ? pread(fd, out->data + i * cluster, n, at) : -1;

        if (got < 0) {
            *why = "Error while reading VM state: Input/output error";
            g_byte_array_unref(out);
            return NULL;
        }
        /* A file reads as zero behind its end. */
        memset(out->data + i * cluster + got, 0, n - got);
    }
    return out;
}
