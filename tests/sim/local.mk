# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of the real colod with a simulated QEMU.
check_PROGRAMS += tests/sim/sim-qemu
tests_sim_sim_qemu_SOURCES = tests/sim/sim.h tests/sim/sim-qemu.c \
	tests/sim/sim-guest.c tests/sim/sim-run.c tests/sim/sim-monitor.c \
	tests/sim/sim-commands.c tests/sim/sim-block.c tests/sim/sim-fdset.c \
	tests/sim/sim-image.c
tests_sim_sim_qemu_LDADD = $(UNIT_LIBS)

check_PROGRAMS += tests/sim/test-sim-vm
TESTS += tests/sim/test-sim-vm
tests_sim_test_sim_vm_SOURCES = tests/sim/test-sim-vm.c \
	tests/sim/proc.h tests/sim/proc.c \
	tests/sim/sim-log.h tests/sim/sim-log.c
tests_sim_test_sim_vm_LDADD = libcolovm.la $(UNIT_LIBS)
