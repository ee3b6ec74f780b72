/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file that says which logs make up the store: a ring of snapshots. */
#include "blockrep/store/statefile.h"
#include "blockrep/store/file-io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Block 0 says what store this is; the ring follows: 1 MiB. */
enum { RING_BLOCKS = 256 };
#define STATE_NEW STORE_STATE_NAME ".new"

typedef struct Place {
    guint64 generation;
    guint32 start, n; /* blocks of the ring */
} Place;

struct StoreState {
    int fd;
    StoreIdentity identity;
    GMutex lock; /* for the places: a sync goes beside a write */
    Place last, synced;
};

static void set_error(GError **error, int e, const char *doing)
{
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(e),
                "cannot %s the store's state: %s", doing, g_strerror(e));
}

static StoreState *state_new(int fd)
{
    StoreState *f = g_new0(StoreState, 1);

    f->fd = fd;
    g_mutex_init(&f->lock);
    return f;
}

void store_state_close(StoreState *f)
{
    if (f) {
        close(f->fd);
        g_mutex_clear(&f->lock);
        g_free(f);
    }
}

StoreState *store_state_create(int folder, guint64 base_size, GError **error)
{
    g_autofree guint8 *zeroes = g_malloc0(RING_BLOCKS * COLO_STORE_BLOCK);
    guint8 h[STORE_HEADER];
    StoreState *f;
    int fd, r;

    fd =
        openat(folder, STATE_NEW, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        set_error(error, errno, "create");
        return NULL;
    }
    f = state_new(fd);
    f->identity.base_size = base_size;
    f->identity.ring_blocks = RING_BLOCKS;
    if (getrandom(&f->identity.store_id, 8, 0) != 8) {
        f->identity.store_id = (guint64)g_random_int() << 32 | g_random_int();
    }
    store_identity_encode(h, &f->identity);
    do {
        r = fallocate(fd, 0, 0, (off_t)(RING_BLOCKS + 1) * COLO_STORE_BLOCK);
    } while (r < 0 && errno == EINTR);
    if (r < 0 && errno == EOPNOTSUPP) {
        r = ftruncate(fd, (off_t)(RING_BLOCKS + 1) * COLO_STORE_BLOCK);
    }
    r = r < 0 ? -errno : store_pwrite(fd, h, sizeof(h), 0);
    /* Blocks that were written need no change of the file's own data when they
     * are brought to the disk. */
    r = r ? r
          : store_pwrite(fd, zeroes, RING_BLOCKS * COLO_STORE_BLOCK,
                         COLO_STORE_BLOCK);
    if (!r && (fsync(fd) < 0 ||
               renameat(folder, STATE_NEW, folder, STORE_STATE_NAME) < 0 ||
               fsync(folder) < 0)) {
        r = -errno;
    }
    if (r) {
        set_error(error, -r, "create");
        unlinkat(folder, STATE_NEW, 0);
        g_clear_pointer(&f, store_state_close);
    }
    return f;
}

/* The newest whole snapshot; generation 0: there is none yet. */
static int find_newest(StoreState *f, StoreSnapshot *s)
{
    gsize ring = (gsize)f->identity.ring_blocks * COLO_STORE_BLOCK;
    g_autofree guint8 *buf = g_try_malloc(ring);
    int r;

    if (!buf) {
        return -ENOMEM;
    }
    r = store_pread(f->fd, buf, ring, COLO_STORE_BLOCK);
    for (guint32 i = 0; !r && i < f->identity.ring_blocks; i++) {
        gsize at = (gsize)i * COLO_STORE_BLOCK, used;
        StoreSnapshot found;

        if (!store_snapshot_decode(buf + at, ring - at, f->identity.store_id,
                                   &found)) {
            continue;
        }
        if (found.generation <= s->generation) {
            store_snapshot_clear(&found);
            continue;
        }
        store_snapshot_clear(s);
        *s = found;
        used = STORE_SNAPSHOT_HEADER + (gsize)s->n * STORE_HEADER;
        f->last = (Place){
            s->generation, i,
            (guint32)((used + COLO_STORE_BLOCK - 1) / COLO_STORE_BLOCK)};
    }
    return r;
}

StoreState *store_state_open(int folder, guint64 base_size, gboolean writable,
                             StoreSnapshot *s, GError **error)
{
    guint8 h[STORE_HEADER];
    guint32 version;
    StoreState *f;
    int fd, r;

    memset(s, 0, sizeof(*s));
    fd = openat(folder, STORE_STATE_NAME,
                (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd < 0) {
        set_error(error, errno, "open");
        return NULL;
    }
    f = state_new(fd);
    /* Who made it may have been killed before its name was on the disk. */
    r = writable && fsync(folder) < 0 ? -errno : 0;
    r = r ? r : store_pread(fd, h, sizeof(h), 0);
    if (r) {
        set_error(error, -r, "sync or read");
    } else if (!store_identity_decode(h, &f->identity, &version)) {
        if (version && version != STORE_VERSION) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                        "the store has format %u, this program knows %u: use "
                        "the program that made it",
                        version, STORE_VERSION);
        } else {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "the header of the store's state is damaged");
        }
    } else if (f->identity.base_size != base_size) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the image has %" G_GUINT64_FORMAT
                    " bytes, the store is of one with %" G_GUINT64_FORMAT,
                    base_size, f->identity.base_size);
    } else if ((r = find_newest(f, s))) {
        set_error(error, -r, "read");
    } else {
        return f;
    }
    store_snapshot_clear(s);
    store_state_close(f);
    return NULL;
}

static gboolean overlap(const Place *p, guint32 start, guint32 n)
{
    return p->generation && start < p->start + p->n && p->start < start + n;
}

/*
 * Not all of a snapshot could be written, but enough of it may be for a reader:
 * TRUE when there is none any more.
 */
static gboolean wipe(StoreState *f, const guint8 *snapshot, guint64 pos)
{
    guint8 h[STORE_SNAPSHOT_HEADER] = {0};

    return !store_pwrite(f->fd, h, sizeof(h), pos) ||
           (!store_pread(f->fd, h, sizeof(h), pos) &&
            memcmp(h, snapshot, sizeof(h)));
}

int store_state_write(StoreState *f, StoreSnapshot *s)
{
    g_autofree guint8 *buf = NULL;
    guint32 n, start;
    gboolean hit;
    guint64 pos;
    gsize len;
    int r;

    g_mutex_lock(&f->lock);
    s->generation = f->last.generation + 1;
    buf = store_snapshot_encode(s, f->identity.store_id, &len);
    n = (guint32)(len / COLO_STORE_BLOCK);
    start = f->last.start + f->last.n;
    if (n > f->identity.ring_blocks - MIN(start, f->identity.ring_blocks)) {
        start = 0;
    }
    hit = overlap(&f->synced, start, n) || overlap(&f->last, start, n);
    g_mutex_unlock(&f->lock);

    /* Once around since the last sync: rare, for syncs follow each seal. */
    r = hit ? store_state_sync(f) : 0;
    if (r) {
        return r;
    }
    pos = (guint64)(start + 1) * COLO_STORE_BLOCK;
    r = store_pwrite(f->fd, buf, len, pos);
    if (r == -ENOSPC || r == -EDQUOT) {
        return wipe(f, buf, pos) ? -ENOSPC : -EIO;
    }
    if (!r) {
        g_mutex_lock(&f->lock);
        f->last = (Place){s->generation, start, n};
        g_mutex_unlock(&f->lock);
    }
    return r;
}

int store_state_sync(StoreState *f)
{
    Place last;

    g_mutex_lock(&f->lock);
    last = f->last;
    g_mutex_unlock(&f->lock);
    if (fdatasync(f->fd) < 0) {
        return -errno;
    }
    g_mutex_lock(&f->lock);
    if (last.generation > f->synced.generation) {
        f->synced = last;
    }
    g_mutex_unlock(&f->lock);
    return 0;
}
