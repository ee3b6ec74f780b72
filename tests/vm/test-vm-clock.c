/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's clocks in a device state, and how far they are moved. */
#include "colo/vm/vm-clock.h"
#include "colo/vm/vm-vmstate.h"

#include <string.h>

/* As QEMU 7.2 wrote them: pc, -smp 1; what follows begins with a CPU. */
static const guint8 real[] = {
    'Q',  'E',  'V',  'M',  0,    0,    0,    3,    0x04, 0,    0,    0,
    0,    5,    't',  'i',  'm',  'e',  'r',  0,    0,    0,    0,    0,
    0,    0,    2,    0,    0,    0,    0,    0xd5, 0xac, 0x0b, 0xe5, 0,
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0x57,
    0x60, 0x3e, 0x62, 0x7e, 0,    0,    0,    0,    0x04, 0,    0,    0,
    4,    10,   'c',  'p',  'u',  '_',  'c',  'o',  'm',  'm',  'o',  'n',
    0,    0,    0,    0,    0,    0,    0,    1,    0,    0,    0,    1,
    0,    0,    0,    0,    0x7e, 0,    0,    0,    4,    0};

enum { TICKS = 27, CLOCK = 43, FOOTER = 51, SECTION_END = 56 };

static void test_get(void)
{
    ColoVmTimer t;

    g_assert_true(colo_vmstate_timer(real, sizeof(real), &t));
    g_assert_cmphex((guint64)t.ticks, ==, 0xd5ac0be5);
    g_assert_cmphex((guint64)t.clock, ==, 0x57603e62);
}

/* What is not this section to the last byte is none. */
static void test_refused(void)
{
    static const struct {
        const char *what;
        gsize at;
        guint8 byte;
    } cases[] = {
        {"another type of section, no state at all", 8, 0x01},
        {"another section id than the footer's", 12, 1},
        {"a longer name", 13, 6},
        {"another name", 14, 'T'},
        {"another instance", 22, 1},
        {"version 1: no clock in it", 26, 1},
        {"a version to come", 26, 3},
        {"a subsection in place of the footer", FOOTER, 0x05},
        {"another footer id", FOOTER + 4, 1},
    };
    ColoVmTimer t = {1, 2};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree guint8 *copy = g_memdup2(real, sizeof(real));
        g_autoptr(GByteArray) as_is = g_byte_array_new();
        g_autoptr(GByteArray) out = g_byte_array_new();

        copy[cases[i].at] = cases[i].byte;
        g_test_message("%s", cases[i].what);
        g_assert_false(colo_vmstate_timer(copy, sizeof(real), &t));
        colo_vmstate_build(copy, sizeof(real), "pc", NULL, as_is, NULL);
        colo_vmstate_build(copy, sizeof(real), "pc", &t, out, NULL);
        g_assert_cmpmem(out->data, out->len, as_is->data, as_is->len);
    }
    for (gsize n = 0; n < SECTION_END; n++) {
        g_autofree guint8 *copy = g_memdup2(real, n);

        g_assert_false(colo_vmstate_timer(copy, n, &t));
    }
    g_assert_true(colo_vmstate_timer(real, SECTION_END, &t));
}

/* Both values change where they are, and nothing else does. */
static void test_put(void)
{
    ColoVmTimer t = {G_GINT64_CONSTANT(0x0102030405060708), -2};
    g_autofree guint8 *want = g_memdup2(real, sizeof(real));
    g_autoptr(GByteArray) as_is = g_byte_array_new();
    g_autoptr(GByteArray) out = g_byte_array_new();
    gsize more;

    for (guint8 i = 0; i < 8; i++) {
        want[TICKS + i] = (guint8)(i + 1);
        want[CLOCK + i] = i == 7 ? 0xfe : 0xff;
    }
    g_assert_true(
        colo_vmstate_build(real, sizeof(real), "pc", &t, out, NULL));
    g_assert_true(
        colo_vmstate_build(want, sizeof(real), "pc", NULL, as_is, NULL));
    g_assert_cmpmem(out->data, out->len, as_is->data, as_is->len);
    more = strlen("pc") + 5; /* the configuration, in front of it */
    g_assert_cmpint(out->data[TICKS + more], ==, 1);
}

#define MS     G_GINT64_CONSTANT(1000) /* us */
#define MS_NS  G_GINT64_CONSTANT(1000000)
#define A_LONG_TIME (1000 * 1000 * MS)

/* A guest whose TSC makes 5 ticks in 2 ns, ms after its start. */
static ColoVmTimer at(gint64 ms)
{
    return (ColoVmTimer){.clock = ms * MS_NS, .ticks = ms * MS_NS / 2 * 5};
}

static void test_move(void)
{
    ColoVmTimer t = at(1000);
    gint64 now = A_LONG_TIME;
    ColoVmClock c = {0};

    /* The rate is not known yet. */
    g_assert_cmpint(colo_vm_clock_move(&c, &t, now - 5 * MS, now), ==, 0);
    g_assert_cmpint(t.clock, ==, 1000 * MS_NS);
    g_assert_cmpint(colo_vm_clock_wait(&c, now + 2 * MS), ==, 0);
    g_assert_cmpint(colo_vm_clock_ran(&c, now + 2 * MS, now + 3 * MS), ==, 0);

    /* 5 ms since then, 3 ms to come, as long as the last one took */
    t = at(1100);
    now += 100 * MS;
    g_assert_cmpint(colo_vm_clock_move(&c, &t, now - 5 * MS, now), ==, 8 * MS);
    g_assert_cmpint(t.clock, ==, 1108 * MS_NS);
    g_assert_cmpint(t.ticks, ==, 1108 * MS_NS / 2 * 5);
    /* Ready soon; resuming takes one of them. */
    g_assert_cmpint(colo_vm_clock_wait(&c, now + MS), ==, MS);
    g_assert_cmpint(colo_vm_clock_ran(&c, now + 2 * MS, now + 5 * MS), ==,
                    2 * MS);
    /* A cont of a guest that was not loaded */
    g_assert_cmpint(colo_vm_clock_wait(&c, now + 6 * MS), ==, 0);
    g_assert_cmpint(colo_vm_clock_ran(&c, now + 6 * MS, now + 7 * MS), ==, 0);

    /* The same state again, after a load that somebody came into */
    t = at(1100);
    g_assert_cmpint(colo_vm_clock_move(&c, &t, now - 5 * MS, now), ==, 8 * MS);
    g_assert_cmpint(colo_vm_clock_wait(&c, now + 9 * MS), ==, 0);

    /* Nobody knows, or the guest does not run: as it is, but learnt from */
    t = at(1200);
    now += 100 * MS;
    g_assert_cmpint(colo_vm_clock_move(&c, &t, 0, now), ==, 0);
    g_assert_cmpint(t.clock, ==, 1200 * MS_NS);
    g_assert_cmpint(colo_vm_clock_wait(&c, now), ==, 0);
    t = at(1300);
    now += 100 * MS;
    g_assert_cmpint(colo_vm_clock_move(&c, &t, now - MS, now), >, 0);

    /* Another guest's states */
    colo_vm_clock_forget(&c);
    t = at(1400);
    g_assert_cmpint(colo_vm_clock_move(&c, &t, now - MS, now), ==, 0);
    t = at(1500);
    g_assert_cmpint(colo_vm_clock_move(&c, &t, now - MS, now), >, 0);
}

/* QEMU lost its processor between the two clocks, when it stopped or ran on. */
static void test_not_at_once(void)
{
    gint64 now = A_LONG_TIME, lost = 0;
    ColoVmClock c = {0};

    for (guint i = 0; i < 30; i++) {
        ColoVmTimer was, t = at(1000 + 50 * i);
        gint64 us;

        if (i == 4 || i == 13 || i == 22) {
            lost += (i == 13 ? -14 : 14) * MS_NS;
        }
        t.clock += lost;
        was = t;
        now += 50 * MS;
        us = colo_vm_clock_move(&c, &t, now - MS, now);
        g_assert_cmpint(us, ==, i ? MS : 0);
        g_assert_cmpint(t.ticks - was.ticks, ==, us * 2500);
    }
}

/* What cannot be right moves nothing. */
static void test_nonsense(void)
{
    static const struct {
        const char *what;
        ColoVmTimer first, second;
        gint64 ago_us; /* since when the guest runs */
        gboolean moved;
    } cases[] = {
        {"as it should be", {0, 0}, {250 * MS_NS, 100 * MS_NS}, MS, TRUE},
        {"runs from now on", {0, 0}, {250 * MS_NS, 100 * MS_NS}, 0, FALSE},
        {"not yet", {0, 0}, {250 * MS_NS, 100 * MS_NS}, -MS, FALSE},
        {"a second", {0, 0}, {250 * MS_NS, 100 * MS_NS}, 1000 * MS, TRUE},
        {"more", {0, 0}, {250 * MS_NS, 100 * MS_NS}, 1000 * MS + 1, FALSE},
        {"slowest", {0, 0}, {10 * MS_NS, 100 * MS_NS}, MS, TRUE},
        {"slower", {0, 0}, {9 * MS_NS, 100 * MS_NS}, MS, FALSE},
        {"fastest", {0, 0}, {1000 * MS_NS, 100 * MS_NS}, MS, TRUE},
        {"faster", {0, 0}, {1001 * MS_NS, 100 * MS_NS}, MS, FALSE},
        {"TSC stands", {5, 0}, {5, 100 * MS_NS}, MS, FALSE},
        {"TSC goes back", {250 * MS_NS, 0}, {0, 100 * MS_NS}, MS, FALSE},
        {"back", {0, 100 * MS_NS}, {250 * MS_NS, 0}, MS, FALSE},
        {"too short", {0, 0}, {25 * MS_NS / 10, MS_NS}, MS, FALSE},
        {"far apart", {0, G_MININT64}, {0, G_MAXINT64}, MS, FALSE},
        {"far apart", {G_MAXINT64, 0}, {G_MININT64, 100 * MS_NS}, MS, FALSE},
        {"clock's end",
         {0, G_MAXINT64 - 100 * MS_NS},
         {250 * MS_NS, G_MAXINT64 - 1},
         MS,
         FALSE},
        {"TSC's end",
         {G_MAXINT64 - 250 * MS_NS, 0},
         {G_MAXINT64 - 1, 100 * MS_NS},
         MS,
         FALSE},
    };
    gint64 now = A_LONG_TIME;

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        ColoVmTimer t = cases[i].first;
        ColoVmClock c = {0};

        colo_vm_clock_move(&c, &t, now, now);
        t = cases[i].second;
        g_test_message("%s", cases[i].what);
        g_assert_cmpint(
            colo_vm_clock_move(&c, &t, now - cases[i].ago_us, now), ==,
            cases[i].moved ? cases[i].ago_us : 0);
        if (!cases[i].moved) {
            g_assert_cmpint(t.clock, ==, cases[i].second.clock);
            g_assert_cmpint(t.ticks, ==, cases[i].second.ticks);
        }
    }
}

/* Most of the last loads count, but none that took much longer. */
static void test_loads(void)
{
    static const struct {
        gint64 took_ms, expected_ms; /* 0: not known yet */
    } loads[] = {{4, 0}, {6, 4}, {90, 4}, {3, 6}, {6, 6}, {5, 6}, {8, 6},
                 {4, 6}, {5, 6}, {5, 6}, {5, 6}, {5, 5}, {2000, 5}, {5, 5},
                 {90, 5}, {90, 5}, {90, 5}, {90, 10}, {90, 10}};
    gint64 now = A_LONG_TIME;
    ColoVmClock c = {0};

    for (guint i = 0; i < G_N_ELEMENTS(loads); i++) {
        gint64 ready = now + loads[i].took_ms * MS;
        ColoVmTimer t = at(now / MS);

        colo_vm_clock_move(&c, &t, now - MS, now);
        g_assert_cmpint(c.expected_us - now, ==, loads[i].expected_ms * MS);
        ready += colo_vm_clock_wait(&c, ready);
        colo_vm_clock_ran(&c, ready, ready);
        now += 5000 * MS;
    }
    /* Resumed before it was told to be: by another one, who knows when. */
    colo_vm_clock_move(&c, &(ColoVmTimer){0}, 0, now);
    g_assert_cmpint(colo_vm_clock_ran(&c, now, now - 1), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vm/clock/get", test_get);
    g_test_add_func("/vm/clock/refused", test_refused);
    g_test_add_func("/vm/clock/put", test_put);
    g_test_add_func("/vm/clock/move", test_move);
    g_test_add_func("/vm/clock/not-at-once", test_not_at_once);
    g_test_add_func("/vm/clock/nonsense", test_nonsense);
    g_test_add_func("/vm/clock/loads", test_loads);
    return g_test_run();
}
