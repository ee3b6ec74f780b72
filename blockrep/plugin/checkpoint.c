/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The requests of the primary's colod. */
#include "blockrep/plugin/checkpoint.h"
#include "colo/common/qmp-dispatch.h"

#include <errno.h>
#include <string.h>

struct Checkpoint {
    DiskSet *set;
    GMutex lock; /* one request at a time; the fields below */
    ColoQmpTable *table;
    GError *result; /* of the request's step */
    gboolean done;  /* it had one, and that was carried out */
};

typedef gboolean (*StepFunc)(DiskSet *set, const char *session, guint64 epoch,
                             GError **error);

static JsonNode *step(Checkpoint *c, JsonObject *args, StepFunc func,
                      GError **error)
{
    gint64 epoch = json_object_get_int_member(args, "epoch");
    const char *session = json_object_get_string_member(args, "session");

    c->done = func(c->set, session, epoch > 0 ? (guint64)epoch : 0, &c->result);
    if (!c->done) {
        g_propagate_error(error, g_error_copy(c->result));
    }
    return NULL;
}

/*
 * A request that its sender gave up, with its connection, may still be on its
 * way, and would seal what came after the capture that it was of: those carry
 * a number that grows.
 */
static JsonNode *seal(JsonObject *args, gpointer user, GError **error)
{
    Checkpoint *c = user;

    if (json_object_has_member(args, "cut") &&
        !disk_set_is_next_cut(c->set,
                              json_object_get_string_member(args, "session"),
                              json_object_get_int_member(args, "cut"),
                              &c->result)) {
        g_propagate_error(error, g_error_copy(c->result));
        return NULL;
    }
    return step(c, args, disk_set_seal, error);
}

static JsonNode *unseal(JsonObject *args, gpointer user, GError **error)
{
    return step(user, args, disk_set_unseal, error);
}

static const ColoQmpArg step_args[] = {
    {.name = "epoch", .type = COLO_QMP_INT},
    {.name = "session", .type = COLO_QMP_STR},
    {NULL},
};

static const ColoQmpArg seal_args[] = {
    {.name = "epoch", .type = COLO_QMP_INT},
    {.name = "session", .type = COLO_QMP_STR},
    {.name = "cut", .type = COLO_QMP_INT, .optional = TRUE},
    {NULL},
};

static const ColoQmpCommand commands[] = {
    {"seal", seal_args, seal},
    {"unseal", step_args, unseal},
    {NULL, NULL, NULL},
};

Checkpoint *checkpoint_new(DiskSet *set)
{
    Checkpoint *c = g_new0(Checkpoint, 1);

    c->set = set;
    c->table = colo_qmp_table_new("colo", commands, c);
    g_mutex_init(&c->lock);
    return c;
}

void checkpoint_free(Checkpoint *c)
{
    if (c) {
        colo_qmp_table_free(c->table);
        g_mutex_clear(&c->lock);
        g_free(c);
    }
}

static gboolean all_zero(const char *p, gsize len)
{
    return !len || (!*p && !memcmp(p, p + 1, len - 1));
}

/* The text within the padding; NULL: it is not such a request. */
static char *get_text(const void *buf, guint32 len, guint64 offset)
{
    gsize text = strnlen(buf, len);

    if (offset || len < CHECKPOINT_MIN_WRITE || len > CHECKPOINT_SIZE ||
        text == len || !all_zero((const char *)buf + text, len - text)) {
        return NULL;
    }
    return g_strndup(buf, text);
}

static char *error_text(const char *reply)
{
    const char *p = reply ? strstr(reply, "\"desc\"") : NULL;
    const char *from = p ? strchr(p + strlen("\"desc\""), '"') : NULL;
    const char *to = from ? strrchr(from + 1, '"') : NULL;

    return to ? g_strndup(from + 1, (gsize)(to - from - 1))
              : g_strdup("it asks for nothing");
}

gboolean checkpoint_write(Checkpoint *c, const void *buf, guint32 len,
                          guint64 offset, GError **error)
{
    g_autofree char *text = get_text(buf, len, offset), *reply = NULL;
    gboolean negotiated = TRUE, done;

    if (!text) {
        g_set_error(error, COLO_PLUGIN_ERROR, EINVAL,
                    "what is written to the export checkpoint must be one "
                    "JSON text at offset 0, padded with NUL to %d to %d bytes",
                    CHECKPOINT_MIN_WRITE, CHECKPOINT_SIZE);
        return FALSE;
    }
    g_mutex_lock(&c->lock);
    c->done = FALSE;
    reply = colo_qmp_dispatch(c->table, text, strlen(text), &negotiated);
    done = c->done;
    if (c->result) {
        g_propagate_error(error, g_steal_pointer(&c->result));
    } else if (!done) {
        g_autofree char *why = error_text(reply);

        g_set_error(error, COLO_PLUGIN_ERROR, EINVAL,
                    "a request that was written to the export checkpoint is "
                    "wrong: %s",
                    why);
    }
    g_mutex_unlock(&c->lock);
    return done;
}

void checkpoint_read(Checkpoint *c, void *buf, guint32 len, guint64 offset)
{
    char page[CHECKPOINT_SIZE] = {0};
    g_autofree char *text = disk_set_summary(c->set, sizeof(page));

    g_assert(offset <= sizeof(page) && len <= sizeof(page) - offset);
    memcpy(page, text, strlen(text));
    memcpy(buf, page + offset, len);
}
