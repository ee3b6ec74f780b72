/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processors are kept from deep sleep while packets come, and only then. */
#include "netcompare/proxy/awake.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define DEVICE   "/dev/cpu_dma_latency"
#define LIMIT_US 7

/* What the kernel keeps to now, of all who ask; other processes may, too. */
static gint32 kept_us(void)
{
    int fd = open(DEVICE, O_RDONLY | O_CLOEXEC);
    gint32 us = -1;

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(read(fd, &us, sizeof(us)), ==, sizeof(us));
    close(fd);
    return us;
}

/* This process has a request: it lasts as long as the device is open. */
static gboolean held(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    const char *name;

    g_assert_nonnull(dir);
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename("/proc/self/fd", name, NULL);
        g_autofree char *to = g_file_read_link(path, NULL);

        if (to && !strcmp(to, DEVICE)) {
            g_assert_cmpint(kept_us(), <=, LIMIT_US);
            return TRUE;
        }
    }
    return FALSE;
}

static void turn(guint packets, gboolean wanted)
{
    for (guint i = 0; i < packets; i++) {
        awake_count();
    }
    awake_tick(wanted);
}

static void busy(void)
{
    awake_init(LIMIT_US);
    turn(3, TRUE);
    g_assert_false(held());
    turn(30, TRUE);
    for (int i = 0; i < 3; i++) {
        g_assert_true(held());
        turn(1, TRUE);
    }
    turn(30, TRUE);
    for (int i = 0; i < 4; i++) {
        g_assert_true(held());
        turn(1, TRUE);
    }
    g_assert_false(held());
}

static void unwanted(void)
{
    awake_init(LIMIT_US);
    turn(30, FALSE);
    g_assert_false(held());
    turn(30, TRUE);
    g_assert_true(held());
    turn(30, FALSE); /* a takeover, or protection has ended */
    g_assert_false(held());
}

static void off(void)
{
    awake_init(AWAKE_OFF);
    turn(30, TRUE);
    g_assert_false(held());
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (access(DEVICE, R_OK | W_OK) < 0) {
        g_print("1..0 # SKIP no right to write to " DEVICE "\n");
        return 0;
    }
    g_test_add_func("/awake/busy", busy);
    g_test_add_func("/awake/unwanted", unwanted);
    g_test_add_func("/awake/off", off);
    return g_test_run();
}
