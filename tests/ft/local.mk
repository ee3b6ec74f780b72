# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of colo/ft/
FT_TESTS = \
	tests/ft/test-ft-log
check_PROGRAMS += $(FT_TESTS)
TESTS += $(FT_TESTS)
FT_TEST_LIBS = libcoloft.la $(UNIT_LIBS)

tests_ft_test_ft_log_SOURCES = tests/ft/test-ft-log.c
tests_ft_test_ft_log_LDADD = $(FT_TEST_LIBS)
