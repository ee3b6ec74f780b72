/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Going through a log: a window over the file, and what is found in it. */
#include "blockrep/store/log.h"
#include "blockrep/store/file-io.h"

#include <errno.h>
#include <sys/stat.h>

/* More than any record needs */
#define WINDOW (2 * STORE_MAX_RECORD)

typedef struct Window {
    int fd;
    guint64 file_end;
    guint64 start, len; /* what buf holds of the file */
    guint8 *buf;
    int error;
} Window;

/* len bytes of the file at pos; NULL: there are not that many, or error. */
static const guint8 *look(Window *w, guint64 pos, guint64 len)
{
    if (pos > w->file_end || len > w->file_end - pos) {
        return NULL;
    }
    if (pos < w->start || pos - w->start > w->len ||
        len > w->len - (pos - w->start)) {
        w->start = pos;
        w->len = MIN(WINDOW, w->file_end - pos);
        w->error = store_pread(w->fd, w->buf, w->len, pos);
        if (w->error) {
            w->len = 0;
            return NULL;
        }
    }
    return w->buf + (pos - w->start);
}

static gboolean data_is_whole(Window *w, const StoreRecord *r)
{
    const guint8 *data;

    if (r->kind != STORE_DATA) {
        return r->data_sum == 0;
    }
    data = look(w, r->pos + STORE_HEADER, r->len);
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    return data != NULL; /* else no input would get behind the checksums */
#else
    return data && store_data_sum(data, r->len) == r->data_sum;
#endif
}

int store_log_replay(int fd, guint64 id, guint64 end, guint64 disk_size,
                     StoreReplayFunc record, gpointer user, StoreReplay *out)
{
    g_autofree guint8 *buf = g_malloc(WINDOW);
    Window w = {.fd = fd, .buf = buf};
    guint64 pos = STORE_LOG_START;
    struct stat st;

    *out = (StoreReplay){.end = pos};
    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    w.file_end = MIN((guint64)st.st_size, end);
    while (!w.error) {
        const guint8 *h = look(&w, pos, STORE_HEADER);
        StoreRecord r;

        if (!h) {
            break;
        }
        if (!store_record_magic(h) || !store_record_decode(h, id, pos, &r) ||
            r.off + r.len > disk_size || !data_is_whole(&w, &r)) {
            pos += STORE_HEADER; /* records begin at multiples of this */
            continue;
        }
        out->records++;
        out->sum += r.sum;
        out->skipped += pos - out->end;
        pos += store_record_size(r.kind, r.len);
        out->end = pos;
        if (!record(&r, user)) {
            break;
        }
    }
    return w.error;
}
