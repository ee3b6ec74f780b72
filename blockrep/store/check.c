/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking at a folder from outside, with no lock, while a store may be at work:
 * where a log seems damaged, the state may just have moved on.
 */
#include "blockrep/store/store-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Check {
    int folder;
    const char *path; /* of folder */
    guint64 size;
    StoreSnapshot snap;
    gboolean same_boot;
    gboolean deep; /* read all records */
    gboolean ok;
} Check;

static gboolean count(const StoreRecord *r, gpointer user)
{
    return TRUE;
}

static void add_int(JsonBuilder *b, const char *name, guint64 value)
{
    json_builder_set_member_name(b, name);
    json_builder_add_int_value(b, (gint64)value);
}

static void add_bool(JsonBuilder *b, const char *name, gboolean value)
{
    json_builder_set_member_name(b, name);
    json_builder_add_boolean_value(b, value);
}

static void add_string(JsonBuilder *b, const char *name, const char *value)
{
    json_builder_set_member_name(b, name);
    json_builder_add_string_value(b, value);
}

/* What is wrong with a log; NULL: nothing.  Free with g_free(). */
static char *check_log(Check *c, const StoreLayerInfo *info, StoreReplay *found)
{
    g_autoptr(GError) error = NULL;
    StoreLog *log =
        store_log_open(c->folder, info->number, info->id, FALSE, &error);
    int r;

    memset(found, 0, sizeof(*found));
    if (!log) {
        return g_strdup(error->message);
    }
    r = store_log_replay(log->fd, log->id,
                         info->frozen ? info->length : G_MAXUINT64, c->size,
                         count, NULL, found);
    store_log_close(log);
    if (r) {
        return g_strdup(g_strerror(-r));
    }
    if (info->frozen &&
        (found->records != info->records || found->sum != info->sum)) {
        return g_strdup_printf("%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                               " records are whole",
                               found->records, info->records);
    }
    return NULL;
}

/* Could the store do without it? */
static gboolean is_owed(const Check *c, const StoreLayerInfo *info)
{
    if (c->snap.state == COLO_STORE_PROMOTED || c->same_boot) {
        return TRUE;
    }
    return info->role == STORE_ROLE_SEALED && info->epoch <= c->snap.durable;
}

/* FALSE: there is no state that could be read. */
static gboolean read_state(Check *c, StoreSnapshot *snap, GError **error)
{
    StoreState *f = store_state_open(c->folder, c->size, FALSE, snap, error);

    if (!f) {
        g_prefix_error(error, "%s: ", c->path);
        return FALSE;
    }
    store_state_close(f);
    return TRUE;
}

/* A log that is used again is first taken out of the state. */
static gboolean is_gone(Check *c, const StoreLayerInfo *info)
{
    gboolean found = FALSE;
    StoreSnapshot now;

    if (!read_state(c, &now, NULL)) {
        return FALSE;
    }
    for (guint i = 0; i < now.n; i++) {
        found |= now.layers[i].number == info->number &&
                 now.layers[i].id == info->id;
    }
    store_snapshot_clear(&now);
    return !found;
}

static guint64 payload(guint64 end)
{
    return end > STORE_LOG_START ? end - STORE_LOG_START : 0;
}

static void begin_layer(const StoreLayerInfo *info, JsonBuilder *b)
{
    static const char *const roles[] = {NULL, "sealed", "pending", "active"};
    g_autofree char *name = store_log_name(info->number);

    json_builder_begin_object(b);
    add_string(b, "role", roles[info->role]);
    if (info->role == STORE_ROLE_SEALED) {
        add_int(b, "epoch", info->epoch);
    }
    add_string(b, "log", name);
}

static void look_at_layer(Check *c, const StoreLayerInfo *info, JsonBuilder *b)
{
    g_autofree char *name = store_log_name(info->number);
    struct stat st;

    if (fstatat(c->folder, name, &st, 0) < 0) {
        if (!is_gone(c, info)) {
            begin_layer(info, b);
            add_string(b, "error", g_strerror(errno));
            json_builder_end_object(b);
        }
        return;
    }
    begin_layer(info, b);
    add_int(b, "bytes",
            payload(info->frozen ? info->length : (guint64)st.st_size));
    add_bool(b, "exact", info->frozen);
    json_builder_end_object(b);
}

static void check_layer(Check *c, const StoreLayerInfo *info, JsonBuilder *b)
{
    StoreReplay found;
    g_autofree char *wrong = check_log(c, info, &found);

    if (wrong && is_gone(c, info)) {
        return;
    }
    begin_layer(info, b);
    add_int(b, "records", found.records);
    add_int(b, "bytes", payload(found.end));
    add_int(b, "skipped-bytes", found.skipped);
    add_bool(b, "whole", !wrong);
    if (wrong) {
        add_string(b, "error", wrong);
        c->ok = c->ok && !is_owed(c, info);
    }
    json_builder_end_object(b);
}

static JsonNode *report_all(Check *c, const char *base)
{
    g_autoptr(JsonBuilder) b = json_builder_new();

    c->ok = TRUE;
    json_builder_begin_object(b);
    add_string(b, "base", base);
    add_string(b, "folder", c->path);
    add_int(b, "version", STORE_VERSION);
    add_int(b, "size", c->size);
    add_string(b, "state", colo_store_state_name(c->snap.state));
    add_int(b, "epoch", c->snap.epoch);
    add_int(b, "loaded", c->snap.loaded);
    add_int(b, "durable", c->snap.durable);
    add_bool(b, "merged",
             c->snap.direct && c->snap.state == COLO_STORE_PROMOTED);
    add_bool(b, "lost", c->snap.lost);
    add_bool(b, "rebooted", !c->same_boot);
    json_builder_set_member_name(b, "layers");
    json_builder_begin_array(b);
    for (guint i = 0; i < c->snap.n; i++) {
        if (c->deep) {
            check_layer(c, &c->snap.layers[i], b);
        } else {
            look_at_layer(c, &c->snap.layers[i], b);
        }
    }
    json_builder_end_array(b);
    if (c->deep) {
        add_bool(b, "ok", c->ok);
    }
    json_builder_end_object(b);
    return json_builder_get_root(b);
}

static JsonNode *look(Check *c, const char *base, const char *folder,
                      GError **error)
{
    g_autofree char *path =
        folder ? g_strdup(folder) : g_strconcat(base, ".colo", NULL);
    guint8 boot[STORE_BOOT_ID];
    JsonNode *report = NULL;
    StoreBase b;
    int e;

    if (!store_base_open(&b, base, FALSE, error)) {
        return NULL;
    }
    c->size = b.size;
    store_base_close(&b);
    c->path = path;
    c->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->folder < 0) {
        e = errno;
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(e),
                    "cannot open the folder %s: %s", path, g_strerror(e));
        return NULL;
    }
    if (read_state(c, &c->snap, error)) {
        store_read_boot_id(boot);
        c->same_boot = !memcmp(boot, c->snap.boot, sizeof(boot));
        report = report_all(c, base);
    }
    store_snapshot_clear(&c->snap);
    close(c->folder);
    return report;
}

JsonNode *colo_store_check(const char *base, const char *folder, gboolean *ok,
                           GError **error)
{
    Check c = {.deep = TRUE};
    JsonNode *report = look(&c, base, folder, error);

    *ok = report && c.ok;
    return report;
}

JsonNode *colo_store_look(const char *base, const char *folder, GError **error)
{
    Check c = {.deep = FALSE};

    return look(&c, base, folder, error);
}
