# SPDX-License-Identifier: GPL-2.0-or-later
#
# Unit tests are GLib test programs that speak TAP; tests with processes and
# guests are shell scripts that do.  Each area adds its own lines below.
UNIT_LIBS = libtestcommon.la $(COMMON_LIBS)
check_LTLIBRARIES = libtestcommon.la
libtestcommon_la_SOURCES = \
	tests/common/sanitizers.c \
	tests/common/sanitizers.h \
	tests/common/scratch.c \
	tests/common/scratch.h

check_PROGRAMS += tests/test-bitmap
TESTS += tests/test-bitmap
tests_test_bitmap_SOURCES = tests/test-bitmap.c
tests_test_bitmap_LDADD = $(UNIT_LIBS)
