/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Socket addresses: their text, and the sockets made from them. */
#include "colo/sockaddr.h"

#include "colo/common/unix-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BACKLOG = 128,
    MAX_HOST = 255,
    /* For a name server, where the caller gave no time of its own. */
    RESOLVE_US = 5 * G_USEC_PER_SEC,
};

static ColoAddr *invalid(const char *text, const char *why, GError **error)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "invalid address \"%s\": %s (write :PORT, HOST:PORT, "
                "[IPv6]:PORT or unix:/PATH)",
                text, why);
    return NULL;
}

static gboolean is_ipv6(const char *host)
{
    g_autoptr(GSocketAddress) sa =
        g_inet_socket_address_new_from_string(host, 0);

    return sa && g_socket_address_get_family(sa) == G_SOCKET_FAMILY_IPV6;
}

static gboolean is_host_name(const char *host)
{
    for (const char *p = host; *p; p++) {
        if (!g_ascii_isalnum(*p) && !strchr("-._", *p)) {
            return FALSE;
        }
    }
    return *host && strlen(host) <= MAX_HOST;
}

ColoAddr *colo_addr_parse(const char *text, GError **error)
{
    g_autoptr(ColoAddr) a = g_new0(ColoAddr, 1);
    const char *colon = strrchr(text, ':');
    guint64 port;

    if (g_str_has_prefix(text, "unix:")) {
        if (text[strlen("unix:")] != '/') {
            return invalid(text, "the path must start with /", error);
        }
        a->path = g_strdup(text + strlen("unix:"));
        return g_steal_pointer(&a);
    }
    if (!colon) {
        return invalid(text, "there is no port", error);
    }
    if (!g_ascii_string_to_unsigned(colon + 1, 10, 0, G_MAXUINT16, &port,
                                    NULL)) {
        return invalid(text, "the port must be a number from 0 to 65535",
                       error);
    }
    a->port = port;
    if (text[0] == '[') {
        if (colon[-1] != ']') {
            return invalid(text, "there is no ] before the port", error);
        }
        a->host = g_strndup(text + 1, colon - text - 2);
        if (!is_ipv6(a->host)) {
            return invalid(text, "no IPv6 address between [ and ]", error);
        }
    } else if (colon > text) {
        a->host = g_strndup(text, colon - text);
        if (strchr(a->host, ':')) {
            return invalid(text, "an IPv6 address needs [ and ]", error);
        }
        if (!is_host_name(a->host)) {
            return invalid(text, "this is no host name", error);
        }
    }
    return g_steal_pointer(&a);
}

ColoAddr *colo_addr_copy(const ColoAddr *a)
{
    ColoAddr *copy = g_new0(ColoAddr, 1);

    copy->host = g_strdup(a->host);
    copy->port = a->port;
    copy->path = g_strdup(a->path);
    return copy;
}

void colo_addr_free(ColoAddr *a)
{
    if (a) {
        g_free(a->host);
        g_free(a->path);
        g_free(a);
    }
}

char *colo_addr_format(const ColoAddr *a)
{
    if (a->path) {
        return g_strconcat("unix:", a->path, NULL);
    }
    if (a->host && strchr(a->host, ':')) {
        return g_strdup_printf("[%s]:%u", a->host, a->port);
    }
    return g_strdup_printf("%s:%u", a->host ? a->host : "", a->port);
}

static void fail(GError **error, int err, const char *doing, const ColoAddr *a)
{
    g_autofree char *text = colo_addr_format(a);

    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(err),
                "cannot %s %s: %s", doing, text, g_strerror(err));
}

/* A native address, as bind(2) and connect(2) take it. */
typedef struct Native {
    struct sockaddr_storage sa;
    socklen_t len;
} Native;

static void add_native(GArray *list, const char *host, guint16 port)
{
    g_autoptr(GSocketAddress) sa =
        g_inet_socket_address_new_from_string(host, port);
    Native n = {.len = 0};

    if (sa && g_socket_address_to_native(sa, &n.sa, sizeof(n.sa), NULL)) {
        n.len = g_socket_address_get_native_size(sa);
        g_array_append_val(list, n);
    }
}

/* A name lookup that ends in time, whatever the name servers do. */
typedef struct Lookup {
    GList *found; /* of GInetAddress */
    GError *error;
    gboolean done;
    GCancellable *cancel;
} Lookup;

static void lookup_done(GObject *resolver, GAsyncResult *result, gpointer data)
{
    Lookup *l = data;

    l->found = g_resolver_lookup_by_name_finish(G_RESOLVER(resolver), result,
                                                &l->error);
    l->done = TRUE;
}

static gboolean lookup_late(gpointer data)
{
    Lookup *l = data;

    g_cancellable_cancel(l->cancel);
    return G_SOURCE_REMOVE;
}

static gboolean look_up(const ColoAddr *a, gint64 timeout_us, GArray *list,
                        GError **error)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GResolver) resolver = g_resolver_get_default();
    g_autoptr(GCancellable) cancel = g_cancellable_new();
    g_autoptr(GSource) timer =
        g_timeout_source_new(MAX(timeout_us, 0) / 1000 + 1);
    Lookup l = {.cancel = cancel};

    g_main_context_push_thread_default(context);
    g_source_set_callback(timer, lookup_late, &l, NULL);
    g_source_attach(timer, context);
    g_resolver_lookup_by_name_async(resolver, a->host, cancel, lookup_done, &l);
    while (!l.done) {
        g_main_context_iteration(context, TRUE);
    }
    g_source_destroy(timer);
    g_main_context_pop_thread_default(context);

    for (GList *i = l.found; i; i = i->next) {
        g_autofree char *text = g_inet_address_to_string(i->data);

        add_native(list, text, a->port);
    }
    g_resolver_free_addresses(l.found);
    if (l.error) {
        gboolean late =
            g_error_matches(l.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

        g_set_error(error, G_IO_ERROR,
                    late ? G_IO_ERROR_TIMED_OUT : G_IO_ERROR_HOST_NOT_FOUND,
                    "cannot find the address of host %s: %s", a->host,
                    late ? "no name server answered in time"
                         : l.error->message);
        g_error_free(l.error);
        return FALSE;
    }
    return TRUE;
}

/* The native addresses of a; NULL with error, never empty. */
static GArray *resolve(const ColoAddr *a, gboolean listening, gint64 timeout_us,
                       GError **error)
{
    g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(Native));

    if (!a->host) {
        add_native(list, listening ? "::" : "::1", a->port);
        add_native(list, listening ? "0.0.0.0" : "127.0.0.1", a->port);
    } else {
        add_native(list, a->host, a->port);
        if (!list->len && !look_up(a, timeout_us, list, error)) {
            return NULL;
        }
    }
    if (!list->len) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_HOST_NOT_FOUND,
                    "host %s has no IP address", a->host);
        return NULL;
    }
    return g_steal_pointer(&list);
}

/* Wait for a connect(2) in progress; 0 or an errno value. */
static int finish_connect(int fd, gint64 deadline_us)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    socklen_t len = sizeof(int);
    int n, err = 0;

    do {
        gint64 left = deadline_us - g_get_monotonic_time();

        n = poll(&p, 1, CLAMP(left / 1000 + 1, 0, G_MAXINT));
    } while (n < 0 && errno == EINTR);
    if (n == 0) {
        return ETIMEDOUT;
    }
    if (n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0) {
        return errno;
    }
    return err;
}

static int connect_one(const Native *to, gint64 deadline_us, int *fd)
{
    int on = 1, flags;

    *fd =
        socket(to->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0) {
        return errno;
    }
    if (connect(*fd, (const struct sockaddr *)&to->sa, to->len) < 0) {
        int err = errno;

        err = err == EINPROGRESS ? finish_connect(*fd, deadline_us) : err;
        if (err) {
            return err;
        }
    }
    flags = fcntl(*fd, F_GETFL);
    if (flags < 0 || fcntl(*fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ||
        setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0) {
        return errno;
    }
    return 0;
}

int colo_addr_connect(const ColoAddr *a, gint64 timeout_us, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + timeout_us;
    g_autoptr(GArray) list = NULL;
    int err = 0;

    if (a->path) {
        return colo_unix_connect(a->path, timeout_us, error);
    }
    list = resolve(a, FALSE, timeout_us, error);
    if (!list) {
        return -1;
    }
    for (guint i = 0; i < list->len; i++) {
        /* One silent address must not use up the time of the others. */
        gint64 now = g_get_monotonic_time();
        gint64 part = MAX(deadline - now, 0) / (list->len - i);
        int fd;

        err = connect_one(&g_array_index(list, Native, i), now + part, &fd);
        if (!err) {
            return fd;
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    fail(error, err, "connect to", a);
    return -1;
}

static int bind_one(const Native *at, int type, int *fd)
{
    int on = 1, off = 0;
    gboolean ipv6 = at->sa.ss_family == AF_INET6;

    *fd = socket(at->sa.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0 ||
        (type == SOCK_STREAM &&
         setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) ||
        (ipv6 &&
         setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0) ||
        bind(*fd, (const struct sockaddr *)&at->sa, at->len) < 0 ||
        (type == SOCK_STREAM && listen(*fd, BACKLOG) < 0)) {
        return errno;
    }
    return 0;
}

/* A socket bound to the first address of a that can be. */
static int bind_any(const ColoAddr *a, int type, const char *doing,
                    GError **error)
{
    g_autoptr(GArray) list = resolve(a, TRUE, RESOLVE_US, error);
    int first = 0;

    for (guint i = 0; list && i < list->len; i++) {
        int fd, err = bind_one(&g_array_index(list, Native, i), type, &fd);

        if (!err) {
            return fd;
        }
        if (fd >= 0) {
            close(fd);
        }
        if (!a->host && err != EAFNOSUPPORT && err != EADDRNOTAVAIL) {
            /* IPv6 works here; half of "every address" will not do. */
            fail(error, err, doing, a);
            return -1;
        }
        first = first ? first : err;
    }
    if (list) {
        fail(error, first, doing, a);
    }
    return -1;
}

int colo_addr_listen(const ColoAddr *a, GError **error)
{
    if (a->path) {
        return colo_unix_listen(a->path, 0600, error);
    }
    return bind_any(a, SOCK_STREAM, "listen at", error);
}

static gboolean no_datagrams(const ColoAddr *a, GError **error)
{
    if (a->path) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "unix:%s cannot take datagrams: write HOST:PORT", a->path);
    }
    return a->path != NULL;
}

int colo_addr_udp(const ColoAddr *a, GError **error)
{
    return no_datagrams(a, error)
               ? -1
               : bind_any(a, SOCK_DGRAM, "receive datagrams at", error);
}

static int udp_socket(const Native *to)
{
    return socket(to->sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                  0);
}

/* Is there a way to it?  connect(2) of a datagram socket sends nothing. */
static gboolean is_routed(const Native *to)
{
    int fd = udp_socket(to);
    gboolean routed =
        fd >= 0 && connect(fd, (const struct sockaddr *)&to->sa, to->len) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return routed;
}

int colo_addr_udp_to(const ColoAddr *a, struct sockaddr_storage *to,
                     socklen_t *to_len, GError **error)
{
    g_autoptr(GArray) list = NULL;
    const Native *n = NULL;
    int fd, err = 0;

    if (no_datagrams(a, error)) {
        return -1;
    }
    list = resolve(a, FALSE, RESOLVE_US, error);
    if (!list) {
        return -1;
    }
    for (guint i = 0; i < list->len && !n; i++) {
        if (is_routed(&g_array_index(list, Native, i))) {
            n = &g_array_index(list, Native, i);
        }
    }
    /* Or one of a family that this host has: its network may be on its way. */
    for (guint i = 0; i < list->len; i++) {
        const Native *next = n ? n : &g_array_index(list, Native, i);

        fd = udp_socket(next);
        if (fd >= 0) {
            *to = next->sa;
            *to_len = next->len;
            return fd;
        }
        err = errno;
    }
    fail(error, err, "send datagrams to", a);
    return -1;
}
