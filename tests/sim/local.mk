# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of the real colod with a simulated QEMU.
SIM_TESTS = tests/sim/test-sim-vm tests/sim/test-sim-kills \
	tests/sim/test-sim-peers tests/sim/test-sim-faults \
	tests/sim/test-sim-output tests/sim/test-sim-proxies \
	tests/sim/test-sim-disks tests/sim/test-sim-roles
check_PROGRAMS += tests/sim/sim-qemu tests/sim/sim-proxy $(SIM_TESTS)
TESTS += $(SIM_TESTS)

tests_sim_sim_qemu_SOURCES = tests/sim/sim.h tests/sim/sim-qemu.c \
	tests/sim/sim-guest.c tests/sim/sim-run.c tests/sim/sim-monitor.c \
	tests/sim/sim-commands.c tests/sim/sim-block.c tests/sim/sim-fdset.c \
	tests/sim/sim-image.c tests/sim/sim-mirror.c \
	tests/sim/sim-disk.h tests/sim/sim-disk.c
tests_sim_sim_qemu_CPPFLAGS = $(AM_CPPFLAGS) $(NBD_CFLAGS)
tests_sim_sim_qemu_LDADD = $(UNIT_LIBS) $(NBD_LIBS)

tests_sim_sim_proxy_SOURCES = tests/sim/sim-proxy.c
tests_sim_sim_proxy_LDADD = $(UNIT_LIBS)

tests_sim_test_sim_vm_SOURCES = tests/sim/test-sim-vm.c \
	tests/sim/proc.h tests/sim/proc.c \
	tests/sim/sim-log.h tests/sim/sim-log.c
tests_sim_test_sim_vm_LDADD = libcolovm.la $(UNIT_LIBS)

SIM_RIG = tests/sim/rig.h tests/sim/rig.c \
	tests/sim/relay.h tests/sim/relay.c \
	tests/sim/watch.h tests/sim/watch.c \
	tests/sim/cpu-wait.h tests/sim/cpu-wait.c \
	tests/sim/proc.h tests/sim/proc.c \
	tests/sim/sim-log.h tests/sim/sim-log.c
SIM_CHECK = $(SIM_RIG) tests/sim/rig-check.h tests/sim/rig-check.c
tests_sim_test_sim_kills_SOURCES = tests/sim/test-sim-kills.c $(SIM_CHECK)
tests_sim_test_sim_kills_LDADD = $(UNIT_LIBS)
tests_sim_test_sim_peers_SOURCES = tests/sim/test-sim-peers.c $(SIM_CHECK) \
	tests/sim/ft-peer.h tests/sim/ft-peer.c
tests_sim_test_sim_peers_LDADD = libcoloft.la $(UNIT_LIBS)
tests_sim_test_sim_faults_SOURCES = tests/sim/test-sim-faults.c $(SIM_CHECK)
tests_sim_test_sim_faults_LDADD = $(UNIT_LIBS)
SIM_OUTPUT = $(SIM_CHECK) tests/sim/output-check.h tests/sim/output-check.c
tests_sim_test_sim_output_SOURCES = tests/sim/test-sim-output.c $(SIM_OUTPUT)
tests_sim_test_sim_output_LDADD = $(UNIT_LIBS)
tests_sim_test_sim_proxies_SOURCES = tests/sim/test-sim-proxies.c $(SIM_OUTPUT)
tests_sim_test_sim_proxies_LDADD = $(UNIT_LIBS)
tests_sim_test_sim_disks_SOURCES = tests/sim/test-sim-disks.c $(SIM_CHECK)
tests_sim_test_sim_disks_LDADD = $(UNIT_LIBS)
tests_sim_test_sim_roles_SOURCES = tests/sim/test-sim-roles.c $(SIM_CHECK)
tests_sim_test_sim_roles_LDADD = $(UNIT_LIBS)
