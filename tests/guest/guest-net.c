/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The test guest's interface: addresses and routes from the command line. */
#define _GNU_SOURCE
#include "guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEVICE     "eth0"
#define APPEARS_MS 5000u

/* As in linux/ipv6.h, which does not go together with netinet/in.h. */
struct in6_address {
    struct in6_addr addr;
    uint32_t prefix_len;
    int index;
};

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        say("net: cannot write %s: %m", path);
    if (fd >= 0)
        close(fd);
}

static struct ifreq request(void)
{
    struct ifreq ifr;

    memset(&ifr, 0, sizeof(ifr));
    strcpy(ifr.ifr_name, DEVICE);
    return ifr;
}

/* An address must come with the whole command, or it is refused. */
static bool split(const char *text, char *address, size_t size, unsigned *bits)
{
    const char *slash = strchr(text, '/');

    if (slash == NULL || (size_t)(slash - text) >= size)
        return false;
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = '\0';
    *bits = (unsigned)strtoul(slash + 1, NULL, 10);
    return true;
}

static bool up(int fd)
{
    struct ifreq ifr = request();

    for (unsigned ms = 0; ioctl(fd, SIOCGIFFLAGS, &ifr) < 0; ms += 10) {
        if (errno != ENODEV || ms >= APPEARS_MS)
            return false;
        sleep_ms(10);
    }
    ifr.ifr_flags |= IFF_UP;
    return ioctl(fd, SIOCSIFFLAGS, &ifr) == 0;
}

static bool add_ipv4(int fd, const char *text)
{
    struct ifreq ifr = request();
    struct sockaddr_in *a = (struct sockaddr_in *)&ifr.ifr_addr;
    char address[INET_ADDRSTRLEN];
    unsigned bits;

    a->sin_family = AF_INET;
    if (!split(text, address, sizeof(address), &bits) || bits > 32 ||
        inet_pton(AF_INET, address, &a->sin_addr) != 1) {
        errno = EINVAL;
        return false;
    }
    if (ioctl(fd, SIOCSIFADDR, &ifr) < 0)
        return false;
    a->sin_addr.s_addr = bits ? htonl(~0u << (32 - bits)) : 0;
    return ioctl(fd, SIOCSIFNETMASK, &ifr) == 0;
}

static bool add_gateway(int fd, const char *text)
{
    struct rtentry route;
    struct sockaddr_in *gateway = (struct sockaddr_in *)&route.rt_gateway;

    memset(&route, 0, sizeof(route));
    route.rt_dst.sa_family = route.rt_genmask.sa_family = AF_INET;
    route.rt_flags = RTF_UP | RTF_GATEWAY;
    gateway->sin_family = AF_INET;
    if (inet_pton(AF_INET, text, &gateway->sin_addr) != 1) {
        errno = EINVAL;
        return false;
    }
    return ioctl(fd, SIOCADDRT, &route) == 0;
}

static bool add_ipv6(const char *text)
{
    struct in6_address a;
    struct ifreq ifr = request();
    char address[INET6_ADDRSTRLEN];
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok;

    memset(&a, 0, sizeof(a));
    ok = fd >= 0 && split(text, address, sizeof(address), &a.prefix_len) &&
         inet_pton(AF_INET6, address, &a.addr) == 1 &&
         ioctl(fd, SIOCGIFINDEX, &ifr) == 0;
    a.index = ifr.ifr_ifindex;
    ok = ok && ioctl(fd, SIOCSIFADDR, &a) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

bool net_configure(const NetOptions *o)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok;

    /* Nobody else has our addresses; nobody routes. */
    put("/proc/sys/net/ipv6/conf/all/accept_dad", "0");
    put("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
    put("/proc/sys/net/ipv6/conf/" DEVICE "/accept_dad", "0");
    put("/proc/sys/net/ipv6/conf/" DEVICE "/router_solicitations", "0");
    ok = fd >= 0 && up(fd);
    if (!ok)
        say("net: cannot bring " DEVICE " up: %m");
    if (ok && *o->ip && !(ok = add_ipv4(fd, o->ip)))
        say("net: cannot set address %s: %m", o->ip);
    if (ok && *o->ip6 && !(ok = add_ipv6(o->ip6)))
        say("net: cannot set address %s: %m", o->ip6);
    if (ok && *o->gw && !(ok = add_gateway(fd, o->gw)))
        say("net: cannot set gateway %s: %m", o->gw);
    if (fd >= 0)
        close(fd);
    return ok;
}
