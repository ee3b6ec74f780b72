/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The link of two proxies: which connection it is, and how it begins anew. */
#include "netcompare/link/link-priv.h"

#include "colo/log.h"

#include <gio/gio.h>
#include <string.h>
#include <sys/un.h>

enum {
    /* Between two attempts to connect; doubled from the first on. */
    MIN_DELAY_MS = 20,
    MAX_DELAY_MS = 500,
    CONNECT_MS = 1000,
    /* A connection that lasted this long was a good one. */
    GOOD_US = G_USEC_PER_SEC,
    /* At a time, before their hello */
    MAX_WAITING = 4,
    MAX_SAID = 16,
    DEFAULT_QUEUE = 64 * 1024 * 1024,
    SPARE_BUFS = 8,
};

static void connect_now(NetLink *l);

/* --- What is logged ----------------------------------------------------- */

void net_link_say(NetLink *l, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    if (g_hash_table_contains(l->said, text)) {
        colo_log_debug("again: %s", text);
    } else if (g_hash_table_size(l->said) < MAX_SAID) {
        colo_log_warn("%s", text);
        g_hash_table_add(l->said, g_steal_pointer(&text));
    }
}

/* The address without the port, which is another one each time. */
static char *host_of(const char *peer)
{
    const char *colon = strrchr(peer, ':');

    return colon ? g_strndup(peer, colon - peer) : g_strdup(peer);
}

static void say_of(NetLink *l, const char *peer, const char *why)
{
    g_autofree char *host = l->to ? g_strdup(peer) : host_of(peer);

    net_link_say(l, "no link with the other proxy (%s): %s", host, why);
}

/* --- The primary connects ----------------------------------------------- */

static gboolean retry_now(gpointer data)
{
    NetLink *l = data;

    g_clear_pointer(&l->retry, g_source_unref);
    connect_now(l);
    return G_SOURCE_REMOVE;
}

static void connect_later(NetLink *l)
{
    g_assert(!l->retry && !l->attempt);
    l->retry = g_timeout_source_new(l->delay_ms);
    g_source_set_callback(l->retry, retry_now, l, NULL);
    g_source_attach(l->retry, l->context);
    l->delay_ms = MIN(l->delay_ms * 2, MAX_DELAY_MS);
}

static void attempt_ended(int fd, const GError *error, gpointer user)
{
    NetLink *l = user;

    l->attempt = NULL;
    if (fd < 0) {
        net_link_say(l, "%s; it is tried again", error->message);
        connect_later(l);
    } else {
        l->waiting = g_list_prepend(l->waiting,
                                    net_conn_new(l, fd, g_strdup(l->to_text)));
    }
}

static void connect_now(NetLink *l)
{
    g_main_context_push_thread_default(l->context);
    l->attempt = net_connect_start(l->to, CONNECT_MS, attempt_ended, l);
    g_main_context_pop_thread_default(l->context);
}

/* --- Connections -------------------------------------------------------- */

void net_link_accepted(NetLink *l, int fd, char *peer)
{
    if (g_list_length(l->waiting) == MAX_WAITING) {
        NetConn *oldest = g_list_last(l->waiting)->data;

        say_of(l, oldest->peer, "too many connections without a hello");
        l->waiting = g_list_remove(l->waiting, oldest);
        net_conn_free(oldest);
    }
    l->waiting = g_list_prepend(l->waiting, net_conn_new(l, fd, peer));
}

/* The connection that was up has ended. */
static void end_conn(NetLink *l, const char *why)
{
    NetConn *c = l->conn;
    g_autofree char *text = g_strdup(c->failed ? c->failed : why);

    if (g_get_monotonic_time() - c->opened >= GOOD_US) {
        l->delay_ms = MIN_DELAY_MS;
    }
    l->conn = NULL;
    l->stats.queued = 0;
    net_conn_free(c);
    l->ops.down(l->user, text);
}

void net_link_ended(NetLink *l, NetConn *c)
{
    if (c == l->conn) {
        end_conn(l, NULL);
    } else {
        say_of(l, c->peer, c->failed);
        l->waiting = g_list_remove(l->waiting, c);
        net_conn_free(c);
    }
    if (l->to) {
        connect_later(l);
    }
}

gboolean net_link_take_hello(NetLink *l, NetConn *c, const guint8 *json,
                             gsize len, GError **error)
{
    g_autoptr(NetHello) theirs = net_hello_parse(json, len, error);

    if (!theirs || !net_hello_matches(l->hello, theirs, error)) {
        return FALSE;
    }
    l->waiting = g_list_remove(l->waiting, c);
    if (l->conn) {
        end_conn(l, "a newer connection takes its place");
    }
    c->up = TRUE;
    l->conn = c;
    l->stats.queued = c->out.bytes;
    l->stats.connections++;
    g_hash_table_remove_all(l->said);
    l->ops.up(l->user, theirs);
    return TRUE;
}

/* --- What others call --------------------------------------------------- */

static gboolean path_fits(const ColoAddr *a, GError **error)
{
    struct sockaddr_un *sa;

    if (a->path && strlen(a->path) >= sizeof(sa->sun_path)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "cannot connect to unix:%s: the path is longer than %zu "
                    "bytes",
                    a->path, sizeof(sa->sun_path) - 1);
        return FALSE;
    }
    return TRUE;
}

NetLink *net_link_new(const NetLinkConfig *config, const NetHello *hello,
                      const NetLinkOps *ops, gpointer user, GError **error)
{
    NetLink *l;

    g_return_val_if_fail(!config->connect != !config->listen, NULL);
    g_return_val_if_fail(hello->primary == !!config->connect, NULL);
    if (config->connect && !path_fits(config->connect, error)) {
        return NULL;
    }
    l = g_new0(NetLink, 1);
    l->context = g_main_context_ref_thread_default();
    l->ops = *ops;
    l->user = user;
    l->hello = net_hello_copy(hello);
    l->max_queue = config->max_queue ? config->max_queue : DEFAULT_QUEUE;
    l->max_queue = MAX(l->max_queue, NET_WIRE_HEADER + NET_WIRE_MAX);
    l->pool = net_buf_pool_new(NET_READER_BUF, SPARE_BUFS);
    l->said = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    l->listen_fd = -1;
    l->delay_ms = MIN_DELAY_MS;
    if (config->connect) {
        l->to = colo_addr_copy(config->connect);
        l->to_text = colo_addr_format(l->to);
        connect_now(l);
    } else if (!net_link_listen(l, config->listen, error)) {
        g_clear_pointer(&l, net_link_free);
    }
    return l;
}

void net_link_free(NetLink *l)
{
    if (!l) {
        return;
    }
    if (l->attempt) {
        net_connect_cancel(l->attempt);
    }
    if (l->retry) {
        g_source_destroy(l->retry);
        g_source_unref(l->retry);
    }
    net_link_unlisten(l);
    if (l->conn) {
        net_conn_write(l->conn); /* the last words, as far as they fit */
        net_conn_free(l->conn);
    }
    g_list_free_full(l->waiting, (GDestroyNotify)net_conn_free);
    net_buf_pool_free(l->pool);
    g_hash_table_unref(l->said);
    net_hello_free(l->hello);
    g_clear_pointer(&l->to, colo_addr_free);
    g_free(l->to_text);
    g_main_context_unref(l->context);
    g_free(l);
}

gboolean net_link_is_up(const NetLink *l)
{
    return l->conn && !l->conn->failed;
}

const char *net_link_peer(const NetLink *l)
{
    return l->conn ? l->conn->peer : NULL;
}

static void say_attached(NetConn *c, gboolean attached)
{
    NetWireHead h = {.type = NET_WIRE_ATTACHED, .number = !!attached};

    net_conn_send(c, &h, NULL, 0, G_MAXSIZE);
}

void net_link_set_attached(NetLink *l, gboolean attached)
{
    if (!l->hello->attached == !attached) {
        return;
    }
    l->hello->attached = !!attached;
    /* Those without the peer's hello have had ours, as it was before. */
    for (GList *i = l->waiting; i; i = i->next) {
        say_attached(i->data, attached);
    }
    if (l->conn) {
        say_attached(l->conn, attached);
    }
}

static gboolean is_bulk(guint8 type)
{
    return type == NET_WIRE_FRAME || type == NET_WIRE_DIGEST ||
           type == NET_WIRE_CONTENT;
}

gboolean net_link_send(NetLink *l, const NetWireHead *h,
                       const struct iovec *iov, guint n)
{
    g_autoptr(GError) error = NULL;
    gsize total = 0;

    if (!net_link_is_up(l)) {
        return FALSE;
    }
    for (guint i = 0; i < n; i++) {
        total += iov[i].iov_len;
    }
    g_return_val_if_fail(n <= 3 && total == h->len, FALSE);
    if (!net_wire_check_head(h, l->hello->ifaces, &error)) {
        g_critical("cannot send: %s", error->message);
        return FALSE;
    }
    return net_conn_send(
        l->conn, h, iov, n,
        l->max_queue + (is_bulk(h->type) ? 0 : NET_LINK_RESERVE));
}

void net_link_flush(NetLink *l)
{
    if (net_link_is_up(l)) {
        net_conn_write(l->conn);
    }
}

void net_link_drop(NetLink *l, const char *why)
{
    if (l->conn) {
        net_conn_fail(l->conn, why);
    }
}

void net_link_stats(const NetLink *l, NetLinkStats *s)
{
    *s = l->stats;
}
