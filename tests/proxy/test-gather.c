/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Wakeups wait for more when there are many, and only then. */
#include "netcompare/proxy/gather.h"

#include <unistd.h>

static int pipes[2];

static gint poll_once(gint timeout_ms)
{
    GPollFD fd = {.fd = pipes[0], .events = G_IO_IN};
    gint ready = gather_poll(&fd, 1, timeout_ms);

    g_assert_cmpint(ready > 0, ==, (fd.revents & G_IO_IN) != 0);
    return ready;
}

static void put(void)
{
    g_assert_cmpint(write(pipes[1], "x", 1), ==, 1);
}

static void take(void)
{
    char byte;

    g_assert_cmpint(read(pipes[0], &byte, 1), ==, 1);
}

static void often(void)
{
    guint64 before = gather_waits();
    gint64 end = g_get_monotonic_time() + G_USEC_PER_SEC / 5;

    put(); /* there is always something */
    while (g_get_monotonic_time() < end) {
        g_assert_cmpint(poll_once(1000), ==, 1);
    }
    take();
    g_assert_cmpuint(gather_waits() - before, >, 10);
}

/* Not often, but much: each time so many packets of that many bytes. */
static void expect_waits(guint packets, gsize len)
{
    guint64 before = gather_waits();
    gint64 end = g_get_monotonic_time() + G_USEC_PER_SEC / 5;

    put();
    while (g_get_monotonic_time() < end) {
        g_usleep(500);
        for (guint i = 0; i < packets; i++) {
            gather_count(len);
        }
        g_assert_cmpint(poll_once(1000), ==, 1);
    }
    take();
    g_assert_cmpuint(gather_waits() - before, >, 10);
}

static void bulk(void)
{
    expect_waits(1, 1 << 20);
}

static void flood(void)
{
    expect_waits(60, 64);
}

static void seldom(void)
{
    guint64 before;

    /* Until what was often is forgotten. */
    for (int i = 0; i < 4; i++) {
        g_usleep(5000);
        put();
        g_assert_cmpint(poll_once(1000), ==, 1);
        take();
    }
    before = gather_waits();
    for (int i = 0; i < 50; i++) {
        g_usleep(1000);
        put();
        g_assert_cmpint(poll_once(1000), ==, 1);
        take();
    }
    g_assert_cmpint(poll_once(0), ==, 0);
    g_assert_cmpuint(gather_waits() - before, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(pipe(pipes), ==, 0);
    g_test_add_func("/gather/often", often);
    g_test_add_func("/gather/bulk", bulk);
    g_test_add_func("/gather/flood", flood);
    g_test_add_func("/gather/seldom", seldom);
    return g_test_run();
}
