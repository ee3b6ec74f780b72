/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * coloctl disk merge: what the folder holds goes into the image.
 *
 * Killed anywhere, it is done again: the image takes parts of no epoch before
 * the state file knows that epoch for good, and forgets it only after.
 */
#include "colo/ctl/ctl-disk.h"
#include "blockrep/store/store.h"
#include "colo/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOOK_US (100 * 1000)

typedef struct Merge {
    Ctl *c;
    const char *image;
    ColoStore *store;
    guint64 total;
    gint64 start_us;
    GAsyncQueue *done; /* the result, as a pointer and one more */
    gboolean terminal, bar;
    int tenth; /* as last printed */
} Merge;

static gpointer work(gpointer user)
{
    Merge *m = user;

    g_async_queue_push(m->done,
                       GINT_TO_POINTER(colo_store_merge(m->store) - 1));
    return NULL;
}

static double seconds(const Merge *m)
{
    return (double)(g_get_monotonic_time() - m->start_us) / G_USEC_PER_SEC;
}

static void show(Merge *m)
{
    g_autofree char *text = NULL, *total = ctl_size((double)m->total);
    double percent, s = seconds(m);
    ColoStoreStatus st;

    colo_store_status(m->store, &st);
    g_free(st.error);
    if (m->c->json || !m->total) {
        return;
    }
    percent = CLAMP(100 * (double)st.merged_bytes / (double)m->total, 0, 100);
    text = g_strdup_printf("%3.0f %% of %s, %.0f MB/s", percent, total,
                           s > 0 ? (double)st.merged_bytes / 1e6 / s : 0);
    if (m->terminal) {
        ctl_draw_bar("merging", percent, text);
        m->bar = TRUE;
    } else if ((int)(percent / 10) != m->tenth) {
        m->tenth = (int)(percent / 10);
        ctl_row("merging", "%s", text);
        fflush(stdout);
    }
}

static int run(Merge *m)
{
    GThread *thread;
    gpointer result = NULL;

    m->done = g_async_queue_new();
    m->start_us = g_get_monotonic_time();
    thread = g_thread_new("merge", work, m);
    do {
        show(m);
        result = g_async_queue_timeout_pop(m->done, LOOK_US);
    } while (!result);
    g_thread_join(thread);
    g_async_queue_unref(m->done);
    if (m->bar) {
        ctl_clear_bar();
    }
    return GPOINTER_TO_INT(result) + 1;
}

/* What of it is left after */
static void explain(const ColoStoreStatus *st, const char *image,
                    const char *folder)
{
    if (st->merged) {
        ctl_row("", "%s alone is the survivor's disk", image);
        ctl_row("", "%s can be removed", folder);
        return;
    }
    ctl_row("", "%s is the disk as of checkpoint %" G_GUINT64_FORMAT, image,
            st->loaded ? st->loaded : st->epoch);
    if (st->loaded && st->loaded < st->epoch) {
        ctl_row("",
                "checkpoint %" G_GUINT64_FORMAT
                " has not been loaded: --newest brings it in",
                st->epoch);
    }
    ctl_row("", "there was no takeover: what is newer stays in %s", folder);
}

static int report(Merge *m, int result, const char *folder)
{
    g_autoptr(JsonNode) node = colo_store_status_json(m->store);
    ColoStoreStatus st;
    int status = CTL_OK;

    colo_store_status(m->store, &st);
    if (result) {
        ctl_complain("%s is not merged: %s; nothing is lost, do it again when "
                     "that is mended",
                     m->image, st.error ? st.error : g_strerror(-result));
        status = CTL_FAILED;
    }
    if (m->c->json) {
        json_object_set_double_member(json_node_get_object(node), "seconds",
                                      seconds(m));
        json_object_set_boolean_member(json_node_get_object(node), "ok",
                                       status == CTL_OK);
        ctl_print_json(node);
    } else if (status == CTL_OK) {
        g_autofree char *size = ctl_size((double)st.merged_bytes);

        ctl_row("merged", "%s in %.1f s", size, seconds(m));
        explain(&st, m->image, folder);
    }
    g_free(st.error);
    return status;
}

/* TRUE: there is something that could be merged. */
static gboolean is_of_use(Merge *m, JsonObject *look)
{
    ColoStoreStatus st;
    int r;

    colo_store_status(m->store, &st);
    g_free(st.error);
    if (st.state == COLO_STORE_EMPTY) {
        ctl_complain("%s: there is no checkpoint, and nothing to merge: the "
                     "image is of no use before the first one",
                     m->image);
        return FALSE;
    }
    if (!m->c->newest || st.state == COLO_STORE_PROMOTED ||
        st.loaded == st.epoch) {
        return TRUE;
    }
    r = colo_store_load(m->store, st.epoch);
    if (r) {
        ctl_complain("%s: cannot take checkpoint %" G_GUINT64_FORMAT ": %s",
                     ctl_str(look, "folder"), st.epoch, g_strerror(-r));
    }
    return !r;
}

static void refuse(const char *folder, pid_t pid, const char *program)
{
    if (!strcmp(program, "nbdkit")) {
        ctl_complain("%s is in use by nbdkit (process %d), which merges by "
                     "itself: end colod first to do it here",
                     folder, (int)pid);
    } else {
        ctl_complain("%s is in use by %s (process %d): end that first", folder,
                     program, (int)pid);
    }
}

int disk_merge(Ctl *c, const char *image, JsonObject *look)
{
    const char *folder = ctl_str(look, "folder");
    g_autofree char *program = NULL;
    pid_t pid = disk_holder(folder, &program);
    g_autoptr(GError) error = NULL;
    Merge m = {.c = c,
               .image = image,
               .terminal = isatty(STDOUT_FILENO) == 1,
               .tenth = -1};
    ColoStoreOptions o;
    int lock, status = CTL_FAILED;

    colo_log_only_warnings();
    if (pid) {
        refuse(folder, pid, program);
        return CTL_FAILED;
    }
    lock = disk_lock_image(image, &error);
    if (lock >= 0) {
        colo_store_options_default(&o);
        o.base = image;
        o.folder = folder;
        m.store = colo_store_open(&o, &error);
    }
    if (!m.store) {
        ctl_complain("%s", error->message);
    } else if (is_of_use(&m, look)) {
        m.total = colo_store_to_merge(m.store);
        status = report(&m, run(&m), folder);
    }
    colo_store_close(m.store);
    if (lock >= 0) {
        close(lock);
    }
    return status;
}
