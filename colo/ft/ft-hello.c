/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The payload of INIT. */
#include "colo/ft/ft-hello.h"
#include "colo/bytes.h"
#include "colo/common/qmp-wire.h"
#include "colo/names.h"

#include <gio/gio.h>
#include <string.h>

#define MAX_DEPTH 32
#define MAX_NAME  64

void ft_hello_free(FtHello *h)
{
    if (h) {
        g_free(h->name);
        g_free(h->instance);
        g_free(h->description);
        g_free(h->session);
        g_free(h);
    }
}

/* The sum is seeded with the frame's header, as those of all frames are. */
static guint64 hello_sum(const char *payload, gsize len)
{
    FtHeader frame = {.cmd = FT_CMD_INIT, .payload_len = (guint32)len};

    return ft_sum_part(&frame, payload + FT_HELLO_LEN, len - FT_HELLO_LEN);
}

static JsonArray *disks_array(const FtHello *h)
{
    JsonArray *a = json_array_new();

    for (guint i = 0; i < h->n_disks; i++) {
        JsonObject *o = json_object_new();

        json_object_set_string_member(o, "name", h->disks[i].name);
        json_object_set_int_member(o, "size", (gint64)h->disks[i].size);
        json_array_add_object_element(a, o);
    }
    return a;
}

char *ft_hello_put(const FtHello *h, gsize *len)
{
    g_autoptr(JsonObject) o = json_object_new();
    g_autofree char *text = NULL;
    char *payload;

    json_object_set_int_member(o, "version-min", h->version_min);
    json_object_set_int_member(o, "version-max", h->version_max);
    json_object_set_string_member(o, "name", h->name);
    json_object_set_string_member(o, "instance", h->instance);
    json_object_set_int_member(o, "codings", h->codings);
    json_object_set_boolean_member(o, "periodic", h->periodic);
    json_object_set_string_member(o, "description", h->description);
    if (h->n_disks) {
        json_object_set_array_member(o, "disks", disks_array(h));
    }
    if (h->session) {
        json_object_set_string_member(o, "session", h->session);
    }
    json_object_set_boolean_member(o, "resumed", h->resumed);
    json_object_set_int_member(o, "heartbeat-key", (gint64)h->heartbeat_key);
    json_object_set_int_member(o, "epoch", (gint64)h->epoch);
    json_object_set_boolean_member(o, "open", h->open);
    json_object_set_int_member(o, "open-id", h->open_id);
    json_object_set_int_member(o, "open-good", h->open_good);
    text = colo_qmp_print(o);
    *len = FT_HELLO_LEN + strlen(text);
    payload = g_malloc(*len);
    memcpy(payload + FT_HELLO_LEN, text, *len - FT_HELLO_LEN);
    le_put64((guint8 *)payload, hello_sum(payload, *len));
    return payload;
}

/* Copy a string member of bounded length; hex: an identity. */
static gboolean get_text(JsonObject *o, const char *name, gboolean hex,
                         gsize max, char **out, GError **error)
{
    const char *s = colo_json_get_string(o, name);

    if (!s || strlen(s) > max || (hex && strlen(s) != FT_ID_LEN) ||
        (hex && strspn(s, "0123456789abcdef") != FT_ID_LEN)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the peer's INIT has no valid \"%s\"", name);
        return FALSE;
    }
    /* Names go to logs and terminals. */
    for (const char *p = s; max == MAX_NAME && *p; p++) {
        if (g_ascii_iscntrl(*p)) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "the peer's INIT has a \"%s\" that is not printable",
                        name);
            return FALSE;
        }
    }
    *out = g_strdup(s);
    return TRUE;
}

static gboolean get_number(JsonObject *o, const char *name, guint64 max,
                           guint64 *out, GError **error)
{
    gint64 v;

    if (!colo_json_get_int(o, name, &v) || (guint64)v > max) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the peer's INIT has no valid \"%s\"", name);
        return FALSE;
    }
    *out = (guint64)v;
    return TRUE;
}

static gboolean get_flag(JsonObject *o, const char *name, gboolean *out,
                         GError **error)
{
    if (!colo_json_get_bool(o, name, out)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the peer's INIT has no valid \"%s\"", name);
        return FALSE;
    }
    return TRUE;
}

static gboolean get_disk(JsonNode *node, FtDisk *d)
{
    JsonObject *o = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node)
                                                 : NULL;
    const char *name = o ? colo_json_get_string(o, "name") : NULL;
    gint64 size;

    if (!name || strlen(name) > FT_DISK_NAME || !colo_name_is_valid(name) ||
        !colo_json_get_int(o, "size", &size) || size <= 0) {
        return FALSE;
    }
    g_strlcpy(d->name, name, sizeof(d->name));
    d->size = (guint64)size;
    return TRUE;
}

static gboolean is_twice(const FtHello *h, guint i)
{
    for (guint k = 0; k < i; k++) {
        if (!strcmp(h->disks[k].name, h->disks[i].name)) {
            return TRUE;
        }
    }
    return FALSE;
}

/* The member is younger than the protocol: without it there are none. */
static gboolean get_disks(JsonObject *o, FtHello *h, GError **error)
{
    JsonNode *node = json_object_get_member(o, "disks");
    JsonArray *a = node && JSON_NODE_HOLDS_ARRAY(node)
                       ? json_node_get_array(node)
                       : NULL;
    gboolean ok = !node || (a && json_array_get_length(a) <= FT_MAX_DISKS);

    for (guint i = 0; ok && a && i < json_array_get_length(a); i++) {
        ok = get_disk(json_array_get_element(a, i), &h->disks[i]) &&
             !is_twice(h, i);
        h->n_disks = i + 1;
    }
    if (!ok) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            "the peer's INIT has no valid \"disks\"");
    }
    return ok;
}

FtHello *ft_hello_get(const char *payload, gsize len, GError **error)
{
    g_autoptr(FtHello) h = g_new0(FtHello, 1);
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autofree char *line = NULL;
    g_autoptr(JsonNode) node = NULL;
    guint64 vmin, vmax, codings, open_id, good;
    JsonObject *o;

    if (len < FT_HELLO_LEN || len > FT_MAX_HELLO) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            "the peer's INIT has a wrong length");
        return NULL;
    }
    if (!ft_sum_is(le_get64((const guint8 *)payload),
                   hello_sum(payload, len))) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            "the checksum of the peer's INIT is wrong");
        return NULL;
    }
    len -= FT_HELLO_LEN;
    line = g_strndup(payload + FT_HELLO_LEN, len);
    node = colo_qmp_parse(parser, line, len, MAX_DEPTH, TRUE, error);
    if (!node) {
        g_prefix_error(error, "the peer's INIT cannot be read: ");
        return NULL;
    }
    o = json_node_get_object(node);
    if (!get_number(o, "version-min", G_MAXUINT16, &vmin, error) ||
        !get_number(o, "version-max", G_MAXUINT16, &vmax, error) ||
        !get_text(o, "name", FALSE, MAX_NAME, &h->name, error) ||
        !get_text(o, "instance", TRUE, FT_ID_LEN, &h->instance, error) ||
        !get_number(o, "codings", G_MAXUINT16, &codings, error) ||
        !get_flag(o, "periodic", &h->periodic, error) ||
        !get_text(o, "description", FALSE, FT_MAX_HELLO, &h->description,
                  error) ||
        !get_disks(o, h, error) ||
        !get_flag(o, "resumed", &h->resumed, error) ||
        !get_number(o, "heartbeat-key", G_MAXUINT64, &h->heartbeat_key,
                    error) ||
        !get_number(o, "epoch", G_MAXINT64, &h->epoch, error) ||
        !get_flag(o, "open", &h->open, error) ||
        !get_number(o, "open-id", G_MAXUINT16, &open_id, error) ||
        !get_number(o, "open-good", G_MAXUINT32, &good, error)) {
        return NULL;
    }
    if (json_object_has_member(o, "session") &&
        !get_text(o, "session", TRUE, FT_ID_LEN, &h->session, error)) {
        return NULL;
    }
    h->version_min = (guint)vmin;
    h->version_max = (guint)vmax;
    h->codings = (guint)codings;
    h->open_id = (guint16)open_id;
    h->open_good = (guint32)good;
    return g_steal_pointer(&h);
}
