# SPDX-License-Identifier: GPL-2.0-or-later
check_PROGRAMS += tests/track/test-tracker
TESTS += tests/track/test-tracker
tests_track_test_tracker_SOURCES = \
	tests/track/test-tracker.c \
	tests/track/guest-ram.h \
	tests/track/guest-ram.c
tests_track_test_tracker_LDADD = libcolotracker.la $(UNIT_LIBS)

# Runs with libcolotrack.so preloaded: no sanitizers
check_PROGRAMS += tests/track/ram-writer
tests_track_ram_writer_SOURCES = tests/track/ram-writer.c
tests_track_ram_writer_CFLAGS = -std=gnu11 -O2 -g $(WARN_CFLAGS) -pthread
tests_track_ram_writer_LDFLAGS = -pthread

dist_check_SCRIPTS += tests/track/test-colo-qemu.sh tests/track/test-soft-dirty.sh
TESTS += tests/track/test-colo-qemu.sh tests/track/test-soft-dirty.sh
