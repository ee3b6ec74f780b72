/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HELLO: who speaks, and whether the two proxies are a pair. */
#include "netcompare/link/wire.h"

#include "colo/common/qmp-wire.h"
#include "colo/names.h"

#include <gio/gio.h>
#include <string.h>

enum {
    MAX_DEPTH = 8,
    INSTANCE_LEN = 32,
};

void net_hello_free(NetHello *h)
{
    if (h) {
        g_free(h->name);
        g_free(h->instance);
        g_free(h);
    }
}

NetHello *net_hello_copy(const NetHello *h)
{
    NetHello *copy = g_memdup2(h, sizeof(*h));

    copy->name = g_strdup(h->name);
    copy->instance = g_strdup(h->instance);
    return copy;
}

GBytes *net_hello_format(const NetHello *h)
{
    g_autoptr(JsonObject) o = json_object_new();
    char *text;

    json_object_set_int_member(o, "version-min", h->version_min);
    json_object_set_int_member(o, "version-max", h->version_max);
    json_object_set_string_member(o, "name", h->name);
    json_object_set_boolean_member(o, "primary", h->primary);
    json_object_set_int_member(o, "interfaces", h->ifaces);
    json_object_set_string_member(o, "instance", h->instance);
    json_object_set_boolean_member(o, "attached", h->attached);
    json_object_set_boolean_member(o, "digests", h->digests);
    text = colo_qmp_print(o);
    return g_bytes_new_take(text, strlen(text));
}

static gboolean not_valid(const char *name, GError **error)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "the peer's hello has no valid \"%s\"", name);
    return FALSE;
}

static gboolean get_number(JsonObject *o, const char *name, guint min,
                           guint max, guint *out, GError **error)
{
    gint64 v;

    if (!colo_json_get_int(o, name, &v) || v < min || v > max) {
        return not_valid(name, error);
    }
    *out = (guint)v;
    return TRUE;
}

static gboolean get_flag(JsonObject *o, const char *name, gboolean *out,
                         GError **error)
{
    return colo_json_get_bool(o, name, out) || not_valid(name, error);
}

static gboolean get_name(JsonObject *o, const char *name, char **out,
                         GError **error)
{
    const char *s = colo_json_get_string(o, name);

    /* It goes to logs and terminals, too. */
    if (!s || !colo_name_is_valid(s)) {
        return not_valid(name, error);
    }
    *out = g_strdup(s);
    return TRUE;
}

static gboolean get_instance(JsonObject *o, const char *name, char **out,
                             GError **error)
{
    const char *s = colo_json_get_string(o, name);

    if (!s || strlen(s) != INSTANCE_LEN ||
        strspn(s, "0123456789abcdef") != INSTANCE_LEN) {
        return not_valid(name, error);
    }
    *out = g_strdup(s);
    return TRUE;
}

NetHello *net_hello_parse(const guint8 *json, gsize len, GError **error)
{
    g_autoptr(NetHello) h = g_new0(NetHello, 1);
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autofree char *text = NULL;
    g_autoptr(JsonNode) node = NULL;
    JsonObject *o;

    if (len > NET_WIRE_MAX_HELLO) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the peer's hello is longer than %d bytes",
                    NET_WIRE_MAX_HELLO);
        return NULL;
    }
    text = g_malloc(len + 1);
    if (len) {
        memcpy(text, json, len);
    }
    text[len] = 0;
    node = colo_qmp_parse(parser, text, len, MAX_DEPTH, TRUE, error);
    if (!node) {
        g_prefix_error(error, "the peer's hello cannot be read: ");
        return NULL;
    }
    o = json_node_get_object(node);
    if (!get_number(o, "version-min", 1, G_MAXUINT16, &h->version_min, error) ||
        !get_number(o, "version-max", h->version_min, G_MAXUINT16,
                    &h->version_max, error) ||
        !get_name(o, "name", &h->name, error) ||
        !get_flag(o, "primary", &h->primary, error) ||
        !get_number(o, "interfaces", 1, NET_WIRE_MAX_IFACES, &h->ifaces,
                    error) ||
        !get_instance(o, "instance", &h->instance, error) ||
        !get_flag(o, "attached", &h->attached, error)) {
        return NULL;
    }
    h->digests =
        colo_json_get_bool(o, "digests", &h->digests) && h->digests;
    return g_steal_pointer(&h);
}

gboolean net_hello_matches(const NetHello *ours, const NetHello *theirs,
                           GError **error)
{
    if (theirs->version_max < ours->version_min ||
        theirs->version_min > ours->version_max) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "the peer speaks version %u to %u between the proxies, "
                    "this colo-proxy %u to %u: run the same release on both "
                    "hosts",
                    theirs->version_min, theirs->version_max, ours->version_min,
                    ours->version_max);
        return FALSE;
    }
    if (strcmp(ours->name, theirs->name) != 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "the peer's virtual machine is \"%s\", ours is \"%s\": "
                    "give both the same --name, or each pair its own port",
                    theirs->name, ours->name);
        return FALSE;
    }
    if (ours->primary == theirs->primary) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "the peer is a %s, too: start one with --primary-if, the "
                    "other with --secondary-if",
                    ours->primary ? "primary" : "secondary");
        return FALSE;
    }
    if (ours->ifaces != theirs->ifaces) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "the peer protects %u interfaces, this colo-proxy %u: "
                    "repeat --primary-if and --secondary-if equally often",
                    theirs->ifaces, ours->ifaces);
        return FALSE;
    }
    return TRUE;
}
