/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses of peers. */
#include "blockrep/plugin/peer.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

/* IPv4 as IPv4, and nothing but the address counts.  FALSE: of neither kind */
static gboolean plain(const struct sockaddr *addr, socklen_t len,
                      struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (addr->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in *to = (void *)out;

        to->sin_family = AF_INET;
        to->sin_addr = ((const struct sockaddr_in *)addr)->sin_addr;
        return TRUE;
    }
    if (addr->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *from = (const void *)addr;

        if (IN6_IS_ADDR_V4MAPPED(&from->sin6_addr)) {
            struct sockaddr_in *to = (void *)out;

            to->sin_family = AF_INET;
            memcpy(&to->sin_addr, from->sin6_addr.s6_addr + 12, 4);
        } else {
            struct sockaddr_in6 *to = (void *)out;

            to->sin6_family = AF_INET6;
            to->sin6_addr = from->sin6_addr;
            to->sin6_scope_id = from->sin6_scope_id;
        }
        return TRUE;
    }
    return FALSE;
}

char *peer_host(const struct sockaddr *addr, socklen_t len)
{
    struct sockaddr_storage a;
    char host[NI_MAXHOST];

    if (addr->sa_family == AF_UNIX) {
        return g_strdup("local");
    }
    if (plain(addr, len, &a) &&
        !getnameinfo((struct sockaddr *)&a,
                     a.ss_family == AF_INET ? sizeof(struct sockaddr_in)
                                            : sizeof(struct sockaddr_in6),
                     host, sizeof(host), NULL, 0, NI_NUMERICHOST)) {
        return g_strdup(host);
    }
    return g_strdup_printf("of family %d", addr->sa_family);
}

static gboolean is_loopback(const struct sockaddr_storage *a)
{
    const struct sockaddr_in *v4 = (const void *)a;
    const struct sockaddr_in6 *v6 = (const void *)a;

    return a->ss_family == AF_INET
               ? ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET
               : IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static gboolean is_own(const struct sockaddr_storage *a)
{
    struct ifaddrs *list, *i;
    gboolean own = FALSE;

    if (getifaddrs(&list) < 0) {
        return FALSE;
    }
    for (i = list; i && !own; i = i->ifa_next) {
        struct sockaddr_storage b;

        if (i->ifa_addr && plain(i->ifa_addr, sizeof(b), &b)) {
            own = !memcmp(a, &b, sizeof(b));
        }
    }
    freeifaddrs(list);
    return own;
}

gboolean peer_is_local(const struct sockaddr *addr, socklen_t len)
{
    struct sockaddr_storage a;

    return addr->sa_family == AF_UNIX ||
           (plain(addr, len, &a) && (is_loopback(&a) || is_own(&a)));
}
