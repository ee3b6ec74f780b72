/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests of clients: straight to the store, out of and into nbdkit's own
 * buffers.
 *
 * NBD knows few errors.  EPERM answers the wrong host and the wrong session,
 * ESHUTDOWN the primary after a takeover.
 */
#include "blockrep/plugin/plugin.h"

#include <errno.h>
#include <inttypes.h>

enum { MAX_REQUEST = 32 << 20 };

int64_t request_size(void *handle)
{
    const Connection *c = handle;

    return c->disk ? (int64_t)colo_store_size(c->disk->store) : CHECKPOINT_SIZE;
}

int request_block_size(void *handle, uint32_t *minimum, uint32_t *preferred,
                       uint32_t *maximum)
{
    const Connection *c = handle;

    *minimum = c->disk ? 1 : CHECKPOINT_MIN_WRITE;
    *preferred = COLO_STORE_BLOCK;
    *maximum = c->disk ? MAX_REQUEST : CHECKPOINT_SIZE;
    return 0;
}

int request_is_disk(void *handle)
{
    const Connection *c = handle;

    return c->disk != NULL;
}

int request_can_fua(void *handle)
{
    const Connection *c = handle;

    return c->disk ? NBDKIT_FUA_NATIVE : NBDKIT_FUA_NONE;
}

int request_can_fast_zero(void *handle)
{
    const Connection *c = handle;

    return c->disk && c->disk->fast_zero;
}

/* The log is not flooded by a guest that tries again and again. */
static gboolean may_tell(Disk *d)
{
    gint64 now = g_get_monotonic_time();
    gint64 last = __atomic_load_n(&d->told_us, __ATOMIC_RELAXED);

    if (last && now - last < G_TIME_SPAN_SECOND) {
        return FALSE;
    }
    return __atomic_compare_exchange_n(&d->told_us, &last, now, FALSE,
                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* r: negative errno, or 0 */
static int answer(const Connection *c, int r, const char *doing, uint32_t count,
                  uint64_t offset)
{
    if (!r) {
        return 0;
    }
    if (may_tell(c->disk)) {
        nbdkit_error("disk %s, %s: cannot %s %u bytes at %" PRIu64 ": %s",
                     c->disk->name,
                     c->view == COLO_STORE_PRIMARY ? "primary" : "secondary",
                     doing, count, offset, g_strerror(-r));
    }
    nbdkit_set_error(-r);
    return -1;
}

int request_read(void *handle, void *buf, uint32_t count, uint64_t offset,
                 uint32_t flags)
{
    Connection *c = handle;

    if (!c->disk) {
        checkpoint_read(the_plugin.checkpoint, buf, count, offset);
        return 0;
    }
    return answer(c,
                  colo_store_read(c->disk->store, c->view, buf, count, offset),
                  "read", count, offset);
}

static int refuse(Connection *c, WriterAnswer a, const char *other)
{
    if (a == WRITER_REFUSED_NEW) {
        g_autofree char *detail = g_strdup_printf(
            "%s may not write: %s does, until its connections are closed",
            c->host, other);

        nbdkit_error("disk %s: %s", c->disk->name, detail);
        disk_tell(c->disk, "writer", detail);
    } else if (a == WRITER_SUPERSEDED && may_tell(c->disk)) {
        nbdkit_error("disk %s: %s writes on another connection now",
                     c->disk->name, c->host);
    }
    nbdkit_set_error(EPERM);
    return -1;
}

/* Before each change of a disk; wrote() follows if it may. */
static int may_write(Connection *c)
{
    g_autofree char *other = NULL;
    WriterAnswer a;

    if (c->view != COLO_STORE_PRIMARY) {
        return 0;
    }
    a = writer_begin(&c->disk->writer, &c->claim, c->host, &other);
    if (a == WRITER_NEW) {
        disk_tell(c->disk, "writer", c->host);
    }
    return a == WRITER_OK || a == WRITER_NEW ? 0 : refuse(c, a, other);
}

static void wrote(Connection *c)
{
    if (c->view == COLO_STORE_PRIMARY) {
        writer_end(&c->disk->writer, &c->claim);
    }
}

static int write_checkpoint(const void *buf, uint32_t count, uint64_t offset)
{
    g_autoptr(GError) error = NULL;

    if (checkpoint_write(the_plugin.checkpoint, buf, count, offset, &error)) {
        return 0;
    }
    nbdkit_error("%s", error->message);
    nbdkit_set_error(error->code);
    return -1;
}

int request_write(void *handle, const void *buf, uint32_t count,
                  uint64_t offset, uint32_t flags)
{
    Connection *c = handle;
    int r;

    if (!c->disk) {
        return write_checkpoint(buf, count, offset);
    }
    if (may_write(c) < 0) {
        return -1;
    }
    r = colo_store_write(c->disk->store, c->view, buf, count, offset,
                         flags & NBDKIT_FLAG_FUA);
    wrote(c);
    return answer(c, r, "write", count, offset);
}

static int zero(Connection *c, uint32_t count, uint64_t offset, gboolean punch,
                uint32_t flags, const char *doing)
{
    int r;

    if (may_write(c) < 0) {
        return -1;
    }
    r = colo_store_zero(c->disk->store, c->view, count, offset, punch,
                        flags & NBDKIT_FLAG_FUA);
    wrote(c);
    return answer(c, r, doing, count, offset);
}

int request_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    return zero(handle, count, offset, flags & NBDKIT_FLAG_MAY_TRIM, flags,
                "zero");
}

int request_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    return zero(handle, count, offset, TRUE, flags, "trim");
}

int request_flush(void *handle, uint32_t flags)
{
    Connection *c = handle;

    return answer(c, colo_store_flush(c->disk->store, c->view), "flush", 0, 0);
}

typedef struct Extents {
    struct nbdkit_extents *list;
    gboolean one; /* is enough */
    uint32_t type;
    guint n;
    int result;
} Extents;

static gboolean add_extent(guint64 offset, guint64 len, gboolean hole,
                           gboolean is_zero, gpointer user)
{
    Extents *e = user;
    uint32_t type =
        (hole ? NBDKIT_EXTENT_HOLE : 0) | (is_zero ? NBDKIT_EXTENT_ZERO : 0);

    if (e->one && e->n && type != e->type) {
        return FALSE;
    }
    e->n++;
    e->type = type;
    e->result = nbdkit_add_extent(e->list, offset, len, type);
    return e->result == 0;
}

int request_extents(void *handle, uint32_t count, uint64_t offset,
                    uint32_t flags, struct nbdkit_extents *extents)
{
    Connection *c = handle;
    Extents e = {.list = extents, .one = flags & NBDKIT_FLAG_REQ_ONE};
    int r = colo_store_extents(c->disk->store, c->view, count, offset,
                               add_extent, &e);

    return e.result ? -1 : answer(c, r, "map", count, offset);
}
