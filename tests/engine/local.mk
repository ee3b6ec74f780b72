# SPDX-License-Identifier: GPL-2.0-or-later
# The engine on real guests, and parts of it alone.
ENGINE_TESTS = \
	tests/engine/test-clock \
	tests/engine/test-faults \
	tests/engine/test-guest-events \
	tests/engine/test-heartbeat \
	tests/engine/test-kills \
	tests/engine/test-steady \
	tests/engine/test-takeover \
	tests/engine/test-trackers
check_PROGRAMS += $(ENGINE_TESTS)
TESTS += $(ENGINE_TESTS)
ENGINE_LIBS = librig.la $(UNIT_LIBS)

tests_engine_test_clock_SOURCES = tests/engine/test-clock.c
tests_engine_test_clock_LDADD = $(ENGINE_LIBS)

tests_engine_test_faults_SOURCES = tests/engine/test-faults.c
tests_engine_test_faults_LDADD = $(ENGINE_LIBS)

tests_engine_test_guest_events_SOURCES = tests/engine/test-guest-events.c
tests_engine_test_guest_events_LDADD = $(ENGINE_LIBS)

tests_engine_test_heartbeat_SOURCES = tests/engine/test-heartbeat.c \
	colo/engine/heartbeat.h colo/engine/heartbeat.c \
	colo/engine/mailbox.h colo/engine/mailbox.c \
	colo/engine/replica-states.h colo/engine/replica-states.c \
	colo/engine/status.h colo/engine/status.c
tests_engine_test_heartbeat_LDADD = libcoloft.la $(UNIT_LIBS)

tests_engine_test_kills_SOURCES = tests/engine/test-kills.c
tests_engine_test_kills_LDADD = $(ENGINE_LIBS)

tests_engine_test_steady_SOURCES = tests/engine/test-steady.c
tests_engine_test_steady_LDADD = $(ENGINE_LIBS)

tests_engine_test_takeover_SOURCES = tests/engine/test-takeover.c
tests_engine_test_takeover_LDADD = $(ENGINE_LIBS)

tests_engine_test_trackers_SOURCES = tests/engine/test-trackers.c
tests_engine_test_trackers_LDADD = $(ENGINE_LIBS)
