/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Real QEMUs for tests: started from a configuration, with a guest of a few
 * instructions in place of the firmware, and killed with the test.
 */
#ifndef TESTS_VM_PAIR_H
#define TESTS_VM_PAIR_H

#include "colo/qmp-client.h"
#include "colo/vm/vm.h"

/*
 * The guest counts, and keeps the count and a chain value computed from it
 * in registers as well as in RAM.  When RAM and registers disagree it sets
 * TINY_TORN and stops.
 */
#define TINY_COUNT 0x1000
#define TINY_CHAIN 0x1004
#define TINY_TORN  0x1008

typedef struct TestQemu {
    GPid pid;
    char *dir;
    char *qmp;     /* path of the monitor for colo_vm_open() */
    char *foreign; /* path of another one */
} TestQemu;

/* The QEMU to test with, or NULL. */
const char *test_qemu_binary(void);

/*
 * For g_spawn_async(), with our pid: the child ends when we do, and what it
 * prints goes to stderr, not into our TAP.
 */
void test_child_set_up(gpointer parent);

/*
 * Start a QEMU: machine, RAM with the given size and options of the backend
 * ("share=on"), stopped or not, and more arguments separated by spaces.
 */
TestQemu *test_qemu_start(const char *machine, guint ram_mib,
                          const char *backend, gboolean stopped,
                          const char *more);
void test_qemu_free(TestQemu *q);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestQemu, test_qemu_free)

/* Kill it and wait until it is gone. */
void test_qemu_kill(TestQemu *q);

/* One command on the other monitor; must succeed. */
void test_qemu_foreign(TestQemu *q, const char *command);

/* A number of KiB out of /proc/PID/status, such as "VmRSS:". */
guint64 test_qemu_status(TestQemu *q, const char *key);

/* Do count and chain in this RAM fit each other?  Returns the count. */
guint32 test_tiny_check(const guint8 *ram);

#endif
