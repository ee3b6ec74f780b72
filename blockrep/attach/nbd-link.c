/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The secondary's NBD server: a connection of our own to it, by libnbd. */
#include "blockrep/attach/nbd-link.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

G_DEFINE_QUARK(colo - disk - error - quark, colo_disk_error)

#define PSK_FILE "keys.psk"
#define CLOSED   "it closed the connection"

/* The first name in a file of lines "name:key in hex"; NULL: none. */
static char *psk_user(const char *path)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return NULL;
    }
    lines = g_strsplit(text, "\n", -1);
    for (char **l = lines; *l; l++) {
        const char *colon = strchr(*l, ':');

        if (**l != '#' && colon && colon > *l) {
            return g_strndup(*l, colon - *l);
        }
    }
    return NULL;
}

NbdPeer *nbd_peer_new(const ColoDiskPeer *peer)
{
    NbdPeer *p = g_new0(NbdPeer, 1);

    p->addr = colo_addr_copy(peer->addr);
    p->text = colo_addr_format(peer->addr);
    p->certificates = g_strdup(peer->tls_certificates);
    p->psk = g_strdup(peer->tls_psk);
    p->hang_us = peer->hang_us ? peer->hang_us : COLO_DISK_HANG_US;
    p->reconnect_us =
        peer->reconnect_us ? peer->reconnect_us : COLO_DISK_RECONNECT_US;
    if (p->psk) {
        p->psk_user = psk_user(p->psk);
    }
    return p;
}

void nbd_peer_free(NbdPeer *p)
{
    if (p) {
        colo_addr_free(p->addr);
        g_free(p->text);
        g_free(p->certificates);
        g_free(p->psk);
        g_free(p->psk_user);
        g_free(p);
    }
}

gboolean nbd_peer_check(const NbdPeer *p, GError **error)
{
    g_autofree char *base = p->psk ? g_path_get_basename(p->psk) : NULL;

    if (p->psk && !g_str_equal(base, PSK_FILE)) {
        g_set_error(
            error, COLO_DISK_ERROR, COLO_DISK_ERROR_REFUSED,
            "QEMU reads pre-shared keys only from a file called " PSK_FILE
            ": rename %s, and give the new name to --tls-psk",
            p->psk);
        return FALSE;
    }
    if (p->psk && !p->psk_user) {
        g_set_error(error, COLO_DISK_ERROR, COLO_DISK_ERROR_REFUSED,
                    "cannot read a line NAME:KEY from --tls-psk %s", p->psk);
        return FALSE;
    }
    return TRUE;
}

gboolean nbd_link_error(const NbdPeer *p, struct nbd_handle *h,
                        const char *what, GError **error)
{
    /* An end of file is no error to libnbd, whose last one may be old. */
    const char *text = h && nbd_aio_is_closed(h) > 0 ? NULL : nbd_get_error();

    g_set_error(error, COLO_DISK_ERROR, COLO_DISK_ERROR_GONE,
                "NBD server %s: %s: %s", p->text, what, text ? text : CLOSED);
    return FALSE;
}

void nbd_link_explain(const NbdPeer *p, GError **error)
{
    const char *text = (*error)->message;

    if ((p->psk || p->certificates) &&
        g_error_matches(*error, COLO_DISK_ERROR, COLO_DISK_ERROR_GONE) &&
        (strstr(text, "gnutls") || strstr(text, "TLS") ||
         strstr(text, CLOSED))) {
        (*error)->code = COLO_DISK_ERROR_REFUSED;
        g_prefix_error(error, "%s",
                       p->psk ? "TLS: --tls-psk of both sides must have the "
                                "same key: "
                              : "TLS: --tls-certificates of both sides must be "
                                "of one authority, the secondary's for its "
                                "address: ");
    }
}

gint64 nbd_link_pause(const GError *error)
{
    return g_error_matches(error, COLO_DISK_ERROR, COLO_DISK_ERROR_REFUSED)
               ? NBD_REFUSED_US
               : NBD_RETRY_US;
}

static gboolean link_timeout(const NbdPeer *p, const char *what, GError **error)
{
    g_set_error(error, COLO_DISK_ERROR, COLO_DISK_ERROR_TIMEOUT,
                "NBD server %s: %s: it does not answer", p->text, what);
    return FALSE;
}

static gboolean is_open(struct nbd_handle *h)
{
    return !nbd_aio_is_dead(h) && !nbd_aio_is_closed(h);
}

gboolean nbd_link_step(struct nbd_handle *h, int wake, gint64 deadline_us,
                       gboolean *woken)
{
    unsigned direction = nbd_aio_get_direction(h);
    struct pollfd p[2] = {
        {.fd = nbd_aio_get_fd(h)},
        {.fd = wake, .events = POLLIN},
    };
    gint64 left = deadline_us - g_get_monotonic_time();
    struct timespec wait = {0};
    int n;

    p[0].events = (direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
                  (direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0);
    if (left > 0) {
        wait.tv_sec = left / G_USEC_PER_SEC;
        wait.tv_nsec = left % G_USEC_PER_SEC * 1000;
    }
    n = ppoll(p, 2, &wait, NULL);
    if (n < 0 && errno != EINTR) {
        return FALSE;
    }
    if (n <= 0) {
        return TRUE;
    }
    if (woken) {
        *woken = p[1].revents != 0;
    }
    if (p[0].revents & (POLLIN | POLLHUP | POLLERR) &&
        direction & LIBNBD_AIO_DIRECTION_READ) {
        return nbd_aio_notify_read(h) == 0 && is_open(h);
    }
    if (p[0].revents & (POLLOUT | POLLHUP | POLLERR) &&
        direction & LIBNBD_AIO_DIRECTION_WRITE) {
        return nbd_aio_notify_write(h) == 0 && is_open(h);
    }
    return TRUE;
}

/*
 * Until done() holds: TRUE.  A connection that breaks, the deadline, or a
 * wake-up: FALSE.
 */
static gboolean wait_until(const NbdPeer *p, struct nbd_handle *h, int wake,
                           gint64 deadline_us,
                           gboolean (*done)(struct nbd_handle *h),
                           const char *what, GError **error)
{
    gboolean woken = FALSE;

    while (!done(h)) {
        if (!is_open(h) || !nbd_link_step(h, wake, deadline_us, &woken)) {
            return nbd_link_error(p, h, what, error);
        }
        if (!done(h) && (woken || g_get_monotonic_time() >= deadline_us)) {
            return link_timeout(p, what, error);
        }
    }
    return TRUE;
}

static gboolean is_negotiating(struct nbd_handle *h)
{
    return nbd_aio_is_negotiating(h) > 0;
}

static gboolean is_ready(struct nbd_handle *h)
{
    return nbd_aio_is_ready(h) > 0;
}

/* A refused nbd_aio_opt_go() negotiates again. */
static gboolean is_settled(struct nbd_handle *h)
{
    return is_ready(h) || is_negotiating(h);
}

static gboolean set_tls(const NbdPeer *p, struct nbd_handle *h)
{
    if (p->psk) {
        return nbd_set_tls(h, LIBNBD_TLS_REQUIRE) == 0 &&
               nbd_set_tls_psk_file(h, p->psk) == 0 &&
               (!p->psk_user || nbd_set_tls_username(h, p->psk_user) == 0);
    }
    if (p->certificates) {
        return nbd_set_tls(h, LIBNBD_TLS_REQUIRE) == 0 &&
               nbd_set_tls_certificates(h, p->certificates) == 0;
    }
    return TRUE;
}

static gboolean connect_to(const NbdPeer *p, struct nbd_handle *h)
{
    char port[8];

    if (p->addr->path) {
        return nbd_aio_connect_unix(h, p->addr->path) == 0;
    }
    g_snprintf(port, sizeof(port), "%u", p->addr->port);
    return nbd_aio_connect_tcp(h, p->addr->host ? p->addr->host : "localhost",
                               port) == 0;
}

struct nbd_handle *nbd_link_open(const NbdPeer *p, int wake, gint64 deadline_us,
                                 GError **error)
{
    struct nbd_handle *h = nbd_create();

    if (!h || nbd_set_opt_mode(h, true) < 0 || !set_tls(p, h) ||
        !connect_to(p, h)) {
        nbd_link_error(p, h, "cannot connect", error);
    } else if (wait_until(p, h, wake, deadline_us, is_negotiating,
                          "cannot connect", error)) {
        return h;
    }
    if (h) {
        nbd_close(h);
    }
    return NULL;
}

/* What the server said to an option; on its way as libnbd's user data. */
static int answered(void *data, int *error)
{
    *(int *)data = *error ? *error : -1;
    return 1;
}

/* Our plugin hides its exports from hosts that should use TLS and do not. */
static const char *tls_hint(const NbdPeer *p)
{
    return p->psk || p->certificates
               ? ""
               : "; if the secondary has --tls-psk or --tls-certificates, "
                 "give that here, too";
}

gboolean nbd_link_info(const NbdPeer *p, struct nbd_handle *h, int wake,
                       const char *export, gint64 deadline_us, guint64 *size,
                       GError **error)
{
    int status = 0;
    nbd_completion_callback done = {.callback = answered, .user_data = &status};
    g_autofree char *what = g_strdup_printf("export %s", export);
    int64_t got;

    if (nbd_set_export_name(h, export) < 0 || nbd_aio_opt_info(h, done) < 0) {
        return nbd_link_error(p, h, what, error);
    }
    if (!wait_until(p, h, wake, deadline_us, is_negotiating, what, error)) {
        return FALSE;
    }
    if (status > 0) {
        g_set_error(error, COLO_DISK_ERROR, COLO_DISK_ERROR_REFUSED,
                    "NBD server %s has no export %s: give the secondary "
                    "--disk for it, or correct --disk or --nbd here%s",
                    p->text, export, tls_hint(p));
        return FALSE;
    }
    if (nbd_is_read_only(h) > 0) {
        g_set_error(error, COLO_DISK_ERROR, COLO_DISK_ERROR_REFUSED,
                    "NBD server %s: export %s is read-only", p->text, export);
        return FALSE;
    }
    got = nbd_get_size(h);
    if (got < 0) {
        return nbd_link_error(p, h, what, error);
    }
    *size = got;
    return TRUE;
}

gboolean nbd_link_go(const NbdPeer *p, struct nbd_handle *h, int wake,
                     const char *export, gint64 deadline_us, GError **error)
{
    g_autofree char *what = g_strdup_printf("export %s", export);

    if (nbd_set_export_name(h, export) < 0 ||
        nbd_aio_opt_go(h, NBD_NULL_COMPLETION) < 0) {
        return nbd_link_error(p, h, what, error);
    }
    if (!wait_until(p, h, wake, deadline_us, is_settled, what, error)) {
        return FALSE;
    }
    if (!is_ready(h)) {
        g_set_error(error, COLO_DISK_ERROR, COLO_DISK_ERROR_REFUSED,
                    "NBD server %s has no export %s%s", p->text, export,
                    tls_hint(p));
        return FALSE;
    }
    return TRUE;
}
