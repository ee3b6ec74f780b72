# SPDX-License-Identifier: GPL-2.0-or-later
check_PROGRAMS += tests/vm/test-vm
TESTS += tests/vm/test-vm
tests_vm_test_vm_SOURCES = \
	tests/vm/pair.c \
	tests/vm/pair.h \
	tests/vm/test-vm.c
tests_vm_test_vm_LDADD = libcolovm.la $(UNIT_LIBS)
