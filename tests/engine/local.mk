# SPDX-License-Identifier: GPL-2.0-or-later
# The engine on real guests.
ENGINE_TESTS = \
	tests/engine/test-takeover
check_PROGRAMS += $(ENGINE_TESTS)
TESTS += $(ENGINE_TESTS)
ENGINE_LIBS = librig.la $(UNIT_LIBS)

tests_engine_test_takeover_SOURCES = tests/engine/test-takeover.c
tests_engine_test_takeover_LDADD = $(ENGINE_LIBS)
