# SPDX-License-Identifier: GPL-2.0-or-later
check_PROGRAMS += tests/vm/test-vmstate tests/vm/test-vm tests/vm/test-vm-faults
TESTS += tests/vm/test-vmstate tests/vm/test-vm tests/vm/test-vm-faults

tests_vm_test_vmstate_SOURCES = tests/vm/test-vmstate.c
tests_vm_test_vmstate_LDADD = libcolovm.la $(UNIT_LIBS)

tests_vm_test_vm_SOURCES = tests/vm/pair.c tests/vm/pair.h tests/vm/test-vm.c
tests_vm_test_vm_LDADD = libcolovm.la $(UNIT_LIBS)

tests_vm_test_vm_faults_SOURCES = \
	tests/vm/pair.c tests/vm/pair.h tests/vm/test-vm-faults.c
tests_vm_test_vm_faults_LDADD = libcolovm.la $(UNIT_LIBS)
