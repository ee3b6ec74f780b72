/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A log file: creating, appending, reading back. */
#include "blockrep/store/log.h"
#include "blockrep/store/file-io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MAX_PIECES = 256 }; /* records read by one preadv() */
/* Allocated ahead: half as much as there is already, but */
#define AHEAD_LEAST ((guint64)4 << 20)
#define AHEAD_MOST  ((guint64)64 << 20)

char *store_log_name(guint64 number)
{
    return g_strdup_printf("%016" G_GINT64_MODIFIER "x.log", number);
}

guint64 store_log_number(const char *name)
{
    char *end;
    guint64 n;

    if (strlen(name) != 16 + strlen(".log") || !g_ascii_isxdigit(name[0])) {
        return 0;
    }
    n = g_ascii_strtoull(name, &end, 16);
    return end == name + 16 && !strcmp(end, ".log") ? n : 0;
}

static guint64 random_id(void)
{
    guint64 id;

    if (getrandom(&id, sizeof(id), 0) != sizeof(id)) {
        id = (guint64)g_random_int() << 32 | g_random_int();
    }
    return id;
}

/* A header with a new id: what the file held before counts no more. */
static int start(StoreLog *log)
{
    guint8 h[STORE_HEADER];

    log->id = random_id();
    log->end = STORE_LOG_START;
    log->records = log->sum = log->synced = 0;
    store_log_header_encode(h, log->number, log->id);
    return store_pwrite(log->fd, h, sizeof(h), 0);
}

int store_log_create(int folder, guint64 number, StoreLog **out)
{
    g_autofree char *name = store_log_name(number);
    StoreLog *log = g_new0(StoreLog, 1);
    int r;

    log->number = number;
    log->fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    r = log->fd < 0 ? -errno : start(log);
    if (r) {
        if (log->fd >= 0) {
            unlinkat(folder, name, 0);
        }
        store_log_close(log);
        return r;
    }
    *out = log;
    return 0;
}

int store_log_recycle(StoreLog *log, guint64 keep)
{
    log->allocated = MAX(log->allocated, log->end);
    if (log->allocated > keep) {
        guint64 to = MIN(keep, log->end);

        /* This frees blocks behind the end of the file, too. */
        if (ftruncate(log->fd, (off_t)to) < 0) {
            return -errno;
        }
        log->allocated = to;
    }
    return start(log);
}

guint64 store_log_wants(const StoreLog *log)
{
    return log->end + CLAMP(log->end / 2, AHEAD_LEAST, AHEAD_MOST);
}

void store_log_allocate(StoreLog *log, guint64 from, guint64 to)
{
    int r;

    do {
        r = fallocate(log->fd, FALLOC_FL_KEEP_SIZE, (off_t)from,
                      (off_t)(to - from));
    } while (r < 0 && errno == EINTR);
    /* Full, or not supported: writing will tell. */
}

StoreLog *store_log_open(int folder, guint64 number, guint64 id,
                         gboolean writable, GError **error)
{
    g_autofree char *name = store_log_name(number);
    StoreLog *log = g_new0(StoreLog, 1);
    guint8 h[STORE_HEADER];
    guint64 found, found_id;
    guint32 version;
    int r;

    log->number = number;
    log->id = id;
    log->end = STORE_LOG_START;
    log->fd = openat(folder, name, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    r = log->fd < 0 ? -errno : store_pread(log->fd, h, sizeof(h), 0);
    if (r) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(-r),
                    "cannot read the log %s: %s", name, g_strerror(-r));
    } else if (!store_log_header_decode(h, &found, &found_id, &version)) {
        if (version && version != STORE_VERSION) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                        "the log %s has format %u, this program knows %u", name,
                        version, STORE_VERSION);
        } else {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "the header of the log %s is damaged", name);
        }
    } else if (found != number || found_id != id) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the log %s is not the one that it should be", name);
    } else {
        return log;
    }
    store_log_close(log);
    return NULL;
}

void store_log_close(StoreLog *log)
{
    if (log) {
        if (log->fd >= 0) {
            close(log->fd);
        }
        g_free(log);
    }
}

int store_log_write(StoreLog *log, StoreRecord *r, const void *data)
{
    static const guint8 padding[STORE_HEADER];
    guint64 size = store_record_size(r->kind, r->len);
    gsize len = r->kind == STORE_DATA ? r->len : 0;
    guint8 h[STORE_HEADER];
    struct iovec v[] = {
        {h, sizeof(h)},
        {(void *)data, len},
        {(void *)padding, size - sizeof(h) - len},
    };

    int e;

    r->data_sum = len ? store_data_sum(data, len) : 0;
    store_record_encode(h, log->id, r);
    e = store_pwritev(log->fd, v, G_N_ELEMENTS(v), r->pos);
    if (e) {
        /* What counts as none must not be found whole, but for its padding. */
        memset(h, 0, sizeof(h));
        store_pwrite(log->fd, h, sizeof(h), r->pos);
    }
    return e;
}

int store_log_read(const StoreLog *log, const StoreRun *run, void *buf)
{
    guint8 headers[STORE_HEADER]; /* read over, into here */
    struct iovec v[2 * MAX_PIECES];
    guint64 off = run->off;
    guint8 *p = buf;

    while (off < run->end) {
        guint64 start = 0;
        int n = 0, r;

        while (off < run->end && n < 2 * MAX_PIECES - 1) {
            StoreRun rest = store_run_part(run, off, run->end);
            guint64 len, pos = store_run_pos(&rest, &len);

            if (n) {
                v[n++] = (struct iovec){headers, sizeof(headers)};
            } else {
                start = pos;
            }
            v[n++] = (struct iovec){p, len};
            p += len;
            off += len;
        }
        r = store_preadv(log->fd, v, n, start);
        if (r) {
            return r;
        }
    }
    return 0;
}
