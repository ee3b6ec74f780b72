# SPDX-License-Identifier: GPL-2.0-or-later
ATTACH_BED = tests/attach/bed.c tests/attach/bed.h \
	tests/vm/pair.c tests/vm/pair.h
ATTACH_LIBS = libcoloattach.la libcolovm.la $(LIBNBD_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/attach/test-attach
TESTS += tests/attach/test-attach
tests_attach_test_attach_SOURCES = tests/attach/test-attach.c $(ATTACH_BED)
tests_attach_test_attach_LDADD = $(ATTACH_LIBS)
