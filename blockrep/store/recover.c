/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening: what a folder holds after a clean end, a kill or a power loss.
 *
 * As long as the kernel runs on, all that was written is there, so everything
 * is taken up again: a process that died is replaced without loss.  After the
 * host went down (another boot id) sealed epochs count as far as they are
 * whole, and what belonged to the machine that ran is gone.
 */
#include "blockrep/store/store-priv.h"
#include "colo/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

const char *store_boot_id_path = "/proc/sys/kernel/random/boot_id";

typedef struct Recovery {
    ColoStore *s;
    StoreSnapshot snap;
    gboolean same_boot;
    gboolean cut; /* an epoch is not whole: what is above it is gone */
} Recovery;

void store_read_boot_id(guint8 out[STORE_BOOT_ID])
{
    g_autofree char *text = NULL;
    guint n = 0;

    memset(out, 0, STORE_BOOT_ID);
    if (!g_file_get_contents(store_boot_id_path, &text, NULL, NULL)) {
        return; /* never the same as another: see is_same_boot() */
    }
    for (const char *p = text; *p && n < 2 * STORE_BOOT_ID; p++) {
        int digit = g_ascii_xdigit_value(*p);

        if (digit >= 0) {
            out[n / 2] |= (guint8)(digit << (n % 2 ? 0 : 4));
            n++;
        }
    }
}

static gboolean is_same_boot(const guint8 *a, const guint8 *b)
{
    static const guint8 unknown[STORE_BOOT_ID];

    return !memcmp(a, b, STORE_BOOT_ID) && memcmp(a, unknown, STORE_BOOT_ID);
}

static gboolean add_record(const StoreRecord *r, gpointer user)
{
    store_index_insert(((StoreLayer *)user)->index, r);
    return TRUE;
}

/* NULL: error says what is wrong with the log. */
static StoreLayer *read_layer(ColoStore *s, const StoreLayerInfo *info,
                              GError **error)
{
    g_autofree char *name = store_log_name(info->number);
    StoreLog *log =
        store_log_open(s->folder, info->number, info->id, TRUE, error);
    StoreReplay found;
    StoreLayer *l;
    int r;

    if (!log) {
        return NULL;
    }
    l = store_layer_new(log);
    r = store_log_replay(log->fd, log->id,
                         info->frozen ? info->length : G_MAXUINT64,
                         s->base.size, add_record, l, &found);
    if (r) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(-r),
                    "cannot read the log %s: %s", name, g_strerror(-r));
    } else if (info->frozen &&
               (found.records != info->records || found.sum != info->sum)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the log %s is damaged: %" G_GUINT64_FORMAT
                    " of %" G_GUINT64_FORMAT " records are whole",
                    name, found.records, info->records);
    } else {
        l->frozen = TRUE;
        l->epoch = info->epoch;
        l->before = info->before;
        log->end = found.end;
        log->records = found.records;
        log->sum = found.sum;
        return l;
    }
    store_layer_destroy(l);
    return NULL;
}

/* Must this one be whole, as far as we know? */
static gboolean is_owed(const Recovery *rec, const StoreLayerInfo *info)
{
    return rec->same_boot || rec->snap.state == COLO_STORE_PROMOTED ||
           info->epoch <= rec->snap.durable;
}

static void cut_at(Recovery *rec, const StoreLayerInfo *info)
{
    ColoStore *s = rec->s;

    /* Its other layers, if it has more than one */
    while (s->sealed->len) {
        StoreLayer *l = store_layers_top(s->sealed);

        if (l->epoch != info->epoch) {
            break;
        }
        g_ptr_array_set_size(s->sealed, (gint)s->sealed->len - 1);
        s->index_bytes -= store_index_bytes(l->index);
        store_layer_destroy(l);
    }
    rec->cut = TRUE;
    s->epoch = s->before = info->before;
}

static gboolean recover_layer(Recovery *rec, const StoreLayerInfo *info,
                              GError **error)
{
    ColoStore *s = rec->s;
    GPtrArray *list = info->role == STORE_ROLE_SEALED    ? s->sealed
                      : info->role == STORE_ROLE_PENDING ? s->pending
                                                         : s->active;
    g_autoptr(GError) why = NULL;
    StoreLayer *l;

    if (rec->cut || (info->role != STORE_ROLE_SEALED && !rec->same_boot &&
                     rec->snap.state != COLO_STORE_PROMOTED)) {
        return TRUE; /* gone with the host */
    }
    l = read_layer(s, info, &why);
    if (!l && info->role == STORE_ROLE_SEALED && !is_owed(rec, info)) {
        colo_log_warn("%s: epoch %" G_GUINT64_FORMAT
                      " had not reached the disk when the host went down: %s",
                      s->base_path, info->epoch, why->message);
        cut_at(rec, info);
        return TRUE;
    }
    if (!l) {
        g_set_error(error, G_IO_ERROR, why->code,
                    "%s: %s: an epoch is lost; remove the folder, then the "
                    "primary copies everything again",
                    s->folder_path, why->message);
        return FALSE;
    }
    if (l->log->records) {
        g_ptr_array_add(list, l);
        s->index_bytes += store_index_bytes(l->index);
    } else {
        store_layer_destroy(l);
    }
    return TRUE;
}

/* After the host went down */
static void forget_machine(Recovery *rec)
{
    ColoStore *s = rec->s;

    if (s->state == COLO_STORE_PROMOTED) {
        return;
    }
    s->lost = rec->snap.generation > 0;
    if (!s->based || !s->epoch) {
        /* base may lack some of the first copy: there is no epoch at all */
        for (guint i = 0; i < s->sealed->len; i++) {
            store_layer_destroy(s->sealed->pdata[i]);
        }
        g_ptr_array_set_size(s->sealed, 0);
        s->index_bytes = 0;
        s->epoch = s->before = 0;
        s->based = FALSE;
        s->direct = TRUE;
        s->state = COLO_STORE_EMPTY;
    }
    /*
     * No machine runs on a view of its own, and base may hold parts of any
     * epoch that was durable: the newest is what there is.
     */
    s->loaded = s->durable = s->epoch;
}

static gboolean recover_layers(Recovery *rec, GError **error)
{
    ColoStore *s = rec->s;
    const StoreSnapshot *snap = &rec->snap;

    s->state = snap->state;
    s->direct = snap->direct;
    s->based = snap->based;
    s->lost = snap->lost;
    s->epoch = snap->epoch;
    s->before = snap->before;
    s->loaded = snap->loaded;
    s->durable = snap->durable;
    s->next_number = snap->next_number;
    for (guint i = 0; i < snap->n; i++) {
        if (!recover_layer(rec, &snap->layers[i], error)) {
            return FALSE;
        }
    }
    if (!rec->same_boot) {
        forget_machine(rec);
    }
    s->merge_to = s->loaded;
    s->survivor = s->state == COLO_STORE_PROMOTED;
    return TRUE;
}

/* The highest number of a log here; with the state on the disk, those that it
 * does not name go. */
static guint64 scan_logs(ColoStore *s, gboolean clean)
{
    g_autoptr(GDir) dir = g_dir_open(s->folder_path, 0, NULL);
    StoreSnapshot snap = {0};
    guint64 highest = 0;
    const char *name;

    if (clean) {
        store_fill_snapshot(s, &snap);
    }
    while (dir && (name = g_dir_read_name(dir))) {
        guint64 number = store_log_number(name);
        gboolean named = !clean;

        for (guint i = 0; i < snap.n && number; i++) {
            named |= snap.layers[i].number == number;
        }
        if (number && !named) {
            unlinkat(s->folder, name, 0);
        }
        highest = MAX(highest, number);
    }
    store_snapshot_clear(&snap);
    return highest;
}

static gboolean open_state(Recovery *rec, GError **error)
{
    ColoStore *s = rec->s;
    g_autoptr(GError) why = NULL;

    s->statefile =
        store_state_open(s->folder, s->base.size, TRUE, &rec->snap, &why);
    if (!s->statefile &&
        g_error_matches(why, G_IO_ERROR, G_IO_ERROR_NOT_FOUND)) {
        g_clear_error(&why);
        if (scan_logs(s, FALSE)) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "%s holds logs but no file '%s': if they are of no "
                        "use, remove the folder; the primary copies "
                        "everything again",
                        s->folder_path, STORE_STATE_NAME);
            return FALSE;
        }
        s->statefile = store_state_create(s->folder, s->base.size, &why);
    }
    if (!s->statefile) {
        g_propagate_prefixed_error(error, g_steal_pointer(&why),
                                   "%s: ", s->folder_path);
        return FALSE;
    }
    if (!rec->snap.generation) { /* just made */
        rec->snap.state = COLO_STORE_EMPTY;
        rec->snap.direct = TRUE;
        rec->snap.next_number = 1;
    }
    return TRUE;
}

/* New writes go to new logs: what was found is not touched. */
static int add_tops(ColoStore *s)
{
    GPtrArray *lists[] = {
        s->state == COLO_STORE_PROMOTED || s->direct ? NULL : s->pending,
        s->state == COLO_STORE_PROMOTED && s->direct ? NULL : s->active,
    };

    for (guint i = 0; i < G_N_ELEMENTS(lists); i++) {
        int r = lists[i] ? store_need_spares(s, 1) : 0;

        if (r) {
            return r;
        }
        if (lists[i]) {
            g_ptr_array_add(lists[i], store_take_spare(s));
        }
    }
    return 0;
}

/* What a promoted disk writes next must be found after a power loss, too. */
static int sync_tops(ColoStore *s)
{
    StoreLayer *top = store_layers_top(s->active);

    if (top && fdatasync(top->log->fd) < 0) {
        return -errno;
    }
    return fsync(s->folder) < 0 ? -errno : 0;
}

gboolean store_recover(ColoStore *s, GError **error)
{
    Recovery rec = {.s = s};
    gboolean ok;
    int r;

    store_read_boot_id(s->boot);
    if (!open_state(&rec, error)) {
        return FALSE;
    }
    rec.same_boot = is_same_boot(rec.snap.boot, s->boot);
    ok = recover_layers(&rec, error);
    store_snapshot_clear(&rec.snap);
    if (!ok) {
        return FALSE;
    }
    s->base_written = 1; /* by the process before, perhaps */
    s->next_number = MAX(s->next_number, scan_logs(s, FALSE) + 1);
    r = add_tops(s);
    r = r ? r : sync_tops(s);
    r = r ? r : store_save(s);
    r = r ? r : store_state_sync(s->statefile);
    if (r) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(-r),
                    "cannot write to %s: %s", s->folder_path, g_strerror(-r));
        return FALSE;
    }
    scan_logs(s, TRUE);
    return TRUE;
}
