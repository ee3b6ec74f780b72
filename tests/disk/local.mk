# SPDX-License-Identifier: GPL-2.0-or-later
# Disks of real guests.
DISK_GUEST_TESTS = \
	tests/disk/test-disk-again \
	tests/disk/test-disk-faults \
	tests/disk/test-disk-room \
	tests/disk/test-disk-seed \
	tests/disk/test-disk-takeover \
	tests/disk/test-disk-tls
check_PROGRAMS += $(DISK_GUEST_TESTS)
TESTS += $(DISK_GUEST_TESTS)

DISK_LOAD = tests/disk/disk.h tests/disk/disk.c $(PROXY_LOAD)
tests_disk_test_disk_again_SOURCES = tests/disk/test-disk-again.c $(DISK_LOAD)
tests_disk_test_disk_again_LDADD = $(PROXY_GUEST_LIBS)
tests_disk_test_disk_faults_SOURCES = tests/disk/test-disk-faults.c $(DISK_LOAD)
tests_disk_test_disk_faults_LDADD = $(PROXY_GUEST_LIBS)
tests_disk_test_disk_room_SOURCES = tests/disk/test-disk-room.c $(DISK_LOAD)
tests_disk_test_disk_room_LDADD = $(PROXY_GUEST_LIBS)
tests_disk_test_disk_seed_SOURCES = tests/disk/test-disk-seed.c $(DISK_LOAD)
tests_disk_test_disk_seed_LDADD = $(PROXY_GUEST_LIBS)
tests_disk_test_disk_takeover_SOURCES = \
	tests/disk/test-disk-takeover.c $(DISK_LOAD)
tests_disk_test_disk_takeover_LDADD = $(PROXY_GUEST_LIBS)
tests_disk_test_disk_tls_SOURCES = tests/disk/test-disk-tls.c $(DISK_LOAD)
tests_disk_test_disk_tls_LDADD = $(PROXY_GUEST_LIBS)

# What colod serves for a survivor
dist_check_SCRIPTS += tests/disk/test-serve-disk.sh
TESTS += tests/disk/test-serve-disk.sh
tests/disk/test-serve-disk.log: nbdkit-colo-plugin.la store-make
