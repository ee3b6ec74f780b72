# SPDX-License-Identifier: GPL-2.0-or-later
VM_TESTS = \
	tests/vm/test-vmstate \
	tests/vm/test-vm \
	tests/vm/test-vm-clock \
	tests/vm/test-vm-faults
check_PROGRAMS += $(VM_TESTS)
TESTS += $(VM_TESTS)

tests_vm_test_vmstate_SOURCES = tests/vm/test-vmstate.c
tests_vm_test_vmstate_LDADD = libcolovm.la $(UNIT_LIBS)

tests_vm_test_vm_SOURCES = tests/vm/pair.c tests/vm/pair.h tests/vm/test-vm.c
tests_vm_test_vm_LDADD = libcolovm.la $(UNIT_LIBS)

tests_vm_test_vm_clock_SOURCES = tests/vm/test-vm-clock.c
tests_vm_test_vm_clock_LDADD = libcolovm.la $(UNIT_LIBS)

tests_vm_test_vm_faults_SOURCES = \
	tests/vm/pair.c tests/vm/pair.h tests/vm/test-vm-faults.c
tests_vm_test_vm_faults_LDADD = libcolovm.la $(UNIT_LIBS)
