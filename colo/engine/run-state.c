/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must survive colod itself. */
#include "colo/engine/run-state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct Record {
    char magic[8];
    guint64 pid, start_time;
    guint32 flags; /* ColoRunFlag */
} Record;

struct ColoRunState {
    int fd;
    Record *record;
};

static const char magic[8] = "colorun1";

ColoRunState *colo_run_state_open(const char *folder, const char *name,
                                  GError **error)
{
    g_autofree char *path = g_strdup_printf("%s/%s.state", folder, name);
    ColoRunState *r = g_new0(ColoRunState, 1);
    const char *doing = "create";
    int err;

    r->fd = -1;
    if (g_mkdir_with_parents(folder, 0755) < 0) {
        goto fail;
    }
    doing = "open";
    r->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (r->fd < 0) {
        goto fail;
    }
    if (flock(r->fd, LOCK_EX | LOCK_NB) < 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                    "another colod serves \"%s\" (it holds %s): give this "
                    "one another --name, or stop that one",
                    name, path);
        goto quit;
    }
    doing = "make room in";
    if (ftruncate(r->fd, sizeof(Record)) < 0 ||
        fallocate(r->fd, 0, 0, sizeof(Record)) < 0) {
        goto fail;
    }
    doing = "map";
    r->record = mmap(NULL, sizeof(Record), PROT_READ | PROT_WRITE, MAP_SHARED,
                     r->fd, 0);
    if (r->record == MAP_FAILED) {
        r->record = NULL;
        goto fail;
    }
    if (memcmp(r->record->magic, magic, sizeof(magic))) {
        memset(r->record, 0, sizeof(Record));
        memcpy(r->record->magic, magic, sizeof(magic));
    }
    return r;

fail:
    err = errno;
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(err),
                "cannot %s the state file %s: %s", doing, path,
                g_strerror(err));
quit:
    colo_run_state_close(r);
    return NULL;
}

void colo_run_state_close(ColoRunState *r)
{
    if (r) {
        if (r->record) {
            munmap(r->record, sizeof(Record));
        }
        if (r->fd >= 0) {
            close(r->fd);
        }
        g_free(r);
    }
}

void colo_run_state_attach(ColoRunState *r, pid_t pid, guint64 start_time)
{
    if (r->record->pid != (guint64)pid ||
        r->record->start_time != start_time) {
        r->record->flags = 0;
        r->record->pid = (guint64)pid;
        r->record->start_time = start_time;
    }
}

void colo_run_state_set(ColoRunState *r, ColoRunFlag flag, gboolean on)
{
    if (on) {
        __atomic_fetch_or(&r->record->flags, flag, __ATOMIC_SEQ_CST);
    } else {
        __atomic_fetch_and(&r->record->flags, ~(guint32)flag, __ATOMIC_SEQ_CST);
    }
}

gboolean colo_run_state_get(const ColoRunState *r, ColoRunFlag flag)
{
    return (__atomic_load_n(&r->record->flags, __ATOMIC_SEQ_CST) & flag) != 0;
}
