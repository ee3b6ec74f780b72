/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processors for two hosts on one machine.  See processors.h. */
#include "tests/bench/processors.h"
#include "tests/rig/rig.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

static gboolean split;
static cpu_set_t all, host[2];

static void use(const cpu_set_t *set)
{
    if (sched_setaffinity(0, sizeof(*set), set) < 0) {
        rig_die("cannot choose processors: %s", g_strerror(errno));
    }
}

gboolean processors_split(void)
{
    int n, seen = 0;

    if (sched_getaffinity(0, sizeof(all), &all) < 0) {
        rig_die("cannot ask for this process's processors: %s",
                g_strerror(errno));
    }
    n = CPU_COUNT(&all);
    CPU_ZERO(&host[0]);
    CPU_ZERO(&host[1]);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &all)) {
            CPU_SET(i, &host[seen++ >= n / 2]);
        }
    }
    split = n > 1;
    return split;
}

void processors_of(gboolean second)
{
    if (split) {
        use(&host[second]);
    }
}

void processors_all(void)
{
    if (split) {
        use(&all);
    }
}
