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

/* There is always something; packets of that many bytes, so many a second. */
static guint64 waits_with(double rate, gsize len)
{
    guint64 before = gather_waits();
    gint64 now = g_get_monotonic_time(), end = now + G_USEC_PER_SEC / 5;
    double due = 0;

    put();
    while (now < end) {
        gint64 then = now;

        g_assert_cmpint(poll_once(1000), ==, 1);
        now = g_get_monotonic_time();
        /* After a while without a processor nothing comes at once. */
        due += rate * (double)MIN(now - then, 1000) / 1e6;
        for (; due >= 1; due--) {
            gather_count(len);
        }
    }
    take();
    return gather_waits() - before;
}

static void bulk(void)
{
    g_assert_cmpuint(waits_with(10000, 60000), >, 10);
}

static void flood(void)
{
    g_assert_cmpuint(waits_with(60000, 64), >, 10);
}

/* A download that one guest's server makes: it would only be delayed. */
static void moderate(void)
{
    waits_with(1000, 64); /* what was before is forgotten */
    g_assert_cmpuint(waits_with(3000, 40000), ==, 0);
}

static void seldom(void)
{
    guint64 before;

    /* Until what was before is forgotten. */
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
    g_test_add_func("/gather/bulk", bulk);
    g_test_add_func("/gather/flood", flood);
    g_test_add_func("/gather/moderate", moderate);
    g_test_add_func("/gather/seldom", seldom);
    return g_test_run();
}
