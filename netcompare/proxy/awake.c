/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processors that do not sleep while guests talk. */
#include "netcompare/proxy/awake.h"
#include "colo/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#define DEVICE       "/dev/cpu_dma_latency"
#define BUSY_PACKETS 10
#define QUIET_TURNS  4
/* The lightest idle states of real processors; the next cost ten times more. */
#define REAL_US 2

static gint64 limit = AWAKE_OFF;
static int request = -1; /* held as long as this is open */
static guint packets, quiet;

static gboolean in_a_vm(void)
{
#if defined(__x86_64__) || defined(__i386__)
    enum { LEAF_FEATURES = 1, ECX_HYPERVISOR = 31 };
    guint a, b, c, d;

    return __get_cpuid(LEAF_FEATURES, &a, &b, &c, &d) &&
           c >> ECX_HYPERVISOR & 1;
#else
    return FALSE;
#endif
}

gint64 awake_auto(void)
{
    return in_a_vm() ? 0 : REAL_US;
}

void awake_init(gint64 limit_us)
{
    limit = limit_us;
}

void awake_count(void)
{
    packets++;
}

static void give_up(const char *what)
{
    colo_log_info("cannot %s " DEVICE ": %s; processors may sleep between "
                  "packets (--cpu-latency)",
                  what, g_strerror(errno));
    limit = AWAKE_OFF;
}

static void release(void)
{
    if (request >= 0) {
        close(request);
        request = -1;
    }
}

static void hold(void)
{
    gint32 value = (gint32)limit;

    if (request >= 0) {
        return;
    }
    request = open(DEVICE, O_WRONLY | O_CLOEXEC);
    if (request < 0) {
        give_up("open");
    } else if (write(request, &value, sizeof(value)) != sizeof(value)) {
        give_up("write to");
        release();
    }
}

void awake_tick(gboolean wanted)
{
    gboolean busy = packets >= BUSY_PACKETS;

    packets = 0;
    quiet = busy ? 0 : quiet + 1;
    if (!wanted || quiet >= QUIET_TURNS) {
        release();
    } else if (busy && limit != AWAKE_OFF) {
        hold();
    }
}
