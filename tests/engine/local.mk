# SPDX-License-Identifier: GPL-2.0-or-later
# The engine on real guests.
ENGINE_TESTS = \
	tests/engine/test-steady \
	tests/engine/test-takeover \
	tests/engine/test-trackers
check_PROGRAMS += $(ENGINE_TESTS)
TESTS += $(ENGINE_TESTS)
ENGINE_LIBS = librig.la $(UNIT_LIBS)

tests_engine_test_takeover_SOURCES = tests/engine/test-takeover.c
tests_engine_test_takeover_LDADD = $(ENGINE_LIBS)

tests_engine_test_steady_SOURCES = tests/engine/test-steady.c
tests_engine_test_steady_LDADD = $(ENGINE_LIBS)

tests_engine_test_trackers_SOURCES = tests/engine/test-trackers.c
tests_engine_test_trackers_LDADD = $(ENGINE_LIBS)
