/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What both roles of colo-proxy share. */
#include "netcompare/proxy/proxy.h"
#include "colo/log.h"

#include <glib-unix.h>
#include <string.h>

/* --- Sources ------------------------------------------------------------ */

typedef struct ProxySource {
    Proxy *proxy;
    ProxyReadFunc read;
    gpointer user;
} ProxySource;

static gboolean on_readable(int fd, GIOCondition condition, gpointer data)
{
    ProxySource *s = data;
    Proxy *p = s->proxy;
    g_autoptr(GError) error = NULL;

    if (!s->read(s->user, &error)) {
        proxy_fail(p, error);
        return G_SOURCE_REMOVE;
    }
    proxy_flush(p);
    return G_SOURCE_CONTINUE;
}

guint proxy_add_fd(Proxy *p, int fd, ProxyReadFunc read, gpointer user)
{
    ProxySource *s = g_new(ProxySource, 1);
    g_autoptr(GSource) source = g_unix_fd_source_new(fd, G_IO_IN);

    *s = (ProxySource){.proxy = p, .read = read, .user = user};
    g_source_set_callback(source, G_SOURCE_FUNC(on_readable), s, g_free);
    /* Else GLib takes fd out of the poll for each call, and wakes itself. */
    g_source_set_can_recurse(source, TRUE);
    return g_source_attach(source, NULL);
}

void proxy_flush(Proxy *p)
{
    g_autoptr(GError) error = NULL;

    if (p->queue && !net_nfqueue_flush(p->queue, &error)) {
        proxy_fail(p, error);
    }
    if (p->link) {
        net_link_flush(p->link);
    }
}

void proxy_fail(Proxy *p, const GError *error)
{
    colo_log_error("%s", error->message);
    p->failed = TRUE;
    g_main_loop_quit(p->loop);
}

/* --- The pair ----------------------------------------------------------- */

void proxy_update_ready(Proxy *p, const char *why)
{
    gboolean ready = p->link && net_link_is_up(p->link) && p->peer_attached;

    JsonObject *data;

    if (ready == p->ready) {
        return;
    }
    p->ready = ready;
    colo_log_info("%s: %s", ready ? "ready" : "not ready", why);
    data = json_object_new();
    json_object_set_boolean_member(data, "ready", ready);
    json_object_set_string_member(data, "reason", why);
    colo_qmp_server_emit(p->control, "COLO_PROXY_PEER", data);
}

int proxy_iface(const Proxy *p, guint32 ifindex)
{
    for (guint i = 0; i < p->config->n_taps; i++) {
        if (p->devs[i].index == (int)ifindex) {
            return (int)i;
        }
    }
    return -1;
}

/* --- Frames on the link -------------------------------------------------- */

/* The vnet header travels little-endian, as guests see it. */
static void put_vnet(guint8 out[NET_WIRE_VNET], const struct virtio_net_hdr *v)
{
    struct virtio_net_hdr le = {
        .flags = v->flags,
        .gso_type = v->gso_type,
        .hdr_len = GUINT16_TO_LE(v->hdr_len),
        .gso_size = GUINT16_TO_LE(v->gso_size),
        .csum_start = GUINT16_TO_LE(v->csum_start),
        .csum_offset = GUINT16_TO_LE(v->csum_offset),
    };

    G_STATIC_ASSERT(sizeof(le) == NET_WIRE_VNET);
    memcpy(out, &le, sizeof(le));
}

gboolean proxy_get_frame(const NetWireHead *h, const guint8 *data,
                         struct virtio_net_hdr *vnet, const guint8 **frame,
                         gsize *len, GError **error)
{
    struct virtio_net_hdr le;

    if (h->len < NET_WIRE_VNET) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "a frame of %u bytes has no vnet header", h->len);
        return FALSE;
    }
    memcpy(&le, data, sizeof(le));
    *vnet = (struct virtio_net_hdr){
        .flags = le.flags,
        .gso_type = le.gso_type,
        .hdr_len = GUINT16_FROM_LE(le.hdr_len),
        .gso_size = GUINT16_FROM_LE(le.gso_size),
        .csum_start = GUINT16_FROM_LE(le.csum_start),
        .csum_offset = GUINT16_FROM_LE(le.csum_offset),
    };
    *frame = data + NET_WIRE_VNET;
    *len = h->len - NET_WIRE_VNET;
    if (!net_vnet_ok(vnet, *len)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the vnet header of a frame of %zu bytes makes no sense",
                    *len);
        return FALSE;
    }
    return TRUE;
}

gboolean proxy_send_frame(Proxy *p, NetWireType type, guint iface,
                          guint64 number, const NetFrame *frame)
{
    guint8 vnet[NET_WIRE_VNET];
    const NetWireHead h = {
        .len = (guint32)(NET_WIRE_VNET + frame->len),
        .type = (guint8)type,
        .iface = (guint8)iface,
        .number = number,
    };
    const struct iovec iov[2] = {
        {.iov_base = vnet, .iov_len = NET_WIRE_VNET},
        {.iov_base = (gpointer)frame->data, .iov_len = frame->len},
    };

    put_vnet(vnet, &frame->vnet);
    return net_link_send(p->link, &h, iov, 2);
}

void proxy_send_word(Proxy *p, NetWireType type, guint64 number)
{
    const NetWireHead h = {.type = (guint8)type, .number = number};

    proxy_send(p, &h, NULL);
}

void proxy_send(Proxy *p, const NetWireHead *h, const struct iovec *iov)
{
    if (p->link && net_link_is_up(p->link) &&
        !net_link_send(p->link, h, iov, iov ? 1 : 0)) {
        /* Without this word the two would misunderstand each other. */
        net_link_drop(p->link, "the other proxy does not read what it is sent");
    }
}
